"""What a network computes in: float32, or bfloat16 where this machine is faster at it."""

from __future__ import annotations

from toolbox.engine import keras, tf
from toolbox.provenance import bfloat16_instructions
from toolbox.training import checkpoint
from toolbox.training.run_records import Run

LEAST_WIDTH = 32  # channels of the first stage; on AMX 32 are twice as fast, 24 no faster


def obstacle() -> str:
    """Why bfloat16 would not be faster here; "" if it would be."""
    if not bfloat16_instructions():
        return "this processor has no instructions for bfloat16"
    if keras.backend.backend() != "tensorflow" or tf.config.list_physical_devices("GPU"):
        return "bfloat16 was measured with TensorFlow on a CPU only"
    return ""


def choose(precision: str, width: int = LEAST_WIDTH) -> str:
    """`precision`, or for "auto" what this machine is fast at with so many channels: float32 or
    bfloat16.
    """
    if precision != "auto":
        return precision
    return "float32" if width < LEAST_WIDTH or obstacle() else "bfloat16"


def choose_for_run(precision: str, width: int, run: Run) -> str:
    """`choose` for training a network with that many channels; says which, and why.

    A run that is resumed keeps its precision. Raises InputError if its state is damaged.
    """
    if precision != "auto":
        return precision
    if run.state.exists() and not run.fresh:
        return checkpoint.configuration_of(run.state).get("precision", "float32")
    why = obstacle() or ("the network is narrow" if width < LEAST_WIDTH else "")
    chosen = "float32" if why else "bfloat16"
    why = why or f"this processor has {' and '.join(bfloat16_instructions())}"
    print(f"Precision: {chosen}, since {why}; --precision names another")
    return chosen
