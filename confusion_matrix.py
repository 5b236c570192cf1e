"""How a saved model errs (the report's P3).

    python confusion_matrix.py                            # compact.keras on what it held out
    python confusion_matrix.py --model models/dnn.keras --split PublicTest --flip
    python confusion_matrix.py --versus models/dnn.keras  # is one really better?
    python confusion_matrix.py --split PublicTest --ferplus fer2013new.csv
    python confusion_matrix.py --data test.csv --submission submission.csv

Writes to figures/, each with its numbers beside it: NAME_SPLIT_confusion.png, the matrix;
NAME_SPLIT_mistakes.png, the surest wrong answers; NAME_SPLIT_reliability.png, whether the
probabilities can be believed. Takes seconds after start-up.

What to expect (figures/compact_PublicTest_confusion.json, seed 0, two cores): the compact net is
right on 67.1 % of PublicTest [65.6, 68.7], none of which it was trained on, and on 68.9 % by the
mean of 18 views of each face (--flip --shift 2). Disgust is taken for Angry 30 % of the time and
Fear for Sad 20 %; the report had 37 and 25.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import utils  # isort: split

import numpy as np
import pandas as pd
import tyro
from matplotlib.figure import Figure
from sklearn.metrics import classification_report

import calibration
import classifier as classifiers
import fer2013_csv
import ferplus
import splits
from utils import CLASSES, SIDE, Faces, InputError
from scores import compare_models, confusion_counts, interval, measure, ratios


@dataclass
class Args:
    # data
    data: Path | None = None
    """CSV of faces; without it data/fer2013.csv, or else drawn sample faces"""
    split: Literal["validation", "PublicTest", "PrivateTest", "Test", "all"] = "validation"
    """rows to judge on; validation are those that this model held out"""
    ferplus: Path | None = None
    """fer2013new.csv with the votes of FER+'s taggers on the same rows"""

    # model
    model: Path | None = None
    """saved Keras model; without it compact.keras, or fast.keras for drawn faces"""
    versus: Path | None = None
    """another saved model to compare with on the same rows"""
    input_range: tuple[float, float] = (0.0, 255.0)
    """what black and white become before the models see them, as 0 1 or -1 1"""
    flip: bool = False
    """also judge the mean of each face's and its mirror image's probabilities"""
    shift: int = 0
    """also judge the mean over faces shifted by this many pixels each way"""
    ensemble: tuple[Path, ...] = ()
    """also judge the mean of this model's and these models' probabilities, over all those views"""

    # output
    submission: Path | None = None
    """write `id,label` for every row of the data to this file, and nothing else"""
    seed: int = 0
    """of the halves that the temperature is fitted and judged on"""
    models_dir: Path = utils.ROOT / "models"
    """folder of compact.keras and fast.keras"""
    figures_dir: Path = utils.ROOT / "figures"
    """folder of the figures and their numbers"""


def class_report(labels: np.ndarray, predicted: np.ndarray, as_text: bool):
    """scikit-learn's report of all 7 classes, as the report prints it or as a dict."""
    return classification_report(
        labels,
        predicted,
        labels=np.arange(len(CLASSES)),
        target_names=CLASSES,
        zero_division=0,
        output_dict=not as_text,
    )


def observe(counts: np.ndarray) -> list[str]:
    """What the matrix shows, in words, in the report's manner."""
    ratio, support = ratios(counts), counts.sum(axis=1)
    present = np.flatnonzero(support)
    recall = ratio.diagonal()
    precision = counts.diagonal() / np.maximum(counts.sum(axis=0), 1)
    leading = [i for i in present if ratio[i].argmax() == i]
    best, worst = present[recall[present].argmax()], present[recall[present].argmin()]
    precise = precision.argmax()
    lines = [
        f"In {len(leading)} of {len(present)} classes the right answer is the most frequent one.",
        f"{CLASSES[best]} is found best ({recall[best]:.0%} of {support[best]}), {CLASSES[worst]} "
        f"worst ({recall[worst]:.0%} of {support[worst]}); {CLASSES[precise]} is the most "
        f"reliable answer (right {precision[precise]:.0%} of the time).",
    ]
    wrong = ratio - np.diag(recall)
    for i in present[np.argsort(-wrong[present].max(axis=1))]:
        for j in np.argsort(-wrong[i], kind="stable"):
            beaten = counts[i, j] > counts[i, i]
            if wrong[i, j] > 0 and (beaten or wrong[i, j] == wrong[i].max()):
                lines.append(
                    f"{CLASSES[i]} is taken for {CLASSES[j]} {wrong[i, j]:.0%} of the time"
                    + (f", more than the {recall[i]:.0%} it gets right." if beaten else ".")
                )
    return lines


