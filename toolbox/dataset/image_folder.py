"""Faces in a folder of images: [SPLIT/]CLASS/IMAGE, as many distributions have them."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from toolbox.dataset.archives import is_hidden
from toolbox.dataset.class_folders import USUAL, class_of, in_words, why_none
from toolbox.dataset.dialects import SPLIT_NAMES, settle_usage
from toolbox.dataset.faces import SIDE, Faces
from toolbox.dataset.pictures import open_grey
from toolbox.files import InputError

IMAGES = (".png", ".jpg", ".jpeg", ".bmp")
CLUTTER = ("Thumbs.db", "desktop.ini")


class _Image(NamedTuple):
    """One image, in the order in which they are sorted."""

    usage: int  # position in USAGES, or VALIDATION; -1 if nothing tells
    numbers: list[int]  # in its file name
    path: Path
    label: int


def read_image_folder(folder: Path, numbering: str = USUAL) -> Faces:
    """Read [SPLIT/]CLASS/IMAGE below `folder`, in the order of the numbers in file names.

    numbering: one of class_folders.NUMBERINGS, for classes that are numbers.
    Raises InputError for a folder or a file whose class cannot be told, or that is no image of
    48 x 48.
    """
    images = (_image(path, numbering) for path in files_below(folder))
    found = sorted(image for image in images if image)
    if not found:
        raise InputError(f"{folder} holds no images {IMAGES}; name the folder that holds train/")
    usage = np.array([image.usage for image in found])
    if (usage < 0).any() and (usage >= 0).any():
        raise InputError(
            f"{found[0].path} is outside of train/ and test/, where others are; move it"
        )
    if any(image.path.parent.name.isdecimal() for image in found):
        print(in_words(numbering))
    return Faces(
        path=folder,
        sha256="",
        images=np.array([read_image(image.path) for image in found]),
        labels=np.array([image.label for image in found], np.uint8),
        usage=None if (usage < 0).all() else settle_usage(usage.astype(np.uint8)),
        synthetic=False,
    )


def files_below(folder: Path) -> Iterator[Path]:
    """The files in a folder and its folders, linked ones too; each folder once, no hidden ones."""
    seen = set()
    for base, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        real = os.path.realpath(base)
        visible = Path(base) == folder or not is_hidden(Path(base).name)
        if real in seen or not visible:  # a link may lead back to where it is
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield from (Path(base, name) for name in sorted(names) if not is_hidden(name))


def _refuse(error: OSError) -> None:
    raise InputError(f"{error.filename}: {error.strerror}") from None


def _image(path: Path, numbering: str) -> _Image | None:
    """What the names of a file and of its folders say; None for a README or the like."""
    label = class_of(path.parent.name, numbering)
    if path.name in CLUTTER or (label is None and path.suffix.lower() not in IMAGES):
        return None
    if path.suffix.lower() not in IMAGES:
        raise InputError(f"{path} is none of {', '.join(IMAGES)}; convert it or move it away")
    if label is None:
        raise InputError(f"{path}: {why_none(path.parent.name, numbering)}")
    named = re.match(r"(Training|PublicTest|PrivateTest)_", path.name)
    split = named[1] if named else path.parent.parent.name
    usage = SPLIT_NAMES.get(split.lower(), -1)
    return _Image(usage, [int(part) for part in re.findall(r"\d+", path.stem)], path, label)


def read_image(path: Path) -> np.ndarray:
    """One image as grey pixels, uint8 (48, 48). Raises InputError for another size or format."""
    image = open_grey(path)
    if image.size != (SIDE, SIDE):
        raise InputError(
            f"{path} is {image.width} x {image.height}, not 48 x 48; crop and resize it"
        )
    return np.asarray(image)
