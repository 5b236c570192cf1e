"""The real commands, run small: what they leave, and that a killed run ends as it would have."""

import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, make_faces

import utils
import fer2013_csv
import splits
import train_cnn
import train_dnn
import training
import whitening
from utils import InputError

SMALL = {
    "train_cnn.py": ["--width", "4", "--batch-size", "32", "--epochs", "4"],
    "train_dnn.py": ["--width", "16", "--batch-size", "32", "--epochs", "4"],
}


def command(script: str, data: Path, folder: Path, *more: str) -> list[str]:
    folders = ["--models-dir", str(folder / "models"), "--figures-dir", str(folder / "figures")]
    return [
        sys.executable,
        str(ROOT / script),
        "--data",
        str(data),
        *folders,
        *SMALL[script],
        *more,
    ]


def run(*arguments, **options) -> subprocess.CompletedProcess:
    line = command(*arguments)
    return subprocess.run(line, capture_output=True, text=True, timeout=300, **options)


def small_args(data: Path, folder: Path, **changes) -> train_cnn.Args:
    args = train_cnn.Args(data, width=4, batch_size=32, epochs=2, name="net")
    return replace(args, models_dir=folder / "models", figures_dir=folder / "figures", **changes)


def history_of(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / "models" / f"{name}.csv").drop(columns=["seconds", "cpu_seconds"])


def weights_of(folder: Path, name: str) -> list[np.ndarray]:
    return keras.saving.load_model(folder / "models" / f"{name}.keras").get_weights()


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_run_leaves_its_artefacts(faces_csv, tmp_path):
    args = small_args(faces_csv, tmp_path, seed=7)
    record = train_cnn.main(args)
    names = {p.name for p in (tmp_path / "models").iterdir()}
    assert names == {"net.keras", "net.csv", "net.txt", "net.json"}
    names = {p.name for p in (tmp_path / "figures").iterdir()}
    assert names == {"net_history.png", "net_history.csv"}
    assert json.loads((tmp_path / "models" / "net.json").read_text()) == record
    assert record["seed"] == record["arguments"]["seed"] == 7
    assert record["data"]["sha256"] == utils.sha256_of_file(faces_csv)
    assert record["versions"]["keras"] == keras.__version__
    history = pd.read_csv(tmp_path / "models" / "net.csv")
    assert history["epoch"].tolist() == [1, 2]
    best = history["val_accuracy"] == history["val_accuracy"].max()
    assert record["best_epoch"] == history["val_loss"][best].idxmin() + 1
    # Whoever analyses the model finds the very rows, and the accuracy that the record claims.
    faces = utils.load_faces(faces_csv)
    rows = np.array(record["split"]["validation_rows"])
    np.testing.assert_array_equal(rows, splits.split(faces, 0.1, 7)[1])
    assert splits.sha256_of_rows(faces, rows) == record["split"]["validation_sha256"]
    model = keras.saving.load_model(tmp_path / "models" / "net.keras")
    for name, where in (
        ("validation", rows),
        ("public_test", splits.rows_of_usage(faces, "PublicTest")),
    ):
        predicted = model.predict(faces.images[where, ..., None], verbose=0).argmax(axis=1)
        accuracy = np.mean(predicted == faces.labels[where])
        assert record["metrics"][f"{name}_accuracy"] == pytest.approx(accuracy, abs=1e-6)


