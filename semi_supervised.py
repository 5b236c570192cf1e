"""Learn from few labels: what do unlabelled faces add to 25 or 250 labelled ones a class (the
report's bonus)?

    python semi_supervised.py                                # 250 labels a class, every method
    python semi_supervised.py --labels-per-class 25 --seed 1
    python semi_supervised.py --quick                        # a first look, for drawn faces

Keeps a few labels of each class, hides the others, and trains one network by each method with the
same number of updates: on the labelled faces alone (the baseline), by self-training, by clustering,
by FixMatch, and with all labels (the ceiling). The methods stand in pseudo_labels.py. Hidden labels
are used to say how right the pseudo-labels were, and for nothing else.

What to expect, on one core in bfloat16 with FER2013 (figures/semi_supervised.csv, three seeds,
PublicTest): with 250 labels a class 45.1 % from the labelled faces alone and 49.5 % by FixMatch,
with 25 labels 26.1 % and 32.7 %, with all labels 54.3 %; 7 minutes for FixMatch, 1 to 2 for each of
the others. Self-training gains a point at 250 labels and none at 25, clustering 2.6 and none.
FixMatch gains more the longer it goes on: with 250 labels and --width 24 --updates 12000
--temperature 0.5 it comes to 53.6 % in an hour of one core.

Each run is a row of figures/semi_supervised.csv, from which figures/semi_supervised.png is drawn;
runs add up, and a repeated one replaces its row; other settings want another --name. Killed or
stopped, the same command goes on where it was; what is finished is not trained again.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import tyro
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

import utils
import artefacts
import classifier
import few_labels
import splits
import training
from utils import CLASSES, Faces

LABELS = {  # of the figures
    "baseline": "labelled faces alone",
    "self_training": "self-training",
    "clustering": "clustering",
    "fixmatch": "FixMatch",
    "all_labels": "all labels",
}
METHODS = tuple(LABELS)


@dataclass
class Args:
    # data
    data: Path | None = None
    """CSV of faces; without it data/fer2013.csv, or else drawn sample faces"""
    labels_per_class: int = 250
    """labels of each class that are kept"""
    validation_fraction: float = 0.0
    """share of the training pictures to judge on; 0 judges on PublicTest instead"""

    # methods
    methods: tuple[
        Literal["baseline", "self_training", "clustering", "fixmatch", "all_labels"], ...
    ] = METHODS
    """what to train; the baseline is trained in any case"""
    threshold: float = 0.8
    """self-training: least probability of a pseudo-label (smoothed targets are 0.91)"""
    rounds: int = 5
    """self-training: rounds, after each but the last of which faces get pseudo-labels"""
    clusters: int = 100
    """clustering: clusters of k-means"""
    unlabelled_batch: int = 160
    """FixMatch: unlabelled faces an update"""
    unlabelled_weight: float = 3.0
    """FixMatch: weight of their loss"""
    temperature: float = 0.0
    """FixMatch: of its pseudo-labels; 0 makes them hard, 1 leaves the probabilities as they are"""
    strong_shift: float = 0.15
    """FixMatch, strong augmentation: largest shift, as a share of the side"""
    strong_rotation: float = 30.0
    """FixMatch, strong augmentation: largest turn, degrees"""
    strong_zoom: float = 0.25
    """FixMatch, strong augmentation: largest change of height and of width, as a share"""
    strong_contrast: float = 0.4
    """FixMatch, strong augmentation: largest change of contrast and brightness, as a share"""
    strong_erase: float = 0.45
    """FixMatch, strong augmentation: side of a greyed square in every other face, as a share"""

    # network and optimisation, the same for each method
    width: int = 16
    """channels of the compact net's first stage"""
    precision: Literal["float32", "bfloat16"] = "float32"
    """to compute in; bfloat16 is faster on some processors that have it, slower on others"""
    updates: int = 3000
    """steps of the optimizer"""
    batch_size: int = 32
    """faces with labels or pseudo-labels an update; FixMatch's unlabelled ones come on top"""
    learning_rate: float = 0.05
    """peak of the one cycle"""
    weight_decay: float = 5e-4
    """times the learning rate, each step"""
    label_smoothing: float = 0.1
    """share of each target that is spread over all classes"""
    memory: float = 0.99
    """of running means: the averaged weights, FixMatch's thresholds and alignment"""
    shift: float = 0.08
    """weak augmentation: largest shift, as a share of the side"""
    rotation: float = 10.0
    """weak augmentation: largest turn, degrees"""
    zoom: float = 0.1
    """weak augmentation: largest change of height and of width, as a share"""

    # output
    name: str = "semi"
    """of the settings, in the table and in NAME_METHOD_LABELS_UPDATES_seedSEED.keras"""
    seed: int = 0
    """of the labels kept, weights, batches and augmentation"""
    models_dir: Path = utils.ROOT / "models"
    """folder of the models and their records"""
    figures_dir: Path = utils.ROOT / "figures"
    """folder of the table and the figures"""
    fresh: bool = False
    """train again what is finished, and start over what is not"""
    quick: bool = False
    """other defaults: fewer labels, a small net and few updates"""


