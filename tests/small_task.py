"""A network of two layers, and few faces for it: every method can be tried in a second."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from conftest import make_faces

from toolbox.dataset.faces import Faces
from toolbox.engine import keras, layers
from toolbox.semi_supervised.few_labels import FewLabels
from toolbox.semi_supervised.loop import Loop
from toolbox.semi_supervised.runs import Run
from toolbox.semi_supervised.student import Setting
from toolbox.training import fit
from toolbox.training.schedules import one_cycle

FACES = Faces(Path("fer2013.csv"), "abc", *make_faces(84), False)
SIZE = {"labels_per_class": 2, "width": 8, "updates": 40, "seed": 3}


def build_small_cnn() -> keras.Model:
    faces = keras.Input((48, 48, 1))
    x = layers.Rescaling(1 / 127.5, offset=-1)(faces)
    x = layers.Conv2D(4, 8, 4, use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    x = layers.GlobalAveragePooling2D(name="global_pooling")(x)
    return keras.Model(faces, layers.Dense(7, "softmax", dtype="float32")(x))


def make_setting(path: Path, updates: int = 6) -> Setting:
    """path: of the state file."""
    fit.make_repeatable(0)
    return Setting(
        build=lambda: (build_small_cnn(), one_cycle(updates, 0.05, 5e-4)),
        loop=Loop(path, {"updates": updates}, updates),
        batch_size=8,
        label_smoothing=0.1,
        ema_decay=0.99,
        seed=0,
    )


def interrupted(setting: Setting, update: int) -> Setting:
    """A setting whose loop ends as by Ctrl-C once `update` is saved."""

    class Interrupted(Loop):
        def _save(self, variables):
            super()._save(variables)
            if self.history and self.history[-1]["update"] == update:
                raise KeyboardInterrupt

    loop = Interrupted(setting.loop.path, setting.loop.configuration, setting.loop.updates)
    return replace(setting, loop=loop)


def make_few_labels(labelled: int = 28) -> FewLabels:
    images, labels, _ = make_faces(140)
    return FewLabels(images[:labelled], labels[:labelled], images[labelled:], 7)


def untrained() -> keras.Model:
    fit.make_repeatable(1)
    return build_small_cnn()


def assert_same_weights(ours: keras.Model, theirs: keras.Model) -> None:
    for mine, its in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)


def make_run(folder: Path, method: str = "baseline", own: str = "", **changes) -> Run:
    decides = {"method": method, **SIZE} | changes
    return Run(FACES, decides, "", own, folder / "models", folder / "figures")


def make_record(run: Run, accuracy: float = 0.5) -> dict:
    """As short as a table allows."""
    return {
        "run": run.name,
        "name": "default",
        "settings": run.own.strip("_"),
        "configuration": run.configuration,
        "labelled": 14,
        "minutes": 0.5,
        "metrics": {"accuracy": accuracy, "macro_f1": 0.4, "faces": 28, "f1": [0.4] * 7},
        "pseudo_labels": {"updates": [0, 9], "coverage": [0, 0.5], "precision": [None, 0.8]},
        "split": {"validation_rows": [1, 2]},
        "data": {"file": "fer2013.csv", "sha256": "abc", "synthetic": False},
        "git": None,
        "command": "python semi_supervised.py",
    }
