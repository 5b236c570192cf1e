"""Make a Keras classifier of 7 expressions, whoever built it, answer in the order of CLASSES."""

import numpy as np

from toolbox.analysis.model_layers import logits_model
from toolbox.dataset.faces import CLASSES
from toolbox.engine import keras
from toolbox.files import InputError

ALPHABETICAL = tuple(int(i) for i in np.argsort(CLASSES))  # of image_dataset_from_directory
ROUNDING = 0.02  # of sums of probabilities in bfloat16


def read_order(names: list[str] | tuple[str, ...] | str, where: str) -> tuple[int, ...]:
    """For each output the class it stands for, as a position in CLASSES.

    names: 7 names in the order of the outputs, or `alphabetical` alone; none for CLASSES itself.
    A name is known by its first three letters: `anger` and `Angry` are one.
    Raises InputError, which says `where`, unless each class is named once.
    """
    words = names if isinstance(names, (list, tuple)) else str(names).split()
    words = [str(name).strip().lower() for name in words]
    if not words:
        return tuple(range(len(CLASSES)))
    if words == ["alphabetical"]:
        return ALPHABETICAL
    beginnings = [name[:3].lower() for name in CLASSES]
    order = [beginnings.index(word[:3]) for word in words if word[:3] in beginnings]
    if len(words) != len(CLASSES) or sorted(order) != list(range(len(CLASSES))):
        raise InputError(
            f"{where}: the classes are {' '.join(words)}; give `alphabetical`, or these 7 in the "
            f"order of the outputs: {' '.join(CLASSES).lower()}"
        )
    return tuple(order)


def as_classifier(model: keras.Model, path) -> keras.Model:
    """The model with one float input of images and one output (None, 7).

    Of several outputs it takes the one of 7 values. Raises InputError if there is no such one.
    """
    shapes = [[tensor.shape for tensor in tensors] for tensors in (model.inputs, model.outputs)]
    answers = [tensor for tensor in model.outputs if tensor.shape == (None, len(CLASSES))]
    match shapes[0]:
        case [(_, _, _, 1 | 3)] if len(answers) == 1:
            pass
        case _:
            raise InputError(
                f"{path} takes {shapes[0]} and gives {shapes[1]}; needed are images "
                "(None, height, width, 1 or 3) and (None, 7)"
            )
    if len(shapes[1]) > 1:
        print(f"{path} has {len(shapes[1])} outputs; taken is the one of 7 values")
    if isinstance(getattr(model, "output", None), (dict, list, tuple)):
        model = keras.Model(model.inputs, answers[0])
    return model if "float" in model.inputs[0].dtype else with_float_input(model)


def with_float_input(model: keras.Model) -> keras.Model:
    """A copy that takes floats for whole numbers, which have no gradient."""
    config = model.get_config()
    for layer in config["layers"]:
        if layer["class_name"] == "InputLayer":
            layer["config"]["dtype"] = "float32"
    copy = type(model).from_config(config)
    copy.set_weights(model.get_weights())
    return copy


def in_order(model: keras.Model, order: tuple[int, ...]) -> keras.Model:
    """The model with its outputs in the order of CLASSES; output j stands for class order[j].

    A softmax stays the last layer, so that `logits_model` finds it.
    """
    if order == tuple(range(len(CLASSES))):
        return model
    inner = logits_model(model)
    output = keras.ops.take(inner.outputs[0], np.argsort(order), axis=-1)
    if inner is not model:
        output = keras.layers.Softmax()(output)
    return keras.Model(inner.inputs[0], output)


def last_activation(model: keras.Model) -> str:
    """`softmax`, `sigmoid`, `linear`, or the name of whatever else gives the model's output."""
    operation = model.outputs[0]._keras_history.operation
    if isinstance(operation, keras.Model):
        return last_activation(operation)
    activation = getattr(operation, "activation", None) or operation
    return getattr(activation, "__name__", type(activation).__name__).lower()


def as_probabilities(output: np.ndarray, activation: str) -> np.ndarray:
    """Outputs, float (n, 7), after `last_activation`, as probabilities: float64, rows sum to 1.

    Of logits it is the softmax. Outputs that are probabilities already are only divided by their
    sum, which is off 1 by more than 1e-3 after a softmax in bfloat16, and anything after sigmoids.
    """
    output = np.asarray(output, np.float64)
    within = ((output >= 0) & (output <= 1 + ROUNDING)).all()
    sums = output.sum(axis=1, keepdims=True)
    if activation == "linear":  # logits, unless they sum to 1
        within = within and np.allclose(sums, 1, atol=ROUNDING)
    if not within and activation not in ("softmax", "sigmoid"):
        output = np.exp(output - output.max(axis=1, keepdims=True))
        return output / output.sum(axis=1, keepdims=True)
    return np.where(sums > 0, output, 1) / np.where(sums > 0, sums, output.shape[1])
