"""What all scripts share: loading, names of files, and how a run ends."""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import ROOT, make_faces

import utils
from toolbox.dataset import fer2013_csv
from utils import InputError


@dataclass
class Args:
    steps: int = 30
    learning_rate: float = 0.1
    flip: bool = True
    plain: bool = False
    layers: tuple[str, ...] = ()
    labels: list[int] = field(default_factory=list)
    versus: Path | None = None


def test_what_differs_from_the_defaults_is_in_a_file_name():
    names = ("steps", "learning_rate", "flip", "plain", "layers", "labels", "versus")
    assert utils.changed(Args(), *names) == ""
    assert utils.changed(Args(steps=64, learning_rate=0.5), "steps") == "_steps64"
    args = Args(64, 1e-3, False, True, ("conv_1a", "conv_2"), [25, 100], Path("/a b/c.keras"))
    assert utils.changed(args, *names) == (
        "_steps64_learning-rate0.001_no-flip_plain_layersconv_1a-conv_2_labels25-100_versus-a-b-c.keras"
    )


def test_without_fer2013_synthetic_faces_are_drawn_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(utils, "FER2013", tmp_path / "fer2013.csv")
    monkeypatch.setattr(utils, "SYNTHETIC", tmp_path / "synthetic_faces.csv")
    drawn = []

    def draw_sample():
        drawn.append(1)
        return (*make_faces(14), ["0"] * 14)

    monkeypatch.setattr(utils, "draw_sample", draw_sample)
    assert utils.load_faces().synthetic and utils.load_faces().synthetic
    assert len(drawn) == 1
    assert "SYNTHETIC FACES" in capsys.readouterr().out
    fer2013_csv.write_csv(utils.FER2013, *make_faces(7))
    assert not utils.load_faces().synthetic


def test_numbers_outside_of_their_limits_are_refused():
    utils.check_limits(Args(), {"steps": (1, 100), "learning_rate": (0, 1)})
    for wrong in (Args(steps=0), Args(learning_rate=float("nan")), Args(learning_rate=2)):
        with pytest.raises(InputError, match=r"--(steps|learning-rate) is .*; give"):
            utils.check_limits(wrong, {"steps": (1, 100), "learning_rate": (0, 1)})


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OSError(28, "No space left on device", "a.keras"), "error: a.keras: No space left on device"),
        (OSError("disk"), "error: disk"),
        (MemoryError(), "error: not enough memory"),
        (KeyboardInterrupt(), 130),
    ],
)  # fmt: skip
def test_a_run_ends_in_one_line(error, status):
    def main(args):
        raise error

    with pytest.raises(SystemExit) as ended:
        utils.run(main, None)
    assert ended.value.code == status


def test_a_mistake_is_told_in_any_terminal():
    done = started("def main(args): raise utils.InputError('é × π')", PYTHONIOENCODING="ascii")
    assert (done.stderr, done.returncode) == ("error: ? ? ?\n", 1)


def started(code: str, redirection: str = "", **environment: str) -> subprocess.CompletedProcess:
    code = f"import utils\n{code}\nutils.run(main, None)"
    command = ["bash", "-c", f'"$0" -c "$1" {redirection}', sys.executable, code]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **environment},
    )


@pytest.mark.parametrize("redirection", [">&- 2>&-", "| head -c 5; exit ${PIPESTATUS[0]}"])
def test_closed_outputs_cause_no_traceback(redirection):
    for code in (
        "def main(args): print('x' * 100_000); print('y')",
        "import tyro\nmain = lambda args: tyro.cli(str, args=['--help'], description='x ' * 99_999)",
    ):
        done = started(code, redirection)
        assert done.stderr == ""
        assert done.returncode in (0, 1)
    assert started("main = print", "| true; exit ${PIPESTATUS[0]}").returncode == 0  # all was done


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_what_is_said_goes_into_no_file(redirection, tmp_path):
    path = tmp_path / "out.txt"
    code = f"""
import os
def main(args):
    with open({str(path)!r}, "w") as stream:
        os.write(1, b"said"), os.write(2, b"said, as by TensorFlow")
        stream.write("written")
"""
    assert started(code, redirection).returncode == 0
    assert path.read_text() == "written"
