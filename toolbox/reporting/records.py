"""Read and check all records of one kind of faces, before a word is written about them.

What is absent is None or not in the dictionary. What is damaged raises InputError with the file's
name, so that the parts of the report need no checks of their own.
"""

import io
import json
import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from toolbox.dataset.faces import CLASSES, USAGES, Faces
from toolbox.dataset.splits import rows_of_usage
from toolbox.files import InputError
from toolbox.reporting.markdown import Missing, picture

# The shapes of what is read: a type, {key: shape}, [shape] for a list, [shape, shape] for one of
# two, or (shape,) for a dictionary of any keys. A key that ends in "?" may be absent or null.
# `float` is any finite number, `int` a count, and a slice holds the least and the greatest number.
SHARE, AMOUNT = slice(0, 1.0001), slice(0, 1e15)  # sums of floats may be a little above 1
PROVENANCE = {
    **{"command": str, "machine": str, "arguments": dict},
    "data": {"file": str, "sha256": str, "rows": int},
}
RUN = PROVENANCE | {
    "arguments": {
        **{"validation_fraction": SHARE, "network?": str, "net?": str, "augment?": bool},
        "data?": str,
    },
    **{"versions": {"tensorflow": str, "keras": str}, "classes?": [str]},
    **dict.fromkeys(("parameters", "epochs", "best_epoch"), int),
    **dict.fromkeys(("seconds_per_epoch", "cpu_seconds_per_1000_images", "minutes"), AMOUNT),
    "metrics": dict.fromkeys(
        ("training_accuracy", "validation_accuracy", "public_test_accuracy?"), SHARE
    ),
    "split": {
        **{"method": str, "training_rows": int},
        **{"validation_rows": list, "validation_sha256": str},
    },
}
CNN = {  # besides
    "arguments": {
        **dict.fromkeys(("batch_size", "epochs", "patience", "seed"), int),
        **dict.fromkeys(("learning_rate", "label_smoothing", "dropout"), float),
        **{"shift": float, "rotation": float, "zoom": float, "flip": bool},
    }
}
MEASURED = {"accuracy": SHARE, "accuracy_interval": [SHARE, SHARE], "macro_f1": SHARE}
CONFUSION = PROVENANCE | {
    **{"split": str, "faces": int, **MEASURED, "observations": [str]},
    "classes": ({**dict.fromkeys(("precision", "recall", "f1-score"), SHARE), "support": AMOUNT},),
    **{"without_seen?": MEASURED, "faces_seen_in_training?": int},
}
SCORE = dict.fromkeys(
    ("deletion_auc", "insertion_auc", "accuracy_keeping_top", "accuracy_losing_top"), SHARE
) | {"rank_correlation_all_shuffled?": float}
SALIENCY = PROVENANCE | {
    **{"split": str, "arguments": {"keep": SHARE, "method": str}},
    "evaluation": {"faces": int, "accuracy": SHARE, "scores": (SCORE,), "verdict": str},
}
FILTERS = PROVENANCE | {
    **dict.fromkeys(("layer", "split", "receptive_field"), str),
    **dict.fromkeys(("faces", "filters", "dead", "climbed", "ascent_above_best_face"), int),
    **dict.fromkeys(("ascent_median", "best_face_median", "untrained_median"), float),
}
SPLITS = ("PublicTest", "validation", "Test", "PrivateTest", "all")  # the first is reported
DEFAULT = "fast"  # the run of train_cnn.py without a name
HISTORY = ("epoch", "accuracy", "val_accuracy", "cpu_seconds")
SHARES = {"accuracy", "val_accuracy", "macro_f1"}  # in tables


class Run(NamedTuple):
    """What a training run wrote."""

    name: str
    record: dict
    history: pd.DataFrame  # one row per epoch
    layers: str  # a Markdown table

    @property
    def network(self) -> str:
        """The network of a CNN; "" for the DNN."""
        arguments = self.record["arguments"]
        network = arguments.get("network", arguments.get("net")) or ""
        return {"report": "homework", "compact": "residual"}.get(network, network)  # old records

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.record.get("classes", CLASSES))  # of FER2013 in older records

    @property
    def augmentation(self) -> str:
        return "with" if self.record["arguments"].get("augment") else "without"


