"""How the training scripts train: Keras's `fit` with exact resume.

A run that is interrupted and resumed ends with the very weights it would have had: the batches
follow from (seed, epoch), the state of dropout is a variable of the model, and whether to stop
follows from the history. So one file, written after each epoch, holds all there is to know.
"""

from __future__ import annotations

import hashlib
import sys
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from toolbox import files
from toolbox.dataset import splits
from toolbox.dataset.faces import Faces
from toolbox.engine import keras, tf
from toolbox.files import InputError
from toolbox.training import run_records
from toolbox.training.batches import evaluation_batches, one_hot, training_batches
from toolbox.training.devices import ONE, Devices
from toolbox.training.run_records import Run
from toolbox.training.state import TrainingState

LIMITS = {  # least and greatest of each argument, for utils.check_limits
    "validation_fraction": (0, 0.999),
    "width": (1, 8192),
    "dropout": (0, 0.99),
    "epochs": (1, 10**6),
    "patience": (1, 10**6),
    "batch_size": (1, 10**5),
    "learning_rate": (0, 1000),
    "label_smoothing": (0, 0.99),
    "warmup": (0, 0.99),
    "weight_decay": (0, 1),
    "shift": (0, 1),
    "rotation": (0, 180),
    "zoom": (0, 0.99),
    "erase": (0, 1),
    "seed": (0, 2**31 - 1),
}
RESERVED = ("published", "sample", "predictions", "semi_supervised")  # folders of other things
LONGEST_NAME = 200  # bytes; file systems allow 255, and the names of our files add some
# Arguments that do not change what is learned.
IGNORED = {"data", "models_dir", "figures_dir", "fresh", "cnn", "compare_only", "distribute"}


class Split(NamedTuple):
    """Faces, and which of their rows to train on and to hold out."""

    faces: Faces
    training: np.ndarray  # int64 (n,), row numbers
    validation: np.ndarray  # int64 (m,)
    votes: bool = False  # train on `faces.votes` in place of the labels


def split_faces(faces: Faces, validation_fraction: float, seed: int, votes: bool = False) -> Split:
    """`splits.split`, to train on labels or votes. Raises InputError if there are none."""
    if votes and faces.votes is None:
        raise InputError(f"{faces.path} has no votes; prepare_data.py --ferplus makes a CSV")
    return Split(faces, *splits.split(faces, validation_fraction, seed), votes)


def jit_compile() -> bool:
    """Whether to compile with XLA: JAX needs it, and on a CPU TensorFlow gains nothing by it."""
    return keras.backend.backend() == "jax"


def check_name(name: str) -> None:
    """Raise InputError if `name` cannot be that of a run's files."""
    if name in RESERVED:
        raise InputError(f"--name {name} is that of a folder in models/ or figures/; give another")
    if not name or Path(name).name != name or name.startswith("."):
        raise InputError(f"--name {name} is not a file name; --models-dir names another folder")
    if not name.isprintable() or len(name.encode()) > LONGEST_NAME:
        raise InputError(f"--name {name!r:.40} is too long, or holds what cannot be printed")


def make_repeatable(seed: int, precision: str = "float32") -> None:
    """The same weights for the same seed, and sums in the same order in every run.

    `precision` is what models built from now on compute in, float32 or bfloat16; their weights are
    float32 in either case. `train` sets it back to float32.
    """
    keras.utils.clear_session()  # automatic names are counted, and part of a run's configuration
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        tf.config.experimental.enable_op_determinism()
    else:
        tf.config.set_visible_devices([], "GPU")  # it only makes batches; else it takes the memory


def engine_version() -> dict[str, str]:
    """What Keras computes by, and its version."""
    backend = keras.backend.backend()
    return {backend: version(backend)}


def configuration(record: dict) -> dict:
    """What decides the weights of a run, from its `provenance`."""
    arguments = {k: v for k, v in record["arguments"].items() if k not in IGNORED}
    return arguments | {"data": record["data"]["sha256"]}