QUICK = Args(
    quick=True,
    labels_per_class=10,
    rounds=3,
    clusters=40,
    unlabelled_batch=96,
    width=8,
    updates=400,
)
LIMITS = {
    "labels_per_class": (1, 10**5),
    "threshold": (0, 1),
    "rounds": (1, 1000),
    "clusters": (1, 10**5),
    "unlabelled_batch": (1, 10**5),
    "unlabelled_weight": (0, 1000),
    "temperature": (0, 10),
    "strong_shift": (0, 1),
    "strong_rotation": (0, 180),
    "strong_zoom": (0, 0.99),
    "strong_contrast": (0, 1),
    "strong_erase": (0, 1),
    "updates": (1, 10**7),
    "batch_size": (2, 10**5),
    "memory": (0, 0.99999),
}
PUBLISHED = {10: 0.479, 25: 0.499, 100: 0.595, 250: 0.622}  # FixMatch, Roy & Etemad, ACII 2022


KEY = ["data", "judged_on", "name", "method", "labels_per_class", "width", "updates", "seed"]


def row_of(method: str, args: Args, faces: Faces, record: dict) -> dict:
    """A run as figures/semi_supervised.csv holds it; of all_labels the mean number a class."""
    metrics, pseudo = record["metrics"], record["pseudo_labels"]
    few = method != "all_labels"
    return {
        "name": args.name,
        "method": method,
        "labels_per_class": args.labels_per_class if few else round(record["labelled"] / 7),
        "seed": args.seed,
        "width": args.width,
        "accuracy": round(metrics["accuracy"], 4),
        "macro_f1": round(metrics["macro_f1"], 4),
        "updates": args.updates,
        "minutes": record["minutes"],
        "data": "drawn" if faces.drawn else "fer2013",
        "judged_on": metrics["faces"],
        "coverage": pseudo["coverage"][-1] if pseudo["coverage"] else None,
        "precision": pseudo["precision"][-1] if pseudo["precision"] else None,
        **{f"f1_{name}": value for name, value in zip(CLASSES, metrics["f1"], strict=True)},
        "git": record["git"],
        "command": record["command"],
    }


