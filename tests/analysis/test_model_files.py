"""A file is told by its content; code is never run; what cannot be read is said in one line."""

import json
import os
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from model_makers import brightness_model, random_model

from toolbox.analysis import model_files
from toolbox.files import InputError

RAN = []  # by code that a model file holds


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        model_files.load_model(path)
    line = str(caught.value)
    assert line.startswith(str(path))
    return line.removeprefix(f"{path} ")


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("lfs.keras", b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        ("page.h5", b"\n<!DOCTYPE html><html><title>Virus scan warning</title>", "is a web page"),
        ("architecture.h5", b'{"class_name": "Sequential"}', "without weights"),
        ("lite.keras", b"\x1c\0\0\0TFL3" + bytes(40), "TensorFlow Lite"),
        ("torch.keras", b"\x80\x02\x8a\nl\xfc", "is a Python pickle"),
        ("empty.keras", b"", "is empty"),
        ("text.keras", b"no model", "is no Keras model"),
        ("cut.keras", b"PK\x03\x04" + bytes(100), "is damaged or incomplete"),
        ("cut.h5", b"\x89HDF\r\n\x1a\n" + bytes(100), "is damaged or incomplete"),
    ],
)
def test_files_that_are_something_else(name, content, said, tmp_path):
    assert said in refusal(written(tmp_path / name, content))


def test_what_is_no_regular_file(tmp_path):
    assert "does not exist" in refusal(tmp_path / "absent.keras")
    (tmp_path / "saved").mkdir()
    assert "is a folder" in refusal(tmp_path / "saved")
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"x")
    assert "is a TensorFlow SavedModel" in refusal(tmp_path / "saved")
    os.mkfifo(tmp_path / "pipe.keras")
    assert "is not a regular file" in refusal(tmp_path / "pipe.keras")


@pytest.mark.parametrize(("ending", "other"), [(".keras", ".h5"), (".h5", ".keras"), (".h5", "")])
def test_a_model_under_another_name_loads(ending, other, tmp_path):
    model = random_model(0)
    model.save(tmp_path / f"model{ending}")
    path = (tmp_path / f"model{ending}").rename(tmp_path / f"renamed{other}")
    loaded = model_files.load_model(path)
    for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("version", ["2.2.2", "2.2.4"])
def test_a_sequential_without_an_input_layer_loads(version, tmp_path):
    """As Keras 2.2 wrote it: until 2.2.2 the configuration was a plain list of layers."""
    layers = keras.layers
    stack = [layers.Conv2D(4, 3, name="c"), layers.Flatten(name="f"), layers.Dense(7, name="d")]
    model = keras.Sequential([keras.Input((48, 48, 1)), *stack])
    path = tmp_path / "old.h5"
    model.save(path)
    plain = [
        {"class_name": type(layer).__name__, "config": {"name": layer.name, **more}}
        for layer, more in zip(
            stack,
            (
                {"batch_input_shape": [None, 48, 48, 1], "filters": 4, "kernel_size": [3, 3]},
                {},
                {"units": 7, "activation": "linear"},
            ),
            strict=True,
        )
    ]
    config = plain if version == "2.2.2" else {"name": "sequential_1", "layers": plain}
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": config})
    content = path.read_bytes()
    loaded = model_files.load_model(path)
    face = np.random.default_rng(0).random((2, 48, 48, 1), np.float32)
    expected = model.predict(face, verbose=0)
    np.testing.assert_array_equal(loaded.predict(face, verbose=0), expected)
    assert path.read_bytes() == content


def test_names_of_layers_that_keras_3_forbids(tmp_path):
    """Models from Caffe have a slash in them."""
    inner = keras.Sequential([keras.Input((46, 46, 2)), keras.layers.Conv2D(2, 3, name="7x7_s2")])
    stack = [keras.layers.Conv2D(2, 3, name="conv1"), inner, keras.layers.Flatten()]
    model = keras.Sequential([keras.Input((48, 48, 1)), *stack])
    path = tmp_path / "caffe.h5"
    model.save(path)
    with h5py.File(path, "r+") as file:
        text = file.attrs["model_config"].replace('"conv1"', '"conv1/7x7_s2"')
        file.attrs["model_config"] = text.replace('"7x7_s2"', '"conv 2*"')
    face = np.random.default_rng(0).random((1, 48, 48, 1), np.float32)
    loaded = model_files.load_model(path)
    np.testing.assert_array_equal(loaded(face), model(face))
    assert [layer.name for layer in loaded.layers[:1]] == ["conv1-7x7_s2"]


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_code_is_refused_by_name(ending, tmp_path):
    class Gate(keras.layers.Layer):
        def call(self, x):
            return x * 2

    def save(name: str, *layers) -> Path:
        stack = [keras.Input((48, 48, 1)), keras.layers.Flatten(), keras.layers.Dense(9), *layers]
        keras.Sequential(stack).save(tmp_path / f"{name}{ending}")
        return tmp_path / f"{name}{ending}"

    function = keras.layers.Lambda(lambda x: RAN.append(1) or x[:, :7], name="cut")
    path = save("function", function)
    RAN.clear()
    line = refusal(path)
    assert "not a Keras model that loads safely: its layer cut is a Lambda" in line
    nested = save("nested", keras.Sequential([keras.Input((9,)), function], name="inner"))
    RAN.clear()
    assert "its layer cut is a Lambda" in refusal(nested)
    line = refusal(save("custom", Gate(name="gate")))
    assert "layer gate of the custom class Gate" in line and "safely" not in line
    assert not RAN


def test_a_config_that_names_other_code_is_refused(tmp_path):
    path = tmp_path / "plain.keras"
    brightness_model().save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    for module, name in (("os", "system"), ("builtins", "eval"), ("kerasevil", "Dense")):
        config["config"]["layers"][-1].update(module=module, class_name=name)
        parts["config.json"] = json.dumps(config).encode()
        with zipfile.ZipFile(tmp_path / "evil.keras", "w") as archive:
            for part, content in parts.items():
                archive.writestr(part, content)
        assert f"custom class {name}" in refusal(tmp_path / "evil.keras")
    for odd in ([], {"class_name": 3}, {"class_name": "Dense", "config": [1]}, {"config": "x"}):
        with zipfile.ZipFile(tmp_path / "odd.keras", "w") as archive:
            archive.writestr("config.json", json.dumps(odd))
        refusal(tmp_path / "odd.keras")


def test_what_is_in_a_keras_file_but_no_model(tmp_path):
    random_model(0).save_weights(tmp_path / "only.weights.h5")
    assert "holds weights only" in refusal(tmp_path / "only.weights.h5")
    keras.saving.save_model(keras.Sequential([keras.layers.Dense(7)]), tmp_path / "unbuilt.keras")
    assert "before its first use" in refusal(tmp_path / "unbuilt.keras")
    dense = keras.layers.Dense(7)
    dense.build((None, 5))
    keras.saving.save_model(dense, tmp_path / "layer.keras")
    assert "holds one Dense layer" in refusal(tmp_path / "layer.keras")
    for name, said in (("archive/data.pkl", "PyTorch"), ("photo.jpg", "is a zip archive")):
        with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
            archive.writestr(name, "x")
        assert said in refusal(tmp_path / "other.keras")
