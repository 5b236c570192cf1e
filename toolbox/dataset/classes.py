"""Names of classes, the same for data and models in whatever spelling and order."""

import re
import textwrap
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from toolbox.dataset.faces import CLASSES
from toolbox.files import InputError

SPELLINGS = (  # of CLASSES, in lower case
    ("angry", "anger"),
    ("disgust", "disgusted"),
    ("fear", "fearful"),
    ("happy", "happiness"),
    ("sad", "sadness"),
    ("surprise", "surprised"),
    ("neutral",),
)
BY_SPELLING = {word: name for name, words in zip(CLASSES, SPELLINGS, strict=True) for word in words}
BY_SPELLING |= {name[:3].lower(): name for name in CLASSES}
MOST = 100  # classes; a column with more is no column of classes
LETTERS, FEW = 16, 12  # in a line below a figure; in a name that need not be upright there
ABSENT = ("nan", "null", "none")
NAME = re.compile(r"[^\W\d_][\w +'-]{0,39}")


def class_name(word: str) -> str:
    """FER2013's name for a class of its seven, else the word itself, capitalized.

    Raises ValueError for what is no name: a number, signs, or more than 40 characters.
    """
    word = unicodedata.normalize("NFC", word.strip())  # Macs write letter and accent apart
    # Hindi's vowels are marks, and so is the dot of a Turkish capital I in lower case.
    letters = "".join(letter for letter in word if unicodedata.category(letter)[0] != "M")
    if not NAME.fullmatch(letters) or word.lower() in ABSENT:
        raise ValueError(f"{word[:20]!r} is no name of a class")
    return BY_SPELLING.get(word.lower(), word.capitalize())


def in_lines(name: str, width: int, lines: int = 3) -> str:
    """A name for a figure, in lines of at most `width` letters; Chinese ones are twice as wide."""
    width //= 1 + any(unicodedata.east_asian_width(letter) in "WF" for letter in name)
    wrapped = textwrap.wrap(name, width)
    if len(wrapped) > lines:
        wrapped[lines - 1 :] = [wrapped[lines - 1][: width - 1] + "…"]
    return "\n".join(wrapped)


def label_columns(axes, names: Iterable[str]) -> None:
    """Write names at 0, 1, 2 ... below the axes of a figure, upright if one of them is long."""
    shown = [in_lines(name, LETTERS) for name in names]
    upright = max(map(len, shown)) > FEW
    axes.set_xticks(range(len(shown)), shown, rotation=90 if upright else 30)


def classes_of(path: Path, names: Iterable[str]) -> tuple[str, ...]:
    """`in_order`, of the names in the data set at `path`. Raises InputError for more than MOST."""
    classes = in_order(names)
    if len(classes) > MOST:
        raise InputError(f"{path} has {len(classes)} classes, as {classes[0]}; are they classes?")
    return classes


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Each of these `class_name`s once: FER2013's in its order, then the others by the alphabet."""
    names = set(names)
    return (*(name for name in CLASSES if name in names), *sorted(names.difference(CLASSES)))
