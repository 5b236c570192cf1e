"""No row that a model was trained on is ever taken for one that it held out."""

import json

import numpy as np
import pytest
from conftest import make_faces
from model_makers import random_model, save_run

import utils
from toolbox.analysis import held_out
from toolbox.analysis.saved_models import load_classifier
from toolbox.dataset import fer2013_csv, splits
from toolbox.files import InputError


@pytest.fixture
def leaky(tmp_path):
    """Faces of which PublicTest holds 5 training images, and a model of them."""
    images, labels, usage = make_faces(420)
    images[np.flatnonzero(usage == 1)[:5]] = images[np.flatnonzero(usage == 0)[:5]]
    fer2013_csv.write_csv(tmp_path / "faces.csv", images, labels, usage)
    faces = utils.load_faces(tmp_path / "faces.csv")
    return faces, save_run(tmp_path / "models" / "m.keras", random_model(0), faces)


def known(faces, path) -> held_out.KnownRows:
    first_copies = splits.first_copy(faces.images)
    return held_out.find_rows(faces, load_classifier(path), first_copies)


def test_rows_are_known_by_their_content(leaky):
    faces, path = leaky
    training, validation = splits.split(faces, 0.25, 0)
    found = known(faces, path)
    np.testing.assert_array_equal(found.held_out, validation)
    trained_on = {faces.images[row].tobytes() for row in training}
    expected = [image.tobytes() in trained_on for image in faces.images]
    np.testing.assert_array_equal(found.trained_on, expected)
    public = splits.rows_of_usage(faces, "PublicTest")
    assert 0 < found.trained_on[public].sum() <= 5


def test_rows_are_known_in_another_dialect_and_without_a_usage(leaky, tmp_path):
    faces, path = leaky
    spaced = tmp_path / "icml_face_data.csv"
    spaced.write_text(faces.path.read_text().replace(",", ", "))
    here, there = known(faces, path), known(utils.load_faces(spaced), path)
    np.testing.assert_array_equal(here.held_out, there.held_out)
    fer2013_csv.write_csv(tmp_path / "plain.csv", faces.images, faces.labels)
    plain = utils.load_faces(tmp_path / "plain.csv")
    other = save_run(tmp_path / "plain.keras", random_model(1), plain)
    # Trained on rows of all usages, among them PublicTest's.
    found = known(faces, other)
    public = splits.rows_of_usage(faces, "PublicTest")
    assert found.trained_on[public].sum() > 30


def test_what_cannot_be_known_is_said(leaky, tmp_path):
    faces, path = leaky
    elsewhere = tmp_path / "elsewhere.csv"
    fer2013_csv.write_csv(elsewhere, *make_faces(420, seed=8))
    others = utils.load_faces(elsewhere)
    found = known(others, path)
    assert found.held_out is found.trained_on is None
    assert found.unknown == "it was trained on other faces"
    fewer = faces._replace(
        images=faces.images[:400], labels=faces.labels[:400], usage=faces.usage[:400]
    )
    part = known(fewer, path)
    assert part.held_out is None or part.trained_on is None
    with pytest.raises(InputError) as caught:
        held_out.rows_of_split("validation", others, load_classifier(path), found)
    assert str(caught.value) == (
        f"m has no validation rows in {elsewhere}: it was trained on other faces; "
        "use --split PublicTest"
    )
    bare = others._replace(usage=None)
    with pytest.raises(InputError, match="has no rows of Usage PublicTest; use --split all"):
        held_out.rows_of_split("PublicTest", bare, load_classifier(path), found)


def test_validation_rows_of_nothing_are_never_taken(leaky):
    faces, path = leaky
    record = json.loads(path.with_suffix(".json").read_text())
    record["split"]["validation_sha256"] = splits.sha256_of_rows(faces, np.empty(0, np.int64))
    for rows in ([], None, [1.5], [-1], [10**6], [[1]], "x", [10**30], [True], {"a": 1}):
        record["split"]["validation_rows"] = rows
        path.with_suffix(".json").write_text(json.dumps(record))
        found = known(faces, path)
        assert found.held_out is found.trained_on is None
        assert "lists no row" in found.unknown or rows != []
