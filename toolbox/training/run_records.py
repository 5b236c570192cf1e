"""What a training run leaves: model, layer table, history and record, each file whole."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from toolbox import files
from toolbox.dataset.faces import Faces
from toolbox.engine import keras
from toolbox.files import InputError
from toolbox.late import Figure, ticker

HISTORY = ["epoch", "accuracy", "loss", "val_accuracy", "val_loss", "seconds"]  # at least


@dataclass(frozen=True)
class Run:
    """How a run trains, and where it writes."""

    name: str  # of its files
    seed: int  # of order and augmentation
    epochs: int  # at most
    patience: int  # epochs without a better validation accuracy before it stops
    batch_size: int
    fresh: bool  # start over even if an unfinished run could be resumed
    models_dir: Path  # for synthetic faces the folder named sample
    figures_dir: Path  # likewise
    keep: str = "best"  # or "last": whose weights are saved

    @classmethod
    def of(cls, args, synthetic: bool) -> Run:
        """The run that the `args` of a training script describe."""
        folders = [files.output_folder(f, synthetic) for f in (args.models_dir, args.figures_dir)]
        how = args.seed, args.epochs, args.patience, args.batch_size, args.fresh
        return cls(args.name, *how, *folders, getattr(args, "keep", "best"))

    def model_file(self, ending: str) -> Path:
        """models/NAME and an ending, such as .keras or .json."""
        return self.models_dir / f"{self.name}{ending}"

    @property
    def state(self) -> Path:
        """What an unfinished run resumes from."""
        return self.model_file(".state.npz")

    @property
    def outputs(self) -> list[Path]:
        """All that a finished run leaves."""
        figure = self.figures_dir / self.name / "history.png"
        endings = (".keras", ".csv", ".txt", ".json")
        return [*map(self.model_file, endings), figure, figure.with_suffix(".csv")]


def save_run(
    run: Run, model: keras.Model, history: pd.DataFrame, record: dict, faces: Faces
) -> None:
    """Write all that a run leaves, and print the result in a line.

    Adds the hash of the model's file to `record`. Raises InputError for a metric that is NaN.
    """
    for name, value in record["metrics"].items():
        check_finite(name.replace("_", " "), value)
    metrics, numbers = record["metrics"], history.to_csv(index=False)
    percents = {k: f"{100 * v:.1f} %" for k, v in metrics.items() if k.endswith("accuracy")}
    title = f"{run.name}: {percents['validation_accuracy']} validation accuracy"
    title += f" at epoch {record['best_epoch']} of {len(history)}"
    files.write_text(run.model_file(".txt"), layer_table(model))
    files.atomic_write(run.model_file(".keras"), model.save)
    record["model_sha256"] = files.sha256_of_file(run.model_file(".keras"))
    files.write_text(run.model_file(".csv"), numbers)
    files.write_json(run.model_file(".json"), record)
    path = run.figures_dir / run.name / "history.png"
    files.save_figure(plot_history(history, record["best_epoch"], faces.headline(title)), path)
    files.write_text(path.with_suffix(".csv"), numbers)
    told = ", ".join(f"{name.replace('_', ' ')} {text}" for name, text in percents.items())
    print(f"{run.model_file('.keras')}: {told}, {record['minutes']} minutes")


def check_finite(name: str, value: float, when: str = "") -> None:
    """Raise InputError, which says what to do, for a loss or metric that is NaN or infinite."""
    if not math.isfinite(value):
        raise InputError(f"{name} is {value}{when}; lower the learning rate, with --fresh")


def read_run(models_dir: Path, name: str) -> tuple[pd.DataFrame, dict]:
    """History and record of a finished run.

    Raises InputError if it left none, or if they are damaged or hold NaN.
    """
    paths = [models_dir / f"{name}{ending}" for ending in (".json", ".csv")]
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} does not exist; train {name} first")
    try:
        if not all(path.is_file() for path in paths):  # a FIFO would wait forever
            raise ValueError("not a regular file")
        text = paths[0].read_text(encoding="utf-8")
        record = json.loads(text, parse_constant=_refuse)
        history = pd.read_csv(paths[1])
        if not len(history) or not np.isfinite(history[HISTORY].to_numpy(float)).all():
            raise ValueError("a history of nothing, or with NaN")
        for value, kind in (
            (record["split"]["validation_sha256"], str),
            (record["metrics"]["validation_accuracy"], float | int),
            (record["parameters"], int),
            (record["epochs"], int),
            (record["arguments"].get("augment", False), bool),
        ):
            if not isinstance(value, kind):
                raise TypeError(f"{value!r} where a number or a name should be")
        if not 0 <= record["metrics"]["validation_accuracy"] <= 1:
            raise ValueError("an accuracy that is none")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        why = " ".join(str(error).split())[:80]
        raise InputError(f"{paths[0]} or .csv is damaged ({why}); train {name} again") from None
    return history, record


def _refuse(constant: str) -> None:
    raise ValueError(f"it holds {constant}")


def bare_model(model: keras.Model) -> keras.Model:
    """A copy of Keras's own layers, which anyone can load, that computes in float32.

    Without the optimizer, which would triple the file.
    """
    config = model.get_config()
    for layer in config["layers"]:
        if layer["class_name"].startswith("Fused"):  # batch_norm.py, prelu.py
            plain = {"class_name": layer["class_name"].removeprefix("Fused")}
            layer.update(plain, module="keras.layers", registered_name=None)
        layer["config"]["dtype"] = "float32"
        layer["config"].pop("synchronized", None)  # of batch norms, for several devices
    bare = type(model).from_config(config)
    bare.set_weights(model.get_weights())
    return bare


def layer_table(model: keras.Model) -> str:
    """The homework's table of layers: name (type) | output shape | parameters."""
    rows = ["| layer (type) | output shape | params |", "|---|---|---|"]
    for layer in model.layers:
        shape = ", ".join(str(size) for size in layer.output.shape[1:])
        rows.append(
            f"| {layer.name} ({type(layer).__name__}) | {shape} | {layer.count_params():,} |"
        )
    trainable = sum(math.prod(v.shape) for v in model.trainable_variables)
    total = f"Total {model.count_params():,} parameters, {trainable:,} of them trainable."
    return "\n".join([*rows, "", total, ""])


def plot_history(history: pd.DataFrame, best_epoch: int, title: str) -> Figure:
    """Accuracy and loss of both splits by epoch, the saved epoch marked (the homework's P1, P2)."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    figure.suptitle(files.plain(title))
    best = history[history["epoch"] == best_epoch]
    losses = history[["loss", "val_loss"]].to_numpy()
    marker = "." if len(history) <= 20 else None  # else a run of one epoch would show no line
    for axes, name in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
        for column, label in ((name, "training"), (f"val_{name}", "validation")):
            axes.plot(history["epoch"], history[column], marker=marker, label=label)
        axes.plot(best["epoch"], best[f"val_{name}"], "o", color="C1", label="saved epoch")
        axes.set(xlabel="epoch", ylabel=name)
        if name == "loss" and 0 < 10 * losses.min() < losses.max():
            axes.set_yscale("log")  # a first epoch that went astray would flatten all others
        axes.set_xlim(0.5, len(history) + 0.5)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.legend()
    return figure
