"""A saved Keras model as the analysis scripts use it: found, loaded safely, fed what it expects.

Any classifier will do, of any input size, with one channel or three, with the rescaling inside it
or not. What it was trained on is read from the NAME.json beside it. How a model wants its input and
what its outputs mean belongs to that model, not to the command: ours are known by their record, and
beside another model a NAME.json may say it, for example
{"input_range": [0, 1], "classes": ["happy", "sad"]}.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from toolbox import files
from toolbox.analysis import adapter, model_files, model_record
from toolbox.analysis.model_record import PIXEL_RANGE
from toolbox.dataset.classes import in_order
from toolbox.dataset.faces import CLASSES
from toolbox.engine import keras
from toolbox.files import InputError

SHIPPED = Path(__file__).resolve().parents[2] / "models" / "published" / "compact.keras"
MODEL_ENDINGS = (".keras", ".h5", ".hdf5")


class ModelArgs(Protocol):
    """What every script that opens a model has among its arguments."""

    model: str
    input_range: tuple[float, float]
    classes: tuple[str, ...]
    models_dir: Path


class Classifier(NamedTuple):
    """A loaded model and what is known of its training."""

    name: str  # of its file, without the ending
    path: Path
    model: keras.Model
    input_range: tuple[float, float]  # what black and white become before the model sees them
    record: dict | None  # NAME.json beside it; None if there is none of this very model
    unknown: str = ""  # why there is none
    reordered: str = ""  # for file names, as `settings`: what its outputs are, if unusual
    classes: tuple[str, ...] = CLASSES  # of its outputs, `classes.in_order`

    @property
    def settings(self) -> str:
        """For file names: how the model is fed and read, where that is unusual."""
        low, high = self.input_range
        return ("" if (low, high) == PIXEL_RANGE else f"_input{low:g}to{high:g}") + self.reordered

    @property
    def synthetic(self) -> bool:
        """Whether it was trained on synthetic faces; then it tells nothing about real ones."""
        data = self.record["data"] if self.record else {}
        return bool(data.get("synthetic", data.get("drawn", False)))

    def headline(self, title: str) -> str:
        """A figure's title, which says so if the model was trained on synthetic faces."""
        note = "\nmodel trained on SYNTHETIC FACES, not photographs"
        return files.plain(title) + (note if self.synthetic else "")


def open_model(args: ModelArgs, synthetic: bool) -> Classifier:
    """The model that `args` name, loaded. synthetic: whether it is for synthetic faces."""
    path = find_model(args.model, args.models_dir, synthetic)
    return load_classifier(path, args.input_range, args.classes)


def find_model(model: str, models_dir: Path, synthetic: bool) -> Path:
    """The file that `--model` names: a path, or the name of a run.

    Without a name it is the shipped `compact`, or on synthetic faces `sample/fast.keras`, which
    `make` trains; a line says so, and names the user's newest model as the alternative.
    """
    own = files.output_folder(models_dir, synthetic)
    if model:
        path = Path(model)
        if path.is_file():
            return path
        named = [folder / f"{model}.keras" for folder in (own, models_dir, SHIPPED.parent)]
        meant = path if path.suffix in MODEL_ENDINGS else named[0]
        return next((found for found in (*named, path) if found.exists()), meant)
    default = own / "fast.keras" if synthetic else SHIPPED
    others = [path for path in own.glob("[!.]*.keras") if path.is_file()]
    others = [path for path in others if files.real_path(path) != files.real_path(default)]
    newest = max(others, key=lambda path: path.stat().st_mtime, default=None)
    told = "of synthetic faces" if synthetic else "which this project ships"
    hint = f"your newest: --model {newest.stem}" if newest else "another: --model NAME or FILE"
    print(f"Model: {default.stem}, {told}; {hint}")
    return default


