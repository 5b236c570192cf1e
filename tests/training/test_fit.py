"""The real commands, run small: an interrupted run ends as it would have, and mistakes in one line."""

import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, killed_in_epoch, make_faces
from model_makers import cnn_args, dnn_args

import train_cnn
import train_dnn
import utils
from toolbox.dataset import fer2013_csv
from toolbox.files import InputError
from toolbox.training import fit
from toolbox.training.run_records import Run
from toolbox.training.state import TrainingState

pytestmark = pytest.mark.usefixtures("without_figures")


def start(data: Path, folder: Path, before: str = "", **options) -> subprocess.Popen:
    """train_dnn.py as dnn_args, of four epochs; before: code to run first."""
    code = f'{before}\nimport runpy\nrunpy.run_path("train_dnn.py", run_name="__main__")'
    line = [sys.executable, "-c", code, "--data", str(data)]
    line += ["--models-dir", str(folder / "models"), "--figures-dir", str(folder / "figures")]
    line += ["--width", "16", "--batch-size", "32", "--epochs", "4"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(line, **pipes, cwd=ROOT, **options)


def history_of(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / "models" / f"{name}.csv").drop(columns=["seconds", "cpu_seconds"])


def weights_of(folder: Path, name: str) -> list[np.ndarray]:
    return keras.saving.load_model(folder / "models" / f"{name}.keras").get_weights()


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def assert_same_run(one: Path, other: Path, name: str) -> None:
    """To the last bit."""
    histories = [history_of(folder, name) for folder in (one, other)]
    pd.testing.assert_frame_equal(*histories, check_exact=True)
    for a, b in zip(weights_of(one, name), weights_of(other, name), strict=True):
        np.testing.assert_array_equal(a, b)


class Interrupt(keras.callbacks.Callback):
    """Ctrl-C in the middle of an epoch."""

    def __init__(self, epoch: int):
        super().__init__()
        self.epoch, self.now = epoch, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch + 1

    def on_train_batch_end(self, batch, logs=None):
        if self.now == self.epoch and batch == 1:
            raise KeyboardInterrupt


def interrupted(args: train_cnn.Args, epoch: int, monkeypatch, main=train_cnn.main) -> None:
    """Train and press Ctrl-C in the middle of `epoch`."""
    keras_fit = keras.Model.fit

    def fit_and_interrupt(self, *positional, callbacks, **named):
        return keras_fit(self, *positional, callbacks=[*callbacks, Interrupt(epoch)], **named)

    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "fit", fit_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            main(args)


def stopped(args: train_cnn.Args, monkeypatch) -> None:
    """Begin a run and press Ctrl-C before the first step."""

    def fit_nothing(self, *positional, **named):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "fit", fit_nothing)
        with pytest.raises(KeyboardInterrupt):
            train_cnn.main(args)


def test_a_run_that_is_stopped_twice_ends_with_the_very_weights(
    faces_csv, tmp_path, monkeypatch, capsys
):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train_dnn.main(dnn_args(faces_csv, whole, epochs=4))
    interrupted(dnn_args(faces_csv, killed, epochs=4), 2, monkeypatch, train_dnn.main)
    process = start(faces_csv, killed, before=killed_in_epoch(4))
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    assert not (killed / "models" / "dnn.keras").exists()
    # What a kill in the middle of writing would have left besides: of a process that is gone.
    for leftover in (".dnn.state.999999999.npz", ".dnn.999999999.keras"):
        (killed / "models" / leftover).write_bytes(b"half")
    train_dnn.main(dnn_args(faces_csv, killed, epochs=4))
    assert "Resuming after epoch 3 of 4" in capsys.readouterr().out
    assert_same_run(killed, whole, "dnn")
    left = {path.name for path in (killed / "models").iterdir()}
    assert left == {f"dnn{ending}" for ending in (".keras", ".csv", ".txt", ".json")}


def test_ctrl_c_says_how_to_resume_and_the_resumed_run_is_the_same(
    faces_csv, tmp_path, monkeypatch, capsys
):
    args = cnn_args(faces_csv, tmp_path / "one", network="vgg", epochs=3, dropout=0.3)
    interrupted(args, 2, monkeypatch)
    said = capsys.readouterr().err
    assert "1 of 3 epochs are done; repeat the command, without --fresh, to resume." in said
    train_cnn.main(args)
    assert "Resuming after epoch 1 of 3" in capsys.readouterr().out
    other = tmp_path / "other"
    train_cnn.main(replace(args, models_dir=other / "models", figures_dir=other / "figures"))
    assert_same_run(tmp_path / "one", other, "net")


