"""The file from which a killed training goes on: its configuration and everything it changes."""

import json
import zipfile
from pathlib import Path

import numpy as np

import utils
from utils import InputError


def save(path: Path, configuration: dict, history, arrays: dict[str, np.ndarray]) -> None:
    """Write `arrays` and a `history` that JSON can hold as the state of a run so configured."""
    state = json.dumps({"configuration": configuration, "history": history})
    utils.write_whole(path, lambda temporary: np.savez(temporary, state=state, **arrays))


def load(path: Path, configuration: dict) -> tuple:
    """The history and the arrays that `save` wrote.

    Raises InputError if the file belongs to another configuration, or is not such a file.
    """
    try:
        with np.load(path) as stored:
            arrays = dict(stored)
        state = json.loads(str(arrays.pop("state")))
        found, history = state["configuration"], state["history"]
    except (LookupError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise damaged(path, error) from None
    for name, value in configuration.items():
        if found.get(name) != value:
            raise InputError(
                f"{path} is of an unfinished run with another configuration ({name} "
                f"{found.get(name)} there, {value} here); run that to its end, or start over: "
                "--fresh"
            )
    return history, arrays


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
    why = " ".join(str(error).split())[:80]
    return InputError(f"{path} is damaged ({why}); --fresh starts over")


def remove_leftovers(path: Path) -> None:
    """Delete what a run that was killed while it wrote `path` left of it."""
    for leftover in path.parent.glob(f".{path.stem}.*{path.suffix}"):
        leftover.unlink(missing_ok=True)
