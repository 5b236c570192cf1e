"""The pseudo-labels of a method that gives new ones in each update, kept now and then."""

from __future__ import annotations

import math

import numpy as np

from toolbox.engine import keras, tf
from toolbox.semi_supervised.few_labels import NONE, Learned

SNAPSHOTS = 20  # per run


class Snapshots:
    """The latest pseudo-label of each unlabelled face, and what they were during the run."""

    def __init__(self, faces: int, updates: int):
        self.updates = updates
        self.every = math.ceil(updates / SNAPSHOTS)
        self.latest = tf.Variable(np.full(faces, NONE, np.int8))
        self.taken = tf.Variable(np.full((SNAPSHOTS, faces), NONE, np.int8))

    def variables(self) -> list[tf.Variable]:
        return [self.latest, self.taken]

    def note(self, rows, labels, mask) -> None:
        """Faces in `rows` (n,) now have pseudo-labels `labels` (n,) where `mask` (n,) is true."""
        given = np.where(mask, labels, NONE).astype(np.int8)
        self.latest.scatter_nd_update(np.asarray(rows)[:, np.newaxis], given)

    def take(self, update: int) -> None:
        """Keep the latest, if it is time after update number `update`."""
        if (update + 1) % self.every == 0 or update + 1 == self.updates:
            self.taken[update // self.every].assign(self.latest)

    def learned(self, model: keras.Model) -> Learned:
        """What the method returns."""
        ends = np.minimum(np.arange(1, SNAPSHOTS + 1) * self.every, self.updates)
        ends, first = np.unique(ends, return_index=True)
        return Learned(model, ends, self.taken.numpy()[first])