@pytest.mark.parametrize("script", SMALL)
def test_a_killed_run_ends_with_the_very_weights(script, faces_csv, tmp_path):
    name = {"train_cnn.py": "fast", "train_dnn.py": "dnn"}[script]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run(script, faces_csv, whole).returncode == 0
    for epoch in ("Epoch 2/4", "Epoch 4/4"):
        process = subprocess.Popen(
            command(script, faces_csv, killed),
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        for line in process.stdout:
            if epoch in line:
                process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert not (killed / "models" / f"{name}.keras").exists()
    done = run(script, faces_csv, killed)
    assert done.returncode == 0, done.stderr
    assert "Going on after epoch 3 of 4" in done.stdout
    pd.testing.assert_frame_equal(
        history_of(killed, name), history_of(whole, name), check_exact=True
    )
    for one, other in zip(weights_of(killed, name), weights_of(whole, name), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not list(killed.rglob("*.state.npz"))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"epochs": 0}, "--epochs is 0"),
        ({"batch_size": 0}, "--batch-size is 0"),
        ({"patience": -1}, "--patience is -1"),
        ({"name": "a/b"}, "is no file name"),
        ({"validation_fraction": -0.1}, "--validation-fraction is -0.1"),
        ({"erase": 1.5}, "--erase is 1.5"),
        ({"width": 0}, "--width is 0"),
        ({"learning_rate": float("nan")}, "--learning-rate is nan"),
        ({"label_smoothing": 2.0}, "--label-smoothing is 2.0"),
        ({"seed": -1}, "--seed is -1"),
        ({"name": ".."}, "is no file name"),
        ({"name": ""}, "is no file name"),
    ],
)
def test_impossible_settings_end_in_one_line(change, expected, faces_csv, tmp_path):
    with pytest.raises(InputError, match=expected) as caught:
        train_cnn.main(small_args(faces_csv, tmp_path, **change))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "models").exists()


def test_a_diverging_run_keeps_the_model_that_was_there(faces_csv, tmp_path):
    train_cnn.main(small_args(faces_csv, tmp_path))
    before = content_of(tmp_path / "models")
    with pytest.raises(InputError, match="the loss is nan"):
        train_cnn.main(
            small_args(faces_csv, tmp_path, learning_rate=1000.0, epochs=6, weight_decay=1.0)
        )
    after = content_of(tmp_path / "models")
    assert before.items() <= after.items()


def test_the_data_are_never_overwritten(faces_csv, tmp_path):
    content = faces_csv.read_bytes()
    args = replace(
        small_args(faces_csv, tmp_path), models_dir=faces_csv.parent, name=faces_csv.stem
    )
    with pytest.raises(InputError, match="would be overwritten"):
        train_cnn.main(args)
    assert faces_csv.read_bytes() == content


def test_damaged_record_of_the_cnn_shows_before_training(faces_csv, tmp_path):
    args = train_dnn.Args(faces_csv, width=16, epochs=1, batch_size=32, cnn="net")
    args = replace(args, models_dir=tmp_path / "models", figures_dir=tmp_path / "figures")
    train_cnn.main(small_args(faces_csv, tmp_path))
    (tmp_path / "models" / "net.json").write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        train_dnn.main(args)
    assert not (tmp_path / "models" / "dnn.keras").exists()


def test_a_name_with_a_dot_is_kept(faces_csv, tmp_path):
    train_cnn.main(small_args(faces_csv, tmp_path, name="v1.2", epochs=1))
    names = {p.name for p in (tmp_path / "models").iterdir()}
    assert names == {"v1.2.keras", "v1.2.csv", "v1.2.txt", "v1.2.json"}


def test_seeds_repeat_and_differ(faces_csv, tmp_path):
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        train_cnn.main(small_args(faces_csv, tmp_path / folder, seed=seed))
    a, b, c = (weights_of(tmp_path / folder, "net") for folder in "abc")
    assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert not all(np.array_equal(x, y) for x, y in zip(a, c, strict=True))


class Interrupt(keras.callbacks.Callback):
    """Ctrl-C in the middle of an epoch."""

    def __init__(self, epoch: int):
        super().__init__()
        self.epoch, self.now = epoch, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch + 1

    def on_train_batch_end(self, batch, logs=None):
        if self.now == self.epoch and batch == 1:
            raise KeyboardInterrupt


def interrupted(args: train_cnn.Args, epoch: int, monkeypatch) -> None:
    """Train and press Ctrl-C in the middle of `epoch`."""
    fit = keras.Model.fit
    with monkeypatch.context() as patch:

        def fit_and_interrupt(self, *positional, callbacks, **named):
            return fit(self, *positional, callbacks=[*callbacks, Interrupt(epoch)], **named)

        patch.setattr(keras.Model, "fit", fit_and_interrupt)
        with pytest.raises(KeyboardInterrupt):
            train_cnn.main(args)


