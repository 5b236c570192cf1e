"""Maps of what in a face speaks for a class, one function per method.

Each takes an `Explained` model, images (n, 48, 48) of 0..255 and classes (n,), and returns maps,
float32 (n, 48, 48), positive where a pixel speaks for the class. What they explain is the class
score: the logit, the model's output before its softmax, with dropout off. Guided backpropagation is
left out on purpose: it shows much the same for a model of random weights (J. Adebayo et al.,
"Sanity checks for saliency maps", 2018).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from toolbox.analysis.adapter import are_probabilities, last_activation
from toolbox.analysis.frozen import computed_in, freeze
from toolbox.analysis.model_layers import last_feature_maps, logits_model, record_activations
from toolbox.analysis.predictions import prepare
from toolbox.analysis.saved_models import Classifier
from toolbox.dataset.faces import SIDE
from toolbox.engine import keras, tf
from toolbox.files import InputError
from toolbox.progress import watch

BATCH = 128
TOLERANCE = 0.05  # completeness error of integrated gradients, relative


class Explained(NamedTuple):
    """A model and its functions, compiled once: tracing costs more than hundreds of gradients.

    They read the model's weights anew at each call. faces: float32 (n, 48, 48) of 0..255.
    """

    classifier: Classifier
    precision: str  # of the functions: float32 or bfloat16
    model: keras.Model  # the same up to its logits, frozen
    scores: Callable  # faces -> the class scores, float32 (n, k)
    gradient: Callable  # faces, labels -> the gradient of each face's class score, like faces
    features: Callable | None  # faces, labels -> last feature maps, gradient of the score by them


def explain(classifier: Classifier, precision: str = "float32") -> Explained:
    """Make a model ready for the methods below, which compute in float32 or bfloat16."""
    model = logits_model(classifier.model)
    precision = computed_in(model, precision)
    model = freeze(model, precision)
    last = last_feature_maps(model)
    noise = np.random.default_rng(0).uniform(0, 255, (8, SIDE, SIDE))  # an average may come last
    output = np.asarray(model(prepare(classifier, noise), training=False), np.float32)
    probabilities = are_probabilities(output, last_activation(model))

    def scores(faces: tf.Tensor) -> tf.Tensor:
        output = tf.cast(model(prepare(classifier, faces), training=False), tf.float32)
        # The softmax of their logarithms is the probabilities themselves.
        return tf.math.log(tf.maximum(output, 1e-7)) if probabilities else output

    def gradient(faces: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(faces)
            score = class_score(scores, faces, labels)
        return tape.gradient(score, faces, unconnected_gradients="zero")

    def features(faces: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # The tape watches these maps alone. If it watched the weights, TensorFlow could crash: the
        # gradient by the kernel of a 1x1 convolution of stride 2 over 8 channels corrupts memory.
        tape = tf.GradientTape(watch_accessed_variables=False)
        with tape, record_activations([last], tape=tape) as kept:
            score = class_score(scores, faces, labels)
        return kept[last], tape.gradient(score, kept[last], unconnected_gradients="zero")

    given = [tf.TensorSpec((None, SIDE, SIDE), tf.float32), tf.TensorSpec((None,), tf.int64)]
    return Explained(
        classifier,
        precision,
        model,
        tf.function(scores, input_signature=given[:1]),
        tf.function(gradient, input_signature=given),
        tf.function(features, input_signature=given) if last else None,
    )


def class_score(scores: Callable, faces: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """The score of each face's own class, (n,)."""
    return tf.gather(scores(faces), labels, axis=1, batch_dims=1)


