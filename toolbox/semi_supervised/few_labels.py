"""What a method of learning from few labels may see, what it gives back, and how right that is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from toolbox.dataset import splits
from toolbox.dataset.faces import Faces
from toolbox.engine import keras
from toolbox.files import InputError

NONE = -1  # among pseudo-labels: this face has none


class FewLabels(NamedTuple):
    """All that a method may see; no hidden label is part of it."""

    images: np.ndarray  # uint8 (n, 48, 48), the labelled faces
    labels: np.ndarray  # uint8 (n,), 0..classes - 1
    unlabelled: np.ndarray  # uint8 (m, 48, 48)
    classes: int


class Learned(NamedTuple):
    """A trained model, and the pseudo-labels that the unlabelled faces had after some updates."""

    model: keras.Model
    updates: np.ndarray  # int64 (k,)
    pseudo_labels: np.ndarray  # int8 (k, m), NONE or a label


def hide_labels(
    faces: Faces, rows: np.ndarray, labels_per_class: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows that keep their label, equally many of each class and no image twice; and all others.

    rows: int64 (n,); both results are sorted.
    Raises InputError if a class has too few images, or if no label is hidden.
    """
    images = rows[np.unique(splits.first_copy(faces.images[rows]))]
    random = np.random.default_rng([seed, 3])
    kept = []
    for label, name in enumerate(faces.classes):
        members = images[faces.labels[images] == label]
        if len(members) < labels_per_class:
            fewer = "give that many or fewer"
            absent = "write its labels as names, so that the classes are those that it has"
            raise InputError(
                f"--labels-per-class is {labels_per_class}, but {faces.path} has {len(members)} "
                f"images of {name} to train on; {fewer if len(members) else absent}"
            )
        kept.append(random.choice(members, labels_per_class, replace=False))
    labelled = np.sort(np.concatenate(kept))
    hidden = np.setdiff1d(rows, labelled)
    if not len(hidden):
        raise InputError(
            f"--labels-per-class {labels_per_class} keeps all labels of {faces.path}; give fewer"
        )
    return labelled, hidden


def pseudo_label_quality(learned: Learned, hidden_labels: np.ndarray) -> dict[str, list]:
    """Coverage and precision of the pseudo-labels (k, m), by the hidden labels (m,).

    Coverage is the fraction of the unlabelled faces that have a pseudo-label; precision is the
    fraction of those that are right, None where there are none.
    """
    given = learned.pseudo_labels != NONE
    right = learned.pseudo_labels == hidden_labels
    return {
        "updates": learned.updates.tolist(),
        "coverage": [round(float(row.mean()), 4) for row in given],
        "precision": [
            round(float(hits[row].mean()), 4) if row.any() else None
            for hits, row in zip(right, given, strict=True)
        ],
    }
