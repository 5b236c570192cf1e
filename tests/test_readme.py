"""The documents name commands, flags, files and numbers that exist. How they say it is free.

No script is imported: its flags are the fields of its `Args`, read from the source.
"""

import json
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, flags

PUBLISHED = ROOT / "models" / "published"
FOLDERS = (".", "docs", "benchmarks", "data", "models/published")
# REPORT.md is not among them: report.py writes it, and its commands may be older than the flags.
DOCUMENTS = [p for f in FOLDERS for p in sorted((ROOT / f).glob("*.md")) if p.name != "REPORT.md"]
# A script and its arguments, up to where the sentence or the shell goes on.
COMMAND = re.compile(r"python3? ((?:benchmarks/)?\w+\.py)((?: +[^\s`&|;#]+)*)")
every_document = pytest.mark.parametrize(
    "path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def record_of(name: str) -> dict:
    return json.loads(read(PUBLISHED / f"{name}.json"))


def commands(text: str) -> list[tuple[str, list[str]]]:
    """The scripts that stand in the text's code, each with its arguments."""
    code = re.findall(r"```sh\n(.*?)```", text, re.DOTALL) + re.findall(r"`([^`\n]+)`", text)
    return [(call[1], shlex.split(call[2])) for part in code for call in COMMAND.finditer(part)]


def tables(text: str) -> list[list[dict[str, str]]]:
    """All Markdown tables, as one dictionary per row from the header's cells; code marks removed."""
    found = []
    for block in re.findall(r"(?:^\|.*\|\n)+", text + "\n", re.MULTILINE):
        rows = [
            [cell.strip().strip("`*") for cell in line.strip("|").split("|")]
            for line in block.splitlines()
        ]
        found.append([dict(zip(rows[0], row, strict=False)) for row in rows[2:]])
    return found


def percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"


@every_document
def test_commands_and_their_flags_exist(path):
    text = read(path)
    for recorded in PUBLISHED.glob("*.json"):  # a run's own command may be older than the flags
        text = text.replace(f"`{record_of(recorded.stem)['command']}`", "")
    for script, arguments in commands(text):
        source = read(ROOT / script)
        named = {a.split("=")[0] for a in arguments if re.match(r"--?[a-z]", a)}
        assert named <= flags(source), (script, named - flags(source))
        if script == "train_cnn.py" and arguments and not arguments[0].startswith("-"):
            assert f'"{arguments[0]}"' in source, arguments  # a recipe


@every_document
def test_links_and_pictures_exist(path):
    text = read(path)
    for link in re.findall(r"\]\(<?(?!https?:)([^)>]+)>?\)|src=\"([^\"]+)\"", text):
        file, _, section = "".join(link).partition("#")
        assert (path.parent / file).exists(), link
        if section:
            titles = re.findall(
                r"^#+ (.+)$", read(path.parent / file if file else path), re.MULTILINE
            )
            assert section in [re.sub(r"[^\w -]", "", t).lower().replace(" ", "-") for t in titles]


def test_results_are_those_of_the_records():
    """Any table whose rows begin with the name of a published run."""
    columns = {
        "command": lambda record: re.sub(r" --(models|figures)-dir \S+", "", record["command"]),
        "epochs": lambda record: str(record["epochs"]),
        "parameters": lambda record: f"{record['parameters']:,}",
        "validation": lambda record: percent(record["metrics"]["validation_accuracy"]),
        "PublicTest": lambda record: percent(record["metrics"]["public_test_accuracy"]),
        "minutes": lambda record: f"{record['minutes']:.1f}",
    }
    checked = set()
    for row in [row for path in DOCUMENTS for table in tables(read(path)) for row in table]:
        name = row.get("model", "")
        if (PUBLISHED / f"{name}.json").exists():
            record = record_of(name)
            assert not record["data"].get("synthetic", record["data"].get("drawn"))
            said = {column: cell for column, cell in row.items() if column in columns}
            assert said == {column: columns[column](record) for column in said}, name
            checked.add(name)
    assert {"fast", "compact", "dnn"} <= checked


def test_the_card_is_of_the_model_that_is_shipped():
    card, record = read(PUBLISHED / "README.md"), record_of("compact")
    assert record["model_sha256"][:12] in card
    assert f"{record['parameters']:,} parameters" in card
    assert record["parameters"] <= 2_000_000
    assert (PUBLISHED / "compact.keras").stat().st_size < 8e6


def test_the_cards_tables_are_those_of_its_records():
    record = json.loads(read(ROOT / "figures/published/compact/PublicTest_confusion.json"))
    checked = []
    for row in [row for table in tables(read(PUBLISHED / "README.md")) for row in table]:
        if row.get("") in record["classes"]:
            part = record["classes"][row[""]]
            keys = {"precision": "precision", "recall": "recall", "F1": "f1-score"}
            assert {name: row[name] for name in keys} == {
                name: f"{part[key]:.2f}" for name, key in keys.items()
            }
            assert row["faces"] == f"{part['support']:.0f}"
            checked.append(row[""])
        elif row.get("") == "plain":
            low, high = record["accuracy_interval"]
            assert (
                row["accuracy"]
                == f"{percent(record['accuracy'])} [{100 * low:.1f}, {100 * high:.1f}]"
            )
            assert row["macro-F1"] == f"{record['macro_f1']:.3f}"
            checked.append("plain")
    assert sorted(checked) == sorted(["plain", *record["classes"]])


def test_the_tries_are_those_of_the_table():
    tries = pd.read_csv(PUBLISHED / "tries.csv")
    rows = [row for table in tables(read(ROOT / "docs" / "tries.md")) for row in table]
    assert {row["try"] for row in rows} == set(tries["what"])
    for row in rows:
        runs = tries[tries["what"] == row["try"]]
        accuracies = 100 * runs["public_test_accuracy"]
        spread = f" ± {accuracies.std(ddof=1):.1f}" if len(runs) > 1 else ""
        cpu = (runs["cpu_seconds_per_1000_images"] * runs["epochs"]).mean()
        assert row["seeds"] == ", ".join(map(str, sorted(runs["seed"])))
        assert row["PublicTest, %"] == f"{accuracies.mean():.1f}{spread}"
        assert row["CPU s"] == ("" if pd.isna(cpu) else f"{cpu:.1f}")  # none on a GPU
        assert row["validation, %"] == f"{100 * runs['validation_accuracy'].mean():.1f}"