def in_batches(function: Callable, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """`function(faces, labels)` on one batch of tensors at a time, the results concatenated."""
    parts = []
    for i in range(0, len(images), BATCH):
        faces = tf.constant(images[i : i + BATCH], tf.float32)
        parts.append(np.asarray(function(faces, tf.constant(labels[i : i + BATCH], tf.int64))))
    return np.concatenate(parts)


def class_scores(net: Explained, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The score of each image's class, float32 (n,)."""
    return in_batches(lambda faces, labels: class_score(net.scores, faces, labels), images, classes)


def gradient(net: Explained, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """How the class score changes with each pixel (K. Simonyan et al. 2013)."""
    return in_batches(net.gradient, images, classes)


def smooth_gradient(
    net: Explained,
    images: np.ndarray,
    classes: np.ndarray,
    noise: float = 0.15,
    samples: int = 16,
    seed: int = 0,
) -> np.ndarray:
    """The mean gradient over noisy copies of each face (D. Smilkov et al. 2017).

    noise: its standard deviation as a fraction of the range 0..255.
    samples: noisy copies per face.
    """
    rng = np.random.default_rng(seed)
    total = np.zeros(images.shape, np.float32)
    for _ in watch(range(samples), "noisy copies"):
        noisy = images + rng.normal(0, 255 * noise, images.shape).astype(np.float32)
        total += gradient(net, noisy, classes)
    return total / samples


def integrated_gradients(
    net: Explained, images: np.ndarray, classes: np.ndarray, steps: int = 16, most_steps: int = 1024
) -> tuple[np.ndarray, np.ndarray]:
    """The gradients along the path from a blank face to the face (M. Sundararajan et al. 2017).

    The blank face has the face's own mean grey. A map's values should add up to the difference of
    the two class scores (completeness). By how much they miss it, relative to it, is returned
    beside the maps: float64 (n,).
    steps: points on the path, midpoints of equal parts; doubled up to `most_steps` for the faces
    whose error is above 5 %.
    """
    images, most_steps = images.astype(np.float32), max(steps, most_steps)
    blank = np.broadcast_to(images.mean(axis=(1, 2), keepdims=True), images.shape)
    change = class_scores(net, images, classes) - class_scores(net, blank, classes)
    maps, error = np.zeros_like(images), np.full(len(images), np.inf)
    while (pending := np.flatnonzero(error > TOLERANCE)).size and steps <= most_steps:
        start, path = blank[pending], images[pending] - blank[pending]
        total = np.zeros_like(path)
        for step in watch(range(steps), "steps"):
            total += gradient(net, start + (step + 0.5) / steps * path, classes[pending])
        maps[pending] = total / steps * path
        missing = maps[pending].sum(axis=(1, 2), dtype=np.float64) - change[pending]
        error[pending] = np.abs(missing) / np.maximum(np.abs(change[pending]), 1e-6)
        steps *= 2
    return maps, error


def grad_cam(net: Explained, images: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """The last feature maps, each weighted by its mean gradient (R. Selvaraju et al. 2017).

    Raises InputError if the model has no convolution.
    """
    if net.features is None:
        raise InputError(
            f"{net.classifier.name} has no convolution of channels_last for Grad-CAM; "
            "name another --method"
        )

    def cam(faces: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        features, slope = net.features(faces, labels)
        alpha = tf.reduce_mean(slope, axis=(1, 2), keepdims=True)  # equation 1 of the paper
        heat = tf.nn.relu(tf.reduce_sum(alpha * features, axis=-1, keepdims=True))  # equation 2
        return tf.image.resize(heat, (SIDE, SIDE))[..., 0]

    return in_batches(cam, images, classes)


def occlusion(
    net: Explained, images: np.ndarray, classes: np.ndarray, patch: int = 12
) -> np.ndarray:
    """How much the class score falls when a grey square hides a place (M. Zeiler, R. Fergus 2013).

    The square has the face's own mean grey and moves by half its side; each pixel gets the mean
    over the squares that hide it.
    patch: side of the square, 1 to 48 pixels.
    """
    starts = [*range(0, SIDE - patch, max(patch // 2, 1)), SIDE - patch]
    squares = np.zeros((len(starts) ** 2, SIDE, SIDE), bool)
    for square, (y, x) in zip(squares, ((y, x) for y in starts for x in starts), strict=True):
        square[y : y + patch, x : x + patch] = True
    scores = np.empty((len(images), len(squares)), np.float32)
    for i, image in enumerate(watch(images, "faces")):
        hidden = np.where(squares, image.mean(dtype=np.float32), image)
        scores[i] = class_scores(net, hidden, np.full(len(squares), classes[i]))
    falls = class_scores(net, images, classes)[:, np.newaxis] - scores
    return np.tensordot(falls, squares.astype(np.float32), axes=1) / squares.sum(axis=0)