class Analysis(NamedTuple):
    """What an analysis of one model wrote: a record, and beside it tables and figures."""

    record: dict
    path: Path  # of the record, without ".json"

    def beside(self, ending: str) -> Path:
        return self.path.with_name(self.path.name + ending)


@dataclass(frozen=True)
class Records:
    """Where the records of one kind of faces are, and how the missing ones are made."""

    models: Path
    figures: Path
    output: Path  # the report itself
    synthetic: bool
    faces: Faces | None  # that the runs should be of; None without --data
    classes: tuple[str, ...]  # of the runs
    flags: str  # of a command that reads these faces and writes to these folders
    runs: dict[str, Run]
    subjects: tuple[str, ...]  # folders in `figures` of the models that P3 to P5 are about
    left_out: tuple[str, ...] = ()  # runs of other classes

    @property
    def beside_homework(self) -> bool:
        """Whether the homework's numbers are of such faces."""
        return not self.synthetic and self.classes == CLASSES

    def missing(self, what: str, command: str) -> Missing:
        return Missing(what, f"python {command} {self.flags}".strip())

    def picture(self, path: Path, caption: str) -> str:
        return picture(path, caption, self.output.parent)

    def analyses(self, subject: str, ending: str, shape: dict, key: str) -> list[Analysis]:
        """A model's records of one kind: PublicTest's first, those of unusual settings last.

        key: what all of them have; a record of a single picture, of the same ending, does not.
        """
        if subject in self.left_out:
            return []
        names = [f"{split}_{ending}.json" for split in SPLITS]
        paths = sorted((self.figures / subject).glob(f"*_{ending}*.json"))
        paths.sort(key=lambda path: names.index(path.name) if path.name in names else len(names))
        return [
            Analysis(read_json(path, shape), path.with_suffix(""))
            for path in paths
            if key in read_json(path, {})
        ]

    def missing_analysis(self, what: str, script: str, subject: str) -> Missing | str:
        """The call of a script for the model whose results are in the folder `subject`.

        "" for a model that is neither a run nor shipped: its file is anywhere.
        """
        run, shipped = self.runs.get(subject), subject.endswith("-published")
        if run is None and not shipped and subject != DEFAULT:
            return ""
        model = subject if run or not shipped else f"models/published/{subject[:-10]}.keras"
        command = f"{script} --model {shlex.quote(model)}"
        if run and self.faces is None and run.record["arguments"].get("data"):
            command += f" --data {shlex.quote(run.record['arguments']['data'])}"
        split = self.split_for(run, shipped)
        command += "" if split == "validation" else f" --split {split}"
        return self.missing(f"{what} of `{subject}`", command)

    def split_for(self, run: Run | None, shipped: bool) -> str:
        """Rows of the data that the model can be evaluated on: PublicTest, where there is one."""
        if self.faces is None or (run and run.record["data"]["sha256"] == self.faces.sha256):
            public = shipped if run is None else "public_test_accuracy" in run.record["metrics"]
            return "PublicTest" if public else "validation"
        tests = [usage for usage in USAGES[1:] if len(rows_of_usage(self.faces, usage))]
        if run or shipped:  # trained on other data
            return next(iter(tests), "all")
        return "PublicTest" if "PublicTest" in tests else "validation"


def read_runs(folder: Path) -> dict[str, Run]:
    """All training runs in a folder by name. Raises InputError for a damaged record."""
    runs = {}
    for path in sorted(folder.glob("*.csv")):
        record, layers = path.with_suffix(".json"), path.with_suffix(".txt")
        if record.exists() and layers.exists():  # tries.csv is no run's
            read = read_json(record, RUN), read_table(path, HISTORY), read_text(layers)
            runs[path.stem] = Run(path.stem, *read)
            read_json(record, CNN if runs[path.stem].network else {})
    return runs


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
    """The CSV at `path`; `numbers`, or without them all, are columns of finite numbers from 0 on.

    rows: their number, if that is fixed.

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
