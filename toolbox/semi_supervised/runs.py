"""A run of one method: what decides it, the names of its files, its model and its record."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from toolbox import files
from toolbox.analysis import metrics, model_record, saved_models
from toolbox.dataset import splits
from toolbox.dataset.faces import Faces
from toolbox.engine import keras
from toolbox.files import InputError
from toolbox.semi_supervised.few_labels import FewLabels, Learned, pseudo_label_quality
from toolbox.semi_supervised.student import predict
from toolbox.training import checkpoint
from toolbox.training.devices import device_name

FOLDER = "semi_supervised"


class Task(NamedTuple):
    """Faces, and what their rows are for: int64 row numbers, sorted."""

    faces: Faces
    labelled: np.ndarray
    hidden: np.ndarray  # shown without their labels
    held_out: np.ndarray  # to evaluate on

    def few_labels(self) -> FewLabels:
        images, labels, classes = self.faces.images, self.faces.labels, len(self.faces.classes)
        return FewLabels(images[self.labelled], labels[self.labelled], images[self.hidden], classes)

    @property
    def known(self) -> np.ndarray:
        """All rows but those held out."""
        return np.union1d(self.labelled, self.hidden)

    def no_labels(self) -> Task:
        """The same with all labels hidden."""
        return self._replace(labelled=self.labelled[:0], hidden=self.known)

    def all_labels(self) -> Task:
        """The same with no label hidden."""
        return self._replace(labelled=self.known, hidden=self.hidden[:0])


@dataclass(frozen=True)
class Run:
    """One method in one setting, with one seed."""

    faces: Faces
    decides: dict
    """all that decides the weights besides the faces: `method`, `width`, `updates`, `seed`, ..."""
    shared: str
    """settings of all methods that are not the default, for a file name: "_batch-size64" """
    own: str
    """settings of this method alone that are not the default"""
    models_dir: Path
    figures_dir: Path

    @property
    def configuration(self) -> dict:
        return self.decides | {"data": self.faces.sha256}

    @property
    def common(self) -> str:
        """`shared`, and the name of the CSV if it is not the usual."""
        label = self.faces.file_label
        return (f"_{label}" if label else "") + self.shared

    @property
    def name(self) -> str:
        """Of the run's files: tells every setting."""
        return self._name(f"{self.decides['method']}_", self.own)

    @property
    def setting(self) -> str:
        """What it has in common with other methods that are compared with it."""
        return self._name("", "")

    @property
    def title(self) -> str:
        """`setting` in words, of a run on few labels."""
        its = self.decides
        size = f"width {its['width']}, {its['updates']:,} updates"
        common = self.common.replace("_", ", ")
        return f"{its['labels_per_class']} labels per class, {size}{common}, seed {its['seed']}"

    def _name(self, method: str, own: str) -> str:
        its = self.decides
        labels = f"{its['labels_per_class']}_" if "labels_per_class" in its else ""
        size = f"width{its['width']}_updates{its['updates']}"
        return f"{method}{labels}{size}{self.common}{own}_seed{its['seed']}"

    @property
    def models(self) -> Path:
        """Folder of model, record and state."""
        return files.output_folder(self.models_dir, self.faces.synthetic) / FOLDER

    @property
    def figures(self) -> Path:
        """Folder of table, figures and the record that they are made from."""
        return files.output_folder(self.figures_dir, self.faces.synthetic) / FOLDER

    @property
    def model(self) -> Path:
        return self.models / f"{self.name}.keras"

    @property
    def state(self) -> Path:
        return self.models / f"{self.name}.state.npz"


def load_finished(run: Run) -> tuple[keras.Model, dict] | None:
    """Model and record of the run, if it is finished and both files are whole.

    Raises InputError if they are of another configuration, such as another CSV of the same name.
    """
    if run.state.exists() or not run.model.is_file():  # the state of a run is deleted last
        return None
    record, _ = model_record.read_record(run.model)
    if record is None:
        return None
    differs = checkpoint.difference(record.get("configuration", {}), run.configuration)
    if differs:
        raise InputError(
            f"{run.model} is of another configuration ({differs}); move it away, or replace it: "
            "--fresh"
        )
    return saved_models.load_classifier(run.model).model, record


def describe(run: Run, learned: Learned, task: Task, history: list[dict]) -> dict:
    """What the run's record holds besides its provenance; evaluates the model."""
    faces, labelled, hidden, held_out = task
    labels, classes = faces.labels[held_out], len(faces.classes)
    answers = predict(learned.model, faces.images[held_out]).argmax(axis=1)
    return describe_training(run, learned.model, task, history) | {
        "name": run.common.strip("_") or "default",
        "settings": run.own.strip("_"),
        "labelled": len(labelled),
        "unlabelled": len(hidden),
        "metrics": metrics.measure(labels, answers, classes)
        | {"f1": metrics.f1_by_class(labels, answers, classes).round(4).tolist()},
        "pseudo_labels": pseudo_label_quality(learned, faces.labels[hidden]),
    }


def describe_training(run: Run, model: keras.Model, task: Task, history: list[dict]) -> dict:
    """What was trained, how, and on which faces."""
    faces, labelled, _, held_out = task
    return {
        "run": run.name,
        "configuration": run.configuration,
        "engine": keras.backend.backend(),
        "device": device_name(),
        "parameters": model.count_params(),
        "minutes": round(history[-1]["seconds"] / 60, 2),
        "history": history,
        "classes": list(faces.classes),
        "split": {
            "method": "few labels of Training; the images held out are not among it",
            "labels_sha256": splits.sha256_of_rows(faces, labelled),
            "training_rows": len(task.known),
            "training_sha256": splits.sha256_of_rows(faces, task.known),
            "validation_sha256": splits.sha256_of_rows(faces, held_out),
            "validation_rows": held_out.tolist(),
        },
    }


def sha256_of_weights(model: keras.Model) -> str:
    """Not of its file, which holds the time of saving."""
    digest = hashlib.sha256()
    for weights in model.get_weights():
        digest.update(np.ascontiguousarray(weights).tobytes())
    return digest.hexdigest()


def brief(record: dict) -> dict:
    """What the records of other runs keep of the SimCLR run that they start from."""
    names = ("run", "model_sha256", "minutes", "command", "git", "machine", "history")
    return {name: record[name] for name in names}


def save_run(run: Run, model: keras.Model, record: dict) -> None:
    """Write RUN.keras and RUN.json, then delete the state file."""
    files.atomic_write(run.model, model.save)
    record["model_sha256"] = files.sha256_of_file(run.model)
    files.write_json(run.model.with_suffix(".json"), record)
    run.state.unlink(missing_ok=True)
