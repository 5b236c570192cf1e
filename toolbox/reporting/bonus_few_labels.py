"""The bonus: what unlabelled faces add to a few labelled ones."""

import numpy as np
import pandas as pd

from toolbox.dataset.faces import Faces
from toolbox.dataset.splits import rows_of_usage, training_rows
from toolbox.reporting.checked_files import read_table
from toolbox.reporting.markdown import Missing, table
from toolbox.reporting.records import Records
from toolbox.semi_supervised.figures import LABELS

NUMBERS = ("labels_per_class", "seed", "width", "updates", "accuracy", "macro_f1", "minutes")
STARTS = ("start", "start_minutes")
WORDS = ("method", "name", "settings", "command")  # settings: what differs from the defaults
COMMON = ["labels_per_class", "width", "updates", "name"]  # of runs that may be compared
HEADER = [
    *("labels per class", "method", "width", "updates", "settings", "seeds"),
    *("accuracy, %", "gain, points", "macro-F1", "minutes"),
]


def section(records: Records) -> list[str | Missing]:
    """The bonus as Markdown blocks."""
    path = records.figures / "semi_supervised" / "semi_supervised.csv"
    if not path.exists():
        flags = " --quick" if records.synthetic else flags_for(records.faces)
        return [records.missing("learning from few labels", f"semi_supervised.py{flags}")]
    runs = read_table(path, NUMBERS)
    starts = dict(runs.reindex(columns=STARTS).dropna().itertuples(index=False))
    words = runs.reindex(columns=WORDS).astype(object).fillna("").map(str)
    results = summarize(pd.concat([runs[list(NUMBERS)], words], axis=1))
    caption = "Accuracy and macro-F1 over labels per class"
    quick = words["command"].str.contains("--quick").any()
    return [
        "Gains are over the labelled faces alone, with the same seeds."
        + (" Runs of `--quick` are too short to say which method gains more." if quick else ""),
        *([describe_starts(starts)] if starts else []),
        records.picture(path.with_suffix(".png"), caption),
        table(HEADER, [format_row(row) for row in results.to_dict("records")]),
    ]


def describe_starts(minutes: dict[str, object]) -> str:
    """minutes: of each run of SimCLR."""
    told = ", ".join(f"`{name}` ({time} minutes)" for name, time in minutes.items())
    return (
        "All methods but the labelled faces alone start from weights that SimCLR learned from all "
        f"training faces without their labels, unless their settings say otherwise: {told}."
    )


def flags_for(faces: Faces | None) -> str:
    """What data smaller than FER2013 need; None is FER2013."""
    if faces is None:
        return ""
    labels = faces.labels[training_rows(faces)]
    fewest = np.bincount(labels, minlength=len(faces.classes)).min()
    without_test = not len(rows_of_usage(faces, "PublicTest"))
    flags = " --validation-fraction 0.1" if without_test else ""
    return flags + (f" --labels-per-class {max(fewest // 4, 1)}" if fewest < 400 else "")


def summarize(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per method and setting: means over the seeds, and the mean gain over the baseline of
    the same setting and seed.
    """
    baseline = runs[runs["method"] == "baseline"].drop_duplicates([*COMMON, "seed"])
    baseline = baseline[[*COMMON, "seed", "accuracy"]]
    runs = runs.merge(baseline, on=[*COMMON, "seed"], how="left", suffixes=("", "_of_baseline"))
    runs["gain"] = runs["accuracy"] - runs["accuracy_of_baseline"]
    runs["all"] = runs["method"] == "all_labels"
    runs["place"] = [[*LABELS, method].index(method) for method in runs["method"]]
    groups = runs.groupby(["all", *COMMON, "place", "method", "settings"])
    means = {name: (name, "mean") for name in ("accuracy", "gain", "macro_f1", "minutes")}
    spread, seeds = ("accuracy", "std"), ("seed", lambda its: sorted(set(its)))
    return groups.agg(**means, spread=spread, seeds=seeds).reset_index()


def format_row(row: dict) -> list:
    """A row of the table."""
    spread = "" if pd.isna(row["spread"]) else f" ± {100 * row['spread']:.1f}"
    learned = row["method"] not in ("baseline", "all_labels") and pd.notna(row["gain"])
    return [
        "all" if row["all"] else f"{row['labels_per_class']:.0f}",
        LABELS.get(row["method"], row["method"]),
        f"{row['width']:.0f}",
        f"{row['updates']:,.0f}",
        f"{row['name']} {row['settings']}".removeprefix("default").strip(),
        ", ".join(f"{seed:.0f}" for seed in row["seeds"]),
        f"{100 * row['accuracy']:.1f}{spread}",
        f"{round(100 * row['gain'], 1) + 0:+.1f}" if learned else "",
        f"{row['macro_f1']:.3f}",
        f"{row['minutes']:.1f}",
    ]
