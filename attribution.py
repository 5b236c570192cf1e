"""Maps of what speaks for a class in a face, one function a method.

Each takes images (n, 48, 48) of 0..255 and classes (n,), and returns maps, float32 (n, 48, 48),
positive where a pixel speaks for the class. They look at logits, not at probabilities, with dropout
off. Guided backpropagation is left out on purpose: it shows much the same for a model of random
weights (J. Adebayo et al., "Sanity checks for saliency maps", 2018).
"""

import functools
from collections.abc import Callable

import utils

with utils.quiet_stderr():
    import keras
    import tensorflow as tf
import numpy as np

import classifier as classifiers
from utils import SIDE, InputError

Logits = Callable[[tf.Tensor], tf.Tensor]  # faces float32 (n, 48, 48) of 0..255 -> (n, 7)
FACES = tf.TensorSpec((None, SIDE, SIDE), tf.float32)
BATCH = 128
CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.SeparableConv2D, keras.layers.DepthwiseConv2D)


def logits_of(classifier: classifiers.Classifier) -> Logits:
    """Faces of 0..255 to the outputs of a model that ends in logits, dropout off, compiled."""
    model = classifier.model

    @tf.function(input_signature=[FACES])
    def logits(faces: tf.Tensor) -> tf.Tensor:
        return model(classifiers.prepare(classifier, faces), training=False)

    return logits


