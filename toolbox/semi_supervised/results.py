"""The table of all runs, made from the records beside it each time."""

import json
from pathlib import Path

import pandas as pd

from toolbox import files
from toolbox.dataset.faces import CLASSES
from toolbox.files import InputError
from toolbox.reporting.markdown import percent
from toolbox.semi_supervised.runs import Run

TABLE = "semi_supervised.csv"
ORDER = ["labels_per_class", "method", "width", "updates", "name", "settings", "seed"]


def add_to_table(run: Run, record: dict) -> None:
    """Write RUN.json to the figures, without row numbers, and the table.

    The table is made from all records each time. If another run finishes meanwhile, its record may
    have been missed: hence the loop, which ends when the table holds what is there.
    """
    split = {k: v for k, v in record["split"].items() if k != "validation_rows"}
    files.write_json(run.figures / f"{run.name}.json", record | {"split": split})
    written = None
    while written != (text := make_table(all_records(run.figures)).to_csv(index=False)):
        files.write_text(run.figures / TABLE, text)
        written = text


def read_records(run: Run) -> list[dict]:
    """All records beside that of `run`. Raises as `all_records`, and InputError for a record of
    other faces whose CSV has the same name.
    """
    records = all_records(run.figures)
    for record in records:
        data, faces = record["data"], run.faces
        if data["file"] == faces.path.name and data["sha256"] != faces.sha256:
            raise InputError(
                f"{run.figures} holds runs on another {faces.path.name}, such as "
                f"{record['run']}.json; move that folder away, or rename this CSV"
            )
    return records


def of_baseline(baseline: Run, records: list[dict]) -> list[dict]:
    """Those that differ from the run of the baseline in method, and settings of its own, alone."""
    common = baseline.configuration.items() - {("method", "baseline")}
    return [record for record in records if common <= record["configuration"].items()]


def all_records(folder: Path) -> list[dict]:
    """All records in a folder of figures, by name.

    Raises InputError for a damaged one, or for a table that is not made from such records.
    """
    records = []
    for path in sorted(folder.glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            make_row(record)
            record["data"]["sha256"], record["pseudo_labels"]["updates"]  # for the figures
        except (ValueError, LookupError, TypeError, AttributeError):
            raise InputError(f"{path} is not the record of a run; move it away") from None
        records.append(record)
    if not records and (folder / TABLE).exists():
        raise InputError(f"{folder / TABLE} is not made from records beside it; move it away")
    return records


def make_table(records: list[dict]) -> pd.DataFrame:
    """One row per run; its file name, `run`, is the key."""
    return pd.DataFrame([make_row(record) for record in records]).sort_values(ORDER)


def make_row(record: dict) -> dict:
    """A record as the table holds it; for all labels with their mean number per class."""
    its, measured, pseudo = record["configuration"], record["metrics"], record["pseudo_labels"]
    start = record.get("start", {})
    classes = record.get("classes", CLASSES)  # of FER2013 in older records
    return {
        "name": record["name"],
        "settings": record["settings"],
        "method": its["method"],
        "labels_per_class": its.get("labels_per_class") or round(record["labelled"] / len(classes)),
        "seed": its["seed"],
        "width": its["width"],
        "updates": its["updates"],
        "accuracy": round(measured["accuracy"], 4),
        "macro_f1": round(measured["macro_f1"], 4),
        "minutes": record["minutes"],
        "start": start.get("run"),
        "start_minutes": start.get("minutes"),
        "coverage": pseudo["coverage"][-1] if pseudo["coverage"] else None,
        "precision": pseudo["precision"][-1] if pseudo["precision"] else None,
        "data": record["data"]["file"],
        "synthetic": record["data"]["synthetic"],
        "evaluated_on": measured["faces"],
        **{f"f1_{name}": value for name, value in zip(classes, measured["f1"], strict=True)},
        "run": record["run"],
        "git": record["git"],
        "command": record["command"],
    }


def format_results(records: dict[str, dict]) -> str:
    """A table of accuracy, gain over the baseline, macro-F1, coverage, precision and minutes."""
    lines = [f"{'':14} accuracy  gain, points  macro-F1  coverage  precision  minutes"]
    for method, record in records.items():
        row, baseline = make_row(record), records["baseline"]["metrics"]["accuracy"]
        gain = 100 * (record["metrics"]["accuracy"] - baseline)
        pseudo = ["" if row[n] is None else percent(row[n]) for n in ("coverage", "precision")]
        lines.append(
            f"{method:14} {percent(row['accuracy']):>8}  {gain:+12.1f}  {row['macro_f1']:8.3f}  "
            f"{pseudo[0]:>8}  {pseudo[1]:>9}  {row['minutes']:7.1f}"
        )
    return "\n".join(lines)
