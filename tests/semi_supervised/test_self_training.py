import numpy as np
import pytest
from small_task import assert_same_weights, interrupted, make_few_labels, make_setting

from toolbox.semi_supervised.few_labels import NONE
from toolbox.semi_supervised.self_training import label_the_sure, self_training


def test_faces_get_a_label_when_the_model_is_sure():
    labels = np.array([NONE, NONE, NONE, 4], np.int8)
    probabilities = np.array([[0.8, 0.2], [0.79, 0.21], [0.05, 0.95], [1.0, 0.0]])
    now = label_the_sure(labels, probabilities, 0.8)
    assert now.tolist() == [0, NONE, 1, 4]
    assert now.dtype == np.int8


def test_a_face_keeps_its_pseudo_label(tmp_path):
    setting = make_setting(tmp_path / "state.npz", updates=9)
    learned = self_training(make_few_labels(), setting, threshold=0.17, rounds=3)
    given = learned.pseudo_labels
    assert learned.updates.tolist() == [0, 3, 6]
    assert (given[0] == NONE).all()
    before = given[1] != NONE
    assert 0 < before.sum() < given.shape[1]
    assert (given[2][before] == given[1][before]).all()


def test_a_run_that_was_interrupted_within_a_round(tmp_path):
    data = make_few_labels()
    whole = self_training(data, make_setting(tmp_path / "whole.npz"), threshold=0.15, rounds=2)
    with pytest.raises(KeyboardInterrupt):
        setting = interrupted(make_setting(tmp_path / "state.npz"), update=4)
        self_training(data, setting, threshold=0.15, rounds=2)
    setting = make_setting(tmp_path / "state.npz")
    again = self_training(data, setting, threshold=0.15, rounds=2)
    assert [row["update"] for row in setting.loop.history] == [1, 2, 3, 4, 5, 6]
    assert_same_weights(again.model, whole.model)
    np.testing.assert_array_equal(again.pseudo_labels, whole.pseudo_labels)
    assert (again.pseudo_labels[1] != NONE).any()
