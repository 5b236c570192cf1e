"""Activation maximization: images that maximally activate a filter, synthesized and found.

A filter's activation at a place is what its nonlinearity is given: the convolution's output, after
the batch norm if one follows. Images are synthesized by gradient ascent on the activation in the
middle of the map (D. Erhan et al., "Visualizing higher-layer features of a deep network", 2009),
for many filters in one batch. Free pixels climb into noise; so by default the ascent is in an
image's Fourier coefficients, scaled like the spectrum of natural images, and each step sees the
image slightly shifted, rotated and zoomed (C. Olah et al., "Feature visualization", Distill 2017).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from toolbox.analysis.filter_layers import FilterLayer, choose_layers
from toolbox.analysis.frozen import freeze
from toolbox.analysis.model_layers import record_activations
from toolbox.analysis.predictions import prepare
from toolbox.analysis.saved_models import Classifier
from toolbox.dataset.faces import SIDE
from toolbox.engine import keras, tf
from toolbox.progress import Progress
from toolbox.training.augmentation import random_affine

BATCH = 64  # filters or faces at a time; larger batches are no faster, and need more memory
NOISE = 0.05  # of the Fourier coefficients at the start, standard deviation
PIXEL_NOISE = 25  # of free pixels at the start, standard deviation around mid-grey
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-7  # of Adam


@dataclass(frozen=True)
class AscentSettings:
    """Hyperparameters of the ascent."""

    steps: int = 64
    rate: float = 0.05  # Adam's learning rate; for `plain` a step as a fraction of 0..255
    shift: float = 0.04  # largest random shift per step, as a fraction of the receptive field
    rotation: float = 6.0  # largest random rotation per step, degrees
    zoom: float = 0.06  # largest random change of scale per step, as a fraction
    plain: bool = False  # free pixels, without random moves
    seed: int = 0  # of the initial noise and the random moves


class Climber(NamedTuple):
    """A layer whose filters are to be activated."""

    classifier: Classifier  # measures what the ascent reaches, in float32
    target: FilterLayer
    frozen: Classifier  # a copy that is faster; makes the steps
    same: FilterLayer  # in the copy


class Ascent(NamedTuple):
    """Snapshots of the ascent; the first is the seeded noise that it starts from."""

    steps: list[int]
    faces: np.ndarray  # float32 (snapshots, filters, 48, 48), 0..255
    values: np.ndarray  # float32 (snapshots, filters), activations by the images as they are

    def best(self) -> tuple[np.ndarray, np.ndarray]:
        """Each filter's snapshot of the highest activation, (filters, 48, 48), and that activation,
        (filters,)."""
        best = self.values.argmax(axis=0)
        return self.faces[best, np.arange(len(best))], self.values.max(axis=0)


def climbers(
    classifier: Classifier, names: Collection[str] = (), precision: str = "float32"
) -> list[Climber]:
    """The layers of those names, or all convolutions, ready for an ascent in float32 or bfloat16.

    Raises InputError as `choose_layers` does.
    """
    frozen = classifier._replace(model=freeze(classifier.model, precision))
    pairs = zip(*(choose_layers(c.model, names) for c in (classifier, frozen)), strict=True)
    return [Climber(classifier, target, frozen, same) for target, same in pairs]


def ascend(climber: Climber, filters: np.ndarray, settings: AscentSettings) -> Ascent:
    """Synthesize an image for each of `filters`, int (n,), of a layer."""
    climb, look = compiled_steps(climber, settings)
    start, kept = initial_parameters(len(filters), settings), snapshot_steps(settings.steps)
    parts = np.array_split(np.arange(len(filters)), -(-len(filters) // BATCH))
    progress = Progress("steps", settings.steps * len(parts))
    snapshots = []
    for part in parts:
        chosen, parameters = tf.constant(filters[part], tf.int32), tf.gather(start, part)
        moments, seen = tf.zeros((2, *parameters.shape)), []
        for step in range(settings.steps + 1):
            if step in kept:
                seen.append([tensor.numpy() for tensor in look(parameters, chosen)])
            if step < settings.steps:
                parameters, moments, mean = climb(
                    parameters, moments, chosen, tf.constant(step + 1)
                )
                progress.add("mean activation", mean)
        snapshots.append([np.stack(found) for found in zip(*seen, strict=True)])
    progress.end()
    return Ascent(kept, *(np.concatenate(found, 1) for found in zip(*snapshots, strict=True)))


def compiled_steps(climber: Climber, settings: AscentSettings) -> tuple[Callable, Callable]:
    """`climb`, one step of the ascent, and `look`, the images so far and their activations."""
    activation = activation_function(climber.classifier, climber.target)
    climbed = activation_function(climber.frozen, climber.same)
    to_faces = tf.identity if settings.plain else faces_of_spectrum
    step_up = plain_step if settings.plain else adam_step
    field = min(climber.target.field_on_face.max() / SIDE, 1)
    shift = settings.shift * field  # random_affine takes fractions of 48 pixels
    moves = {"shift": shift, "rotation": settings.rotation, "zoom": settings.zoom, "flip": False}

    @tf.function(autograph=False, reduce_retracing=True)
    def climb(parameters: tf.Tensor, moments: tf.Tensor, filters: tf.Tensor, step: tf.Tensor):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(parameters)
            faces = to_faces(parameters)
            if not settings.plain:
                faces = random_affine(faces[..., tf.newaxis], [settings.seed, step], **moves)[
                    ..., 0
                ]
            mean = tf.reduce_mean(climbed(faces, filters))
        gradient = tape.gradient(mean, parameters) * tf.cast(tf.size(filters), tf.float32)
        return *step_up(parameters, moments, gradient, step, settings.rate), mean

    @tf.function(autograph=False, reduce_retracing=True)
    def look(parameters: tf.Tensor, filters: tf.Tensor):
        faces = to_faces(parameters)
        return faces, activation(faces, filters)

    return climb, look


def activation_function(classifier: Classifier, target: FilterLayer) -> Callable:
    """A function of faces (n, 48, 48) of 0..255 and filters, int (n,): the activation of filter i
    in the middle of its map of face i, (n,)."""
    y, x = target.middle
    layer, model = target.measured, classifier.model
    if layer in model.layers:  # what comes after it need not be compiled
        model = keras.Model(model.inputs[0], layer.output)

    def activation(faces: tf.Tensor, filters: tf.Tensor) -> tf.Tensor:
        with record_activations([layer], before_activation=True) as kept:
            model(prepare(classifier, faces), training=False)
        middle = tf.cast(kept[layer][:, y, x], tf.float32)
        return tf.reduce_sum(middle * tf.one_hot(filters, target.filters), axis=1)

    return activation


def initial_parameters(count: int, settings: AscentSettings) -> tf.Tensor:
    """Seeded noise: pixels (n, 48, 48), or real and imaginary coefficients (n, 2, 48, 25)."""
    seed = [settings.seed, 0]
    if settings.plain:
        noise = tf.random.stateless_normal([count, SIDE, SIDE], seed)
        return tf.clip_by_value(127.5 + PIXEL_NOISE * noise, 0, 255)
    return NOISE * tf.random.stateless_normal([count, 2, SIDE, SIDE // 2 + 1], seed)


def faces_of_spectrum(coefficients: tf.Tensor) -> tf.Tensor:
    """Fourier coefficients (n, 2, 48, 25), to be divided by their frequency, as images of 0..255,
    (n, 48, 48)."""
    vertical, horizontal = np.fft.fftfreq(SIDE), np.fft.rfftfreq(SIDE)
    frequency = np.maximum(np.hypot(vertical[:, np.newaxis], horizontal), 1 / SIDE)
    scaled = coefficients * (SIDE / frequency / 4).astype(np.float32)
    return 255 * tf.sigmoid(tf.signal.irfft2d(tf.complex(scaled[:, 0], scaled[:, 1])))


def adam_step(parameters, moments, gradient, step, rate: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Parameters and moments, (2, ...), after a step up (D. Kingma, J. Ba, "Adam", 2015).

    The optimizer of Keras would need variables of one fixed shape.
    """
    step = tf.cast(step, tf.float32)
    mean = BETA1 * moments[0] + (1 - BETA1) * gradient
    square = BETA2 * moments[1] + (1 - BETA2) * gradient**2
    size = tf.sqrt(square / (1 - BETA2**step)) + EPSILON
    return parameters + rate * mean / (1 - BETA1**step) / size, tf.stack([mean, square])


