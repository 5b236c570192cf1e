"""A long loop shows how far it is, a short one nothing."""

import pytest

from toolbox import progress


def run(monkeypatch, capsys, live: bool, seconds: float, count: int = 100) -> str:
    """What a loop of so many steps of so many seconds prints."""
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr("sys.stdout.isatty", lambda: live, raising=False)
    for item in progress.watch(range(count), "faces"):
        assert item == round(clock[0] / seconds)
        clock[0] += seconds
    return capsys.readouterr().out


def test_a_log_has_a_few_lines(monkeypatch, capsys):
    lines = run(monkeypatch, capsys, live=False, seconds=1).splitlines()
    counts = [int(line.split()[0]) for line in lines]
    assert counts == [10, 20, 40, 80] and lines[-1] == "80 of 100 faces, 20 s left"


def test_a_terminal_has_one_line_which_goes_in_the_end(monkeypatch, capsys):
    shown = run(monkeypatch, capsys, live=True, seconds=1).split("\r")
    assert "50 of 100 faces, 50 s left" in [text.strip() for text in shown]
    assert "\n" not in "".join(shown) and not shown[-1] and not shown[-2].strip()


@pytest.mark.parametrize("live", [False, True])
def test_a_short_loop_is_silent(monkeypatch, capsys, live):
    assert run(monkeypatch, capsys, live, seconds=0.01) == ""


def test_what_was_shown_goes_if_the_loop_fails(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr(progress, "SILENT", 0)
    with pytest.raises(KeyError):
        for item in progress.watch("abc", "letters"):
            if item == "b":
                raise KeyError