def main(args: Args) -> dict[str, dict]:
    """Train by each of `args.methods`; returns their rows of the table, by method."""
    utils.check_limits(args, LIMITS)
    training.check(args)
    classifier.require_tensorflow()
    faces = utils.load_faces(args.data)
    train_rows, held_out = splits.split(faces, args.validation_fraction, args.seed)
    labelled, unlabelled = few_labels.hide_labels(
        faces, train_rows, args.labels_per_class, args.seed
    )
    rows = {"labelled": labelled, "unlabelled": unlabelled, "held_out": held_out}
    print(
        f"{len(labelled):,} labelled and {len(unlabelled):,} unlabelled faces of "
        f"{faces.path.name}; judged on {len(held_out):,} others"
    )
    figures = utils.folder(args.figures_dir, faces)
    path = figures / "semi_supervised.csv"
    columns = [*KEY, "accuracy", "macro_f1"]
    artefacts.read_table(path, columns)  # a damaged one shows now, not after the training
    records, results, baseline = {}, {}, None
    for method in [m for m in METHODS if m in ("baseline", *args.methods)]:
        model, records[method] = few_labels.learn(method, args, faces, rows, baseline)
        baseline = baseline or model
        results[method] = row_of(method, args, faces, records[method])
        earlier = artefacts.read_table(path, columns)  # another run may have added to it
        table = artefacts.with_rows(earlier, pd.DataFrame([results[method]]), KEY)
        utils.write_text(path, table.sort_values(KEY).to_csv(index=False))
    title = utils.headline(
        faces,
        f"Learning from few labels, judged on {len(held_out):,} faces: mean and range of the seeds",
    )
    same_faces = table[table["judged_on"] == len(held_out)]
    utils.save_figure(plot_accuracy(same_faces, title), path.with_suffix(".png"))
    title = utils.headline(
        faces,
        f"{args.labels_per_class} labels a class, {args.updates:,} updates, seed {args.seed}",
    )
    stem = figures / f"semi_supervised_{args.labels_per_class}_{args.updates}_seed{args.seed}"
    utils.save_figure(plot_pseudo_labels(records, title), stem.with_suffix(".png"))
    told = ("command", "git", "machine", "versions", "minutes", "configuration", "metrics")
    numbers = {
        method: {key: record[key] for key in (*told, "pseudo_labels")}
        for method, record in records.items()
    }
    utils.write_json(stem.with_suffix(".json"), {"classes": CLASSES, "methods": numbers})
    print_table(results)
    return results


def print_table(rows: dict[str, dict]) -> None:
    """Accuracy, gain over the baseline, macro-F1, coverage, precision and minutes by method."""
    print(f"\n{'':14} accuracy  gain, points  macro-F1  coverage  precision  minutes")
    for method, row in rows.items():
        gain = 100 * (row["accuracy"] - rows["baseline"]["accuracy"])
        pseudo = ["" if row[n] is None else f"{row[n]:.1%}" for n in ("coverage", "precision")]
        print(
            f"{method:14} {row['accuracy']:8.1%}  {gain:+12.1f}  {row['macro_f1']:8.3f}  "
            f"{pseudo[0]:>8}  {pseudo[1]:>9}  {row['minutes']:7.1f}"
        )


