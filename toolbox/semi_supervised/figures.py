"""What semi_supervised.py draws, from the table and the records of its runs."""

import textwrap

import numpy as np
import pandas as pd

from toolbox import files
from toolbox.dataset.classes import label_columns
from toolbox.dataset.faces import CLASSES
from toolbox.late import Axes, Figure, Line2D
from toolbox.semi_supervised import results
from toolbox.semi_supervised.runs import FOLDER, Run

LABELS = {  # of the methods
    "baseline": "labelled faces alone",
    "fine_tuning": "SimCLR, then the labelled faces",
    "self_training": "self-training",
    "clustering": "clustering",
    "fixmatch": "FixMatch",
    "all_labels": "all labels",
}
COLORS = dict(zip(LABELS, ("C0", "C4", "C1", "C2", "C3", "0.3"), strict=True))
COMMON = ["width", "updates", "name"]  # columns of the settings that all methods share
MARKERS = "oDsv^P*X"  # of the settings; the first is drawn in lines
LETTERS = 55  # in a line of the legend
# FixMatch on FER2013 in S. Roy, A. Etemad (ACII 2022): WRN-28-2, 2^20 updates.
PUBLISHED = {10: 0.479, 25: 0.499, 100: 0.595, 250: 0.622}


def save(baseline: Run) -> None:
    """Draw all runs on these faces, and the pseudo-labels of all runs that have this baseline."""
    faces = baseline.faces
    records = [r for r in results.read_records(baseline) if r["data"]["sha256"] == faces.sha256]
    title = files.plain(faces.headline("Learning from few labels: mean and range of the seeds"))
    public_test = not baseline.decides["validation_fraction"]
    published = public_test and not faces.synthetic and not faces.file_label
    figure = plot_accuracy(results.make_table(records), published, title)
    files.save_figure(figure, baseline.figures / f"{FOLDER}.png")
    title = files.plain(faces.headline(baseline.title))
    figure = plot_pseudo_labels(results.of_baseline(baseline, records), title)
    files.save_figure(figure, baseline.figures / f"pseudo_labels_{baseline.setting}.png")


def plot_accuracy(table: pd.DataFrame, published: bool, title: str) -> Figure:
    """Accuracy and macro-F1 over labels per class: the mean of the seeds, bars from the lowest to
    the highest.

    One line per method, in the setting that most runs have; all other settings are open markers to
    the right of their number of labels. All labels are at the right end.
    table: rows of semi_supervised.csv from the same faces. published: draw the published FixMatch.
    """
    figure = Figure(figsize=(11, 5.5), layout="constrained")
    figure.suptitle(title)
    settings = by_setting(table)
    for axes, measure in zip(figure.subplots(1, 2), ("accuracy", "macro_f1"), strict=True):
        for place, runs in enumerate(settings.values()):
            for method, its in runs.groupby("method"):
                draw(axes, its, measure, method, place)
        if published and measure == "accuracy":
            axes.plot(*zip(*PUBLISHED.items(), strict=True), "k:x", lw=1, ms=5)
        set_scale(axes, table, measure, published)
    handles = legend(table, published, [*settings])
    figure.legend(handles=handles, loc="outside lower center", ncols=2 if len(settings) > 1 else 3)
    return figure