@pytest.mark.parametrize("epochs", [2, 4])
def test_a_run_of_constant_rate_is_resumed_for_fewer_or_more_epochs(
    epochs, faces_csv, tmp_path, monkeypatch
):
    args = dnn_args(faces_csv, tmp_path / "one", epochs=3)
    interrupted(args, 3, monkeypatch, train_dnn.main)
    with pytest.raises(InputError, match="has 2 epochs, more than --epochs 1; give --epochs 2"):
        train_dnn.main(replace(args, epochs=1))
    record = train_dnn.main(replace(args, epochs=epochs))
    assert record["epochs"] == record["arguments"]["epochs"] == epochs
    train_dnn.main(dnn_args(faces_csv, tmp_path / "other", epochs=epochs))
    assert_same_run(tmp_path / "one", tmp_path / "other", "dnn")


def test_what_the_network_does_not_use_does_not_keep_it_from_being_resumed(
    faces_csv, tmp_path, monkeypatch
):
    def build(dropout, classes):
        answers = [keras.layers.Flatten(), keras.layers.Dense(classes), keras.layers.Softmax()]
        return keras.Sequential([keras.Input((48, 48, 1)), *answers])

    monkeypatch.setattr(train_cnn, "build_homework_cnn", build)
    args = cnn_args(faces_csv, tmp_path, network="homework", width=4, epochs=2, learning_rate=1e-3)
    stopped(args, monkeypatch)
    record = train_cnn.main(replace(args, width=8, warmup=0.1, weight_decay=0.1, epochs=1))
    assert (
        record["epochs"] == 1 and not {*train_cnn.UNUSED["homework"]} & record["arguments"].keys()
    )


