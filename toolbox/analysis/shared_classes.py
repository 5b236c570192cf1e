"""Data and models that know different classes meet on those that all of them know."""

import numpy as np

from toolbox.analysis import adapter
from toolbox.analysis.saved_models import Classifier
from toolbox.dataset.classes import in_order
from toolbox.dataset.faces import Faces
from toolbox.files import InputError


def share_classes(
    faces: Faces, classifiers: list[Classifier]
) -> tuple[Faces, list[Classifier], tuple[str, ...]]:
    """Faces and models with the same first classes, and the classes that are left out.

    The models then output the shared classes alone, with probabilities that sum to 1. Labels of
    other classes are positions after them in `faces.classes`.
    Raises InputError if fewer than two classes are shared.
    """
    known = [each.classes for each in classifiers]
    if faces.labels is not None:
        known.append(faces.classes)
    shared = [name for name in known[0] if all(name in each for each in known)]
    left_out = in_order(set().union(*known).difference(shared))
    if faces.labels is None:
        faces = faces._replace(classes=tuple(shared))
    if not left_out:
        return faces, classifiers, ()
    if len(shared) < 2:
        told = "; ".join(
            f"{name}: {', '.join(its)}"
            for name, its in zip(
                [*(each.name for each in classifiers), faces.path.name], known, strict=False
            )
        )
        raise InputError(f"at least two classes must be shared ({told}); name another --model")
    restricted = [
        each._replace(
            model=adapter.with_outputs(each.model, [each.classes.index(name) for name in shared]),
            classes=tuple(shared),
        )
        for each in classifiers
    ]
    if faces.labels is not None:
        classes = (*shared, *(name for name in faces.classes if name not in shared))
        place = np.array([classes.index(name) for name in faces.classes], np.uint8)
        faces = faces._replace(labels=place[faces.labels], classes=classes, votes=None)
    return faces, restricted, left_out
