import numpy as np
import pytest

from toolbox.engine import tf
from toolbox.files import InputError
from toolbox.semi_supervised.loop import Loop

CONFIGURATION = {"method": "a"}


def make_variables() -> list[tf.Variable]:
    return [tf.Variable(tf.zeros(3)), tf.Variable(np.arange(4, dtype=np.int8))]


def step_on(variables: list, stop_at: int | None = None):
    """A step whose result depends on its number and on all that came before."""

    def step(update: int) -> tf.Tensor:
        if update == stop_at:
            raise KeyboardInterrupt
        random = tf.random.stateless_uniform([3], [7, update])
        variables[0].assign(0.9 * variables[0] + random)
        variables[1].assign(tf.roll(variables[1], 1, 0))
        return tf.reduce_sum(variables[0])

    return step


def interrupted(path, updates: int = 50, stop_at: int = 23) -> None:
    variables = make_variables()
    with pytest.raises(KeyboardInterrupt):
        Loop(path, CONFIGURATION, updates)(step_on(variables, stop_at), variables)


def finished(path, **options) -> tuple[list[np.ndarray], Loop]:
    variables, loop = make_variables(), Loop(path, CONFIGURATION, 50, **options)
    loop(step_on(variables), variables)
    return [variable.numpy() for variable in variables], loop


def test_an_interrupted_run_ends_as_it_would_have(tmp_path, capsys):
    whole, loop = finished(tmp_path / "whole.npz")
    interrupted(tmp_path / "again.npz")
    assert "Repeat the command, without --fresh, to resume." in capsys.readouterr().err
    resumed, its = finished(tmp_path / "again.npz")
    assert f"Resuming after update 22 of 50 ({tmp_path / 'again.npz'})" in capsys.readouterr().out
    for ours, theirs in zip(resumed, whole, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert [(row["update"], row["loss"]) for row in its.history] == [
        (row["update"], row["loss"]) for row in loop.history
    ]
    assert [row["update"] for row in its.history] == list(range(2, 51, 2))
    seconds = [row["seconds"] for row in its.history]
    assert seconds == sorted(seconds)


def test_fresh_starts_over(tmp_path, capsys):
    interrupted(tmp_path / "run.npz")
    whole, _ = finished(tmp_path / "whole.npz")
    again, _ = finished(tmp_path / "run.npz", fresh=True)
    assert "Resuming" not in capsys.readouterr().out
    np.testing.assert_array_equal(again[0], whole[0])


def test_a_file_of_another_configuration_is_refused(tmp_path):
    interrupted(tmp_path / "run.npz")
    with pytest.raises(InputError, match=r"another configuration \(method is a there, b here\)"):
        Loop(tmp_path / "run.npz", {"method": "b"}, 50)(None, make_variables())


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path):
    with pytest.raises(InputError, match="the loss is nan after 2 updates; lower the learning"):
        Loop(tmp_path / "run.npz", CONFIGURATION, 50)(lambda _: tf.constant(np.nan), [])


def test_one_line_per_run(tmp_path, capsys):
    finished(tmp_path / "run.npz")
    assert len(capsys.readouterr().out.strip().splitlines()) == 1
