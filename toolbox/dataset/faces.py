"""The rows of one CSV in memory."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

# FER2013's, and the default. Other data sets carry their own: `Faces.classes`.
CLASSES = ("Angry", "Disgust", "Fear", "Happy", "Sad", "Surprise", "Neutral")
# "Test" is PublicTest and PrivateTest merged, as in image folders whose file names lost the Usage.
USAGES = ("Training", "PublicTest", "PrivateTest", "Test")
SIDE = 48
USUAL_FILES = ("fer2013", "synthetic_faces")  # they need not be told apart in file names
ENDINGS = re.compile(r"(\.(csv|gz|xz|bz2|zip|tar|tgz))+$", re.IGNORECASE)


class Faces(NamedTuple):
    """The rows of one CSV, in file order."""

    path: Path
    sha256: str  # of the file's bytes
    images: np.ndarray  # uint8 (n, 48, 48), 0..255
    labels: np.ndarray | None  # uint8 (n,), positions in `classes`
    usage: np.ndarray | None  # uint8 (n,), positions in USAGES
    synthetic: bool  # True for faces that prepare_data.py drew
    classes: tuple[str, ...] = CLASSES  # or those that a column of names holds, in order
    votes: np.ndarray | None = None  # float32 (n, classes), each class's share of the votes

    def take(self, rows: np.ndarray) -> "Faces":
        """Some rows alone: their numbers, or a bool for each."""
        columns = {name: getattr(self, name) for name in ("images", "labels", "usage", "votes")}
        return self._replace(**{k: v if v is None else v[rows] for k, v in columns.items()})

    @property
    def file_label(self) -> str:
        """For names of files: that of the CSV without its endings; "" for the usual ones."""
        stem = ENDINGS.sub("", self.path.name) or self.path.name
        return "" if stem in USUAL_FILES else stem

    def headline(self, title: str) -> str:
        """A figure's title, which says so if the faces are synthetic."""
        return f"{title}\nSYNTHETIC FACES, not photographs" if self.synthetic else title