def train(
    model: keras.Model,
    split: Split,
    run: Run,
    record: dict,
    augment=None,
    devices: Devices = ONE,
) -> dict:
    """Train a compiled `model`, evaluate the epoch that `run.keep` names, write `run.outputs`.

    record: the run's `provenance`, to which metrics, times and the split are added; it is returned
    and written to NAME.json. `augment` as `batches.training_batches` takes it. Of several
    processes, as `devices` tells, the first one writes.
    Raises InputError for faces that would be overwritten, a state that cannot be resumed, or a loss
    that is not finite.
    """
    keras.config.set_dtype_policy("float32")  # of what is built from now on, in this run or later
    files.refuse_overwriting([split.faces.path], run.outputs)
    network = {"model": hashlib.sha256(model.to_json().encode()).hexdigest()[:12]}
    compared = configuration(record) | network
    if isinstance(model.optimizer.get_config()["learning_rate"], float):
        del compared["epochs"]  # no schedule follows from it, so the run may go on, or end now
    with devices.scope():
        state = TrainingState(run, model, compared, devices)
    state.open()
    devices.tell(
        f"{run.name}: {model.count_params():,} parameters, {len(split.training):,} training and "
        f"{len(split.validation):,} validation faces of {split.faces.path.name}"
    )
    if run.model_file(".json").exists():  # a night's work may be lost, and Ctrl-C keeps it
        devices.tell(f"{run.model_file('.keras')} will be replaced in the end; --name keeps it")
    if devices.first:
        splits.tell_absent(split.faces, split.training, "training", split.faces.classes)
        splits.tell_absent(split.faces, split.validation, "validation", split.faces.classes)
    fit(state, split, augment)
    model.set_weights(state.best_weights)
    saved = run_records.bare_model(model)
    versions = record["versions"] | engine_version()
    record = record | {"versions": versions} | summarize(state, len(split.training))
    record["metrics"] |= evaluate(saved, model.loss, split)
    record |= {"split": describe(split), "classes": list(split.faces.classes)}
    if devices.first:
        run_records.save_run(run, saved, pd.DataFrame(state.history), record, split.faces)
        run.state.unlink(missing_ok=True)
    return record


def fit(state: TrainingState, split: Split, augment=None) -> None:
    """Train until the state says that it is over."""
    if state.is_over():
        return
    run, devices, rows = state.run, state.devices, split.training
    images = split.faces.images[rows]
    targets = split.faces.votes[rows] if split.votes else one_hot(split.faces, rows)
    epochs = range(len(state.history), run.epochs)
    callback = keras.callbacks.LambdaCallback(state.on_epoch_begin, state.on_epoch_end)
    how = (run.batch_size, run.seed, epochs, augment, devices)
    try:
        with devices.scope():
            devices.prepare(state.model)
            state.model.fit(
                training_batches(images, targets, *how),
                initial_epoch=epochs.start,
                epochs=epochs.stop,
                steps_per_epoch=devices.steps(len(rows), run.batch_size),
                validation_data=evaluation_batches(split.faces, split.validation, devices),
                shuffle=False,  # the order is the dataset's
                callbacks=[callback],
                verbose=(1 if sys.stdout.isatty() else 2) if devices.first else 0,
            )
    except KeyboardInterrupt:
        done = f"{len(state.history)} of {run.epochs} epochs are done"
        print(f"\n{done}; repeat the command, without --fresh, to resume.", file=sys.stderr)
        raise


def evaluate(model: keras.Model, loss, split: Split) -> dict:
    """Accuracy and loss on the held-out rows, and accuracy on PublicTest, if the file has it."""
    model = keras.Model(model.inputs[0], model.outputs[0])  # the one to be saved stays uncompiled
    model.compile(loss=loss, metrics=["accuracy"], jit_compile=jit_compile())

    def score(rows: np.ndarray) -> dict:
        return model.evaluate(evaluation_batches(split.faces, rows), verbose=0, return_dict=True)

    held_out = score(split.validation)
    metrics = {"validation_accuracy": held_out["accuracy"], "validation_loss": held_out["loss"]}
    public = splits.rows_of_usage(split.faces, "PublicTest")
    if len(public):
        same = np.array_equal(public, split.validation)
        metrics["public_test_accuracy"] = (held_out if same else score(public))["accuracy"]
    return metrics


def summarize(state: TrainingState, faces: int) -> dict:
    """What the history says, as a record holds it. faces: of an epoch."""
    history, best, devices = pd.DataFrame(state.history), state.best(), state.devices
    cpu_seconds, backend = history["cpu_seconds"].median(), keras.backend.backend()
    return {
        "engine": f"{backend}, devices: {devices.count}, processes: {devices.processes}",
        "device": ", ".join(history["device"].unique()),  # a run may have moved
        "parameters": state.model.count_params(),
        "epochs": len(history),
        "best_epoch": best["epoch"],
        "stopped_early": len(history) < state.run.epochs,
        "seconds_per_epoch": round(history["seconds"].median(), 2),
        "cpu_seconds_per_1000_images": round(cpu_seconds / faces * 1000, 3),
        "minutes": round(history["seconds"].sum() / 60, 2),
        "metrics": {"training_accuracy": best["accuracy"]},
    }


def describe(split: Split) -> dict:
    """How the rows were split, and which: what an analysis finds the held-out rows by."""
    faces, training, validation, _ = split
    public = np.array_equal(splits.rows_of_usage(faces, "PublicTest"), validation)
    return {
        "method": "all of Training but the images of PublicTest, which is the validation"
        if public
        else "stratified by label, copies of an image kept together",
        "training_rows": len(training),
        "training_sha256": splits.sha256_of_rows(faces, training),
        "validation_sha256": splits.sha256_of_rows(faces, validation),
        "validation_rows": validation.tolist(),
    }
