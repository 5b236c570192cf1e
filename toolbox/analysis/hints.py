"""One line when answers look as if a model was not fed what it expects, or not read as it means."""

import numpy as np

from toolbox.analysis.metrics import confusion_counts
from toolbox.analysis.predictions import predict
from toolbox.analysis.saved_models import Classifier
from toolbox.dataset.faces import CLASSES, Faces
from toolbox.late import Late

optimize = Late("scipy.optimize")
SAMPLE = 256  # faces that the ranges are tried on: one batch
RANGES = ((0.0, 255.0), (0.0, 1.0), (-1.0, 1.0))
ONE_ANSWER = 0.9  # share of the answers
GAIN = 0.1  # accuracy that another order of the classes must add


def tell(classifier: Classifier, faces: Faces, rows: np.ndarray) -> None:
    """Print what is likely wrong, if anything."""
    labels = None if faces.labels is None else faces.labels[rows]
    told = hint(classifier, faces.images[rows], labels)
    if told:
        print(f"Note: {told}")


def hint(classifier: Classifier, images: np.ndarray, labels: np.ndarray | None) -> str:
    """What is likely wrong, or "". Tries a few hundred of the faces uint8 (n, 48, 48).

    Only a model without a record of ours leaves anything to guess.
    """
    if classifier.record is not None or not len(images):
        return ""
    rows = np.unique(np.linspace(0, len(images) - 1, SAMPLE).astype(int))
    images = images[rows]
    probabilities = predict(classifier, images)
    told = ""
    if labels is not None:
        labels = labels[rows].astype(int)
        told = better_range(classifier, images, labels, probabilities)
        told = told or better_order(classifier, labels, probabilities)
    return told or one_answer(classifier, probabilities.argmax(axis=1))


def one_answer(classifier: Classifier, predicted: np.ndarray) -> str:
    """Said if nearly all answers are one class."""
    name, counts = classifier.name, np.bincount(predicted)
    share = counts.max() / max(len(predicted), 1)
    if share <= ONE_ANSWER:
        return ""
    return (
        f"{name} answers {classifier.classes[counts.argmax()]} for {100 * share:.0f} % of the "
        "faces: it may expect another --input-range, or it learned nothing"
    )


def better_range(
    classifier: Classifier, images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray
) -> str:
    """Said if another usual input range fits these faces far better.

    That is a higher accuracy, above that of the most frequent class, and either clearly so or at
    far more fitting probabilities: unscaled pixels may leave the answers and ruin those.
    """
    accuracy, loss = fit_of(probabilities, labels)
    frequent = np.bincount(labels).max() / len(labels)
    found = []
    for limits in RANGES:
        if limits != classifier.input_range:
            other = predict(classifier._replace(input_range=limits), images)
            found.append((*fit_of(other, labels), limits))
    best, best_loss, (low, high) = max(found, key=lambda each: each[0] - each[1])
    better = best > accuracy + GAIN and best_loss < loss
    better |= best >= accuracy and best_loss < loss - 0.5
    if not better or best < frequent + GAIN / 2:
        return ""
    return (
        f"{classifier.name} seems to expect --input-range {low:g} {high:g}: then it is right on "
        f"{100 * best:.0f} % of {len(labels)} faces, now on {100 * accuracy:.0f} %"
    )


def fit_of(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Accuracy and mean negative log-likelihood."""
    right = probabilities[np.arange(len(labels)), labels]
    accuracy = float(np.mean(probabilities.argmax(axis=1) == labels))
    return accuracy, float(-np.log(np.maximum(right, 1e-12)).mean())


def better_order(classifier: Classifier, labels: np.ndarray, probabilities: np.ndarray) -> str:
    """Said if some other order of the classes makes far more answers right."""
    classes = classifier.classes
    counts = confusion_counts(labels, probabilities.argmax(axis=1), len(classes))
    true, answer = optimize.linear_sum_assignment(-counts)
    best, now = counts[true, answer].sum() / len(labels), counts.trace() / len(labels)
    if best < max(now, np.bincount(labels).max() / len(labels)) + GAIN:
        return ""
    names = [classes[i].lower() for i in true[np.argsort(answer)]]  # for each output
    alphabetical = counts[np.argsort(classes), np.arange(len(classes))].sum() / len(labels)
    # Rare classes leave the best order to chance.
    if classes == CLASSES and alphabetical > best - GAIN / 4:
        names, best = ["alphabetical"], alphabetical
    sure = classes == CLASSES and not classifier.reordered  # else these are not all its outputs
    told = f"--classes {' '.join(names)}" if sure else "other --classes"
    return (
        f"{classifier.name} may have its classes in another order: {100 * best:.0f} % of "
        f"{len(labels)} faces are right with {told}, {100 * now:.0f} % as it is"
    )
