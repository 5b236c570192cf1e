"""What README.md says is what the records say, and the commands that it names exist."""

import json
import re

import pandas as pd
import pytest
from conftest import ROOT

import utils

README = (ROOT / "README.md").read_text()
ROWS = re.findall(
    r"^\| `(\w+)` \| `(python [^`]+)` \| (\d+) \| ([\d.]+) % \| ([\d.]+) % \| ([\d.]+) \|$",
    README,
    re.MULTILINE,
)


def test_results_are_found():
    assert len(ROWS) >= 4


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_results_are_those_of_the_records(row):
    name, command, epochs, validation, public_test, minutes = row
    record = json.loads((ROOT / "models" / f"{name}.json").read_text())
    metrics = record["metrics"]
    assert record["command"] == command
    assert record["epochs"] == int(epochs)
    assert f"{metrics['validation_accuracy'] * 100:.1f}" == validation
    assert f"{metrics['public_test_accuracy'] * 100:.1f}" == public_test
    assert f"{record['minutes']:.1f}" == minutes
    assert not record["data"]["drawn"]


def test_what_is_said_of_the_matrix_is_in_its_record():
    path = ROOT / "figures" / "compact_PublicTest_confusion.json"
    record = json.loads(path.read_text())
    said = re.search(r"PublicTest's faces (\d+) also.*?right on\s+([\d.]+) %", README, re.DOTALL)
    assert int(said[1]) == record["faces_seen_in_training"]
    assert said[2] == f"{record['without_seen']['accuracy'] * 100:.1f}"
    assert any(line.startswith("Disgust is taken for Angry") for line in record["observations"])


CARD = (ROOT / "models" / "README.md").read_text()


def per_cent(ratio: float) -> str:
    return f"{ratio * 100:.1f} %"


def test_the_card_is_of_the_model_that_is_shipped():
    record = json.loads((ROOT / "models" / "compact.json").read_text())
    assert record["model_sha256"] == utils.sha256_of_file(ROOT / "models" / "compact.keras")
    assert record["model_sha256"][:12] in CARD
    assert f"{record['parameters']:,} parameters" in CARD
    assert f"{record['split']['training_rows']:,} training faces" in CARD
    assert f"epoch {record['best_epoch']} of {record['epochs']}" in CARD
    assert (ROOT / "models" / "compact.keras").stat().st_size < 8e6
    assert record["parameters"] <= 2_000_000


def test_the_card_says_what_the_judgement_says():
    path = ROOT / "figures" / "compact_PublicTest_confusion.json"
    record = json.loads(path.read_text())
    assert record["faces_seen_in_training"] == 0 and "without_seen" not in record
    for name, part in (
        ("plain", record),
        ("18 views", record["test_time_augmentation"]),
    ):
        low, high = part["accuracy_interval"]
        bounds = f"[{low * 100:.1f}, {high * 100:.1f}]"
        row = f"| {name} | {per_cent(part['accuracy'])} {bounds} | {part['macro_f1']:.3f} | {per_cent(part['balanced_accuracy'])} |"
        assert row in CARD
    assert record["test_time_augmentation"]["views"] == 18
    for name, part in record["classes"].items():
        row = f"| {name} | {part['precision']:.2f} | {part['recall']:.2f} | {part['f1-score']:.2f} | {part['support']:.0f} |"
        assert row in CARD


def test_the_tries_are_those_of_the_table():
    tries = pd.read_csv(ROOT / "models" / "tries.csv")
    rows = [
        line.strip("| ").split(" | ")
        for line in CARD.split("## Every serious try")[1].splitlines()
        if line.startswith("| ")
    ]
    found = {row[0]: row[2:6] for row in rows[1:]}
    assert set(found) == set(tries["what"])
    for what, (seeds, mean, seconds, validation) in found.items():
        runs = tries[tries["what"] == what]
        assert seeds == ", ".join(map(str, sorted(runs["seed"])))
        accuracies = runs["public_test_accuracy"] * 100
        spread = f" ± {accuracies.std(ddof=1):.1f}" if len(runs) > 1 else ""
        assert mean == f"{accuracies.mean():.1f}{spread}"
        cpu = (runs["cpu_seconds_per_1000_images"] * runs["epochs"]).mean()
        assert seconds == f"{cpu:.1f}"
        assert validation == f"{runs['validation_accuracy'].mean() * 100:.1f}"


def test_named_files_exist():
    for folder, text in ((ROOT, README), (ROOT / "models", CARD)):
        for path in re.findall(r"\]\((?!http)([^)]+)\)", text):
            assert (folder / path).exists(), path
    for script in re.findall(r"python (\w+\.py)", README):
        assert (ROOT / script).exists(), script
