"""Read and write FER2013-style CSVs, whatever the dialect; `utils.load_faces` calls this.

Speed: 301 MB in about the time `pandas.read_csv` alone takes (figures/benchmark.json). The pixels
are parsed many rows at once by NumPy; only a block that is not plainly right is looked at number by
number, which either accepts it or says which row is wrong.
"""

import gzip
import os
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np

CLASSES = ("Angry", "Disgust", "Fear", "Happy", "Sad", "Surprise", "Neutral")
# "Test" is PublicTest and PrivateTest merged, as in image folders whose file names lost the Usage.
USAGES = ("Training", "PublicTest", "PrivateTest", "Test")
SIDE = 48
PIXELS = SIDE * SIDE
COLUMNS = {
    "pixels": "pixels",
    "feature": "pixels",
    "emotion": "label",
    "label": "label",
    "usage": "usage",
    "action_units": "action_units",  # only drawn faces know their action units
}
BLOCK_BYTES = 1 << 20  # large enough to amortise NumPy's calls, small enough to stay in cache


class InputError(ValueError):
    """Something the user can mend. `utils.run` prints it as one line and exits with status 1."""


def parse_csv(path: Path) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None, bool]:
    """Parse a CSV, plain, .gz or .zip, whose first line names its columns.

    The columns are known by name, whatever their order, case and spaces: `pixels` or `feature`;
    `emotion` or `label` (optional); `Usage` (optional). Others are ignored.

    Returns images, uint8 (n, 48, 48); labels, uint8 (n,), positions in CLASSES, or None; usage,
    uint8 (n,), positions in USAGES, or None; and whether the faces are drawn.
    Raises InputError, naming file, row and remedy, for anything that is not a clean table of faces.
    """
    with _open_csv(path) as stream, ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            header = _read_header(path, stream.readline(1 << 16))
            blocks, row, line = [], 1, 2
            while lines := stream.readlines(BLOCK_BYTES):
                blocks.append(pool.submit(_parse_block, path, header, lines, row, line))
                row += sum(not _is_blank(text) for text in lines)
                whole = lines[-1].endswith(b"\n")
                line += len(lines)
            parsed = [block.result() for block in blocks]
        except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
            raise InputError(f"{path} is damaged or cut short ({error}); fetch it again") from None
    if row == 1:
        raise InputError(f"{path} has a header but no rows; is the download complete?")
    if header[-1] == "pixels" and not whole:
        print(f"warning: {path} ends without a newline; if it was cut, its last pixel may be short")
    images, labels, usage = (np.concatenate(parts) for parts in zip(*parsed, strict=True))
    return (
        images,
        labels if "label" in header else None,
        usage if "usage" in header else None,
        "action_units" in header,
    )


def _open_csv(path: Path) -> BinaryIO:
    if path.is_dir():
        raise InputError(f"{path} is a folder; make a CSV of it: python prepare_data.py {path}")
    if not path.exists():
        raise InputError(f"{path} does not exist; README.md says how to get FER2013")
    if not path.is_file():
        raise InputError(f"{path} is not a regular file; save the table to a file first")
    with path.open("rb") as stream:
        magic = stream.read(4)
    if magic[:2] == b"\x1f\x8b":
        return gzip.open(path)
    if magic != b"PK\x03\x04":
        return path.open("rb")
    try:
        archive = zipfile.ZipFile(path)
        names = [name for name in archive.namelist() if name.lower().endswith(".csv")]
        names = [name for name in names if not is_hidden(name)]
        if len(names) != 1:
            held = ", ".join(names) or "none"
            raise InputError(f"{path} must hold one .csv, not {held}; unpack it, name the CSV")
        return archive.open(names[0])
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise InputError(f"{path}: cannot unpack it ({error}); unpack it by hand") from None


def is_hidden(name: str) -> bool:
    """Whether a path is one of those that a Mac adds to archives, or hidden otherwise."""
    return any(part == "__MACOSX" or part.startswith(".") for part in Path(name).parts)


def _column_names(path: Path, line: bytes) -> list[str]:
    if not line:
        raise InputError(f"{path} is empty; fetch it again")
    if b"\r" in line.rstrip(b"\r\n"):
        raise InputError(f"{path} ends its lines with CR alone; save it with LF or CRLF line ends")
    try:
        if b"\0" in line:
            raise ValueError
        return [name.strip(' \t\r\n"').lower() for name in line.decode("utf-8-sig").split(",")]
    except ValueError:
        raise InputError(f"{path} is not a CSV in UTF-8; name a CSV, or save it as UTF-8") from None


def read_ids(path: Path) -> list[str] | None:
    """The column `id` of a CSV that `parse_csv` accepts, as text; None if it has none.

    Raises InputError for a row without an id.
    """
    with _open_csv(path) as stream:
        names = _column_names(path, stream.readline(1 << 16))
        if "id" not in names:
            return None
        rows = [line.rstrip(b"\r\n") for line in stream if not _is_blank(line)]
    ids = [_unquote(row.split(b",")[names.index("id")]).decode("utf-8", "replace") for row in rows]
    if not all(ids):
        raise InputError(f"{path}, row {ids.index('') + 1}: no id; mend or delete the row")
    return ids


