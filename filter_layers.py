"""The convolutions of a model: where their filters are looked at, and what each unit sees."""

from typing import NamedTuple

import numpy as np

import utils
from utils import SIDE, InputError
from attribution import CONVOLUTIONS
from classifier import named_layers, observed, tensors

with utils.quiet_stderr():
    import keras
from keras import layers


class Field(NamedTuple):
    """The square of input pixels that a unit sees; each an array (vertical, horizontal)."""

    size: np.ndarray  # pixels
    jump: np.ndarray  # from one unit to the next, pixels
    first: np.ndarray  # the middle of the first unit's square, pixels


class FilterLayer(NamedTuple):
    """A convolution and where its filters are looked at."""

    name: str
    layer: keras.Layer
    seen: keras.Layer  # whose output is looked at: the convolution, or the batch norm after it
    rectified: bool  # a ReLU follows at once, so that a filter never above 0 is dead
    height: int
    width: int
    filters: int
    field: Field

    @property
    def middle(self) -> tuple[int, int]:
        return self.height // 2, self.width // 2

    def field_text(self) -> str:
        return "x".join(f"{size:.0f}" for size in self.field.size)


def filter_layers(model: keras.Model) -> list[FilterLayer]:
    """The convolutions of a model in order. Raises InputError if it has none."""
    reads = {id(t): layer for _, layer in named_layers(model) for t in tensors(layer, "input")}

    def after(layer: keras.Layer) -> keras.Layer | None:
        return next((reads[id(t)] for t in tensors(layer, "output") if id(t) in reads), None)

    found = []
    for name, layer in named_layers(model):
        if isinstance(layer, CONVOLUTIONS):
            linear, seen = layer.activation is keras.activations.linear, layer
            if linear and isinstance(after(layer), layers.BatchNormalization):
                seen = after(layer)
            last = after(seen) if linear else layer
            relu = isinstance(last, layers.ReLU) or (
                (not linear or isinstance(last, layers.Activation))
                and last.activation is keras.activations.relu
            )
            found.append((name, layer, seen, relu))
    if not found:
        raise InputError("this model has no convolution, and so no filters to look at")
    _, height, width, channels = model.input_shape
    with observed([layer for _, layer, *_ in found]) as kept:  # a map's size may be known only now
        model(np.zeros((1, height or SIDE, width or SIDE, channels), np.float32), training=False)
    fields = receptive_fields(model)
    return [FilterLayer(*one, *kept[one[1]].shape[1:], fields[one[1]]) for one in found]


def receptive_fields(model: keras.Model) -> dict[keras.Layer, Field]:
    """Each layer's field, by the arithmetic of kernels, strides and padding along its widest path.

    What passes a global pooling, as in squeeze-and-excitation, carries no place and counts nothing.
    """
    fields, of_tensor, last = {}, {}, Field(np.ones(2), np.ones(2), np.zeros(2))
    for _, layer in named_layers(model):
        known = [of_tensor[id(t)] for t in tensors(layer, "input") if id(t) in of_tensor]
        # The inputs of a nested model are its own: there the layer before goes on.
        before = max(known, key=lambda field: field.size.max()) if known else last
        last = fields[layer] = grow(before, layer)
        of_tensor |= {id(tensor): last for tensor in tensors(layer, "output")}
    return fields


def grow(field: Field, layer: keras.Layer) -> Field:
    """The field of a unit of `layer`, given that of a unit of what it reads."""
    size, jump, first = field
    if isinstance(layer, layers.ZeroPadding2D):
        return Field(size, jump, first - jump * [before for before, _ in layer.padding])
    if isinstance(layer, (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)):
        return Field(np.zeros(2), jump, first)
    kernel = getattr(layer, "kernel_size", getattr(layer, "pool_size", None))
    if kernel is None:
        return field
    dilation = np.broadcast_to(getattr(layer, "dilation_rate", 1), 2)
    kernel, stride = (np.array(kernel) - 1) * dilation + 1, np.broadcast_to(layer.strides, 2)
    padding = np.zeros(2)
    if layer.padding == "same":
        # An unknown side is taken for a multiple of the stride, as 48 is of the usual ones.
        sides = np.array([a or b for a, b in zip(layer.input.shape[1:3], stride, strict=True)])
        padding = np.maximum((np.ceil(sides / stride) - 1) * stride + kernel - sides, 0) // 2
    return Field(
        size + (kernel - 1) * jump, jump * stride, first + ((kernel - 1) / 2 - padding) * jump
    )


def crop(face: np.ndarray, target: FilterLayer, place: tuple[int, int], sides) -> np.ndarray:
    """The part of a face (48, 48) that the unit at `place` sees, white where it sees beyond it.

    sides: height and width of the model's input. A field of the face's size or more is the face.
    """
    scale = SIDE / np.array([side or SIDE for side in sides])
    size = np.maximum(np.round(target.field.size * scale), 1).astype(int)
    if (size >= SIDE).any():
        return face
    middle = (target.field.first + np.array(place) * target.field.jump + 0.5) * scale
    top, left = np.round(middle - size / 2).astype(int) + SIDE
    padded = np.pad(face.astype(np.float32), SIDE, constant_values=255)
    return padded[top : top + size[0], left : left + size[1]]
