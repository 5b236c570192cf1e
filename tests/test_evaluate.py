"""Means, comparisons and temperatures are over the right rows, and no run overwrites another's."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import make_faces, write_votes
from model_makers import brightness_model, random_model, save_run
from sklearn import metrics as oracle

import evaluate
import utils
from toolbox.analysis.predictions import predict
from toolbox.analysis.saved_models import load_classifier
from toolbox.analysis.subject import open_subject
from toolbox.dataset import fer2013_csv, splits
from utils import InputError

pytestmark = pytest.mark.usefixtures("without_figures")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """faces.csv, of which PublicTest holds 5 training images; models a and b as if trained on it
    with two seeds; and a model without a record, `stranger`.
    """
    folder = tmp_path_factory.mktemp("made")
    images, labels, usage = make_faces(420)
    images[np.flatnonzero(usage == 1)[:5]] = images[np.flatnonzero(usage == 0)[:5]]
    fer2013_csv.write_csv(folder / "faces.csv", images, labels, usage)
    faces = utils.load_faces(folder / "faces.csv")
    for seed, name in enumerate("ab"):
        save_run(folder / "models" / f"{name}.keras", random_model(seed), faces, seed)
    random_model(7).save(folder / "models" / "stranger.keras")
    return folder


def args_for(made: Path, output: Path, **changes) -> evaluate.Args:
    named = {"models_dir": made / "models", "figures_dir": output, "model": "a"}
    return evaluate.Args(**({"data": made / "faces.csv", "split": "PublicTest"} | named | changes))


def probabilities(made: Path, name: str, images: np.ndarray) -> np.ndarray:
    return predict(load_classifier(made / "models" / f"{name}.keras"), images)


def seen_by(made: Path, *seeds: int) -> np.ndarray:
    """Which rows show an image that a model of these seeds was trained on."""
    faces = utils.load_faces(made / "faces.csv")
    known = {
        faces.images[row].tobytes() for seed in seeds for row in splits.split(faces, 0.25, seed)[0]
    }
    return np.array([image.tobytes() in known for image in faces.images])


def test_public_test_with_and_without_the_leaks(made, tmp_path):
    record = evaluate.main(args_for(made, tmp_path))
    written = (tmp_path / "a" / "faces_PublicTest_evaluation.json").read_text()
    assert json.loads(written) == json.loads(json.dumps(record))
    faces = utils.load_faces(made / "faces.csv")
    leaked = seen_by(made, 0)[faces.usage == 1]
    assert record["faces_seen_in_training"] == leaked.sum() > 0
    assert record["without_seen"]["faces"] == record["faces"] - leaked.sum()
    assert list(record["calibration"]) == [
        "as they are", "at a temperature fitted on the other half"]  # fmt: skip
    private = evaluate.main(args_for(made, tmp_path, split="PrivateTest"))
    assert list(private["calibration"])[1:] == ["at a temperature fitted on validation"]
    everything = evaluate.main(args_for(made, tmp_path, split="all"))
    assert list(everything["calibration"]) == ["as they are"]


def test_an_ensemble_is_the_mean_of_its_probabilities(made, tmp_path, capsys):
    members = ("b", "b", "stranger")
    record = evaluate.main(args_for(made, tmp_path, flip=True, ensemble=members))
    faces = utils.load_faces(made / "faces.csv")
    public = faces.usage == 1
    images, labels = faces.images[public], faces.labels[public]
    sums = sum(
        probabilities(made, name, view)
        for name in ("a", *members)
        for view in (images, images[:, :, ::-1])
    )
    found = record["ensemble"]
    right = sums.argmax(axis=1) == labels
    assert found["models"] == ["a", *members] and found["views"] == 2
    assert found["accuracy"] == right.mean() != record["test_time_augmentation"]["accuracy"]
    seen = seen_by(made, 0, 1)[public]
    assert found["faces_seen_in_training"] == seen.sum() > record["faces_seen_in_training"]
    assert found["without_seen"]["accuracy"] == right[~seen].mean()
    assert found["training_faces_unknown_of"] == ["stranger"]
    assert "not known whether stranger was trained" in capsys.readouterr().out


def test_another_model_on_all_faces_and_on_those_that_neither_saw(made, tmp_path):
    record = evaluate.main(args_for(made, tmp_path, split="all", versus="b"))["versus"]
    faces = utils.load_faces(made / "faces.csv")
    a, b = (probabilities(made, name, faces.images).argmax(axis=1) for name in "ab")
    for part, rows in (
        (record, np.full(420, True)),
        (record["without_seen"], ~seen_by(made, 0, 1)),
    ):
        assert part["faces"] == rows.sum() > 0
        assert part["accuracy"] == oracle.accuracy_score(faces.labels[rows], a[rows])
        assert part["other_accuracy"] == oracle.accuracy_score(faces.labels[rows], b[rows])
    assert record["faces_seen_by_this"] == seen_by(made, 0).sum()
    assert record["faces_seen_by_the_other"] == seen_by(made, 1).sum()
    difference = pd.read_csv(tmp_path / "a" / "faces_all_versus_b.csv", index_col="true")
    ours, theirs = (
        oracle.confusion_matrix(faces.labels, each, normalize="true") for each in (a, b)
    )
    np.testing.assert_allclose(difference.to_numpy(), ours - theirs, atol=1e-12)
    stranger = evaluate.main(args_for(made, tmp_path, versus="stranger"))["versus"]
    assert "faces_seen_by_the_other" not in stranger and stranger["faces_seen_by_this"] > 0


def test_each_model_is_fed_as_it_wants(made, tmp_path):
    """--input-range is for the foreign model; ours, known by its record, takes 0..255."""
    save_run(made / "models" / "right.keras", brightness_model(),
             utils.load_faces(made / "faces.csv"))  # fmt: skip
    brightness_model(scale=255).save(tmp_path / "unit.keras")
    other = str(tmp_path / "unit.keras")
    for ours, theirs in (("right", other), (other, "right")):
        args = args_for(made, tmp_path, model=ours, versus=theirs, input_range=(0, 1))
        record = evaluate.main(replace(args, ensemble=(theirs,)))
        assert record["versus"]["accuracy"] > 0.9 and record["versus"]["other_accuracy"] > 0.9
        assert record["ensemble"]["accuracy"] > 0.9


def test_ferplus(made, tmp_path):
    faces = utils.load_faces(made / "faces.csv")
    votes = write_votes(tmp_path / "votes.csv", np.array(utils.USAGES)[faces.usage])
    record = evaluate.main(args_for(made, tmp_path, ferplus=votes))
    happy = (faces.labels == 3) & (faces.usage == 1)
    assert record["ferplus"]["crowd_agrees_with_label"] == happy.sum()


def test_the_end_of_a_name_tells_what_was_asked_for(made, tmp_path):
    other = tmp_path / "b.keras"  # another model of that name
    other.write_bytes((made / "models" / "stranger.keras").read_bytes())
    faces = utils.load_faces(made / "faces.csv")
    classifier = load_classifier(made / "models" / "a.keras")
    a = open_subject(faces, "PublicTest", classifier, made / "models", tmp_path)
    paths = made / "models" / "b.keras", other
    b, c = (a._replace(classifier=load_classifier(path)) for path in paths)
    ends = [
        evaluate.what_changes_it(args_for(made, tmp_path, **changes), members, versus)
        for changes, members, versus in (
            ({}, [], None), ({"flip": True}, [], None), ({"shift": 1}, [], None),
            ({"shift": 2, "seed": 1}, [], None), ({"seed": 1}, [], None), ({}, [b], None),
            ({}, [c], None), ({}, [b, b], None), ({}, [], b), ({}, [], c), ({}, [b], c),
            ({"ferplus": other}, [], None), ({}, [c] * 30, None), ({}, [c] * 31, None),
        )
    ]  # fmt: skip
    assert len(set(ends)) == len(ends)
    assert {"", "_flip", "_shift1", "_shift2_seed1", "_ensemble-b+b", "_versus-b"} < set(ends)
    assert max(map(len, ends)) < 150


def test_copies_of_one_face_are_too_few_to_fit_a_temperature_on(made, tmp_path):
    images, labels, usage = make_faces(420)
    images[:] = images[0]
    fer2013_csv.write_csv(tmp_path / "copies.csv", images, labels, usage)
    record = evaluate.main(args_for(made, tmp_path, data=tmp_path / "copies.csv"))
    assert list(record["calibration"]) == ["as they are"]


def test_mistakes_end_in_one_line(made, tmp_path):
    fer2013_csv.write_csv(tmp_path / "bare.csv", make_faces(30)[0])
    for changes, said in (
        ({"data": tmp_path / "bare.csv"}, "has no labels"),
        ({"versus": "absent"}, r"absent\.keras does not exist"),
        ({"ensemble": ("absent",)}, r"absent\.keras does not exist"),
        ({"model": "stranger", "split": "validation"}, r"there is no stranger\.json"),
        ({"shift": -1}, "--shift is -1"),
    ):
        with pytest.raises(InputError, match=said):
            evaluate.main(args_for(made, tmp_path, **changes))
