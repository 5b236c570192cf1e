"""Are the convolutions worth it? A network without them, beside a CNN. P2 of the homework.

    python train_dnn.py                            # beside a CNN that train_cnn.py trained, if any
    python train_dnn.py --cnn homework_no_augment  # beside the homework's own
    python train_dnn.py --compare-only --cnn fast  # the figure alone

The homework's DNN, 4,469,767 parameters, and its procedure, without augmentation. What to expect
with FER2013 on two cores, seed 0: 42.3 % on the held-out images and 43.7 % on PublicTest, 100
epochs in 7 minutes. The homework got 27 %; --no-rescale gets 33.6 %. Its CNN,
with about as many parameters, gets 55.3 %: the difference is what convolutions are worth.
An interrupted run resumes when you repeat the command. Figures: figures/dnn/history.png, and
figures/dnn/versus_CNN.png with the two histories side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import tyro

import utils
from toolbox import files
from toolbox.engine import keras, layers
from toolbox.late import Figure
from toolbox.training import fit
from toolbox.training.run_records import Run, read_run
from toolbox.training.schedules import adadelta

CNNS = ("homework_no_augment", "homework", "fast")  # to compare with, the homework's choice first


@dataclass
class Args:
    # data
    data: Path | None = None
    """CSV of faces; without it data/fer2013.csv, or else synthetic faces"""
    validation_fraction: float = 0.1
    """fraction of the training images to hold out; 0 holds out PublicTest instead"""

    # model
    width: int = 1024
    """units of each of the three hidden layers"""
    dropout: float = 0.5
    """after each hidden layer (not stated in the homework; 0.5 was the custom)"""
    rescale: bool = True
    """divide pixels by 255 (not stated in the homework either)"""

    # optimization
    epochs: int = 100
    """passes over the training rows, at most"""
    patience: int = 100
    """epochs without a better validation accuracy before training stops"""
    batch_size: int = 128
    """faces per step"""
    learning_rate: float = 0.1
    """of Adadelta"""

    # output
    cnn: str = ""
    """name of the CNN to compare with; without it homework_no_augment, homework or fast"""
    compare_only: bool = False
    """train nothing, draw the comparison again from the recorded histories"""
    name: str = "dnn"
    """of the files this run writes"""
    seed: int = 0
    """of split, weights, order and dropout"""
    models_dir: Path = utils.MODELS
    """folder of the model and its records"""
    figures_dir: Path = utils.FIGURES
    """folder of the figures"""
    fresh: bool = False
    """start over even if an unfinished run of this name could be resumed"""


def build_dnn(width: int, dropout: float, rescale: bool = True, classes: int = 7) -> keras.Model:
    """The homework's P2, layer by layer: 4,469,767 parameters with `width` 1024."""
    hidden = []
    for i in (1, 2, 3):
        hidden += [
            layers.Dense(width, name=f"dense_{i}"),
            layers.PReLU(name=f"p_re_lu_{i}"),
            layers.Dropout(dropout, name=f"dropout_{i}"),
        ]
    return keras.Sequential(
        [
            keras.Input((48, 48, 1), name="faces"),
            layers.Rescaling(1 / 255 if rescale else 1, name="rescaling"),
            layers.Flatten(name="flatten_1"),
            *hidden,
            layers.Dense(classes, name="dense_4", dtype="float32"),
            layers.Softmax(name="activation_1", dtype="float32"),
        ],
        name="dnn",
    )


def find_cnn(models_dir: Path, name: str) -> str:
    """The CNN to compare with: `name`, else the first of CNNS that left a record, else "".

    Raises InputError if there is no record of `name`, or if the record is damaged.
    """
    for candidate in (name,) if name else CNNS:
        if name or (models_dir / f"{candidate}.json").exists():
            read_run(models_dir, candidate)
            return candidate
    return ""


def describe(name: str, record: dict) -> str:
    """A legend's label: the run, its size, its epochs, and whether its faces were augmented."""
    augmented = "with" if record["arguments"].get("augment", False) else "without"
    return (
        f"{name}: {record['parameters']:,} parameters, {record['epochs']:,} epochs, "
        f"{augmented} augmentation"
    )


