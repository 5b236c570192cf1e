"""P2: the DNN beside a CNN, and what exactly is compared."""

from toolbox.reporting import homework
from toolbox.reporting.markdown import Missing, bullets, percent, table
from toolbox.reporting.p1_cnn import HEADER, gap, homework_row, main_cnn, row_of
from toolbox.reporting.records import Records, Run

CNN_COMMAND = "train_cnn.py homework --no-augment --epochs 100"


def section(records: Records) -> list[str | Missing]:
    """P2 as Markdown blocks."""
    cnn = records.runs.get("homework_no_augment") or main_cnn(records.runs)
    dnns = [run for run in records.runs.values() if not run.network]
    if not dnns or cnn is None:
        return [records.missing_run("a DNN beside a CNN", "train_dnn.py", "dnn")]
    blocks, rows = [compare(cnn, dnns[0])], []
    if records.beside_homework:
        rows.append(homework_row("the homework's CNN, FER2013", homework.CNN_NO_AUGMENT))
        rows.append(homework_row("the homework's DNN, FER2013", homework.DNN))
        if cnn.network != "homework":
            blocks.append(records.missing("the homework's CNN without augmentation", CNN_COMMAND))
    return [
        *blocks,
        dnns[0].layers,
        table(HEADER, rows + [row_of(run) for run in (cnn, *dnns)]),
        bullets([*observe(cnn, dnns[0]), gap(cnn), gap(dnns[0])]),
        *[
            records.picture(path, f"{dnns[0].name} {path.stem.replace('_', ' ', 1)} by epoch")
            for path in sorted((records.figures / dnns[0].name).glob("versus_*.png"))
        ],
    ]


def compare(cnn: Run, dnn: Run) -> str:
    """What is the same in both runs, and what is not."""
    text = "; ".join(
        f"`{run.name}` has {run.record['parameters']:,} parameters and was trained for "
        f"{run.record['epochs']} epochs {run.augmentation} augmentation"
        for run in (cnn, dnn)
    )
    if cnn.network != "homework":
        text += (
            ". This CNN is not the homework's, which has "
            f"{homework.CNN_PARAMETERS:,} parameters and no augmentation here: the difference is "
            "not that of convolutions alone"
        )
    if len({run.record["split"]["validation_sha256"] for run in (cnn, dnn)}) > 1:
        text += ". They held out different faces"
    return text + "."


def observe(cnn: Run, dnn: Run) -> list[str]:
    """What the two histories show."""
    shared = min(len(cnn.history), len(dnn.history))
    ahead = cnn.history["val_accuracy"][:shared] > dnn.history["val_accuracy"][:shared]
    best = [
        f"{percent(run.record['metrics']['validation_accuracy'])} in epoch "
        f"{run.record['best_epoch']} (`{run.name}`)"
        for run in (cnn, dnn)
    ]
    told = [
        f"The CNN has the higher validation accuracy in {ahead.sum()} of {shared} epochs. Best: "
        f"{' and '.join(best)}."
    ]
    if cnn.on_cpu and dnn.on_cpu:
        one, other = (run.history["cpu_seconds"].median() for run in (cnn, dnn))
        told.append(
            f"One epoch of the CNN takes {one / max(other, 0.01):.1f} times the DNN's CPU time."
        )
    return told
