"""Read a model file that somebody brings, without running code that it may hold.

What a file is, its content says, not its name. What cannot be read ends in one line: what the file
is, and what to do.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

from toolbox.engine import keras
from toolbox.files import InputError, is_disk_full, require_file
from toolbox.late import Late

h5py = Late("h5py")  # which Keras needs and brings

LARGEST_CONFIG = 50_000_000  # bytes; the config of a deep network is far smaller than this
HDF5, ZIP = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"
NO_NAME = re.compile(r"[^\w.-]", re.ASCII)  # what no name of a layer may hold
LONGEST_REASON = 300  # characters; a longer message is a dump of the configuration


def load_model(path: Path) -> keras.Model:
    """The model in a .keras file or in HDF5, as Keras 2 wrote it, under whatever name.

    Raises InputError for a file that is absent, damaged, holds code, or is something else.
    """
    if not path.exists():
        raise InputError(
            f"{path} does not exist; train it first (train_cnn.py, train_dnn.py), or name another"
        )
    ending = ending_by_content(path)
    config = config_of(path, ending)
    refuse_code(path, config)
    try:
        with under_its_ending(path, ending, config) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what old files lack, and of unbuilt models
            model = keras.saving.load_model(file, safe_mode=True, compile=False)
    except Exception as error:  # Keras, h5py and zipfile each raise their own
        if is_disk_full(error):  # for the temporary copy
            raise
        raise InputError(
            f"{path} cannot be loaded, being damaged or of another version of Keras: "
            f"{reason_of(error)}"
        ) from None
    if not isinstance(model, keras.Model):
        raise InputError(f"{path} holds one {type(model).__name__} layer; save a whole model")
    if not getattr(model, "inputs", None):
        raise InputError(
            f"{path} was saved before its first use and has no weights; train it, then save it"
        )
    return model


def ending_by_content(path: Path) -> str:
    """`.keras` or `.h5`. Raises InputError that says what the file is if it is neither."""
    if path.is_dir():
        if (path / "saved_model.pb").exists():
            raise InputError(
                f"{path} is a TensorFlow SavedModel, which Keras 3 cannot read; where it was made, "
                "save the model in another form: model.save('model.keras'), in Keras 2 'model.h5'"
            )
        raise InputError(f"{path} is a folder; name the model file in it")
    require_file(path, "a model file")
    with path.open("rb") as stream:
        head = stream.read(2048)
    if head.startswith(HDF5) or HDF5 in (head[512:520], head[1024:1032]):
        return ".h5"
    if head.startswith(ZIP):
        return ".keras"
    raise InputError(f"{path} {what_else(head)}")


def what_else(head: bytes) -> str:
    """What a file with these first bytes is, if no model, and what to do."""
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        return "is empty; copy or download it again"
    if text.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the model itself; fetch it with: git lfs pull"
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "is a web page, not a model; the download went wrong: get the file itself"
    if text.startswith((b"{", b"[")):
        return "is JSON: an architecture or a record, without weights; name the saved model"
    if head[4:8] == b"TFL3":
        return "is a TensorFlow Lite model; name the Keras model that it was made from"
    if head.startswith(b"\x80"):
        return "is a Python pickle, perhaps PyTorch's; only Keras models can be read"
    return "is no Keras model: neither a .keras file nor HDF5"


def config_of(path: Path, ending: str) -> dict:
    """The configuration in the file. Raises InputError if there is none."""
    try:
        text = config_text_of_zip(path) if ending == ".keras" else config_text_of_hdf5(path)
        config = json.loads(text)
        if not isinstance(config, dict):
            raise ValueError("its configuration is not that of a model")
    except InputError:
        raise
    except Exception as error:  # h5py, zipfile and json each raise their own
        raise InputError(f"{path} is damaged or incomplete: {reason_of(error)}") from None
    return config


def config_text_of_zip(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if any(name.endswith("data.pkl") for name in names):
            raise InputError(f"{path} is a PyTorch file; only Keras models can be read")
        if "config.json" not in names:
            raise InputError(f"{path} is a zip archive, but no Keras model; unpack it first")
        if archive.getinfo("config.json").file_size > LARGEST_CONFIG:
            raise ValueError("its configuration is larger than any model's")
        return archive.read("config.json").decode("utf-8")


def config_text_of_hdf5(path: Path) -> str:
    with h5py.File(path, "r") as file:
        text = file.attrs.get("model_config")
    if text is None:
        code = (
            "m = keras.models.model_from_json(open('ARCHITECTURE.json').read()); "
            f"m.load_weights('{path.name}'); m.save('model.keras')"
        )
        raise InputError(f"{path} holds weights only; save them with their architecture: {code}")
    return text.decode("utf-8") if isinstance(text, bytes) else text


def refuse_code(path: Path, config: dict) -> None:
    """Raise InputError that names the first layer that is not Keras's own, but somebody's code."""
    for layer in layers_of(config):
        kind = str(layer["class_name"])
        own = str(layer.get("module") or "keras").split(".")[0] == "keras"
        known = layer.get("module") or hasattr(keras.layers, kind) or hasattr(keras.models, kind)
        inside = layer.get("config")
        name = (inside.get("name") if isinstance(inside, dict) else None) or kind
        if kind == "Lambda":
            raise InputError(
                f"{path} is not a Keras model that loads safely: its layer {name} is a Lambda, "
                "which is Python code and could do anything; replace it by a layer of Keras's, "
                "such as Rescaling, and save the model again"
            )
        if not own or not (known or kind == "Functional"):
            raise InputError(
                f"{path} has the layer {name} of the custom class {kind}, whose code is not in the "
                "file; rebuild the model of Keras's own layers, set its weights and save it again"
            )


def layers_of(config: dict) -> Iterator[dict]:
    """The configurations of all layers, those of nested and wrapped ones among them."""
    waiting = [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            inside = part.get("config")
            listed = inside if isinstance(inside, list) else None
            if isinstance(inside, dict):
                listed = inside.get("layers")
                waiting.append(inside.get("layer"))  # of wrappers, such as TimeDistributed
            if isinstance(listed, list):
                waiting += [x for x in listed[::-1] if isinstance(x, dict) and "class_name" in x]
            if isinstance(part.get("class_name"), str):
                yield part


@contextlib.contextmanager
def under_its_ending(path: Path, ending: str, config: dict) -> Iterator[Path]:
    """The file, or a temporary copy that Keras reads: as Keras 3 would have written it."""
    mended = ending == ".h5" and add_input_layer(config) | rename_layers(config)
    if path.name.endswith(ending) and not mended:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / f"model{ending}"
        shutil.copyfile(path, copy)
        if mended:
            with h5py.File(copy, "r+") as file:
                file.attrs["model_config"] = json.dumps(config)
        yield copy


def add_input_layer(config: dict) -> bool:
    """Give a Sequential of Keras 2.2 the InputLayer that Keras 3 needs; whether it lacked one."""
    if config.get("class_name") != "Sequential":
        return False
    listed = config.get("config")
    if isinstance(listed, list):  # up to Keras 2.2.2
        config["config"] = {"name": "sequential", "layers": listed}
    first = config["config"]["layers"][0]
    shape = first["config"].pop("batch_input_shape", None)
    if first["class_name"] == "InputLayer" or shape is None:
        first["config"].update({} if shape is None else {"batch_input_shape": shape})
        return isinstance(listed, list)
    layer = {"class_name": "InputLayer", "config": {"batch_input_shape": shape, "name": "input"}}
    config["config"]["layers"].insert(0, layer)
    return True


def rename_layers(config: dict) -> bool:
    """Give layers names that Keras 3 allows, which reads their weights by order; whether any did.

    Those of models from Caffe have a slash: `conv1/7x7_s2`.
    """
    insides = [layer.get("config") for layer in layers_of(config)]
    names = {str(inside.get("name")) for inside in insides if isinstance(inside, dict)}
    odd, text = [name for name in names if NO_NAME.search(name)], json.dumps(config)
    for name in odd:
        text = text.replace(json.dumps(name), json.dumps(NO_NAME.sub("-", name)))
    config.update(json.loads(text))
    return bool(odd)


def reason_of(error: Exception) -> str:
    """The first sentence of an error, whole."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    sentence = re.split(r"(?<=[.!?])\s", lines[0], maxsplit=1)[0].rstrip(".:")
    return sentence if len(sentence) <= LONGEST_REASON else type(error).__name__
