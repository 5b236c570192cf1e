"""How does a saved model err? P3 of the homework.

    python confusion_matrix.py                            # the shipped model on what it held out
    python confusion_matrix.py --model fast               # one of your own, by its name
    python confusion_matrix.py --model dnn --split PublicTest

Prints the classification report and what the matrix shows. Writes to figures/NAME/, for each split:
SPLIT_confusion.png, the matrix; SPLIT_errors.png, of the most frequent confusions the most
confident errors; and their numbers. Takes seconds after start-up.

What to expect of the shipped model on PublicTest, none of which it was trained on: 68.3 % of the
faces right. Disgust is misclassified as Angry 25 % of the time and Fear as Sad 19 %; the homework
had 37 and 25. How good a model really is (views of each face, ensembles, calibration): evaluate.py.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import tyro

import utils
from toolbox.analysis import in_words, metrics, predictions, saved_models
from toolbox.analysis.cells import plot_cells
from toolbox.analysis.subject import Subject, open_subject
from toolbox.dataset.classes import in_lines
from toolbox.dataset.synthetic_faces import LABEL_NOISE
from toolbox.late import Figure, Late
from utils import InputError

sklearn_metrics = Late("sklearn.metrics")
PAIRS, ERRORS_PER_PAIR, LETTERS = 6, 6, 14  # in the figure of errors, and in a line above one
MOSTLY = 0.9  # a model with more answers of one class than that has not learned to tell them apart


@dataclass
class Args:
    # data
    data: Path | None = None
    """CSV of faces; without it data/fer2013.csv, or else synthetic faces"""
    split: Literal["validation", "PublicTest", "PrivateTest", "Test", "all"] = "validation"
    """rows to evaluate on; validation are those that this model held out"""

    # model
    model: str = ""
    """file, or name of a run; without it the shipped compact, or on synthetic faces sample/fast"""
    input_range: tuple[float, float] = saved_models.PIXEL_RANGE
    """input range of an external model that does not rescale inside, such as 0 1"""
    classes: tuple[str, ...] = ()
    """what the outputs of such a model stand for: names in order, or alphabetical"""

    # output
    seed: int = 0
    """recorded; nothing here is random"""
    models_dir: Path = utils.MODELS
    """folder of your models"""
    figures_dir: Path = utils.FIGURES
    """folder of the figures and their numbers"""


def class_report(
    labels: np.ndarray, predicted: np.ndarray, classes: tuple[str, ...], as_text: bool
) -> str | dict:
    """scikit-learn's report of all classes, as the homework prints it or as a dict."""
    return sklearn_metrics.classification_report(
        labels,
        predicted,
        labels=np.arange(len(classes)),
        target_names=classes,
        zero_division=0,
        output_dict=not as_text,
    )


def measure_classes(
    labels: np.ndarray, predicted: np.ndarray, classes: tuple[str, ...]
) -> dict[str, dict]:
    """Precision, recall with its 95 % interval, F1 score and number of faces of each class."""
    report = class_report(labels, predicted, classes, as_text=False)
    counts = metrics.confusion_counts(labels, predicted, len(classes))
    for name, found, total in zip(classes, counts.diagonal(), counts.sum(axis=1), strict=True):
        report[name]["recall_interval"] = metrics.interval(found, total)
    return {name: report[name] for name in classes}


def observe(counts: np.ndarray, classes: tuple[str, ...]) -> list[str]:
    """What the matrix shows, in words, as the homework puts it; counts (k, k), rows are true."""
    ratio, support = metrics.ratios(counts), counts.sum(axis=1)
    percent = np.round(100 * ratio).astype(int)
    present = np.flatnonzero(support)
    leading = [i for i in present if counts[i, i] == counts[i].max()]
    lines = [
        f"In {len(leading)} of {len(present)} classes the right answer is the most frequent one."
    ]
    if counts.trace():
        recall = ratio.diagonal()
        precision = counts.diagonal() / np.maximum(counts.sum(axis=0), 1)
        best, worst = present[recall[present].argmax()], present[recall[present].argmin()]
        precise = precision.argmax()
        lines.append(
            f"{classes[best]} has the highest recall ({percent[best, best]} % of {support[best]}), "
            f"{classes[worst]} the lowest ({percent[worst, worst]} % of {support[worst]}); "
            f"{classes[precise]} has the highest precision ({100 * precision[precise]:.0f} %)."
        )
    else:
        lines.append("No face is right.")
    answers = counts.sum(axis=0)
    if answers.max() > MOSTLY * counts.sum():
        share = 100 * answers.max() / counts.sum()
        lines.append(f"{share:.0f} % of all answers are {classes[answers.argmax()]}.")
    wrong = percent - np.diag(percent.diagonal())
    for i in present[np.argsort(-wrong[present].max(axis=1), kind="stable")]:
        for j in np.argsort(-wrong[i], kind="stable"):
            more = wrong[i, j] > percent[i, i]  # as printed: never "0 %, more than the 0 %"
            if wrong[i, j] and (more or wrong[i, j] == wrong[i].max()):
                end = f", more than the {percent[i, i]} % it gets right." if more else "."
                taken = f"{classes[i]} is misclassified as {classes[j]}"
                lines.append(f"{taken} {wrong[i, j]} % of the time{end}")
    return lines


