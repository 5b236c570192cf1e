"""What a model answers: faces as its input, its outputs as probabilities, the mean over views."""

from __future__ import annotations

import numpy as np

from toolbox.analysis import adapter
from toolbox.analysis.model_record import PIXEL_RANGE
from toolbox.analysis.saved_models import Classifier
from toolbox.dataset.faces import SIDE
from toolbox.engine import tf
from toolbox.files import InputError
from toolbox.progress import watch
from toolbox.training.batches import without_autotune

BATCH = 256


def prepare(classifier: Classifier, faces: tf.Tensor) -> tf.Tensor:
    """Faces (n, 48, 48) of 0..255 as the model's input: resized, grey repeated, rescaled."""
    _, height, width, channels = classifier.model.input_shape
    low, high = classifier.input_range
    images = tf.cast(faces, tf.float32)[..., tf.newaxis]
    if (height or SIDE, width or SIDE) != (SIDE, SIDE):
        images = tf.image.resize(images, (height or SIDE, width or SIDE))
    if (low, high) != PIXEL_RANGE:
        images = images / 255 * (high - low) + low
    return tf.repeat(images, channels, axis=-1)


def refuse_nonfinite(classifier: Classifier, values: np.ndarray) -> None:
    """Raise InputError for outputs or activations that are NaN or infinite."""
    if not np.isfinite(values).all():
        raise InputError(f"{classifier.name} outputs NaN or infinity; train it again")


def predict(classifier: Classifier, images: np.ndarray) -> np.ndarray:
    """Probabilities, float64 (n, k), for faces uint8 (n, 48, 48); of logits, their softmax."""
    data = tf.data.Dataset.from_tensor_slices(images).batch(BATCH)
    data = data.map(lambda faces: prepare(classifier, faces)).prefetch(2)
    output = classifier.model.predict(without_autotune(data), verbose=0).astype(np.float64)
    refuse_nonfinite(classifier, output)
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
