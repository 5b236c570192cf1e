"""Pictures from files, whatever made them."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from toolbox.dataset.faces import SIDE
from toolbox.files import InputError

LARGEST = 100_000_000  # pixels


def read_picture(path: Path) -> np.ndarray:
    """The middle square of a picture as uint8 (1, 48, 48). Raises InputError if it is none."""
    return np.asarray(ImageOps.fit(open_grey(path), (SIDE, SIDE)))[np.newaxis]


def open_grey(path: Path) -> Image.Image:
    """A picture in 8-bit grey, upright, on white where it is transparent.

    Raises InputError for what is no picture, is damaged, or has over LARGEST pixels.
    """
    if not path.is_file():
        problem = "is not a regular file" if path.exists() else "does not exist"
        raise InputError(f"{path} {problem}; name a picture")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes that are refused below, of odd metadata
            with Image.open(path) as picture:
                if picture.width * picture.height > LARGEST:
                    raise Image.DecompressionBombError
                return _grey(ImageOps.exif_transpose(picture))
    except UnidentifiedImageError:
        reason = "unknown format"
    except Image.DecompressionBombError:
        reason = f"over {LARGEST // 10**6} million pixels"
    except Exception as error:  # Pillow may raise anything for damaged files
        reason = " ".join(str(error).split())[:120] or type(error).__name__
    raise InputError(f"{path} is not a readable picture ({reason}); name another")


def _grey(picture: Image.Image) -> Image.Image:
    if picture.mode[0] == "I":  # 16 bits, which Pillow would clip
        values = np.asarray(picture).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("it has more than 16 bits per pixel")
        return Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if picture.mode == "F":
        raise ValueError("its pixels are fractions; convert it to 8 bits")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture).convert("RGB")
    return picture.convert("L")