def plot_matrix(counts: np.ndarray, title: str) -> Figure:
    """Ratio of each row and count in every cell; true classes are rows, predicted ones columns."""
    texts = [f"{r:.2f}\n{n}" for r, n in zip(ratios(counts).flat, counts.flat, strict=True)]
    rows = [f"{name} ({n})" for name, n in zip(CLASSES, counts.sum(axis=1), strict=True)]
    return plot_cells(ratios(counts), texts, rows, "share of the true class", "Blues", 0, 1, title)


def plot_difference(ours: np.ndarray, theirs: np.ndarray, title: str) -> Figure:
    """Ratio of each cell in one matrix less that in the other; counts (7, 7) each."""
    difference = ratios(ours) - ratios(theirs)
    limit = max(np.abs(difference).max(), 0.01)
    texts = [f"{value:+.2f}" for value in difference.flat]
    bar = "difference of the shares of the true class"
    return plot_cells(difference, texts, CLASSES, bar, "RdBu", -limit, limit, title)


def plot_cells(values, texts, rows, bar: str, colours: str, low, high, title: str) -> Figure:
    figure = Figure(figsize=(7.5, 6.5), layout="constrained")
    axes = figure.add_subplot(title=title)
    image = axes.imshow(values, cmap=colours, vmin=low, vmax=high)
    figure.colorbar(image, label=bar, shrink=0.8)
    for (i, j), text in zip(np.ndindex(values.shape), texts, strict=True):
        dark = abs(values[i, j]) > 0.55 * high
        axes.text(j, i, text, ha="center", va="center", color="white" if dark else "black")
    axes.set_xticks(np.arange(len(CLASSES)), CLASSES, rotation=30)
    axes.set_yticks(np.arange(len(CLASSES)), rows)
    axes.set(xlabel="predicted", ylabel="true")
    return figure


def find_mistakes(
    counts: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, pairs: int = 6, each: int = 6
) -> pd.DataFrame:
    """The most confused pairs by count, and of each the faces that were most surely mistaken."""
    predicted, found = probabilities.argmax(axis=1), []
    wrong = counts - np.diag(counts.diagonal())
    for cell in np.argsort(-wrong, axis=None, kind="stable")[:pairs]:
        true, taken_for = np.unravel_index(cell, wrong.shape)
        faces = np.flatnonzero((labels == true) & (predicted == taken_for) & (true != taken_for))
        surest = faces[np.argsort(-probabilities[faces, taken_for], kind="stable")][:each]
        found += [(true, taken_for, face, probabilities[face, taken_for]) for face in surest]
    return pd.DataFrame(found, columns=["true", "predicted", "face", "probability"])


