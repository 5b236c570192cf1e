"""How good is a saved model really?

    python evaluate.py --split PublicTest                       # calibration
    python evaluate.py --split PublicTest --flip --shift 2      # mean over 18 views of each face
    python evaluate.py --split PublicTest --ensemble fast dnn   # mean over several models
    python evaluate.py --split PublicTest --versus fast         # is one really better?
    python evaluate.py --split PublicTest --ferplus fer2013new.csv

Writes to figures/NAME/: SPLIT_evaluation.json, named after what was asked for, for example
SPLIT_evaluation_flip_shift2.json; SPLIT_reliability.png, whether the probabilities can be believed;
and SPLIT_versus_OTHER.png, where two models differ. Faces that a model was trained on are counted,
and metrics are also reported without them. Seconds per view and model.

What to expect of the shipped model on PublicTest: 68.3 % [66.8, 69.8] on the faces as they are, and
70.0 % with --flip --shift 2.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import tyro

import utils
from toolbox.analysis import calibration, crowd, in_words, metrics, predictions, saved_models
from toolbox.analysis.cells import plot_cells
from toolbox.analysis.subject import Subject, open_subjects
from toolbox.dataset import ferplus
from toolbox.late import Figure
from utils import SIDE, Faces, InputError

LEAST_FACES = 20  # different ones, to fit a temperature on half of them
LONGEST_NAME = 100  # bytes of a file's name for all members of an ensemble


@dataclass
class Args:
    # data
    data: Path | None = None
    """CSV of faces; without it data/fer2013.csv, or else synthetic faces"""
    split: Literal["validation", "PublicTest", "PrivateTest", "Test", "all"] = "validation"
    """rows to evaluate on; validation are those that this model held out"""
    ferplus: Path | None = None
    """fer2013new.csv with the votes of FER+'s taggers on the same rows"""

    # models: each a path, or the name of a run
    model: str = ""
    """file, or name of a run; without it the shipped compact, or on synthetic faces sample/fast"""
    versus: str = ""
    """another model to compare with on the same rows"""
    ensemble: tuple[str, ...] = ()
    """models whose probabilities are averaged with this model's"""
    input_range: tuple[float, float] = saved_models.PIXEL_RANGE
    """input range of external models that do not rescale inside, such as 0 1"""
    classes: tuple[str, ...] = ()
    """what the outputs of such models stand for: names in order, or alphabetical"""

    # views
    flip: bool = False
    """average over each face and its mirror image"""
    shift: int = 0
    """average over faces shifted by this many pixels each way"""

    # output
    seed: int = 0
    """of the halves that the temperature is fitted and evaluated on"""
    models_dir: Path = utils.MODELS
    """folder of your models"""
    figures_dir: Path = utils.FIGURES
    """folder of the figures and their numbers"""


def open_models(args: Args, faces: Faces) -> list[Subject]:
    """--model, then --ensemble, then --versus, on the same rows and the classes that all share.

    Each knows which of the rows it has seen.
    """
    names = (args.model, *args.ensemble, *([args.versus] if args.versus else []))
    models = [saved_models.open_model(replace(args, model=n), faces.synthetic) for n in names]
    return open_subjects(faces, args.split, models, args.models_dir, args.figures_dir)


def seen_by_any(subjects: list[Subject]) -> np.ndarray | None:
    """bool (m,): which rows one of the models is known to have seen; None if of no model."""
    known = [subject.seen for subject in subjects if subject.seen is not None]
    return np.any(known, axis=0) if known else None


def evaluate_views(subjects: list[Subject], shift: int, flip: bool) -> dict:
    """Accuracy of probabilities averaged over views of each face, and over all the models.

    The first of `subjects` is the model in question.
    """
    first, found, means = subjects[0], {}, []
    labels, images, classes = first.labels, first.images, len(first.classes)
    for subject in subjects:
        mean, views = predictions.predict_views(subject.classifier, images, shift, flip)
        means.append(mean)
    if views > 1:
        answers = means[0].argmax(axis=1)
        measured = metrics.measure_unseen(labels, answers, classes, first.seen)
        found["test_time_augmentation"] = {"views": views} | measured
    if len(subjects) > 1:
        answers = np.mean(means, axis=0).argmax(axis=1)
        measured = metrics.measure_unseen(labels, answers, classes, seen_by_any(subjects))
        names = [subject.classifier.name for subject in subjects]
        unknown = [subject.classifier.name for subject in subjects if subject.seen is None]
        told = {"models": names, "training_faces_unknown_of": unknown, "views": views}
        found["ensemble"] = told | measured
    return found


def compare(subject: Subject, other: Subject, ours: np.ndarray, theirs: np.ndarray) -> dict:
    """Two models on the same faces, and on those that neither was trained on.

    ours, theirs: predicted classes (m,).
    """
    labels = subject.labels
    found = {"model": other.classifier.name, "faces": len(labels)}
    found |= metrics.compare_models(labels, ours, theirs)
    for name, each in (("this", subject), ("the_other", other)):
        if each.seen is not None:
            found[f"faces_seen_by_{name}"] = int(each.seen.sum())
    seen = seen_by_any([subject, other])
    if seen is not None and 0 < seen.sum() < len(seen):
        fair = ~seen
        compared = metrics.compare_models(labels[fair], ours[fair], theirs[fair])
        found["without_seen"] = {"faces": int(fair.sum())} | compared
    return found


