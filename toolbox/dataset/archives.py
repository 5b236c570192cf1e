"""Compressed and packed files: .gz, .xz, .bz2, .zip, .tar, .tar.gz and the like.

They are unpacked from memory, so whatever goes wrong there, unless the disk is full, means that the
content is damaged. What comes out is counted: a small file that unpacks to more than
LARGEST_UNPACKED bytes is refused.
"""

import bz2
import contextlib
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PureWindowsPath
from typing import BinaryIO

from toolbox.files import InputError, is_disk_full

LARGEST_FILE = 8 << 30  # bytes; it is read into memory
LARGEST_UNPACKED = 2 << 30  # bytes; seven times FER2013
COMPRESSIONS = ((b"\x1f\x8b", gzip.open), (b"\xfd7zXZ\0", lzma.open), (b"BZh", bz2.open))
ZIP = b"PK\x03\x04", b"PK\x05\x06"  # the second is of an empty one
TABLES = ("fer2013.csv", "icml_face_data.csv")  # the one to read where there are several
DAMAGE = (
    *(EOFError, OSError, ValueError, LookupError, ArithmeticError, RuntimeError, struct.error),
    *(zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError),
)


def read_file(path: Path) -> bytes:
    """The bytes of a regular file. Raises InputError for what is none, or too large."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; make a CSV of it: python prepare_data.py {path}")
    if not path.exists():
        raise InputError(f"{path} does not exist; data/README.md says where data sets are found")
    if not path.is_file():
        raise InputError(f"{path} is not a regular file; save the table to a file first")
    if path.stat().st_size > LARGEST_FILE:
        raise InputError(f"{path} is larger than {LARGEST_FILE / 1e9:.1f} GB; name a part of it")
    return path.read_bytes()


def open_table(path: Path, content: bytes) -> io.BufferedReader:
    """The CSV that `content` is or holds; `path` is named in errors.

    Raises InputError, as reading does, for damaged content and for an archive of several CSVs.
    """
    if content.startswith(ZIP):
        with _explained(path):
            archive = zipfile.ZipFile(io.BytesIO(content))
            return _checked(path, archive.open(choose_table(path, archive.namelist())))
    stream = _decompressed(path, content)
    if not _is_tar(stream):
        return stream
    name = choose_table(path, [member.name for member in _tar_members(path, stream)])
    with _explained(path):
        archive = tarfile.open(fileobj=_decompressed(path, content), mode="r|")  # noqa: SIM115
        member = next(member for member in archive if member.name == name)
        return _checked(path, archive.extractfile(member))


def members(path: Path, content: bytes) -> list[str]:
    """The names of the files in an archive; none if `content` is no archive."""
    if content.startswith(ZIP):
        with _explained(path):
            return zipfile.ZipFile(io.BytesIO(content)).namelist()
    stream = _decompressed(path, content)
    return [member.name for member in _tar_members(path, stream)] if _is_tar(stream) else []


def extract(path: Path, content: bytes, folder: Path) -> None:
    """Unpack an archive into `folder`. Raises InputError if it is damaged or too large."""
    with _explained(path):
        if not content.startswith(ZIP):
            stream = _decompressed(path, content)
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                archive.extractall(folder, filter="data")
            return
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST_UNPACKED:
                raise _too_large(path)
            for member in archive.infolist():
                member.filename = member.filename.replace("\\", "/")  # of old packers on Windows
                archive.extract(member, folder)


def choose_table(path: Path, names: Iterable[str]) -> str:
    """The CSV to read among `names`. Raises InputError unless there is one, or one of TABLES."""
    names = sorted(name for name in names if not is_hidden(name))
    tables = [name for name in names if name.lower().endswith(".csv")]
    for known in TABLES:
        named = [name for name in tables if PureWindowsPath(name).name.lower() == known]
        if len(named) == 1:
            return named[0]
    if len(tables) == 1:
        return tables[0]
    if tables:
        held = ", ".join(tables[:5])
        raise InputError(f"{path} holds several CSVs ({held}); unpack it and name one of them")
    held = ", ".join(names[:3]) or "nothing"
    raise InputError(
        f"{path} holds no .csv, but {held}; give images to prepare_data.py, and unpack what is "
        "packed twice"
    )


def is_hidden(name: str) -> bool:
    """Whether a path is one of those that a Mac adds to archives, or hidden otherwise."""
    return any(part == "__MACOSX" or part.startswith(".") for part in Path(name).parts)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except DAMAGE as error:
        if is_disk_full(error):
            raise InputError(
                f"{path}: no space left to unpack it; make some, or name a folder that has it: "
                "TMPDIR=FOLDER"
            ) from None
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(
            f"{path}: cannot unpack it ({reason}); fetch it again, or unpack it by hand"
        ) from None


def _too_large(path: Path) -> InputError:
    size = f"{LARGEST_UNPACKED / 1e9:.1f} GB"
    return InputError(f"{path} unpacks to more than {size}; if it should, unpack it by hand")


class _Checked(io.RawIOBase):
    """A stream that is counted, and whose damage is explained."""

    def __init__(self, path: Path, stream: BinaryIO):
        self._path, self._stream, self._left = path, stream, LARGEST_UNPACKED

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        with _explained(self._path):
            data = self._stream.read(len(buffer))
        self._left -= len(data)
        if self._left < 0:
            raise _too_large(self._path)
        buffer[: len(data)] = data
        return len(data)


def _checked(path: Path, stream: BinaryIO) -> io.BufferedReader:
    return io.BufferedReader(_Checked(path, stream), 1 << 18)


def _decompressed(path: Path, content: bytes) -> io.BufferedReader:
    stream = io.BufferedReader(io.BytesIO(content))
    for _ in range(2):  # some browsers compress what is compressed already
        for magic, decompress in COMPRESSIONS:
            if stream.peek(8).startswith(magic):
                stream = _checked(path, decompress(stream))
                break
    return stream


def _is_tar(stream: io.BufferedReader) -> bool:
    return stream.peek(512)[257:262] == b"ustar"


def _tar_members(path: Path, stream: BinaryIO) -> list[tarfile.TarInfo]:
    with _explained(path), tarfile.open(fileobj=stream, mode="r|") as archive:
        return [member for member in archive if member.isfile()]
