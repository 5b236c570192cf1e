import numpy as np
import pytest
from small_task import assert_same_weights, interrupted, make_few_labels, make_setting, untrained

from toolbox.engine import tf
from toolbox.semi_supervised.noisy_student import mixup, noisy_student


def test_faces_and_targets_are_mixed_in_the_same_share():
    """Face i is i everywhere, and so is its target: each mixture must be so too."""
    values = tf.range(8, dtype=tf.float32)[:, tf.newaxis]
    faces = values[:, :, tf.newaxis, tf.newaxis] * tf.ones((1, 48, 48, 1))
    mixed, targets = mixup(faces, values, tf.constant([0, 1]))
    targets = targets.numpy()
    np.testing.assert_allclose(mixed[:, 0, 0], targets, rtol=1e-6)
    others = np.arange(1, 8)  # the first is mixed with the last
    assert ((others - 1 < targets[1:, 0]) & (targets[1:, 0] < others)).all()


def test_an_interrupted_run_ends_as_it_would_have(tmp_path):
    data, teacher = make_few_labels(), untrained()
    whole = noisy_student(data, make_setting(tmp_path / "whole.npz"), teacher, 2)
    with pytest.raises(KeyboardInterrupt):
        noisy_student(data, interrupted(make_setting(tmp_path / "state.npz"), 3), teacher, 2)
    again = noisy_student(data, make_setting(tmp_path / "state.npz"), teacher, 2)
    assert_same_weights(again.model, whole.model)
