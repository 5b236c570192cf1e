"""Training on several devices at once, by Keras's own means: what `--distribute` switches on.

On the JAX backend the devices of all processes work as one (keras.distribution.DataParallel), on
TensorFlow's the GPUs of this machine do (tf.distribute.MirroredStrategy). Every process runs the
same script on the same faces with the same arguments; only the first one reports and writes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from toolbox.engine import keras, tf
from toolbox.files import InputError

# Keras's own names; each process needs all three, one process alone needs none.
SETTINGS = [
    f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")
]


class Devices(NamedTuple):
    """What a run computes on, and this process's place among those that share the work."""

    scope: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext
    """to build, compile and fit in"""
    count: int = 1
    """devices of all processes together"""
    processes: int = 1
    process: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that reports and writes."""
        return self.process == 0

    def whole(self, rows: int) -> int:
        """The most of so many rows that the devices can share evenly."""
        return rows // self.count * self.count

    def steps(self, rows: int, batch_size: int) -> int:
        """Batches per epoch."""
        return math.ceil(self.whole(rows) / batch_size)

    def tell(self, text: str) -> None:
        """Print it once, not in each process."""
        if self.first:
            print(text)

    def share(self, batch: tf.Tensor) -> tf.Tensor:
        """The rows of a whole batch that this process feeds."""
        if self.processes == 1:
            return batch
        size = tf.shape(batch)[0] // self.processes
        return batch[self.process * size : (self.process + 1) * size]

    def prepare(self, model: keras.Model) -> None:
        """Let a compiled model learn and be evaluated as on one device."""
        if self.count == 1:
            return
        for layer in model.layers:  # JAX takes the mean of the whole batch anyway
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = keras.backend.backend() == "tensorflow"
        accuracy = ["accuracy"]  # weighted, since some rows only fill up the last batch
        model.compile(
            model.optimizer, model.loss, weighted_metrics=accuracy, jit_compile=model.jit_compile
        )

    def agree(self, value: str, otherwise: str) -> None:
        """Wait for all processes; raise InputError in each unless they have the same `value`."""
        if self.processes == 1:
            return
        from jax.experimental import multihost_utils

        mine = np.frombuffer(hashlib.sha256(value.encode()).digest(), np.uint32)
        if np.any(multihost_utils.process_allgather(mine) != mine):
            raise InputError(otherwise)


ONE = Devices()


def device_name() -> str:
    """What the first device is, such as "NVIDIA H100 80GB HBM3"; "CPU" without a GPU."""
    if keras.backend.backend() == "jax":
        import jax

        device = jax.devices()[0]
        return "CPU" if device.platform == "cpu" else device.device_kind
    for gpu in tf.config.get_visible_devices("GPU"):
        return tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
    return "CPU"


def start(distribute: bool, batch_size: int, configuration: dict) -> Devices:
    """The devices to train on: one, or with `distribute` all; on JAX, meet the other processes.

    configuration: what the processes must have in common, as JSON holds it. To be called before
    anything is computed. Raises InputError for what cannot be shared out.
    """
    if not distribute:
        return ONE
    if keras.backend.backend() == "jax":
        devices = meet()
    elif keras.backend.backend() == "tensorflow":
        strategy = tf.distribute.MirroredStrategy()
        devices = Devices(strategy.scope, strategy.num_replicas_in_sync)
    else:
        raise InputError("--distribute needs KERAS_BACKEND=jax, or tensorflow")
    if batch_size % devices.count:
        raise InputError(
            f"--batch-size {batch_size} cannot be shared evenly by {devices.count} devices"
        )
    devices.agree(
        json.dumps(configuration, sort_keys=True),
        "the processes differ in their arguments or their faces; start all of them alike",
    )
    return devices


def meet() -> Devices:
    """All devices of all processes that the environment's settings name, or of this one alone."""
    missing = [name for name in SETTINGS if not os.environ.get(name)]
    if missing and len(missing) < len(SETTINGS):
        there = [name for name in SETTINGS if name not in missing]
        raise InputError(f"set {' and '.join(missing)} too, beside {' and '.join(there)}")
    import jax

    if not missing and not jax.distributed.is_initialized():  # by an earlier run in this process
        try:
            keras.distribution.initialize()
        except (ValueError, RuntimeError) as error:
            raise InputError(f"{SETTINGS[0]} etc.: {' '.join(str(error).split())}") from None
    parallel = keras.distribution.DataParallel(auto_shard_dataset=False)
    return Devices(
        parallel.scope, parallel.num_model_replicas, parallel.num_processes, parallel.data_shard_id
    )
