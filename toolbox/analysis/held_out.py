"""Which faces a saved model has seen in training: found again in a CSV by their content."""

from typing import NamedTuple

import numpy as np

from toolbox.analysis.saved_models import Classifier
from toolbox.dataset import splits
from toolbox.dataset.faces import Faces
from toolbox.dataset.splits import other_split
from toolbox.files import InputError


class KnownRows(NamedTuple):
    """What is known of a model's rows in one CSV. Compute it once per run and model."""

    held_out: np.ndarray | None  # int64 (m,), row numbers; None if that cannot be known
    trained_on: np.ndarray | None  # bool (n,): rows with an image it was trained on; None likewise
    unknown: str  # why something is None


def find_rows(faces: Faces, classifier: Classifier, first_copies: np.ndarray) -> KnownRows:
    """The rows that the model held out, and all that show an image it was trained on.

    first_copies: of `splits.first_copy(faces.images)`.
    """
    if classifier.record is None:
        return KnownRows(None, None, classifier.unknown)
    if faces.labels is None:
        return KnownRows(None, None, f"{faces.path.name} has no labels")
    split = classifier.record["split"]
    held_out = as_rows(split["validation_rows"], len(faces.images))
    if held_out is not None and not len(held_out):
        return KnownRows(None, None, "its record lists no row that it held out")
    if held_out is None or splits.sha256_of_rows(faces, held_out) != split["validation_sha256"]:
        return KnownRows(None, None, "it was trained on other faces")
    for candidates in (splits.rows_of_usage(faces, "Training"), np.arange(len(faces.images))):
        rows = candidates[~np.isin(first_copies[candidates], first_copies[held_out])]
        if splits.sha256_of_rows(faces, rows) == split["training_sha256"]:
            return KnownRows(held_out, np.isin(first_copies, first_copies[rows]), "")
    return KnownRows(held_out, None, "not all of its training rows are in this file")


def as_rows(numbers, count: int) -> np.ndarray | None:
    """Row numbers of a record, int64 (m,); None if that is no list of rows among `count`."""
    try:
        rows = np.array(numbers)
    except (ValueError, OverflowError):
        return None
    if rows.size == 0 and rows.ndim == 1:
        return rows.astype(np.int64)
    if rows.ndim != 1 or rows.dtype.kind != "i" or rows.min() < 0 or rows.max() >= count:
        return None
    return rows


def rows_of_split(split: str, faces: Faces, classifier: Classifier, known: KnownRows) -> np.ndarray:
    """Row numbers of `split`, as --split names it; `validation` are those this model held out.

    Raises InputError for a split without rows, or if it cannot be known what was held out.
    """
    if split == "all":
        return np.arange(len(faces.images))
    if split != "validation":
        rows = splits.rows_of_usage(faces, split)
        if not len(rows):
            raise InputError(
                f"{faces.path} has no rows of Usage {split}; use --split {other_split(faces)}"
            )
        return rows
    if known.held_out is None:
        raise InputError(cannot_know(faces, classifier, known))
    return known.held_out


def cannot_know(faces: Faces, classifier: Classifier, known: KnownRows) -> str:
    """Why `--split validation` has no answer, and what to do."""
    return (
        f"{classifier.name} has no validation rows in {faces.path}: {known.unknown}; "
        f"use --split {other_split(faces)}"
    )