def by_setting(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows in each setting, by its label, those of most runs first.

    Settings of a method's own, such as FixMatch's temperature, make another one only if that method
    was run with several of them.
    """
    table = table.fillna({"name": "", "settings": ""})
    groups = []
    for common, runs in table.groupby(COMMON):
        variant = runs.groupby("method")["settings"].transform(
            lambda own: own.map({name: i for i, name in enumerate(own.value_counts().index)})
        )
        groups += [(setting_label(*common, its), its) for _, its in runs.groupby(variant)]
    return dict(sorted(groups, key=lambda group: -len(group[1])))


def setting_label(width: int, updates: int, name: str, runs: pd.DataFrame) -> str:
    told = [f"width {width}", f"{updates:,} updates", *([name] if name != "default" else [])]
    own = runs.loc[runs["settings"] != "", ["method", "settings"]].drop_duplicates()
    told += [f"{LABELS[method]} {settings}" for method, settings in own.itertuples(index=False)]
    return files.plain(", ".join(told).replace("_", " "))


def draw(axes: Axes, runs: pd.DataFrame, measure: str, method: str, place: int) -> None:
    """Runs of one method in one setting; place: of the setting among all."""
    by_labels = runs.groupby("labels_per_class")[measure]
    mean = by_labels.mean()
    reach = np.abs(by_labels.agg(["min", "max"]).T - mean)
    aside = 1.06 ** (place % len(MARKERS))
    look = {"marker": MARKERS[place % len(MARKERS)], "color": COLORS[method], "ms": 5, "capsize": 2}
    if place:
        look |= {"ls": "", "mfc": "white"}
    elif method == "all_labels":
        axes.axhline(mean.iloc[0], color=COLORS[method], ls="--", lw=0.8)
    else:  # a little aside of each other, or the bars would overlap
        aside = 1.03 ** ([*LABELS].index(method) - 1.5)
    axes.errorbar(mean.index * aside, mean, reach, lw=1.3, **look)


def set_scale(axes: Axes, table: pd.DataFrame, measure: str, published: bool) -> None:
    """A logarithmic axis of the numbers of labels, with "all" at the mean number per class."""
    everything = table["method"] == "all_labels"
    few = [*table.loc[~everything, "labels_per_class"], *(PUBLISHED if published else ())]
    ticks = {number: f"{number}" for number in few}
    ticks |= dict.fromkeys(table.loc[everything, "labels_per_class"], "all")
    axes.set_xscale("log")
    axes.set_xticks([*ticks], [*ticks.values()])
    axes.set_xlim(min(ticks) / 1.3, max(ticks) * 2)
    axes.minorticks_off()
    axes.set(xlabel="labels per class", ylabel=measure.replace("_f1", "-F1"))
    axes.grid(alpha=0.3)


def legend(table: pd.DataFrame, published: bool, settings: list[str]) -> list[Line2D]:
    """A colour per method, a marker per setting."""
    handles = [
        Line2D([], [], color=color, lw=3, label=LABELS[method])
        for method, color in COLORS.items()
        if (table["method"] == method).any()
    ]
    if published:
        told = "FixMatch in Roy and Etemad 2022 (WRN-28-2, 2^20 updates)"
        handles.append(Line2D([], [], color="k", marker="x", ls=":", lw=1, ms=5, label=told))
    for place, label in enumerate(settings):
        look = {"ls": "", "mfc": "white"} if place else {}
        marker = MARKERS[place % len(MARKERS)]
        label = textwrap.fill(label, LETTERS)
        handles.append(Line2D([], [], color="0.3", marker=marker, ms=5, label=label, **look))
    return handles


def plot_pseudo_labels(records: list[dict], title: str) -> Figure:
    """Coverage and precision of the pseudo-labels during training, and the F1 that each class gains
    over the baseline. records: of runs that differ in their method, or its own settings, alone.
    """
    figure = Figure(figsize=(13, 4), layout="constrained")
    figure.suptitle(title)
    coverage, precision, gains = figure.subplots(1, 3)
    methods = [record["configuration"]["method"] for record in records]
    baseline = records[methods.index("baseline")]
    classes = baseline.get("classes", CLASSES)  # of FER2013 in older records
    learners = sorted(
        (place, record["settings"], i, record)
        for i, (method, record) in enumerate(zip(methods, records, strict=True))
        if 0 < (place := [*LABELS].index(method)) < len(LABELS) - 1
    )
    bar = 0.8 / max(len(learners), 1)
    for place, (_, own, i, record) in enumerate(learners):
        label = LABELS[methods[i]] + (f", {own.replace('_', ', ')}" if own else "")
        look = {"color": COLORS[methods[i]], "label": label}
        ls = ("-", "--", ":")[methods[:i].count(methods[i]) % 3]
        pseudo = record["pseudo_labels"]
        for axes, name in ((coverage, "coverage"), (precision, "precision")):
            values = np.array(pseudo[name], float)  # None becomes NaN: not drawn
            axes.plot(pseudo["updates"], values, "o", ls=ls, ms=3, **look)
        places = np.arange(len(classes)) + (place - (len(learners) - 1) / 2) * bar
        gain = np.subtract(record["metrics"]["f1"], baseline["metrics"]["f1"])
        gains.bar(places, gain, bar, ls=ls, **look)
    for axes, name in (
        (coverage, "fraction with a pseudo-label"),
        (precision, "fraction of those that are right"),
    ):
        axes.set(xlabel="updates", ylabel=name, ylim=(0, 1.05))
        axes.set_xlim(*np.multiply((-0.02, 1.02), baseline["configuration"]["updates"]))
    if learners:
        handles = coverage.get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=min(len(learners), 4))
    gains.axhline(0, color="0.3", lw=0.8)
    label_columns(gains, classes)
    gains.set(ylabel="F1 minus the baseline's")
    for axes in figure.axes:
        axes.grid(alpha=0.3)
    return figure