def _read_header(path: Path, line: bytes) -> list[str]:
    """The meaning of each column, "" for one that has none here."""
    names = _column_names(path, line)
    header = [COLUMNS.get(name, "") for name in names]
    for meaning in ("pixels", "label", "usage"):
        if header.count(meaning) > 1:
            raise InputError(f"{path} has two columns for the {meaning}: {names}; delete one")
    if "pixels" not in header:
        raise InputError(
            f"{path}, row 0 (line 1): no column `pixels` or `feature` in {str(names)[:80]}; "
            "the first line must name the columns, as in `emotion,pixels,Usage`"
        )
    return header


def _parse_block(path: Path, header: list[str], lines: list[bytes], row: int, line: int):
    """Images, labels and usage of consecutive lines; the first is row `row`, line `line`."""
    pixels, labels, usages, places = [], [], [], []
    names = {name.encode(): position for position, name in enumerate(USAGES)}
    digits = {str(label).encode(): label for label in range(len(CLASSES))}

    def refuse(place: tuple[int, int], problem: str) -> InputError:
        return InputError(
            f"{path}, row {place[0]} (line {place[1]}): {problem}; mend or delete the row"
        )

    for number, text in enumerate(lines, line):
        if _is_blank(text):
            continue
        place = (row + len(places), number)
        text = text.removesuffix(b"\n").removesuffix(b"\r")
        fields = [_unquote(field) for field in text.split(b",")]
        if len(fields) != len(header):
            raise refuse(place, f"{len(fields)} fields where the header has {len(header)}")
        for meaning, field in zip(header, fields, strict=True):
            if meaning == "pixels":
                pixels.append(field)
            elif meaning == "label":
                if field not in digits:
                    raise refuse(place, f"label {_show(field)} is not one of 0..6")
                labels.append(digits[field])
            elif meaning == "usage":
                if field not in names:
                    raise refuse(place, f"Usage {_show(field)} is not one of {', '.join(USAGES)}")
                usages.append(names[field])
        places.append(place)
    images = _parse_pixels(pixels)
    if images is None:  # something is wrong, or merely unusual: look at every number
        rows = []
        for place, field in zip(places, pixels, strict=True):
            try:
                rows.append(_parse_pixels_one_by_one(field))
            except ValueError as error:
                raise refuse(place, str(error)) from None
        images = np.array(rows, np.uint8).reshape(len(rows), SIDE, SIDE)
    return images, np.array(labels, np.uint8), np.array(usages, np.uint8)


def _is_blank(line: bytes) -> bool:
    return not line.strip(b" \t\r\n")


def _unquote(field: bytes) -> bytes:
    field = field.strip(b" \t")
    quoted = len(field) > 1 and field[:1] == field[-1:] == b'"'
    return field[1:-1].strip(b" \t") if quoted else field


def _show(field: bytes) -> str:
    return repr(field[:20].decode("utf-8", "replace"))


def _parse_pixels(fields: list[bytes]) -> np.ndarray | None:
    """Many rows at once, on whole arrays of bytes; None unless every row is plainly right."""
    text = np.frombuffer(b"   " + b" ".join(fields) + b" ", np.uint8)
    digit = text - np.uint8(ord("0"))
    is_digit = digit < 10
    if np.count_nonzero(is_digit) + np.count_nonzero(text == ord(" ")) != len(text):
        return None
    if (is_digit[3:] & is_digit[2:-1] & is_digit[1:-2] & is_digit[:-3]).any():
        return None  # a number of four digits
    digit *= is_digit
    # What a number that ends at each byte would be; then look where numbers do end.
    hundreds = digit[1:-3] * is_digit[2:-2]
    rest = digit[2:-2] * np.uint8(10) + digit[3:-1]
    ends = np.flatnonzero(is_digit[3:-1] & ~is_digit[4:])
    row_ends = np.cumsum([len(field) + 1 for field in fields])
    if np.any(np.searchsorted(ends, row_ends) != PIXELS * np.arange(1, len(fields) + 1)):
        return None
    value = hundreds.take(ends) * np.uint16(100) + rest.take(ends)
    if value.max(initial=0) > 255:
        return None
    return value.astype(np.uint8).reshape(len(fields), SIDE, SIDE)


def _parse_pixels_one_by_one(field: bytes) -> list[int]:
    values = [value for value in field.replace(b"\t", b" ").split(b" ") if value]
    for position, value in enumerate(values, 1):
        if not value.isdigit() or len(value) > 9 or int(value) > 255:
            raise ValueError(f"pixel {position} is {_show(value)}, not a whole number in 0..255")
    if len(values) != PIXELS:
        raise ValueError(f"{len(values)} pixels where 48 x 48 = {PIXELS} are needed")
    return [int(value) for value in values]


def write_csv(path: Path, images, labels=None, usage=None, action_units=None) -> None:
    """Write images (n, 48, 48) and what is known of them as `emotion,pixels,Usage,action_units`.

    labels are positions in CLASSES, usage positions in USAGES, action_units text such as "6+12".
    """
    number = np.array([str(value) for value in range(256)], dtype=object)
    columns = {
        "emotion": labels,
        "pixels": (" ".join(number[image.ravel()]) for image in images),
        "Usage": None if usage is None else (USAGES[position] for position in usage),
        "action_units": action_units,
    }
    columns = {name: column for name, column in columns.items() if column is not None}
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(",".join(columns) + "\n")
        for row in zip(*columns.values(), strict=True):
            stream.write(",".join(map(str, row)) + "\n")
