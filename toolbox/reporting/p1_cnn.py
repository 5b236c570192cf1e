"""P1: the CNNs, how one of them was trained, and how accurate all are."""

import pandas as pd

from toolbox.files import plain
from toolbox.late import PALETTE, Figure, Late, ticker
from toolbox.reporting import homework
from toolbox.reporting.markdown import Missing, bullets, percent, table
from toolbox.reporting.records import DEFAULT, Records, Run

cycler = Late("cycler", "cycler")
FIRST = ("homework", "homework_no_augment", "fast")  # the first of these is described
HEADER = [
    *("run", "epochs", "training", "validation", "PublicTest"),
    *("s per epoch", "minutes", "CPU s per 1,000 faces", "command"),
]
OPTIMIZERS = {
    "homework": "Adadelta (rho 0.95, epsilon 1e-8)",
    **dict.fromkeys(
        ("residual", "vgg"), "SGD with Nesterov momentum and a one-cycle learning rate"
    ),
}


def main_cnn(runs: dict[str, Run]) -> Run | None:
    """The CNN that the report is about."""
    cnns = {name: run for name, run in runs.items() if run.network}
    return next((cnns[name] for name in (*FIRST, *cnns) if name in cnns), None)


def section(records: Records) -> list[str | Missing]:
    """P1 as Markdown blocks."""
    run, blocks, rows = main_cnn(records.runs), [], []
    if records.beside_homework:
        rows.append(homework_row("the homework, FER2013", homework.CNN))
        if "homework" not in records.runs:
            blocks.append(records.missing("the homework's CNN", "train_cnn.py homework"))
    if run is None:
        return [*blocks, records.missing_run("a CNN", "train_cnn.py", DEFAULT)]
    cnns = [run, *(it for it in records.runs.values() if it.network and it is not run)]
    notes = [
        f"`{it.name}` holds out PublicTest: its two columns are the same faces"
        f"{'' if it.keeps_last else ', on which its best epoch was chosen'}."
        for it in cnns
        if not it.record["arguments"]["validation_fraction"]
    ]
    in_time = "Validation accuracy by epoch and by CPU time"
    return [
        *blocks,
        procedure(run),
        run.layers,
        "Accuracies are those of the saved epoch; commands are those of the record's commit.",
        table(HEADER, rows + [row_of(it) for it in cnns]),
        bullets([best_epoch(run), gap(run), *notes]),
        records.picture(
            records.figures / run.name / "history.png", f"{run.name}: accuracy and loss by epoch"
        ),
        records.picture(records.figures / "accuracy_by_time.png", in_time),
    ]


def procedure(run: Run) -> str:
    """How a CNN was trained, from its arguments."""
    a, split = run.record["arguments"], run.record["split"]
    epochs = f"at most {a['epochs']:,} epochs, early stopping after {a['patience']} epochs without "
    epochs += "a better validation accuracy"
    if run.keeps_last:
        epochs = f"{a['epochs']:,} epochs, of which the last is saved"
    changes = (
        f": shifts of up to {100 * a['shift']:g} % of the image size, rotations of up to "
        f"{a['rotation']:g} degrees, zooms of up to {100 * a['zoom']:g} %"
        f"{', horizontal flips' if a['flip'] else ''}"
    )
    if a.get("erase"):
        changes += f", in half of the faces a grey square of {100 * a['erase']:g} % of that size"
    targets = " Trained on the taggers' votes." if a.get("targets") == "votes" else ""
    dropout = f" Dropout {a['dropout']:g}." if "dropout" in a else ""
    return (
        f"`{run.name}` (`{run.record['command']}`) was trained on {split['training_rows']:,} "
        f"faces. Held out: {len(split['validation_rows']):,} ({split['method']}). Batches of "
        f"{a['batch_size']}, {epochs}. Categorical cross-entropy, label smoothing "
        f"{a['label_smoothing']:g}. {OPTIMIZERS.get(run.network, run.network)}, learning rate "
        f"{a['learning_rate']:g}.{dropout} Trained {run.augmentation} augmentation"
        f"{changes if run.augmentation == 'with' else ''}.{targets} Seed {a['seed']}."
    )


def row_of(run: Run) -> list:
    """A row of the table of runs."""
    record, metrics = run.record, run.record["metrics"]
    test = metrics.get("public_test_accuracy")
    return [
        f"`{run.name}`",
        record["epochs"],
        percent(metrics["training_accuracy"]),
        percent(metrics["validation_accuracy"]),
        "" if test is None else percent(test),
        f"{record['seconds_per_epoch']:.0f}",
        f"{record['minutes']:.1f}" + ("" if run.on_cpu else f", {record['device']}"),
        f"{record['cpu_seconds_per_1000_images']:.2f}" if run.on_cpu else "",
        f"`{record['command']}`",
    ]


def homework_row(name: str, told: dict) -> list:
    """The homework's own run in the same table, as far as its report tells."""
    return [name, told["epochs"], "", percent(told["validation"]), "", told["seconds"], "", "", ""]


def best_epoch(run: Run) -> str:
    """The best, the first and the last validation accuracy."""
    accuracy, record = run.history["val_accuracy"], run.record
    return (
        f"`{run.name}` is saved at epoch {record['best_epoch']} of {len(accuracy)}: "
        f"{percent(record['metrics']['validation_accuracy'])} of the validation faces. The first "
        f"epoch has {percent(accuracy.iloc[0])}, the last {percent(accuracy.iloc[-1])}."
    )


def gap(run: Run) -> str:
    """Training against validation accuracy in the last epoch, and in how many it is lower."""
    history, last = run.history, run.history.iloc[-1]
    lower = (history["accuracy"] < history["val_accuracy"]).sum()
    return (
        f"In its last epoch `{run.name}`, trained {run.augmentation} augmentation, has a training "
        f"accuracy of {percent(last['accuracy'])} and a validation accuracy of "
        f"{percent(last['val_accuracy'])}. Training accuracy is below validation accuracy in "
        f"{lower} of {len(history)} epochs."
    )


def plot_accuracy_by_time(
    histories: dict[str, pd.DataFrame], synthetic: bool, beside_homework: bool
) -> Figure:
    """Validation accuracy of several runs by epoch and by CPU minutes; one run has linear axes.

    CPU time, since some runs had more cores than others; NaN, for one on a GPU, is not drawn.
    """
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    note = "\nSYNTHETIC FACES, not photographs" if synthetic else ""
    figure.suptitle(f"Validation accuracy by epoch and by time{note}")
    for axes, unit in zip(
        figure.subplots(1, 2, sharey=True), ("epoch", "CPU minutes"), strict=True
    ):
        axes.set_prop_cycle(cycler(ls=("-", "--", "-.")) * cycler(color=PALETTE))
        for name, history in histories.items():
            x = history["epoch"] if unit == "epoch" else history["cpu_seconds"].cumsum() / 60
            axes.plot(x, 100 * history["val_accuracy"], label=plain(name))
        if beside_homework:
            label = f"the homework, on FER2013, after {homework.CNN['epochs']} epochs"
            axes.axhline(100 * homework.CNN["validation"], color="0.4", ls=":", label=label)
        if len(histories) == 1:
            axes.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=unit == "epoch"))
            axes.set_xlim(left=0)
        else:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_minor_locator(ticker.NullLocator())
        axes.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:g}"))
        axes.set_xlabel(unit)
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("validation accuracy, %")
    lines = figure.axes[0].get_legend_handles_labels()
    figure.legend(*lines, loc="outside lower center", ncols=3)
    return figure
