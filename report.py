"""Write REPORT.md: the report's five questions and its bonus, our numbers beside the original's.

    python report.py             # from the records of real faces, as `make report`
    python report.py --drawn     # from those of drawn faces, to figures/sample/REPORT.md
    python report.py --data x.csv  # of whichever x.csv is; says so if the records are not its own

Reads what the other scripts left in models/ and figures/ and trains nothing. Each number comes from
such a record; what is not there yet leaves a line with the command that makes it. Draws one figure
of its own, figures/report_in_time.png: validation accuracy against epochs and against minutes.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import tyro
from matplotlib.figure import Figure

import utils
from utils import CLASSES, InputError


@dataclass
class Args:
    data: Path | None = None
    """CSV of faces that the records should be of; without it nothing is checked"""
    models_dir: Path = utils.ROOT / "models"
    """folder of the training records"""
    figures_dir: Path = utils.ROOT / "figures"
    """folder of the figures and their numbers"""
    output: Path | None = None
    """where the report goes; without it REPORT.md, or figures/sample/REPORT.md with --drawn"""
    drawn: bool = False
    """report on drawn sample faces instead"""


# What the original report says; everything else below is read from records.
ORIGINAL = {
    "report": {"epochs": 800, "validation": 0.62, "test": 0.62, "seconds": 80},
    "report_no_augment": {"epochs": 100, "validation": 0.56, "seconds": 80},
    "dnn": {"epochs": 100, "validation": 0.27, "seconds": 20},
}
ORIGINAL_CLASSES = {  # precision, recall, f1
    "Angry": (0.56, 0.50, 0.53),
    "Disgust": (0.74, 0.27, 0.39),
    "Fear": (0.48, 0.34, 0.40),
    "Happy": (0.83, 0.85, 0.84),
    "Sad": (0.48, 0.55, 0.51),
    "Surprise": (0.73, 0.73, 0.73),
    "Neutral": (0.55, 0.68, 0.60),
}
ORIGINAL_CONFUSIONS = {("Disgust", "Angry"): 0.37, ("Fear", "Sad"): 0.25, ("Sad", "Neutral"): 0.25}
COMMANDS = {
    "report": "python train_cnn.py report",
    "report_no_augment": "python train_cnn.py report --no-augment --epochs 100",
    "fast": "python train_cnn.py",
    "compact": "python train_cnn.py compact",
    "dnn": "python train_dnn.py",
}
IN_TIME = ("report", "report_no_augment", "fast", "compact")  # of report_in_time.png
JUDGED = (("report_no_augment", "PublicTest"), ("compact", "PublicTest"))
DRAWN_JUDGED = (("fast", "validation"),)  # what `make` trains on drawn faces


class Missing(Exception):
    """A record that is not there; the message says how to make it."""


@dataclass
class Records:
    """The folders of one kind of faces, read on demand."""

    models: Path
    figures: Path
    relative: Path  # the figures' folder as the report names it
    judged: tuple[tuple[str, str], ...]  # models and splits of P3 to P5
    sha256: str = ""  # of the data they should be of

    def json(self, path: Path, command: str) -> dict:
        return json.loads(self.text(path, command))

    def table(self, path: Path, command: str) -> pd.DataFrame:
        self.text(path, command)
        return pd.read_csv(path)

    def text(self, path: Path, command: str) -> str:
        if not path.exists():
            raise Missing(f"*`{path.name}` is not there yet: `{command}` makes it.*")
        return path.read_text(encoding="utf-8")

    def run(self, name: str) -> dict:
        return self.json(self.models / f"{name}.json", COMMANDS.get(name, ""))

    def history(self, name: str) -> pd.DataFrame:
        return self.table(self.models / f"{name}.csv", COMMANDS.get(name, ""))

    def figure(self, name: str, caption: str, command: str) -> str:
        if not (self.figures / name).exists():
            return f"*`{name}` is not there yet: `{command}` makes it.*"
        return f"![{caption}]({(self.relative / name).as_posix()})\n\n*{caption}*"


def per_cent(ratio: float) -> str:
    return f"{100 * ratio:.1f} %"


def markdown(rows: list[list], header: list[str]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def bullets(lines: list[str]) -> str:
    return "\n".join("- " + line for line in lines)


def whole(section: Callable, records: Records, *which: str) -> list[str]:
    """A part of the report, or the line that says what it lacks."""
    try:
        return section(records, *which)
    except Missing as missing:
        return [str(missing)]
    except InputError:
        raise
    except (ValueError, LookupError, TypeError) as error:
        what = " ".join([section.__name__, *which])
        raise InputError(f"a record for {what} is damaged ({error!r})") from None


# P1


def procedure(records: Records) -> list[str]:
    record = records.run("report")
    a, split = record["arguments"], record["split"]
    return [
        f"Trained on {split['training_rows']:,} faces, {len(split['validation_rows']):,} held out "
        f"({split['method']}). Batches of {a['batch_size']}, at most {a['epochs']} epochs, early "
        f"stopping after {a['patience']} without a better validation accuracy, categorical "
        f"cross-entropy, Adadelta (learning rate {a['learning_rate']}, rho 0.95, epsilon 1e-8), "
        f"dropout {a['dropout']}. Each face is shifted by up to {a['shift']:.0%} of its side, "
        f"turned by up to {a['rotation']:g} degrees, zoomed by up to {a['zoom']:.0%}, and mirrored "
        f"every other time. Seed {a['seed']}; `{record['command']}`.",
        records.text(records.models / "report.txt", COMMANDS["report"]).strip(),
    ]


def row_of_run(records: Records, name: str) -> list[str]:
    try:
        record = records.run(name)
    except Missing as missing:
        return [f"`{name}`", str(missing), *[""] * 6]
    metrics = record["metrics"]
    test = metrics.get("public_test_accuracy")
    return [
        f"`{record['command']}`",
        record["epochs"],
        per_cent(metrics["training_accuracy"]),
        per_cent(metrics["validation_accuracy"]),
        "" if test is None else per_cent(test),
        f"{record['seconds_per_epoch']:.0f} s",
        f"{record['minutes']:.0f}",
        f"{record['cpu_seconds_per_1000_images']:.2f}",
    ]


RUN_HEADER = [
    *("run", "epochs", "training", "validation", "PublicTest", "an epoch", "minutes"),
    "CPU s for 1,000 faces",
]


def original_row(name: str) -> list[str]:
    told = ORIGINAL[name]
    test = f"{told['test']:.0%}" if "test" in told else ""
    validation = f"{told['validation']:.0%}"
    return ["the report", told["epochs"], "", validation, test, f"{told['seconds']} s", "", ""]


def p1_results(records: Records) -> list[str]:
    rows = [original_row("report")]
    rows += [row_of_run(records, name) for name in ("report", "fast", "compact")]
    return [
        markdown(rows, RUN_HEADER),
        "The report's 62 % under PublicTest is of its contest's 7,178 test faces. `compact` holds "
        "out PublicTest itself: its two columns are the same faces, on which its epoch was chosen. "
        "Some runs had one core, others two; the last column does not depend on that.",
        *whole(p1_observations, records),
    ]


def p1_observations(records: Records) -> list[str]:
    history, told = records.history("report"), ORIGINAL["report"]
    below = (history["accuracy"] < history["val_accuracy"]).mean()
    record = records.run("report")
    best, epoch = record["metrics"]["validation_accuracy"], record["best_epoch"]
    first, last = history["val_accuracy"].iloc[[0, -1]]
    gained = (
        history["val_accuracy"].rolling(5).mean().diff(5).iloc[-1] if len(history) > 10 else None
    )
    words = [
        f"In {len(history)} epochs the report's CNN names at best {per_cent(best)} of the held-out "
        f"faces, in epoch {epoch}; in epoch 1 {per_cent(first)}, in the last {per_cent(last)}. The "
        f"report had its {100 * told['validation']:.0f} % after some {told['epochs']}.",
        f"Training accuracy, on shifted and turned faces, lies below validation accuracy in "
        f"{below:.0%} of the epochs; in the report it did so to the end.",
    ]
    if gained is not None:
        words.append(
            f"In its last 5 epochs the mean of five changed by {100 * gained:+.1f} points."
        )
    return [bullets(words)]


def plot_in_time(histories: dict[str, pd.DataFrame], title: str) -> Figure:
    """Validation accuracy of several runs against epochs and against minutes of processor time,
    since some had one core and others two.
    """
    figure, told = Figure(figsize=(10, 4.3), layout="constrained"), ORIGINAL["report"]
    figure.suptitle(title)
    units = ("epochs", "CPU minutes")
    for axes, unit in zip(figure.subplots(1, 2, sharey=True), units, strict=True):
        for name, history in histories.items():
            x = history["epoch"] if unit == "epochs" else history["cpu_seconds"].cumsum() / 60
            axes.plot(x, history["val_accuracy"], label=name)
        label = f"the report, after {told['epochs']} epochs"
        axes.axhline(told["validation"], color="0.4", ls=":", label=label)
        axes.set(xlabel=unit, ylabel="validation accuracy" if unit == "epochs" else "")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.grid(alpha=0.3)
    lines = figure.axes[0].get_legend_handles_labels()
    figure.legend(*lines, loc="outside lower center", ncols=len(histories) + 1)
    return figure


# P2


def dnn_layers(records: Records) -> list[str]:
    return [records.text(records.models / "dnn.txt", COMMANDS["dnn"]).strip()]


def p2_results(records: Records) -> list[str]:
    rows = [["**CNN**", *[""] * 7], original_row("report_no_augment")]
    rows += [row_of_run(records, "report_no_augment"), ["**DNN**", *[""] * 7], original_row("dnn")]
    variants = sorted(path.stem for path in records.models.glob("dnn_*.json"))
    rows += [row_of_run(records, name) for name in ("dnn", *variants)]
    return [markdown(rows, RUN_HEADER), *whole(p2_observations, records)]


def p2_observations(records: Records) -> list[str]:
    cnn, dnn = records.history("report_no_augment"), records.history("dnn")
    words = []
    shared = min(len(cnn), len(dnn))
    lead = (cnn["val_accuracy"][:shared] > dnn["val_accuracy"][:shared]).mean()
    best = [
        f"{per_cent(run['metrics']['validation_accuracy'])} (epoch {run['best_epoch']})"
        for run in map(records.run, ("report_no_augment", "dnn"))
    ]
    words.append(
        f"In {lead:.0%} of the first {shared} epochs the CNN is ahead on the held-out faces; at "
        f"its best epoch it has {best[0]}, the DNN {best[1]}."
    )
    for name, history in (("CNN", cnn), ("DNN", dnn)):
        gap = history["accuracy"].iloc[-1] - history["val_accuracy"].iloc[-1]
        words.append(
            f"At its last epoch the {name} is {100 * gap:+.1f} points better on its training faces "
            "than on the others."
        )
    runs = [json.loads(path.read_text()) for path in records.models.glob("dnn*.json")]
    told = ORIGINAL["dnn"]["validation"]
    nearest = min(runs, key=lambda run: abs(run["metrics"]["validation_accuracy"] - told))
    words.append(
        f"The report's DNN stayed at {told:.0%}. Of {len(runs)} settings tried here `"
        f"{nearest['command']}` comes nearest, with "
        f"{per_cent(nearest['metrics']['validation_accuracy'])}."
    )
    history = records.history(nearest["arguments"]["name"])
    late = history["epoch"][history["val_accuracy"] > told]
    if len(late):
        words[-1] += f" It passes {told:.0%} in epoch {late.iloc[0]}."
    ratio = cnn["cpu_seconds"].median() / dnn["cpu_seconds"].median()
    theirs = ORIGINAL["report_no_augment"]["seconds"] / ORIGINAL["dnn"]["seconds"]
    words.append(
        f"An epoch of the CNN takes {ratio:.0f} times the processor's time; the report's took "
        f"{theirs:.0f} times as long."
    )
    return [bullets(words)]


# P3


def p3(records: Records, name: str, split: str) -> list[str]:
    stem = f"{name}_{split}"
    command = f"python confusion_matrix.py --model models/{name}.keras" + (
        "" if split == "validation" else f" --split {split}"
    )
    record = records.json(records.figures / f"{stem}_confusion.json", command)
    found = record["classes"]
    rows = []
    for label in CLASSES:
        ours = found[label]
        theirs = ORIGINAL_CLASSES[label]
        pairs = [
            f"{told:.2f} / **{ours[key]:.2f}**"
            for told, key in zip(theirs, ("precision", "recall", "f1-score"), strict=True)
        ]
        rows.append([label, *pairs, f"{ours['support']:.0f}"])
    low, high = record["accuracy_interval"]
    counts = pd.read_csv(records.figures / f"{stem}_confusion.csv", index_col=0).to_numpy()
    shares = counts / counts.sum(axis=1, keepdims=True)
    compared = [
        f"{a} taken for {b}: {told:.0%} in the report, "
        f"{shares[CLASSES.index(a), CLASSES.index(b)]:.0%} here"
        for (a, b), told in ORIGINAL_CONFUSIONS.items()
    ]
    return [
        f"**{name}** on {record['faces']:,} faces of {split}: accuracy "
        f"{per_cent(record['accuracy'])} [{per_cent(low)}, {per_cent(high)}], "
        f"macro-F1 {record['macro_f1']:.3f}; `{record['command']}`. The report, on its 2,871 "
        "held-out faces / **this run**:",
        markdown(rows, ["", "precision", "recall", "F1", "faces"]),
        records.figure(f"{stem}_confusion.png", f"Confusion matrix of {name} on {split}", command),
        bullets([*record["observations"], "; ".join(compared) + "."]),
    ]


# P4


def p4(records: Records, name: str, split: str) -> list[str]:
    command = f"python saliency.py --model models/{name}.keras --split {split}"
    record = records.json(records.figures / f"{name}_{split}_saliency.json", command)
    if "judged" not in record:
        raise Missing(f"*`{name}`'s maps are not judged yet: `{command}` does it.*")
    judged = record["judged"]
    methods = judged["scores"]
    shuffled = "rank_correlation_all_shuffled"
    rows = [
        [
            method.replace("_", " "),
            f"{score['deletion_auc']:.3f}",
            f"{score['insertion_auc']:.3f}",
            per_cent(score["accuracy_keeping_top"]),
            per_cent(score["accuracy_losing_top"]),
            "" if shuffled not in score else f"{score[shuffled]:.2f}",
        ]
        for method, score in methods.items()
    ]
    keep = record["arguments"]["keep"]
    return [
        records.figure(
            f"{name}_{split}_saliency_classes.png",
            "Mean face of each class, and mean size of the gradient of the class predicted, each "
            f"on its own scale: {name} on {split}",
            command,
        ),
        f"How far the maps can be believed, on {judged['faces']} faces of {split}; "
        f"`{record['command']}`. Random maps and the face's edges are the controls.",
        markdown(
            rows,
            [
                "map",
                "deletion, lower is better",
                "insertion, higher is better",
                f"accuracy with the top {keep:.0%} of pixels alone",
                f"accuracy without them (of {per_cent(judged['accuracy'])})",
                "rank correlation once all weights are shuffled, nearer 0 is better",
            ],
        ),
        bullets([judged["verdict"]]),
    ]


# P5


def p5(records: Records, name: str, split: str) -> list[str]:
    command = f"python visualize_filters.py --model models/{name}.keras --split {split}"
    table = records.table(records.figures / "filters.csv", command)
    table = table[table["model"] == name]
    if table.empty:
        raise Missing(f"*`filters.csv` has no row of {name} yet: `{command}` makes them.*")
    record = records.json(records.figures / f"{name}_filters.json", command)
    layers = list(dict.fromkeys(table["layer"]))
    commands = dict.fromkeys(
        its.get("command", record["command"]) for its in record["layers"].values()
    )
    rows = []
    for layer in layers:
        of_layer = table[table["layer"] == layer]
        seen = record["layers"].get(layer, {}).get("receptive_field", "")
        medians = [f"{of_layer[column].median():.2f}" for column in ("ascent", "best_face")]
        above = f"{(of_layer['ascent'] > of_layer['best_face']).mean():.0%}"
        rows.append([f"`{layer}`", len(of_layer), seen, *medians, above, of_layer["dead"].sum()])
    shown = [n for n in layers if (records.figures / f"{name}_{n}_filters.png").exists()]
    committed = [n for n in shown if n in (layers[0], layers[len(layers) * 2 // 3])] or shown[-1:]
    return [
        f"**{name}**, every filter of its {len(layers)} convolutions, from noise by gradient "
        f"ascent; {', '.join(f'`{its}`' for its in commands)}.",
        markdown(
            rows,
            ["layer", "filters", "sees", "ascent, median", "best face, median", "above it", "dead"],
        ),
        *[
            records.figure(
                f"{name}_{layer}_filters.png",
                f"What filters of {layer} of {name} answer most, beside an untrained copy",
                command,
            )
            for layer in committed
        ],
        f"- The ascent excites its filter more than the best of {record['faces']:,} faces does for "
        f"{(table['ascent'] > table['best_face']).sum():,} of {len(table):,} filters.",
    ]


# Bonus


def bonus(records: Records) -> list[str]:
    command = "python semi_supervised.py"
    table = records.table(records.figures / "semi_supervised.csv", command)
    few = table[table["method"] != "all_labels"]
    rows, words = [], []
    settings = ["name", "width", "updates"]
    for (labels, name, width, updates), of_size in few.groupby(["labels_per_class", *settings]):
        by_seed = of_size.set_index("seed")
        baseline = by_seed.loc[by_seed["method"] == "baseline", "accuracy"]
        gains = {}
        for method, runs in by_seed.groupby("method"):
            gain = 100 * (runs["accuracy"] - baseline).mean()  # over the seeds that both have
            gains[method.replace("_", "-")] = f"{gain:+.1f}"
            rows.append([labels, *cells(runs), f"{gain:+.1f}"])
        told = ", ".join(f"{name} {gain}" for name, gain in gains.items() if name != "baseline")
        words.append(
            f"With {labels} labels a class, points over the labelled faces alone after {updates:,} "
            f"updates of a net of width {width} (`{name}`): {told}."
        )
    everything = table[table["method"] == "all_labels"].set_index("seed")
    rows += [["all", *cells(runs), ""] for _, runs in everything.groupby(settings)]
    header = ["labels a class", "method", "settings", "width", "updates", "seeds", "accuracy, %"]
    return [
        records.figure(
            "semi_supervised.png", "Accuracy and macro-F1 against labels a class", command
        ),
        markdown(rows, [*header, "macro-F1", "minutes", "gain"]),
        bullets(words),
    ]


def cells(runs: pd.DataFrame) -> list[str]:
    """Method, settings, width, updates, seeds, accuracy with its standard deviation, macro-F1 and
    minutes of runs that differ in seed, their index, alone.
    """
    accuracy = 100 * runs["accuracy"]
    spread = f" ± {accuracy.std(ddof=1):.1f}" if len(runs) > 1 else ""
    return [
        runs["method"].iloc[0].replace("_", "-"),
        f"`{runs['name'].iloc[0]}`",
        f"{runs['width'].iloc[0]}",
        f"{runs['updates'].iloc[0]:,}",
        ", ".join(map(str, sorted(runs.index))),
        f"{100 * runs['accuracy'].mean():.1f}{spread}",
        f"{runs['macro_f1'].mean():.3f}",
        f"{runs['minutes'].mean():.1f}",
    ]


def of_other_data(records: Records, sha256: str) -> list[str]:
    """Names of the records that were made of another file than that with this SHA-256."""
    paths = sorted([*records.models.glob("*.json"), *records.figures.glob("*.json")])
    told = {path.name: json.loads(path.read_text()).get("data", {}).get("sha256") for path in paths}
    return [f"`{name}`" for name, its in told.items() if its not in (None, sha256)]


def intro(records: Records) -> list[str]:
    record = records.run("fast")
    data = record["data"]
    sha256 = records.sha256 or data["sha256"]
    others = of_other_data(records, sha256)
    kind = "drawn faces, which say nothing about people" if data["drawn"] else "real FER2013"
    return [
        f"Faces: {data['rows']:,} rows of `{data['file']}` ({kind}), SHA-256 "
        f"`{data['sha256'][:12]}…`. Machine: {record['machine']}; Python {record['python']}, "
        f"TensorFlow {record['versions']['tensorflow']}, Keras {record['versions']['keras']}. "
        "`report.py` wrote this file from the records in `models/` and `figures/`; each number can "
        "be found there, with the command, seed and code that made it.",
        f"**Of another file than that with `{sha256[:12]}…` are: {', '.join(others)}.**"
        if others
        else "",
    ]


def document(records: Records, title: str) -> str:
    """The whole report as Markdown."""

    def each(part: Callable) -> list[str]:
        return [block for which in records.judged for block in whole(part, records, *which)]

    time = "python report.py"
    blocks = [
        f"# {title}",
        *whole(intro, records),
        "## P1. A CNN, and how it was trained",
        "*How well does a convolutional network name the expression of a face?*",
        *whole(procedure, records),
        *whole(p1_results, records),
        records.figure(
            "report_history.png", "The report's CNN: accuracy and loss", COMMANDS["report"]
        ),
        records.figure("report_in_time.png", "Validation accuracy by epoch and by CPU time", time),
        "## P2. A DNN with as many parameters",
        "*Are the convolutions worth it? Both without augmentation, by the report's procedure.*",
        *whole(dnn_layers, records),
        *whole(p2_results, records),
        records.figure("cnn_vs_dnn.png", "The CNN and the DNN, epoch by epoch", COMMANDS["dnn"]),
        "## P3. How the model errs",
        "*Which expressions are taken for which?*",
        *each(p3),
        "## P4. What the model looks at",
        "*Which parts of a face matter for its class?*",
        *each(p4),
        "## P5. What the filters look for",
        "*Which picture excites a filter most?*",
        *each(p5),
        "## Bonus. Few labels",
        "*What do unlabelled faces add to a few labelled ones?*",
        *whole(bonus, records),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def main(args: Args) -> str:
    """Write the report and its own figure; returns the report."""
    faces = utils.load_faces(args.data) if args.data else None
    drawn = faces.drawn if faces else args.drawn
    apart = Path("sample") if drawn else Path()
    models, figures = args.models_dir / apart, args.figures_dir / apart
    output = args.output or (figures / "REPORT.md" if drawn else utils.ROOT / "REPORT.md")
    relative = Path(os.path.relpath(figures, output.parent))
    judged = DRAWN_JUDGED if drawn else JUDGED
    records = Records(models, figures, relative, judged, faces.sha256 if faces else "")
    names = [name for name in IN_TIME if (models / f"{name}.csv").exists()]
    if names:
        histories = {name: records.history(name) for name in names}
        note = "\nDRAWN FACES, not photographs" if drawn else ""
        figure = plot_in_time(histories, f"Accuracy by epoch and by time{note}")
        utils.save_figure(figure, figures / "report_in_time.png")
    title = "Seven expressions: the report, run again" + (" on DRAWN FACES" if drawn else "")
    text = document(records, title)
    utils.write_text(output, text)
    missing = text.count(" yet: `")
    print(f"wrote {output}" + (f"; {missing} records are not there yet" if missing else ""))
    return text


if __name__ == "__main__":
    utils.run(main, tyro.cli(Args, description=__doc__))
