"""Labels as trained models see them, to learn from."""

from pathlib import Path

import numpy as np

import classifier as classifiers
from utils import CLASSES, Faces, InputError


def soft_labels(
    teachers: tuple[Path, ...],
    share: float,
    faces: Faces,
    train_rows: np.ndarray,
    validation_rows: np.ndarray,
) -> np.ndarray:
    """The training rows' labels mixed with what saved models answer, float32 (n, 7).

    After T. Furlanello et al., "Born-again neural networks" (2018). `share`, 0..1, is that of the
    answers: the mean of all teachers over each face and its mirror image. Raises InputError for a
    teacher that was trained on faces of the validation, or may have been.
    """
    answers = []
    for path in teachers:
        teacher = classifiers.load_classifier(path)
        seen = classifiers.seen_in_training(faces, teacher, validation_rows)
        if seen is None or seen.any():
            raise InputError(
                f"{path} was, or may have been, trained on faces that this run holds out; train it "
                "on the same file, with the same --seed and --validation-fraction"
            )
        answers.append(classifiers.predict_views(teacher, faces.images[train_rows], 0, True)[0])
    labels = np.eye(len(CLASSES))[faces.labels[train_rows]]
    return ((1 - share) * labels + share * np.mean(answers, axis=0)).astype(np.float32)
