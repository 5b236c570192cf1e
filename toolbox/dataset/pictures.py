"""Pictures from files, whatever made them."""

import importlib
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from toolbox.dataset.faces import SIDE
from toolbox.files import InputError, require_file

LARGEST = 100_000_000  # pixels
HEIC = (".heic", ".heif")  # of iPhones
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp", ".gif", ".tif", ".tiff", *HEIC)


def middle_square(picture: Image.Image) -> tuple[np.ndarray, tuple[float, float, float]]:
    """A picture's middle square in grey, uint8 (48, 48); its centre x and y and its side."""
    width, height = picture.size
    image = np.asarray(ImageOps.fit(picture.convert("L"), (SIDE, SIDE)))
    return image, (width / 2, height / 2, min(width, height))


def open_picture(path: Path) -> Image.Image:
    """A picture in 8-bit grey or RGB, upright, on white where it is transparent.

    Raises InputError for what is no picture, is damaged, or has over LARGEST pixels.
    """
    require_file(path, "a picture")
    try:
        if path.suffix.lower() in HEIC:
            importlib.import_module("pillow_heif").register_heif_opener()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes that are refused below, of odd metadata
            with Image.open(path) as picture:
                if picture.width * picture.height > LARGEST:
                    raise Image.DecompressionBombError
                return _in_8_bits(ImageOps.exif_transpose(picture))
    except ModuleNotFoundError:
        reason = "HEIC needs the package pillow-heif: pip install pillow-heif"
    except UnidentifiedImageError:
        reason = "unknown format"
    except Image.DecompressionBombError:
        reason = f"over {LARGEST // 10**6} million pixels"
    except Exception as error:  # Pillow may raise anything for damaged files
        reason = " ".join(str(error).split())[:120] or type(error).__name__
    raise InputError(f"{path} is not a readable picture ({reason}); replace it, or move it")


def _in_8_bits(picture: Image.Image) -> Image.Image:
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
        picture = Image.alpha_composite(white, picture)
    return picture.convert("L" if picture.mode in ("1", "L") else "RGB")
