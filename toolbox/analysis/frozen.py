"""A model that learns no more, made fast for the tens of thousands of answers that maps need.

Each batch norm becomes part of the convolution before it, which changes nothing but rounding. In
bfloat16, where the processor has instructions for it, the rest takes a quarter of the time.
"""

from __future__ import annotations

import itertools

import numpy as np

from toolbox.engine import keras, layers


def freeze(model: keras.Model, precision: str = "float32") -> keras.Model:
    """A copy that computes the same, without batch norms after convolutions or dense layers.

    In bfloat16 inputs are rescaled, and the last layer computed, in float32 still.
    A model with others inside, or with quantized layers, is returned as it is.
    """
    if not can_be_frozen(model):
        return model
    model = keras.Model(model.inputs[0], model.outputs[0])  # a Sequential cannot leave layers out
    norms, last = foldable_norms(model), model.outputs[0]._keras_history.operation
    exact = (layers.InputLayer, layers.Rescaling, layers.Normalization, layers.Resizing)
    if not norms and precision == "float32":
        return model

    def copy(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        if layer in norms:
            config["use_bias"] = True
        rough = precision == "bfloat16" and last not in (layer, norms.get(layer))
        if rough and isinstance(layer, keras.Layer) and not isinstance(layer, exact):
            config["dtype"] = "mixed_bfloat16"
        return type(layer).from_config(config)

    def call(layer: keras.Layer, *inputs, **named):
        return inputs[0] if layer.name in left_out else layer(*inputs, **named)

    left_out = {norm.name for norm in norms.values()}
    frozen = keras.models.clone_model(model, clone_function=copy, call_function=call)
    for layer in model.layers:
        if layer.weights and layer.name not in left_out:
            norm = norms.get(layer)
            weights = folded_weights(layer, norm) if norm else layer.get_weights()
            frozen.get_layer(layer.name).set_weights(weights)
    return frozen


def can_be_frozen(model: keras.Model) -> bool:
    """Whether `freeze` can rebuild it: no model is inside, and no layer is quantized."""
    return not any(isinstance(each, keras.Model) or each.quantization_mode for each in model.layers)


def computed_in(model: keras.Model, precision: str) -> str:
    """The precision of `freeze(model, precision)`: float32 if it is left as it is."""
    return precision if can_be_frozen(model) else "float32"


def foldable_norms(model: keras.Model) -> dict[keras.Layer, keras.Layer]:
    """Each linear convolution or dense layer whose output only a batch norm reads, and that.

    Both are called once: what layers share would be changed for all of them.
    """
    calls, readers, found = {}, {}, {}
    nodes = itertools.chain(*model._nodes_by_depth.values())  # also those of `x * y` and `x / 255`
    for node in nodes:
        calls.setdefault(node.operation, []).append(node)
        for tensor in node.input_tensors:
            readers.setdefault(id(tensor), []).append(node.operation)
    once = {layer: its[0] for layer, its in calls.items() if len(its) == 1}
    for layer, node in once.items():
        after = [norm for t in node.output_tensors for norm in readers.get(id(t), [])]
        if len(after) == 1 and after[0] in once and is_foldable(layer, after[0]):
            found[layer] = after[0]
    return found


def is_foldable(layer: keras.Layer, norm: keras.Layer) -> bool:
    """Whether `norm`, the only reader of `layer`, scales and shifts its linear filters."""
    return (
        type(layer) in (keras.layers.Conv2D, keras.layers.Dense)
        and layer.activation is keras.activations.linear
        and not layer.lora_enabled
        and getattr(layer, "data_format", "channels_last") == "channels_last"
        and isinstance(norm, keras.layers.BatchNormalization)
        and norm.axis in (-1, len(norm.input.shape) - 1)
    )


def folded_weights(layer: keras.Layer, norm: keras.Layer) -> list[np.ndarray]:
    """Kernel and bias of a layer that does the work of the batch norm too."""
    kernel, *bias = layer.get_weights()
    scale = 1 / np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
    scale = scale * np.asarray(norm.gamma) if norm.scale else scale
    shift = np.asarray(norm.beta) if norm.center else 0
    return [kernel * scale, (sum(bias) - np.asarray(norm.moving_mean)) * scale + shift]
