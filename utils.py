"""What several scripts share: loading faces, writing files whole, saying where numbers are from.

Nothing here imports Keras, so that the data scripts start at once.
"""

import contextlib
import functools
import hashlib
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from drawn_faces import draw_sample
from fer2013_csv import CLASSES as CLASSES
from fer2013_csv import SIDE, InputError, parse_csv, write_csv
from fer2013_csv import USAGES as USAGES

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # else each run opens with CUDA's complaints

ROOT = Path(__file__).resolve().parent
FER2013 = ROOT / "data" / "fer2013.csv"
SAMPLE = ROOT / "data" / "sample_faces.csv"
CACHE_VERSION = 1  # raise it when the cache or the parser changes
inputs: set[Path] = set()  # files that this run has read, and must not overwrite


class Faces(NamedTuple):
    """The rows of one CSV, in file order."""

    path: Path
    sha256: str  # of the file's bytes
    images: np.ndarray  # uint8 (n, 48, 48), 0..255
    labels: np.ndarray | None  # uint8 (n,), 0..6, positions in CLASSES
    usage: np.ndarray | None  # uint8 (n,), positions in USAGES
    drawn: bool  # True for faces that sample_faces.py drew


def run(main: Callable, args) -> None:
    """Call `main(args)`; end a mistake in one line and status 1, Ctrl-C in status 130."""
    try:
        main(args)
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        sys.exit(f"error: {where}{error.strerror or error}")
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        sys.exit(130)


