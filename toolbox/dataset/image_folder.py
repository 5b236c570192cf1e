"""Faces in a folder of images: [SPLIT/]CLASS/IMAGE, as most distributions have them."""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from toolbox.dataset.archives import is_hidden
from toolbox.dataset.class_folders import USUAL, class_of, in_words, why_none
from toolbox.dataset.classes import classes_of
from toolbox.dataset.dialects import SPLIT_NAMES, settle_usage
from toolbox.dataset.faces import SIDE, Faces
from toolbox.dataset.pictures import PICTURES, middle_square, open_picture
from toolbox.files import InputError
from toolbox.progress import watch

Find = Callable[[Image.Image], np.ndarray | None]


class _Image(NamedTuple):
    """One image, in the order in which they are sorted."""

    usage: int  # position in USAGES, or VALIDATION; -1 if nothing tells
    numbers: list[int]  # in its file name
    path: Path
    name: str  # of its class


def read_image_folder(folder: Path, numbering: str = USUAL, find: Find | None = None) -> Faces:
    """Read [SPLIT/]CLASS/IMAGE below `folder`, in the order of the numbers in file names.

    numbering: one of class_folders.NUMBERINGS, for classes that are numbers. find: the face in a
    picture, uint8 (48, 48), or None; without it the middle square is taken.
    Images of other sizes and colours are converted, which a line says. Raises InputError for a file
    whose class cannot be told, or that is no image.
    """
    paths = (path for path in files_below(folder) if path.suffix.lower() in PICTURES)
    found = sorted(_image(path, folder, numbering) for path in paths)
    if not found:
        raise InputError(f"{folder} holds no images; name the folder that holds train/")
    usage = np.array([image.usage for image in found])
    if (usage < 0).any() and (usage >= 0).any():
        raise InputError(
            f"{found[0].path} is outside of train/ and test/, where others are; move it"
        )
    if any(image.path.parent.name.isdecimal() for image in found):
        print(in_words(numbering))
    classes = classes_of(folder, (image.name for image in found))
    return Faces(
        path=folder,
        sha256="",
        images=read_images([image.path for image in found], find),
        labels=np.array([classes.index(image.name) for image in found], np.uint8),
        usage=None if (usage < 0).all() else settle_usage(usage.astype(np.uint8)),
        synthetic=False,
        classes=classes,
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


def _image(path: Path, base: Path, numbering: str) -> _Image:
    """What the names of a file and of its folders, up to `base`, say."""
    folder = path.parent.name if path.parent != base else ""
    name = class_of(folder, path.name, numbering)
    if name is None:
        raise InputError(f"{path}: {why_none(folder, numbering)}")
    named = re.match(r"(Training|PublicTest|PrivateTest)_", path.name)
    split = named[1] if named else path.parent.parent.name
    usage = SPLIT_NAMES.get(split.lower(), -1)
    return _Image(usage, [int(part) for part in re.findall(r"\d+", path.stem)], path, name)


def read_images(paths: list[Path], find: Find | None = None) -> np.ndarray:
    """Images as grey pixels, uint8 (n, 48, 48): the face that is found, or the middle square.

    Says how many were of other sizes or in colour, and in how many a face was found.
    """
    images, resized, coloured, faces = [], Counter(), 0, 0
    for path in watch(paths, "images"):
        picture = open_picture(path)
        coloured += picture.mode != "L"
        resized[picture.size] += picture.size != (SIDE, SIDE)
        face = find(picture) if find else None
        faces += face is not None
        images.append(middle_square(picture)[0] if face is None else face)
    if find:
        ready = len(paths) - resized.total()  # faces that are cut out already
        told = f"found a face in {faces - ready:,} of {resized.total():,} images"
        print(f"{told}, took the middle square of the others; {ready:,} are 48 x 48 already")
    if resized.total() or coloured:
        (width, height), count = resized.most_common(1)[0]
        told = f", most of them of {width} x {height}" if count else ""
        print(
            f"converted: {resized.total():,} of {len(paths):,} images that are not 48 x 48{told} "
            f"(a square of each is resized), {coloured:,} in colour (made grey)"
        )
    return np.array(images)
