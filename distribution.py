"""Training on several devices at once, by Keras's own engines: what `--distribute` switches on.

On the JAX backend the devices of all processes work as one (keras.distribution.DataParallel), on
TensorFlow's the GPUs of this machine do (tf.distribute.MirroredStrategy). Every process runs the
same script on the same faces with the same arguments; the first one prints and writes.
"""

import contextlib
import hashlib
import os
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import utils
from utils import Faces, InputError

with utils.quiet_stderr():
    import keras
    import tensorflow as tf

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

    def whole(self, rows: int) -> int:
        """The most of so many rows that the devices can share evenly."""
        return rows // self.count * self.count

    def share(self, batch: tf.Tensor) -> tf.Tensor:
        """The rows of a whole batch that are this process's to feed."""
        if self.processes == 1:
            return batch
        size = tf.shape(batch)[0] // self.processes
        return batch[self.process * size : (self.process + 1) * size]

    def prepare(self, model: keras.Model) -> None:
        """Let a compiled model learn and be judged as on one device."""
        if self.count == 1:
            return
        for layer in model.layers:  # JAX takes the mean of the whole batch anyway
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = keras.backend.backend() == "tensorflow"
        accuracy = ["accuracy"]  # weighted, for some rows only fill up the last batch
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


def start(args, faces: Faces) -> Devices:
    """The devices that `args` ask for; on JAX's, meet the other processes.

    args: `distribute`, `batch_size`, and all else that the processes must have in common. To be
    called before anything is computed. Raises InputError for what cannot be shared out.
    """
    if not args.distribute:
        return ONE
    if keras.backend.backend() == "jax":
        devices = meet()
    elif keras.backend.backend() == "tensorflow":
        strategy = tf.distribute.MirroredStrategy()
        devices = Devices(strategy.scope, strategy.num_replicas_in_sync)
    else:
        raise InputError("--distribute needs KERAS_BACKEND=jax, or tensorflow")
    if args.batch_size % devices.count:
        raise InputError(
            f"--batch-size {args.batch_size} cannot be shared evenly by {devices.count} devices"
        )
    apart = ("data", "models_dir", "figures_dir")
    common = {name: str(value) for name, value in vars(args).items() if name not in apart}
    devices.agree(
        f"{common} {faces.sha256}",
        "the processes differ in their arguments or their faces; start all of them alike",
    )
    if devices.process:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (until the end)
    return devices


def meet() -> Devices:
    """All devices of all processes that the environment's settings name, or of this one alone."""
    missing = [name for name in SETTINGS if not os.environ.get(name)]
    if missing and len(missing) < len(SETTINGS):
        raise InputError(f"{' and '.join(missing)} must be set where {SETTINGS[0]} etc. are")
    if not missing:
        try:
            keras.distribution.initialize()
        except (ValueError, RuntimeError) as error:
            raise InputError(f"{SETTINGS[0]} etc.: {' '.join(str(error).split())}") from None
    parallel = keras.distribution.DataParallel(auto_shard_dataset=False)
    return Devices(
        parallel.scope, parallel.num_model_replicas, parallel.num_processes, parallel.data_shard_id
    )
