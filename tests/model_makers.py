"""Small models that tests can make for themselves without training."""

import json
from pathlib import Path

import keras
import numpy as np

from toolbox import files
from toolbox.dataset import splits
from toolbox.dataset.faces import Faces

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
