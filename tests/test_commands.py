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
from conftest import ROOT, flags

import train_cnn
from toolbox.analysis.filter_layers import choose_layers

# What makes each script small; flags of the README's own command come first.
SMALL = {
    "train_cnn.py": "--epochs 1 --width 4",
    "train_dnn.py": "--epochs 1 --width 8",
    "saliency.py": "--faces 2 --steps 4 --samples 2 --patch 16",
    "visualize_filters.py": "--steps 1 --layer conv_1a",
    "semi_supervised.py": "--labels-per-class 1 --updates 5 --width 4 --simclr-updates 2 --methods all_labels",
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


needs_make = pytest.mark.skipif(not shutil.which("make"), reason="make is absent")


def copy_makefile(folder: Path) -> None:
    """With an environment that counts as installed."""
    shutil.copy(ROOT / "Makefile", folder)
    shutil.copy(ROOT / "requirements.txt", folder)
    (folder / ".venv").mkdir()
    (folder / ".venv" / "installed").touch()
    os.utime(folder / "requirements.txt", (0, 0))


def run_make(folder: Path, *arguments: str, fails: str = "") -> list[list[str]]:
    """The calls that `make` makes; that of the script `fails` fails."""
    show = folder / "show"
    show.write_text(
        f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n"
        f"sys.exit(sys.argv[1] == {fails!r})\n"
    )
    show.chmod(0o755)
    command = ["make", "-s", "all", "RUN=./show", *arguments]
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "DATA")}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=not fails
    )
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]


@needs_make
@pytest.mark.parametrize("name", ["two  words.csv", "dq\"x'$y`z`$(w)#.csv", "~/a.csv"])
def test_make_hands_on_the_path_as_it_is(tmp_path, name):
    copy_makefile(tmp_path)
    calls = run_make(tmp_path, f"DATA={name}")
    assert len(calls) == 7
    for call in calls:
        assert call[call.index("--data") + 1] == name


@needs_make
def test_make_without_data_is_a_shorter_rehearsal(tmp_path):
    copy_makefile(tmp_path)
    calls = run_make(tmp_path)
    for script, *arguments in calls:
        known = flags((ROOT / script).read_text())
        assert {argument for argument in arguments if argument.startswith("--")} <= known, script
    assert [call for call in calls if "--epochs" in call] == calls[:2]
    [filters] = [call for call in calls if "--layer" in call]
    names = filters[filters.index("--layer") + 1 :]
    assert len(choose_layers(train_cnn.build_residual_cnn(8), names)) == len(names) == 2
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "fer2013.csv").touch()
    whole = run_make(tmp_path)
    assert not [c for c in whole if {"--epochs", "--layer", "--faces"} & {*c}]


@needs_make
def test_make_ends_where_a_script_fails_but_for_few_labels(tmp_path):
    copy_makefile(tmp_path)
    assert run_make(tmp_path, fails="train_dnn.py")[-1][0] == "train_dnn.py"
    assert run_make(tmp_path, fails="semi_supervised.py")[-1][0] == "report.py"


@needs_make
def test_make_clean_leaves_what_is_the_users(tmp_path):
    copy_makefile(tmp_path)
    own = ["models/fast.keras", "figures/fast/history.png", "data/fer2013.csv"]
    made = ["models/sample/fast.keras", "figures/sample/fast/history.png"]
    made += ["data/synthetic_faces.csv", "data/fer2013.csv.cache"]
    for name in own + made:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    subprocess.run(["make", "-s", "clean"], cwd=tmp_path, check=True)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {*own, "Makefile", "requirements.txt"}
