"""How the training scripts train: `fit` with exact resume.

A run that is killed and started again ends with the very weights it would have had: the batches
follow from (seed, epoch), the state of dropout is a variable of the model, and whether to stop
follows from the history. So one file, written after each epoch, holds all there is to know.
"""

import hashlib
import math
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

import utils
import artefacts
import saved_state
import splits
from utils import Faces, InputError
from batches import evaluation_batches, training_batches
from distribution import ONE, Devices

with utils.quiet_stderr():
    import keras
    import tensorflow as tf

# TensorFlow is no faster for it with convolutions on a CPU; JAX is nothing without.
JIT_COMPILE = keras.backend.backend() == "jax"


def make_repeatable(seed: int, precision: str = "float32") -> None:
    """The same weights for the same seed, and sums in the same order in every run.

    `precision` is what models built from now on compute in, float32 or bfloat16; their weights are
    float32 in either case.
    """
    keras.utils.clear_session()  # automatic names are counted, and part of a state's configuration
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        tf.config.experimental.enable_op_determinism()
    else:
        tf.config.set_visible_devices([], "GPU")  # it only makes batches; else it takes the memory


def check(args) -> None:
    """Raise InputError for numbers and names that no run can have."""
    utils.check_limits(args, LIMITS)
    if not args.name or Path(args.name).name != args.name or args.name.startswith("."):
        raise InputError(f"--name {args.name} is no file name; --models-dir names another folder")


LIMITS = {
    "validation_fraction": (0, 0.999),
    "width": (1, 8192),
    "dropout": (0, 0.99),
    "epochs": (1, 10**6),
    "patience": (1, 10**6),
    "batch_size": (1, 10**5),
    "learning_rate": (0, 1000),
    "label_smoothing": (0, 0.99),
    "weight_decay": (0, 1),
    "shift": (0, 1),
    "rotation": (0, 180),
    "zoom": (0, 0.99),
    "erase": (0, 1),
    "seed": (0, 2**31 - 1),
}


