"""TensorFlow's messages: none on the way in, unless they say why a GPU is not used."""

import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT, SCRIPTS

FIRST_STEP = """
from toolbox.engine import tf
print(tf.config.list_physical_devices("GPU"))
tf.constant(1) + 1
print("ran")
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("gpu", [False, True])
def test_only_an_unusable_gpu_is_worth_a_message(gpu, tmp_path):
    """A machine with nvidia-smi has a GPU; `cuda drivers` are what TensorFlow does not find."""
    if gpu:
        (tmp_path / "nvidia-smi").write_text("#!/bin/sh\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    visible = "0" if gpu else "-1"
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = run(FIRST_STEP, PATH=path, CUDA_VISIBLE_DEVICES=visible)
    devices, ran = done.stdout.splitlines()
    assert ran == "ran"
    if gpu and devices == "[]":
        assert done.stderr.startswith("TensorFlow cannot use this machine's GPU:\n")
        assert "oneDNN" not in done.stderr and "rebuild TensorFlow" not in done.stderr
    else:
        assert done.stderr == ""


def test_a_missing_backend_ends_in_one_line():
    done = run("from toolbox.engine import keras; keras.Model", KERAS_BACKEND="nonesuch")
    assert done.returncode == 1
    assert done.stderr.startswith("error: KERAS_BACKEND=nonesuch: ")
    assert done.stderr.count("\n") == 1


def test_tensorflow_that_does_not_fit_into_memory_is_no_damaged_model(tmp_path):
    """So it ends under `ulimit -v`, and the sound model was called damaged."""
    why = "tensorflow.so: failed to map segment from shared object"
    (tmp_path / "tensorflow.py").write_text(f"raise ImportError({why!r})")
    load = "from toolbox.analysis import saved_models as s; s.load_classifier(s.SHIPPED)"
    done = run(load, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (1, f"error: TensorFlow cannot be loaded: {why}\n")


def test_closed_standard_error_is_no_obstacle():
    assert run(f"import os; os.close(2)\n{FIRST_STEP}").stdout.endswith("ran\n")


ALL_FLAGS = """
import pathlib, runpy, sys
for script in sorted(pathlib.Path(".").glob("*.py")):
    for flag in [] if script.name == "utils.py" else ["--help", "--nonesuch"]:
        sys.argv = [script.name, flag]
        try:
            runpy.run_path(script.name, run_name="__main__")
        except SystemExit as end:
            print(script.name, flag, end.code, file=sys.stderr)
heavy = {"tensorflow", "keras", "matplotlib", "scipy", "sklearn"}
print(heavy & set(sys.modules), file=sys.stderr)
"""


def test_flags_are_read_before_heavy_packages_are_imported():
    *ends, heavy = run(ALL_FLAGS).stderr.strip().splitlines()
    ends = [line for line in ends if re.match(r"\w+\.py --", line)]
    assert len(ends) == 2 * len(SCRIPTS)
    assert all(line.split()[2] == ("0" if "--help" in line else "2") for line in ends), ends
    assert heavy == "set()"