def in_batches(function: Callable, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """`function(faces, labels)` a batch of tensors at a time, the results put together."""
    parts = []
    for i in range(0, len(images), BATCH):
        faces = tf.constant(images[i : i + BATCH], tf.float32)
        parts.append(np.asarray(function(faces, tf.constant(labels[i : i + BATCH], tf.int64))))
    return np.concatenate(parts)


def class_logit(logits: Logits, faces: tf.Tensor, labels) -> tf.Tensor:
    return tf.gather(logits(faces), labels, axis=1, batch_dims=1)


@functools.lru_cache(maxsize=4)  # tracing costs more than the gradients of a few hundred faces
def gradient_function(logits: Logits) -> Callable:
    """(faces, labels) -> the gradient of each face's class logit, float32 (n, 48, 48)."""

    @tf.function(input_signature=[FACES, tf.TensorSpec((None,), tf.int64)])
    def gradient(faces: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(faces)
            score = tf.reduce_sum(class_logit(logits, faces, labels))
        return tape.gradient(score, faces)

    return gradient


def gradient(logits: Logits, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How the class logit changes with each pixel (K. Simonyan et al. 2013)."""
    return in_batches(gradient_function(logits), images, labels)


def smooth_gradient(
    logits: Logits,
    images: np.ndarray,
    labels: np.ndarray,
    noise: float,
    samples: int,
    seed: int,
    verbose: int = 1,
) -> np.ndarray:
    """The mean gradient over noisy copies of the face (D. Smilkov et al. 2017).

    noise: standard deviation as a share of 0..255.
    """
    function, progress = gradient_function(logits), keras.utils.Progbar(samples, verbose=verbose)
    total = np.zeros(images.shape, np.float32)
    rng = np.random.default_rng(seed)
    for sample in range(samples):
        noisy = images + rng.normal(0, 255 * noise, images.shape).astype(np.float32)
        total += in_batches(function, noisy, labels)
        progress.update(sample + 1)
    return total / samples


def integrated_gradients(
    logits: Logits,
    images: np.ndarray,
    labels: np.ndarray,
    steps: int,
    limit: int = 1024,
    verbose: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """The gradients along the way from a blank face to the face (M. Sundararajan et al. 2017).

    The blank face has the face's own mean grey. The maps should add up to the difference of the two
    logits; how far they do not, as a share of it, is returned beside them, float64 (n,). Steps, in
    a midpoint rule, are doubled up to `limit` for the faces where that is above 5 %.
    """
    images = images.astype(np.float32)
    blank = np.broadcast_to(images.mean(axis=(1, 2), keepdims=True), images.shape)
    score = functools.partial(class_logit, logits)
    change = in_batches(score, images, labels) - in_batches(score, blank, labels)
    function = gradient_function(logits)
    maps, error = np.zeros_like(images), np.full(len(images), np.inf)
    while (pending := np.flatnonzero(error > 0.05)).size and steps <= limit:
        progress = keras.utils.Progbar(steps, verbose=verbose)
        total = np.zeros(images[pending].shape, np.float32)
        for step in range(steps):
            share = (step + 0.5) / steps
            between = blank[pending] + share * (images[pending] - blank[pending])
            total += in_batches(function, between, labels[pending])
            progress.update(step + 1)
        maps[pending] = total / steps * (images[pending] - blank[pending])
        missing = maps[pending].sum(axis=(1, 2), dtype=np.float64) - change[pending]
        error[pending] = np.abs(missing) / np.maximum(np.abs(change[pending]), 1e-6)
        steps *= 2
    return maps, error


def grad_cam(
    classifier: classifiers.Classifier, images: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """The last feature maps, weighted by their mean gradient (R. Selvaraju et al. 2017).

    classifier: of a model that ends in logits. Raises InputError if it has no convolution.
    """
    if not convolutions(classifier.model):
        raise InputError(
            f"{classifier.name} has no convolution for Grad-CAM; name another --method"
        )
    model, layer = classifier.model, last_feature_maps(classifier.model)

    def cam(faces: tf.Tensor, classes: np.ndarray) -> tf.Tensor:
        with tf.GradientTape() as tape, classifiers.observed([layer]) as kept:
            output = model(classifiers.prepare(classifier, faces), training=False)
            score = tf.reduce_sum(tf.gather(output, classes, axis=1, batch_dims=1))
        weights = tf.reduce_mean(tape.gradient(score, kept[layer]), axis=(1, 2), keepdims=True)
        heat = tf.nn.relu(tf.reduce_sum(weights * kept[layer], axis=-1, keepdims=True))
        return tf.image.resize(heat, (SIDE, SIDE))[..., 0]

    return in_batches(cam, images, labels)


def last_feature_maps(model: keras.Model) -> keras.Layer:
    """The last layer that gives maps of the last convolution's size: after the batch norm, shortcut
    and nonlinearity that may follow it, before the pooling.
    """

    def size(layer: keras.Layer) -> list:
        return [tensor.shape[1:3] for tensor in classifiers.tensors(layer, "output")]

    found = convolutions(model)[-1]
    its = size(found)
    for _, layer in classifiers.named_layers(model):
        if its and size(layer) == its:
            found = layer
    return found


def convolutions(model: keras.Model) -> list[keras.Layer]:
    return [
        layer for _, layer in classifiers.named_layers(model) if isinstance(layer, CONVOLUTIONS)
    ]


def occlusion(logits: Logits, images: np.ndarray, labels: np.ndarray, patch: int) -> np.ndarray:
    """How much the class logit falls when a grey square hides a place (M. Zeiler, R. Fergus 2013).

    The square has the face's own mean grey and moves by half its side; each pixel gets the mean
    over the squares that hide it.
    """
    images = images.astype(np.float32)
    score = functools.partial(class_logit, logits)
    whole, grey = in_batches(score, images, labels), images.mean(axis=(1, 2))[:, None, None]
    total, count = np.zeros_like(images), np.zeros((SIDE, SIDE), np.float32)
    places = [*range(0, SIDE - patch, max(patch // 2, 1)), SIDE - patch]
    for y in places:
        for x in places:
            hidden = images.copy()
            hidden[:, y : y + patch, x : x + patch] = grey
            fall = whole - in_batches(score, hidden, labels)
            total[:, y : y + patch, x : x + patch] += fall[:, None, None]
            count[y : y + patch, x : x + patch] += 1
    return total / count
