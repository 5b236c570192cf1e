"""Samples are balanced, seeded and without repetition; every class has its face."""

import numpy as np
import pytest
from conftest import make_faces

from toolbox.analysis.sampling import balanced_sample, given_rows, one_per_class
from toolbox.dataset.faces import Faces
from toolbox.files import InputError


def test_a_sample_takes_the_classes_in_turn_while_they_last():
    labels = np.repeat([0, 1, 2], [50, 3, 50])
    sample = balanced_sample(labels, 23, seed=0)
    assert len(set(sample)) == 23
    assert np.bincount(labels[sample]).tolist() == [10, 3, 10]
    np.testing.assert_array_equal(sample, balanced_sample(labels, 23, seed=0))
    assert set(sample) != set(balanced_sample(labels, 23, seed=1))
    assert sorted(labels[sample[:3]]) == [0, 1, 2]  # so that its beginning is balanced too
    assert sorted(balanced_sample(labels, 1000, seed=0)) == list(range(103))


def test_one_per_class_prefers_a_correct_face_and_needs_none():
    labels, predicted = np.array([4, 4, 1, 4, 1]), np.array([1, 4, 0, 4, 0])
    assert one_per_class(labels, predicted).tolist() == [2, 1]


def test_rows_that_are_not_there_are_refused(tmp_path):
    faces = Faces(tmp_path / "x.csv", "", *make_faces(14), False)
    assert given_rows((13, 0), faces).tolist() == [13, 0]
    for rows in ((14,), (-1,), tuple(range(7)) * 5):
        with pytest.raises(InputError, match="0 to 13"):
            given_rows(rows, faces)
