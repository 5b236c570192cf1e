"""How tables of faces are written elsewhere: their encoding, columns, labels, splits and pixels.

What can be read in one way only is read. All else raises ValueError that says what is wrong, to
which the parser adds file and row.
"""

import csv
import io
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from toolbox.dataset.classes import BY_SPELLING, class_name
from toolbox.dataset.faces import CLASSES, SIDE, USAGES
from toolbox.files import InputError

PIXELS = SIDE * SIDE
COLUMNS = {
    "pixels": "pixels",
    "feature": "pixels",
    "emotion": "label",
    "label": "label",
    "usage": "usage",
    "action_units": "action_units",  # only synthetic faces know their action units
}
VOTES = "votes_"
DELIMITERS = (",", ";", "\t")
VALIDATION = len(USAGES)  # a split beside USAGES until `settle_usage`
SPLIT_NAMES = {
    **{name.lower(): position for position, name in enumerate(USAGES)},
    **{"train": 0, "testing": 3, "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION},
}
LABELS = {str(label): label for label in range(len(CLASSES))}
LABELS |= {f"{label}.0": label for label in range(len(CLASSES))}  # of a column that held NaN once
LABELS |= {word: CLASSES.index(name) for word, name in BY_SPELLING.items()}
LABELS_IN_BYTES = {name.encode(): label for name, label in LABELS.items()}
SPLITS_IN_BYTES = {name.encode(): split for name, split in SPLIT_NAMES.items()}
NO_TABLES = (
    (b"version https://git-lfs", "a pointer of Git LFS, not the table; run `git lfs pull`"),
    (b"<", "a web page, not a table; log in where it is from, and download it again"),
)
LIST_MARKS = bytes.maketrans(b"[]()',;", b" " * 7)


class Columns(NamedTuple):
    """Where the fields of a row are."""

    delimiter: str
    count: int
    pixels: slice  # one field of 2,304 numbers, or 2,304 fields
    label: int | None
    usage: int | None
    synthetic: bool
    named: bool = False  # the labels are names, of whatever classes
    votes: tuple[tuple[int, str], ...] = ()  # columns of `votes_CLASS`, and their classes


def in_utf8(path: Path, stream: io.BufferedReader) -> io.BufferedReader:
    """The stream, or what it holds if that is UTF-16, as spreadsheets write it."""
    if stream.peek(2)[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        return stream
    try:
        text = stream.read().decode("utf-16")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} begins as UTF-16, but is not: {error.reason}") from None
    return io.BufferedReader(io.BytesIO(text.encode("utf-8", "replace")))


def read_header(path: Path, line: bytes) -> Columns:
    """The columns that the first line names. Raises InputError if it names none of pixels."""
    for delimiter in DELIMITERS:
        names = column_names(path, line, delimiter)
        meanings = [COLUMNS.get(name, "") for name in names]
        for meaning in ("pixels", "label", "usage"):
            if meanings.count(meaning) > 1:
                both = ", ".join(name for name in names if COLUMNS.get(name) == meaning)
                raise InputError(f"{path} has two columns for the {meaning}, {both}; delete one")
        pixels = _pixel_columns(names)
        if "pixels" in meanings:
            pixels = slice(meanings.index("pixels"), meanings.index("pixels") + 1)
        if pixels is not None:
            label, usage = (
                meanings.index(meaning) if meaning in meanings else None
                for meaning in ("label", "usage")
            )
            synthetic = "action_units" in meanings
            try:
                votes = tuple(
                    (i, class_name(name.removeprefix(VOTES)))
                    for i, name in enumerate(names)
                    if name.startswith(VOTES)
                )
            except ValueError as error:
                raise InputError(f"{path}, a column {VOTES}CLASS: {error}; rename it") from None
            at = pixels, label, usage
            return Columns(delimiter, len(names), *at, synthetic, votes=votes)
    raise InputError(
        f"{path}, row 0 (line 1): no column `pixels` or `feature` in "
        f"{str(column_names(path, line, ','))[:80]}; "
        "the first line must name the columns, as in `emotion,pixels,Usage`"
    )


def column_names(path: Path, line: bytes, delimiter: str) -> list[str]:
    """The fields of the first line, in lower case. Raises InputError if it is no text."""
    if not line:
        raise InputError(f"{path} is empty; fetch it again")
    for start, kind in NO_TABLES:
        if line.lower().startswith(start):
            raise InputError(f"{path} is {kind}")
    if b"\r" in line.rstrip(b"\r\n"):
        raise InputError(f"{path} ends its lines with CR alone; save it with LF or CRLF line ends")
    try:
        if b"\0" in line:
            raise ValueError
        text = line.decode("utf-8-sig").rstrip("\r\n")
    except ValueError:
        raise InputError(f"{path} is not a CSV in UTF-8; name a CSV, or save it as UTF-8") from None
    names = _quoted_fields(text, delimiter) or text.split(delimiter)
    return [name.strip(' \t"').lower() for name in names]


def _pixel_columns(names: list[str]) -> slice | None:
    """Where 2,304 columns follow each other that are numbered one by one, as `pixel0,pixel1`."""
    numbered: dict[str, list[tuple[int, int]]] = {}
    for position, name in enumerate(names):
        if match := re.fullmatch(r"(.*?)([0-9]{1,9})", name):
            numbered.setdefault(match[1], []).append((position, int(match[2])))
    for run in numbered.values():
        start, first = run[0]
        offsets = {(position - start, number - first) for position, number in run}
        if len(run) == PIXELS and offsets == {(i, i) for i in range(PIXELS)}:
            return slice(start, start + PIXELS)
    return None


def split_row(text: bytes, columns: Columns) -> list[bytes]:
    """The fields of a row. Raises ValueError for another number of them than columns."""
    fields = [field.strip(b" \t") for field in text.split(columns.delimiter.encode())]
    if b'"' in text:
        plain = len(fields) == columns.count
        fields = _unquoted(fields) if plain else None
        if fields is None:  # a delimiter or a quote within quotes
            decoded = text.decode("utf-8", "surrogateescape")
            read = _quoted_fields(decoded, columns.delimiter)
            if read is None:
                raise ValueError('its quotes (") do not match')
            fields = [field.strip(" \t").encode("utf-8", "surrogateescape") for field in read]
    if len(fields) != columns.count:
        raise ValueError(f"{len(fields)} fields where the header has {columns.count}")
    return fields


def _unquoted(fields: list[bytes]) -> list[bytes] | None:
    """Fields without the quotes around them; None if one has quotes elsewhere."""
    bare = [
        field[1:-1].strip(b" \t") if len(field) > 1 and field[:1] == field[-1:] == b'"' else field
        for field in fields
    ]
    return None if any(b'"' in field for field in bare) else bare


def _quoted_fields(text: str, delimiter: str) -> list[str] | None:
    """The fields of a line after RFC 4180; None if it does not follow that."""
    try:
        return next(csv.reader([text], delimiter=delimiter, skipinitialspace=True, strict=True))
    except (csv.Error, StopIteration):
        return None


def has_names(field: bytes) -> bool:
    """Whether a column that begins with this label is one of names."""
    begins_with_a_letter = field[:1].isalpha() or field[:1] >= b"\x80"
    return begins_with_a_letter and field.lower().decode("latin-1") not in COLUMNS


def read_name(field: bytes) -> str:
    """The `class_name` of a label."""
    try:
        return class_name(field.decode())
    except UnicodeDecodeError:
        raise ValueError(f"label {show(field)} is not in UTF-8; save it as UTF-8") from None
    except ValueError:
        raise ValueError(f"label {show(field)} is no name of a class, as the others are") from None


def read_label(field: bytes) -> int:
    """0..6 of a number, or of a name of FER2013's."""
    label = LABELS_IN_BYTES.get(field)
    if label is None:
        label = LABELS_IN_BYTES.get(field.lower())
    if label is None:
        raise ValueError(
            f"label {show(field)} is not one of 0..6; write other classes as names, in all rows"
        )
    return label


def read_votes(fields: list[bytes]) -> list[float]:
    """A probability for each class."""
    try:
        votes = [float(field) for field in fields]
    except ValueError:
        votes = [-1.0]
    if not (min(votes) >= 0 and abs(sum(votes) - 1) < 0.001):
        raise ValueError("its votes are no probabilities, which are 0 to 1 and sum to 1")
    return votes


def read_usage(field: bytes) -> int:
    """A position in USAGES, or VALIDATION."""
    usage = SPLITS_IN_BYTES.get(field.lower())
    if usage is None:
        raise ValueError(f"Usage {show(field)} is not one of {', '.join(USAGES)}")
    return usage


def settle_usage(usage: np.ndarray) -> np.ndarray:
    """`usage` with VALIDATION replaced by positions in USAGES, uint8 (n,).

    Validation beside test is PublicTest beside PrivateTest; alone it is the merged Test.
    """
    validation, test = usage == VALIDATION, usage == USAGES.index("Test")
    if not validation.any():
        return usage
    settled = usage.copy()
    if test.any() and not np.isin(usage, (1, 2)).any():
        settled[validation], settled[test] = USAGES.index("PublicTest"), USAGES.index("PrivateTest")
    else:
        settled[validation] = USAGES.index("Test")
    return settled


def plain_pixels(field: bytes) -> bytes:
    """The numbers of a field with spaces between, if it is a list, or its numbers are floats."""
    field = field.replace(b"\r\n", b" ").replace(b"\n", b" ").replace(b"\t", b" ")
    if field[:1] in (b"[", b"(") and field[-1:] in (b"]", b")"):
        field = re.sub(rb"np\.\w+\(", b" ", field).translate(LIST_MARKS)
    elif max(field.count(b","), field.count(b";")) == PIXELS - 1:
        field = field.translate(LIST_MARKS)
    return re.sub(rb"(?<=[0-9])\.0+(?= |$)", b"", field)


def read_pixels(field: bytes) -> np.ndarray:
    """One row's pixels, uint8 (48, 48), looked at number by number."""
    values = [value for value in plain_pixels(field).split(b" ") if value]
    if b"..." in values:
        raise ValueError("its pixels are cut short by `...`, as NumPy prints long arrays")
    for position, value in enumerate(values, 1):
        if not value.isdigit() or len(value) > 9 or int(value) > 255:
            raise ValueError(f"pixel {position} is {show(value)}, not a whole number in 0..255")
    if len(values) != PIXELS:
        raise ValueError(f"{len(values)} pixels where 48 x 48 = {PIXELS} are needed")
    return np.array(values, np.int64).astype(np.uint8).reshape(SIDE, SIDE)


def show(field: bytes) -> str:
    return repr(field[:20].decode("utf-8", "replace"))