def plot_accuracy(table: pd.DataFrame, title: str) -> Figure:
    """Accuracy and macro-F1 against labels a class: the mean over seeds, bars from the lowest to
    the highest seed. A colour a method, a mark and a kind of line for each of the settings, the
    most usual first; the published FixMatch beside those of real faces.

    table: rows of figures/semi_supervised.csv, all judged on the same faces.
    """
    figure = Figure(figsize=(10, 5), layout="constrained")
    figure.suptitle(title)
    ticks = sorted(table.loc[table["method"] != "all_labels", "labels_per_class"].unique())
    real, key = (table["data"] == "fer2013").all(), ["name", "width", "updates"]
    settings = table[key].value_counts().index.tolist()
    colours = {method: f"C{i}" for i, method in enumerate(METHODS)} | {"all_labels": "0.3"}
    looks = [
        {"marker": "oDs^v"[i % 5], "ls": ("-", "--", "-.", ":")[i % 4], "ms": 4, "lw": 1.2}
        for i in range(len(settings))
    ]
    for axes, name in zip(figure.subplots(1, 2), ("accuracy", "macro_f1"), strict=True):
        for (method, *its), runs in table.groupby(["method", *key]):
            look = looks[settings.index(tuple(its))] | {"color": colours[method]}
            if method == "all_labels":
                axes.axhline(runs[name].mean(), color=look["color"], ls=look["ls"], lw=1)
                axes.axhspan(runs[name].min(), runs[name].max(), color="0.3", alpha=0.12)
                continue
            by_labels = runs.groupby("labels_per_class")[name]
            mean = by_labels.mean()
            reach = np.abs(by_labels.agg(["min", "max"]).T - mean)
            # Each a little aside, else the bars would cover each other.
            aside = mean.index * 1.03 ** (METHODS.index(method) - 1.5)
            axes.errorbar(aside, mean, reach, capsize=3, **look)
        if name == "accuracy" and real:
            axes.plot(*zip(*PUBLISHED.items(), strict=True), "k:x", lw=1, ms=5)
            ticks = sorted({*ticks, *PUBLISHED})
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{n}" for n in ticks])
        axes.set_xlim(ticks[0] / 1.3, ticks[-1] * 1.3)
        axes.minorticks_off()
        axes.set(xlabel="labels a class", ylabel=name.replace("_f1", "-F1"))
        axes.grid(alpha=0.3)
    legend = [
        Line2D([], [], color=colours[method], lw=3, label=LABELS[method])
        for method in METHODS
        if (table["method"] == method).any()
    ]
    if real:
        published = "FixMatch as published (WRN-28-2, 2^20 updates)"
        legend.append(Line2D([], [], color="k", marker="x", ls=":", lw=1, ms=5, label=published))
    legend += [
        Line2D([], [], color="0.3", label="{}, width {}, {:,} updates".format(*its), **look)
        for its, look in zip(settings, looks, strict=True)
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=3)
    return figure


def plot_pseudo_labels(records: dict[str, dict], title: str) -> Figure:
    """Coverage and precision of the pseudo-labels over training, and what each class gains."""
    figure = Figure(figsize=(13, 4), layout="constrained")
    figure.suptitle(title)
    coverage, precision, gains = figure.subplots(1, 3)
    learners = [method for method in records if method not in ("baseline", "all_labels")]
    width = 0.8 / max(len(learners), 1)
    baseline = np.array(records["baseline"]["metrics"]["f1"])
    for place, method in enumerate(learners):
        pseudo = records[method]["pseudo_labels"]
        look = {"color": f"C{METHODS.index(method)}", "label": LABELS[method]}
        for axes, name in ((coverage, "coverage"), (precision, "precision")):
            values = np.array(pseudo[name], float)  # None becomes NaN: not drawn
            axes.plot(pseudo["updates"], values, "o-", ms=3, **look)
            axes.set_xlim(0, records["baseline"]["configuration"]["updates"])
        places = np.arange(len(CLASSES)) + (place - (len(learners) - 1) / 2) * width
        gains.bar(places, records[method]["metrics"]["f1"] - baseline, width, **look)
    for axes, name in (
        (coverage, "share with a pseudo-label"),
        (precision, "share of those right"),
    ):
        axes.set(xlabel="updates", ylabel=name, ylim=(0, 1.05))
        if learners:
            axes.legend()
    gains.axhline(0, color="0.3", lw=0.8)
    gains.set_xticks(np.arange(len(CLASSES)), CLASSES, rotation=30)
    gains.set(ylabel="F1 minus the baseline's")
    for axes in figure.axes:
        axes.grid(alpha=0.3)
    return figure


def parse(arguments: list[str]) -> Args:
    """`[flags]`; with `--quick` the flags change the quick settings instead."""
    default = QUICK if "--quick" in arguments else Args()
    return tyro.cli(Args, args=arguments, default=default, description=__doc__)


if __name__ == "__main__":
    utils.run(main, parse(sys.argv[1:]))
