"""The homework's CNN layer by layer, the recipes, and what a run of train_cnn.py leaves."""

import ast
import json
from dataclasses import fields, replace

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, make_faces
from model_makers import cnn_args, rows_of

import train_cnn
import utils
from toolbox.analysis import held_out
from toolbox.analysis.saved_models import load_classifier
from toolbox.dataset import fer2013_csv, splits
from toolbox.files import InputError, sha256_of_file
from toolbox.training import run_records, whitening

# From the homework: layer, output shape, parameters.
CNN = """
conv2d_1 44,44,64 1664
p_re_lu_1 44,44,64 123904
zero_padding2d_1 48,48,64 0
max_pooling2d_1 22,22,64 0
zero_padding2d_2 24,24,64 0
conv2d_2 22,22,64 36928
p_re_lu_2 22,22,64 30976
zero_padding2d_3 24,24,64 0
conv2d_3 22,22,64 36928
p_re_lu_3 22,22,64 30976
average_pooling2d_1 10,10,64 0
zero_padding2d_4 12,12,64 0
conv2d_4 10,10,128 73856
p_re_lu_4 10,10,128 12800
zero_padding2d_5 12,12,128 0
conv2d_5 10,10,128 147584
p_re_lu_5 10,10,128 12800
zero_padding2d_6 12,12,128 0
average_pooling2d_2 5,5,128 0
flatten_1 3200 0
dense_1 1024 3277824
p_re_lu_6 1024 1024
dropout_1 1024 0
dense_2 1024 1049600
p_re_lu_7 1024 1024
dropout_2 1024 0
dense_3 7 7175
activation_1 7 0
"""
OF_A_RUN = {"data", "distribute", "seed", "models_dir", "figures_dir", "fresh"}  # of no recipe
SOURCE = ast.parse((ROOT / "train_cnn.py").read_text())


def test_layer_table_is_the_homeworks_row_by_row():
    model = train_cnn.build_homework_cnn(0.5)
    written = run_records.layer_table(model)
    assert rows_of(written)[0] == "rescaling 48,48,1 0"  # ours; the others are the homework's
    assert rows_of(written)[1:] == CNN.strip().splitlines()
    assert model.count_params() == 4_845_063
    assert "Total 4,845,063 parameters, 4,845,063 of them trainable." in written
    pooling = model.get_layer("max_pooling2d_1")
    assert (pooling.pool_size, pooling.strides) == ((5, 5), (2, 2))
    assert model.get_layer("conv2d_1").kernel_size == (5, 5)
    assert model.get_layer("dropout_1").rate == 0.5


def test_homework_recipe_is_the_homeworks_procedure():
    args = train_cnn.RECIPES["homework"]
    assert (args.batch_size, args.epochs, args.patience) == (128, 1500, 100)
    assert (args.shift, args.rotation, args.zoom, args.flip) == (0.5, 40, 0.2, True)
    assert args.label_smoothing == 0
    model = train_cnn.compiled(args, 1)
    assert isinstance(model.optimizer, keras.optimizers.Adadelta)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.1)
    assert (model.optimizer.rho, model.optimizer.epsilon) == (0.95, 1e-8)
    assert model.optimizer.weight_decay is None


@pytest.mark.parametrize("recipe", ["compact", "homework"])
def test_a_recipe_states_all_it_uses(recipe):
    """So that editing a default changes no other recipe."""
    calls = [node for node in ast.walk(SOURCE) if isinstance(node, ast.Call)]
    calls = [call for call in calls if ast.unparse(call.func) == "Args"]
    stated = [{word.arg: ast.unparse(word.value) for word in call.keywords} for call in calls]
    [its] = [words for words in stated if words.get("name") == repr(recipe)]
    unused = train_cnn.UNUSED.get(train_cnn.RECIPES[recipe].network, ())
    expected = {field.name for field in fields(train_cnn.Args)} - OF_A_RUN - {*unused}
    assert expected <= its.keys()


def test_the_homeworks_network_and_optimizer_ignore_what_is_of_the_others():
    plain = train_cnn.RECIPES["homework"]
    other = replace(plain, width=7, warmup=0.5)
    built = []
    for args in (plain, other):
        keras.utils.clear_session()  # which counts names from the start
        built.append(train_cnn.compiled(args, 3).to_json())  # with optimizer and loss
    assert built[0] == built[1] and "Adadelta" in built[0]


def test_batch_norms_of_compact_do_not_decay():
    model = train_cnn.compiled(train_cnn.RECIPES["compact"], steps_per_epoch=1)
    model.optimizer.build(model.trainable_variables)
    kept = {v.name for v in model.trainable_variables if not model.optimizer._use_weight_decay(v)}
    assert kept == {"gamma", "beta"}


@pytest.mark.parametrize(
    ("line", "network", "epochs", "augment"),
    [
        ("", "residual", 10, True),
        ("--epochs 3", "residual", 3, True),
        ("fast --no-augment", "residual", 10, False),
        ("compact --seed 1", "vgg", 150, True),
        ("homework", "homework", 1500, True),
        ("homework --no-augment --epochs 100", "homework", 100, False),
    ],
)
def test_recipes_on_the_command_line(line, network, epochs, augment):
    args = train_cnn.parse(line.split())
    assert (args.network, args.epochs, args.augment) == (network, epochs, augment)


