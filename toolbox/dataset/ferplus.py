"""FER+: ten taggers' votes on each face of FER2013.

E. Barsoum et al., "Training deep networks for facial expression recognition with crowd-sourced
label distribution" (2016). Its fer2013new.csv has the rows of fer2013.csv, in the same order.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from toolbox.dataset import archives
from toolbox.dataset.faces import CLASSES, USAGES, Faces
from toolbox.files import InputError

# FER+'s names for CLASSES, in their order; contempt, unknown and NF (no face) are none of them.
EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
OTHERS = ("contempt", "unknown", "NF")


def read_votes(path: Path, faces: Faces) -> np.ndarray:
    """Votes, int64 (n, 10): for the 7 classes, then for contempt, unknown and NF.

    Raises InputError unless the file has the rows of `faces`.
    """
    try:
        table = pd.read_csv(archives.open_table(path, archives.read_file(path)))
        absent = [name for name in (*EMOTIONS, *OTHERS, "Usage") if name not in table]
        if absent:
            raise ValueError(f"it has no column {absent[0]}")
        votes = table[[*EMOTIONS, *OTHERS]].to_numpy(np.float64)
        usage = table["Usage"]
    except InputError:
        raise
    except (OSError, ValueError, LookupError, TypeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path} is not FER+'s fer2013new.csv: {reason}") from None
    wrong = ~((votes >= 0) & (votes <= 10) & (votes == np.round(votes))).all(axis=1)
    if wrong.any():
        raise InputError(f"{path}, line {wrong.argmax() + 2}: votes are whole numbers in 0..10")
    if faces.usage is None or not np.array_equal(usage, np.array(USAGES)[faces.usage]):
        raise InputError(
            f"{path} has other rows than {faces.path} (compared by number and Usage); "
            "name the fer2013.csv in its original order"
        )
    return votes.astype(np.int64)


def of_classes(votes: np.ndarray, classes: tuple[str, ...]) -> np.ndarray:
    """The same votes, (n, 10), with those for `classes` first, in their order."""
    names = (*CLASSES, *map(str.capitalize, OTHERS))
    first = [names.index(name) for name in classes if name in names]
    return votes[:, [*first, *(i for i in range(len(names)) if i not in first)]]


def label_faces(faces: Faces, votes: np.ndarray) -> Faces:
    """The faces that have a majority, with FER+'s eight classes and the votes for each.

    As in the code of Barsoum et al.: a single vote for something is taken for a slip; then one
    answer must have more than half of the votes, and be neither unknown nor NF. votes: (n, 10).
    Raises InputError for faces of other classes than FER2013's, or if no row has a majority.
    """
    if faces.classes != CLASSES:
        raise InputError(f"{faces.path} has other classes than FER2013, whose rows FER+ votes on")
    classes = (*CLASSES, "Contempt")
    votes = np.where(votes > 1, votes, 0)
    label = votes.argmax(axis=1)
    clear = (2 * votes.max(axis=1) > votes.sum(axis=1)) & (label < len(classes))
    if not clear.any():
        raise InputError(f"no row of {faces.path} has a majority; are these FER+'s votes?")
    known = votes[clear, : len(classes)]
    return faces.take(clear)._replace(
        labels=label[clear].astype(np.uint8),
        classes=classes,
        votes=(known / known.sum(axis=1, keepdims=True)).astype(np.float32),
    )