def check_limits(args, limits: dict[str, tuple[float, float]]) -> None:
    """Raise InputError if an argument lies outside of its (least, greatest), or is not a number."""
    for name, (low, high) in limits.items():
        value = getattr(args, name, low)
        if not low <= value <= high:
            raise InputError(f"--{name.replace('_', '-')} is {value}; give {low:g} to {high:g}")


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hold back what C++ prints while TensorFlow is imported; none of its settings reaches that.

    Ends the script in one line if KERAS_BACKEND names an engine that is not there.
    """
    saved = os.dup(2)
    try:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    except (ImportError, ValueError) as error:
        if "KERAS_BACKEND" not in os.environ:
            raise
        sys.exit(f"error: KERAS_BACKEND={os.environ['KERAS_BACKEND']}: {error}")
    finally:
        os.dup2(saved, 2)
        os.close(saved)


# Loading


def load_faces(path: Path | None = None) -> Faces:
    """Load a FER2013-style CSV; without a path data/fer2013.csv, or else drawn sample faces.

    A second load is answered from a cache beside the CSV. It holds the CSV's SHA-256 and its state
    on disk: an unchanged state vouches for the content, otherwise the SHA-256 decides.
    Raises InputError for a file that `fer2013_csv.parse_csv` refuses.
    """
    if path is None:
        path = FER2013 if FER2013.exists() else SAMPLE
        if not path.exists():
            write_whole(path, lambda temporary: write_csv(temporary, *draw_sample()))
            print(f"drew faces, not photographs: {path}")
    inputs.add(path.resolve())
    state = _state_on_disk(path)
    faces = _read_cache(path, state)
    if faces is None:
        with ThreadPoolExecutor(1) as pool:
            sha256 = pool.submit(sha256_of_file, path)
            arrays = parse_csv(path)
            faces = Faces(path, sha256.result(), *arrays)
        if _state_on_disk(path) != state:
            raise InputError(f"{path} changed while it was read; run the command again")
        _write_cache(faces, state)
    if faces.drawn:
        print("*** DRAWN FACES, not photographs: this says nothing about real expressions. ***")
    return faces


def sha256_of_file(path: Path) -> str:
    if not path.is_file():  # parse_csv says what is wrong
        return ""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _state_on_disk(path: Path) -> list[int]:
    if not path.is_file():
        return []
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_dev]


def _cache_path(path: Path) -> Path:
    return path.with_name(path.name + ".cache")


def _read_cache(path: Path, state: list[int]) -> Faces | None:
    """The faces if the cache is whole and of this content. Its first line is a CRC and a header."""
    try:
        with _cache_path(path).open("rb") as stream:
            crc, header = stream.readline(4096).split(b" ", 1)
            content = np.fromfile(stream, np.uint8)
        if int(crc, 16) != zlib.crc32(content, zlib.crc32(header)):
            return None
    except (OSError, ValueError):
        return None  # absent, or half-written
    header = json.loads(header)
    if header.get("version") != CACHE_VERSION:
        return None
    unchanged = header["state"] == state and header["settled"] and os.name == "posix"
    if not unchanged and header["sha256"] != sha256_of_file(path):
        return None
    rows = header["rows"]
    images, content = np.split(content, [rows * SIDE * SIDE])
    labels, usage = np.split(content, [rows * header["labels"]])
    faces = Faces(
        path,
        header["sha256"],
        images.reshape(rows, SIDE, SIDE),
        labels if header["labels"] else None,
        usage if header["usage"] else None,
        header["drawn"],
    )
    if not unchanged:
        _write_cache(faces, state)
    return faces


def _write_cache(faces: Faces, state: list[int]) -> None:
    arrays = [array.ravel() for array in faces[2:5] if array is not None]
    header = {
        "version": CACHE_VERSION,
        "rows": len(faces.images),
        "labels": faces.labels is not None,
        "usage": faces.usage is not None,
        "drawn": faces.drawn,
        "sha256": faces.sha256,
        "state": state,
        # A later change within the same tick of the file system's clock would not alter the state.
        "settled": time.time_ns() - max(state[1:3]) > 500_000_000,
    }

    def write(temporary: Path) -> None:
        line = json.dumps(header).encode() + b"\n"
        crc = zlib.crc32(line)
        for array in arrays:
            crc = zlib.crc32(array, crc)
        with temporary.open("wb") as stream:
            stream.write(f"{crc:08x} ".encode() + line)
            for array in arrays:
                array.tofile(stream)

    with contextlib.suppress(OSError):  # a read-only folder or a full disk costs time, no more
        write_whole(_cache_path(faces.path), write)


# Writing


def folder(base: Path, faces: Faces) -> Path:
    """What is made from drawn faces lies apart, never beside or over results on real faces."""
    return base / "sample" if faces.drawn else base


def headline(faces: Faces, title: str) -> str:
    """A figure's title, which says so if the faces are drawn."""
    return f"{title}\nDRAWN FACES, not photographs" if faces.drawn else title


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file and rename it to `path`, so that none is half-written.

    Raises InputError rather than overwrite a file that this run has read.
    """
    refuse_inputs(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: Keras and matplotlib choose the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        write(temporary)
        temporary.replace(path)
    except OSError as error:  # a full disk names no file
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None
    finally:
        temporary.unlink(missing_ok=True)


def refuse_inputs(*paths: Path) -> None:
    """Raise InputError if one of `paths`, to be written, is a file that this run has read."""
    for path in paths:
        if path.resolve() in inputs:
            raise InputError(f"{path} is what is read, and would be overwritten; name another")


def write_text(path: Path, text: str) -> None:
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, record: dict) -> None:
    """Indented JSON with each list of numbers on one line."""
    text = json.dumps(record, indent=2, allow_nan=False)
    text = re.sub(r"\[[\d\s,.eE+-]+\]", lambda match: " ".join(match[0].split()), text)
    write_text(path, text + "\n")


def save_figure(figure: Figure, path: Path) -> None:
    look = {"dpi": 150, "metadata": {"Software": None}}
    write_whole(path, lambda temporary: figure.savefig(temporary, **look))
    print(f"wrote {path}")


def provenance(args, faces: Faces | None = None) -> dict:
    """Where a record's numbers come from: command, arguments, data, versions, code, machine."""
    packages = ("keras", "tensorflow", "numpy", "scikit-learn", "pandas", "matplotlib")
    commit = ""
    with contextlib.suppress(OSError):  # no git on this machine
        ask = functools.partial(subprocess.run, cwd=ROOT, capture_output=True, text=True)
        commit = ask(["git", "rev-parse", "--short=12", "HEAD"]).stdout.strip()
        changed = ask(["git", "status", "--porcelain", "--", "*.py"]).stdout.strip()
        commit += "-dirty" if changed else ""
    affinity = getattr(os, "sched_getaffinity", None)  # taskset's, on Linux
    cores = len(affinity(0)) if affinity else os.cpu_count()
    record = {
        "command": shlex.join(["python", Path(sys.argv[0]).name, *sys.argv[1:]]),
        "arguments": {name: _plain(value) for name, value in vars(args).items()},
        "seed": args.seed,
        "versions": {name: version(name) for name in packages},
        "python": platform.python_version(),
        "git": commit or None,
        "machine": f"{platform.system()} {platform.machine()}, {cores} cores",
    }
    if faces is not None:
        file = {"file": faces.path.name, "sha256": faces.sha256, "drawn": faces.drawn}
        record["data"] = file | {"rows": len(faces.images)}
    return record


def _plain(value):
    """A value as JSON holds it, and a path relative to this folder where it lies inside."""
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    if isinstance(value, Path):
        return str(value.relative_to(ROOT) if value.is_relative_to(ROOT) else value)
    return value
