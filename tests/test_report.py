"""REPORT.md says what the records say, and what is missing from it."""

import json
import shutil
from dataclasses import replace

import pandas as pd
import pytest
from conftest import ROOT

import report


@pytest.fixture
def copies(tmp_path):
    """Arguments for a report from copies of the committed records."""
    for name in ("models", "figures"):
        shutil.copytree(
            ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.keras", "sample", ".*")
        )
    return report.Args(None, tmp_path / "models", tmp_path / "figures", tmp_path / "REPORT.md")


def test_the_committed_report_is_that_of_the_committed_records(copies):
    assert report.main(copies) == (ROOT / "REPORT.md").read_text(encoding="utf-8")


def test_numbers_come_from_the_records(copies):
    path = copies.models_dir / "compact.json"
    record = json.loads(path.read_text())
    record["metrics"]["public_test_accuracy"] = 0.4321
    path.write_text(json.dumps(record))
    path = copies.figures_dir / "compact_PublicTest_confusion.json"
    record = json.loads(path.read_text())
    record["classes"]["Fear"]["recall"] = 0.9876
    path.write_text(json.dumps(record))
    text = report.main(copies)
    assert "43.2 %" in text
    assert "0.34 / **0.99**" in text


@pytest.mark.parametrize(
    ("folder", "name", "line"),
    [
        ("models", "report.json", "`report.json` is not there yet: `python train_cnn.py report`"),
        ("models", "dnn.csv", "`dnn.csv` is not there yet: `python train_dnn.py` makes it"),
        (
            "figures",
            "compact_PublicTest_confusion.json",
            "`python confusion_matrix.py --model models/compact.keras --split PublicTest` makes it",
        ),
        ("figures", "cnn_vs_dnn.png", "`cnn_vs_dnn.png` is not there yet"),
        ("figures", "semi_supervised.csv", "`python semi_supervised.py` makes it"),
    ],
)
def test_what_is_missing_leaves_a_line(folder, name, line, copies, tmp_path):
    assert line not in report.main(copies)
    (tmp_path / folder / name).unlink()
    text = report.main(copies)
    assert line in text
    for part in ("P1", "P2", "P3", "P4", "P5", "Bonus"):
        assert f"## {part}" in text


def test_without_any_record_each_part_says_how_to_make_it(tmp_path):
    text = report.main(report.Args(None, tmp_path / "m", tmp_path / "f", tmp_path / "R.md"))
    assert text.count("is not there yet") >= 10
    assert (tmp_path / "R.md").read_text() == text
    assert not (tmp_path / "f").exists()


def test_gains_are_of_the_same_seeds(tmp_path):
    """By hand: FixMatch gains 4 and 6 points on seeds 0 and 1; the baseline has a third seed."""
    rows = [
        ("baseline", 25, 0, 0.40),
        ("baseline", 25, 1, 0.50),
        ("baseline", 25, 2, 0.10),
        ("fixmatch", 25, 0, 0.44),
        ("fixmatch", 25, 1, 0.56),
    ]
    table = pd.DataFrame(rows, columns=["method", "labels_per_class", "seed", "accuracy"])
    table["macro_f1"], table["minutes"], table["updates"], table["width"] = 0.3, 1.0, 3000, 16
    table["name"] = "semi"
    longer = table[table["seed"] == 0].assign(updates=9000, width=24)
    longer.loc[longer["method"] == "fixmatch", "accuracy"] = 0.51
    table = pd.concat([table, longer])
    (tmp_path / "f").mkdir()
    table.to_csv(tmp_path / "f" / "semi_supervised.csv", index=False)
    text = report.main(report.Args(None, tmp_path / "m", tmp_path / "f", tmp_path / "R.md"))
    assert "| fixmatch | `semi` | 16 | 3,000 | 0, 1 | 50.0 ± 8.5 | 0.300 | 1.0 | +5.0 |" in text
    assert "| fixmatch | `semi` | 24 | 9,000 | 0 | 51.0 | 0.300 | 1.0 | +11.0 |" in text
    said = "With 25 labels a class, points over the labelled faces alone after "
    assert said + "3,000 updates of a net of width 16 (`semi`): fixmatch +5.0." in text
    assert said + "9,000 updates of a net of width 24 (`semi`): fixmatch +11.0." in text


def test_damaged_record_is_one_line(copies):
    (copies.models_dir / "dnn.json").write_text("{")
    with pytest.raises(report.InputError, match="damaged"):
        report.main(copies)


def test_records_of_another_file_are_told(copies, faces_csv):
    assert "Of another file" not in report.main(copies)
    text = report.main(replace(copies, data=faces_csv))
    assert "Of another file" in text and "`fast.json`" in text
    path = copies.models_dir / "dnn.json"
    record = json.loads(path.read_text())
    record["data"]["sha256"] = "0" * 64
    path.write_text(json.dumps(record))
    assert "are: `dnn.json`.**" in report.main(copies)


def test_maps_that_were_not_judged_leave_a_line(copies):
    path = copies.figures_dir / "compact_PublicTest_saliency.json"
    record = json.loads(path.read_text())
    del record["judged"]  # as `saliency.py --faces 0` leaves it
    path.write_text(json.dumps(record))
    assert "`compact`'s maps are not judged yet: `python saliency.py" in report.main(copies)
