"""Inside a Keras model: its layers, what they output, and its logits."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

from toolbox.engine import keras, tf


@contextlib.contextmanager
def record_activations(
    watched: list[keras.Layer],
    before_activation: bool = False,
    tape: tf.GradientTape | None = None,
) -> Iterator[dict[keras.Layer, tf.Tensor]]:
    """Within this context, keep what some layers output, or what their activation is given.

    Reaches layers of nested models too, which no new graph from the model's input could. Of a layer
    that is called more than once it keeps the first output, as `tensors` does, or with a tape the
    last one.
    tape: to watch these outputs, for gradients by them and by nothing before them.
    """
    kept, before = {}, {layer: layer.call for layer in watched}

    def keep(layer: keras.Layer, output: tf.Tensor) -> tf.Tensor:
        if tape is None:
            return kept.setdefault(layer, output)
        kept[layer] = output
        tape.watch(output)
        return output

    def call_and_keep(layer: keras.Layer, *inputs, **named):
        activation = getattr(layer, "activation", None) if before_activation else None
        if activation is None:
            return keep(layer, before[layer](*inputs, **named))
        layer.activation = keras.activations.linear
        try:
            output = before[layer](*inputs, **named)
        finally:
            layer.activation = activation
        return activation(keep(layer, output))

    try:
        for layer in watched:
            layer.call = functools.partial(call_and_keep, layer)
        yield kept
    finally:
        for layer, call in before.items():
            layer.call = call


def named_layers(model: keras.Model, prefix: str = "") -> Iterator[tuple[str, keras.Layer]]:
    """All layers in order, those of nested models among them as OUTER/INNER."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from named_layers(layer, f"{prefix}{layer.name}/")
        else:
            yield prefix + layer.name, layer


def convolutions(model: keras.Model) -> list[tuple[str, keras.Layer]]:
    """Its two-dimensional convolutions in order, separable and depthwise ones, by name.

    Not those of `channels_first`, whose maps would be taken for rows.
    """
    kinds = (keras.layers.Conv2D, keras.layers.SeparableConv2D, keras.layers.DepthwiseConv2D)
    found = [(name, layer) for name, layer in named_layers(model) if isinstance(layer, kinds)]
    return [(name, layer) for name, layer in found if layer.data_format == "channels_last"]


def last_feature_maps(model: keras.Model) -> keras.Layer | None:
    """The last layer that outputs maps of the last convolution's size: after the batch norm,
    shortcut and nonlinearity that may follow it, before the pooling. None without a convolution.
    """
    found = [layer for _, layer in convolutions(model)][-1:]
    size = map_sizes(*found) if found else []
    for _, layer in named_layers(model):
        if size and map_sizes(layer) == size:
            found = [layer]
    return found[0] if found else None


def map_sizes(layer: keras.Layer) -> list:
    """Height and width of each of a layer's outputs."""
    return [tensor.shape[1:3] for tensor in tensors(layer, "output")]


def tensors(layer: keras.Layer, which: str) -> list:
    """A layer's symbolic inputs or outputs, of its first call; none of one that has no graph."""
    try:
        return keras.tree.flatten(getattr(layer, which))
    except (AttributeError, ValueError):
        return []


def logits_model(model: keras.Model) -> keras.Model:
    """The same model up to its logits, its outputs before the last softmax.

    The softmax may be a layer of its own, part of a Dense layer, or inside a nested model. A model
    without one is returned as it is.
    """
    last, node, _ = model.outputs[0]._keras_history  # the last layer, unless `a + b` comes after
    inputs, given = map(one_or_all, (model.inputs, last._inbound_nodes[node].input_tensors))
    if isinstance(last, keras.Model):
        inner = logits_model(last)
        return model if inner is last else keras.Model(inputs, named_anew(inner(given), model))
    if isinstance(last, keras.layers.Softmax):
        return keras.Model(inputs, given)
    if getattr(last, "activation", None) is not keras.activations.softmax:
        return model
    if isinstance(last, keras.layers.Activation):
        return keras.Model(inputs, given)
    linear = type(last).from_config(last.get_config() | {"activation": None})
    output = named_anew(linear(given), model)
    linear.set_weights(last.get_weights())
    return keras.Model(inputs, output)


def named_anew(output: keras.KerasTensor, model: keras.Model) -> keras.KerasTensor:
    """`output` itself, after its operation got a name that none in `model` has.

    Keras counts up names within a process alone, and refuses a graph that has one twice.
    """
    taken = {each.name for each in keras.Model(model.inputs, model.outputs).operations}
    operation = output._keras_history.operation
    while operation.name in taken:
        operation.name += "_"
    return output


def one_or_all(tensors: list):
    """The only one, or the list of them, as Keras takes it."""
    return tensors[0] if len(tensors) == 1 else tensors
