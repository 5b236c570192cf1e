"""What a training script feeds to `fit`: augmented batches, each epoch in an order of its own.

Nothing random is carried over from one epoch to the next: all of it follows from (seed, epoch), so
a resumed run sees the very batches that it would have seen.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from toolbox.dataset.faces import Faces
from toolbox.engine import keras, tf
from toolbox.training.augmentation import fold_in
from toolbox.training.devices import ONE, Devices

AT_A_TIME = 4  # batches in the making on JAX; a GPU takes them faster than one thread makes them


def training_batches(
    images: np.ndarray,
    targets: np.ndarray,
    batch_size: int,
    seed: int,
    epochs: range,
    augment=None,
    devices: Devices = ONE,
) -> tf.data.Dataset:
    """All batches of `epochs`, end to end: float32 (b, 48, 48, 1) in 0..255, targets (b, k).

    targets: probabilities of k classes, float32 (n, k); such as `one_hot` makes of labels.
    images uint8 (n, 48, 48) stay uint8 in memory; each batch is converted, and augmented by
    `augment(batch, seed)`, when it is needed. Order and augmentation depend on (seed, epoch) alone:
    of several processes each makes the same batch and feeds its share. The last batch of an epoch
    lacks the few rows that several devices cannot share evenly.
    """
    images, targets = tf.constant(images[..., np.newaxis]), tf.constant(targets)

    def rows_of(epoch: tf.Tensor) -> tf.data.Dataset:
        epoch_seed = fold_in([seed, 0], epoch)
        order = tf.random.experimental.stateless_shuffle(
            tf.range(len(targets)), fold_in(epoch_seed, 0)
        )
        order = order[: devices.whole(len(targets))]
        batches = tf.data.Dataset.from_tensor_slices(order).batch(batch_size).enumerate()
        return tf.data.Dataset.zip(tf.data.Dataset.from_tensors(epoch_seed).repeat(), batches)

    def batch(epoch_seed: tf.Tensor, numbered: tuple) -> tuple[tf.Tensor, tf.Tensor]:
        step, rows = numbered
        faces = tf.cast(tf.gather(images, rows), tf.float32)
        if augment is not None:
            faces = augment(faces, fold_in(epoch_seed, 1 + step))
        return devices.share(faces), devices.share(tf.gather(targets, rows))

    stream = tf.data.Dataset.range(epochs.start, epochs.stop).flat_map(rows_of)
    return made_ahead(stream, batch)


def made_ahead(data: tf.data.Dataset, batch: Callable) -> tf.data.Dataset:
    """`batch` of each element, made while the network still learns from the one before."""
    # Deterministic operations, as on the TensorFlow backend, run one after the other anyway.
    calls = AT_A_TIME if keras.backend.backend() == "jax" else None
    return without_autotune(data.map(batch, num_parallel_calls=calls).prefetch(2))


def one_hot(faces: Faces, rows: np.ndarray) -> np.ndarray:
    """Targets, float32 (m, k), of some rows' labels."""
    return np.eye(len(faces.classes), dtype=np.float32)[faces.labels[rows]]


def evaluation_batches(faces: Faces, rows: np.ndarray, devices: Devices = ONE) -> tf.data.Dataset:
    """The given rows in order: float32 (b, 48, 48, 1) in 0..255, one-hot (b, k).

    For several devices rows of weight 0, float32 (b,), fill up the last batch. Keras divides the
    loss by all rows, so that the others weigh a little more than 1.
    """
    count = len(rows)
    rows = np.append(rows, np.repeat(rows[:1], -count % devices.count))
    data = (faces.images[rows, ..., np.newaxis], one_hot(faces, rows))
    if devices.count > 1:
        data += (np.float32(len(rows) / count) * (np.arange(len(rows), dtype=np.int32) < count),)
    batches = tf.data.Dataset.from_tensor_slices(data).batch(devices.whole(255 + devices.count))

    def batch(images: tf.Tensor, *rest: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return tuple(devices.share(x) for x in (tf.cast(images, tf.float32), *rest))

    return without_autotune(batches.map(batch).prefetch(2))


def without_autotune(data: tf.data.Dataset) -> tf.data.Dataset:
    # At the end of an epoch `fit` waits for the autotuner's next wake-up, up to a minute later.
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.with_options(options)
