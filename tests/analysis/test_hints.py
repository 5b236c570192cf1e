"""A forgotten flag is noticed, and a model that is right is left alone."""

import numpy as np
import pytest
from conftest import make_faces
from model_makers import brightness_model, random_model, save_run

import utils
from toolbox.analysis import hints
from toolbox.analysis.adapter import with_outputs
from toolbox.analysis.saved_models import load_classifier
from toolbox.dataset.faces import CLASSES

IMAGES, LABELS, _ = make_faces(420)


def hint_for(model, tmp_path, labels=LABELS, **flags) -> str:
    model.save(tmp_path / "m.keras")
    return hints.hint(load_classifier(tmp_path / "m.keras", **flags), IMAGES, labels)


def test_a_model_that_is_right_gets_no_hint(tmp_path):
    assert hint_for(brightness_model(), tmp_path) == ""
    assert hint_for(brightness_model(scale=255), tmp_path, input_range=(0, 1)) == ""
    order = (0, 1, 2, 3, 6, 4, 5)
    assert hint_for(brightness_model(order), tmp_path, classes=("alphabetical",)) == ""


def test_another_input_range_is_named(tmp_path):
    unit = hint_for(brightness_model(scale=255), tmp_path)
    assert unit.startswith("m seems to expect --input-range 0 1: then it is right on")
    other = hint_for(brightness_model(), tmp_path, input_range=(-1, 1))
    assert "seems to expect --input-range 0 255" in other


def test_another_order_of_classes_is_named(tmp_path):
    alphabetical = hint_for(brightness_model((0, 1, 2, 3, 6, 4, 5)), tmp_path)
    assert "with --classes alphabetical" in alphabetical
    named = hint_for(brightness_model((6, 5, 4, 3, 2, 1, 0)), tmp_path)
    order = "neutral surprise sad happy fear disgust angry"
    assert f"are right with --classes {order}" in named
    model = brightness_model((6, 5, 4, 3, 2, 1, 0))
    assert hint_for(model, tmp_path, classes=tuple(order.split())) == ""


def test_no_order_is_named_for_a_part_of_the_outputs(tmp_path):
    """As of a model that was cut down to the classes that it shares with the data."""
    six = tuple(name for name in CLASSES if name != "Fear")
    columns = [0, 1, 3, 4, 5, 6]
    brightness_model((6, 5, 2, 4, 3, 1, 0)).save(tmp_path / "m.keras")
    whole = load_classifier(tmp_path / "m.keras")
    part = whole._replace(model=with_outputs(whole.model, columns), classes=six)
    kept = LABELS != 2
    labels = np.searchsorted(columns, LABELS[kept])
    assert "are right with other --classes" in hints.hint(part, IMAGES[kept], labels)


def test_one_answer_for_everything_is_noticed(tmp_path):
    model = brightness_model()
    model.layers[-1].set_weights([np.zeros((1, 7)), np.eye(7)[3] * 9])
    assert hint_for(model, tmp_path).startswith("m answers Happy for 100 % of the faces")
    unit = hint_for(brightness_model(scale=255), tmp_path, labels=None)
    assert unit.startswith("m answers Neutral for 100 %")


@pytest.mark.parametrize("seed", range(3))
def test_untrained_models_are_not_said_to_be_in_another_order(seed, tmp_path):
    assert "--classes" not in hint_for(random_model(seed), tmp_path)


def test_a_model_with_our_record_leaves_nothing_to_guess(faces_csv, tmp_path):
    faces = utils.load_faces(faces_csv)
    path = save_run(tmp_path / "ours.keras", brightness_model(scale=255), faces)
    assert hints.hint(load_classifier(path), faces.images, faces.labels) == ""
