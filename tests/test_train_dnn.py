"""The homework's DNN layer by layer, and its comparison with a CNN."""

from dataclasses import replace

import pandas as pd
import pytest
from model_makers import RECORD, dnn_args, rows_of, write_run

import train_dnn
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


def test_layer_table_is_the_homeworks_row_by_row():
    model = train_dnn.build_dnn(1024, 0.5)
    written = run_records.layer_table(model)
    assert rows_of(written)[1:] == DNN.strip().splitlines()  # the first, rescaling, is ours
    assert "Total 4,469,767 parameters, 4,469,767 of them trainable." in written


def test_comparison_with_a_recorded_cnn(faces_csv, tmp_path, capsys, monkeypatch):
    args = dnn_args(faces_csv, tmp_path)
    with pytest.raises(InputError, match=r"fast\.json does not exist; train fast first"):
        train_dnn.main(replace(args, cnn="fast"))
    train_dnn.main(args)
    assert "No CNN to compare with yet" in capsys.readouterr().out
    write_run(tmp_path / "models", "fast")
    train_dnn.main(replace(args, compare_only=True))
    path = tmp_path / "figures" / "dnn" / "versus_fast.png"
    assert path.exists()
    table = pd.read_csv(path.with_suffix(".csv"))
    for name in ("fast", "dnn"):
        rows = table[table["model"] == name].drop(columns="model").reset_index(drop=True)
        recorded = pd.read_csv(tmp_path / "models" / f"{name}.csv")
        pd.testing.assert_frame_equal(rows, recorded)
    monkeypatch.setattr(train_dnn, "train", None)
    for changes in ({"cnn": "dnn"}, {"name": "fast"}):  # fast is the one to compare with
        with pytest.raises(InputError, match="is this run itself"):
            train_dnn.main(replace(args, **changes))


def test_a_comparison_says_what_it_compares():
    title = train_dnn.title_of({"fast": RECORD, "dnn": RECORD})
    assert "fast 40.0 %" in title and "Not the same" not in title
    assert "The homework compared another CNN: homework_no_augment" in title
    assert "another CNN" not in train_dnn.title_of({"homework_no_augment": RECORD, "dnn": RECORD})
    other = RECORD | {"split": {"validation_sha256": "of other faces"}}
    assert "Not the same validation faces" in train_dnn.title_of({"fast": RECORD, "dnn": other})
    assert train_dnn.describe("fast", RECORD) == "fast: 12 parameters, 3 epochs, with augmentation"
    plain = RECORD | {"arguments": {}}  # the DNN's
    assert train_dnn.describe("dnn", plain).endswith("3 epochs, without augmentation")


def test_the_homeworks_own_cnn_is_taken_first(tmp_path):
    assert train_dnn.find_cnn(tmp_path, "") == ""
    for name in ("fast", "homework", "homework_no_augment"):
        write_run(tmp_path, name)
        assert train_dnn.find_cnn(tmp_path, "") == name
        assert train_dnn.find_cnn(tmp_path, "fast") == "fast"


def test_a_damaged_record_shows_before_training(faces_csv, tmp_path):
    args = dnn_args(faces_csv, tmp_path)
    with pytest.raises(InputError, match=r"dnn\.json does not exist; train dnn first"):
        train_dnn.main(replace(args, compare_only=True))
    write_run(tmp_path / "models", "fast", "{")
    with pytest.raises(InputError, match="is damaged"):
        train_dnn.main(args)
    assert not (tmp_path / "models" / "dnn.keras").exists()


def test_names_with_dollar_signs_are_drawn_as_they_are(tmp_path):
    columns = ("accuracy", "loss", "val_accuracy", "val_loss", "seconds")
    history = pd.DataFrame({"epoch": [1, 2]} | {name: [0.5, 0.6] for name in columns})
    names = [r"$\frac{$", "a$^$"]
    figure = train_dnn.plot_comparison(dict.fromkeys(names, history), names, " ".join(names))
    files.save_figure(figure, tmp_path / "figure.png")
    histories = {name: history.assign(cpu_seconds=1.0) for name in names}
    figure = p1_cnn.plot_accuracy_by_time(histories, synthetic=True, beside_homework=False)
    files.save_figure(figure, tmp_path / "figure.png")


@pytest.mark.parametrize("name", ["", "a/b", "..", "a\nb", "\udcff", "a" * 201])
def test_what_cannot_be_the_name_of_files_is_refused_before_training(name, tmp_path):
    with pytest.raises(InputError, match="--name") as caught:
        train_dnn.main(dnn_args(tmp_path / "absent.csv", tmp_path, name=name))
    assert str(caught.value).isprintable()
