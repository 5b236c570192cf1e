"""How right a classifier is: counts, ratios, and how sure one can be of them."""

import numpy as np

from toolbox.late import Late

stats, metrics = Late("scipy.stats"), Late("sklearn.metrics")


def interval(successes: int, count: int) -> list[float]:
    """Wilson's 95 % interval of a ratio; all of 0..1 where there is nothing to count."""
    if not count:
        return [0.0, 1.0]
    low, high = stats.binomtest(int(successes), int(count)).proportion_ci(method="wilson")
    return [float(low), float(high)]


def confusion_counts(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """int64 (classes, classes): row i, column j counts faces of class i taken for class j."""
    return metrics.confusion_matrix(labels, predicted, labels=np.arange(classes))


def ratios(counts: np.ndarray) -> np.ndarray:
    """Each row divided by its sum; a class without faces keeps a row of zeros."""
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def f1_by_class(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """float64 (classes,); 0 for a class that neither occurs nor is answered."""
    every = np.arange(classes)
    return metrics.f1_score(labels, predicted, labels=every, average=None, zero_division=0)


def measure(labels: np.ndarray, predicted: np.ndarray, classes: int) -> dict:
    """Accuracy with its interval, macro-F1 over all classes, mean recall of those present."""
    correct = int(np.sum(labels == predicted))
    present = np.unique(labels)
    recall = metrics.recall_score(labels, predicted, labels=present, average=None)
    return {
        "faces": len(labels),
        "accuracy": correct / len(labels),
        "accuracy_interval": interval(correct, len(labels)),
        "macro_f1": float(f1_by_class(labels, predicted, classes).mean()),
        "balanced_accuracy": float(recall.mean()),
    }


def measure_unseen(
    labels: np.ndarray, predicted: np.ndarray, classes: int, seen: np.ndarray | None
) -> dict:
    """`measure`, and once more without the faces that were trained on, where some were.

    seen: bool (n,), faces with an image that was trained on; None if that is not known.
    """
    measured = measure(labels, predicted, classes)
    if seen is not None:
        measured["faces_seen_in_training"] = int(seen.sum())
        if 0 < seen.sum() < len(seen):
            measured["without_seen"] = measure(labels[~seen], predicted[~seen], classes)
    return measured


def compare_models(labels: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> dict:
    """Both accuracies and McNemar's exact test on the faces that just one of them gets right."""
    only_ours = int(np.sum((ours == labels) & (theirs != labels)))
    only_theirs = int(np.sum((ours != labels) & (theirs == labels)))
    differ = only_ours + only_theirs
    return {
        "accuracy": float(np.mean(ours == labels)),
        "other_accuracy": float(np.mean(theirs == labels)),
        "only_this_is_right": only_ours,
        "only_the_other_is_right": only_theirs,
        "mcnemar_p": float(stats.binomtest(only_ours, differ).pvalue) if differ else 1.0,
    }
