"""The convolutions of a model: where their filters' activations are read, and what a unit sees."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np

from toolbox.analysis.model_layers import convolutions, named_layers, record_activations, tensors
from toolbox.dataset.faces import SIDE
from toolbox.engine import keras, layers
from toolbox.files import InputError


class Field(NamedTuple):
    """The receptive field of a unit; each an array (vertical, horizontal), in input pixels."""

    size: np.ndarray
    jump: np.ndarray  # from one unit to the next
    first: np.ndarray  # the centre of the first unit's field


class FilterLayer(NamedTuple):
    """A convolution and where the activations of its filters are read."""

    name: str
    layer: keras.Layer
    measured: keras.Layer  # its output is read: the convolution, or the batch norm after it
    rectified: bool  # a ReLU follows at once, so that a filter never above 0 is dead
    first: bool  # no convolution comes before: the kernels can be shown as pictures
    shape: tuple[int, int, int]  # height and width of its maps, filters
    field: Field
    scale: np.ndarray  # pixels of a 48x48 face per pixel of the model's input

    @property
    def filters(self) -> int:
        return self.shape[2]

    @property
    def middle(self) -> tuple[int, int]:
        """Row and column of the unit in the middle of a map."""
        return self.shape[0] // 2, self.shape[1] // 2

    @property
    def field_on_face(self) -> np.ndarray:
        """Height and width of the receptive field in pixels of a 48x48 face, at least 1."""
        return np.maximum(np.round(self.field.size * self.scale), 1).astype(int)

    @property
    def sees_whole_face(self) -> bool:
        return bool((self.field_on_face >= SIDE).any())

    @property
    def file_name(self) -> str:
        """Its name in names of files; layers of nested models have a / in theirs."""
        return self.name.replace("/", "_")

    def field_text(self) -> str:
        return "x".join(f"{size:.0f}" for size in self.field.size)


def filter_layers(model: keras.Model) -> list[FilterLayer]:
    """The convolutions of a model in order. Raises InputError if it has none."""
    found = convolutions(model)
    if not found:
        raise InputError(
            "this model has no convolution of channels_last, and so no filters to look at"
        )
    readers = {id(t): layer for _, layer in named_layers(model) for t in tensors(layer, "input")}

    def after(layer: keras.Layer) -> keras.Layer | None:
        return next((readers[id(t)] for t in tensors(layer, "output") if id(t) in readers), None)

    _, *sides, channels = model.input_shape
    sides = [side or SIDE for side in sides]
    with record_activations([layer for _, layer in found]) as kept:  # sizes may be known only now
        model(np.zeros((1, *sides, channels), np.float32), training=False)
    fields, scale = receptive_fields(model), SIDE / np.array(sides)
    return [
        FilterLayer(
            name,
            layer,
            *reading_point(layer, after),
            first=layer is found[0][1],
            shape=tuple(kept[layer].shape[1:]),
            field=fields[layer],
            scale=scale,
        )
        for name, layer in found
    ]


def choose_layers(model: keras.Model, names: Collection[str] = ()) -> list[FilterLayer]:
    """The convolutions of those names, or all if none is given.

    Raises InputError for a name that no convolution has.
    """
    found = filter_layers(model)
    there = [target.name for target in found]
    for name in names:
        if name not in there:
            raise InputError(f"there is no convolution {name}; there are {', '.join(there)}")
    return [target for target in found if not names or target.name in names]


def reading_point(layer: keras.Layer, after: Callable) -> tuple[keras.Layer, bool]:
    """The layer whose output is what a convolution's nonlinearity is given; is that a ReLU?

    after: the layer that reads a given layer's output, or None.
    """
    relu = keras.activations.relu
    if layer.activation is not keras.activations.linear:
        return layer, layer.activation is relu
    follower = after(layer)
    measured = follower if isinstance(follower, layers.BatchNormalization) else layer
    last = after(measured)
    activation = isinstance(last, layers.Activation) and last.activation is relu
    return measured, activation or isinstance(last, layers.ReLU)


def receptive_fields(model: keras.Model) -> dict[keras.Layer, Field]:
    """Each layer's field, by the arithmetic of kernels, strides and padding along its widest path
    (A. Araujo et al., "Computing receptive fields of convolutional neural networks", 2019).

    What passes a global pooling, as in squeeze-and-excitation, has no place and does not count.
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
    """The field of a unit of `layer`, given that of a unit of its input."""
    size, jump, first = field
    if isinstance(layer, layers.ZeroPadding2D):
        return Field(size, jump, first - jump * [before for before, _ in layer.padding])
    if isinstance(layer, (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)):
        return Field(np.zeros(2), jump, first)
    if isinstance(layer, layers.Cropping2D):
        return Field(size, jump, first + jump * [before for before, _ in layer.cropping])
    kernel = getattr(layer, "kernel_size", getattr(layer, "pool_size", None))
    if isinstance(layer, (layers.Resizing, layers.UpSampling2D)) and tensors(layer, "output"):
        sides, after = (tensors(layer, which)[0].shape[1:3] for which in ("input", "output"))
        ratio = np.array([a / b if a and b else 1 for a, b in zip(sides, after, strict=True)])
        return Field(size, jump * ratio, first + jump * (ratio - 1) / 2)
    if kernel is None or len(kernel) != 2:  # of 1 or 3 dimensions, it has no place on the face
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


def field_box(target: FilterLayer, place: tuple[int, int]) -> tuple[int, int, int, int]:
    """The field of the unit at `place`: top, left, height and width in pixels of the face.

    It may reach beyond the face.
    """
    centre = (target.field.first + np.array(place) * target.field.jump + 0.5) * target.scale
    top, left = np.round(centre - target.field_on_face / 2).astype(int)
    return int(top), int(left), *map(int, target.field_on_face)


def crop(face: np.ndarray, target: FilterLayer, place: tuple[int, int]) -> np.ndarray:
    """The patch of a face (48, 48) that the unit at `place` sees, the face's edge repeated beyond.

    For a field of the face's size or more it is the face.
    """
    if target.sees_whole_face:
        return face
    top, left, height, width = field_box(target, place)
    return np.pad(face, SIDE, mode="edge")[top + SIDE :, left + SIDE :][:height, :width]
