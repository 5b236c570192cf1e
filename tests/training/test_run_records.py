"""Saved models keep their contract, and damaged records are refused in one line."""

import json
import os

import keras
import numpy as np
import pandas as pd
import pytest
from model_makers import HISTORY, RECORD, write_run

import train_cnn
import train_dnn
from toolbox.dataset.faces import Faces
from toolbox.files import InputError
from toolbox.training import fit, run_records

MODELS = {
    "homework": lambda: train_cnn.build_homework_cnn(0.5),
    "dnn": lambda: train_dnn.build_dnn(64, 0.5),
    "compact": lambda: train_cnn.build_vgg(8, 0.3),
    "fast": lambda: train_cnn.build_residual_cnn(8),
}


@pytest.mark.parametrize("name", MODELS)
def test_saved_model_takes_raw_pixels_and_carries_no_optimizer(name, tmp_path):
    model = MODELS[name]()
    model.compile("adam", "categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (3, 48, 48, 1)).astype("float32")
    for variable in model.non_trainable_variables:  # as if trained
        if "moving" in variable.path:
            variable.assign(variable + random.uniform(0, 0.01, variable.shape))
    run_records.bare_model(model).save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert getattr(loaded, "optimizer", None) is None
    expected = model.predict(images, verbose=0)
    np.testing.assert_array_equal(loaded.predict(images, verbose=0), expected)
    assert expected.shape == (3, 7)
    np.testing.assert_allclose(expected.sum(axis=1), 1, rtol=1e-5)
    # Rescaling is inside: a face and the same face over 255 must not look alike to the model.
    assert np.abs(model.predict(images / 255, verbose=0) - expected).max() > 1e-4
    assert loaded.layers[-2].get_config()["units"] == 7
    assert isinstance(loaded.layers[-1], keras.layers.Softmax)


def test_a_model_trained_in_bfloat16_is_saved_in_float32():
    fit.make_repeatable(0, "bfloat16")
    model = train_cnn.build_vgg(8, 0.3)
    assert model.get_layer("conv_1a").compute_dtype == "bfloat16"
    fit.make_repeatable(0)
    bare = run_records.bare_model(model)
    assert {layer.compute_dtype for layer in bare.layers} == {"float32"}
    images = np.random.default_rng(0).integers(0, 256, (5, 48, 48, 1)).astype("float32")
    expected = train_cnn.build_vgg(8, 0.3)
    expected.set_weights(model.get_weights())
    outputs = bare.predict(images, verbose=0)
    np.testing.assert_array_equal(outputs, expected.predict(images, verbose=0))
    np.testing.assert_allclose(outputs, model.predict(images, verbose=0), atol=0.05)


@pytest.mark.parametrize(
    "build", [train_cnn.build_homework_cnn, lambda x: train_dnn.build_dnn(8, x)]
)
def test_in_bfloat16_logits_and_softmax_stay_in_float32(build):
    fit.make_repeatable(0, "bfloat16")
    model = build(0.5)
    fit.make_repeatable(0)
    assert [layer.compute_dtype for layer in model.layers[-2:]] == ["float32", "float32"]
    assert model.layers[-4].compute_dtype == "bfloat16"


def test_a_run_is_read_as_it_was_written(tmp_path):
    write_run(tmp_path, "net")
    history, record = run_records.read_run(tmp_path, "net")
    pd.testing.assert_frame_equal(history, HISTORY)
    assert record == RECORD
    with pytest.raises(InputError, match=r"other\.json does not exist; train other first"):
        run_records.read_run(tmp_path, "other")


def changed(**parts) -> str:
    return json.dumps(RECORD | parts)


@pytest.mark.parametrize(
    ("record", "history"),
    [
        ("", None),
        ("[" * 100_000, None),
        (changed(metrics={"validation_accuracy": float("nan")}), None),
        (changed(metrics={"validation_accuracy": "0.4"}), None),
        (changed(metrics=[]), None),
        (changed(split={"validation_sha256": 3}), None),
        (changed(arguments={"augment": "yes"}), None),
        (changed(parameters="many"), None),
        (None, ""),
        (None, "epoch,loss\n1,2\n"),
        (None, HISTORY[:0].to_csv(index=False)),
        (None, HISTORY.astype(str).replace("1.9", "high").to_csv(index=False)),
        (None, HISTORY.replace(1.9, np.nan).to_csv(index=False)),
        (None, '"' + HISTORY.to_csv(index=False)),
    ],
)
def test_damaged_records_are_refused_in_one_line(record, history, tmp_path):
    write_run(tmp_path, "net", record, history)
    with pytest.raises(InputError, match=r"is damaged .*train net again"):
        run_records.read_run(tmp_path, "net")


def test_bytes_that_are_no_text_and_pipes_are_refused(tmp_path):
    write_run(tmp_path, "net")
    (tmp_path / "net.csv").write_bytes(b"\xff\xfe\x00epoch")
    with pytest.raises(InputError, match="is damaged"):
        run_records.read_run(tmp_path, "net")
    (tmp_path / "net.csv").unlink()
    os.mkfifo(tmp_path / "net.csv")
    with pytest.raises(InputError, match="not a regular file"):
        run_records.read_run(tmp_path, "net")


def test_a_metric_that_is_nan_is_refused_before_anything_is_written(tmp_path):
    run = run_records.Run("net", 0, 3, 1, 32, False, tmp_path, tmp_path)
    record = RECORD | {"metrics": {"validation_accuracy": 0.4, "validation_loss": float("nan")}}
    faces = Faces(tmp_path, "", np.empty(0), None, None, False)
    with pytest.raises(InputError, match="validation loss is nan"):
        run_records.save_run(run, None, HISTORY, record, faces)
    assert not list(tmp_path.iterdir())


def test_a_history_is_drawn_on_a_linear_axis_of_whole_epochs():
    for rows in (1, 3):
        figure = run_records.plot_history(HISTORY[:rows], 1, "costs $5 or $6")
        figure.canvas.draw()
        for axes in figure.axes:
            assert axes.get_xscale() == "linear"
            low, high = axes.get_xlim()
            ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
            assert ticks == list(range(1, rows + 1))
