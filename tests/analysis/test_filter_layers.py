"""Receptive fields agree with gradients and with arithmetic by hand; patches of faces."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import make_faces
from known_filters import DOT, EDGE, by_hand, classifier_of

import train_cnn
from toolbox.analysis import activation_maximization as maximization
from toolbox.analysis.filter_layers import choose_layers, crop, field_box, filter_layers
from toolbox.files import InputError

layers = keras.layers
FACE = make_faces(1)[0][0]
STACKS = {
    "valid": lambda: [layers.Conv2D(1, 5), layers.Conv2D(1, 3)],
    "strides": lambda: [layers.Conv2D(1, 5, 2, padding="same"), layers.Conv2D(1, 3, padding="same"),
                        layers.AveragePooling2D(2), layers.Conv2D(1, 3, padding="same")],
    "padding": lambda: [layers.ZeroPadding2D(2), layers.AveragePooling2D(5, 2),
                        layers.ZeroPadding2D(((1, 0), (1, 0))), layers.Conv2D(1, 3)],
    "dilation": lambda: [layers.Conv2D(1, 3, dilation_rate=2), layers.SeparableConv2D(1, 3)],
    "not square": lambda: [layers.Conv2D(1, (7, 1), padding="same"),
                           layers.Conv2D(1, (1, 3), padding="same")],
    "other sizes": lambda: [layers.Cropping2D(((3, 1), (0, 2))), layers.UpSampling2D(2),
                            layers.Conv2D(1, 3)],
    "three dimensions": lambda: [layers.Reshape((48, 48, 1, 1)), layers.Conv3D(1, 1),
                                 layers.Reshape((48, 48, 1)), layers.Conv2D(1, 3)],
}  # fmt: skip


@pytest.mark.parametrize("name", STACKS)
def test_fields_are_where_the_gradient_is_not_zero(name):
    classifier = classifier_of(*STACKS[name]())
    target = filter_layers(classifier.model)[-1]
    classifier.model.set_weights([np.ones_like(w) for w in classifier.model.get_weights()])
    activation = maximization.activation_function(classifier, target)
    faces = tf.Variable(tf.ones((1, 48, 48)))
    with tf.GradientTape() as tape:
        total = activation(faces, [0])
    seen = np.argwhere(tape.gradient(total, faces).numpy()[0])
    top, left, height, width = field_box(target, target.middle)
    np.testing.assert_array_equal(seen.min(axis=0), (top, left))
    np.testing.assert_array_equal(seen.max(axis=0), (top + height - 1, left + width - 1))
    face = np.arange(48.0)[:, None] + np.arange(48.0) * 0.01
    patch = face[top : top + height, left : left + width]
    np.testing.assert_array_equal(crop(face, target, target.middle), patch)


def test_fields_of_the_other_networks():
    def sizes(model):
        return [int(t.field.size[0]) for t in filter_layers(model)]

    # By hand: 1 + sum of (kernel - 1) * product of the strides before.
    assert sizes(train_cnn.build_homework_cnn(0.5)) == [5, 13, 17, 29, 37]
    expected = [5, 10, 14, 24, 32, 40, 60, 76, 92]
    assert sizes(train_cnn.build_residual_cnn(8)) == expected
    assert sizes(train_cnn.build_vgg(8, 0.3)) == [3, 5, 10, 14, 24, 32, 52, 68]


def test_a_patch_beyond_the_border_repeats_the_edge_and_a_large_one_is_the_face():
    [target] = filter_layers(by_hand(EDGE).model)
    assert crop(FACE, target, (0, 0)).tolist() == FACE[:5, :5].tolist()  # valid: all inside
    target = target._replace(field=target.field._replace(first=np.zeros(2)))
    assert field_box(target, (0, 0)) == (-2, -2, 5, 5)
    patch = crop(FACE, target, (0, 0))
    assert patch[2:, 2:].tolist() == FACE[:3, :3].tolist()
    assert (patch[:3, :3] == FACE[0, 0]).all()
    large = target._replace(field=target.field._replace(size=np.array([60.0, 60.0])))
    assert large.sees_whole_face and crop(FACE, large, (0, 0)) is FACE
    # A model of twice the side sees five of its pixels, two or three of the face's.
    assert crop(FACE, target._replace(scale=np.array([0.5, 0.5])), (20, 20)).shape == (2, 2)


def test_layers_of_a_nested_model():
    inner = keras.Sequential(
        [keras.Input((44, 44, 2)), layers.Conv2D(3, 3, name="deep")], name="inner"
    )
    found = filter_layers(classifier_of(layers.Conv2D(2, 5, name="first"), inner).model)
    assert [t.name for t in found] == ["first", "inner/deep"]
    assert [t.field_text() for t in found] == ["5x5", "7x7"]
    assert [t.first for t in found] == [True, False]


@pytest.mark.parametrize(
    ("stack", "measured", "rectified"),
    [
        (lambda: [layers.Conv2D(2, 3, activation="relu")], layers.Conv2D, True),
        (lambda: [layers.Conv2D(2, 3), layers.BatchNormalization(), layers.ReLU()],
         layers.BatchNormalization, True),
        (lambda: [layers.Conv2D(2, 3), layers.Activation("relu")], layers.Conv2D, True),
        (lambda: [layers.Conv2D(2, 3), layers.BatchNormalization(), layers.PReLU()],
         layers.BatchNormalization, False),
        (lambda: [layers.Conv2D(2, 3, activation="tanh"), layers.BatchNormalization()],
         layers.Conv2D, False),
    ],
)  # fmt: skip
def test_activations_are_read_where_the_nonlinearity_begins(stack, measured, rectified):
    [target] = filter_layers(classifier_of(*stack()).model)
    assert type(target.measured) is measured and target.rectified == rectified


def test_a_layer_is_chosen_by_name_and_a_wrong_name_ends_in_one_line():
    model = classifier_of(layers.Conv2D(2, 5, name="a"), layers.Conv2D(2, 3, name="b")).model
    assert [t.name for t in choose_layers(model)] == ["a", "b"]
    assert [t.name for t in choose_layers(model, ["b"])] == ["b"]
    with pytest.raises(InputError, match=r"no convolution c; there are a, b$"):
        choose_layers(model, ["b", "c"])
    flat = keras.Sequential([keras.Input((48, 48, 1)), layers.Flatten(), layers.Dense(7)])
    with pytest.raises(InputError, match="has no convolution"):
        choose_layers(flat)


def test_kernels_of_a_first_layer_are_its_weights():
    classifier = by_hand(EDGE, DOT, -3 * EDGE.T)
    [target] = filter_layers(classifier.model)
    found = maximization.kernels(classifier, target, np.array([2, 0, 1]))
    for picture, kernel in zip(found, (-EDGE.T, EDGE, DOT), strict=True):
        patch = crop(picture, target, target.middle)
        np.testing.assert_allclose(patch, kernel, atol=1e-5)
        assert np.count_nonzero(picture) == np.count_nonzero(kernel)