def plot_matrix(counts: np.ndarray, classes: tuple[str, ...], title: str) -> Figure:
    """Ratio of the row and count in every cell; true classes are rows, predicted ones columns."""
    ratios = metrics.ratios(counts)
    texts = [f"{ratio:.2f}\n{n}" for ratio, n in zip(ratios.flat, counts.flat, strict=True)]
    rows = [f"{name} ({n})" for name, n in zip(classes, counts.sum(axis=1), strict=True)]
    figure, image = plot_cells(ratios, texts, rows, classes, 1.0, title)
    figure.colorbar(image, label="fraction of the true class", shrink=0.8)
    return figure


def find_errors(labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """The most confused pairs by count, and of each the faces most confidently mistaken.

    Returns a row per face: true, predicted (0, 1, ...), face (position in `labels`), probability.
    """
    predicted = probabilities.argmax(axis=1)
    wrong = metrics.confusion_counts(labels, predicted, probabilities.shape[1])
    np.fill_diagonal(wrong, 0)
    found = []
    for cell in np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]:
        true, taken_for = (int(i) for i in np.unravel_index(cell, wrong.shape))
        faces = np.flatnonzero((labels == true) & (predicted == taken_for) & (true != taken_for))
        confident = faces[np.argsort(-probabilities[faces, taken_for], kind="stable")]
        for face in confident[:ERRORS_PER_PAIR]:
            found.append((true, taken_for, face, probabilities[face, taken_for]))
    return pd.DataFrame(found, columns=["true", "predicted", "face", "probability"])


def plot_errors(
    errors: pd.DataFrame, images: np.ndarray, classes: tuple[str, ...], title: str
) -> Figure:
    """One row per pair, its most confident errors from the left; images uint8 (n, 48, 48)."""
    pairs = list(errors.groupby(["true", "predicted"], sort=False))
    rows, columns = max(len(pairs), 1), max((len(faces) for _, faces in pairs), default=3)
    names = [in_lines(name, LETTERS) for name in classes]
    tall = 1.65 + 0.3 * max(1 + name.count("\n") for name in names)
    figure = Figure(figsize=(1.6 * max(columns, 3), 0.6 + tall * rows), layout="constrained")
    figure.suptitle(title if pairs else f"{title}\nno errors")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for row, ((true, predicted), faces) in zip(grid, pairs, strict=False):
        for axes, face, probability in zip(row, faces["face"], faces["probability"], strict=False):
            axes.imshow(images[face], cmap="gray", vmin=0, vmax=255)
            text = f"{names[true]}, taken for\n{names[predicted]} {100 * probability:.0f} %"
            axes.set_title(text, fontsize=9)
    return figure


def write_results(subject: Subject, record: dict, probabilities: np.ndarray) -> None:
    """Write both figures, the numbers beside each, and the record."""
    base = subject.folder / subject.label
    labels, classes = subject.labels, subject.classes
    counts = metrics.confusion_counts(labels, probabilities.argmax(axis=1), len(classes))
    low, high = (100 * bound for bound in record["accuracy_interval"])
    right = f"{100 * record['accuracy']:.1f} % of {len(labels):,} faces right"
    title = f"{record['model']} on {record['split']}: {right}"
    matrix = plot_matrix(
        counts, classes, subject.headline(f"{title}\n95 % interval {low:.1f} to {high:.1f}")
    )
    utils.save_figure(matrix, f"{base}_confusion.png")
    table = pd.DataFrame(counts, pd.Index(classes, name="true"), classes)
    utils.write_text(f"{base}_confusion.csv", table.to_csv())
    errors = find_errors(labels, probabilities)
    heading = f"{title}\nmost confident errors of the most frequent confusions"
    if subject.faces.synthetic:
        heading += f"\n{100 * LABEL_NOISE:.0f} % of the labels are wrong on purpose"
    heading = subject.headline(heading)
    figure = plot_errors(errors, subject.images, classes, heading)
    utils.save_figure(figure, f"{base}_errors.png")
    errors = errors.assign(row=subject.rows[errors["face"].astype(int)])
    utils.write_text(f"{base}_errors.csv", errors.to_csv(index=False))
    by_class = pd.DataFrame(record["classes"]).T.rename_axis("class")
    bounds = np.array(by_class.pop("recall_interval").tolist())
    by_class["recall_low"], by_class["recall_high"] = bounds.T
    utils.write_text(f"{base}_classes.csv", by_class.to_csv())
    utils.write_json(f"{base}_confusion.json", record)


def main(args: Args) -> dict:
    """Evaluate the model as `args` say; returns the record written beside the matrix."""
    faces = utils.load_faces(args.data)
    classifier = saved_models.open_model(args, faces.synthetic)
    if faces.labels is None:
        raise InputError(f"{faces.path} has no labels; predict.py --data names them")
    subject = open_subject(faces, args.split, classifier, args.models_dir, args.figures_dir)
    labels, classes = subject.labels, subject.classes
    probabilities = predictions.predict(subject.classifier, subject.images)
    predicted = probabilities.argmax(axis=1)
    counts = metrics.confusion_counts(labels, predicted, len(classes))
    record = utils.provenance(args, faces) | {
        "model": classifier.name,
        "model_trained_on_synthetic": classifier.synthetic,
        "split": args.split,
        **subject.told,
        **metrics.measure_unseen(labels, predicted, len(classes), subject.seen),
        "classes": measure_classes(labels, predicted, classes),
        "observations": observe(counts, classes),
    }
    print(class_report(labels, predicted, classes, as_text=True))
    title = f"{classifier.name} on {args.split}"
    print("\n".join(in_words.measured(title, record) + record["observations"]))
    write_results(subject, record, probabilities)
    return record


if __name__ == "__main__":
    utils.run(main, lambda: tyro.cli(Args, description=__doc__))