def plot_mistakes(mistakes: pd.DataFrame, images: np.ndarray, title: str) -> Figure:
    """A row a pair, its surest wrong answers from the left; images uint8 (n, 48, 48)."""
    pairs = list(mistakes.groupby(["true", "predicted"], sort=False))
    columns = max((len(faces) for _, faces in pairs), default=1)
    figure = Figure(figsize=(1.6 * columns, 1.95 * max(len(pairs), 1)), layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(max(len(pairs), 1), columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for row, (_, faces) in zip(grid, pairs, strict=False):
        for axes, (_, face) in zip(row, faces.iterrows(), strict=False):
            axes.imshow(images[int(face["face"])], cmap="gray", vmin=0, vmax=255)
            names = CLASSES[int(face["true"])], CLASSES[int(face["predicted"])]
            text = f"{names[0]}, taken for\n{names[1]} {face['probability']:.0%}"
            axes.set_title(text, fontsize=9)
    return figure


def submit(path: Path, faces: Faces, model: classifiers.Classifier) -> dict:
    """Write the homework's `id,label` for all rows; ids are those of the CSV if it has any."""
    predicted = classifiers.predict(model, faces.images).argmax(axis=1)
    ids = fer2013_csv.read_ids(faces.path) or np.arange(len(predicted))
    text = pd.DataFrame({"id": ids, "label": predicted}).to_csv(index=False)
    utils.write_text(path, text)
    print(f"wrote {path}, {len(predicted):,} predictions of {model.name}")
    return {"rows": len(predicted)}


def calibrate(args: Args, faces: Faces, model, images, probabilities, labels) -> tuple:
    """Probabilities at a temperature that was fitted elsewhere, and where that was."""
    if args.split in ("validation", "PublicTest") and len(labels) >= 20:
        group = splits.first_copy(images)
        scaled = calibration.cross_fitted(probabilities, labels, group, args.seed)
        return scaled, "the other half"
    held_out = classifiers.validation_rows(faces, model)
    if held_out is None or args.split == "all":
        return probabilities, ""
    held_out_probabilities = classifiers.predict(model, faces.images[held_out])
    temperature = calibration.fit_temperature(held_out_probabilities, faces.labels[held_out])
    return calibration.at_temperature(probabilities, temperature), "validation"


def judge_means(args: Args, model, members: list, images, labels) -> dict:
    """How right the mean probabilities are over views of each face, and over several models."""
    models, found = [model, *members], {}
    means, views = zip(
        *(classifiers.predict_views(each, images, args.shift, args.flip) for each in models),
        strict=True,
    )
    told = {"views": views[0]}
    if views[0] > 1:
        found["test_time_augmentation"] = told | measure(labels, means[0].argmax(axis=1))
    if members:
        names = {"models": [each.name for each in models]}
        answers = np.mean(means, axis=0).argmax(axis=1)
        found["ensemble"] = names | told | measure(labels, answers)
    return found


def judge(
    args: Args, faces: Faces, rows: np.ndarray, model, other, members: list, votes
) -> tuple[dict, dict]:
    """All that is asked about `model` on `rows`, alone and in an ensemble with `members`; against
    `other` on those that neither was trained on, as far as that is known.

    Returns the record, in plain values, and what the figures need besides: `probabilities`, the
    matrix `counts`, both models' in `versus_counts`, and the reliability `curves`.
    """
    labels, images = faces.labels[rows].astype(int), faces.images[rows]
    probabilities = classifiers.predict(model, images)
    predicted = probabilities.argmax(axis=1)
    counts = confusion_counts(labels, predicted)
    classes = class_report(labels, predicted, as_text=False)
    for name, found, total in zip(CLASSES, counts.diagonal(), counts.sum(axis=1), strict=True):
        classes[name]["recall_interval"] = interval(found, total)
    record = {
        "model": model.name,
        "split": args.split,
        **measure(labels, predicted),
        "classes": {name: classes[name] for name in CLASSES},
        "observations": observe(counts),
    }
    seen = classifiers.seen_in_training(faces, model, rows)
    if seen is not None:
        record["faces_seen_in_training"] = int(seen.sum())
        if 0 < seen.sum() < len(seen):
            record["without_seen"] = measure(labels[~seen], predicted[~seen])
    if args.flip or args.shift or members:
        record |= judge_means(args, model, members, images, labels)
    variants = {"as it is": probabilities}
    scaled, fitted_on = calibrate(args, faces, model, images, probabilities, labels)
    if fitted_on:
        variants[f"at a temperature fitted on {fitted_on}"] = scaled
    curves = {name: calibration.reliability(p, labels) for name, p in variants.items()}
    record["calibration"] = {name: calibration.scores(p, labels) for name, p in variants.items()}
    if votes is not None:
        record["ferplus"] = ferplus.compare(votes[rows], labels, predicted)
    drawn = {"probabilities": probabilities, "counts": counts, "curves": curves}
    if other:
        theirs = classifiers.predict(other, images).argmax(axis=1)
        fair = np.ones(len(rows), bool)
        for known in (seen, classifiers.seen_in_training(faces, other, rows)):
            fair &= True if known is None else ~known
        if not fair.any():
            raise InputError(f"{model.name} or {other.name} was trained on each of these faces")
        record["versus"] = {
            "model": other.name,
            "faces": int(fair.sum()),
            **compare_models(labels[fair], predicted[fair], theirs[fair]),
        }
        answers = (predicted[fair], theirs[fair])
        drawn["versus_counts"] = [confusion_counts(labels[fair], both) for both in answers]
    return record, drawn


def leave_figures(args: Args, faces: Faces, rows: np.ndarray, record: dict, drawn: dict) -> None:
    """Write each figure and, beside it, its numbers."""
    model, counts = record["model"], drawn["counts"]
    folder = utils.folder(args.figures_dir, faces)
    low, high = record["accuracy_interval"]
    title = utils.headline(
        faces, f"{model} on {args.split}: {record['accuracy']:.1%} of {len(rows):,} faces right"
    )

    def leave(kind: str, figure: Figure, numbers: pd.DataFrame) -> None:
        path = folder / f"{model}_{args.split}_{kind}.png"
        utils.save_figure(figure, path)
        utils.write_text(path.with_suffix(".csv"), numbers.to_csv())

    names = pd.Index(CLASSES, name="true")
    figure = plot_matrix(counts, f"{title}\n95 % interval {low:.1%} to {high:.1%}")
    leave("confusion", figure, pd.DataFrame(counts, names, CLASSES))
    mistakes = find_mistakes(counts, faces.labels[rows], drawn["probabilities"])
    figure = plot_mistakes(mistakes, faces.images[rows], f"{title}, the surest mistakes")
    leave("mistakes", figure, mistakes.assign(row=rows[mistakes["face"]]))
    bins = pd.concat({name: pd.DataFrame(curve) for name, curve in drawn["curves"].items()})
    labelled = {
        f"{name}: error {record['calibration'][name]['expected_calibration_error']:.3f}": curve
        for name, curve in drawn["curves"].items()
    }
    leave("reliability", calibration.plot_reliability(labelled, title), bins)
    if "versus" in record:
        other, (ours, theirs) = record["versus"]["model"], drawn["versus_counts"]
        title = utils.headline(faces, f"{model} less {other} on {args.split}")
        difference = pd.DataFrame(ratios(ours) - ratios(theirs), names, CLASSES)
        leave(f"versus_{other}", plot_difference(ours, theirs, title), difference)


def main(args: Args) -> dict:
    """Judge the model as `args` say; returns the record written beside the matrix."""
    utils.check_limits(args, {"seed": (0, 2**31 - 1), "shift": (0, SIDE)})
    faces, model = classifiers.open_data_and_model(args)
    if args.submission:
        return submit(args.submission, faces, model)
    if faces.labels is None:
        raise InputError(f"{faces.path} has no labels; predict them with --submission FILE")
    rows = classifiers.rows_of_split(args.split, faces, model)
    members = [classifiers.load_classifier(path, args.input_range) for path in args.ensemble]
    other = classifiers.load_classifier(args.versus, args.input_range) if args.versus else None
    if args.split == "validation":
        for each in filter(None, (*members, other)):
            classifiers.refuse_training_rows(rows, faces, each)
    votes = ferplus.read_votes(args.ferplus, faces) if args.ferplus else None
    judged, drawn = judge(args, faces, rows, model, other, members, votes)
    record = utils.provenance(args, faces) | judged
    print(class_report(faces.labels[rows], drawn["probabilities"].argmax(axis=1), as_text=True))
    print("\n".join(summary(record)))
    leave_figures(args, faces, rows, record, drawn)
    base = utils.folder(args.figures_dir, faces) / f"{model.name}_{args.split}"
    classes = pd.DataFrame(record["classes"]).T.rename_axis("class")
    bounds = np.array(classes.pop("recall_interval").tolist())
    classes["recall_low"], classes["recall_high"] = bounds.T
    utils.write_text(Path(f"{base}_classes.csv"), classes.to_csv())
    utils.write_json(Path(f"{base}_confusion.json"), record)
    return record


def summary(record: dict) -> list[str]:
    """The record in words, a line a question."""

    def line(name: str, part: dict) -> str:
        low, high = part["accuracy_interval"]
        return (
            f"{name}: accuracy {part['accuracy']:.1%} [{low:.1%}, {high:.1%}], macro-F1 "
            f"{part['macro_f1']:.3f}, balanced accuracy {part['balanced_accuracy']:.1%}"
        )

    lines = [line(f"{record['model']} on {record['split']}, {record['faces']:,} faces", record)]
    seen = record.get("faces_seen_in_training")
    if seen is None:
        lines.append("What it was trained on is not known: these faces may be among it.")
    else:
        lines.append(f"{seen:,} of these faces also stand in the rows it was trained on.")
    if "without_seen" in record:
        lines.append(line("Without them", record["without_seen"]))
    if "test_time_augmentation" in record:
        part = record["test_time_augmentation"]
        lines.append(line(f"With test-time augmentation, {part['views']} views a face", part))
    if "ensemble" in record:
        part = record["ensemble"]
        lines.append(line(f"{' + '.join(part['models'])}, {part['views']} views a face", part))
    for name, scores in record["calibration"].items():
        text = ", ".join(f"{score.replace('_', ' ')} {v:.3f}" for score, v in scores.items())
        lines.append(f"Probabilities {name}: {text}")
    if "versus" in record:
        versus = record["versus"]
        lines.append(
            f"Against {versus['model']}, on {versus['faces']:,} faces that neither is known to "
            f"have seen: {versus['accuracy']:.1%} and {versus['other_accuracy']:.1%}; only the one "
            f"is right on {versus['only_this_is_right']}, only the other on "
            f"{versus['only_the_other_is_right']}; McNemar's exact p = {versus['mcnemar_p']:.2g}"
        )
    if "ferplus" in record:
        lines += ferplus.describe(record["ferplus"])
    return lines + record["observations"]


if __name__ == "__main__":
    utils.run(main, tyro.cli(Args, description=__doc__))
