"""Batches follow from (seed, epoch); the augmentation agrees with SciPy's resampling."""

import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
from conftest import make_faces

import batches
from utils import Faces

IMAGES, LABELS, _ = make_faces(70)
SEED = tf.constant([3, 4])


def epochs_of(seed: int, epochs: range, augment=None) -> list[tuple[np.ndarray, np.ndarray]]:
    data = batches.training_batches(IMAGES, LABELS, 32, seed, epochs, augment)
    return [(faces.numpy(), target.numpy()) for faces, target in data]


def jitter(faces, seed):
    return batches.random_affine(faces, seed, shift=0.2, rotation=20, zoom=0.2, flip=True)


def test_an_epoch_shows_every_face_once_with_its_label():
    seen = epochs_of(0, range(1))
    assert [len(faces) for faces, _ in seen] == [32, 32, 6]
    faces = np.concatenate([faces for faces, _ in seen])
    labels = np.concatenate([target for _, target in seen]).argmax(axis=1)
    assert faces.dtype == np.float32 and faces.shape == (70, 48, 48, 1)
    by_content = {image.tobytes(): label for image, label in zip(IMAGES, LABELS, strict=True)}
    found = [by_content.pop(face[..., 0].astype(np.uint8).tobytes()) for face in faces]
    np.testing.assert_array_equal(found, labels)
    assert not by_content


def test_a_run_that_goes_on_sees_the_batches_it_would_have_seen():
    whole = epochs_of(5, range(4), jitter)
    rest = epochs_of(5, range(2, 4), jitter)
    assert len(whole) == 12 and len(rest) == 6
    for (faces, target), (again, target_again) in zip(whole[6:], rest, strict=True):
        np.testing.assert_array_equal(faces, again)
        np.testing.assert_array_equal(target, target_again)


def test_epochs_and_seeds_differ():
    first, second = epochs_of(0, range(2))[0], epochs_of(0, range(2))[3]
    other = epochs_of(1, range(1))[0]
    assert not np.array_equal(first[1], second[1])
    assert not np.array_equal(first[1], other[1])


def test_autotune_is_off():
    faces = Faces("memory", "", IMAGES, LABELS, None, False)
    for data in (
        batches.training_batches(IMAGES, LABELS, 32, 0, range(1)),
        batches.evaluation_batches(faces, np.arange(9)),
    ):
        assert data.options().autotune.enabled is False


def test_evaluation_batches_keep_the_rows_order():
    faces = Faces("memory", "", IMAGES, LABELS, None, False)
    rows = np.array([5, 3, 60])
    [(images, target)] = list(batches.evaluation_batches(faces, rows))
    np.testing.assert_array_equal(images[..., 0], IMAGES[rows])
    np.testing.assert_array_equal(target.numpy().argmax(axis=1), LABELS[rows])


def test_affine_agrees_with_scipy():
    shape = tf.constant([70, 48, 48, 1])
    settings = dict(shift=0.5, rotation=40.0, zoom=0.2, flip=True)
    smooth = scipy.ndimage.gaussian_filter(IMAGES.astype(np.float32), (0, 2, 2))
    ours = batches.random_affine(tf.constant(smooth[..., None]), SEED, **settings)[..., 0].numpy()
    transforms = batches.affine_transforms(shape, SEED, **settings).numpy()
    for image, result, (xx, xy, x, yx, yy, y, _, _) in zip(smooth, ours, transforms, strict=True):
        matrix, offset = np.array([[yy, yx], [xy, xx]]), (y, x)  # SciPy counts rows first
        expected = scipy.ndimage.affine_transform(image, matrix, offset, order=1, mode="nearest")
        np.testing.assert_allclose(result, expected, atol=0.05)


def test_affine_is_the_reports_distribution():
    """Taken apart again: turn, zoom, mirror and shift lie where ImageDataGenerator's would."""
    shape = tf.constant([20_000, 48, 48, 1])
    t = batches.affine_transforms(shape, SEED, 0.5, 40.0, 0.2, True).numpy().astype(float)
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


def test_known_transforms():
    image = tf.constant(IMAGES[:1, ..., None].astype(np.float32))
    still = batches.random_affine(image, SEED, 0.0, 0.0, 0.0, False)
    np.testing.assert_allclose(still, image, atol=1e-3)
    many = tf.repeat(image, 40, axis=0)
    mirrored = batches.random_affine(many, SEED, 0.0, 0.0, 0.0, True).numpy()
    plain = [np.allclose(face, image[0], atol=1e-2) for face in mirrored]
    flipped = [np.allclose(face, image[0, :, ::-1], atol=1e-2) for face in mirrored]
    assert np.logical_xor(plain, flipped).all()
    assert 8 < sum(plain) < 32


def test_erasing_greys_one_square_in_every_other_face():
    noise = np.random.default_rng(0).uniform(0, 255, (2000, 48, 48, 1)).astype(np.float32)
    erased = batches.random_erasing(tf.constant(noise), SEED, 0.25).numpy()
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
    np.testing.assert_array_equal(batches.random_erasing(noise, SEED, 0.0), noise)
