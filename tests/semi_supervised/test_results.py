"""The table is made from all records, and nothing in it is lost."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from small_task import FACES, make_record, make_run

from toolbox import files
from toolbox.files import InputError
from toolbox.semi_supervised import results
from toolbox.semi_supervised.runs import Run


def read_table(run: Run) -> pd.DataFrame:
    return pd.read_csv(run.figures / "semi_supervised.csv")


def test_rows_differ_in_any_setting_and_no_run_replaces_another(tmp_path):
    every = [
        make_run(tmp_path),
        make_run(tmp_path, "fixmatch", temperature=0.0),
        make_run(tmp_path, "fixmatch", "_temperature0.5", temperature=0.5),
        make_run(tmp_path, width=16),
        make_run(tmp_path, seed=4),
    ]
    for run in every:
        results.add_to_table(run, make_record(run))
    table = read_table(every[0])
    assert sorted(table["run"]) == sorted(run.name for run in every) and len(set(table["run"])) == 5
    results.add_to_table(every[0], make_record(every[0], accuracy=0.75))  # the same run again
    table = read_table(every[0]).set_index("run")
    assert len(table) == 5 and table.loc[every[0].name, "accuracy"] == 0.75
    assert {path.stem for path in every[0].figures.glob("*.json")} == set(table.index)
    record = json.loads((every[0].figures / f"{every[0].name}.json").read_text())
    assert "validation_rows" not in record["split"]
    row = table.loc[every[2].name]
    assert row[["method", "settings", "coverage", "precision"]].tolist() == [
        *("fixmatch", "temperature0.5", 0.5, 0.8)
    ]


def test_a_run_that_finishes_at_the_same_time_is_in_the_table(tmp_path, monkeypatch):
    first, second = make_run(tmp_path), make_run(tmp_path, seed=4)
    write_text, late = files.write_text, [second]

    def meanwhile(path: Path, text: str) -> None:
        if path.suffix == ".csv" and late:  # after `first` read the records
            other = late.pop()
            record = json.dumps(make_record(other))
            (other.figures / f"{other.name}.json").write_text(record)
        write_text(path, text)

    monkeypatch.setattr(files, "write_text", meanwhile)
    results.add_to_table(first, make_record(first))
    assert set(read_table(first)["seed"]) == {3, 4}


def test_other_faces_of_the_same_name_are_not_mixed_in(tmp_path):
    run = make_run(tmp_path)
    results.add_to_table(run, make_record(run))
    other = FACES._replace(sha256="def")
    assert len(results.read_records(run)) == 1
    with pytest.raises(
        InputError, match=r"holds runs on another fer2013\.csv, such as baseline_2_"
    ):
        results.read_records(replace(run, faces=other))
    assert len(results.read_records(replace(run, faces=other._replace(path=Path("ck.csv"))))) == 1


def test_records_of_the_same_baseline(tmp_path):
    baseline = make_run(tmp_path)
    alike = [
        baseline,
        make_run(tmp_path, "fixmatch", wu=3.0),
        make_run(tmp_path, "fixmatch", "_wu1.0", wu=1.0),
    ]
    others = [make_run(tmp_path, "fixmatch", updates=50), make_run(tmp_path, seed=4)]
    records = [make_record(run) for run in (*alike, *others)]
    assert results.of_baseline(baseline, records) == records[:3]


@pytest.mark.parametrize("content", ["{", "[]", '{"metrics": 1}', '{"methods": {}}'])
def test_a_damaged_record_is_refused(content, tmp_path):
    run = make_run(tmp_path)
    run.figures.mkdir(parents=True)
    (run.figures / "a.json").write_text(content)
    with pytest.raises(InputError, match=r"a\.json is not the record of a run; move it away"):
        results.read_records(run)


def test_a_table_without_records_is_not_replaced(tmp_path):
    run = make_run(tmp_path)
    run.figures.mkdir(parents=True)
    (run.figures / "semi_supervised.csv").write_text("name,method\nsemi,baseline\n")
    with pytest.raises(InputError, match="is not made from records beside it; move it away"):
        results.read_records(run)
