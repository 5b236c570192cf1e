"""The optimizers, each with its learning rate from the first step to the last."""

from __future__ import annotations

from toolbox.engine import keras
from toolbox.training.fused import FusedAdadelta


def one_cycle(
    steps: int, learning_rate: float, weight_decay: float, warmup: float = 0.25
) -> keras.optimizers.Optimizer:
    """SGD whose learning rate climbs from a 25th of its peak, then falls to 0.

    warmup: fraction of all `steps` in which it climbs.

    After L. N. Smith, "A disciplined approach to neural network hyper-parameters" (2018), with a
    cosine. Nesterov momentum 0.9. `learning_rate` is the peak; each step takes `weight_decay` times
    the current rate off the weights, outside of the momentum.
    """
    climbing = int(warmup * steps)
    rate = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=learning_rate / 25,
        warmup_target=learning_rate,
        warmup_steps=climbing,
        decay_steps=steps - climbing,
    )
    return keras.optimizers.SGD(
        rate, momentum=0.9, nesterov=True, weight_decay=weight_decay or None
    )


def adadelta(learning_rate: float) -> keras.optimizers.Optimizer:
    """The homework's Adadelta, at one learning rate."""
    return FusedAdadelta(learning_rate, rho=0.95, epsilon=1e-8)
