"""Whether a classifier's probabilities can be taken at their word.

After C. Guo et al., "On calibration of modern neural networks" (2017): reliability diagram,
expected calibration error, and one temperature that all logits are divided by.
"""

import numpy as np

from toolbox.late import Figure, Late

optimize, metrics = Late("scipy.optimize"), Late("sklearn.metrics")

BINS = 15
FEW = 10  # faces of a bin: the accuracy of fewer is not drawn


def at_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(logits / temperature), float64 (n, k); log-probabilities serve as the logits."""
    scaled = np.log(np.maximum(probabilities, 1e-300)) / temperature
    scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return scaled / scaled.sum(axis=1, keepdims=True)


def fit_temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The temperature, 0.05..20, of the lowest negative log-likelihood on these rows."""

    def loss(log_temperature: float) -> float:
        scaled = at_temperature(probabilities, np.exp(log_temperature))
        return -np.mean(np.log(np.maximum(scaled[np.arange(len(labels)), labels], 1e-300)))

    found = optimize.minimize_scalar(loss, bounds=np.log([0.05, 20]), method="bounded")
    return float(np.exp(found.x))


def cross_fitted(
    probabilities: np.ndarray, labels: np.ndarray, group: np.ndarray, seed: int
) -> np.ndarray:
    """Each half of the rows at the temperature that was fitted on the other half.

    group: for each row the position of the first with the same picture; copies share a half.
    """
    half = (np.random.default_rng(seed).permutation(len(labels)) % 2 == 0)[group]
    scaled = np.empty_like(probabilities)
    for evaluated, fitted in ((half, ~half), (~half, half)):
        temperature = fit_temperature(probabilities[fitted], labels[fitted])
        scaled[evaluated] = at_temperature(probabilities[evaluated], temperature)
    return scaled


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """By bin of the highest probability, each array (15,): count, mean confidence, accuracy.

    Bin i holds confidences in (i / 15, (i + 1) / 15]; an empty one has NaN.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    count = np.bincount(place, minlength=BINS)
    with np.errstate(invalid="ignore"):
        return {
            "count": count,
            "confidence": np.bincount(place, confidence, BINS) / count,
            "accuracy": np.bincount(place, correct, BINS) / count,
        }


def scores(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Expected calibration error, negative log-likelihood and Brier score (0..2); low is good."""
    bins = reliability(probabilities, labels)
    gap = np.nan_to_num(np.abs(bins["accuracy"] - bins["confidence"]))
    classes = np.arange(probabilities.shape[1])
    return {
        "expected_calibration_error": float(np.average(gap, weights=bins["count"])),
        "negative_log_likelihood": float(metrics.log_loss(labels, probabilities, labels=classes)),
        "brier_score": float(
            np.mean(np.sum((probabilities - (labels[:, None] == classes)) ** 2, 1))
        ),
    }


def plot_reliability(curves: dict[str, dict], title: str) -> Figure:
    """Accuracy against confidence, the counts below; `curves` hold what `reliability` returns."""
    figure = Figure(figsize=(6.5, 6.5), layout="constrained")
    figure.suptitle(title)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color="grey", linestyle=":", label="perfectly calibrated")
    middle = (np.arange(BINS) + 0.5) / BINS
    for i, (name, bins) in enumerate(curves.items()):
        accuracy = np.where(bins["count"] < FEW, np.nan, bins["accuracy"])
        upper.plot(bins["confidence"], accuracy, "o-", color=f"C{i}", label=name)
        offset = (i - (len(curves) - 1) / 2) * 0.8 / BINS / len(curves)
        lower.bar(middle + offset, bins["count"], 0.8 / BINS / len(curves), color=f"C{i}")
    upper.set(ylabel=f"accuracy, where there are {FEW} faces or more", xlim=(0, 1), ylim=(0, 1))
    lower.set(xlabel="confidence: probability of the predicted class", ylabel="faces")
    upper.legend()
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    return figure
