"""A saved Keras model as the analysis scripts use it: loaded safely, fed what it expects, and asked
about the very rows that it held out.

Any classifier with 7 outputs will do, of whatever input size, with one channel or three, with the
rescaling inside it or not. What it was trained on is read from the NAME.json beside it.
"""

import contextlib
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

import utils
import splits
from utils import Faces, InputError
from batches import without_autotune

with utils.quiet_stderr():
    import keras
    import tensorflow as tf


class Classifier(NamedTuple):
    """A loaded model and what is known of its training."""

    name: str
    model: keras.Model
    input_range: tuple[float, float]  # what black and white become before the model sees them
    record: dict | None  # NAME.json beside it; None if there is none of this very model
    unknown: str = ""  # why there is none


def load_classifier(path: Path, input_range: tuple[float, float] = (0.0, 255.0)) -> Classifier:
    """Load a .keras file (or a legacy .h5), without running code that it may hold.

    `input_range` is what 0 and 255 become on the way in: (0, 255) for a model that rescales inside,
    (0, 1) or (-1, 1) for one that does not.
    Raises InputError for a file that is absent, damaged, unsafe or no classifier of 7 classes.
    """
    low, high = input_range
    if not (np.isfinite([low, high]).all() and low != high):
        raise InputError(f"--input-range is {low} {high}; give two different numbers, as 0 1")
    if not path.is_file():
        raise InputError(f"{path} does not exist; train a model first: python train_cnn.py")
    utils.inputs.add(path.resolve())
    try:
        model = keras.saving.load_model(path, safe_mode=True, compile=False)
    except Exception as error:  # Keras, h5py and zipfile each raise their own
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"{path} is not a Keras model that loads safely: {reason}") from None
    shapes = [[tensor.shape for tensor in tensors] for tensors in (model.inputs, model.outputs)]
    match shapes:
        case [[(_, _, _, 1 | 3)], [(None, 7)]]:
            return Classifier(path.stem, model, input_range, *read_record(path))
    raise InputError(
        f"{path} takes {shapes[0]} and gives {shapes[1]}; needed are images "
        "(None, height, width, 1 or 3) and (None, 7)"
    )


def read_record(path: Path) -> tuple[dict | None, str]:
    """What NAME.json says of the model at `path`, and "", or None and why it says nothing."""
    record_path = path.with_suffix(".json")
    if not record_path.exists():
        return None, f"{record_path.name} does not lie beside the model"
    try:
        record = json.loads(record_path.read_text(encoding="utf-8"))
        complete = {"validation_rows", "validation_sha256", "training_sha256"} <= set(
            record["split"]
        )
        if not complete or "drawn" not in record["data"]:
            raise KeyError
    except (ValueError, LookupError, TypeError):
        return None, f"{record_path.name} is damaged, or of an older version"
    if record.get("model_sha256") != utils.sha256_of_file(path):
        return None, f"{record_path.name} is the record of another {path.name}"
    return record, ""


def require_tensorflow() -> None:
    """Raise InputError where Keras runs on another engine, which tf.function cannot trace."""
    if keras.backend.backend() != "tensorflow":
        raise InputError("this script needs Keras on TensorFlow; unset KERAS_BACKEND")


def open_data_and_model(args) -> tuple[Faces, Classifier]:
    """The faces of `--data` and the classifier of `--model`, as every analysis begins.

    Without `--model` that is models/compact.keras, which was trained on real faces. Of drawn faces
    it says nothing, and in another copy of FER2013 the rows that it held out may not be known: then
    it is the fast net that `make` trains on the very file, as in a folder without compact.keras.
    """
    faces = utils.load_faces(args.data)
    folder = utils.folder(args.models_dir, faces)
    fast, compact = folder / "fast.keras", folder / "compact.keras"
    default = compact if compact.exists() and not faces.drawn else fast
    classifier = load_classifier(args.model or default, args.input_range)
    free = not (args.model or faces.drawn or faces.labels is None) and args.split == "validation"
    if free and fast.exists() and validation_rows(faces, classifier) is None:
        print(f"What compact held out is not in {faces.path}; here is {fast} instead")
        classifier = load_classifier(fast, args.input_range)
    return mark_drawn(faces, classifier), classifier


