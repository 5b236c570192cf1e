"""The student that every method trains: a network, its optimizer, and the average of its weights.

Nothing random is carried over from one update to the next: batches and augmentation follow from
(seed, update) alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from toolbox.engine import keras, ops, tf
from toolbox.semi_supervised.few_labels import NONE, FewLabels
from toolbox.semi_supervised.loop import Loop
from toolbox.semi_supervised.steps import make_step
from toolbox.training.augmentation import (
    fold_in,
    random_affine,
    random_blur,
    random_contrast,
    random_erasing,
)
from toolbox.training.run_records import bare_model

Augment = Callable[["tf.Tensor", "tf.Tensor"], "tf.Tensor"]  # of images and a seed


@dataclass(frozen=True)
class Augmentation:
    """A random change of each face, half of them mirrored."""

    shift: float  # largest, as a fraction of the image size
    rotation: float  # largest, degrees
    zoom: float  # largest change of height and of width
    contrast: float = 0.0  # largest change of contrast and of brightness
    erase: float = 0.0  # side of a grey square in half of the faces, as a fraction of the face
    blur: float = 0.0  # sigma of a Gaussian blur of half of the faces, pixels

    def __call__(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """float32 (n, 48, 48, 1), 0..255 -> the same shape and range."""
        images = random_affine(images, seed, self.shift, self.rotation, self.zoom, flip=True)
        if self.contrast:
            images = random_contrast(images, fold_in(seed, 1), self.contrast)
        if self.blur:
            images = random_blur(images, fold_in(seed, 3), self.blur)
        if self.erase:
            images = random_erasing(images, fold_in(seed, 2), self.erase)
        return images


WEAK = Augmentation(shift=0.08, rotation=10.0, zoom=0.1)


@dataclass(frozen=True)
class Setting:
    """What all methods have in common, so that they can be compared."""

    build: Callable[[], tuple[keras.Model, keras.optimizers.Optimizer]]
    """a new network, from faces (n, 48, 48, 1) to probabilities (n, k), and its optimizer"""
    loop: Loop
    """makes the updates"""
    batch_size: int
    """faces with labels or pseudo-labels per update"""
    seed: int
    weak: Augment = WEAK
    """of each face that is shown"""
    label_smoothing: float = 0.1
    """fraction of each target that is spread over all classes"""
    ema_decay: float = 0.99
    """of running means, such as the average of the weights"""

    @property
    def updates(self) -> int:
        return self.loop.updates


class Student:
    """A network in training, and the running average of its weights, which is the result."""

    def __init__(self, setting: Setting):
        """The same weights for each method: they follow from the seed."""
        keras.utils.set_random_seed(setting.seed)
        self.model, self.optimizer = setting.build()
        self.average = keras.models.clone_model(self.model)
        self.average.set_weights(self.model.get_weights())
        self.ema_decay = setting.ema_decay

    def variables(self) -> list:
        """All that an update changes."""
        return [*self.model.variables, *self.optimizer.variables, *self.average.variables]

    def step(self, loss: Callable[..., tuple], *others: keras.Variable) -> Callable:
        """`make_step` of the model's variables and their average; others: what `loss` changes."""
        changed = [*self.model.non_trainable_variables, *self.average.variables, *others]
        trained = self.model.trainable_variables
        return make_step(loss, self.optimizer, trained, changed, self.follow)

    def follow(self, update: int) -> None:
        """Move the average towards the weights; at first it follows closely: A. Tarvainen, H.
        Valpola, "Mean teachers are better role models" (2017).
        """
        update = ops.cast(update, "float32")
        decay = ops.minimum(self.ema_decay, (1 + update) / (10 + update))
        for mean, now in zip(self.average.variables, self.model.variables, strict=True):
            mean.assign(decay * mean + (1 - decay) * now)

    def finished(self) -> keras.Model:
        """The average, in float32."""
        return bare_model(self.average)


class Pool(NamedTuple):
    """Faces to draw from, with their targets."""

    images: tf.Tensor  # uint8 (n, 48, 48, 1)
    targets: tf.Tensor  # float32 (n, k), one-hot


def make_pool(images: np.ndarray, labels: np.ndarray, classes: int) -> Pool:
    """images uint8 (n, 48, 48), labels (n,) in 0..classes - 1."""
    return Pool(tf.constant(images[..., np.newaxis]), tf.one_hot(labels, classes))


def make_pools(data: FewLabels, pseudo_labels: np.ndarray) -> list[Pool]:
    """The labelled faces, and those with a pseudo-label, int8 (m,), if there are any."""
    pools, chosen = [make_pool(data.images, data.labels, data.classes)], pseudo_labels != NONE
    if chosen.any():
        pools.append(make_pool(data.unlabelled[chosen], pseudo_labels[chosen], data.classes))
    return pools


def draw(pool: Pool, count: int, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """`count` faces of a pool, with replacement, float32 (count, 48, 48, 1), and their targets."""
    rows = random_rows(tf.shape(pool.images)[0], count, seed)
    return tf.cast(tf.gather(pool.images, rows), tf.float32), tf.gather(pool.targets, rows)


def random_rows(total, count: int, seed: tf.Tensor) -> tf.Tensor:
    """int32 (count,) in 0..total - 1, with replacement."""
    return tf.random.stateless_uniform([count], seed, 0, total, tf.int32)


def cross_entropy(targets, answers, label_smoothing: float):
    """Of each face, (n,); targets and answers are probabilities, (n, k)."""
    return keras.losses.categorical_crossentropy(targets, answers, label_smoothing=label_smoothing)


def last_dense(model: keras.Model) -> keras.Layer:
    """The layer whose outputs stand for the classes."""
    return [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)][-1]


def predict(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """float64 (n, outputs) for uint8 (n, 48, 48)."""
    return model.predict(images[..., np.newaxis], batch_size=256, verbose=0).astype(float)
