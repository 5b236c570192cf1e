"""What the NAME.json beside a model says: what it was trained on, how it is fed and read."""

import json
from pathlib import Path

from toolbox import files
from toolbox.dataset.faces import CLASSES

PIXEL_RANGE = (0.0, 255.0)  # the range of a CSV's pixels


def read_record(path: Path) -> tuple[dict | None, str]:
    """What NAME.json says of the model at `path`, and "", or None and why it says nothing."""
    beside = path.with_suffix(".json")
    record = read_json(beside)
    if record is None and not beside.is_file():
        return None, f"there is no {beside.name} beside the model"
    try:
        if "model_sha256" not in record and {"input_range", "classes"} & set(record):
            return None, f"{beside.name} does not say what the model was trained on"
        needed = {"validation_rows", "validation_sha256", "training_sha256"}
        if (
            not needed <= record["split"].keys()
            or not {"synthetic", "drawn"} & record["data"].keys()
        ):
            raise KeyError
    except (AttributeError, LookupError, TypeError):
        return None, f"{beside.name} is damaged, or of an older version"
    if record.get("model_sha256") != files.sha256_of_file(path):
        return None, f"{beside.name} is the record of another {path.name}"
    return record, ""


def read_json(path: Path) -> dict | None:
    """The object in a JSON file; None if there is none, or one with NaN, which JSON forbids."""

    def refuse(constant: str):
        raise ValueError(constant)

    try:
        if path.is_file():
            content = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
            return content if isinstance(content, dict) else None
    except (OSError, ValueError, RecursionError):
        pass
    return None


def described(path: Path, record: dict | None) -> dict:
    """`input_range` and `classes` of a model, as far as NAME.json tells; ours take 0..255."""
    told = record or read_json(path.with_suffix(".json")) or {}
    if record is None and "model_sha256" in told:
        return {}  # the record of another model
    ours = {"input_range": PIXEL_RANGE, "classes": CLASSES} if record else {}
    return ours | {key: told[key] for key in ("input_range", "classes") if key in told}