def read_picture(path: Path) -> np.ndarray:
    """The middle square of any picture as uint8 (1, 48, 48). Raises InputError if it is none."""
    side = utils.SIDE
    try:
        with Image.open(path) as picture:
            return np.asarray(ImageOps.fit(picture.convert("L"), (side, side)))[np.newaxis]
    except (OSError, SyntaxError) as error:
        raise InputError(f"{path} is not a readable picture ({error}); name another") from None


def prepare(classifier: Classifier, faces: tf.Tensor) -> tf.Tensor:
    """Faces (n, 48, 48) of 0..255 as the model's input: resized, grey repeated, rescaled."""
    _, height, width, channels = classifier.model.input_shape
    low, high = classifier.input_range
    images = tf.cast(faces, tf.float32)[..., tf.newaxis]
    if (height or utils.SIDE, width or utils.SIDE) != (utils.SIDE, utils.SIDE):
        images = tf.image.resize(images, (height or utils.SIDE, width or utils.SIDE))
    if (low, high) != (0, 255):
        images = images / 255 * (high - low) + low
    return tf.repeat(images, channels, axis=-1)


def predict(classifier: Classifier, images: np.ndarray) -> np.ndarray:
    """Probabilities, float64 (n, 7), for faces uint8 (n, 48, 48); of logits, their softmax."""
    data = tf.data.Dataset.from_tensor_slices(images).batch(256)
    data = data.map(lambda faces: prepare(classifier, faces)).prefetch(2)
    output = classifier.model.predict(without_autotune(data), verbose=0)
    if not isinstance(output, np.ndarray):
        raise InputError(f"{classifier.name} gives a {type(output).__name__}, not plain outputs")
    output = output.astype(np.float64)
    if not np.isfinite(output).all():
        raise InputError(f"{classifier.name} answers with NaN or infinity; train it again")
    if (output < 0).any() or not np.allclose(output.sum(axis=1), 1, atol=1e-3):
        output = np.exp(output - output.max(axis=1, keepdims=True))
    return output / output.sum(axis=1, keepdims=True)


def predict_views(
    classifier: Classifier, images: np.ndarray, shift: int, flip: bool
) -> tuple[np.ndarray, int]:
    """Mean probabilities, float64 (n, 7), over views of each face, and the number of views.

    The views are shifted by -`shift`, 0 and `shift` pixels each way, the border repeated outwards,
    and with `flip` mirrored too: test-time augmentation.
    """
    height, width = images.shape[1:]
    padded = np.pad(images, [(0, 0), (shift, shift), (shift, shift)], mode="edge")
    offsets = sorted({0, shift, 2 * shift})
    views = [padded[:, y : y + height, x : x + width] for y in offsets for x in offsets]
    if flip:
        views += [view[:, :, ::-1] for view in views]
    return sum(predict(classifier, view) for view in views) / len(views), len(views)


def rows_of_split(split: str, faces: Faces, classifier: Classifier) -> np.ndarray:
    """Row numbers of `split`, as --split names it; `validation` are those this model held out.

    Raises InputError for a split without rows, or if it cannot be known what was held out.
    """
    if split == "all":
        return np.arange(len(faces.images))
    if split != "validation":
        rows = splits.rows_of_usage(faces, split)
        if not len(rows):
            raise InputError(f"{faces.path} has no rows of Usage {split}; name another --split")
        return rows
    rows = validation_rows(faces, classifier)
    if rows is None:
        raise InputError(not_known(faces, classifier))
    return rows


def refuse_training_rows(rows: np.ndarray, faces: Faces, classifier: Classifier) -> None:
    """Raise InputError if the model was, or may have been, trained on pictures among `rows`."""
    seen = seen_in_training(faces, classifier, rows)
    if seen is None:
        raise InputError(not_known(faces, classifier))
    if seen.any():
        raise InputError(
            f"{classifier.name} was trained on {seen.sum():,} of these {len(rows):,} faces; train "
            "both models with one --seed, or name a --split"
        )


def not_known(faces: Faces, classifier: Classifier) -> str:
    name = classifier.name
    return (
        f"what {name} held out of {faces.path} is not known, and rows it was trained on are no "
        f"test: {classifier.unknown or 'it was trained on other faces'}; name a --split"
    )


