"""Make a Keras classifier of expressions, whoever built it, answer in the order of our classes."""

from __future__ import annotations

import re

import numpy as np

from toolbox.analysis.model_layers import logits_model, named_anew
from toolbox.dataset.classes import class_name
from toolbox.dataset.faces import CLASSES, SIDE
from toolbox.engine import keras, tf
from toolbox.files import InputError

ALPHABETICAL = tuple(sorted(CLASSES))  # of image_dataset_from_directory
ROUNDING = 0.02  # of sums of probabilities in bfloat16


def read_classes(names: list[str] | tuple[str, ...] | str, where: str) -> tuple[str, ...]:
    """The classes that outputs stand for, in their order.

    names: two or more, in any spelling. `alphabetical` alone means FER2013's classes in
    alphabetical order; no name means FER2013's own order.
    Raises InputError, which says `where`, for what are no names, or one of them twice.
    """
    words = names if isinstance(names, (list, tuple)) else str(names).split()
    words = [str(name) for name in words]
    if not words:
        return CLASSES
    if [word.strip().lower() for word in words] == ["alphabetical"]:
        return ALPHABETICAL
    try:
        classes = tuple(map(class_name, words))
        if not len(set(classes)) == len(classes) >= 2:
            raise ValueError
    except ValueError:
        raise InputError(
            f"{where}: the classes are {' '.join(words)}; give `alphabetical`, or the name of each "
            f"in the order of the outputs, such as {' '.join(CLASSES).lower()}"
        ) from None
    return classes


def as_classifier(
    model: keras.Model, path, count: int = len(CLASSES), told: str = ""
) -> keras.Model:
    """The model with one float input of images and one output (None, count).

    Of several outputs it takes the one of `count` values. told: what says how many; "" if nothing.
    Raises InputError if there is no such one.
    """
    shapes = [[tensor.shape for tensor in tensors] for tensors in (model.inputs, model.outputs)]
    answers = [tensor for tensor in model.outputs if tensor.shape == (None, count)]
    match shapes:
        case [(None, _, _, 1 | 3)], _ if len(answers) == 1:
            pass
        case [(None, _, _, 1 | 3)], [(_, other)] if other and other > 1:
            reason = f"{told} names {count}" if told else "nothing says which classes those are"
            raise InputError(
                f"{path} has {other} outputs, and {reason}; name the classes in the order of the "
                f"outputs, as --classes {' '.join(CLASSES[:3]).lower()} ..."
            )
        case _:
            raise InputError(
                f"{path} takes {shapes[0]} and gives {shapes[1]}; needed are one "
                f"input (None, height, width, 1 or 3) and one output (None, {count}); put layers "
                "around it, such as Reshape and Permute, that give it that form, and save the whole"
            )
    if len(shapes[1]) > 1:
        print(f"{path} has {len(shapes[1])} outputs; taken is the one of {count} values")
    if isinstance(getattr(model, "output", None), (dict, list, tuple)):
        model = keras.Model(model.inputs, answers[0])
    return model if "float" in model.inputs[0].dtype else with_float_input(model)


def refuse_what_fails(model: keras.Model, path) -> None:
    """Raise InputError for a model that TensorFlow cannot call on a face."""
    _, *sides, channels = model.input_shape
    shape = (None, *(side or SIDE for side in sides), channels)
    try:
        call = tf.function(lambda faces: model(faces, training=False))
        call.get_concrete_function(tf.TensorSpec(shape, tf.float32))
    except Exception as error:  # each layer raises its own
        said = re.search(r"\x1b\[1m(.*?)(\.? A scope| for '|\x1b|\n)", str(error))  # in bold
        reason = said[1] if said else type(error).__name__
        remedy = (
            "rename its layers" if "scope name" in reason else "give it an input size of its own"
        )
        raise InputError(
            f"{path} cannot be called on a face, {shape[1:]}: {reason}; {remedy}, and save it again"
        ) from None


def with_float_input(model: keras.Model) -> keras.Model:
    """A copy that takes floats for whole numbers, which have no gradient."""
    config = model.get_config()
    for layer in config["layers"]:
        if layer["class_name"] == "InputLayer":
            layer["config"]["dtype"] = "float32"
    copy = type(model).from_config(config)
    copy.set_weights(model.get_weights())
    return copy


def with_outputs(model: keras.Model, positions: list[int]) -> keras.Model:
    """The model with those of its outputs alone, in that order.

    A softmax stays the last layer, so that `logits_model` finds it.
    """
    if list(positions) == list(range(model.outputs[0].shape[-1])):
        return model
    inner = logits_model(model)
    output = named_anew(keras.ops.take(inner.outputs[0], positions, axis=-1), model)
    if inner is not model:
        output = named_anew(keras.layers.Softmax()(output), model)
    elif last_activation(model) == "linear":  # known by its last layer too
        output = named_anew(keras.layers.Activation("linear")(output), model)
    return keras.Model(inner.inputs[0], output)


def last_activation(model: keras.Model) -> str:
    """`softmax`, `sigmoid`, `linear`, or the name of whatever else gives the model's output."""
    operation = model.outputs[0]._keras_history.operation
    if isinstance(operation, keras.Model):
        return last_activation(operation)
    activation = getattr(operation, "activation", None) or operation
    return getattr(activation, "__name__", type(activation).__name__).lower()


def are_probabilities(output: np.ndarray, activation: str) -> bool:
    """Whether outputs, float (n, k), after `last_activation`, are probabilities, not logits."""
    if activation in ("softmax", "sigmoid"):
        return True
    within = ((output >= 0) & (output <= 1 + ROUNDING)).all()
    if activation == "linear":  # logits, unless they sum to 1
        within = within and np.allclose(output.sum(axis=1), 1, atol=ROUNDING)
    return bool(within)


def as_probabilities(output: np.ndarray, activation: str) -> np.ndarray:
    """Outputs, float (n, k), after `last_activation`, as probabilities: float64, rows sum to 1.

    Of logits it is the softmax. Outputs that are probabilities already are only divided by their
    sum, which is off 1 by more than 1e-3 after a softmax in bfloat16, and anything after sigmoids.
    """
    output = np.asarray(output, np.float64)
    if not are_probabilities(output, activation):
        output = np.exp(output - output.max(axis=1, keepdims=True))
    sums = output.sum(axis=1, keepdims=True)
    return np.where(sums > 0, output, 1) / np.where(sums > 0, sums, output.shape[1])
