"""Whether saliency maps tell what the model really used: curves, controls and a sanity check.

Pixels are hidden, the most salient first, and the probability of the class should fall fast
(deletion); or shown on a blank face, and it should rise fast (insertion). After V. Petsiuk et al.,
"RISE" (2018). Two controls know nothing of the model: a random order, and the edges of the face.
A map that stays the same when the model's weights are shuffled does not show the model (J. Adebayo
et al., "Sanity checks for saliency maps", 2018).
"""

from collections.abc import Callable

import numpy as np
from scipy.ndimage import sobel
from scipy.stats import rankdata

from utils import SIDE, InputError, quiet_stderr
from attribution import Logits, in_batches
from classifier import named_layers

with quiet_stderr():
    import keras
    import tensorflow as tf

SHARES = np.linspace(0, 1, 25)


def random_maps(images: np.ndarray, seed: int) -> np.ndarray:
    """The control that knows nothing at all."""
    return np.random.default_rng(seed).random(images.shape, np.float32)


def edge_maps(images: np.ndarray) -> np.ndarray:
    """The control that knows the face and not the model: the strength of its edges."""
    images = images.astype(np.float32)
    return np.hypot(sobel(images, axis=1), sobel(images, axis=2))


def ranks(maps: np.ndarray) -> np.ndarray:
    """0 for the most salient pixel of each map up to 2303 for the least, int (n, 48, 48).

    Saliency is the size of a value, whatever its sign; among equals the order is that of a fixed
    shuffle, since the order of the pixels themselves would be a map of its own.
    """
    flat = np.abs(maps).reshape(len(maps), -1)
    shuffled = np.random.default_rng(0).permutation(SIDE * SIDE)
    order = shuffled[np.argsort(-flat[:, shuffled], axis=1, kind="stable")]
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(SIDE * SIDE)[None], axis=1)
    return place.reshape(maps.shape)


def mix(images: np.ndarray, place: np.ndarray, share: float, hide: bool) -> np.ndarray:
    """Faces whose `share` most salient pixels are hidden, or are all that is shown.

    What is hidden gets the face's own mean grey.
    """
    salient = place < round(share * SIDE * SIDE)
    grey = images.mean(axis=(1, 2), keepdims=True)
    return np.where(salient == hide, grey, images).astype(np.float32)


def curves(
    logits: Logits, images: np.ndarray, classes: np.ndarray, place: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean probability of the class at each of SHARES, float (25,): deletion and insertion."""

    def probability(faces: tf.Tensor, labels: np.ndarray) -> tf.Tensor:
        return tf.gather(tf.nn.softmax(logits(faces)), labels, axis=1, batch_dims=1)

    deletion, insertion = (
        np.array(
            [
                in_batches(probability, mix(images, place, share, hide), classes).mean()
                for share in SHARES
            ]
        )
        for hide in (True, False)
    )
    return deletion, insertion


def accuracy(logits: Logits, images: np.ndarray, labels: np.ndarray) -> float:
    predicted = in_batches(lambda faces, _: tf.argmax(logits(faces), axis=1), images, labels)
    return float(np.mean(predicted == labels))


def judge(
    logits: Logits,
    images: np.ndarray,
    labels: np.ndarray,
    predicted: np.ndarray,
    maps: np.ndarray,
    keep: float,
) -> dict:
    """The scores of one method's maps (n, 48, 48) of why each face got its `predicted` class."""
    place = ranks(maps)
    deletion, insertion = curves(logits, images, predicted, place)
    return {
        "deletion_auc": float(np.trapezoid(deletion, SHARES)),
        "insertion_auc": float(np.trapezoid(insertion, SHARES)),
        "accuracy_keeping_top": accuracy(logits, mix(images, place, keep, False), labels),
        "accuracy_losing_top": accuracy(logits, mix(images, place, keep, True), labels),
        "deletion": deletion.tolist(),
        "insertion": insertion.tolist(),
    }


def rank_correlation(maps: np.ndarray, others: np.ndarray) -> float:
    """Spearman's, of the sizes of the values, averaged over the faces; NaN maps count as 0."""
    pairs = (np.abs(m).reshape(len(m), -1) for m in (maps, others))
    a, b = (rankdata(flat, axis=1) for flat in pairs)
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    size = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return float(
        np.mean(np.divide((a * b).sum(axis=1), size, out=np.zeros_like(size), where=size > 0))
    )


def randomisation_check(
    model: keras.Model, make_maps: dict[str, Callable[[], np.ndarray]], seed: int
) -> dict[str, list[float]]:
    """Rank correlation of each method's maps with its own after shuffling weights from the top.

    Entry k of a list is with the weights of the last k layers shuffled within each array; entry 0
    is 1. The model has its weights back in the end.
    """
    rng, saved = np.random.default_rng(seed), model.get_weights()
    layers = [layer for _, layer in named_layers(model) if hasattr(layer, "kernel")][::-1]
    if not layers:
        raise InputError(f"{model.name} has no weights to shuffle")
    true = {name: make() for name, make in make_maps.items()}
    correlations = {name: [1.0] for name in make_maps}
    try:
        for layer in layers:
            shuffled = [rng.permuted(w.reshape(-1)).reshape(w.shape) for w in layer.get_weights()]
            layer.set_weights(shuffled)
            for name, make in make_maps.items():
                correlations[name].append(rank_correlation(true[name], make()))
    finally:
        model.set_weights(saved)
    return correlations
