"""The command itself: what it writes, what it keeps, and that no hidden label is seen."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from small_task import build_small_cnn, untrained

import semi_supervised
import utils
from toolbox.dataset import splits
from toolbox.engine import keras
from toolbox.semi_supervised.few_labels import hide_labels
from toolbox.semi_supervised.runs import Task
from utils import InputError

TINY = semi_supervised.Args(
    labels_per_class=4,
    updates=6,
    width=2,
    batch_size=8,
    uratio=1,
    rounds=3,
    clusters=9,
    threshold=0.1,
    methods=(),
    simclr_updates=0,
    precision="float32",
)


@pytest.fixture
def args(faces_csv, tmp_path, monkeypatch):
    """Tiny arguments for a network that is faster still."""

    monkeypatch.setattr(semi_supervised, "build_network", lambda *_: build_small_cnn())
    folders = {"models_dir": tmp_path / "models", "figures_dir": tmp_path / "figures"}
    return replace(TINY, data=faces_csv, **folders)


def read_table(args: semi_supervised.Args) -> pd.DataFrame:
    return pd.read_csv(args.figures_dir / "semi_supervised" / "semi_supervised.csv")


def weights_of(folder: Path, method: str) -> list[np.ndarray]:
    (path,) = (folder / "semi_supervised").glob(f"{method}_*.keras")
    return keras.saving.load_model(path, compile=False).get_weights()


@pytest.mark.parametrize("method", ["self_training", "clustering", "fixmatch"])
def test_no_hidden_label_reaches_the_weights(method, args, tmp_path):
    faces = utils.load_faces(args.data)
    train_rows, held_out = splits.split(faces, 0, 0)
    labelled, hidden = hide_labels(faces, train_rows, 4, 0)
    shuffled = faces.labels.copy()
    shuffled[hidden] = np.random.default_rng(0).permutation(shuffled[hidden])
    weights, found, baseline = [], [], untrained()
    for number, its in enumerate((faces, faces._replace(labels=shuffled))):
        task = Task(its, labelled, hidden, held_out)
        where = replace(args, models_dir=tmp_path / f"{number}")
        run = semi_supervised.make_run(method, where, task)
        model, record = semi_supervised.train(run, where, task, first=baseline)
        weights.append(model.get_weights())
        found.append(record["pseudo_labels"])
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert found[0]["coverage"] == found[1]["coverage"]
    # The shuffle would show if it were seen: the precision, by those labels, differs.
    assert found[0]["coverage"][-1] > 0
    assert found[0]["precision"] != found[1]["precision"]


def command(data: Path, folder: Path) -> list[str]:
    line = [sys.executable, str(ROOT / "semi_supervised.py"), "--quick", "--data", str(data)]
    line += ["--models-dir", str(folder / "models"), "--figures-dir", str(folder / "figures")]
    line += ["--width", "2", "--updates", "4", "--labels-per-class", "4", "--batch-size", "8"]
    return [*line, "--clusters", "8", "--simclr-updates", "2"]


def test_the_command(faces_csv, tmp_path, capsys):
    line = command(faces_csv, tmp_path)
    done = subprocess.run(line, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    args = semi_supervised.parse(line[2:])
    table = read_table(args)
    compared = ("baseline", "fine_tuning", *semi_supervised.METHODS)
    assert sorted(table["method"]) == sorted(compared)
    for_report = ["name", "method", "labels_per_class", "seed", "width", "updates", "accuracy"]
    for_report += ["macro_f1", "minutes", "coverage", "precision", "command"]
    assert {*for_report} <= {*table.columns}
    folders = [args.models_dir / "semi_supervised", args.figures_dir / "semi_supervised"]
    start = "simclr_width2_updates2_faces_seed0"
    for pattern in ("*.keras", "*.json"):
        assert {path.stem for path in folders[0].glob(pattern)} == {start, *table["run"]}
    assert {path.stem for path in folders[1].glob("*.json")} == set(table["run"])
    assert not list(folders[0].glob("*state*"))
    figures = {path.name for path in folders[1].glob("*.png")}
    setting = "4_width2_updates4_faces_batch-size8_simclr-updates2_seed0"
    assert figures == {"semi_supervised.png", f"pseudo_labels_{setting}.png"}

    # In one process: a run of fewer methods, and then one in other folders.
    before = {
        path: path.read_bytes()
        for folder in folders
        for path in folder.iterdir()
        if path.suffix in (".keras", ".json")
    }
    assert len(before) == 20
    semi_supervised.main(replace(args, methods=("fixmatch",)))
    assert capsys.readouterr().out.count(" is finished\n") == 4
    assert {path: path.read_bytes() for path in before} == before and len(read_table(args)) == 6
    folders = {"models_dir": tmp_path / "again", "figures_dir": tmp_path}
    again = replace(args, methods=(), simclr_updates=0, **folders)  # no part of the baseline
    semi_supervised.main(again)
    ours, theirs = (weights_of(its.models_dir, "baseline") for its in (args, again))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


def test_every_setting_has_its_own_row(args):
    changes = [{}, {"learning_rate": 0.02}, {"fresh": True}]
    for its in changes:
        semi_supervised.main(replace(args, **its))
    table = read_table(args)
    assert len(table) == 2 and table["run"].is_unique
    assert set(table["name"]) == {
        "faces_batch-size8_simclr-updates0",
        "faces_batch-size8_learning-rate0.02_simclr-updates0",
    }
    names = {json.loads(path.read_text())["run"] for path in args.models_dir.rglob("*.json")}
    assert names == set(table["run"])


def test_all_methods_and_seeds_start_from_the_same_network(args, capsys):
    its = replace(args, simclr_updates=3, methods=("clustering",))
    for seed in (0, 1):
        semi_supervised.main(replace(its, seed=seed, updates=1, learning_rate=0.0))
    assert capsys.readouterr().out.count("simclr_width2_updates3_faces_seed0") == 2
    paths = {path.stem: path for path in args.models_dir.rglob("*.keras")}
    started = [path for name, path in paths.items() if not name.startswith("baseline")]
    assert len(started) == len(paths) - 2 == 5
    weights = [keras.saving.load_model(path).trainable_weights[:-2] for path in started]
    for first, *others in zip(*weights, strict=True):
        for other in others:
            np.testing.assert_allclose(other, first, atol=1e-6)
    starts = read_table(args).set_index("run")["start"].fillna("")
    assert {*starts[starts.index.str.startswith("baseline")]} == {""}
    assert {*starts[~starts.index.str.startswith("baseline")]} == {
        "simclr_width2_updates3_faces_seed0"
    }


def test_no_start_has_seen_the_faces_that_are_held_out(args):
    """Seeds hold out the same faces, those of PublicTest, or each its own."""
    task = Task(utils.load_faces(args.data), *[np.arange(7)] * 3)
    for fraction, starts in ((0.0, 1), (0.25, 2)):
        its = replace(args, validation_fraction=fraction)
        seeds = [replace(its, seed=seed) for seed in (0, 1)]
        runs = [semi_supervised.make_run("simclr", each, task) for each in seeds]
        assert len({run.name for run in runs}) == starts


def test_another_start_makes_another_run(args, monkeypatch):
    its = replace(args, simclr_updates=2)
    semi_supervised.main(its)
    for path in args.models_dir.rglob("simclr*"):
        path.unlink()
    monkeypatch.setattr("toolbox.semi_supervised.simclr.LEARNING_RATE", 0.01)
    with pytest.raises(InputError, match="is of another configuration"):
        semi_supervised.main(its)


def test_an_interrupted_fresh_run_is_resumed(args, monkeypatch, capsys):
    semi_supervised.main(args)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("toolbox.files.atomic_write", interrupt)
        semi_supervised.main(replace(args, fresh=True))
    capsys.readouterr()
    semi_supervised.main(args)
    assert "Resuming after update" in capsys.readouterr().out
    semi_supervised.main(args)
    assert "is finished" in capsys.readouterr().out


def interrupt(path: Path, write) -> None:
    """In place of files.atomic_write: Ctrl-C before a model is written."""
    if path.suffix == ".keras":
        raise KeyboardInterrupt
    write(path)


def test_only_what_a_method_reads_makes_another_run_of_it(args):
    faces = utils.load_faces(args.data)
    task, warm = Task(faces, *[np.arange(7)] * 3), replace(args, temperature=0.7)
    for method in semi_supervised.METHODS:
        runs = [semi_supervised.make_run(method, its, task) for its in (args, warm)]
        same = [runs[0].name == runs[1].name, runs[0].configuration == runs[1].configuration]
        assert same == [method != "fixmatch"] * 2, method
    unlabelled = replace(args, labels_per_class=5)
    names = [semi_supervised.make_run("all_labels", its, task).name for its in (args, unlabelled)]
    assert names[0] == names[1]


def test_every_argument_that_changes_a_run_is_in_its_name():
    """A new field of Args must be named in SHARED or OWN, or else here. A run of another precision
    is refused.
    """
    own = [name for names in semi_supervised.OWN.values() for name in names]
    in_name = {*semi_supervised.SHARED, *own, "labels_per_class", "width", "updates", "seed"}
    elsewhere = {"data", "methods", "precision", "models_dir", "figures_dir", "fresh", "quick"}
    assert in_name | elsewhere == set(vars(TINY)) and not in_name & elsewhere


def test_an_engine_without_its_step_is_refused(args, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(InputError, match="needs KERAS_BACKEND=jax, or tensorflow"):
        semi_supervised.main(args)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels_per_class": 500}, "images of Angry to train on; give that many or fewer"),
        ({"clusters": 1000, "methods": ("clustering",)}, "--clusters is 1000, but there are 280"),
        ({"updates": 0}, "--updates is 0; give 1 to 10,000,000"),
        ({"learning_rate": 1000.0, "weight_decay": 1.0, "updates": 40}, "lower the learning rate"),
    ],
)
def test_bad_input_is_refused(changes, message, args):
    with pytest.raises(InputError, match=message):
        semi_supervised.main(replace(args, **changes))
    finished = {path.name.split("_")[0] for path in args.models_dir.rglob("*.keras")}
    assert finished <= {"baseline"}


def test_a_damaged_record_shows_before_the_training(args):
    folder = args.figures_dir / "semi_supervised"
    folder.mkdir(parents=True)
    (folder / "baseline.json").write_text("{")
    with pytest.raises(InputError, match=r"baseline\.json is not the record of a run"):
        semi_supervised.main(args)
    assert not args.models_dir.exists()
