"""Batches follow from (seed, epoch) alone."""

import numpy as np
from conftest import in_memory, make_faces

from toolbox.training import augmentation, batches

IMAGES, LABELS, _ = make_faces(70)
TARGETS = np.eye(7, dtype=np.float32)[LABELS]


def epochs_of(seed: int, epochs: range, augment=None) -> list[tuple[np.ndarray, np.ndarray]]:
    data = batches.training_batches(IMAGES, TARGETS, 32, seed, epochs, augment)
    return [(faces.numpy(), target.numpy()) for faces, target in data]


def jitter(faces, seed):
    return augmentation.random_affine(faces, seed, shift=0.2, rotation=20, zoom=0.2, flip=True)


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


def test_a_resumed_run_sees_the_batches_it_would_have_seen():
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


def test_evaluation_batches_keep_the_rows_order():
    rows = np.array([5, 3, 60])
    [(images, target)] = list(batches.evaluation_batches(in_memory(70), rows))
    np.testing.assert_array_equal(images[..., 0], IMAGES[rows])
    np.testing.assert_array_equal(target.numpy().argmax(axis=1), LABELS[rows])
