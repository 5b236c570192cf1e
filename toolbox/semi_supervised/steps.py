"""Updates on either of two Keras backends, TensorFlow or JAX.

TensorFlow makes the batches in both cases, on the processor; the network computes where Keras does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from toolbox.engine import keras, tf
from toolbox.files import InputError
from toolbox.training.batches import made_ahead

Batch = tuple  # of tensors; which ones is up to the method


def check_backend() -> None:
    """Raise InputError for a Keras backend that `make_step` does not know."""
    if keras.backend.backend() not in ("tensorflow", "jax"):
        raise InputError("this script needs KERAS_BACKEND=jax, or tensorflow")


def ahead(batch: Callable[[tf.Tensor], Batch], updates: int) -> Callable[[int], Batch]:
    """`batch` of an update, int32, made while the network still learns from the one before.

    batch: made of TensorFlow's operations; its result must follow from the number of the update.
    """
    coming, upcoming = iter(()), -1

    def of(update: int) -> Batch:
        nonlocal coming, upcoming
        if update != upcoming:  # at the start, where a run resumes
            numbers = tf.data.Dataset.range(update, updates)
            coming = iter(made_ahead(numbers, lambda number: batch(tf.cast(number, tf.int32))))
        upcoming = update + 1
        return next(coming)

    return of


def make_step(
    loss: Callable[..., tuple],
    optimizer: keras.optimizers.Optimizer,
    trained: list[keras.Variable],
    others: list[keras.Variable],
    after: Callable[[object], None] = lambda update: None,
) -> Callable[[int, Batch], tuple]:
    """step(update, batch): a step of `optimizer` down the gradient of `loss(*batch)`.

    loss: of Keras's operations; gives a scalar, and a tuple of what else the method wants to know.
    The step gives both. others: all variables besides the trained ones and the optimizer's that
    `loss`, or `after(update)` at the end of the step, changes.
    """
    optimizer.build(trained)
    if keras.backend.backend() == "jax":
        return _jax_step(loss, optimizer, trained, others, after)

    @tf.function(autograph=False)  # which takes a second
    def compute(update: tf.Tensor, batch: Batch) -> tuple:
        with tf.GradientTape() as tape:
            value, told = loss(*batch)
        optimizer.apply(tape.gradient(value, trained), trained)
        after(update)
        return value, told

    return lambda update, batch: compute(tf.constant(update), batch)


def _jax_step(loss, optimizer, trained, others, after) -> Callable[[int, Batch], tuple]:
    """`make_step`, as a function without side effects: JAX knows no variables."""
    import jax

    variables = [*trained, *others, *optimizer.variables]

    def compute(values: list, update, batch: Batch) -> tuple:
        def of_trained(new: list) -> tuple:
            state = zip(variables, [*new, *values[len(new) :]], strict=True)
            with keras.StatelessScope(state) as scope:
                value, told = loss(*batch)
            return value, (told, [scope.get_current_value(each) for each in variables])

        gradient = jax.value_and_grad(of_trained, has_aux=True)
        (value, (told, changed)), gradients = gradient(values[: len(trained)])
        with keras.StatelessScope(zip(variables, changed, strict=True)) as scope:
            optimizer.apply(gradients, trained)
            after(update)
        return value, told, [scope.get_current_value(each) for each in variables]

    compiled = jax.jit(compute, donate_argnums=0)

    def step(update: int, batch: Batch) -> tuple:
        values = [variable.value for variable in variables]
        batch = [np.asarray(tensor) for tensor in batch]
        value, told, values = compiled(values, np.int32(update), batch)
        for variable, new in zip(variables, values, strict=True):
            variable.assign(new)
        return value, told

    return step
