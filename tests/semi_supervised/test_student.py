import numpy as np
from small_task import make_setting

from toolbox.engine import keras, tf
from toolbox.semi_supervised.student import (
    Augmentation,
    Student,
    cross_entropy,
    draw,
    make_pool,
    predict,
)
from toolbox.training.augmentation import random_affine


def test_the_average_follows_the_weights(tmp_path):
    """After update t it has min(decay, (1 + t) / (10 + t)) of what it was."""
    student = Student(make_setting(tmp_path / "state.npz"))
    before = [variable.numpy() for variable in student.model.variables]
    for ours, theirs in zip(student.average.variables, before, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs)
    images = tf.random.stateless_uniform([8, 48, 48, 1], [0, 1], 0, 255)

    def loss(faces, targets) -> tuple:
        answers = student.model(faces, training=True)
        return keras.ops.mean(cross_entropy(targets, answers, 0.1)), ()

    student.step(loss)(0, (images, tf.one_hot(tf.range(8) % 7, 7)))
    moved = 0
    for mean, now, then in zip(
        student.average.variables, student.model.variables, before, strict=True
    ):
        np.testing.assert_allclose(mean.numpy(), 0.1 * then + 0.9 * now.numpy(), atol=1e-6)
        moved += np.any(now.numpy() != then)
    assert moved > 3


def test_augmentation_is_seeded_and_can_be_weak():
    images = tf.random.stateless_uniform([4, 48, 48, 1], [0, 1], 0, 255)
    seed = tf.constant([3, 4])
    weak, strong = Augmentation(0.1, 10, 0.1), Augmentation(0.1, 10, 0.1, contrast=0.4, erase=0.5)
    plain = random_affine(images, seed, 0.1, 10, 0.1, flip=True).numpy()
    np.testing.assert_array_equal(weak(images, seed), plain)
    changed = strong(images, seed).numpy()
    np.testing.assert_array_equal(changed, strong(images, seed))
    assert (changed != plain).mean() > 0.5 and changed.min() >= 0 and changed.max() <= 255


def test_draws_keep_faces_and_targets_together():
    images = np.arange(20, dtype=np.uint8)[:, None, None] * np.ones((1, 48, 48), np.uint8)
    faces, targets = draw(make_pool(images, np.arange(20) % 7, 7), 100, tf.constant([0, 1]))
    values = faces.numpy()[:, 0, 0, 0].astype(int)
    assert faces.shape == (100, 48, 48, 1) and len(set(values)) == 20
    assert targets.numpy().argmax(axis=1).tolist() == (values % 7).tolist()


def test_predict_is_the_same_in_any_number_of_batches(tmp_path):
    model = Student(make_setting(tmp_path / "state.npz")).model
    images = np.random.default_rng(0).integers(0, 256, (300, 48, 48), np.uint8)
    together = predict(model, images)
    assert together.shape == (300, 7)
    np.testing.assert_allclose(together[290:], predict(model, images[290:]), rtol=1e-5)
