"""How many faces in photos does predict.py name right, and is its way of cutting them out the best?

    python benchmarks/photos.py --data data/fer2013.csv --faces 500

Pastes faces of PublicTest, four times as large, into grey canvases; finds them again, cuts them out
by squares of several sizes, and counts the answers that are those of FER2013's labels. Then the
same for tilted faces and for small ones, for answers that predict.py calls doubtful, and for the
package fer, where it is installed. Writes benchmarks/photos.json.
"""

import functools
import importlib.util
import os
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import tyro
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))  # last, so that a package comes before a script of its name

import utils  # noqa: E402
from toolbox.analysis import predictions, saved_models  # noqa: E402
from toolbox.dataset import splits  # noqa: E402
from toolbox.dataset.classes import class_name  # noqa: E402
from toolbox.dataset.faces import SIDE  # noqa: E402
from toolbox.photos import face_finder, readings  # noqa: E402
from toolbox.photos.face_finder import Found, cut_out, find_faces  # noqa: E402
from toolbox.training import precision  # noqa: E402

WIDTH, HEIGHT, GREY = 480, 360, 128
SCALES = (0.8, 0.9, 1.0, 1.2, 1.4)  # squares, in heights of YuNet's box
PIXELS = (20, 24, 32)  # to which faces are reduced before they are enlarged again
SIZES = (32, 48, 96)  # of small faces in the canvas, pixels
ROLL = 30  # of tilted ones, degrees


@dataclass
class Args:
    data: Path | None = None
    """CSV of faces; without it data/fer2013.csv"""
    faces: int = 500
    """faces of PublicTest, drawn at random; all of them are 3,589"""
    model: str = ""
    """saved Keras model, or the name of a run; without it the shipped compact"""
    models_dir: Path = utils.MODELS
    """folder of your models"""
    seed: int = 0
    """of the choice of faces and their places"""
    output: Path = ROOT / "benchmarks" / "photos.json"
    """file to write"""


def paste(face: np.ndarray, side: int, roll: float, rng: np.random.Generator) -> np.ndarray:
    """A canvas in RGB with a face (n, n), enlarged to `side` and tilted, at a random place."""
    canvas = Image.new("L", (WIDTH, HEIGHT), GREY)
    tile = Image.fromarray(face).resize((side, side), Image.BICUBIC)
    tile = tile.rotate(roll, Image.BICUBIC, expand=True, fillcolor=GREY)
    place = [
        int(rng.integers(0, room - part + 1))
        for room, part in zip(canvas.size, tile.size, strict=True)
    ]
    canvas.paste(tile, tuple(place))
    return np.broadcast_to(np.asarray(canvas)[..., np.newaxis], (HEIGHT, WIDTH, 3))


def share(right: np.ndarray) -> float | None:
    return round(float(np.mean(right)), 6) if len(right) else None


class Measured:
    """Faces on canvases, and which of them were found and named right."""

    def __init__(self, detector, images, labels, side: int, roll: float, seed: int):
        rng = np.random.default_rng(seed)
        self.canvases = [paste(image, side, roll, rng) for image in images]
        faces = [find_faces(detector, canvas) for canvas in self.canvases]
        self.found = [max(f, key=lambda face: face.score, default=None) for f in faces]
        self.labels, self.extra = labels, sum(max(len(f) - 1, 0) for f in faces)

    def crops(self, scales, change: Callable[[Found], Found] = lambda face: face) -> np.ndarray:
        pairs = [(c[..., 0], f) for c, f in zip(self.canvases, self.found, strict=True) if f]
        crops = [cut_out(canvas, change(face), scales) for canvas, face in pairs]
        return np.array(crops, np.uint8).reshape(-1, len(scales), SIDE, SIDE)

    def right(self, probabilities: np.ndarray) -> np.ndarray:
        """bool, for each face that was found."""
        return probabilities.argmax(axis=1) == self.labels[[f is not None for f in self.found]]

    def summary(self, right: np.ndarray) -> dict:
        count = len(self.labels)
        parts = {"found": len(right) / count, "right_of_found": share(right)}
        return parts | {"right_of_all": float(np.sum(right)) / count, "other_boxes": self.extra}


