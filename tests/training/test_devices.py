"""Several devices and several processes train as one, and a bad set-up ends in one line."""

import importlib.util
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, in_memory, killed_in_epoch, make_faces

import train_cnn
from toolbox.dataset import fer2013_csv
from toolbox.files import InputError
from toolbox.training import batches, devices
from toolbox.training.devices import SETTINGS, Devices

needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="jax is not installed (requirements-dev.txt)"
)
LOSSES = ["loss", "accuracy", "val_loss", "val_accuracy"]
JAX = {
    "KERAS_BACKEND": "jax",
    # Most of the time goes into compiling: into worse code, and once.
    "XLA_FLAGS": "--xla_backend_optimization_level=0",
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}
TWO_DEVICES = """
import utils, tensorflow as tf
[processor] = tf.config.list_physical_devices("CPU")
device = tf.config.LogicalDeviceConfiguration()
tf.config.set_logical_device_configuration(processor, [device, device])
"""


@pytest.fixture
def odd_faces_csv(tmp_path: Path) -> Path:
    """Faces whose validation rows two devices cannot share evenly."""
    path = tmp_path / "odd.csv"
    fer2013_csv.write_csv(path, *make_faces(441))
    return path


def start(data: Path, folder: Path, *more: str, before: str = "", **environment: str):
    flags = ["--data", str(data), "--models-dir", str(folder), "--figures-dir", str(folder)]
    flags += ["--width", "4", "--batch-size", "84", "--epochs", "2", *more]
    code = "import sys, utils, train_cnn; utils.run(train_cnn.main, train_cnn.parse(sys.argv[1:]))"
    return subprocess.Popen(
        [sys.executable, "-c", f"{before}\n{code}", *flags],
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def start_pair(data: Path, folder: Path, before: str = "") -> list[subprocess.Popen]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    return [
        start(
            data,
            folder,
            "--distribute",
            before=before,
            JAX_COMPILATION_CACHE_DIR=str(folder.with_name("cache")),
            **JAX,
            **dict(zip(SETTINGS, (address, "2", str(process)), strict=True)),
        )
        for process in (0, 1)
    ]


def ended(*processes: subprocess.Popen, seconds: float = 240) -> list[str]:
    """What each printed; if one fails, or none ends in time, all are killed."""
    deadline = time.monotonic() + seconds
    try:
        while any(process.poll() is None for process in processes):
            if any(process.poll() for process in processes) or time.monotonic() > deadline:
                break
            time.sleep(0.1)
    finally:
        for process in processes:
            process.kill()
        outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), outputs
    return outputs


def history_of(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "fast.csv")[LOSSES]


@needs_jax
def test_two_processes_train_as_one_and_resume(faces_csv, tmp_path):
    ended(start(faces_csv, tmp_path / "one", **JAX))
    for process in start_pair(faces_csv, tmp_path / "two", before=killed_in_epoch(2)):
        process.communicate()
    first, second = ended(*start_pair(faces_csv, tmp_path / "two"))
    assert "Resuming after epoch 1 of 2" in first
    assert "Epoch" not in second and "wrote" not in second and "parameters" not in second
    names = {path.name for path in (tmp_path / "two").iterdir()}
    assert names == {path.name for path in (tmp_path / "one").iterdir()}
    # Sums in another order: the network, still far from settled, magnifies what float32 rounds.
    np.testing.assert_allclose(
        history_of(tmp_path / "two"), history_of(tmp_path / "one"), rtol=1e-3
    )


def test_two_devices_train_as_one(odd_faces_csv, tmp_path):
    # At a low rate, for at a high one rounding decides on which side of a ReLU a sum falls.
    flags = ("--distribute", "--learning-rate", "0.001")
    ended(start(odd_faces_csv, tmp_path / "two", *flags, before=TWO_DEVICES))
    for name, distribute in (("plain", False), ("one", True)):
        args = train_cnn.Args(
            data=odd_faces_csv, width=4, batch_size=84, epochs=2, learning_rate=0.001
        )
        args = replace(args, models_dir=tmp_path / name, figures_dir=tmp_path / name)
        train_cnn.main(replace(args, distribute=distribute))
    plain, one, two = (history_of(tmp_path / name) for name in ("plain", "one", "two"))
    pd.testing.assert_frame_equal(one, plain, check_exact=True)
    np.testing.assert_allclose(two, one, rtol=1e-3)


def test_shares_of_a_batch_make_up_the_batch():
    images, labels, _ = make_faces(71)
    together = [Devices(count=4, processes=2, process=process) for process in (0, 1)]

    def of(devices: Devices = Devices()):  # noqa: B008 (it is immutable)
        data = batches.training_batches(images, np.eye(7)[labels], 32, 0, range(1), devices=devices)
        return [(faces.numpy(), target.numpy()) for faces, target in data]

    whole, *shares = of(), *map(of, together)
    assert [len(target) for _, target in whole] == [32, 32, 7]
    assert [len(target) for _, target in shares[0]] == [16, 16, 2]
    for (faces, target), *parts in zip(whole, *shares, strict=True):
        count = sum(len(part[1]) for part in parts)
        np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), faces[:count])
        np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), target[:count])


def test_rows_that_fill_up_an_evaluation_weigh_nothing():
    faces = in_memory(70)
    rows = np.arange(3, 70)  # 67, to be filled up to 68
    shares = [
        next(
            iter(batches.evaluation_batches(faces, rows, Devices(count=4, processes=2, process=i)))
        )
        for i in (0, 1)
    ]
    pixels, _, weights = (np.concatenate(parts) for parts in zip(*shares, strict=True))
    np.testing.assert_array_equal(pixels[:67, ..., 0], faces.images[rows])
    np.testing.assert_allclose(weights, [68 / 67] * 67 + [0], rtol=1e-6)


def test_half_a_set_up_is_refused(monkeypatch):
    for name, value in zip(SETTINGS[1:], "20", strict=True):
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=f"set {SETTINGS[0]} too"):
        devices.meet()


def test_a_batch_that_cannot_be_shared_evenly_is_refused(monkeypatch):
    monkeypatch.setattr(devices, "meet", lambda: Devices(count=5))
    monkeypatch.setattr(devices.keras.backend, "backend", lambda: "jax")
    with pytest.raises(InputError, match="--batch-size 84 cannot be shared evenly by 5 devices"):
        devices.start(True, 84, {})
