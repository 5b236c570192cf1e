"""Load a CSV, and load it fast the second time.

The parsed arrays are kept in a file beside the CSV, together with the SHA-256 of the bytes they
were parsed from. The CSV is read and hashed every time: nothing but its content decides.
"""

import contextlib
import hashlib
from pathlib import Path

import numpy as np

from toolbox import files
from toolbox.dataset import archives
from toolbox.dataset.faces import Faces
from toolbox.dataset.fer2013_csv import parse_csv

VERSION = 5  # raise it when the cache or the parser changes


def cache_path(path: Path) -> Path:
    return path.with_name(path.name + ".cache")


def load(path: Path) -> Faces:
    """The faces of a CSV. Raises InputError for a file that `fer2013_csv.parse_csv` refuses."""
    content = archives.read_file(path)
    sha256 = hashlib.sha256(content).hexdigest()
    faces = _read(path, sha256)
    if faces is None:
        faces = parse_csv(path, content)._replace(sha256=sha256)
        _write(faces)
    return faces


def _read(path: Path, sha256: str) -> Faces | None:
    """The faces, if a whole cache of this very content is there."""
    cache = cache_path(path)
    if not cache.is_file():
        return None
    try:
        with np.load(cache) as stored:
            if stored["version"] != VERSION or stored["sha256"] != sha256:
                return None
            arrays = [stored[name] for name in ("images", "labels", "usage", "votes")]
            synthetic, classes = bool(stored["synthetic"]), tuple(stored["classes"].tolist())
    except Exception:  # a damaged file may raise anything, and the CSV is at hand
        return None
    *columns, votes = (array if array.size else None for array in arrays)
    return Faces(path, sha256, *columns, synthetic, classes, votes)


def _write(faces: Faces) -> None:
    cache = cache_path(faces.path)
    if cache.exists() and not cache.is_file():  # a pipe that nobody reads would hang
        return
    # Absent columns are stored as empty ones, so that a name lost to damage is noticed.
    names = ("images", "labels", "usage", "synthetic", "classes", "votes")
    columns = {name: getattr(faces, name) for name in names}
    columns = {name: () if column is None else column for name, column in columns.items()}

    def write(temporary: Path) -> None:
        with temporary.open("wb") as stream:  # np.savez would add its own suffix to a name
            np.savez(stream, version=VERSION, sha256=faces.sha256, **columns)

    with contextlib.suppress(OSError):  # a read-only folder or a full disk costs time, no more
        files.atomic_write(cache, write)
