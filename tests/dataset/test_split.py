"""Copies of one picture are never on both sides; the split is seeded and stratified."""

import numpy as np
import pytest
from conftest import in_memory

import utils
from toolbox.dataset import splits
from utils import Faces, InputError


def faces_with_copies(count: int, copies: int, seed: int = 0) -> Faces:
    """Distinct faces, `copies` of them overwritten with earlier ones, some with another label."""
    faces, rng = in_memory(count, seed, usage=None), np.random.default_rng(seed)
    rows = rng.choice(np.arange(count // 2, count), copies, replace=False)
    faces.images[rows] = faces.images[rng.integers(0, count // 2, copies)]
    return faces


def sides(faces: Faces, seed: int = 0, fraction: float = 0.1):
    return splits.split(faces, fraction, seed)


@pytest.mark.parametrize("seed", range(5))
def test_no_picture_is_on_both_sides(seed):
    faces = faces_with_copies(1400, 400, seed)
    train, validation = sides(faces, seed)
    pictures = [{faces.images[row].tobytes() for row in rows} for rows in (train, validation)]
    assert not pictures[0] & pictures[1]
    assert sorted([*train, *validation]) == list(range(1400))
    assert len(validation) / 1400 == pytest.approx(0.1, abs=0.03)


def test_split_is_stratified_seeded_and_of_the_size_asked_for():
    faces = faces_with_copies(1400, 0)
    _, validation = sides(faces, seed=1, fraction=0.2)
    np.testing.assert_allclose(np.bincount(faces.labels[validation]), [40] * 7, atol=1)
    np.testing.assert_array_equal(sides(faces, seed=1, fraction=0.2)[1], validation)
    assert not np.array_equal(sides(faces, seed=2, fraction=0.2)[1], validation)


def test_only_training_rows_are_split():
    faces = in_memory(840)
    train, validation = sides(faces)
    assert sorted([*train, *validation]) == np.flatnonzero(faces.usage == 0).tolist()


def test_without_a_fraction_publictest_is_held_out_and_its_pictures_are_not_trained_on():
    faces = in_memory(840)
    images, usage = faces.images, faces.usage
    images[0], images[1] = images[usage == 1][0], images[usage == 2][0]  # both are Training rows
    train, validation = splits.split(faces, 0, seed=5)
    assert validation.tolist() == np.flatnonzero(usage == 1).tolist()
    assert train.tolist() == np.flatnonzero(usage == 0).tolist()[1:]  # row 0 shows one of them
    with pytest.raises(InputError, match="no rows of Usage PublicTest"):
        splits.split(faces._replace(usage=None), 0, seed=5)
    with pytest.raises(InputError, match="no rows of Usage Training"):
        splits.split(faces._replace(usage=np.ones_like(usage)), 0, seed=5)


ONE_DISGUSTED = np.where(np.arange(140) % 7 == 1, 0, np.arange(140) % 7)
ONE_DISGUSTED[0] = 1


@pytest.mark.parametrize(
    ("changes", "fraction", "told"),
    [
        ({"labels": None}, 0.1, "has no labels"),
        ({"labels": ONE_DISGUSTED}, 0.1, r"some of each class \(Disgust has 1"),
        ({"labels": np.full(140, 3)}, 0.1, "has one class to train on, Happy"),
        ({"usage": np.ones(140, np.uint8)}, 0.1, "has no rows of Usage Training"),
        ({}, 1.5, "cannot hold out 1.5"),
    ],
)
def test_what_cannot_be_split_is_refused(changes, fraction, told):
    with pytest.raises(InputError, match=f"memory.*{told}"):
        sides(in_memory(140, **changes), fraction=fraction)


@pytest.mark.real_data
def test_real_faces():
    faces = utils.load_faces(utils.FER2013)
    train, validation = sides(faces)
    assert len(train) + len(validation) == 28_709
    assert len(validation) == pytest.approx(2_871, abs=60)
    group = splits.first_copy(faces.images)
    assert not set(group[train]) & set(group[validation])
    train, validation = splits.split(faces, 0, seed=0)
    assert len(validation) == 3_589 and 28_000 < len(train) < 28_709
    assert not set(group[train]) & set(group[validation])
