"""Learning from few labels: what no method may see, what decides, and the command itself."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import ROOT, make_faces

import utils
import batches
import few_labels
import pseudo_labels
import saved_state
import semi_supervised
import splits
import training
from utils import InputError
from pseudo_labels import NONE

TINY = semi_supervised.Args(
    labels_per_class=4,
    updates=6,
    width=2,
    batch_size=8,
    unlabelled_batch=8,
    rounds=3,
    clusters=9,
    threshold=0.1,
)


@pytest.fixture
def prepared(faces_csv, tmp_path):
    """Tiny arguments, the faces, and the rows that main would take."""
    args = replace(TINY, models_dir=tmp_path / "models", figures_dir=tmp_path / "figures")
    faces = utils.load_faces(faces_csv)
    train_rows, held_out = splits.split(faces, 0, 0)
    labelled, unlabelled = few_labels.hide_labels(faces, train_rows, 4, 0)
    return args, faces, {"labelled": labelled, "unlabelled": unlabelled, "held_out": held_out}


def small_baseline(args):
    training.make_repeatable(args.seed)
    return pseudo_labels.finished(pseudo_labels.new_student(args))


def test_labels_are_kept_stratified_and_seeded():
    images, labels, usage = make_faces(420)
    images[1::14] = images[0]  # copies, of which only one may be kept
    faces = utils.Faces(Path("x.csv"), "", images, labels, usage, False)
    rows = splits.rows_of_usage(faces, "Training")
    kept, hidden = few_labels.hide_labels(faces, rows, 5, seed=1)
    assert np.bincount(labels[kept]).tolist() == [5] * 7
    assert len(set(splits.first_copy(images)[kept])) == len(kept)
    assert sorted([*kept, *hidden]) == rows.tolist()
    again, _ = few_labels.hide_labels(faces, rows, 5, seed=1)
    other, _ = few_labels.hide_labels(faces, rows, 5, seed=2)
    assert kept.tolist() == again.tolist() != other.tolist()
    with pytest.raises(InputError, match="28 pictures of Disgust to train on"):
        few_labels.hide_labels(faces, rows, 30, seed=1)


@pytest.mark.parametrize("method", ["self_training", "clustering", "fixmatch"])
def test_no_hidden_label_reaches_the_weights(method, prepared, tmp_path):
    args, faces, rows = prepared
    labels = faces.labels.copy()
    hidden = labels[rows["unlabelled"]]
    labels[rows["unlabelled"]] = np.random.default_rng(0).permutation(hidden)
    weights, records = [], []
    for number, its in enumerate((faces, faces._replace(labels=labels))):
        where = replace(args, models_dir=tmp_path / str(number))
        model, record = few_labels.learn(method, where, its, rows, small_baseline(args))
        weights.append(model.get_weights())
        records.append(record["pseudo_labels"])
    for ours, theirs in zip(*weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert records[0]["coverage"] == records[1]["coverage"]
    # The shuffle would show if it were seen: what is held against the labels differs.
    assert records[0]["coverage"][-1] > 0
    assert records[0]["precision"] != records[1]["precision"]


@pytest.mark.parametrize("method", ["self_training", "fixmatch"])
def test_a_killed_run_ends_as_it_would_have(method, prepared, tmp_path, monkeypatch):
    args, faces, rows = prepared
    baseline = small_baseline(args)
    whole, record = few_labels.learn(method, args, faces, rows, baseline)
    args = replace(args, models_dir=tmp_path / "killed")
    save = saved_state.save

    def save_and_die(path, configuration, history, arrays):
        save(path, configuration, history, arrays)
        if len(history) == 3:  # within a round of self-training
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(saved_state, "save", save_and_die)
        few_labels.learn(method, args, faces, rows, baseline)
    assert [path.name for path in args.models_dir.iterdir()] == [
        f"semi_{method}_4_6_seed0.state.npz"
    ]
    again, its_record = few_labels.learn(method, args, faces, rows, baseline)
    for ours, theirs in zip(again.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert its_record["pseudo_labels"] == record["pseudo_labels"]
    assert [row["loss"] for row in its_record["history"]] == [
        row["loss"] for row in record["history"]
    ]


def test_self_trainings_pool_only_shrinks(prepared):
    args, faces, rows = prepared
    data = pseudo_labels.FewLabels(
        faces.images[rows["labelled"]],
        faces.labels[rows["labelled"]],
        faces.images[rows["unlabelled"]],
    )
    training.make_repeatable(0)
    learnt = pseudo_labels.self_training(
        data, replace(args, threshold=0.145), lambda step, _: [step(i) for i in range(args.updates)]
    )
    given = learnt.pseudo_labels
    assert learnt.updates.tolist() == [0, 2, 4]
    assert (given[0] == NONE).all()
    assert 0 < (given[1] != NONE).sum() < given.shape[1]
    before = given[1] != NONE
    assert (given[2][before] == given[1][before]).all()


def test_faces_leave_the_pool_when_the_model_is_sure():
    labels = np.array([NONE, NONE, NONE, 4], np.int8)
    probabilities = np.array([[0.8, 0.2], [0.79, 0.21], [0.05, 0.95], [1.0, 0.0]])
    now = pseudo_labels.with_the_sure(labels, probabilities, 0.8)
    assert now.tolist() == [0, NONE, 1, 4]
    assert now.dtype == np.int8


def test_a_clusters_class_is_its_labelled_majority():
    labels = pseudo_labels.labels_of_clusters(
        np.array([0, 0, 0, 2, 2]), np.array([5, 3, 5, 6, 1]), np.array([2, 0, 1, 3, 0])
    )
    assert labels.tolist() == [1, 5, NONE, NONE, 5]  # of the tie in cluster 2 the first class


def test_thresholds_are_running_means_for_each_class():
    threshold = pseudo_labels.class_thresholds(
        tf.fill([7], 0.5), tf.constant([0.9, 0.7, 0.4]), tf.constant([2, 2, 6]), memory=0.75
    )
    expected = [0.5, 0.5, 0.75 * 0.5 + 0.25 * 0.8, 0.5, 0.5, 0.5, 0.75 * 0.5 + 0.25 * 0.4]
    np.testing.assert_allclose(threshold, expected, rtol=1e-6)


def test_alignment_by_hand_and_in_the_mean():
    answers = tf.constant([[0.5, 0.5], [0.9, 0.1]])
    given = pseudo_labels.aligned(answers, tf.constant([0.2, 0.8]), tf.constant([0.8, 0.2]))
    np.testing.assert_allclose(given, [[1 / 17, 16 / 17], [9 / 25, 16 / 25]], rtol=1e-4)
    same = pseudo_labels.aligned(answers, tf.constant([0.7, 0.3]), tf.constant([0.7, 0.3]))
    np.testing.assert_allclose(same, answers, rtol=1e-4)


def test_sharpening_by_hand():
    answers = tf.constant([[0.6, 0.4], [0.0, 1.0]])
    for temperature, sharp in ((1, 0.6), (0.5, 0.36 / 0.52), (0, 1)):
        given = pseudo_labels.sharpened(answers, temperature)
        np.testing.assert_allclose(given, [[sharp, 1 - sharp], [0, 1]], rtol=1e-5, atol=1e-7)


def test_estimated_prior_of_answers_that_are_certain_is_their_count():
    certain = np.eye(7)[[0, 0, 0, 3]]
    np.testing.assert_allclose(pseudo_labels.estimated_prior(certain), [0.75, 0, 0, 0.25, 0, 0, 0])


def test_estimated_prior_comes_nearer_to_the_true_one():
    """Two classes of a normal feature, apart by 2: the posterior under equal shares is known."""
    random = np.random.default_rng(0)
    member = random.random(20000) < 0.9
    feature = random.normal(np.where(member, 1, -1))
    first = 1 / (1 + np.exp(-2 * feature))
    answers = np.stack([first, 1 - first, *np.zeros((5, len(first)))], axis=1)
    plain = abs(answers.mean(axis=0)[0] - 0.9)
    assert abs(pseudo_labels.estimated_prior(answers)[0] - 0.9) < 0.75 * plain
    assert abs(pseudo_labels.estimated_prior(answers, rounds=200)[0] - 0.9) < 0.02


def test_contrast_is_about_mid_grey_and_stays_in_range():
    grey = tf.fill([64, 4, 4, 1], 127.5)
    black = tf.zeros([64, 4, 4, 1])
    changed = batches.random_contrast(tf.concat([grey, black], 0), tf.constant([1, 2]), 0.4).numpy()
    assert changed.min() >= 0 and changed.max() <= 255
    assert 127.5 * 0.6 <= changed[:64].min() < 100 < 155 < changed[:64].max() <= 127.5 * 1.4 + 1e-3
    assert (changed[:64].std(axis=(1, 2, 3)) < 1e-3).all()
    same = batches.random_contrast(grey, tf.constant([1, 2]), 0.0)
    np.testing.assert_allclose(same, grey)


def command(data: Path, folder: Path) -> list[str]:
    line = [sys.executable, str(ROOT / "semi_supervised.py"), "--quick", "--data", str(data)]
    line += ["--models-dir", str(folder / "models"), "--figures-dir", str(folder / "figures")]
    line += ["--width", "2", "--updates", "4", "--labels-per-class", "4", "--batch-size", "8"]
    return [*line, "--unlabelled-batch", "8", "--clusters", "8"]


def test_the_command_leaves_table_figures_and_models(faces_csv, tmp_path, capsys):
    line = command(faces_csv, tmp_path)
    done = subprocess.run(line, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "figures" / "semi_supervised.csv")
    assert set(table["method"]) == set(semi_supervised.METHODS) and len(table) == 5
    needed = ["method", "labels_per_class", "seed", "accuracy", "macro_f1"]
    assert {*needed, "updates", "minutes", "data"} <= set(table)
    assert set(table["data"]) == {"fer2013"} and set(table["updates"]) == {4}
    names = {p.stem for p in (tmp_path / "models").glob("*.keras")}
    few = {f"semi_{m}_4_4_seed0" for m in semi_supervised.METHODS[:4]}
    assert names == {*few, "semi_all_labels_4_seed0"}
    assert not list((tmp_path / "models").glob("*state*"))
    for stem in ("semi_supervised", "semi_supervised_4_4_seed0"):
        assert (tmp_path / "figures" / f"{stem}.png").stat().st_size > 10000

    before = {p: p.read_bytes() for p in (tmp_path / "models").iterdir()}
    args = semi_supervised.parse([*line[2:], "--methods", "self_training"])
    semi_supervised.main(replace(args, methods=(), seed=1))
    assert capsys.readouterr().out.count("is there already") == 0
    semi_supervised.main(args)
    assert capsys.readouterr().out.count("is there already") == 2
    assert {p: p.read_bytes() for p in before} == before
    table = pd.read_csv(tmp_path / "figures" / "semi_supervised.csv")
    assert len(table) == 6 and not table.duplicated(["method", "labels_per_class", "seed"]).any()


def test_other_settings_keep_their_rows(prepared):
    """By --name, and where other faces are judged; FixMatch alone asks for a temperature."""
    args, faces, _ = prepared
    args = replace(args, data=faces.path, methods=())
    for changes in ({}, {"name": "other"}, {"validation_fraction": 0.2}, {}):
        semi_supervised.main(replace(args, **changes))
    table = pd.read_csv(args.figures_dir / "semi_supervised.csv")
    assert table["name"].tolist().count("semi") == 2 and len(table) == 3
    warm = replace(args, temperature=0.5)
    for method, same in (("baseline", True), ("fixmatch", False)):
        configurations = [few_labels.configuration_of(a, method, faces) for a in (args, warm)]
        assert (configurations[0] == configurations[1]) == same


def test_as_many_clusters_as_faces_leave_no_pseudo_label(prepared):
    args, faces, rows = prepared
    count = len(rows["labelled"]) + len(rows["unlabelled"])
    many = replace(args, clusters=count)
    _, record = few_labels.learn("clustering", many, faces, rows, small_baseline(args))
    assert record["pseudo_labels"] | {"updates": []} == {
        "updates": [], "coverage": [0.0], "precision": [None]
    }  # fmt: skip


def test_another_engine_is_refused_in_one_line(faces_csv, tmp_path):
    # TensorFlow's `import keras` obeys the variable; JAX need not be there for it to be refused.
    line = command(faces_csv, tmp_path)
    environment = os.environ | {"KERAS_BACKEND": "numpy"}
    done = subprocess.run(line, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("error: this script needs Keras on Tens")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels_per_class": 500}, "pictures of Angry to train on; give that many or fewer"),
        ({"clusters": 1000, "methods": ("clustering",)}, "--clusters is 1000, but there are 280"),
        ({"updates": 0}, "--updates is 0; give 1 to 1e\\+07"),
        (
            {"learning_rate": 1000.0, "weight_decay": 1.0, "updates": 40},
            "lower the learning rate",
        ),
    ],
)
def test_bad_input_is_refused(changes, message, prepared):
    args, faces, _ = prepared
    with pytest.raises(InputError, match=message):
        semi_supervised.main(replace(args, data=faces.path, **{"methods": ()} | changes))
    assert {path.stem for path in args.models_dir.rglob("*.keras")} <= {
        "semi_baseline_4_6_seed0",
        "semi_baseline_4_40_seed0",
    }


def test_a_table_that_is_none_is_refused(prepared):
    args, faces, _ = prepared
    args.figures_dir.mkdir()
    (args.figures_dir / "semi_supervised.csv").write_text("what,is\nthis,1\n")
    with pytest.raises(InputError, match=r"is damaged.*move it away"):
        semi_supervised.main(replace(args, data=faces.path, methods=()))
