"""A model's layers are found wherever they are, and its softmax is undone whatever its form."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import make_faces
from keras import layers

import train_cnn
from toolbox.analysis.model_layers import (
    convolutions,
    last_feature_maps,
    logits_model,
    named_layers,
    record_activations,
)

FACES = make_faces(8)[0][..., np.newaxis] / np.float32(2550)
SOFTMAX = {
    "a layer": lambda: [layers.Dense(7), layers.Softmax()],
    "an activation": lambda: [layers.Dense(7), layers.Activation("softmax")],
    "of a Dense layer": lambda: [layers.Dense(7, activation="softmax")],
    "nested": lambda: [sequential((5,), layers.Dense(7), layers.Softmax())],
    "nested, of a Dense layer": lambda: [sequential((5,), layers.Dense(7, activation="softmax"))],
}


def sequential(shape: tuple[int, ...], *stack: keras.Layer) -> keras.Sequential:
    return keras.Sequential([keras.Input(shape), *stack])


@pytest.mark.parametrize("form", SOFTMAX)
def test_every_kind_of_softmax_is_undone(form):
    keras.utils.set_random_seed(0)
    features = layers.Flatten(), layers.Dense(5, activation="relu")
    model = sequential((48, 48, 1), *features, *SOFTMAX[form]())
    logits = logits_model(model)(FACES).numpy()
    assert not np.allclose(logits.sum(axis=1), 1)
    np.testing.assert_allclose(tf.nn.softmax(logits), model(FACES), atol=1e-6)


@pytest.mark.parametrize("form", ["a layer", "of a Dense layer", "nested"])
def test_a_softmax_that_attention_uses_too_is_undone_where_it_is_last(form):
    inputs, softmax = keras.Input((48, 48, 1)), SOFTMAX[form]()[-1]
    five = layers.Dense(5)(layers.Flatten()(inputs))
    gated = layers.Dense(5)(softmax(five))
    model = keras.Model(inputs, softmax(five * gated))
    np.testing.assert_allclose(tf.nn.softmax(logits_model(model)(FACES)), model(FACES), atol=1e-6)


def test_a_softmax_inside_an_average_is_no_end():
    inputs = keras.Input((48, 48, 1))
    flat = layers.Flatten()(inputs)
    one, other = (layers.Dense(7, activation="softmax")(flat) for _ in range(2))
    model = keras.Model(inputs, (one + other) / 2)
    assert logits_model(model) is model


def test_maps_of_channels_first_are_not_taken_for_rows():
    turned = layers.Permute((3, 1, 2)), layers.Conv2D(3, 3, data_format="channels_first")
    assert not convolutions(sequential((48, 48, 1), *turned))


def test_a_model_that_ends_in_logits_is_returned_as_it_is():
    model = sequential((48, 48, 1), layers.Flatten(), layers.Dense(7))
    assert logits_model(model) is model


def test_layers_of_nested_models_are_named_and_recorded():
    convolution = layers.Conv2D(3, 3, activation="relu", name="conv")
    inner = keras.Sequential([keras.Input((48, 48, 1)), convolution], name="inner")
    model = sequential((48, 48, 1), inner, layers.GlobalAveragePooling2D(), layers.Dense(7))
    assert next(name for name, _ in named_layers(model)) == "inner/conv"
    with record_activations([convolution]) as after:
        model(FACES)
    with record_activations([convolution], before_activation=True) as before:
        output = model(FACES)
    np.testing.assert_allclose(after[convolution], convolution(FACES), rtol=1e-6)
    np.testing.assert_allclose(after[convolution], tf.nn.relu(before[convolution]), rtol=1e-6)
    assert float(tf.reduce_min(before[convolution])) < 0
    np.testing.assert_allclose(output, model(FACES), rtol=1e-6)
    with (
        pytest.raises(ZeroDivisionError),
        record_activations([convolution], before_activation=True),
    ):
        1 / 0  # noqa: B018
    assert convolution.activation is keras.activations.relu  # the layer is itself again
    np.testing.assert_array_equal(model(FACES), output)


def test_of_two_calls_the_first_is_recorded_and_with_a_tape_the_last():
    inputs, relu = keras.Input((48, 48, 1)), layers.ReLU()
    model = keras.Model(inputs, relu(relu(inputs) * 3 - 1))
    tape = tf.GradientTape()
    with record_activations([relu]) as first:
        model(FACES)
    with tape, record_activations([relu], tape=tape) as last:
        output = model(FACES)
    np.testing.assert_array_equal(first[relu], FACES)
    np.testing.assert_array_equal(last[relu], output)


def test_separable_and_depthwise_convolutions_count():
    kinds = [layers.Conv2D(3, 3), layers.SeparableConv2D(3, 3), layers.DepthwiseConv2D(3)]
    model = sequential((48, 48, 1), *kinds, layers.Flatten(), layers.Dense(7))
    assert [layer for _, layer in convolutions(model)] == kinds
    assert last_feature_maps(model) is kinds[-1]


def test_the_last_feature_maps_are_those_that_are_pooled():
    """Not the convolution itself: a batch norm, a shortcut and a ReLU stand between."""
    residual = train_cnn.build_residual_cnn(4)
    assert last_feature_maps(residual).name == "relu_3b"
    assert last_feature_maps(train_cnn.build_vgg(4, 0.3)).name == "relu_4b"
    assert last_feature_maps(train_cnn.build_homework_cnn(0.5)).name == "p_re_lu_5"
    dense = sequential((48, 48, 1), layers.Flatten(), layers.Dense(7))
    assert last_feature_maps(dense) is None