def test_a_run_that_was_killed_after_it_stopped_early_only_writes(faces_csv, tmp_path, monkeypatch):
    # Nothing is learned at this rate, so the first epoch stays the best.
    args = cnn_args(faces_csv, tmp_path, epochs=9, patience=2, learning_rate=1e-30)
    with monkeypatch.context() as patch:
        patch.setattr(fit.run_records, "save_run", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train_cnn.main(args)
    monkeypatch.setattr(keras.Model, "fit", None)
    record = train_cnn.main(args)
    assert (record["epochs"], record["best_epoch"], record["stopped_early"]) == (3, 1, True)
    assert (tmp_path / "models" / "net.keras").exists()


def test_a_state_of_another_run_is_refused(faces_csv, tmp_path, monkeypatch):
    args = cnn_args(faces_csv, tmp_path, epochs=3, network="vgg")
    stopped(args, monkeypatch)
    before = content_of(tmp_path / "models")
    changes = {
        "seed is 0 there, 1 here": {"seed": 1},
        "epochs is 3 there, 5 here": {"epochs": 5},
        "augment is True there": {"augment": False},
    }
    for named, change in changes.items():
        with pytest.raises(InputError, match=f"{named}.*--fresh"):
            train_cnn.main(replace(args, **change))
    build = train_cnn.build_vgg

    def edited(width, *more):
        return build(width + 2, *more)

    with monkeypatch.context() as patch:  # a student edits a layer in the file
        patch.setattr(train_cnn, "build_vgg", edited)
        with pytest.raises(InputError, match="network or its optimizer was edited"):
            train_cnn.main(args)
    assert content_of(tmp_path / "models") == before
    content = faces_csv.read_bytes()
    fer2013_csv.write_csv(faces_csv, *make_faces(420, seed=9))
    with pytest.raises(InputError, match="the faces are others"):
        train_cnn.main(args)
    faces_csv.write_bytes(content)
    [state] = (tmp_path / "models").glob("*.state.npz")
    state.write_bytes(state.read_bytes()[:-99])
    with pytest.raises(InputError, match=r"damaged.*--fresh"):
        train_cnn.main(args)
    stopped(replace(args, seed=1, fresh=True), monkeypatch)


def test_a_diverging_run_keeps_the_model_that_was_there(faces_csv, tmp_path, capsys):
    args = cnn_args(faces_csv, tmp_path)
    (tmp_path / "models").mkdir()
    for ending in (".keras", ".csv", ".txt", ".json"):
        (tmp_path / "models" / f"net{ending}").write_text("earlier")
    before = content_of(tmp_path / "models")
    with pytest.raises(InputError, match=r"loss is (nan|inf) in epoch .*; lower the learning rate"):
        train_cnn.main(replace(args, learning_rate=1000.0, epochs=6, weight_decay=1.0))
    assert "net.keras will be replaced in the end" in capsys.readouterr().out
    assert before.items() <= content_of(tmp_path / "models").items()


def test_the_data_are_never_overwritten(faces_csv, tmp_path):
    content = faces_csv.read_bytes()
    args = cnn_args(faces_csv, tmp_path, name=faces_csv.stem)
    with pytest.raises(InputError, match="would be overwritten"):
        train_cnn.main(replace(args, models_dir=faces_csv.parent))
    assert faces_csv.read_bytes() == content
    assert not list(tmp_path.glob("*.state.npz"))


def test_best_epoch_and_early_stopping_follow_from_the_history(tmp_path):
    model = train_cnn.build_residual_cnn(2)
    model.compile("sgd", "categorical_crossentropy")
    run = Run("x", 0, epochs=9, patience=2, batch_size=32, fresh=False,
              models_dir=tmp_path, figures_dir=tmp_path)  # fmt: skip
    state = TrainingState(run, model, {})
    assert not state.is_over()
    over = []
    accuracies, losses = [0.3, 0.5, 0.4, 0.5, 0.6, 0.6], [2.0, 1.0, 0.1, 1.0, 1.0, 0.9]
    for epoch, (accuracy, loss) in enumerate(zip(accuracies, losses, strict=True), 1):
        state.history.append({"epoch": epoch, "val_accuracy": accuracy, "val_loss": loss})
        over.append(state.is_over())
    assert over == [False, False, False, True, False, False]
    assert state.best()["epoch"] == 6  # of two of one accuracy the one of lower loss
    del state.history[4:]
    assert state.best()["epoch"] == 2  # of two equals the first
    last = TrainingState(replace(run, keep="last"), model, {})
    last.history = state.history
    assert last.best()["epoch"] == 4 and not last.is_over()  # no epoch is chosen: no patience


@pytest.mark.parametrize(("keep", "kept"), [("best", 2), ("last", 3)])
def test_the_weights_of_the_epoch_that_counts_are_kept(keep, kept, tmp_path):
    model = train_cnn.build_residual_cnn(2)
    model.compile("sgd", "categorical_crossentropy")
    run = Run("x", 0, 3, 2, 32, False, tmp_path, tmp_path, keep)
    state = TrainingState(run, model, {})
    state.open()
    for number, accuracy in ((1, 0.2), (2, 0.6), (3, 0.4)):
        model.set_weights([np.full_like(weights, number) for weights in model.get_weights()])
        state.on_epoch_begin(number - 1)
        logs = {"accuracy": 0.0, "loss": 1.0, "val_accuracy": accuracy, "val_loss": 1.0}
        state.on_epoch_end(number - 1, logs)
    resumed = TrainingState(run, model, {})
    resumed.load()
    for its in (state, resumed):
        assert {float(weights.flat[0]) for weights in its.best_weights} == {kept}


def test_a_full_disk_ends_in_one_line_and_keeps_earlier_files(faces_csv, tmp_path):
    utils.load_faces(faces_csv)  # the cache is there
    for name in ("dnn.keras", "dnn.json"):
        utils.write_text(tmp_path / "models" / name, "earlier")
    before = content_of(tmp_path)
    limit = 100_000, 100_000
    process = start(
        faces_csv, tmp_path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    )
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1
    assert errors.startswith("error: ") and errors.count("\n") == 1
    assert content_of(tmp_path) == before


def test_an_unwritable_folder_shows_before_training(faces_csv, tmp_path, monkeypatch):
    (tmp_path / "models").write_text("a file where the folder should be")
    monkeypatch.setattr(keras.Model, "fit", None)
    with pytest.raises(OSError) as caught:  # which utils.run prints as one line
        train_cnn.main(cnn_args(faces_csv, tmp_path))
    assert str(tmp_path / "models") in str(caught.value)
