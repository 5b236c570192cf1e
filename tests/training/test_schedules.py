"""The learning rate of one cycle."""

import numpy as np
import pytest

from toolbox.training.schedules import one_cycle


def test_one_cycle_without_warmup_only_falls():
    optimizer = one_cycle(100, learning_rate=0.2, weight_decay=0, warmup=0)
    rates = np.array([float(optimizer._learning_rate(step)) for step in range(101)])
    assert (np.diff(rates[1:]) < 0).all() and rates[1] == pytest.approx(0.2, rel=1e-3)


def test_one_cycle_climbs_and_falls_to_nothing():
    optimizer = one_cycle(100, learning_rate=0.2, weight_decay=0)

    def rate(step: int) -> float:
        optimizer.iterations.assign(step)
        return float(optimizer.learning_rate)

    rates = np.array([rate(step) for step in range(101)])
    assert rates.argmax() == 25
    assert rates[25] == pytest.approx(0.2)
    assert rates[0] == pytest.approx(0.2 / 25)
    assert rates[100] == pytest.approx(0, abs=1e-6)
    assert optimizer.weight_decay is None and one_cycle(9, 0.2, 0.1).weight_decay == 0.1
