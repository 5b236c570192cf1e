"""What a training run leaves: model, layer table, history and record, each file whole; and the
tables that runs of several models add up in.
"""

import math
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

import utils
from utils import Faces, InputError

with utils.quiet_stderr():
    import keras


def leave_artefacts(args, model: keras.Model, faces: Faces, history: pd.DataFrame, record: dict):
    """Write all that a run leaves, each file whole, and print the result in a line."""
    models_dir = utils.folder(args.models_dir, faces)
    figures_dir = utils.folder(args.figures_dir, faces)
    metrics = record["metrics"]
    title = (
        f"{args.name}: {metrics['validation_accuracy']:.1%} validation accuracy "
        f"at epoch {record['best_epoch']}"
    )
    numbers = history.to_csv(index=False)
    utils.write_text(models_dir / f"{args.name}.txt", layer_table(model))
    utils.write_whole(models_dir / f"{args.name}.keras", model.save)
    record["model_sha256"] = utils.sha256_of_file(models_dir / f"{args.name}.keras")
    utils.write_text(models_dir / f"{args.name}.csv", numbers)
    utils.write_json(models_dir / f"{args.name}.json", record)
    figure = plot_history(history, record["best_epoch"], utils.headline(faces, title))
    utils.save_figure(figure, figures_dir / f"{args.name}_history.png")
    utils.write_text(figures_dir / f"{args.name}_history.csv", numbers)
    accuracies = ", ".join(
        f"{name.replace('_', ' ')} {value:.1%}"
        for name, value in metrics.items()
        if name.endswith("accuracy")
    )
    print(f"{models_dir / args.name}.keras: {accuracies}, {record['minutes']} minutes")


def bare_model(model: keras.Model) -> keras.Model:
    """A copy of Keras's own layers, which anyone can load, that computes in float32; without the
    optimizer, which would triple the file.
    """
    config = model.get_config()
    for layer in config["layers"]:
        if layer["class_name"] == "FusedBatchNormalization":
            plain = {"class_name": "BatchNormalization", "module": "keras.layers"}
            layer.update(plain, registered_name=None)
        layer["config"]["dtype"] = "float32"
        layer["config"].pop("synchronized", None)  # of batch norms, for several devices
    bare = type(model).from_config(config)
    bare.set_weights(model.get_weights())
    return bare


def layer_table(model: keras.Model) -> str:
    """The report's table of layers: name (type) | output shape | parameters."""
    rows = ["| layer (type) | output shape | params |", "|---|---|---|"]
    for layer in model.layers:
        shape = ", ".join(str(size) for size in layer.output.shape[1:])
        rows.append(
            f"| {layer.name} ({type(layer).__name__}) | {shape} | {layer.count_params():,} |"
        )
    trainable = sum(math.prod(v.shape) for v in model.trainable_variables)
    total = f"Total {model.count_params():,} parameters, {trainable:,} of them trainable."
    return "\n".join([*rows, "", total, ""])


def read_table(path: Path, columns: list[str]) -> pd.DataFrame | None:
    """The rows that earlier runs left at `path`, if any. Raises InputError if that is no table."""
    if not path.exists():
        return None
    try:
        table = pd.read_csv(path)
        table[columns]
    except (ValueError, LookupError) as error:
        raise InputError(f"{path} is damaged ({error}); move it away") from None
    return table


def with_rows(earlier: pd.DataFrame | None, rows: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """`rows` after the earlier ones, less those that agree with one of `rows` in all of `key`."""
    if earlier is None:
        return rows
    again = pd.MultiIndex.from_frame(earlier[key]).isin(pd.MultiIndex.from_frame(rows[key]))
    return pd.concat([earlier[~again], rows], ignore_index=True)


def plot_history(history: pd.DataFrame, best_epoch: int, title: str) -> Figure:
    """Accuracy and loss of both splits by epoch, the best epoch marked (the report's P1, P2)."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    figure.suptitle(title)
    best = history[history["epoch"] == best_epoch]
    losses = history[["loss", "val_loss"]].to_numpy()
    for axes, name in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
        axes.plot(history["epoch"], history[name], label="training")
        axes.plot(history["epoch"], history[f"val_{name}"], label="validation")
        axes.plot(best["epoch"], best[f"val_{name}"], "o", color="C1", label="best epoch")
        axes.set(xlabel="epoch", ylabel=name)
        if name == "loss" and 0 < 10 * losses.min() < losses.max():
            axes.set_yscale("log")  # a first epoch that went astray would flatten all others
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    return figure
