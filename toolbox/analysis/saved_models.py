"""A saved Keras model as the analysis scripts use it: found, loaded safely, fed what it expects.

Any classifier will do, of any input size, with one channel or three, with the rescaling inside it
or not. What it was trained on is read from the NAME.json beside it. How a model wants its input and
what its outputs mean belongs to that model, not to the command: ours are known by their record, and
beside another model a NAME.json may say it, for example
{"input_range": [0, 1], "classes": ["happy", "sad"]}.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from toolbox import files
from toolbox.analysis import adapter, model_files
from toolbox.dataset.classes import in_order
from toolbox.dataset.faces import CLASSES, SIDE
from toolbox.engine import keras, tf
from toolbox.files import InputError
from toolbox.progress import watch
from toolbox.training.batches import without_autotune

SHIPPED = Path(__file__).resolve().parents[2] / "models" / "published" / "compact.keras"
MODEL_ENDINGS = (".keras", ".h5", ".hdf5")
PIXELS = (0.0, 255.0)  # the range of a CSV's pixels
BATCH = 256


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
        return ("" if (low, high) == PIXELS else f"_input{low:g}to{high:g}") + self.reordered

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
    others = [path for path in others if os.path.realpath(path) != os.path.realpath(default)]
    newest = max(others, key=lambda path: path.stat().st_mtime, default=None)
    told = "of synthetic faces" if synthetic else "which this project ships"
    hint = f"your newest: --model {newest.stem}" if newest else "another: --model NAME or FILE"
    print(f"Model: {default.stem}, {told}; {hint}")
    return default


def load_classifier(
    path: Path, input_range: tuple[float, float] = PIXELS, classes: tuple[str, ...] = ()
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
    record, unknown = read_record(path)
    told = described(path, record)
    beside = path.with_suffix(".json")
    source = str(beside) if "classes" in told else "--classes"
    outputs = adapter.read_classes(told.get("classes", classes), source)
    known = source if "classes" in told or classes else ""
    model = adapter.as_classifier(model, path, len(outputs), known)
    if record is None and keras.backend.backend() == "tensorflow":
        adapter.refuse_what_fails(model, path)
    if "input_range" in told:
        low, high = check_range(told["input_range"], str(beside))
    if tuple(input_range) not in ((low, high), PIXELS):
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


def read_record(path: Path) -> tuple[dict | None, str]:
    """What NAME.json says of the model at `path`, and "", or None and why it says nothing."""
    beside = path.with_suffix(".json")
    record = read_json(beside)
    if record is None and not beside.is_file():
        return None, f"there is no {beside.name} beside the model"
    try:
        if "model_sha256" not in record and {"input_range", "classes"} & set(record):
            return None, f"{beside.name} does not say what the model was trained on"
        needed = {"validation_rows", "validation_sha256", "training_sha256"}
        if (
            not needed <= record["split"].keys()
            or not {"synthetic", "drawn"} & record["data"].keys()
        ):
            raise KeyError
    except (AttributeError, LookupError, TypeError):
        return None, f"{beside.name} is damaged, or of an older version"
    if record.get("model_sha256") != files.sha256_of_file(path):
        return None, f"{beside.name} is the record of another {path.name}"
    return record, ""


def read_json(path: Path) -> dict | None:
    """The object in a JSON file; None if there is none, or one with NaN, which JSON forbids."""

    def refuse(constant: str):
        raise ValueError(constant)

    try:
        if path.is_file():
            content = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
            return content if isinstance(content, dict) else None
    except (OSError, ValueError, RecursionError):
        pass
    return None


def described(path: Path, record: dict | None) -> dict:
    """`input_range` and `classes` of a model, as far as NAME.json tells; ours take 0..255."""
    told = record or read_json(path.with_suffix(".json")) or {}
    if record is None and "model_sha256" in told:
        return {}  # the record of another model
    ours = {"input_range": PIXELS, "classes": CLASSES} if record else {}
    return ours | {key: told[key] for key in ("input_range", "classes") if key in told}


def unique_name(classifier: Classifier, models_dir: Path, synthetic: bool) -> str:
    """A model's name in names of files: no two models share it, wherever they are.

    A model in `models_dir` is NAME, a shipped one NAME-published, and any other one, which may have
    the name of one of those, NAME with the first digits of the file's SHA-256.
    """
    path = classifier.path.resolve()
    if path.suffix == ".keras":
        if path.parent == files.output_folder(models_dir, synthetic).resolve():
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
    """Raise InputError where Keras runs on another engine, which tf.function cannot trace."""
    if keras.backend.backend() != "tensorflow":
        raise InputError("this script needs Keras on TensorFlow; unset KERAS_BACKEND")


def prepare(classifier: Classifier, faces: tf.Tensor) -> tf.Tensor:
    """Faces (n, 48, 48) of 0..255 as the model's input: resized, grey repeated, rescaled."""
    _, height, width, channels = classifier.model.input_shape
    low, high = classifier.input_range
    images = tf.cast(faces, tf.float32)[..., tf.newaxis]
    if (height or SIDE, width or SIDE) != (SIDE, SIDE):
        images = tf.image.resize(images, (height or SIDE, width or SIDE))
    if (low, high) != PIXELS:
        images = images / 255 * (high - low) + low
    return tf.repeat(images, channels, axis=-1)


def predict(classifier: Classifier, images: np.ndarray) -> np.ndarray:
    """Probabilities, float64 (n, k), for faces uint8 (n, 48, 48); of logits, their softmax."""
    data = tf.data.Dataset.from_tensor_slices(images).batch(BATCH)
    data = data.map(lambda faces: prepare(classifier, faces)).prefetch(2)
    output = classifier.model.predict(without_autotune(data), verbose=0).astype(np.float64)
    if not np.isfinite(output).all():
        raise InputError(f"{classifier.name} answers with NaN or infinity; train it again")
    return adapter.as_probabilities(output, adapter.last_activation(classifier.model))


def predict_views(
    classifier: Classifier, images: np.ndarray, shift: int, flip: bool
) -> tuple[np.ndarray, int]:
    """Mean probabilities, float64 (n, k), over views of each face, and the number of views.

    The views are shifted by -`shift`, 0 and `shift` pixels each way, the border repeated outwards,
    and with `flip` mirrored too: test-time augmentation.
    """
    height, width = images.shape[1:]
    padded = np.pad(images, [(0, 0), (shift, shift), (shift, shift)], mode="edge")
    offsets = sorted({0, shift, 2 * shift})
    views = [padded[:, y : y + height, x : x + width] for y in offsets for x in offsets]
    if flip:
        views += [view[:, :, ::-1] for view in views]
    return sum(predict(classifier, view) for view in watch(views, "views")) / len(views), len(views)
