"""What a network computes in: float32, or bfloat16 where this machine is faster at it."""

from __future__ import annotations

from toolbox.engine import keras, tf
from toolbox.provenance import bfloat16_instructions
from toolbox.training import checkpoint
from toolbox.training.run_records import Run

LEAST_WIDTH = 32  # channels of the first stage; on AMX 32 are twice as fast, 24 no faster


def choose(precision: str, width: int, run: Run) -> str:
    """`precision`, or for "auto" what suits a network with that many channels; says which.

    A run that is resumed keeps its precision. Raises InputError if its state is damaged.
    """
    if precision != "auto":
        return precision
    if run.state.exists() and not run.fresh:
        return checkpoint.configuration_of(run.state).get("precision", "float32")
    instructions = bfloat16_instructions()
    if not instructions:
        chosen, why = "float32", "this processor has no instructions for bfloat16"
    elif width < LEAST_WIDTH:
        chosen, why = "float32", "the network is narrow"
    elif keras.backend.backend() != "tensorflow" or tf.config.list_physical_devices("GPU"):
        chosen, why = "float32", "bfloat16 was measured with TensorFlow on a CPU only"
    else:
        chosen, why = "bfloat16", f"this processor has {' and '.join(instructions)}"
    print(f"Precision: {chosen}, since {why}; --precision names another")
    return chosen
