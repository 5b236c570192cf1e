"""What an analysis script looks at: one saved model, some rows of one CSV, a folder for results."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from toolbox import files
from toolbox.analysis import held_out, hints, saved_models
from toolbox.analysis.saved_models import Classifier
from toolbox.analysis.shared_classes import share_classes
from toolbox.dataset import splits
from toolbox.dataset.faces import Faces
from toolbox.files import InputError


class Subject(NamedTuple):
    """A model, and the rows of a CSV that it is asked about.

    Labels of `rows` are positions in `classes`: those that the data and the model share.
    """

    classifier: Classifier  # its outputs are `classes`
    faces: Faces
    first_copies: np.ndarray  # of `splits.first_copy(faces.images)`
    known: held_out.KnownRows
    rows: np.ndarray  # int64 (m,), those of the split whose class is among `classes`
    label: str  # for file names: split, CSV and how the model is fed: "PublicTest", "ck_all"
    folder: Path  # for its figures and their numbers
    synthetic: bool  # the faces are, or those that the model was trained on
    left_out: tuple[str, ...] = ()  # classes of the data or of a model that are not shared

    @property
    def classes(self) -> tuple[str, ...]:
        return self.classifier.classes

    @property
    def images(self) -> np.ndarray:
        """uint8 (m, 48, 48), of `rows`."""
        return self.faces.images[self.rows]

    @property
    def labels(self) -> np.ndarray:
        """int64 (m,), of `rows`."""
        return self.faces.labels[self.rows].astype(int)

    @property
    def seen(self) -> np.ndarray | None:
        """bool (m,): which of `rows` show an image that the model was trained on; None: unknown."""
        return None if self.known.trained_on is None else self.known.trained_on[self.rows]

    @property
    def told(self) -> dict:
        """What a record says of classes that are not shared."""
        return {"classes_left_out": list(self.left_out)} if self.left_out else {}

    def headline(self, title: str) -> str:
        """A figure's title, which says so if faces are synthetic."""
        if self.faces.synthetic:
            return self.faces.headline(files.plain(title))
        return self.classifier.headline(title)


def open_subject(
    faces: Faces, split: str, classifier: Classifier, models_dir: Path, figures_dir: Path
) -> Subject:
    """Find the rows of `split` and the folder for the results; say so if a model seems misread.

    Raises InputError for a split without rows, if it cannot be known what was held out, or if data
    and model share fewer than two classes.
    """
    return open_subjects(faces, split, [classifier], models_dir, figures_dir)[0]


def open_subjects(
    faces: Faces, split: str, classifiers: list[Classifier], models_dir: Path, figures_dir: Path
) -> list[Subject]:
    """`open_subject` for several models, on the rows of the first and the classes that all share.

    They have one label and one folder, those of the first.
    """
    if figures_dir.exists() and not figures_dir.is_dir():  # before minutes of work, not after
        raise InputError(f"{figures_dir} is not a folder; name another --figures-dir")
    first_copies = splits.first_copy(faces.images)
    known = [held_out.find_rows(faces, each, first_copies) for each in classifiers]
    rows = held_out.rows_of_split(split, faces, classifiers[0], known[0])
    label = "_".join(filter(None, (faces.file_label, split))) + classifiers[0].settings
    faces, classifiers, left_out = share_classes(faces, classifiers)
    first = classifiers[0]
    if left_out:
        count, shared = len(rows), len(first.classes)
        rows, label = rows_of_classes(faces, shared, rows), f"{label}_{shared}classes"
        known = [
            its._replace(held_out=rows_of_classes(faces, shared, its.held_out)) for its in known
        ]
        names = ", ".join(each.name for each in classifiers)
        print(
            f"{names} and {faces.path.name} share {shared} classes ({', '.join(first.classes)}), "
            f"those of {len(rows):,} of {count:,} faces; left out: {', '.join(left_out)}"
        )
        if not len(rows):
            raise InputError(f"no face of {split} is of these classes; name another --split")
    if faces.labels is not None:
        splits.tell_absent(faces, rows, split, first.classes)
    synthetic = faces.synthetic or first.synthetic
    for each in classifiers:
        if each.synthetic and not faces.synthetic:
            print(f"*** {each.name} was trained on SYNTHETIC FACES, not photographs. ***")
    folder = saved_models.results_folder(first, models_dir, figures_dir, synthetic)
    subjects = []
    for each, its in zip(classifiers, known, strict=True):
        hints.tell(each, faces, rows)
        where = rows, label, folder, synthetic
        subjects.append(Subject(each, faces, first_copies, its, *where, left_out))
    return subjects


def rows_of_classes(faces: Faces, count: int, rows: np.ndarray | None) -> np.ndarray | None:
    """Those of `rows` whose label is one of the first `count`; all, or None, if that is unknown."""
    known = rows is not None and faces.labels is not None
    return rows[faces.labels[rows] < count] if known else rows
