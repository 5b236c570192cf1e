"""Which rows to train on, to hold out and to test on, and their fingerprint."""

import hashlib

import numpy as np

from toolbox.dataset.faces import USAGES, Faces
from toolbox.files import InputError
from toolbox.late import Late

model_selection = Late("sklearn.model_selection")


def rows_of_usage(faces: Faces, usage: str) -> np.ndarray:
    """Row numbers, int64 (m,), of one Usage; none where the file has no such column."""
    if faces.usage is None:
        return np.empty(0, np.int64)
    return np.flatnonzero(faces.usage == USAGES.index(usage))


def training_rows(faces: Faces) -> np.ndarray:
    """Row numbers of Usage Training, int64 (m,); all where the file has no such column."""
    if faces.usage is None:
        return np.arange(len(faces.images))
    return rows_of_usage(faces, "Training")


def other_split(faces: Faces) -> str:
    """A split that this CSV has, and that needs no record of a model."""
    return next((usage for usage in USAGES[1:] if len(rows_of_usage(faces, usage))), "all")


def first_copy(images: np.ndarray) -> np.ndarray:
    """For each image the position of the first one equal to it, int64 (n,)."""
    first: dict[bytes, int] = {}
    return np.array([first.setdefault(image.tobytes(), i) for i, image in enumerate(images)], int)


def without_pictures_of(faces: Faces, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Those of `rows` whose picture is none of the pictures in the rows `others`."""
    group = first_copy(faces.images)
    return rows[~np.isin(group[rows], group[others])]


def split(faces: Faces, validation_fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers to train on and to hold out, sorted, among Usage Training if there is a Usage.

    Pictures are split, not rows, for FER2013 has 1,236 copies among its Training rows: all copies
    of one are on one side. Stratified by label; `validation_fraction` of the pictures is held out,
    so about as many of the rows. With a fraction of 0 PublicTest is held out instead.
    Raises InputError for faces without labels, of one class, too few of a class, or without that
    PublicTest.
    """
    if faces.labels is None:
        raise InputError(f"{faces.path} has no labels; name a CSV with `emotion` or `label`")
    rows = training_rows(faces)
    if not len(rows):
        raise InputError(f"{faces.path} has no rows of Usage Training; name a CSV with some")
    if len(present := np.unique(faces.labels[rows])) < 2:
        only = faces.classes[present[0]]
        raise InputError(f"{faces.path} has one class to train on, {only}; name a CSV with two")
    if validation_fraction == 0:
        return _hold_out_publictest(faces)
    group = rows[first_copy(faces.images[rows])]
    pictures = np.unique(group)
    try:
        _, held_out = model_selection.train_test_split(
            pictures,
            test_size=validation_fraction,
            stratify=faces.labels[pictures],
            random_state=seed,
        )
    except ValueError:
        counts = np.bincount(faces.labels[pictures], minlength=len(faces.classes))
        fewest = np.where(counts, counts, counts.max() + 1).argmin()
        raise InputError(
            f"{faces.path}: cannot hold out {validation_fraction:g} of its {len(pictures):,} "
            f"training pictures, some of each class ({faces.classes[fewest]} has {counts[fewest]});"
            " name a CSV with more, or another --validation-fraction"
        ) from None
    in_validation = np.isin(group, held_out)
    return rows[~in_validation], rows[in_validation]


def _hold_out_publictest(faces: Faces) -> tuple[np.ndarray, np.ndarray]:
    """The protocol of most published results, less the Training rows with a picture of it."""
    held_out = rows_of_usage(faces, "PublicTest")
    if not len(held_out):
        raise InputError(
            f"{faces.path} has no rows of Usage PublicTest to validate on; give a "
            "--validation-fraction such as 0.1"
        )
    rows = without_pictures_of(faces, rows_of_usage(faces, "Training"), held_out)
    if not len(rows):
        raise InputError(f"{faces.path} has no rows of Usage Training beside PublicTest's")
    return rows, held_out


def tell_absent(faces: Faces, rows: np.ndarray, where: str, classes: tuple[str, ...]) -> None:
    """Print which of `classes`, the first of the data's, have no face in `rows`.

    where: what to call those rows.
    """
    counts = np.bincount(faces.labels[rows], minlength=len(classes))
    absent = [name for name, count in zip(classes, counts, strict=False) if not count]
    if absent:
        print(f"Note: no {where} face of {faces.path.name} is {' or '.join(absent)}")


def sha256_of_rows(faces: Faces, rows: np.ndarray) -> str:
    """SHA-256 of the pixels and labels of some rows: the same in whatever file they are."""
    return hashlib.sha256(faces.images[rows].tobytes() + faces.labels[rows].tobytes()).hexdigest()
