"""Which class a folder of images is of: by its name, or by its number in some data set's order."""

from toolbox.dataset.classes import SPELLINGS
from toolbox.dataset.faces import CLASSES

NAMES = {name: label for label, names in enumerate(SPELLINGS) for name in names}
CONTEMPT = "contempt"  # of other data sets
USUAL = "fer2013"
NUMBERINGS = {  # the first number, and what it and the next ones stand for
    USUAL: (0, tuple(names[0] for names in SPELLINGS)),
    "affectnet": (
        0,
        ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", CONTEMPT),
    ),
    "rafdb": (1, ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")),
    "ferplus": (
        0,
        ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", CONTEMPT),
    ),
}


def class_of(folder: str, numbering: str = USUAL) -> int | None:
    """The position in CLASSES of what a folder of that name holds; None if it is none of them."""
    return NAMES.get(_name_of(folder, numbering))


def _name_of(folder: str, numbering: str) -> str:
    first, names = NUMBERINGS[numbering]
    numbers = {str(number): name for number, name in enumerate(names, first)}
    return numbers.get(folder, folder).lower()


def why_none(folder: str, numbering: str = USUAL) -> str:
    """Why `class_of` knows no class, and what to do."""
    if _name_of(folder, numbering) == CONTEMPT:
        where = f" in the order of {numbering}" if folder.isdecimal() else ""
        return (
            f"folder `{folder}` is contempt{where}, which is none of FER2013's seven classes; "
            "move it away to read the others"
        )
    if not folder.isdecimal():
        known = ", ".join(names[0] for names in SPELLINGS)
        return f"folder `{folder}` is not one of {known}; rename it to one, or move it away"
    first, names = NUMBERINGS[numbering]
    return (
        f"folder `{folder}` is none of the numbers {first}..{first + len(names) - 1} of "
        f"{numbering}; give --numbering {_others(numbering)}, or rename the folders by class"
    )


def in_words(numbering: str) -> str:
    """What numbers are taken for."""
    first, names = NUMBERINGS[numbering]
    classes = ((number, class_of(name)) for number, name in enumerate(names, first))
    order = ", ".join(f"{n} {CONTEMPT if c is None else CLASSES[c]}" for n, c in classes)
    return (
        f"folders with numbers are read in the order of {numbering}: {order}; "
        f"if that is wrong: --numbering {_others(numbering)}"
    )


def _others(numbering: str) -> str:
    *most, last = [name for name in NUMBERINGS if name != numbering]
    return f"{', '.join(most)} or {last}"
