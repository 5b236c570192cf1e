"""The rows of a CSV, many at a time, each whole even where a quoted field goes over lines."""

import io
from collections.abc import Iterator
from pathlib import Path

from toolbox.dataset import archives, dialects
from toolbox.files import InputError

BLOCK_BYTES = 1 << 20  # large enough to amortise NumPy's calls, small enough to stay in cache
LONGEST_LINE = 1 << 20  # bytes; no row of faces comes near it
Line = tuple[int, bytes]  # its number in the file, and its text


def open_csv(path: Path, content: bytes | None = None) -> io.BufferedReader:
    """The text of a CSV in UTF-8, unpacked. content: what `path` holds, if that has been read."""
    content = archives.read_file(path) if content is None else content
    return dialects.in_utf8(path, archives.open_table(path, content))


def blocks(path: Path, stream: io.BufferedReader) -> Iterator[tuple[int, list[Line]]]:
    """The number of the first row, and its lines, of many rows at once."""
    row, number = 1, 2
    while block := stream.read(BLOCK_BYTES):
        block += stream.readline(LONGEST_LINE)
        if block.count(b'"') % 2:
            block += _rest_of_quoted_field(stream)
        lines = list(enumerate(io.BytesIO(block), number))
        number += len(lines)
        if len(lines[-1][1]) > LONGEST_LINE:
            raise InputError(f"{path}, line {number - 1} is over 1 MB: this is no table of faces")
        if b'"' in block:
            lines = _rows_over_lines(lines)
        lines = [(place, text) for place, text in lines if text.strip(b" \t\r\n")]
        if lines:
            yield row, lines
        row += len(lines)


def _rest_of_quoted_field(stream: io.BufferedReader) -> bytes:
    """The next lines up to one that closes a quote, or up to LONGEST_LINE bytes."""
    lines, size = [], 0
    while size < LONGEST_LINE and (line := stream.readline(LONGEST_LINE)):
        lines.append(line)
        size += len(line)
        if line.count(b'"') % 2:
            break
    return b"".join(lines)


def _rows_over_lines(lines: list[Line]) -> list[Line]:
    """Lines joined where a quoted field goes over several of them."""
    rows, open_lines, is_open = [], [], False
    for line in lines:
        open_lines.append(line)
        is_open ^= line[1].count(b'"') % 2 == 1
        if not is_open:
            rows.append((open_lines[0][0], b"".join(text for _, text in open_lines)))
            open_lines = []
    return rows + open_lines
