"""What all scripts share: load the CSV, say where outputs go, run a script.

Nothing here imports Keras, so that the data scripts start at once.
"""

import contextlib
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from toolbox.dataset import cache, fer2013_csv
from toolbox.dataset.faces import CLASSES, SIDE, USAGES, Faces
from toolbox.dataset.synthetic_faces import draw_sample
from toolbox.files import (
    InputError,
    atomic_write,
    output_folder,
    refuse_overwriting,
    save_figure,
    stem_of,
    write_json,
    write_text,
)
from toolbox.provenance import provenance

__all__ = [
    "CLASSES",
    "SIDE",
    "USAGES",
    "Faces",
    "InputError",
    "atomic_write",
    "output_folder",
    "provenance",
    "refuse_overwriting",
    "save_figure",
    "stem_of",
    "write_json",
    "write_text",
]

ROOT = Path(__file__).resolve().parent
FER2013 = ROOT / "data" / "fer2013.csv"
SYNTHETIC = ROOT / "data" / "synthetic_faces.csv"
MODELS, FIGURES = ROOT / "models", ROOT / "figures"


def load_faces(path: Path | None = None) -> Faces:
    """Load a FER2013-style CSV; without a path data/fer2013.csv, or else synthetic faces.

    Raises InputError for a file that is not a clean table of faces.
    """
    if path is None:
        path = FER2013 if FER2013.exists() else SYNTHETIC
        if not path.exists():
            columns = draw_sample()
            atomic_write(path, lambda temporary: fer2013_csv.write_csv(temporary, *columns))
            print(f"There is no {FER2013.name} yet: drew synthetic faces, {path}")
    with contextlib.suppress(RuntimeError):  # of ~someone who is not there
        path = path.expanduser()  # a shell leaves the ~ of `make DATA=~/x.csv` alone
    faces = cache.load(path)
    if faces.classes != CLASSES:  # a name with a slip would be a class of its own
        print(f"Classes of {faces.path.name}: {', '.join(faces.classes)}")
    if faces.synthetic:
        print("*** SYNTHETIC FACES, not photographs: this says nothing about real people. ***")
    return faces


def changed(args, *names: str) -> str:
    """The arguments among `names` that differ from their defaults, for a file name: `_steps64`.

    So two runs of different settings never write to the same file.
    """
    default, parts = type(args)(), []
    for name in names:
        value, flag = getattr(args, name), name.replace("_", "-")
        if value == getattr(default, name):
            continue
        if isinstance(value, bool):
            parts.append(f"_{flag}" if value else f"_no-{flag}")
        else:
            text = "-".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
            parts.append(f"_{flag}" + re.sub(r"[^\w.+-]+", "-", text))
    return "".join(parts)


def check_limits(args, limits: dict[str, tuple[float, float]]) -> None:
    """Raise InputError if an argument is outside its (least, greatest), or not a number."""
    for name, (low, high) in limits.items():
        value = getattr(args, name, low)
        if not low <= value <= high:
            raise InputError(f"--{name.replace('_', '-')} is {value}; give {low:,} to {high:,}")


def open_standard_streams() -> None:
    """Open a standard stream that is closed, as by `>&-`.

    Otherwise the next file opened would get its number, and what is printed would go into it.
    A terminal that knows ASCII alone shows `?` for other characters.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # which takes the least number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")


def run(main: Callable, args) -> None:
    """Call `main(args)`; end a mistake in one line and status 1, Ctrl-C in status 130.

    `args` is what `main` takes, or a function that reads it from the command line.
    """
    open_standard_streams()
    status: int | str | None = None
    try:
        main(args() if callable(args) else args)
        with contextlib.suppress(BrokenPipeError):  # all is done, though nobody reads on
            sys.stdout.flush()
    except InputError as error:
        status = f"error: {error}"
    except BrokenPipeError:  # as of `| head`: nobody reads on
        status = 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        status = f"error: {where}{error.strerror or error}"
    except MemoryError:
        status = "error: not enough memory"
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        status = 130
    except SystemExit as end:  # of --help
        status = end.code
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that Python's last flush does not fail
    if status is not None:
        sys.exit(status)