class SaveState(keras.callbacks.Callback):
    """After each epoch: the history's row, the best weights so far, everything to one file.

    `model` must be compiled. Raises InputError if the file at `path` belongs to another
    configuration, or is not such a file. Without `writes` it leaves the file to another process.
    """

    def __init__(
        self,
        path: Path,
        model: keras.Model,
        configuration: dict,
        patience: int,
        writes: bool = True,
    ):
        super().__init__()
        self.path = path
        self.set_model(model)
        self.configuration = configuration
        self.patience = patience
        self.writes = writes
        self.history: list[dict] = []
        self.best_weights = model.get_weights()
        model.optimizer.build(model.trainable_variables)

    def variables(self) -> list:
        """Everything that training changes; dropout's random states are among the model's."""
        return [*self.model.variables, *self.model.optimizer.variables]

    def save(self) -> None:
        if not self.writes:
            return
        arrays = saved_state.values(self.variables())
        arrays |= {f"best_{i}": weights for i, weights in enumerate(self.best_weights)}
        saved_state.save(self.path, self.configuration, self.history, arrays)

    def load(self) -> None:
        history, arrays = saved_state.load(self.path, self.configuration)
        try:
            best = [arrays[f"best_{i}"] for i in range(len(self.best_weights))]
        except LookupError as error:
            raise saved_state.damaged(self.path, error) from None
        saved_state.restore(self.path, self.variables(), arrays)
        self.best_weights, self.history = best, history

    def best(self) -> dict:
        """The epoch of the highest validation accuracy; of several, that of the lowest loss."""
        return max(self.history, key=lambda row: (row["val_accuracy"], -row["val_loss"]))

    def is_over(self) -> bool:
        return bool(self.history) and len(self.history) - self.best()["epoch"] >= self.patience

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self.started[0]
        cpu_seconds = time.process_time() - self.started[1]
        row = {"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}}
        self.history.append(
            row | {"seconds": round(seconds, 2), "cpu_seconds": round(cpu_seconds, 2)}
        )
        if not np.isfinite(row["loss"]):
            raise InputError(
                f"the loss is {row['loss']} in epoch {epoch + 1}; lower the learning rate"
            )
        if self.best()["epoch"] == epoch + 1:
            self.best_weights = self.model.get_weights()
        self.save()
        self.model.stop_training = self.is_over()


def train(
    args,
    model: keras.Model,
    faces: Faces,
    train_rows: np.ndarray,
    validation_rows: np.ndarray,
    augment=None,
    devices: Devices = ONE,
) -> dict:
    """Train a compiled `model` on some rows of `faces`, judge it on others, leave its artefacts.

    args: `name`, `seed`, `epochs`, `batch_size`, `patience`, `validation_fraction`, `fresh`,
    `models_dir`, `figures_dir`.
    `augment` as `batches.training_batches` takes it. Writes NAME.keras (the best epoch, without
    its optimizer), NAME.csv, NAME.txt and NAME.json to the models' folder, NAME_history.png and
    .csv to the figures'. Returns the record that NAME.json holds. Of several processes, which
    `devices` tells, the first one writes.
    """
    record = utils.provenance(args, faces)
    backend = keras.backend.backend()
    record["versions"][backend] = version(backend)
    record["engine"] = f"{backend}, devices: {devices.count}, processes: {devices.processes}"
    ignored = ("data", "models_dir", "figures_dir", "fresh", "cnn", "compare_only", "distribute")
    configuration = {k: v for k, v in record["arguments"].items() if k not in ignored}
    configuration["data"] = faces.sha256
    configuration["model"] = hashlib.sha256(model.to_json().encode()).hexdigest()[:12]
    models_dir = utils.folder(args.models_dir, faces)
    utils.folder(args.figures_dir, faces).mkdir(parents=True, exist_ok=True)
    utils.refuse_inputs(*(models_dir / f"{args.name}{end}" for end in (".keras", ".csv", ".txt")))
    path = models_dir / f"{args.name}.state.npz"
    saved_state.remove_leftovers(path)
    first = devices.process == 0
    with devices.scope():
        state = SaveState(path, model, configuration, args.patience, writes=first)
    goes_on = path.exists() and not args.fresh
    devices.agree(  # also, nobody writes before all have looked
        utils.sha256_of_file(path) if goes_on else "",
        f"the processes find different states at {path}; share that folder, or give --fresh to all",
    )
    if not goes_on:
        state.save()  # a full disk or a folder without permission shows now, not after an epoch
    else:
        state.load()
        print(f"Going on after epoch {len(state.history)} of {args.epochs} ({path})")
    print(
        f"{args.name}: {model.count_params():,} parameters, {len(train_rows):,} training and "
        f"{len(validation_rows):,} validation faces of {faces.path.name}"
    )
    epochs = range(len(state.history), args.epochs)
    if epochs and not state.is_over():
        try:
            with devices.scope():
                devices.prepare(model)
                model.fit(
                    training_batches(
                        faces.images[train_rows],
                        faces.labels[train_rows],
                        args.batch_size,
                        args.seed,
                        epochs,
                        augment,
                        devices,
                    ),
                    initial_epoch=epochs.start,
                    epochs=epochs.stop,
                    steps_per_epoch=math.ceil(devices.whole(len(train_rows)) / args.batch_size),
                    validation_data=evaluation_batches(faces, validation_rows, devices),
                    shuffle=False,  # the order is the dataset's
                    callbacks=[state],
                    verbose=1 if sys.stdout.isatty() else 2,
                )
        except KeyboardInterrupt:
            print(
                f"\nThe same command, without --fresh, goes on after epoch {len(state.history)} of "
                f"{args.epochs}.",
                file=sys.stderr,
            )
            raise
    model.set_weights(state.best_weights)
    history, best = pd.DataFrame(state.history), state.best()
    saved = artefacts.bare_model(model)
    judge = keras.Model(saved.inputs[0], saved.outputs[0])  # apart: `saved` itself stays uncompiled
    judge.compile(loss=model.loss, metrics=["accuracy"], jit_compile=JIT_COMPILE)

    def score(rows: np.ndarray) -> dict:
        return judge.evaluate(evaluation_batches(faces, rows), verbose=0, return_dict=True)

    held_out = score(validation_rows)
    cpu_seconds = history["cpu_seconds"].median()
    record |= {
        "parameters": model.count_params(),
        "epochs": len(history),
        "best_epoch": best["epoch"],
        "stopped_early": len(history) < args.epochs,
        "seconds_per_epoch": round(history["seconds"].median(), 2),
        "cpu_seconds_per_1000_images": round(cpu_seconds / len(train_rows) * 1000, 3),
        "minutes": round(history["seconds"].sum() / 60, 2),
        "metrics": {
            "training_accuracy": best["accuracy"],
            "validation_accuracy": held_out["accuracy"],
            "validation_loss": held_out["loss"],
        },
        "split": {
            "method": "stratified by label, copies of a picture kept together"
            if args.validation_fraction
            else "all of Training but the pictures of PublicTest, which is the validation",
            "training_rows": len(train_rows),
            "training_sha256": splits.sha256_of_rows(faces, train_rows),
            "validation_sha256": splits.sha256_of_rows(faces, validation_rows),
            "validation_rows": validation_rows.tolist(),
        },
    }
    public_rows = splits.rows_of_usage(faces, "PublicTest")
    if len(public_rows):
        record["metrics"]["public_test_accuracy"] = score(public_rows)["accuracy"]
    if first:
        artefacts.leave_artefacts(args, saved, faces, history, record)
        path.unlink(missing_ok=True)
    return record
