"""Activation maximisation: the picture that a filter answers most, made and found among faces.

A filter's value at a place is what the nonlinearity will see: what the convolution gives, after the
batch norm if one follows, before any activation. Pictures are made by gradient ascent on that value
at the middle of the layer's map (D. Erhan et al. 2009), for all filters in one batch. Free pixels
climb into noise; so by default the ascent runs on a picture's Fourier coefficients, scaled as the
spectrum of natural pictures is, and each step sees the picture moved a little (C. Olah et al.,
"Feature visualization", Distill 2017).
"""

from typing import NamedTuple

import numpy as np

import utils
import classifier as classifiers
from utils import SIDE
from batches import random_affine
from filter_layers import FilterLayer

with utils.quiet_stderr():
    import keras
    import tensorflow as tf


class Ascent(NamedTuple):
    """Snapshots of the ascent; the first is the seeded noise that it starts from."""

    steps: list[int]
    faces: np.ndarray  # float32 (snapshots, filters, 48, 48), 0..255
    values: np.ndarray  # float32 (snapshots, filters), of the picture as it is, not moved

    def best(self) -> np.ndarray:
        """The snapshot of each filter's highest value, int (filters,)."""
        return self.values.argmax(axis=0)


def value_function(classifier: classifiers.Classifier, target: FilterLayer, filters: np.ndarray):
    """Faces (n, 48, 48) of 0..255 to the value of filter i at the middle of face i, (n,)."""
    y, x = target.middle

    def value(faces: tf.Tensor) -> tf.Tensor:
        with classifiers.observed([target.seen], before_activation=True) as kept:
            classifier.model(classifiers.prepare(classifier, faces), training=False)
        return tf.gather(kept[target.seen][:, y, x], filters, axis=1, batch_dims=1)

    return value


def spectrum_scale() -> np.ndarray:
    """The size of natural pictures' Fourier coefficients, one over the frequency, (48, 25)."""
    vertical, horizontal = np.fft.fftfreq(SIDE), np.fft.rfftfreq(SIDE)
    frequency = np.hypot(vertical[:, None], horizontal)
    return (SIDE / np.maximum(frequency, 1 / SIDE) / 4).astype(np.float32)


def snapshot_steps(steps: int) -> list[int]:
    """0, 1, 4, 16 … and the last."""
    return [0, *(4**i for i in range(20) if 4**i < steps), steps]


def ascend(
    classifier: classifiers.Classifier,
    target: FilterLayer,
    filters: np.ndarray,
    steps: int,
    rate: float,
    move: dict,
    plain: bool,
    seed: int,
    verbose: int = 0,
) -> Ascent:
    """Pictures that raise the value of each of `filters`, int (n,), all in one compiled step.

    move: `shift`, `rotation` and `zoom` as `batches.random_affine` takes them. With `plain` the
    pixels themselves climb, by `rate` times 255 along each picture's gradient of unit mean square,
    and nothing moves; else Adam climbs with `rate` in the Fourier coefficients.
    """
    noise = tf.random.stateless_normal([len(filters), 2, SIDE, SIDE // 2 + 1], [seed, 0])
    pixels = 127.5 + 25 * tf.random.stateless_normal([len(filters), SIDE, SIDE], [seed, 0])
    parameters = keras.Variable(tf.clip_by_value(pixels, 0, 255) if plain else 0.05 * noise)
    optimizer, scale = keras.optimizers.Adam(rate), spectrum_scale()
    optimizer.build([parameters])
    value = value_function(classifier, target, filters)

    def picture() -> tf.Tensor:
        if plain:
            return parameters.value
        spectrum = tf.complex(parameters.value[:, 0], parameters.value[:, 1]) * scale
        return 255 * tf.sigmoid(tf.signal.irfft2d(spectrum))

    @tf.function
    def climb(step: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(parameters.value)
            faces = picture()
            if not plain:
                faces = random_affine(faces[..., None], [seed, step], **move, flip=False)[..., 0]
            total = tf.reduce_sum(value(faces))
        gradient = tape.gradient(total, parameters.value)
        if plain:
            size = tf.sqrt(tf.reduce_mean(gradient**2, axis=(1, 2), keepdims=True))
            higher = parameters.value + rate * 255 * tf.math.divide_no_nan(gradient, size)
            parameters.assign(tf.clip_by_value(higher, 0, 255))
        else:
            optimizer.apply([-gradient], [parameters])
        return total / len(filters)

    @tf.function
    def look() -> tuple[tf.Tensor, tf.Tensor]:
        faces = picture()
        return faces, value(faces)

    kept = snapshot_steps(steps)
    faces, values = [], []
    progress = keras.utils.Progbar(steps, verbose=verbose, stateful_metrics=["mean value"])
    for step in range(steps + 1):
        if step in kept:
            face, reached = look()
            faces.append(face.numpy())
            values.append(reached.numpy())
        if step < steps:
            reached = climb(tf.constant(step + 1))
            progress.update(step + 1, [("mean value", reached)])
    return Ascent(kept, np.stack(faces), np.stack(values))


def untrained(classifier: classifiers.Classifier, seed: int) -> classifiers.Classifier:
    """The control: the same network with the weights that it began with, or others like them."""
    keras.utils.set_random_seed(seed)
    return classifier._replace(model=keras.models.clone_model(classifier.model))


# Finding it among real faces


class Strongest(NamedTuple):
    """The highest value of each filter over all places of each face."""

    values: np.ndarray  # float32 (faces, filters)
    places: np.ndarray  # int64 (faces, filters), row * width + column in the layer's map

    def is_dead(self, rectified: bool) -> np.ndarray:
        """Filters that tell no face from another, bool (filters,): constant, or never above 0
        where a ReLU follows."""
        constant = np.ptp(self.values, axis=0) < 1e-6
        return constant | (rectified & (self.values <= 0).all(axis=0))


def strongest(
    classifier: classifiers.Classifier, targets: list[FilterLayer], images: np.ndarray
) -> dict[str, Strongest]:
    """For each layer, where in each face its filters answer most; one pass over the faces."""
    seen = [target.seen for target in targets]

    @tf.function(input_signature=[tf.TensorSpec((None, SIDE, SIDE), tf.uint8)])
    def look(faces: tf.Tensor) -> list:
        with classifiers.observed(seen, before_activation=True) as kept:
            classifier.model(classifiers.prepare(classifier, faces), training=False)
        maps = [tf.reshape(kept[s], (tf.shape(faces)[0], -1, kept[s].shape[-1])) for s in seen]
        return [(tf.reduce_max(m, axis=1), tf.argmax(m, axis=1)) for m in maps]

    parts = [look(images[i : i + 128]) for i in range(0, len(images), 128)]
    return {
        target.name: Strongest(*(np.concatenate(p) for p in zip(*layer, strict=True)))
        for target, layer in zip(targets, zip(*parts, strict=True), strict=True)
    }


def responses(
    classifier: classifiers.Classifier, target: FilterLayer, image: np.ndarray
) -> np.ndarray:
    """What every filter of a layer gives for one face (48, 48): float32 (filters, h, w)."""
    with classifiers.observed([target.seen], before_activation=True) as kept:
        classifier.model(classifiers.prepare(classifier, image[np.newaxis]), training=False)
    return np.moveaxis(np.asarray(kept[target.seen])[0], -1, 0)