def measure_doubts(measured: Measured, crops: np.ndarray, probabilities: np.ndarray) -> dict:
    """How often the answers are right that predict.py calls doubtful, and the others."""
    right = measured.right(probabilities)
    faces = [face for face in measured.found if face]
    doubts = [
        readings.Reading(*answer).doubts()
        for answer in zip(faces, crops, probabilities, strict=True)
    ]
    kinds = ("", "turned aside", "weak detection", "unsure")
    chosen = {
        kind or "no doubt": np.array([kind in d if kind else not d for d in doubts])
        for kind in kinds
    }
    return {
        kind: {"faces": int(at.sum()), "right": share(right[at])} for kind, at in chosen.items()
    }


def peer(canvases: list[np.ndarray]) -> tuple[list[str | None], float]:
    """What the package fer says, with its default settings; CPU seconds per canvas."""
    from fer.fer import FER

    detector, answers = FER(), []
    detector.detect_emotions(np.array(canvases[0]))
    began = time.process_time()
    for canvas in canvases:
        found = detector.detect_emotions(np.array(canvas))
        largest = max(found, key=lambda face: face["box"][3], default=None)
        emotions = largest["emotions"] if largest else {}
        answers.append(class_name(max(emotions, key=emotions.get)) if emotions else None)
    return answers, (time.process_time() - began) / len(canvases)


def main(args: Args) -> dict:
    """Measure, print and write the record."""
    faces = utils.load_faces(args.data)
    rows = splits.rows_of_usage(faces, "PublicTest")
    rows = np.random.default_rng(args.seed).permutation(rows)[: args.faces]
    images, labels = faces.images[rows], faces.labels[rows].astype(int)
    path = saved_models.find_model(args.model, args.models_dir, synthetic=False)
    classifier = saved_models.load_classifier(path)
    computed_in = precision.choose("auto")
    classify = readings.compile_classifier(classifier, computed_in)
    detector = face_finder.load_detector()
    place = functools.partial(Measured, detector, images, labels, seed=args.seed)
    plain = place(side=192, roll=0)
    crops, views = plain.crops(SCALES), plain.crops(face_finder.VIEWS)
    six = classify(views)
    single = [predictions.predict(classifier, crops[:, i]) for i in range(len(SCALES))]
    original = predictions.predict(classifier, images)
    results = {
        "originals": share(original.argmax(axis=1) == labels),
        "originals_and_mirror_images": share(
            classify(images[:, np.newaxis]).argmax(axis=1) == labels
        ),
        "square": {s: share(plain.right(p)) for s, p in zip(SCALES, single, strict=True)},
        "six_views": plain.summary(plain.right(six)),
        "doubts": measure_doubts(plain, views[:, 0], six),
    }
    tilted = place(side=192, roll=ROLL)
    for name, change in (("turned", lambda f: f), ("untouched", lambda f: f._replace(roll=0.0))):
        right = tilted.right(classify(tilted.crops(face_finder.VIEWS, change)))
        results[f"rolled_{ROLL}_{name}"] = tilted.summary(right)
    results["pixels"], results["found_at_size"] = {}, {}
    for side in PIXELS:
        tiles = [Image.fromarray(i).resize((side, side), Image.BICUBIC) for i in images]
        small = Measured(detector, map(np.asarray, tiles), labels, 192, 0, args.seed)
        results["pixels"][side] = small.summary(
            small.right(classify(small.crops(face_finder.VIEWS)))
        )
    for side in SIZES:
        results["found_at_size"][side] = share(
            np.array([f is not None for f in place(side=side, roll=0).found])
        )
    reader = readings.Reader(detector, classify)
    pictures = [Image.fromarray(canvas) for canvas in plain.canvases]
    began = time.process_time()
    for picture in pictures:
        reader.read(picture)
    results["cpu_seconds_per_photo"] = (time.process_time() - began) / len(pictures)
    if importlib.util.find_spec("fer"):
        answers, seconds = peer(plain.canvases)
        answered = np.array([answer is not None for answer in answers])
        right = np.array([a == faces.classes[n] for a, n in zip(answers, labels, strict=True)])
        results[f"fer {version('fer')}"] = {
            "found": share(answered),
            "right_of_found": share(right[answered]),
            "right_of_all": share(right),
            "cpu_seconds_per_photo": seconds,
        }
    command = shlex.join(["python", "benchmarks/photos.py", *sys.argv[1:]])
    record = utils.provenance(args, faces) | {"command": command, "model": classifier.name}
    record |= {
        "computed_in": computed_in,
        "load_average": list(os.getloadavg()),
        "faces": len(rows),
        "results": results,
    }
    utils.write_json(args.output, record)
    for name, result in results.items():
        print(f"{name}: {result}")
    return record


if __name__ == "__main__":
    utils.run(main, lambda: tyro.cli(Args, description=__doc__))
