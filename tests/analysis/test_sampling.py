"""Samples are balanced, seeded and without repetition; every class has its face."""

import numpy as np

from toolbox.analysis.sampling import balanced_sample, one_per_class


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