def test_a_mistyped_recipe_ends_in_one_line():
    with pytest.raises(SystemExit) as ended:
        utils.run(train_cnn.main, lambda: train_cnn.parse(["compcat", "--epochs", "3"]))
    # A text as code is printed, and the status is 1.
    assert ended.value.code == "error: no recipe compcat; there are fast, compact, homework"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"epochs": 0}, "--epochs is 0"),
        ({"batch_size": 0}, "--batch-size is 0"),
        ({"patience": -1}, "--patience is -1"),
        ({"validation_fraction": -0.1}, "--validation-fraction is -0.1"),
        ({"erase": 1.5}, "--erase is 1.5"),
        ({"width": 0}, "--width is 0"),
        ({"learning_rate": float("nan")}, "--learning-rate is nan"),
        ({"label_smoothing": 2.0}, "--label-smoothing is 2.0"),
        ({"seed": -1}, "--seed is -1"),
        ({"name": "a/b"}, "is not a file name"),
        ({"name": "published"}, "is that of a folder"),
    ],
)
def test_impossible_settings_end_in_one_line(change, expected, faces_csv, tmp_path):
    with pytest.raises(InputError, match=expected):
        train_cnn.main(cnn_args(faces_csv, tmp_path, **change))
    assert not (tmp_path / "models").exists()


def test_what_a_run_leaves(faces_csv, tmp_path):
    record = train_cnn.main(cnn_args(faces_csv, tmp_path, seed=7, name="v1.2"))
    left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    left -= {"faces.csv", "faces.csv.cache"}
    assert left == {f"models/v1.2{end}" for end in (".keras", ".csv", ".txt", ".json")} | {
        f"figures/v1.2/history{end}" for end in (".png", ".csv")
    }
    assert json.loads((tmp_path / "models" / "v1.2.json").read_text()) == record
    assert record["seed"] == record["arguments"]["seed"] == 7
    assert record["data"]["sha256"] == sha256_of_file(faces_csv)
    assert not record["data"]["synthetic"]
    assert record["versions"]["keras"] == keras.__version__
    history = pd.read_csv(tmp_path / "models" / "v1.2.csv")
    assert history["epoch"].tolist() == [1, 2]
    best = history["val_accuracy"] == history["val_accuracy"].max()
    assert record["best_epoch"] == history["val_loss"][best].idxmin() + 1
    # Whoever analyzes the model finds the very rows, and the accuracy that the record claims.
    faces = utils.load_faces(faces_csv)
    training, rows = splits.split(faces, 0.1, 7)
    found = load_classifier(tmp_path / "models" / "v1.2.keras")
    known = held_out.find_rows(faces, found, splits.first_copy(faces.images))
    np.testing.assert_array_equal(known.held_out, rows)
    np.testing.assert_array_equal(np.flatnonzero(known.trained_on), training)
    model = found.model
    for name, where in (
        ("validation", rows),
        ("public_test", splits.rows_of_usage(faces, "PublicTest")),
    ):
        predicted = model.predict(faces.images[where, ..., None], verbose=0).argmax(axis=1)
        accuracy = np.mean(predicted == faces.labels[where])
        assert record["metrics"][f"{name}_accuracy"] == pytest.approx(accuracy, abs=1e-6)
    filters = whitening.whitening_filters(faces.images[training], 4)  # which are not trained
    np.testing.assert_array_equal(model.get_layer("conv_0").kernel, filters)


def test_what_a_run_on_synthetic_faces_without_augmentation_leaves(tmp_path, capsys):
    path = tmp_path / "faces.csv"
    fer2013_csv.write_csv(path, *make_faces(420), ["6+12"] * 420)
    changes = {"name": "fast", "augment": False, "validation_fraction": 0.0, "epochs": 1}
    record = train_cnn.main(cnn_args(path, tmp_path, **changes))
    assert record["arguments"]["name"] == "fast_no_augment"
    assert record["metrics"]["public_test_accuracy"] == record["metrics"]["validation_accuracy"]
    assert "PublicTest" in record["split"]["method"]
    assert record["data"]["synthetic"] and "SYNTHETIC FACES" in capsys.readouterr().out
    assert (tmp_path / "models/sample/fast_no_augment.keras").exists()
    assert (tmp_path / "figures/sample/fast_no_augment/history.png").exists()
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["sample"]


def test_a_second_run_in_one_process_is_like_the_first(faces_csv, tmp_path):
    """Whatever ran before, of another seed and precision; and in whatever folder."""

    def trained(folder: str, precision: str, seed: int = 0) -> list[np.ndarray]:
        changes = {"precision": precision, "seed": seed, "epochs": 1}
        args = cnn_args(faces_csv, tmp_path / folder, **changes)
        train_cnn.main(args)
        assert keras.config.dtype_policy().name == "float32"
        return keras.saving.load_model(args.models_dir / "net.keras").get_weights()

    first, other = trained("a", "bfloat16"), trained("b", "float32", seed=1)
    again = trained("c", "bfloat16")
    assert all(np.array_equal(x, y) for x, y in zip(first, again, strict=True))
    assert max(np.abs(x - y).max() for x, y in zip(first, other, strict=True)) > 0.1


def test_a_width_that_gives_no_whitening_stem_is_refused(faces_csv, tmp_path):
    for channels in (5, 52):
        with pytest.raises(InputError, match=f"{channels} whitening filters .* give --width"):
            train_cnn.main(cnn_args(faces_csv, tmp_path, width=channels))
