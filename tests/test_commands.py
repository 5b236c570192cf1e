"""The README's first command of each script runs, small, in a fresh copy; git stays clean."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

# What makes each script small; flags of the README's own command come first.
SMALL = {
    "train_cnn.py": "--epochs 1 --width 4",
    "train_dnn.py": "--epochs 1 --width 8",
    "saliency.py": "--faces 2 --steps 4 --samples 2 --patch 16",
    "visualize_filters.py": "--steps 1 --layer conv_1a",
    "semi_supervised.py": "--labels-per-class 1 --updates 5 --width 4 --methods fixmatch",
}
# What needs a file that is not here, or is the command of an old record.
NOT_HERE = ("archive.zip", "fer2013.csv", "train_cnn.py homework", "train_cnn.py report")
# One process for all: TensorFlow's import would otherwise take most of the time.
DRIVER = """
import runpy, shlex, sys
sys.path.insert(0, ".")
for line in sys.stdin.read().splitlines():
    print("$", line, flush=True)
    sys.argv = shlex.split(line)
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The repository as a new user has it, uncommitted changes included."""
    folder = tmp_path / "copy"
    for name in git(ROOT, "ls-files", "-co", "--exclude-standard", "-z").split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "all")
    return folder


def readme_commands() -> list[str]:
    """The commands of the README's code, in order, each once."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"(?:\.venv/bin/)?python (\w+\.py[^`#|\n]*)", text)
    found = [" ".join(command.split()) for command in found]
    return [c for c in dict.fromkeys(found) if not any(name in c for name in NOT_HERE)]


def script_of(command: str) -> str:
    return command.split()[0]


def small(command: str) -> str:
    script, *flags = shlex.split(command)
    return shlex.join([script, *flags, *shlex.split(SMALL.get(script, ""))])


def test_git_status_is_clean_after_the_readmes_commands(copy):
    first = {script_of(command): command for command in reversed(readme_commands())}
    assert set(first) >= {path.name for path in ROOT.glob("*.py")} - {"utils.py", "prepare_data.py"}
    commands = sorted(first.values(), key=lambda command: not command.startswith("train"))
    lines = ["prepare_data.py --synthetic --count 350", *map(small, commands)]
    shutil.copy(ROOT / "models" / "published" / "compact.keras", copy / "my_model.keras")
    with (copy / ".git" / "info" / "exclude").open("a") as stream:
        stream.write("my_model.keras\nme.png\n")
    shutil.copy(ROOT / "figures" / "published" / "synthetic_faces.png", copy / "me.jpg")
    done = subprocess.run(
        [sys.executable, "-c", DRIVER], input="\n".join(lines), cwd=copy, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (copy / "me.jpg").unlink()
    assert git(copy, "status", "--porcelain") == ""
    made = [path for path in (copy / "figures" / "sample").rglob("*") if path.is_file()]
    assert len(made) > 20


@pytest.mark.skipif(not shutil.which("make"), reason="make is absent")
@pytest.mark.parametrize("name", ["faces.csv", "two  words.csv", "dq\"x'$y`z`$(w)#.csv", "~/a.csv"])
def test_make_hands_on_the_path_as_it_is(tmp_path, name):
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "requirements.txt", tmp_path)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "installed").touch()
    show = tmp_path / "show"
    show.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    show.chmod(0o755)
    os.utime(tmp_path / "requirements.txt", (0, 0))
    command = ["make", "-s", "all", "RUN=./show", f"DATA={name}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    calls = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert len(calls) == 7
    for call in calls:
        assert call[call.index("--data") + 1] == name