def plain_step(pixels, moments, gradient, step, rate: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Pixels after a step of `rate` times 255 along each image's gradient of unit mean square."""
    size = tf.sqrt(tf.reduce_mean(gradient**2, axis=(1, 2), keepdims=True))
    higher = pixels + rate * 255 * tf.math.divide_no_nan(gradient, size)
    return tf.clip_by_value(higher, 0, 255), moments


def snapshot_steps(steps: int) -> list[int]:
    """0, 1, 4, 16 … and the last."""
    return [0, *(4**i for i in range(20) if 4**i < steps), steps]


def kernels(classifier: Classifier, target: FilterLayer, filters: np.ndarray) -> np.ndarray:
    """The gradient of activations by the pixels of a grey face, float32 (n, 48, 48), each divided
    by its largest absolute value.

    Of a first layer these are the kernels, with the sign of the batch norm that follows.
    """
    activation = activation_function(classifier, target)

    @tf.function  # run eagerly, it would print a line about oneDNN
    def gradient(faces: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(faces)
            total = tf.reduce_sum(activation(faces, filters))
        return tape.gradient(total, faces)

    found = gradient(tf.fill((len(filters), SIDE, SIDE), 127.5)).numpy()
    return found / np.maximum(np.abs(found).max(axis=(1, 2), keepdims=True), 1e-30)


def untrained_copy(classifier: Classifier, seed: int) -> Classifier:
    """The control: the same network with weights as before training, or others like them."""
    keras.utils.set_random_seed(seed)
    return classifier._replace(model=keras.models.clone_model(classifier.model))


class FaceActivations(NamedTuple):
    """The highest activation of each filter over all places of each face."""

    values: np.ndarray  # float32 (faces, filters)
    places: np.ndarray  # int64 (faces, filters), row * width + column in the layer's map

    def dead(self, rectified: bool) -> np.ndarray:
        """Filters that tell no face from another, bool (filters,): constant, or never above 0
        where a ReLU follows."""
        constant = np.ptp(self.values, axis=0) < 1e-6
        return constant | (rectified & (self.values <= 0).all(axis=0))


def activations_on_faces(
    classifier: Classifier, targets: list[FilterLayer], images: np.ndarray
) -> list[FaceActivations]:
    """For each layer, how much and where uint8 faces (n, 48, 48) activate its filters; one pass."""
    measured = [target.measured for target in targets]

    @tf.function(input_signature=[tf.TensorSpec((None, SIDE, SIDE), tf.uint8)])
    def look(faces: tf.Tensor) -> list:
        with record_activations(measured, before_activation=True) as kept:
            classifier.model(prepare(classifier, faces), training=False)
        maps = [tf.cast(kept[layer], tf.float32) for layer in measured]
        maps = [tf.reshape(m, (tf.shape(m)[0], -1, m.shape[-1])) for m in maps]
        return [(tf.reduce_max(m, axis=1), tf.argmax(m, axis=1)) for m in maps]

    parts = [look(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
    return [
        FaceActivations(*(np.concatenate(found) for found in zip(*layer, strict=True)))
        for layer in zip(*parts, strict=True)
    ]


def feature_maps(classifier: Classifier, target: FilterLayer, face: np.ndarray) -> np.ndarray:
    """The activations of every filter at every place of one face (48, 48): (filters, h, w)."""
    with record_activations([target.measured], before_activation=True) as kept:
        classifier.model(prepare(classifier, face[np.newaxis]), training=False)
    return np.moveaxis(np.asarray(kept[target.measured], np.float32)[0], -1, 0)
