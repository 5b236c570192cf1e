import numpy as np
import pytest
from conftest import in_memory

from toolbox.dataset import splits
from toolbox.files import InputError
from toolbox.semi_supervised.few_labels import NONE, Learned, hide_labels, pseudo_label_quality


def test_labels_are_kept_stratified_and_seeded():
    faces = in_memory(420)
    images, labels = faces.images, faces.labels
    images[1::14] = images[0]  # copies, of which only one may be kept
    rows = splits.rows_of_usage(faces, "Training")
    kept, hidden = hide_labels(faces, rows, 5, seed=1)
    assert np.bincount(labels[kept]).tolist() == [5] * 7
    assert len(set(splits.first_copy(images)[kept])) == len(kept)
    assert sorted([*kept, *hidden]) == rows.tolist()
    again, _ = hide_labels(faces, rows, 5, seed=1)
    other, _ = hide_labels(faces, rows, 5, seed=2)
    assert kept.tolist() == again.tolist() != other.tolist()


def test_some_label_must_be_hidden():
    with pytest.raises(InputError, match="keeps all labels of"):
        hide_labels(in_memory(42), np.arange(42), 6, seed=0)
    with pytest.raises(InputError, match=r"has 6 images .* fewer"):
        hide_labels(in_memory(42), np.arange(42), 7, seed=0)
    few = in_memory(42)
    with pytest.raises(
        InputError, match=r"has 0 images of Disgust .* as names"
    ):  # no smaller number
        hide_labels(few, np.flatnonzero(few.labels != 1), 3, seed=0)


def test_quality_by_hand():
    given = np.array([[NONE, NONE, NONE, NONE], [2, NONE, 5, 1]], np.int8)
    learned = Learned(None, np.array([0, 10]), given)
    assert pseudo_label_quality(learned, np.array([2, 3, 5, 6], np.uint8)) == {
        "updates": [0, 10],
        "coverage": [0.0, 0.75],
        "precision": [None, 0.6667],
    }
