"""Read and check the records of one kind of faces.

Training runs are read at once, the records of an analysis when its part is written. What is absent
is None or not in the dictionary. What is damaged raises InputError with the file's name.
"""

import shlex
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from toolbox.dataset.faces import CLASSES, Faces
from toolbox.dataset.splits import other_split, rows_of_usage
from toolbox.reporting.checked_files import AMOUNT, SHARE, read_json, read_table, read_text
from toolbox.reporting.markdown import Missing, picture

PROVENANCE = {
    **{"command": str, "machine": str, "arguments": dict},
    "data": {"file": str, "sha256": str, "rows": int},
}
RUN = PROVENANCE | {
    "arguments": {
        **{"validation_fraction": SHARE, "network?": str, "net?": str, "augment?": bool},
        "data?": str,
    },
    **{"versions": {"tensorflow": str, "keras": str}, "classes?": [str], "device?": str},
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
        **dict.fromkeys(("learning_rate", "label_smoothing", "dropout?"), float),
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
    def keeps_last(self) -> bool:
        """Whether the last epoch was saved, rather than the best one."""
        return self.record["arguments"].get("keep") == "last"

    @property
    def on_cpu(self) -> bool:
        """Whether no epoch was computed on a GPU; older records do not say, and were on none."""
        return self.record.get("device", "CPU") == "CPU"

    @property
    def machine(self) -> str:
        """What computed the run, its GPU included."""
        return self.record["machine"] + ("" if self.on_cpu else f", {self.record['device']}")

    @property
    def engine(self) -> str:
        versions = self.record["versions"]
        engine = "JAX {jax}" if "jax" in versions else "TensorFlow {tensorflow}"
        return f"{engine}, Keras {{keras}}".format(**versions)

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

    def missing_run(self, what: str, script: str, name: str) -> Missing:
        """The call of a training script that without --name trains the run `name`."""
        free = free_name(name, self.left_out, self.classes)
        return self.missing(what, script if free == name else f"{script} --name {free}")

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
        default = free_name(DEFAULT, self.left_out, self.classes)
        if run is None and not shipped and subject != default:
            return ""
        model = (
            subject
            if run or not shipped
            else f"models/published/{subject.removesuffix('-published')}.keras"
        )
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
        if run or shipped:  # trained on other data
            return other_split(self.faces)
        return "PublicTest" if len(rows_of_usage(self.faces, "PublicTest")) else "validation"


def free_name(name: str, left_out: Collection[str], classes: Collection[str]) -> str:
    """`name`, or another one if that is a run of other classes, which must not be overwritten."""
    return f"{name}_{len(classes)}_classes" if name in left_out else name


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
