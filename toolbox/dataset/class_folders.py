"""Which class an image is of: by its folder's name, or number, or by its own name."""

import re

from toolbox.dataset.classes import class_name
from toolbox.dataset.dialects import SPLIT_NAMES
from toolbox.dataset.faces import CLASSES

USUAL = "fer2013"
NUMBERINGS = {  # the first number, and what it and the next ones stand for
    USUAL: (0, CLASSES),
    "affectnet": (
        0,
        ("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Angry", "Contempt"),
    ),
    "rafdb": (1, ("Surprise", "Fear", "Disgust", "Happy", "Sad", "Angry", "Neutral")),
    "ferplus": (
        0,
        ("Neutral", "Happy", "Surprise", "Sad", "Angry", "Disgust", "Fear", "Contempt"),
    ),
    "ckplus": (
        0,
        ("Neutral", "Angry", "Contempt", "Disgust", "Fear", "Happy", "Sad", "Surprise"),
    ),
}
JAFFE = re.compile(r"[A-Z]{2}\.(AN|DI|FE|HA|SA|SU|NE)\d*\.\d+\.\w+")  # KA.AN1.39.tiff
CK_PLUS = re.compile(r"S\d{3}_(\d{3})_\d+\.\w+")  # S005/001/S005_001_00000011.png, a sequence
UNSORTED = ("images", "imgs", "pictures", "photos", "faces", "data")  # names of folders
BY_LETTERS = {name[:2].upper(): name for name in CLASSES}


def class_of(folder: str, file: str, numbering: str) -> str | None:
    """The `class_name` of an image; None if neither its file nor its folder tells."""
    if match := JAFFE.fullmatch(file):
        return BY_LETTERS[match[1]]
    first, names = NUMBERINGS[numbering]
    if (match := CK_PLUS.fullmatch(file)) and match[1] == folder:
        return None
    if folder.isdecimal():
        return dict(enumerate(names, first)).get(int(folder))
    try:
        named = folder.lower() not in (*SPLIT_NAMES, *UNSORTED)
        return class_name(folder.replace("_", " ")) if named else None
    except ValueError:
        return None


def why_none(folder: str, numbering: str) -> str:
    """Why `class_of` knows no class, and what to do."""
    if not folder:
        return "it is in no folder that names its class; move it to one"
    if folder.lower() in UNSORTED:
        return f"folder `{folder}` names no class; sort its images into folders named by class"
    if not folder.isdecimal():
        return f"folder `{folder}` names no class; rename it, or move it away"
    if len(folder) == 3 and folder[0] == "0":
        return f"folder `{folder}` is no class, but a sequence of CK+; sort its images by class"
    first, names = NUMBERINGS[numbering]
    return (
        f"folder `{folder}` is none of the numbers {first}..{first + len(names) - 1} of "
        f"{numbering}; give --numbering {_others(numbering)}, or rename the folders by class"
    )


def in_words(numbering: str) -> str:
    """What numbers are taken for."""
    first, names = NUMBERINGS[numbering]
    order = ", ".join(f"{number} {name}" for number, name in enumerate(names, first))
    return (
        f"folders with numbers are read in the order of {numbering}: {order}; "
        f"if that is wrong: --numbering {_others(numbering)}"
    )


def _others(numbering: str) -> str:
    *most, last = [name for name in NUMBERINGS if name != numbering]
    return f"{', '.join(most)} or {last}"
