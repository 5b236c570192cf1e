"""Which faces an analysis looks at."""

import numpy as np
import pandas as pd

from toolbox.dataset.faces import Faces
from toolbox.files import InputError

MOST_ROWS = 30  # of those that a user names: their numbers are in the names of files


def given_rows(rows: tuple[int, ...], faces: Faces) -> np.ndarray:
    """The rows that a user names. Raises InputError if there is no such row, or for too many."""
    last = len(faces.images) - 1
    if len(rows) > MOST_ROWS or not all(0 <= row <= last for row in rows):
        raise InputError(f"--rows takes up to {MOST_ROWS} rows of {faces.path}: 0 to {last}")
    return np.array(rows)


def balanced_sample(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Positions of `count` faces in random order, the classes taking turns while they last."""
    order = np.random.default_rng(seed).permutation(len(labels))
    turn = pd.Series(labels[order]).groupby(labels[order]).cumcount()  # 0 for each class's first
    return order[np.argsort(turn, kind="stable")[:count]]


def one_per_class(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """The position of the first correctly classified face of each class, or else of its first."""
    chosen = []
    for label in np.unique(labels):
        found = np.flatnonzero(labels == label)
        right = found[predicted[found] == label]
        chosen.append((right if len(right) else found)[0])
    return np.array(chosen)
