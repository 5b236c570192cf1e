"""What an analysis script looks at: one saved model, some rows of one CSV, a folder for results."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from toolbox import files
from toolbox.analysis import held_out, hints, saved_models
from toolbox.analysis.saved_models import Classifier
from toolbox.dataset import splits
from toolbox.dataset.faces import Faces
from toolbox.files import InputError

USUAL_FILES = ("fer2013", "synthetic_faces")  # they need not be told apart in file names


class Subject(NamedTuple):
    """A model, and the rows of a CSV that it is asked about."""

    classifier: Classifier
    faces: Faces
    first_copies: np.ndarray  # of `splits.first_copy(faces.images)`
    known: held_out.KnownRows
    rows: np.ndarray  # int64 (m,), those of the split
    label: str  # for file names: split, CSV and how the model is fed: "PublicTest", "ck_all"
    folder: Path  # for its figures and their numbers
    synthetic: bool  # the faces are, or those that the model was trained on

    @property
    def seen(self) -> np.ndarray | None:
        """bool (m,): which of `rows` show an image that the model was trained on; None: unknown."""
        return None if self.known.trained_on is None else self.known.trained_on[self.rows]

    def headline(self, title: str) -> str:
        """A figure's title, which says so if faces are synthetic."""
        title = files.plain(title)
        if self.synthetic and not self.faces.synthetic:
            return f"{title}\nmodel trained on SYNTHETIC FACES, not photographs"
        return self.faces.headline(title)


def open_subject(
    faces: Faces, split: str, classifier: Classifier, models_dir: Path, figures_dir: Path
) -> Subject:
    """Find the rows of `split` and the folder for the results; say so if a model seems misread.

    Raises InputError for a split without rows, or if it cannot be known what was held out.
    """
    if figures_dir.exists() and not figures_dir.is_dir():  # before minutes of work, not after
        raise InputError(f"{figures_dir} is not a folder; name another --figures-dir")
    first_copies = splits.first_copy(faces.images)
    known = held_out.find_rows(faces, classifier, first_copies)
    rows = held_out.rows_of_split(split, faces, classifier, known)
    stem = faces.path.name.split(".")[0]
    label = (split if stem in USUAL_FILES else f"{stem}_{split}") + classifier.settings
    synthetic = faces.synthetic or saved_models.trained_on_synthetic(classifier)
    if synthetic and not faces.synthetic:
        print(f"*** {classifier.name} was trained on SYNTHETIC FACES, not photographs. ***")
    hints.tell(classifier, faces, rows)
    folder = saved_models.results_folder(figures_dir, models_dir, classifier, synthetic)
    return Subject(classifier, faces, first_copies, known, rows, label, folder, synthetic)