def title_of(records: dict[str, dict]) -> str:
    """The best validation accuracy of each run, and what keeps the two from being comparable."""
    accuracies = (
        f"{name} {100 * record['metrics']['validation_accuracy']:.1f} %"
        for name, record in records.items()
    )
    title = "CNN and DNN, best validation accuracy: " + ", ".join(accuracies)
    if CNNS[0] not in records:
        title += f"\nThe homework compared another CNN: {CNNS[0]}"
    if len({record["split"]["validation_sha256"] for record in records.values()}) > 1:
        title += "\nNot the same validation faces: train both on one file with one seed"
    return title


def plot_comparison(histories: dict[str, pd.DataFrame], labels: list[str], title: str) -> Figure:
    """Accuracy and loss by epoch, validation solid, training dotted; median seconds per epoch."""
    figure = Figure(figsize=(13, 4.6), layout="constrained")
    figure.suptitle(files.plain(title))
    accuracy, loss, seconds = figure.subplots(1, 3, width_ratios=(3, 3, 2))
    for i, (name, history) in enumerate(histories.items()):
        for axes, column in ((accuracy, "accuracy"), (loss, "loss")):
            axes.plot(history["epoch"], history[f"val_{column}"], f"C{i}")
            axes.plot(history["epoch"], history[column], f"C{i}:")
            axes.set(xlabel="epoch", ylabel=column)
            axes.grid(visible=True, alpha=0.3)
        bar = seconds.bar(files.plain(name), history["seconds"].median(), color=f"C{i}")
        seconds.bar_label(bar, fmt="%.1f s")
    seconds.set_ylabel("seconds per epoch (median)")
    seconds.margins(y=0.1)
    legend = figure.legend(
        accuracy.lines[::2], map(files.plain, labels), loc="outside lower center", ncols=1
    )
    legend.set_title("solid: validation, dotted: training")
    return figure


def compare(args: Args, cnn: str, faces: utils.Faces) -> None:
    """Write figures/NAME/versus_CNN.png and, beside it, the histories that it draws."""
    models_dir = utils.output_folder(args.models_dir, faces.synthetic)
    runs = {name: read_run(models_dir, name) for name in (cnn, args.name)}
    histories = {name: history for name, (history, _) in runs.items()}
    records = {name: record for name, (_, record) in runs.items()}
    labels = [describe(name, record) for name, record in records.items()]
    figure = plot_comparison(histories, labels, faces.headline(title_of(records)))
    figures_dir = utils.output_folder(args.figures_dir, faces.synthetic)
    path = figures_dir / args.name / f"versus_{cnn}.png"
    utils.save_figure(figure, path)
    table = pd.concat(histories, names=["model"]).reset_index("model")
    utils.write_text(path.with_suffix(".csv"), table.to_csv(index=False))


def train(args: Args, faces: utils.Faces) -> dict:
    """Train as `args` say; returns the record written to models/NAME.json."""
    run = Run.of(args, faces.synthetic)
    split = fit.split_faces(faces, args.validation_fraction, args.seed)
    fit.make_repeatable(args.seed)
    model = build_dnn(args.width, args.dropout, args.rescale, len(faces.classes))
    optimizer, loss = adadelta(args.learning_rate), "categorical_crossentropy"
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=fit.jit_compile())
    return fit.train(model, split, run, utils.provenance(args, faces))


def main(args: Args) -> dict:
    """Train and compare as `args` say; returns the record of models/NAME.json."""
    utils.check_limits(args, fit.LIMITS)
    fit.check_name(args.name)
    faces = utils.load_faces(args.data)
    models_dir = utils.output_folder(args.models_dir, faces.synthetic)
    cnn = find_cnn(models_dir, args.cnn)  # fail before the training
    if cnn == args.name:
        raise utils.InputError(
            f"{cnn}, the CNN to compare with, is this run itself; give another --name or --cnn"
        )
    record = read_run(models_dir, args.name)[1] if args.compare_only else train(args, faces)
    if cnn:
        compare(args, cnn, faces)
    else:
        print("No CNN to compare with yet: run train_cnn.py, then train_dnn.py --compare-only")
    return record


if __name__ == "__main__":
    utils.run(main, lambda: tyro.cli(Args, description=__doc__))
