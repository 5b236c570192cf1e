"""Keras and TensorFlow, imported when first used, without the lines that C++ prints on the way.

    from toolbox.engine import keras, layers, ops, tf

At import time nothing may use them: classes that inherit from Keras are in modules imported late,
and `from __future__ import annotations` keeps annotations unevaluated.

None of TensorFlow's settings silences those lines, so standard error is held back meanwhile. What
they say of a GPU is shown after all if this machine has one that TensorFlow cannot use.
"""

import contextlib
import functools
import importlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from toolbox.late import Late

# Where a GPU of NVIDIA shows: Linux and its containers, the driver, Windows' Linux.
GPU_FILES = ("dev/nvidia[0-9]*", "proc/driver/nvidia/gpus/*", "usr/lib/wsl/lib/libcuda.so*")


@contextlib.contextmanager
def _stderr_held_back() -> Iterator[BinaryIO]:
    """Let standard error, that of C++ too, go to the file that is yielded; show it if it fails."""
    with tempfile.TemporaryFile() as held_back:
        try:
            stderr = os.dup(2)
        except OSError:  # closed: nothing can be seen
            yield held_back
            return
        try:
            os.dup2(held_back.fileno(), 2)
            yield held_back
        except Exception:
            os.dup2(stderr, 2)
            held_back.seek(0)
            os.write(2, held_back.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def has_nvidia_gpu() -> bool:
    """Whether this machine has a GPU of NVIDIA that the user has not hidden from CUDA."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1"):
        return False
    present = any(next(Path("/").glob(pattern), None) for pattern in GPU_FILES)
    return present or shutil.which("nvidia-smi") is not None


def lines_about_gpus(log: str) -> list[str]:
    """TensorFlow's messages on GPUs, each once, without time and place in the code."""
    lines = [re.sub(r"^[IWEF]\d{4} [\d.: -]+ \S+\] ", "", line) for line in log.splitlines()]
    told = [line for line in lines if re.search("gpu|cuda|cudnn|dlopen|nvidia", line, re.I)]
    return list(dict.fromkeys(told))


@functools.cache
def _start() -> None:
    """Import both. Ends the process in one line if they cannot be had."""
    if not has_nvidia_gpu():  # what is left to say, such as which kernel is not used, helps nobody
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _stderr_held_back() as log:
        try:
            import tensorflow

            unused_gpu = not tensorflow.config.list_physical_devices("GPU") and has_nvidia_gpu()
            importlib.import_module("keras")
        except (ImportError, ValueError) as error:
            backend = os.environ.get("KERAS_BACKEND")
            what = f"KERAS_BACKEND={backend}" if backend else "TensorFlow cannot be loaded"
            sys.exit(f"error: {what}: {error}")
        log.seek(0)
        told = lines_about_gpus(log.read().decode("utf-8", "replace")) if unused_gpu else []
    if told:
        print("TensorFlow cannot use this machine's GPU:", *told, sep="\n  ", file=sys.stderr)
    # Models of one run are each traced once; TensorFlow takes that for one that is traced anew.
    logger = tensorflow.get_logger()
    logger.addFilter(lambda record: "triggered tf.function retracing" not in record.msg)


if TYPE_CHECKING:  # so that editors know them
    import keras
    import tensorflow as tf
    from keras import layers, ops
else:
    keras = Late("keras", before=_start)
    layers = Late("keras.layers", before=_start)
    ops = Late("keras.ops", before=_start)
    tf = Late("tensorflow", before=_start)

__all__ = ["keras", "layers", "ops", "tf"]
