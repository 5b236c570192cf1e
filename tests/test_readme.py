"""What README.md says is what the records say, and the commands that it names exist."""

import json
import re

import pytest
from conftest import ROOT

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


def test_named_files_exist():
    for path in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / path).exists(), path
    for script in re.findall(r"python (\w+\.py)", README):
        assert (ROOT / script).exists(), script