def test_ctrl_c_says_how_to_go_on(faces_csv, tmp_path, monkeypatch, capsys):
    args = small_args(faces_csv, tmp_path, epochs=3)
    interrupted(args, 2, monkeypatch)
    assert (
        "The same command, without --fresh, goes on after epoch 1 of 3." in capsys.readouterr().err
    )
    train_cnn.main(args)
    assert "Going on after epoch 1 of 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 1}, "seed 0 there, 1 here"),
        ({"epochs": 5}, "epochs 3 there, 5 here"),
        ({"learning_rate": 0.01}, "learning_rate"),
        ({"width": 8}, "width"),
        ({"augment": False}, "augment"),
    ],
)
def test_state_of_another_configuration_is_refused(change, named, faces_csv, tmp_path, monkeypatch):
    args = small_args(faces_csv, tmp_path, epochs=3)
    interrupted(args, 2, monkeypatch)
    before = content_of(tmp_path / "models")
    with pytest.raises(InputError, match=named) as caught:
        train_cnn.main(replace(args, **change))
    assert "--fresh" in str(caught.value) and "\n" not in str(caught.value)
    assert content_of(tmp_path / "models") == before
    train_cnn.main(replace(args, **change, fresh=True))


def test_state_of_other_faces_or_another_network_is_refused(faces_csv, tmp_path, monkeypatch):
    args = small_args(faces_csv, tmp_path, epochs=3)
    interrupted(args, 2, monkeypatch)
    build = train_cnn.build_compact_cnn
    with monkeypatch.context() as patch:  # a student edits a layer in the file
        patch.setattr(train_cnn, "build_compact_cnn", lambda width, *more: build(width + 2, *more))
        with pytest.raises(InputError, match="model"):
            train_cnn.main(args)
    fer2013_csv.write_csv(faces_csv, *make_faces(420, seed=9))
    with pytest.raises(InputError, match="data"):
        train_cnn.main(args)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"not a state", "half"])
