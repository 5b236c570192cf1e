"""The homework's DNN layer by layer, and its comparison with a CNN."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import train_cnn
import train_dnn
import utils
from toolbox import files
from toolbox.files import InputError
from toolbox.reporting import p1_cnn
from toolbox.training import run_records

# From the homework: layer, output shape, parameters.
DNN = """
flatten_1 2304 0
dense_1 1024 2360320
p_re_lu_1 1024 1024
dropout_1 1024 0
dense_2 1024 1049600
p_re_lu_2 1024 1024
dropout_2 1024 0
dense_3 1024 1049600
p_re_lu_3 1024 1024
dropout_3 1024 0
dense_4 7 7175
activation_1 7 0
"""


def small_args(data: Path, folder: Path, **changes) -> train_dnn.Args:
    args = train_dnn.Args(data=data, width=16, batch_size=32, epochs=2)
    return replace(args, models_dir=folder / "models", figures_dir=folder / "figures", **changes)


def train_a_cnn(data: Path, folder: Path, **changes) -> dict:
    args = train_cnn.Args(data=data, width=4, batch_size=32, epochs=2, name="fast")
    return train_cnn.main(
        replace(args, models_dir=folder / "models", figures_dir=folder / "figures", **changes)
    )


def test_layer_table_is_the_homeworks_row_by_row():
    model = train_dnn.build_dnn(1024, 0.5)
    written = run_records.layer_table(model)
    lines = [line.strip("| ").split(" | ") for line in written.splitlines()[3:-2]]
    rows = [
        f"{name.split()[0]} {shape.replace(' ', '')} {params.replace(',', '')}"
        for name, shape, params in lines
    ]
    assert rows == DNN.strip().splitlines()
    assert "Total 4,469,767 parameters, 4,469,767 of them trainable." in written


def test_comparison_with_a_recorded_cnn(faces_csv, tmp_path, capsys):
    args = small_args(faces_csv, tmp_path)
    with pytest.raises(InputError, match=r"fast\.json does not exist; train fast first"):
        train_dnn.main(replace(args, cnn="fast"))
    train_dnn.main(args)
    assert "No CNN to compare with yet" in capsys.readouterr().out
    record = train_a_cnn(faces_csv, tmp_path)
    train_dnn.main(replace(args, compare_only=True))
    path = tmp_path / "figures" / "dnn" / "versus_fast.png"
    assert path.stat().st_size > 10_000
    table = pd.read_csv(path.with_suffix(".csv"))
    for name in ("fast", "dnn"):
        rows = table[table["model"] == name].drop(columns="model").reset_index(drop=True)
        recorded = pd.read_csv(tmp_path / "models" / f"{name}.csv")
        pd.testing.assert_frame_equal(rows, recorded)
    with pytest.raises(InputError, match="is this run itself"):
        train_dnn.main(replace(args, cnn="dnn"))
    cnn, dnn = (run_records.read_run(tmp_path / "models", name)[1] for name in ("fast", "dnn"))
    title = train_dnn.title_of({"fast": cnn, "dnn": dnn})
    best = 100 * record["metrics"]["validation_accuracy"]
    assert f"fast {best:.1f} %" in title and "Not the same" not in title
    assert "The homework compared another CNN: homework_no_augment" in title
    assert "another CNN" not in train_dnn.title_of({"homework_no_augment": cnn, "dnn": dnn})
    cnn["split"]["validation_sha256"] = "of other faces"
    assert "Not the same validation faces" in train_dnn.title_of({"fast": cnn, "dnn": dnn})
    size = f"{record['parameters']:,} parameters"
    assert train_dnn.describe("fast", cnn) == f"fast: {size}, 2 epochs, with augmentation"
    assert train_dnn.describe("dnn", dnn).endswith("2 epochs, without augmentation")


def test_the_homeworks_own_cnn_is_taken_first(faces_csv, tmp_path):
    train_a_cnn(faces_csv, tmp_path, epochs=1)
    models = tmp_path / "models"
    for name in ("homework", "homework_no_augment"):
        assert train_dnn.find_cnn(models, "") != name
        for ending in (".json", ".csv"):
            (models / f"{name}{ending}").write_bytes((models / f"fast{ending}").read_bytes())
        assert train_dnn.find_cnn(models, "") == name
        assert train_dnn.find_cnn(models, "fast") == "fast"


def test_a_damaged_record_of_the_cnn_shows_before_training(faces_csv, tmp_path):
    train_a_cnn(faces_csv, tmp_path, epochs=1)
    (tmp_path / "models" / "fast.json").write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        train_dnn.main(small_args(faces_csv, tmp_path))
    assert not (tmp_path / "models" / "dnn.keras").exists()


def test_a_damaged_record_of_the_dnn_ends_a_comparison_in_one_line(faces_csv, tmp_path):
    args = small_args(faces_csv, tmp_path, compare_only=True)
    with pytest.raises(InputError, match=r"dnn\.json does not exist; train dnn first"):
        train_dnn.main(args)
    path = tmp_path / "models" / "dnn.json"
    utils.write_text(path, json.dumps([1]))
    utils.write_text(path.with_suffix(".csv"), "epoch\n1\n")
    with pytest.raises(InputError, match="is damaged") as caught:
        train_dnn.main(args)
    assert "\n" not in str(caught.value)


def test_names_with_dollar_signs_are_drawn_as_they_are(tmp_path):
    columns = ("accuracy", "loss", "val_accuracy", "val_loss", "seconds")
    history = pd.DataFrame({"epoch": [1, 2]} | {name: [0.5, 0.6] for name in columns})
    names = [r"$\frac{$", "a$^$"]
    figure = train_dnn.plot_comparison(dict.fromkeys(names, history), names, " ".join(names))
    files.save_figure(figure, tmp_path / "figure.png")
    figure = p1_cnn.plot_accuracy_by_time(
        {name: history.assign(cpu_seconds=1.0) for name in names}, synthetic=True
    )
    files.save_figure(figure, tmp_path / "figure.png")


@pytest.mark.parametrize("name", ["", "a/b", "..", ".a", "a\nb", "a\x1b", "\udcff", "a" * 201])
def test_what_cannot_be_the_name_of_files_is_refused_before_training(name, tmp_path):
    with pytest.raises(InputError, match="--name") as caught:
        train_dnn.main(small_args(tmp_path / "absent.csv", tmp_path, name=name))
    assert str(caught.value).isprintable()
