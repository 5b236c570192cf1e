"""Small models, and records of runs, that tests can make for themselves without training."""

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd

import train_cnn
import train_dnn
from toolbox import files
from toolbox.analysis.saved_models import Classifier
from toolbox.dataset import splits
from toolbox.dataset.faces import Faces

HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "accuracy": [0.2, 0.3, 0.4],
        "loss": [1.9, 1.8, 1.7],
        "val_accuracy": [0.2, 0.4, 0.3],
        "val_loss": [1.9, 1.7, 1.8],
        "seconds": [1.0, 1.0, 1.0],
        "cpu_seconds": [2.0, 2.0, 2.0],
        "device": ["CPU", "CPU", "CPU"],
    }
)
RECORD = {
    "arguments": {"augment": True},
    "parameters": 12,
    "epochs": 3,
    "metrics": {"validation_accuracy": 0.4},
    "split": {"validation_sha256": "12ab"},
}
SHARPNESS = 60  # of the brightness model's probabilities


def brightness_model(
    order=range(7), last: str | None = "softmax", scale: float = 1.0, dtype: str | None = None
) -> keras.Model:
    """Right on nearly all of conftest's faces, by their mean brightness, 59.5 + 20 * label.

    order: output j stands for class order[j]; scale: what its inputs are multiplied with first.
    """
    centres = 59.5 + 20 * np.array(order, float)
    dense = keras.layers.Dense(len(centres), last, dtype=dtype)
    model = keras.Sequential(
        [
            keras.Input((48, 48, 1)),
            keras.layers.Rescaling(scale),
            keras.layers.GlobalAveragePooling2D(),
            dense,
        ]
    )
    # -(x - c)^2 without the x^2, which all logits share
    dense.set_weights([2 * centres[np.newaxis] / SHARPNESS, -(centres**2) / SHARPNESS])
    return model


def classifier_of(*stack, shape=(48, 48, 1), input_range=(0.0, 255.0)) -> Classifier:
    """The same weights each time."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input(shape), *stack])
    return Classifier("x", Path("x.keras"), model, input_range, None)


def random_model(seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    scale = keras.layers.Rescaling(1 / 25)  # so that it is neither sure of all nor of nothing
    stack = [keras.Input((48, 48, 1)), scale, keras.layers.Flatten()]
    return keras.Sequential([*stack, keras.layers.Dense(7, "softmax")])


def save_run(
    path: Path, model: keras.Model, faces: Faces, seed: int = 0, synthetic: bool = False
) -> Path:
    """The model and such a record as a training run on `faces` leaves; returns `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    training, held_out = splits.split(faces, 0.25, seed)
    record = {
        "data": {"synthetic": synthetic},
        "model_sha256": files.sha256_of_file(path),
        "split": {
            "validation_rows": held_out.tolist(),
            "validation_sha256": splits.sha256_of_rows(faces, held_out),
            "training_sha256": splits.sha256_of_rows(faces, training),
        },
    }
    path.with_suffix(".json").write_text(json.dumps(record))
    return path


def cnn_args(data: Path, folder: Path, **changes) -> train_cnn.Args:
    """Two epochs of a tiny CNN, `net`."""
    args = train_cnn.Args(data=data, width=4, batch_size=32, epochs=2, name="net")
    return replace(args, models_dir=folder / "models", figures_dir=folder / "figures", **changes)


def dnn_args(data: Path, folder: Path, **changes) -> train_dnn.Args:
    """Two epochs of a tiny DNN, `dnn`."""
    args = train_dnn.Args(data=data, width=16, batch_size=32, epochs=2)
    return replace(args, models_dir=folder / "models", figures_dir=folder / "figures", **changes)


def write_run(
    folder: Path, name: str, record: dict | str | None = None, history: str | None = None
) -> None:
    """RECORD and HISTORY, or others, as a run of three epochs leaves them."""
    text = record if isinstance(record, str) else json.dumps(record or RECORD)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(text)
    (folder / f"{name}.csv").write_text(HISTORY.to_csv(index=False) if history is None else history)


def rows_of(table: str) -> list[str]:
    """The written table in the homework's terms: name, shape, parameters."""
    rows = [line.split("|")[1:4] for line in table.splitlines() if line.startswith("| ")][1:]
    return [
        f"{name.split()[0]} {shape.replace(' ', '')} {params.replace(',', '')}".replace("  ", " ")
        for name, shape, params in ([cell.strip() for cell in row] for row in rows)
    ]
