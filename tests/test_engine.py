"""TensorFlow's messages: none on the way in, unless they say why a GPU is not used."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT

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
    done = run("import toolbox.engine", KERAS_BACKEND="nonesuch")
    assert done.returncode == 1
    assert done.stderr.startswith("error: KERAS_BACKEND=nonesuch: ")
    assert done.stderr.count("\n") == 1


def test_closed_standard_error_is_no_obstacle():
    assert run(f"import os; os.close(2)\n{FIRST_STEP}").stdout.endswith("ran\n")
