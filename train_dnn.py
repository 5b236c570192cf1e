"""Train a network without convolutions and compare it with a CNN (the report's P2).

    python train_dnn.py                        # against a CNN that train_cnn.py left, if any
    python train_dnn.py --cnn report_no_augment

The report's DNN, 4,469,767 parameters, and its procedure, without augmentation. What to expect,
on two cores with FER2013 (models/dnn.json): 42.3 % of the held-out pictures, 43.7 % of PublicTest,
100 epochs in 7 minutes (seed 0). The report got 27 %; --no-rescale gets 33.6 %.
Killed or stopped, the same command goes on where it was. Figures: figures/dnn_history.png and
figures/cnn_vs_dnn.png, the two histories side by side.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import utils
import splits

with utils.quiet_stderr():
    import keras
import pandas as pd
import tyro
from keras import layers
from matplotlib.figure import Figure

import training


@dataclass
class Args:
    # data
    data: Path | None = None
    """CSV of faces; without it data/fer2013.csv, or else drawn sample faces"""
    validation_fraction: float = 0.1
    """share of the training pictures that is held out"""

    # model
    width: int = 1024
    """units of each of the three hidden layers"""
    dropout: float = 0.5
    """after each hidden layer (not stated in the report; 0.5 was the custom)"""
    rescale: bool = True
    """divide pixels by 255 (not stated in the report either)"""

    # optimisation
    epochs: int = 100
    """passes over the training rows, at most"""
    patience: int = 100
    """epochs without a better validation accuracy before training stops"""
    batch_size: int = 128
    """faces a step"""
    learning_rate: float = 0.1
    """of Adadelta"""

    # output
    cnn: str = ""
    """name of the CNN to compare with; without it report_no_augment, report or fast"""
    compare_only: bool = False
    """train nothing, draw the comparison again from the recorded histories"""
    name: str = "dnn"
    """of the files this run writes"""
    seed: int = 0
    """of split, weights, order and dropout"""
    models_dir: Path = utils.ROOT / "models"
    """folder of the model and its records"""
    figures_dir: Path = utils.ROOT / "figures"
    """folder of the figures"""
    fresh: bool = False
    """start over where an unfinished run of this name could go on"""


CNNS = ("report_no_augment", "report", "fast")  # P2's own first


def build_dnn(width: int, dropout: float, rescale: bool = True) -> keras.Model:
    """The report's P2, layer by layer: 4,469,767 parameters with `width` 1024."""
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
            layers.Dense(7, name="dense_4", dtype="float32"),
            layers.Softmax(name="activation_1", dtype="float32"),
        ],
        name="dnn",
    )


def plot_comparison(histories: dict[str, pd.DataFrame], title: str) -> Figure:
    """Accuracy, loss and seconds an epoch of several histories, by epoch; validation solid."""
    figure = Figure(figsize=(13, 4), layout="constrained")
    figure.suptitle(title)
    panels = figure.subplots(1, 3)
    for axes, name in zip(panels, ("accuracy", "loss", "seconds"), strict=True):
        for i, (model, history) in enumerate(histories.items()):
            if name == "seconds":
                axes.bar(model, history[name].median(), color=f"C{i}")
                axes.bar_label(axes.containers[-1], fmt="%.1f s")
                axes.margins(y=0.1)
            else:
                axes.plot(history["epoch"], history[f"val_{name}"], f"C{i}", label=model)
                axes.plot(history["epoch"], history[name], f"C{i}:", label=f"{model}, training")
        axes.set_ylabel("seconds an epoch (median)" if name == "seconds" else name)
        if name != "seconds":
            axes.set_xlabel("epoch")
            axes.grid(alpha=0.3)
            axes.legend()
    return figure


def find_cnn(folder: Path, name: str) -> str:
    """The CNN to compare with: `name`, else the first of CNNS that left a record, else "".

    Raises utils.InputError when `name` left none.
    """
    for candidate in (name,) if name else CNNS:
        if name or (folder / f"{candidate}.json").exists():
            read_run(folder, candidate)
            return candidate
    return ""


def read_run(folder: Path, name: str) -> tuple[pd.DataFrame, dict]:
    """History and record of a finished run. Raises InputError if it left none."""
    try:
        record = json.loads((folder / f"{name}.json").read_text())
        history = pd.read_csv(folder / f"{name}.csv")
        history[["epoch", "accuracy", "loss", "val_accuracy", "val_loss", "seconds"]]
        record["split"]["validation_sha256"], record["metrics"]["validation_accuracy"]
        return history, record
    except FileNotFoundError as error:
        raise utils.InputError(f"{error.filename} does not exist; train {name} first") from None
    except (ValueError, LookupError, TypeError):
        raise utils.InputError(
            f"{folder / name}.json or .csv is damaged; train {name} again"
        ) from None


def compare(models_dir: Path, names: list[str]) -> tuple[dict[str, pd.DataFrame], str]:
    """The recorded histories of `names` and a title that says what they show."""
    runs = {name: read_run(models_dir, name) for name in names}
    histories = {name: history for name, (history, _) in runs.items()}
    title = "Best validation accuracy: " + ", ".join(
        f"{name} {record['metrics']['validation_accuracy']:.1%} in {len(history)} epochs"
        for name, (history, record) in runs.items()
    )
    if len({record["split"]["validation_sha256"] for _, record in runs.values()}) > 1:
        title += "\nNot the same validation faces: train them on one file with one seed"
    return histories, title


def main(args: Args) -> dict:
    """Train as `args` say and compare; returns the record written to models/NAME.json."""
    training.check(args)
    faces = utils.load_faces(args.data)
    models_dir = utils.folder(args.models_dir, faces)
    cnn = find_cnn(models_dir, args.cnn)
    if args.compare_only:
        _, record = read_run(models_dir, args.name)
    else:
        train_rows, validation_rows = splits.split(faces, args.validation_fraction, args.seed)
        training.make_repeatable(args.seed)
        model = build_dnn(args.width, args.dropout, args.rescale)
        model.compile(
            keras.optimizers.Adadelta(args.learning_rate, rho=0.95, epsilon=1e-8),
            "categorical_crossentropy",
            metrics=["accuracy"],
            jit_compile=training.JIT_COMPILE,
        )
        record = training.train(args, model, faces, train_rows, validation_rows)
    if not cnn:
        print("No CNN to compare with yet: run train_cnn.py, then train_dnn.py --compare-only")
        return record
    histories, title = compare(models_dir, [cnn, args.name])
    path = utils.folder(args.figures_dir, faces) / "cnn_vs_dnn.png"
    utils.save_figure(plot_comparison(histories, utils.headline(faces, title)), path)
    table = pd.concat(histories, names=["model"]).reset_index("model")
    utils.write_text(path.with_suffix(".csv"), table.to_csv(index=False))
    return record


if __name__ == "__main__":
    utils.run(main, tyro.cli(Args, description=__doc__))
