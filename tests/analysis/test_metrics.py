"""The numbers are scikit-learn's, the matrix is the right way round."""

import numpy as np
import pytest
from scipy.stats import binom
from sklearn import metrics as oracle

from toolbox.analysis import metrics


def answers(seed: int = 0, count: int = 500) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 7, count)
    return labels, np.where(rng.random(count) < 0.6, labels, rng.integers(0, 7, count))


def test_true_is_on_rows_and_predicted_on_columns():
    labels = np.array([0, 0, 0, 1, 4, 4])
    predicted = np.array([0, 1, 1, 1, 2, 4])
    counts = metrics.confusion_counts(labels, predicted, 7)
    expected = np.zeros((7, 7), int)
    for true, taken_for in zip(labels, predicted, strict=True):
        expected[true, taken_for] += 1
    np.testing.assert_array_equal(counts, expected)
    assert counts[0, 1] == 2 and counts[1, 0] == 0  # a transposed matrix fails here
    ratio = metrics.ratios(counts)
    assert ratio[0, 1] == pytest.approx(2 / 3)
    np.testing.assert_allclose(ratio.sum(axis=1), [1, 1, 0, 0, 1, 0, 0])  # absent classes stay


def test_measures_are_scikit_learns():
    labels, predicted = answers()
    measured = metrics.measure(labels, predicted, 7)
    assert measured["accuracy"] == oracle.accuracy_score(labels, predicted)
    assert measured["macro_f1"] == pytest.approx(
        oracle.f1_score(labels, predicted, average="macro")
    )
    assert measured["balanced_accuracy"] == pytest.approx(
        oracle.balanced_accuracy_score(labels, predicted)
    )


def test_absent_classes_do_not_break_the_measures():
    measured = metrics.measure(np.array([3, 3, 6, 6]), np.array([3, 0, 6, 6]), 7)
    assert measured["accuracy"] == measured["balanced_accuracy"] == 0.75


def test_wilson_interval():
    k, n, z = 82, 100, 1.959964
    p = k / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    np.testing.assert_allclose(metrics.interval(k, n), [centre - half, centre + half], atol=1e-6)
    assert metrics.interval(0, 0) == [0, 1]


def test_faces_that_were_trained_on_are_counted_and_left_out():
    labels, predicted = answers()
    seen = np.arange(len(labels)) % 5 == 0
    measured = metrics.measure_unseen(labels, predicted, 7, seen)
    assert measured["faces_seen_in_training"] == 100
    assert measured["without_seen"] == metrics.measure(labels[~seen], predicted[~seen], 7)
    for each in (np.zeros_like(seen), np.ones_like(seen)):
        assert "without_seen" not in metrics.measure_unseen(labels, predicted, 7, each)
    assert "faces_seen_in_training" not in metrics.measure_unseen(labels, predicted, 7, None)


def test_mcnemars_exact_test():
    labels = np.zeros(40, int)
    ours, theirs = np.zeros(40, int), np.zeros(40, int)
    theirs[:9] = 1  # only ours is right
    ours[9:11] = 2  # only theirs is right
    ours[20:25] = theirs[20:25] = 3  # both wrong
    compared = metrics.compare_models(labels, ours, theirs)
    assert (compared["only_this_is_right"], compared["only_the_other_is_right"]) == (9, 2)
    assert compared["mcnemar_p"] == pytest.approx(2 * binom.cdf(2, 11, 0.5))
    assert metrics.compare_models(labels, ours, ours)["mcnemar_p"] == 1
