"""The augmentation has the homework's distribution, and agrees with SciPy's resampling."""

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from conftest import make_faces

from toolbox.training import augmentation

IMAGES = make_faces(70)[0]
SEED = tf.constant([3, 4])


def test_affine_agrees_with_scipy():
    shape = tf.constant([70, 48, 48, 1])
    settings = dict(shift=0.5, rotation=40.0, zoom=0.2, flip=True)
    smooth = scipy.ndimage.gaussian_filter(IMAGES.astype(np.float32), (0, 2, 2))
    ours = augmentation.random_affine(tf.constant(smooth[..., None]), SEED, **settings)[
        ..., 0
    ].numpy()
    transforms = augmentation.affine_transforms(shape, SEED, **settings).numpy()
    for image, result, (xx, xy, x, yx, yy, y, _, _) in zip(smooth, ours, transforms, strict=True):
        matrix, offset = np.array([[yy, yx], [xy, xx]]), (y, x)  # SciPy counts rows first
        expected = scipy.ndimage.affine_transform(image, matrix, offset, order=1, mode="nearest")
        np.testing.assert_allclose(result, expected, atol=0.05)


def test_affine_has_the_homeworks_distribution():
    """Taken apart again: rotation, zoom, mirror and shift are as ImageDataGenerator's."""
    shape = tf.constant([20_000, 48, 48, 1])
    t = augmentation.affine_transforms(shape, SEED, 0.5, 40.0, 0.2, True).numpy().astype(float)
    linear = t[:, [0, 1, 3, 4]].reshape(-1, 2, 2)
    mirrored = np.linalg.det(linear) < 0
    assert mirrored.mean() == pytest.approx(0.5, abs=0.02)
    angle = np.degrees(np.arctan2(-linear[:, 0, 1], linear[:, 1, 1]))
    zoom = np.linalg.norm(linear, axis=1)  # the columns' lengths: x, y
    centre = np.einsum("nij,j->ni", linear, [23.5, 23.5]) + t[:, [2, 5]] - 23.5
    turned_back = np.radians(-angle)
    cos, sin = np.cos(turned_back), np.sin(turned_back)
    shift = np.stack([cos * centre[:, 0] - sin * centre[:, 1],
                      sin * centre[:, 0] + cos * centre[:, 1]])  # fmt: skip
    for values, limit in ((angle, 40), (zoom - 1, 0.2), (shift, 24)):
        assert np.abs(values).max() <= limit * 1.001
        assert np.std(values) == pytest.approx(limit / np.sqrt(3), rel=0.03)  # uniform
        assert np.mean(values) == pytest.approx(0, abs=limit * 0.03)
    assert np.corrcoef(zoom.T)[0, 1] == pytest.approx(0, abs=0.03)  # independent


def test_erasing_greys_one_square_in_half_of_the_faces():
    noise = np.random.default_rng(0).uniform(0, 255, (2000, 48, 48, 1)).astype(np.float32)
    erased = augmentation.random_erasing(tf.constant(noise), SEED, 0.25).numpy()
    changed = (erased != noise)[..., 0]
    assert np.mean(changed.any(axis=(1, 2))) == pytest.approx(0.5, abs=0.05)
    assert changed.sum(axis=(1, 2)).max() == 12 * 12
    for face, hit, before in zip(erased[:100], changed, noise, strict=False):
        if hit.any():
            rows, columns = np.flatnonzero(hit.any(axis=1)), np.flatnonzero(hit.any(axis=0))
            assert hit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()  # a rectangle
            np.testing.assert_allclose(face[hit], before.mean(), rtol=1e-4)
    share = changed.mean(axis=0)  # cut at the border, but anywhere else alike
    assert share[12:36, 12:36].min() == pytest.approx(0.5 * (12 / 48) ** 2, abs=0.02)
    np.testing.assert_array_equal(augmentation.random_erasing(noise, SEED, 0.0), noise)


def test_contrast_keeps_the_range_and_leaves_mid_grey_without_brightness():
    images = tf.random.stateless_uniform((50, 8, 8, 1), SEED, 0.0, 255.0)
    changed = augmentation.random_contrast(images, SEED, 0.5).numpy()
    assert changed.min() >= 0 and changed.max() <= 255
    inside = (changed > 0) & (changed < 255)
    for before, after, kept in zip(images.numpy(), changed, inside, strict=True):
        slope, offset = np.polyfit(before[kept], after[kept], 1)  # linear where nothing is clipped
        np.testing.assert_allclose(after[kept], slope * before[kept] + offset, atol=0.01)
        assert 0.5 <= slope <= 1.5
    np.testing.assert_allclose(augmentation.random_contrast(images, SEED, 0.0), images, atol=1e-4)


def test_blur_agrees_with_scipy_and_spares_half_of_the_faces():
    images = IMAGES.astype(np.float32)
    ours = augmentation.random_blur(tf.constant(images[..., None]), SEED, 1.2).numpy()[..., 0]
    blurred = scipy.ndimage.gaussian_filter(images, (0, 1.2, 1.2), radius=(0, 3, 3))
    shares = [
        np.vdot(after - before, blur - before) / np.vdot(blur - before, blur - before)
        for after, before, blur in zip(ours, images, blurred, strict=True)
    ]
    assert 0.3 < np.mean(np.isclose(shares, 0)) < 0.7 and 0.8 < max(shares) < 1.01
    expected = images + np.reshape(shares, (-1, 1, 1)) * (blurred - images)
    np.testing.assert_allclose(ours, expected, atol=0.05)
