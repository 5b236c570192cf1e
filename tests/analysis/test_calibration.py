"""Temperature and reliability against a case whose answer is known."""

import numpy as np
import pytest

from toolbox.analysis import calibration


def overconfident(count: int = 20_000, factor: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from softmax(logits), and probabilities softmax(factor · logits)."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 1, (count, 7))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (true.cumsum(axis=1) > rng.random((count, 1))).argmax(axis=1)
    sharp = np.exp(factor * logits)
    return sharp / sharp.sum(axis=1, keepdims=True), labels


def test_temperature_is_recovered_and_calibrates():
    probabilities, labels = overconfident()
    assert calibration.fit_temperature(probabilities, labels) == pytest.approx(3, rel=0.05)
    before = calibration.scores(probabilities, labels)
    rows = np.arange(len(labels))
    after = calibration.scores(calibration.cross_fitted(probabilities, labels, rows, 0), labels)
    assert before["expected_calibration_error"] > 0.2 > 0.02 > after["expected_calibration_error"]
    assert after["negative_log_likelihood"] < before["negative_log_likelihood"]
    assert after["brier_score"] < before["brier_score"]
    np.testing.assert_allclose(calibration.at_temperature(probabilities, 1.0), probabilities)


def test_no_row_is_evaluated_at_a_temperature_fitted_on_it():
    probabilities, labels = overconfident(2000)
    group = np.minimum(np.arange(2000), 1500)  # the last 500 show the same picture
    scaled = calibration.cross_fitted(probabilities, labels, group, 0)
    half = (np.random.default_rng(0).permutation(2000) % 2 == 0)[group]
    changed = np.where(half, (labels + 1) % 7, labels)
    again = calibration.cross_fitted(probabilities, changed, group, 0)
    np.testing.assert_array_equal(again[half], scaled[half])
    assert not np.allclose(again[~half], scaled[~half])


def test_reliability_by_hand():
    probabilities = np.zeros((4, 7))
    probabilities[:, 0] = [0.9, 0.9, 0.5, 1.0]
    probabilities[:, 1] = [0.1, 0.1, 0.5 - 1e-9, 0.0]
    labels = np.array([0, 1, 0, 0])
    bins = calibration.reliability(probabilities, labels)
    assert bins["count"].sum() == 4
    assert bins["count"][[7, 13, 14]].tolist() == [1, 2, 1]
    assert bins["accuracy"][13] == 0.5 and bins["confidence"][13] == pytest.approx(0.9)
    found = calibration.scores(probabilities, labels)
    assert found["expected_calibration_error"] == pytest.approx((0.5 + 2 * 0.4 + 0) / 4)
    assert found["negative_log_likelihood"] == pytest.approx(
        -np.log([0.9, 0.1, 0.5, 1]).mean(), rel=1e-6
    )
    assert found["brier_score"] == pytest.approx((0.02 + 2 * 0.81 + 0.5 + 0) / 4)
