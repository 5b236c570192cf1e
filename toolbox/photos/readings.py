"""What a model says of the faces in a picture, as rows of a table."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from toolbox.analysis import adapter
from toolbox.analysis.frozen import freeze
from toolbox.analysis.predictions import prepare, refuse_nonfinite
from toolbox.analysis.saved_models import Classifier
from toolbox.dataset.faces import SIDE
from toolbox.engine import tf
from toolbox.photos.face_finder import Found, cut_out, find_faces, is_too_even

# Below these, or above, an answer is doubtful: benchmarks/README.md has the accuracy there.
SMALL, UNSURE, WEAK, ASIDE = 24, 0.5, 0.85, 0.35
BATCH = 1024  # views at a time: those of a crowd would not fit into memory


class Reading(NamedTuple):
    """A face in a picture, and what the model takes it for."""

    found: Found
    crop: np.ndarray  # the first of the views, uint8 (48, 48)
    probabilities: np.ndarray  # float64 (classes,), the mean over views
    face: int = 0  # its number, which it keeps over the frames of a video

    def doubts(self) -> list[str]:
        """Why the answer may be wrong."""
        side = self.found.square()[2]
        reasons = {
            "blank": is_too_even(self.crop),
            f"{side:.0f} pixels": side < SMALL,
            "turned aside": self.found.turned > ASIDE,
            "weak detection": self.found.score < WEAK,
            "unsure": self.probabilities.max() < UNSURE,
        }
        return [reason for reason, holds in reasons.items() if holds]


def compile_classifier(
    classifier: Classifier, precision: str = "float32"
) -> Callable[[np.ndarray], np.ndarray]:
    """A function from crops uint8 (n, views, 48, 48) to probabilities float64 (n, classes).

    They are the mean over the views and their mirror images, by one compiled function:
    `model.predict` takes longer to start than a frame lasts.
    """
    activation = adapter.last_activation(classifier.model)
    model = freeze(classifier.model, precision)

    @tf.function(input_signature=[tf.TensorSpec((None, SIDE, SIDE), tf.uint8)])
    def answer(faces: tf.Tensor) -> tf.Tensor:
        return tf.cast(model(prepare(classifier, faces), training=False), tf.float32)

    def classify(crops: np.ndarray) -> np.ndarray:
        views = np.concatenate([crops, crops[..., ::-1]], axis=1)
        flat = views.reshape(-1, SIDE, SIDE)
        batches = np.split(flat, range(BATCH, len(flat), BATCH))
        output = np.concatenate([answer(batch).numpy() for batch in batches])
        refuse_nonfinite(classifier, output)
        probabilities = adapter.as_probabilities(output, activation)
        return probabilities.reshape(*views.shape[:2], -1).mean(axis=1)

    return classify


class Reader(NamedTuple):
    """Finds the faces in pictures, and names their expressions."""

    detector: object  # of face_finder.load_detector
    classify: Callable[[np.ndarray], np.ndarray]  # of compile_classifier

    def find(self, photo: Image.Image) -> tuple[list[Found], np.ndarray]:
        """The faces from the left, and their views, uint8 (n, views, 48, 48)."""
        found = find_faces(self.detector, np.asarray(photo.convert("RGB")))
        grey = np.asarray(photo.convert("L"))
        return found, np.array([cut_out(grey, face) for face in found])

    def name(self, found: list[Found], crops: np.ndarray) -> list[Reading]:
        """What the model says of them; they are numbered from the left."""
        answers = zip(found, crops[:, 0], self.classify(crops), strict=True) if found else ()
        return [Reading(*answer, number) for number, answer in enumerate(answers, 1)]

    def read(self, photo: Image.Image) -> list[Reading]:
        """Find the faces of a picture and name their expressions."""
        return self.name(*self.find(photo))


def as_row(reading: Reading, names: tuple[str, ...]) -> dict:
    """What faces.csv says of a face. names: the classes."""
    found, probabilities = reading.found, reading.probabilities
    return {
        "face": reading.face,
        **dict(zip(("left", "top", "width", "height"), np.round(found.box, 1), strict=True)),
        "score": round(found.score, 3),
        "roll": round(found.roll, 1),
        "size": round(found.square()[2], 1),
        "expression": names[int(probabilities.argmax())],
        **dict(zip(names, np.round(probabilities, 4), strict=True)),
        "doubt": "; ".join(reading.doubts()),
    }
