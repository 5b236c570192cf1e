"""Small faces that every test can make for itself."""

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import utils
from toolbox import files
from toolbox.dataset import fer2013_csv
from toolbox.dataset.faces import Faces
from toolbox.files import InputError

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted(path.name for path in ROOT.glob("*.py") if path.name != "utils.py")


def flags(source: str) -> set[str]:
    """--name for each field of `Args`, and --no-name for what is true or false."""
    found = {"--help"}
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    for field in [part for node in classes if node.name == "Args" for part in node.body]:
        if isinstance(field, ast.AnnAssign):
            name = field.target.id.replace("_", "-")
            found |= {f"--{name}"}
            found |= {f"--no-{name}"} if ast.unparse(field.annotation) == "bool" else set()
    return found


def make_faces(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """images, labels and usage: noise around a brightness that depends on the label."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.uint8) % 7
    images = rng.integers(0, 120, (count, 48, 48)) + 20 * labels[:, None, None]
    usage = np.array([0, 0, 0, 0, 1, 2], np.uint8)[np.arange(count) // 7 % 6]
    return images.astype(np.uint8), labels, usage


def in_memory(count: int, seed: int = 0, **changes) -> Faces:
    """The same faces as if loaded, in part replaced."""
    faces = Faces(Path("memory.csv"), "", *make_faces(count, seed), False)
    return faces._replace(**changes)


def write_votes(path: Path, usage: np.ndarray) -> Path:
    """FER+'s file for rows of these usages: all ten taggers see happiness."""
    table = pd.DataFrame({"Usage": usage, "Image name": "x.png"})
    for name in ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear",
                 "contempt", "unknown", "NF"):  # fmt: skip
        table[name] = 10 if name == "happiness" else 0
    table.to_csv(path, index=False)
    return path


def killed_in_epoch(number: int) -> str:
    """Code that lets a training script kill itself when it begins that epoch."""
    return f"""
import os, signal
from toolbox.training.state import TrainingState
begin = TrainingState.on_epoch_begin
def begin_or_die(self, epoch, logs=None):
    if epoch + 1 == {number}:
        os.kill(os.getpid(), signal.SIGKILL)
    begin(self, epoch, logs)
TrainingState.on_epoch_begin = begin_or_die
"""


@pytest.fixture(autouse=True)
def mistakes_are_told_in_one_line(monkeypatch):
    """Of every mistake that any test makes."""

    def one_line(self, message: str):
        assert message and "\n" not in message
        ValueError.__init__(self, message)

    monkeypatch.setattr(InputError, "__init__", one_line)


@pytest.fixture
def without_figures(monkeypatch):
    """Figures are empty files, which saves seconds."""
    for module in (files, utils):
        monkeypatch.setattr(module, "save_figure", lambda _, path: files.write_text(path, ""))


@pytest.fixture
def faces_csv(tmp_path: Path) -> Path:
    """A CSV of 420 faces, 280 of them Training, in fer2013.csv's own dialect."""
    path = tmp_path / "faces.csv"
    fer2013_csv.write_csv(path, *make_faces(420))
    return path


def pytest_collection_modifyitems(items):
    if not utils.FER2013.exists():
        for item in items:
            if "real_data" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="data/fer2013.csv is absent"))