def load_classifier(
    path: Path, input_range: tuple[float, float] = PIXEL_RANGE, classes: tuple[str, ...] = ()
) -> Classifier:
    """Load a .keras file (or HDF5), without running code that it may hold.

    input_range: what 0 and 255 become on the way in: (0, 255) for a model that rescales inside,
    (0, 1) or (-1, 1) for one that does not.
    classes: what the outputs stand for, in order, as `adapter.read_classes` takes it.
    Both are for models whose NAME.json does not say.
    Raises InputError for a file that is absent, damaged, unsafe or no classifier of these classes.
    """
    low, high = check_range(input_range, "--input-range")
    model = model_files.load_model(path)
    record, unknown = model_record.read_record(path)
    told = model_record.described(path, record)
    beside = path.with_suffix(".json")
    source = str(beside) if "classes" in told else "--classes"
    outputs = adapter.read_classes(told.get("classes", classes), source)
    known = source if "classes" in told or classes else ""
    model = adapter.as_classifier(model, path, len(outputs), known)
    if record is None and keras.backend.backend() == "tensorflow":
        adapter.refuse_what_fails(model, path)
    if "input_range" in told:
        low, high = check_range(told["input_range"], str(beside))
    if tuple(input_range) not in ((low, high), PIXEL_RANGE):
        print(f"{path.stem} takes {low:g} to {high:g}, says {beside.name}; --input-range is unused")
    if "classes" in told and classes and outputs != adapter.read_classes(classes, "--classes"):
        print(f"{path.stem}'s order of classes is that of {beside.name}; --classes is unused")
    if adapter.last_activation(model) == "sigmoid":
        print(f"{path.stem} ends in {len(outputs)} sigmoids: its outputs are divided by their sum")
    reordered = "" if record else name_of_order(outputs)
    ordered = in_order(outputs)
    model = adapter.with_outputs(model, [outputs.index(name) for name in ordered])
    return Classifier(path.stem, path, model, (low, high), record, unknown, reordered, ordered)


def name_of_order(outputs: tuple[str, ...]) -> str:
    """For file names: what a model's outputs are; "" for FER2013's classes in its order."""
    if outputs == CLASSES:
        return ""
    if outputs == adapter.ALPHABETICAL:
        return "_alphabetical"
    if set(outputs) == set(CLASSES):
        return "_order" + "".join(str(CLASSES.index(name)) for name in outputs)
    return "_" + "-".join(name[:3].lower() for name in outputs)


def check_range(limits, where: str) -> tuple[float, float]:
    """Two different numbers. Raises InputError, which says `where`, for anything else."""
    try:
        low, high = map(float, limits)
        if not (np.isfinite([low, high]).all() and low != high):
            raise ValueError
    except (TypeError, ValueError):
        text = " ".join(map(str, limits)) if isinstance(limits, (tuple, list)) else limits
        raise InputError(
            f"{where}: the input range is {text}; give two different numbers, as 0 1"
        ) from None
    return low, high


def unique_name(classifier: Classifier, models_dir: Path, synthetic: bool) -> str:
    """A model's name in names of files: no two models share it, wherever they are.

    A model in `models_dir` is NAME, a shipped one NAME-published, and any other one, which may have
    the name of one of those, NAME with the first digits of the file's SHA-256.
    """
    path = files.real_path(classifier.path)
    if path.suffix == ".keras":
        if path.parent == files.real_path(files.output_folder(models_dir, synthetic)):
            return classifier.name
        if path.parent == SHIPPED.parent:
            return f"{classifier.name}-published"
    return f"{classifier.name}-{files.sha256_of_file(path)[:8]}"


def results_folder(
    classifier: Classifier, models_dir: Path, figures_dir: Path, synthetic: bool = False
) -> Path:
    """The folder of a model's figures: `figures_dir`/NAME, a folder per model.

    In `figures_dir`/sample if the faces are synthetic, or those that it was trained on.
    """
    synthetic = synthetic or classifier.synthetic
    name = unique_name(classifier, models_dir, synthetic)
    return files.output_folder(figures_dir, synthetic) / name


def require_tensorflow() -> None:
    """Raise InputError for another Keras backend, which tf.function cannot trace."""
    if keras.backend.backend() != "tensorflow":
        raise InputError("this script needs Keras on TensorFlow; unset KERAS_BACKEND")