def calibrate(subject: Subject, split: str, probabilities: np.ndarray, seed: int) -> dict:
    """Probabilities (m, k) as they are and, by name, at a temperature fitted on other faces."""
    faces, rows = subject.faces, subject.rows
    variants = {"as they are": probabilities}
    fit_on = subject.known.held_out
    _, first, place = np.unique(subject.first_copies[rows], True, True)
    if split in ("validation", "PublicTest") and len(first) >= LEAST_FACES:
        scaled = calibration.cross_fitted(probabilities, subject.labels, first[place], seed)
        variants["at a temperature fitted on the other half"] = scaled
    elif fit_on is not None and len(fit_on) and not np.isin(rows, fit_on).any():
        others = predictions.predict(subject.classifier, faces.images[fit_on])
        temperature = calibration.fit_temperature(others, faces.labels[fit_on].astype(int))
        scaled = calibration.at_temperature(probabilities, temperature)
        variants["at a temperature fitted on validation"] = scaled
    return variants


def plot_difference(difference: np.ndarray, classes: tuple[str, ...], title: str) -> Figure:
    """Ratio of each cell in one matrix less that in the other, (k, k)."""
    texts = [f"{value:+.2f}" for value in difference.flat]
    limit = max(np.abs(difference).max(), 0.01)
    figure, image = plot_cells(difference, texts, classes, classes, limit, title)
    figure.colorbar(image, label="difference of the fractions of the true class", shrink=0.8)
    return figure


def unique_name(args: Args, subject: Subject) -> str:
    """A model's name in names of files, with how it is fed, where that is unusual."""
    classifier = subject.classifier
    name = saved_models.unique_name(classifier, args.models_dir, subject.synthetic)
    return name + classifier.settings


def what_changes_it(args: Args, members: list[Subject], other: Subject | None) -> str:
    """The end of the record's file name: all that was asked for."""
    ensemble = "+".join(unique_name(args, each) for each in members)
    if len(ensemble.encode()) > LONGEST_NAME:
        digest = hashlib.sha256(ensemble.encode()).hexdigest()[:8]
        ensemble = f"{len(members)}-{digest}"
    return (
        utils.changed(args, "flip", "shift", "seed")
        + (f"_ensemble-{ensemble}" if members else "")
        + (f"_versus-{unique_name(args, other)}" if other else "")
        + ("_ferplus" if args.ferplus else "")
    )


def write_reliability(
    subject: Subject, title: str, variants: dict, scores: dict, base: str
) -> None:
    """The reliability diagram and its numbers; variants: probabilities (m, k) by name."""
    curves = {name: calibration.reliability(p, subject.labels) for name, p in variants.items()}
    labelled = {
        f"{name}: error {scores[name]['expected_calibration_error']:.3f}": curve
        for name, curve in curves.items()
    }
    figure = calibration.plot_reliability(labelled, subject.headline(title))
    utils.save_figure(figure, f"{base}.png")
    bins = pd.concat({name: pd.DataFrame(curve) for name, curve in curves.items()})
    utils.write_text(f"{base}.csv", bins.rename_axis(["probabilities", "bin"]).to_csv())


def write_difference(subject: Subject, title: str, answers, base: str) -> None:
    """Where two models differ, and the numbers; answers: predicted classes (m,) of both."""
    labels, classes = subject.labels, subject.classes
    counts = (metrics.confusion_counts(labels, each, len(classes)) for each in answers)
    difference = np.subtract(*map(metrics.ratios, counts))
    figure = plot_difference(difference, classes, subject.headline(title))
    utils.save_figure(figure, f"{base}.png")
    table = pd.DataFrame(difference, pd.Index(classes, name="true"), classes)
    utils.write_text(f"{base}.csv", table.to_csv())


def main(args: Args) -> dict:
    """Evaluate the model as `args` say; returns the record that it writes."""
    utils.check_limits(args, {"seed": (0, 2**31 - 1), "shift": (0, SIDE)})
    faces = utils.load_faces(args.data)
    if faces.labels is None:
        raise InputError(f"{faces.path} has no labels, so there is nothing to compare with")
    votes = ferplus.read_votes(args.ferplus, faces) if args.ferplus else None
    subject, *members = open_models(args, faces)
    other = members.pop() if args.versus else None
    classifier, base = subject.classifier, subject.folder / subject.label

    probabilities = predictions.predict(classifier, subject.images)
    labels, predicted = subject.labels, probabilities.argmax(axis=1)
    variants = calibrate(subject, args.split, probabilities, args.seed)
    record = utils.provenance(args, faces) | {
        "model": classifier.name,
        "model_trained_on_synthetic": classifier.synthetic,
        "split": args.split,
        **subject.told,
        **metrics.measure_unseen(labels, predicted, len(subject.classes), subject.seen),
        "calibration": {name: calibration.scores(p, labels) for name, p in variants.items()},
    }
    if args.flip or args.shift or members:
        record |= evaluate_views([subject, *members], args.shift, args.flip)
    if votes is not None:
        votes = ferplus.of_classes(votes[subject.rows], subject.classes)
        record["ferplus"] = crowd.compare(votes, labels, predicted)
    if other:
        theirs = predictions.predict(other.classifier, subject.images).argmax(axis=1)
        record["versus"] = compare(subject, other, predicted, theirs)
        title = f"{classifier.name} minus {other.classifier.name} on {args.split}"
        file = f"{base}_versus_{unique_name(args, other)}"
        write_difference(subject, title, (predicted, theirs), file)
    print("\n".join(in_words.evaluation(record)))
    title = f"{classifier.name} on {args.split}: {100 * record['accuracy']:.1f} % right"
    file = f"{base}_reliability{utils.changed(args, 'seed')}"
    write_reliability(subject, title, variants, record["calibration"], file)
    utils.write_json(f"{base}_evaluation{what_changes_it(args, members, other)}.json", record)
    return record


if __name__ == "__main__":
    utils.run(main, lambda: tyro.cli(Args, description=__doc__))
