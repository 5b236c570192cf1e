"""A picture is read as people see it, and a hostile or damaged one ends in one line."""

import io
import os
import random
import struct
import zlib

import numpy as np
import pytest
from conftest import make_faces
from PIL import Image

from toolbox.dataset.pictures import middle_square, open_picture
from toolbox.files import InputError

FACE = make_faces(1)[0][0]


def open_grey(path) -> Image.Image:
    return open_picture(path).convert("L")


def saved(path, image: Image.Image, **options):
    image.save(path, **options)
    return path


def test_a_face_of_the_right_size_is_read_as_it_is(tmp_path):
    picture, square = middle_square(open_picture(saved(tmp_path / "a.png", Image.fromarray(FACE))))
    assert picture.dtype == np.uint8 and square == (24, 24, 48)
    np.testing.assert_array_equal(picture, FACE)


def test_other_colours_than_rgb_are_read_as_rgb(tmp_path):
    colours = Image.fromarray(np.stack([FACE, FACE.T, 255 - FACE], axis=-1))
    for mode, ending in (("CMYK", "tif"), ("RGBA", "webp"), ("P", "gif")):
        changed = colours.convert(mode)
        path = saved(
            tmp_path / f"été.{ending}", changed, **({"lossless": True} if mode == "RGBA" else {})
        )
        read = open_picture(path)
        assert read.mode == "RGB"
        np.testing.assert_array_equal(read, changed.convert("RGB"))


def test_heic_is_read_by_pillow_heif_or_refused(tmp_path):
    path = tmp_path / "a.heic"
    path.write_bytes(b"not an image")
    with pytest.raises(InputError, match=r"pillow-heif|unknown format"):
        open_picture(path)


def test_16_bits_are_scaled(tmp_path):
    deep = Image.fromarray(FACE.astype(np.uint16) * 257)
    np.testing.assert_array_equal(open_grey(saved(tmp_path / "deep.png", deep)), FACE)
    np.testing.assert_array_equal(open_grey(saved(tmp_path / "deep.tif", deep)), FACE)


def test_a_turned_photo_is_turned_back(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it a quarter to the right to see it upright
    lying = Image.fromarray(np.rot90(FACE))
    np.testing.assert_array_equal(open_grey(saved(tmp_path / "a.png", lying, exif=exif)), FACE)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(mode, tmp_path):
    grey = Image.fromarray(FACE)
    if mode == "P":
        palette = Image.fromarray((FACE > 100).astype(np.uint8), "P")
        palette.putpalette([0, 0, 0, 50, 50, 50])
        path = saved(tmp_path / "a.png", palette, transparency=1)
        expected = np.where(FACE > 100, 255, 0)
    else:
        alpha = Image.fromarray(np.where(FACE > 100, 0, 255).astype(np.uint8))
        layered = grey.convert(mode)
        layered.putalpha(alpha)
        path = saved(tmp_path / "a.png", layered)
        expected = np.where(FACE > 100, 255, FACE)
    np.testing.assert_array_equal(open_grey(path), expected)


def png(width: int, height: int, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG that claims a size, with more chunks of these names and contents."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(b"\0" * 49 * 48)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


BAD = {
    "a bomb": (png(100_000, 100_000), "is not a readable picture"),
    "a large one": (png(12_000, 12_000), "over 100 million pixels"),
    "a bomb in its text": (
        png(48, 48, (b"zTXt", b"note\0\0" + zlib.compress(bytes(10**8)))),
        "not a readable picture",
    ),
    "text": (b"not an image", "unknown format"),
    "nothing": (b"", "unknown format"),
    "cut short": (png(48, 48)[:60], "not a readable picture"),
    "a palette that is cut": (b"BM" + struct.pack("<IIIIiiHHIIiiII", *(99, 0, 54, 40, 48, 48)
     , 1, 8, 0, 0, 0, 0, 256, 0), "not a readable picture"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_picture_ends_in_one_line(name, tmp_path, recwarn):
    content, expected = BAD[name]
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match=expected) as caught:
        open_picture(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert not recwarn


def test_what_is_no_file_ends_in_one_line_and_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for name, expected in (
        ("pipe", "not a regular file"),
        (".", "not a regular file"),
        ("loop", "does not exist"),
        ("absent", "does not exist"),
    ):
        with pytest.raises(InputError, match=expected):
            open_picture(tmp_path / name)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "DDS", "JPEG", "TIFF", "GIF", "WEBP", "ICO", "TGA"])
def test_fuzz_damaged_pictures_load_or_end_in_one_line(kind, tmp_path):
    memory = io.BytesIO()
    picture = Image.fromarray(FACE).convert("P" if kind in ("BMP", "PNG", "GIF") else "RGB")
    picture.save(memory, kind)
    content = memory.getvalue()
    rng = random.Random(0)
    path = tmp_path / "picture"
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(rng.choice((1, 1, 3))):
            damaged[rng.choice((rng.randrange(len(content)), rng.randrange(150)))] = rng.randrange(
                256
            )
        path.write_bytes(damaged[: rng.choice((len(content), rng.randrange(len(content))))])
        try:
            assert open_grey(path).mode == "L"
        except InputError as error:
            assert "\n" not in str(error)
