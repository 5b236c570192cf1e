"""What an interrupted training resumes from: one file of its configuration and all it changes."""

import json
import lzma
import zipfile
import zlib
from pathlib import Path

import numpy as np

from toolbox import files
from toolbox.files import InputError

FORMAT = 3  # raise it when the content of a state changes
HASHES = {  # what to say when one of these hashes differs
    "model": "the network or its optimizer was edited since",
    "data": "the faces are others",
}
DAMAGE = (  # what NumPy, zipfile and json raise for a file that is no state, or no longer whole
    *(LookupError, TypeError, ValueError, AttributeError, ArithmeticError, MemoryError),
    *(EOFError, OSError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)


def save(path: Path, configuration: dict, history, arrays: dict[str, np.ndarray]) -> None:
    """Write `arrays` and a `history` that JSON can hold as the state of a run so configured."""
    state = {"format": FORMAT, "configuration": configuration, "history": history}
    text = json.dumps(state)
    files.atomic_write(path, lambda temporary: np.savez(temporary, state=text, **arrays))


def load(path: Path, configuration: dict) -> tuple:
    """The history and the arrays that `save` wrote.

    Raises InputError if the file belongs to another configuration, or is not such a file.
    """
    state, arrays = _read(path)
    differs = difference(state["configuration"], configuration)
    if differs:
        raise InputError(
            f"{path} is of an unfinished run with another configuration ({differs}); "
            "change that back to finish it, or start over: --fresh"
        )
    return state["history"], arrays


def difference(found: dict, configuration: dict) -> str:
    """What is the first thing that `configuration` has otherwise, or ""."""
    for name, value in configuration.items():
        if found.get(name) != value:
            return HASHES.get(name) or f"{name} is {found.get(name)} there, {value} here"
    return ""


def configuration_of(path: Path) -> dict:
    """The configuration that `save` wrote. Raises InputError if it is not such a file."""
    return _read(path)[0]["configuration"]


def restore(path: Path, variables: list, arrays: dict[str, np.ndarray]) -> None:
    """Give variable i the array `variable_i`. Raises InputError where they do not fit."""
    try:
        for i, variable in enumerate(variables):
            variable.assign(arrays[f"variable_{i}"])
    except (LookupError, ValueError) as error:
        raise damaged(path, error) from None


def values(variables: list) -> dict[str, np.ndarray]:
    """What `restore` takes."""
    return {f"variable_{i}": variable.numpy() for i, variable in enumerate(variables)}


def damaged(path: Path, error: Exception) -> InputError:
    why = " ".join(str(error).split())[:80] or type(error).__name__
    return InputError(f"{path} is damaged ({why}); --fresh starts over")


def _read(path: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """Configuration and history, and the arrays."""
    try:
        if not path.is_file():  # a FIFO would wait forever
            raise ValueError("not a regular file")
        with np.load(path) as stored:
            arrays = dict(stored)
        state = json.loads(str(arrays.pop("state")))
        state["configuration"].keys(), state["history"]
    except DAMAGE as error:
        raise damaged(path, error) from None
    if state.get("format") != FORMAT:
        raise InputError(f"{path} is of another version of this program; --fresh starts over")
    return state, arrays
