"""The maps are what their definitions say, on models whose maps are known by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import make_faces
from keras import layers
from model_makers import classifier_of

from toolbox.analysis import attribution
from toolbox.analysis.attribution import Explained, explain
from toolbox.files import InputError

IMAGES = make_faces(20)[0]
LABELS = np.arange(20) % 7


def linear() -> Explained:
    return explain(classifier_of(layers.Flatten(), layers.Dense(7), layers.Softmax()))


def convolutional(*top) -> Explained:
    convolution = layers.Conv2D(6, 5, padding="same", activation="relu", name="conv")
    top = top or (layers.Dense(7), layers.Softmax())
    stack = layers.Rescaling(1 / 255), convolution, layers.GlobalAveragePooling2D()
    return explain(classifier_of(*stack, *top))


def test_a_linear_models_gradient_is_its_weights():
    net = linear()
    weights = net.model.layers[-1].kernel.numpy().T.reshape(7, 48, 48)[LABELS]
    np.testing.assert_allclose(attribution.gradient(net, IMAGES, LABELS), weights, rtol=1e-5)
    smooth = attribution.smooth_gradient(net, IMAGES, LABELS, samples=3)
    np.testing.assert_allclose(smooth, weights, rtol=1e-5)
    maps, error = attribution.integrated_gradients(net, IMAGES, LABELS, steps=1)
    difference = IMAGES - IMAGES.mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(maps, weights * difference, atol=1e-3)
    assert error.max() < 1e-2
    fall = attribution.occlusion(net, IMAGES, LABELS, patch=48)
    expected = (weights * difference).sum(axis=(1, 2))[:, np.newaxis, np.newaxis]
    np.testing.assert_allclose(fall, np.broadcast_to(expected, fall.shape), atol=0.05)


def test_scores_of_probabilities_are_logarithms_whatever_comes_after_the_softmax():
    top = layers.Dense(7, activation="softmax"), layers.Dropout(0.5)
    net = explain(classifier_of(layers.Flatten(), layers.Rescaling(1 / 255), *top))
    expected = net.classifier.model(IMAGES[..., np.newaxis].astype(np.float32))
    np.testing.assert_allclose(tf.nn.softmax(net.scores(IMAGES.astype("f4"))), expected, atol=1e-4)


def test_occlusion_finds_the_only_pixel_that_matters():
    net = linear()
    kernel = np.zeros((48, 48, 7), np.float32)
    kernel[10, 30] = 1
    net.model.layers[-1].set_weights([kernel.reshape(-1, 7), np.zeros(7)])
    image = np.zeros((1, 48, 48), np.uint8)
    image[0, 10, 30] = 255
    heat = attribution.occlusion(net, image, np.array([0]), patch=8)[0]
    assert heat[10, 30] == heat.max() > 0
    y, x = np.nonzero(heat)  # all that a square of side 8 hides together with that pixel
    assert (y.min(), y.max(), x.min(), x.max()) == (4, 15, 24, 35)


def test_integrated_gradients_add_up_and_double_their_steps():
    net = convolutional(layers.Dense(40, activation="tanh"), layers.Dense(7))
    net.model.layers[-2].kernel.assign(net.model.layers[-2].kernel * 30)
    images = IMAGES.astype(np.float32)
    _, coarse = attribution.integrated_gradients(net, images, LABELS, steps=1, most_steps=1)
    maps, error = attribution.integrated_gradients(net, images, LABELS, steps=1)
    assert coarse.max() > 0.05 >= error.max()
    blank = np.broadcast_to(images.mean(axis=(1, 2), keepdims=True), images.shape)
    change = (net.scores(images) - net.scores(blank)).numpy()[np.arange(20), LABELS]
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), change, rtol=0.051)


def test_integrated_gradients_of_more_steps_than_the_most_are_computed():
    net = convolutional(layers.Dense(7))
    maps, error = attribution.integrated_gradients(net, IMAGES, LABELS, steps=3, most_steps=2)
    assert np.isfinite(error).all() and np.abs(maps).max() > 0


def test_grad_cam_by_hand_also_inside_a_nested_model():
    net = convolutional()
    maps = attribution.grad_cam(net, IMAGES, LABELS)
    convolution, dense = net.model.get_layer("conv"), net.model.layers[-1]
    features = convolution(IMAGES[..., np.newaxis].astype(np.float32) / 255).numpy()
    weights = dense.kernel.numpy()[:, LABELS].T / 48**2  # global pooling spreads it evenly
    expected = np.maximum(np.einsum("nyxk,nk->nyx", features, weights), 0)
    np.testing.assert_allclose(maps, expected, rtol=1e-3, atol=1e-8)
    inside = keras.Sequential([keras.Input((48, 48, 1)), *net.model.layers[1:]])
    nested = explain(classifier_of(inside), "bfloat16")
    assert nested.precision == "float32"  # in which it is still computed
    np.testing.assert_allclose(attribution.grad_cam(nested, IMAGES, LABELS), maps, rtol=1e-5)
    with pytest.raises(InputError, match="no convolution"):
        attribution.grad_cam(linear(), IMAGES, LABELS)


def test_a_gradient_by_feature_maps_is_not_one_by_kernels_too():
    """Of a 1x1 convolution of stride 2 over 8 channels TensorFlow corrupts the heap with it."""
    operations = convolutional().features.get_concrete_function().graph.get_operations()
    assert "Conv2DBackpropFilter" not in {operation.type for operation in operations}


def test_shifted_face_shifts_the_map_of_a_fully_convolutional_net():
    net, label = convolutional(), np.array([2])
    image = np.zeros((1, 48, 48), np.uint8)
    image[0, 16:28, 16:28] = IMAGES[0, :12, :12]
    here = np.roll(attribution.gradient(net, image, label), (5, -3), (1, 2))
    there = attribution.gradient(net, np.roll(image, (5, -3), (1, 2)), label)
    np.testing.assert_allclose(here[:, 8:40, 8:40], there[:, 8:40, 8:40], atol=1e-9)


def test_dropout_is_off_and_seeds_repeat():
    top = layers.Dropout(0.9), layers.Dense(7), layers.Softmax()
    net = convolutional(*top)
    first, second = (attribution.gradient(net, IMAGES, LABELS) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    noisy = [
        attribution.smooth_gradient(net, IMAGES, LABELS, samples=2, seed=seed) for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(noisy[0], noisy[1])
    assert not np.array_equal(noisy[0], noisy[2])


def test_maps_follow_weights_that_change_later():
    """The compiled functions must not keep the weights they were compiled with."""
    net = convolutional()
    before = attribution.grad_cam(net, IMAGES, LABELS), attribution.gradient(net, IMAGES, LABELS)
    dense = net.model.layers[-1]
    dense.set_weights([2 * weights for weights in dense.get_weights()])
    after = attribution.grad_cam(net, IMAGES, LABELS), attribution.gradient(net, IMAGES, LABELS)
    np.testing.assert_allclose(after[0], 2 * before[0], rtol=1e-4, atol=1e-8)
    np.testing.assert_allclose(after[1], 2 * before[1], rtol=1e-4, atol=1e-8)


def test_other_sizes_and_ranges_keep_the_maps_48_by_48():
    stack = layers.Conv2D(3, 3), layers.GlobalAveragePooling2D(), layers.Dense(7, "softmax")
    net = explain(classifier_of(*stack, shape=(64, 64, 3), input_range=(-1.0, 1.0)))
    for method in (attribution.gradient, attribution.grad_cam):
        maps = method(net, IMAGES, LABELS)
        assert maps.shape == (20, 48, 48) and np.abs(maps).max() > 0


def test_scores_of_a_model_without_logits_are_logarithms():
    classifier = classifier_of(layers.Rescaling(1e-3), layers.Flatten(), layers.Dense(7, "sigmoid"))
    output = classifier.model(IMAGES[..., np.newaxis].astype(np.float32)).numpy()
    scores = explain(classifier).scores(IMAGES.astype(np.float32))
    np.testing.assert_allclose(
        tf.nn.softmax(scores), output / output.sum(axis=1, keepdims=True), rtol=1e-4
    )
