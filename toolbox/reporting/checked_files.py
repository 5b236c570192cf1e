"""Read records and tables that may be damaged, or somebody else's; that ends in one line."""

import io
import json
import math
from pathlib import Path

import pandas as pd

from toolbox.files import InputError

# The shapes of what is read: a type, {key: shape}, [shape] for a list, [shape, shape] for one of
# two, or (shape,) for a dictionary of any keys. A key that ends in "?" may be absent or null.
# `float` is any finite number, `int` a count, and a slice holds the least and the greatest number.
SHARE, AMOUNT = slice(0, 1.0001), slice(0, 1e15)  # sums of floats may be a little above 1
SHARES = {"accuracy", "val_accuracy", "macro_f1"}  # in tables


def read_text(path: Path) -> str:
    """Raises InputError for what is no file of text in UTF-8."""
    if not path.is_file():  # a pipe would wait forever
        raise InputError(f"{path} is no regular file; move it away")
    try:
        return path.read_text(encoding="utf-8").strip()
    except ValueError as error:
        raise damaged(path, error) from None


def read_json(path: Path, shape: dict) -> dict:
    """The record at `path`. Raises InputError if it is damaged or does not have this shape."""
    text = read_text(path)
    try:
        record = json.loads(text)
        check(record, shape, "it")
    except (ValueError, RecursionError) as error:
        raise damaged(path, error) from None
    return record


def read_table(path: Path, numbers: tuple[str, ...] = (), rows: int = 0) -> pd.DataFrame:
    """The CSV at `path`.

    numbers: columns that must hold finite numbers of 0 or more; without them all must.
    rows: how many there must be, if that is fixed.

    Raises InputError if it is damaged.
    """
    text = read_text(path)
    try:
        table = pd.read_csv(io.StringIO(text))
        columns = list(numbers or table.columns)
        table = table.astype(dict.fromkeys(columns, float))
        if table.empty or not table[columns].map(math.isfinite).all(axis=None):
            raise ValueError("a number is missing")
        shares = table[[name for name in columns if name in SHARES]]
        if (table[columns] < 0).any(axis=None) or (shares > SHARE.stop).any(axis=None):
            raise ValueError("a number is negative, or a share above 1")
        if len(table) != (rows or len(table)):
            raise ValueError(f"{len(table)} rows instead of {rows}")
    except (ValueError, LookupError, TypeError, OverflowError) as error:
        raise damaged(path, error) from None
    return table


def check(value, shape, where: str) -> None:
    """Raise ValueError, which names the place, unless `value` has this shape."""
    if isinstance(shape, dict):
        check(value, dict, where)
        for key, inner in shape.items():
            name = key.removesuffix("?")
            if value.get(name) is not None or name == key:
                check(value.get(name), inner, name)
    elif isinstance(shape, (list, tuple)):
        check(value, {list: list, tuple: dict}[type(shape)], where)
        if len(shape) > 1 and len(value) != len(shape):
            raise ValueError(f"{where} has {len(value)} parts")
        for part in value if isinstance(shape, list) else value.values():
            check(part, shape[0], f"a part of {where}")
    elif shape in (int, float) or isinstance(shape, slice):
        kind = int if shape is int else int | float
        limits = slice(-1e15, 1e15) if shape is float else AMOUNT if shape is int else shape
        is_number = isinstance(value, kind) and not isinstance(value, bool)
        if not is_number or not limits.start <= value <= limits.stop:  # NaN is in no range
            raise ValueError(f"{where} is {value!r:.40}")
    elif not isinstance(value, shape):
        raise ValueError(f"{where} is {value!r:.40}")


def damaged(path: Path, error: Exception) -> InputError:
    """One line about a file that is not what it should be."""
    return InputError(f"{path} is damaged ({' '.join(str(error).split())[:120]}); move it away")
