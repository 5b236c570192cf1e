"""Read and write FER2013-style CSVs; `utils.load_faces` calls this.

Speed: 301 MB in about the time `pandas.read_csv` alone takes (benchmarks/). The pixels are parsed
many rows at once by NumPy; only a block that is not plainly right is looked at row by row, which
either reads it as one of `dialects` or says which row is wrong.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from toolbox.dataset import csv_rows, dialects
from toolbox.dataset.classes import classes_of
from toolbox.dataset.csv_rows import Line
from toolbox.dataset.dialects import PIXELS, Columns
from toolbox.dataset.faces import CLASSES, SIDE, USAGES, Faces
from toolbox.files import InputError

WAITING = 16  # blocks that may wait to be parsed
Block = tuple[np.ndarray, ...]  # images, labels, usage and votes of some rows


def parse_csv(path: Path, content: bytes | None = None) -> Faces:
    """Parse a CSV, plain, compressed or packed, whose first line names its columns.

    The columns are known by name, whatever their order, case and spaces: `pixels` or `feature`;
    `emotion` or `label` (optional); `Usage` (optional); `votes_CLASS` (optional). Others are
    ignored. The classes are those that a column of names holds, `in_order`, or FER2013's for a
    column of its numbers. `content` is what `path` holds, if that has been read; its SHA-256 is
    left to the caller.
    Raises InputError, naming file, row and remedy, for anything that is not a clean table of faces.
    """
    stream = csv_rows.open_csv(path, content)
    columns = dialects.read_header(path, stream.readline(1 << 16))
    parsing, lines = [], []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for row, lines in csv_rows.blocks(path, stream):
            if row == 1 and columns.label is not None:
                columns = columns._replace(named=_begins_with_a_name(columns, lines[0][1]))
            parsing.append(pool.submit(_parse_block, path, columns, lines, row))
            if len(parsing) > WAITING:
                parsing[-WAITING].result()
        parsed = [block.result() for block in parsing]
    if not parsed:
        raise InputError(f"{path} has a header but no rows; is the download complete?")
    if columns.pixels.stop == columns.count and not lines[-1][1].endswith(b"\n"):
        print(f"warning: {path} ends without a newline; if it was cut, its last pixel may be short")
    images, labels, usage, votes = (np.concatenate(parts) for parts in zip(*parsed, strict=True))
    classes = CLASSES
    if columns.named:
        names, labels = np.unique(labels, return_inverse=True)
        classes = classes_of(path, [*names.tolist(), *(name for _, name in columns.votes)])
        labels = np.array([classes.index(name) for name in names], np.uint8)[labels]
    return Faces(
        path,
        sha256="",
        images=images,
        labels=None if columns.label is None else labels,
        usage=None if columns.usage is None else dialects.settle_usage(usage),
        synthetic=columns.synthetic,
        classes=classes,
        votes=_votes_by_class(path, columns, votes, classes),
    )


def _votes_by_class(path: Path, columns: Columns, votes: np.ndarray, classes: tuple[str, ...]):
    if not columns.votes:
        return None
    if columns.label is None:
        raise InputError(f"{path} has votes but no labels; add a column `emotion` or `label`")
    names = [name for _, name in columns.votes]
    if sorted(names) != sorted(classes):
        raise InputError(
            f"{path} has votes for {', '.join(names)}, but labels of {', '.join(classes)}; give "
            "each class its votes, or delete those columns"
        )
    return votes[:, [names.index(name) for name in classes]]


def _begins_with_a_name(columns: Columns, line: bytes) -> bool:
    try:
        return dialects.has_names(dialects.split_row(line.rstrip(b"\r\n"), columns)[columns.label])
    except ValueError:  # the parser says what is wrong
        return False


def read_ids(path: Path) -> list[str] | None:
    """The column `id` of a CSV that `parse_csv` accepts, as text; None if it has none.

    Raises InputError for a row without an id.
    """
    stream = csv_rows.open_csv(path)
    line = stream.readline(1 << 16)
    columns = dialects.read_header(path, line)
    names = dialects.column_names(path, line, columns.delimiter)
    if "id" not in names:
        return None
    position = names.index("id")
    ids = []
    for _, lines in csv_rows.blocks(path, stream):
        for number, text in lines:
            ids.append(dialects.split_row(text.rstrip(b"\r\n"), columns)[position])
            if not ids[-1]:
                raise InputError(f"{path}, line {number}: no id; mend or delete the row")
    return [text.decode("utf-8", "replace") for text in ids]


def _parse_block(path: Path, columns: Columns, lines: list[Line], row: int) -> Block:
    """Images, labels, usage and votes of consecutive rows, the first of which is number `row`."""
    texts = [text.removesuffix(b"\n").removesuffix(b"\r") for _, text in lines]
    try:
        return _parse_rows(columns, texts)
    except ValueError:  # something is wrong: find the row
        pass
    parsed = []
    for position, text in enumerate(texts):
        try:
            parsed.append(_parse_rows(columns, [text]))
        except ValueError as error:
            problem = f"line {lines[position][0]}: {error}"
            if row + position == 1 and len(texts) > 1 and not _any_right(columns, texts[1:]):
                raise InputError(
                    f"{path}, {problem}; so it is in every row: this is another kind of table"
                ) from None
            raise InputError(f"{path}, {problem}; mend or delete the row") from None
    return tuple(np.concatenate(parts) for parts in zip(*parsed, strict=True))


def _any_right(columns: Columns, texts: list[bytes]) -> bool:
    for text in texts:
        try:
            _parse_rows(columns, [text])
            return True
        except ValueError:
            pass
    return False


def _parse_rows(columns: Columns, texts: list[bytes]) -> Block:
    """Images, labels, usage and votes of rows.

    Raises ValueError that says what is wrong in the first bad one.
    """
    pixels, labels, usages, votes = [], [], [], []
    for text in texts:
        fields = dialects.split_row(text, columns)
        pixels.append(b" ".join(fields[columns.pixels]))
        if columns.label is not None:
            read = dialects.read_name if columns.named else dialects.read_label
            labels.append(read(fields[columns.label]))
        if columns.usage is not None:
            usages.append(dialects.read_usage(fields[columns.usage]))
        if columns.votes:
            votes.append(dialects.read_votes([fields[i] for i, _ in columns.votes]))
    images = _parse_pixels(pixels)
    if images is None:  # not plain: written as a list, say
        images = _parse_pixels([dialects.plain_pixels(field) for field in pixels])
    if images is None:
        images = np.array([dialects.read_pixels(field) for field in pixels])
    labels = np.array(labels, None if columns.named else np.uint8)
    return images, labels, np.array(usages, np.uint8), np.array(votes, np.float32)


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


def write_csv(
    path: Path, images, labels=None, usage=None, action_units=None, classes=CLASSES, votes=None
) -> None:
    """Write images (n, 48, 48) and what is known of them as `emotion,pixels,Usage,action_units`.

    labels are positions in `classes`, written as numbers if those are FER2013's, else as names;
    usage are positions in USAGES, action_units text such as "6+12". votes, (n, classes), are in
    columns `votes_CLASS`.
    """
    if labels is not None and classes != CLASSES:
        labels = np.array(classes)[labels]
    number = np.array([str(value) for value in range(256)], dtype=object)
    columns = {
        "emotion": labels,
        "pixels": (" ".join(number[image.ravel()]) for image in images),
        "Usage": None if usage is None else (USAGES[position] for position in usage),
        "action_units": action_units,
    }
    if votes is not None:
        for name, shares in zip(classes, votes.T, strict=True):
            columns[f"{dialects.VOTES}{name}"] = (f"{share:.6g}" for share in shares)
    columns = {name: column for name, column in columns.items() if column is not None}
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(",".join(columns) + "\n")
        for row in zip(*columns.values(), strict=True):
            stream.write(",".join(map(str, row)) + "\n")
