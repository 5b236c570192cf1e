"""A record says what was run, on what, by which code."""

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from conftest import ROOT, make_faces

from toolbox.dataset.faces import Faces
from toolbox.provenance import provenance


@dataclass
class Args:
    data: Path = ROOT / "data" / "fer2013.csv"
    elsewhere: Path = Path("/elsewhere/faces.csv")
    layers: tuple[str, ...] = ("conv_1", "conv_2")
    seed: int = 3
    rates: list[float] = field(default_factory=lambda: [0.1])


def test_a_recorded_command_can_be_run_again(monkeypatch):
    """By a shell, whatever its arguments hold; and the cores are those that it may use."""
    monkeypatch.setattr(sys, "argv", ["/x/saliency.py", "--data", "my faces/it's.csv"])
    record = provenance(Args())
    assert shlex.split(record["command"]) == ["python", "saliency.py", *sys.argv[1:]]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert provenance(Args())["machine"].endswith(", 1 cores")


def test_a_record_is_json_and_names_files_of_this_repository_relative_to_it():
    faces = Faces(ROOT / "data" / "fer2013.csv", "ab12", *make_faces(7), False)
    record = json.loads(json.dumps(provenance(Args(), faces)))
    assert record["arguments"] == {
        "data": "data/fer2013.csv",
        "elsewhere": "/elsewhere/faces.csv",
        "layers": ["conv_1", "conv_2"],
        "seed": 3,
        "rates": [0.1],
    }
    assert record["seed"] == 3
    assert record["data"] == {
        "file": "fer2013.csv",
        "sha256": "ab12",
        "synthetic": False,
        "rows": 7,
    }
    assert record["versions"]["numpy"] == np.__version__


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance(Args())["git"] is None


def test_the_commit_of_another_repository_is_not_ours(tmp_path, monkeypatch):
    """As where an archive of ours was unpacked among files that git keeps."""
    ours = tmp_path / "ours"
    ours.mkdir()
    (ours / "utils.py").touch()
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]
    monkeypatch.setattr("toolbox.provenance.ROOT", ours)
    for command, told in (
        (["init", "-q"], False),
        (["commit", "-q", "--allow-empty", "-m", "theirs"], False),
        (["add", "ours"], True),
    ):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
        assert (provenance(Args())["git"] is not None) == told
