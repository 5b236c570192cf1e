"""Whether saliency maps show what the model really used: two curves, two controls, one check.

Pixels are hidden, the most salient first, and the probability of the class should fall fast
(deletion); or they alone are shown on a blank face, and it should rise fast (insertion). After
V. Petsiuk et al., "RISE" (2018). Two controls know nothing of the model: a random order, and the
edges of the face. A map that stays the same when the model's weights are shuffled does not show the
model (J. Adebayo et al., "Sanity checks for saliency maps", 2018).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from toolbox.analysis.attribution import Explained, in_batches
from toolbox.analysis.model_layers import named_layers
from toolbox.dataset.faces import SIDE
from toolbox.engine import keras, tf
from toolbox.files import InputError
from toolbox.late import Late
from toolbox.progress import watch

ndimage, stats = Late("scipy.ndimage"), Late("scipy.stats")
FRACTIONS = (0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1)  # closer where the curves bend
CONTROLS = ("random", "edges")
DEPTHS = 5  # of the randomization check
SIMILAR = 0.5  # a rank correlation from which on a map hardly shows the model


def control_maps(images: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Maps that know nothing of the model: random ones, and the strength of the face's edges."""
    images = images.astype(np.float32)
    noise = np.random.default_rng(seed).random(images.shape, np.float32)
    edges = np.hypot(ndimage.sobel(images, axis=1), ndimage.sobel(images, axis=2))
    return dict(zip(CONTROLS, (noise, edges), strict=True))


def ranks(maps: np.ndarray) -> np.ndarray:
    """0 for the most salient pixel of each map up to 2303 for the least, int (n, 48, 48).

    Saliency is a value's size, whatever its sign. Equal values are in the order of a fixed shuffle,
    since the order of the pixels themselves would be a map of its own.
    """
    flat = np.abs(maps).reshape(len(maps), -1)
    shuffled = np.random.default_rng(0).permutation(SIDE * SIDE)
    order = shuffled[np.argsort(-flat[:, shuffled], axis=1, kind="stable")]
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(SIDE * SIDE)[None], axis=1)
    return place.reshape(maps.shape)


def mix(images: np.ndarray, place: np.ndarray, fraction: float, hide: bool) -> np.ndarray:
    """Faces whose most salient pixels are hidden, or are all that is shown; float32 (n, 48, 48).

    place: of `ranks`. fraction: how many of the pixels these are, 0 to 1.
    What is hidden gets the face's own mean grey.
    """
    salient = place < round(fraction * SIDE * SIDE)
    grey = images.mean(axis=(1, 2), keepdims=True)
    return np.where(salient == hide, grey, images).astype(np.float32)


def probabilities(net: Explained, images: np.ndarray) -> np.ndarray:
    """float32 (n, k)."""
    unused = np.zeros(len(images), np.int64)
    return in_batches(lambda faces, _: tf.nn.softmax(net.scores(faces)), images, unused)


def score_maps(
    net: Explained,
    images: np.ndarray,
    labels: np.ndarray,
    classes: np.ndarray,
    maps: dict[str, np.ndarray],
    keep: float,
) -> dict[str, dict]:
    """The scores of each method's maps of why each face got its class.

    labels: true classes (n,). classes: those that the maps explain, (n,).
    keep: fraction of the pixels for the two accuracies.
    The curves are mean probabilities of the class at each of FRACTIONS, their AUCs are the areas
    under them, 0 to 1.
    """
    blank = np.broadcast_to(images.mean(axis=(1, 2), keepdims=True), images.shape)
    none, all_ = probabilities(net, blank), probabilities(net, images)
    fractions = sorted({*FRACTIONS, keep})
    curve = [fractions.index(fraction) for fraction in FRACTIONS]
    scores = {}
    for name, heat in watch(maps.items(), "maps"):
        place, score = ranks(heat), {}
        for kind, hide in (("deletion", True), ("insertion", False)):
            between = [
                probabilities(net, mix(images, place, fraction, hide))
                for fraction in fractions[1:-1]
            ]
            answers = np.stack([all_, *between, none] if hide else [none, *between, all_])
            means = answers[:, np.arange(len(images)), classes].mean(axis=1)[curve]
            right = answers[fractions.index(keep)].argmax(axis=1) == labels
            score |= {
                kind: means.tolist(),
                f"{kind}_auc": float(np.trapezoid(means, FRACTIONS)),
                "accuracy_losing_top" if hide else "accuracy_keeping_top": float(right.mean()),
            }
        scores[name] = score
    return scores


def rank_correlation(maps: np.ndarray, others: np.ndarray) -> float:
    """Spearman's, of the sizes of the values, averaged over the faces; NaN maps count as 0."""
    pairs = (np.abs(m).reshape(len(m), -1) for m in (maps, others))
    a, b = (stats.rankdata(flat, axis=1) for flat in pairs)
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    size = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return float(
        np.mean(np.divide((a * b).sum(axis=1), size, out=np.zeros_like(size), where=size > 0))
    )


def randomization_check(
    model: keras.Model, make_maps: Callable[[], dict[str, np.ndarray]], seed: int
) -> tuple[list[int], dict[str, list[float]]]:
    """Rank correlation of each method's maps with its own after shuffling weights from the top.

    make_maps: makes each method's maps with the weights that the model has at that time.
    Returns how many layers were shuffled, from 0 over DEPTHS others to all that have weights, and
    for each method the correlations. Every array of a layer's weights is shuffled within itself.
    The model gets its weights back in the end.
    """
    layers = [layer for _, layer in named_layers(model) if layer.weights][::-1]
    if not layers:
        raise InputError(f"{model.name} has no weights to shuffle")
    depths = np.unique(np.linspace(1, len(layers), DEPTHS).round().astype(int)).tolist()
    rng, saved, true = np.random.default_rng(seed), model.get_weights(), make_maps()
    correlations = {name: [1.0] for name in true}
    try:
        for done, depth in watch(list(zip([0, *depths], depths, strict=False)), "depths"):
            for layer in layers[done:depth]:
                weights = layer.get_weights()
                layer.set_weights([rng.permuted(w.reshape(-1)).reshape(w.shape) for w in weights])
            for name, maps in make_maps().items():
                correlations[name].append(rank_correlation(true[name], maps))
    finally:
        model.set_weights(saved)
    return [0, *depths], correlations


def gain(score: dict) -> float:
    """Insertion AUC minus deletion AUC: how well a map suits the model; about 0 at random."""
    return score["insertion_auc"] - score["deletion_auc"]


def method_name(method: str) -> str:
    """As people write it."""
    return "Grad-CAM" if method == "grad_cam" else method.replace("_", " ")


def verdict(name: str, scores: dict[str, dict], correlations: dict[str, list[float]]) -> str:
    """Which method to trust for this model, in a sentence, from the numbers."""
    gains = {method: gain(score) for method, score in scores.items()}
    best = max(correlations, key=gains.get)
    words = method_name(best)
    numbers = (
        f"Insertion AUC minus deletion AUC is {gains[best]:.3f}; for a random order it is "
        f"{gains['random']:.3f}, for the face's edges {gains['edges']:.3f}."
    )
    if gains[best] <= max(gains[control] for control in CONTROLS):
        return f"Trust no method for {name}: the best, {words}, is no better than that. {numbers}"
    left = correlations[best][-1]
    caution = "" if abs(left) < SIMILAR else ": they hardly depend on what it learned"
    return (
        f"For {name}, trust {words}. {numbers} With all weights shuffled, its maps have a rank "
        f"correlation of {left:.2f} with those of the trained model{caution}."
    )