def test_damaged_state_is_refused_in_one_line(damage, faces_csv, tmp_path, monkeypatch):
    args = small_args(faces_csv, tmp_path, epochs=3)
    interrupted(args, 2, monkeypatch)
    [state] = (tmp_path / "models").glob("*.state.npz")
    content = state.read_bytes()
    state.write_bytes(content[: len(content) // 2] if damage == "half" else damage)
    with pytest.raises(InputError, match=r"damaged.*--fresh") as caught:
        train_cnn.main(args)
    assert "\n" not in str(caught.value)


def test_a_whitening_stem_stays_as_it_was_set(faces_csv, tmp_path):
    args = small_args(faces_csv, tmp_path, stem="whitening")
    train_cnn.main(args)
    faces = utils.load_faces(faces_csv)
    rows, _ = splits.split(faces, args.validation_fraction, args.seed)
    model = keras.saving.load_model(tmp_path / "models" / "net.keras")
    expected = whitening.whitening_filters(faces.images[rows], args.width)
    np.testing.assert_array_equal(model.get_layer("conv_0").kernel, expected)
    for channels in (5, 52):
        with pytest.raises(InputError, match=f"cannot have {channels} channels; give --width"):
            train_cnn.main(replace(args, width=channels))


def test_answers_of_whitening_filters_are_uncorrelated():
    images = make_faces(300)[0]
    filters = whitening.whitening_filters(images, 12)[..., 0, :6].reshape(25, 6)
    windows = np.lib.stride_tricks.sliding_window_view(images / 127.5 - 1, (5, 5), axis=(1, 2))
    answers = windows[:, ::5, ::5].reshape(-1, 25) @ filters
    second_moments = answers.T @ answers / len(answers)
    off_diagonal = second_moments - np.diag(second_moments.diagonal())
    assert np.abs(off_diagonal).max() < 0.01
    assert (second_moments.diagonal() <= 1).all() and second_moments[0, 0] > 0.95


def test_best_epoch_and_early_stopping_follow_from_the_history(tmp_path):
    model = train_cnn.build_compact_cnn(2)
    model.compile("sgd", "categorical_crossentropy")
    state = training.SaveState(tmp_path / "x.state.npz", model, {}, patience=2)
    over = []
    accuracies, losses = [0.3, 0.5, 0.4, 0.5, 0.6, 0.6], [2.0, 1.0, 0.1, 1.0, 1.0, 0.9]
    for epoch, (accuracy, loss) in enumerate(zip(accuracies, losses, strict=True), 1):
        state.history.append({"epoch": epoch, "val_accuracy": accuracy, "val_loss": loss})
        over.append(state.is_over())
    assert over == [False, False, False, True, False, False]
    assert state.best()["epoch"] == 6  # of two of one accuracy the one of lower loss
    del state.history[4:]
    assert state.best()["epoch"] == 2  # of two equals the first


def test_early_stopping_stops_and_keeps_the_best_weights(faces_csv, tmp_path):
    # Nothing is learnt at this rate, so the first epoch stays the best.
    args = small_args(faces_csv, tmp_path, epochs=9, patience=2, learning_rate=1e-30)
    record = train_cnn.main(args)
    assert (record["epochs"], record["best_epoch"]) == (3, 1)
    assert record["stopped_early"]


def test_full_disk_ends_in_one_line_and_keeps_earlier_artefacts(faces_csv, tmp_path):
    assert run("train_dnn.py", faces_csv, tmp_path, "--epochs", "1").returncode == 0
    before = content_of(tmp_path)

    def small_disk():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    done = run("train_dnn.py", faces_csv, tmp_path, "--epochs", "1", preexec_fn=small_disk)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: ")
    assert content_of(tmp_path) == before


def test_unwritable_folder_ends_in_one_line(faces_csv, tmp_path):
    (tmp_path / "models").write_text("a file where the folder should be")
    done = run("train_dnn.py", faces_csv, tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: ")


def test_drawn_faces_stay_apart_and_are_announced(tmp_path, capsys):
    path = tmp_path / "drawn.csv"
    images, labels, usage = make_faces(420)
    fer2013_csv.write_csv(path, images, labels, usage, ["6+12"] * 420)
    args = small_args(path, tmp_path)
    assert train_cnn.main(args)["data"]["drawn"]
    assert "DRAWN FACES" in capsys.readouterr().out
    assert (tmp_path / "models" / "sample" / "net.keras").exists()
    assert (tmp_path / "figures" / "sample" / "net_history.png").exists()
    assert not (tmp_path / "models" / "net.keras").exists()
    faces = utils.load_faces(path)
    assert "DRAWN FACES" in utils.headline(faces, "net")


def test_dnn_is_compared_with_a_recorded_cnn(faces_csv, tmp_path, capsys):
    args = train_dnn.Args(faces_csv, width=16, epochs=2, batch_size=32)
    args = replace(args, models_dir=tmp_path / "models", figures_dir=tmp_path / "figures")
    with pytest.raises(InputError, match=r"fast\.json does not exist"):
        train_dnn.main(replace(args, cnn="fast"))
    train_dnn.main(args)
    assert "No CNN to compare with yet" in capsys.readouterr().out
    train_cnn.main(small_args(faces_csv, tmp_path, name="fast"))
    train_dnn.main(replace(args, compare_only=True))
    table = pd.read_csv(tmp_path / "figures" / "cnn_vs_dnn.csv")
    for name in ("fast", "dnn"):
        rows = table[table["model"] == name].drop(columns="model").reset_index(drop=True)
        recorded = pd.read_csv(tmp_path / "models" / f"{name}.csv")
        pd.testing.assert_frame_equal(rows, recorded)
    assert (tmp_path / "figures" / "cnn_vs_dnn.png").stat().st_size > 10_000
    _, title = train_dnn.compare(tmp_path / "models", ["fast", "dnn"])
    assert "Not the same" not in title
    record = json.loads((tmp_path / "models" / "fast.json").read_text())
    best = record["metrics"]["validation_accuracy"]
    assert f"fast {best:.1%} in 2 epochs" in title
    train_cnn.main(small_args(faces_csv, tmp_path, name="fast", seed=5))
    assert (
        "Not the same validation faces"
        in train_dnn.compare(tmp_path / "models", ["fast", "dnn"])[1]
    )