def validation_rows(faces: Faces, classifier: Classifier) -> np.ndarray | None:
    """The rows the model held out, known again by their content; None if that cannot be known."""
    if classifier.record is None or faces.labels is None:
        return None
    held_out = classifier.record["split"]
    try:
        rows = np.array(held_out["validation_rows"], np.int64)
        same = splits.sha256_of_rows(faces, rows) == held_out["validation_sha256"]
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return rows if same else None


def training_rows(faces: Faces, classifier: Classifier) -> np.ndarray | None:
    """The rows the model was trained on, known again by their content; None if not all are here."""
    held_out = validation_rows(faces, classifier)
    if held_out is None:
        return None
    for candidates in (splits.rows_of_usage(faces, "Training"), np.arange(len(faces.images))):
        rows = splits.without_pictures_of(faces, candidates, held_out)
        if splits.sha256_of_rows(faces, rows) == classifier.record["split"]["training_sha256"]:
            return rows
    return None


def seen_in_training(faces: Faces, classifier: Classifier, rows: np.ndarray) -> np.ndarray | None:
    """Which of `rows` show a picture that the model was trained on, bool (m,); None if unknown."""
    trained_on = training_rows(faces, classifier)
    if trained_on is None:
        return None
    group = splits.first_copy(faces.images)
    return np.isin(group[rows], group[trained_on])


def mark_drawn(faces: Faces, classifier: Classifier) -> Faces:
    """A model that was trained on drawn faces tells as little of real ones as drawn faces do."""
    if classifier.record is not None and classifier.record["data"]["drawn"] and not faces.drawn:
        print(f"*** {classifier.name} was trained on DRAWN FACES, not photographs. ***")
        return faces._replace(drawn=True)
    return faces


@contextlib.contextmanager
def observed(
    watched: list[keras.Layer], before_activation: bool = False
) -> Iterator[dict[keras.Layer, tf.Tensor]]:
    """While this lasts, what each of some layers gives is kept, or what its activation is given.

    Reaches layers of nested models too, which no new graph from the model's input could.
    """
    kept, before = {}, {layer: layer.call for layer in watched}

    def call_and_keep(layer: keras.Layer, *inputs, **named):
        activation = getattr(layer, "activation", None) if before_activation else None
        if activation is None:
            kept[layer] = before[layer](*inputs, **named)
            return kept[layer]
        layer.activation = keras.activations.linear
        try:
            kept[layer] = before[layer](*inputs, **named)
        finally:
            layer.activation = activation
        return activation(kept[layer])

    try:
        for layer in watched:
            layer.call = functools.partial(call_and_keep, layer)
        yield kept
    finally:
        for layer, call in before.items():
            layer.call = call


def named_layers(model: keras.Model, prefix: str = "") -> Iterator[tuple[str, keras.Layer]]:
    """All layers in order, those of nested models among them as OUTER/INNER."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from named_layers(layer, f"{prefix}{layer.name}/")
        else:
            yield prefix + layer.name, layer


def tensors(layer: keras.Layer, which: str) -> list:
    """A layer's symbolic inputs or outputs; none where it is called more than once."""
    try:
        return keras.tree.flatten(getattr(layer, which))
    except (AttributeError, ValueError):
        return []


def logits_model(model: keras.Model) -> keras.Model:
    """The same model up to its logits: without its last softmax, be that a layer of its own, folded
    into a Dense layer, or inside of a nested model. A model that ends in neither is returned as is.
    """
    last = model.layers[-1]
    if isinstance(last, keras.Model):
        inner = logits_model(last)
        return model if inner is last else keras.Model(model.inputs[0], inner(last.input))
    if isinstance(last, keras.layers.Softmax):
        return keras.Model(model.inputs[0], last.input)
    if getattr(last, "activation", None) is not keras.activations.softmax:
        return model
    if isinstance(last, keras.layers.Activation):
        return keras.Model(model.inputs[0], last.input)
    linear = type(last).from_config(last.get_config() | {"activation": None})
    output = linear(last.input)
    linear.set_weights(last.get_weights())
    return keras.Model(model.inputs[0], output)
