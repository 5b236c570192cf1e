"""The ascent finds what is known by hand, and what activates filters among faces is found."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
import scipy.ndimage
from conftest import make_faces
from known_filters import DOT, EDGE, ascend, by_hand, classifier_of

import train_cnn
from toolbox import progress
from toolbox.analysis import activation_maximization as maximization
from toolbox.analysis.filter_layers import filter_layers
from toolbox.analysis.saved_models import Classifier

layers = keras.layers
IMAGES = make_faces(20)[0]


def test_one_plain_step_of_a_linear_filter_is_its_kernel():
    target, ascent = ascend(by_hand(EDGE, DOT), steps=1, rate=0.001, plain=True)
    y, x = target.middle
    for change, kernel in zip(ascent.faces[1] - ascent.faces[0], (EDGE, DOT), strict=True):
        part = change[y : y + 5, x : x + 5] / np.abs(change).max()
        np.testing.assert_allclose(part, kernel / np.abs(kernel).max(), atol=1e-3)
        change[y : y + 5, x : x + 5] = 0
        assert not change.any()


@pytest.mark.parametrize(("plain", "least"), [(True, 1.0), (False, 0.97)])
def test_the_ascent_of_a_linear_filter_ends_at_its_optimum(plain, least):
    kernels = (EDGE, DOT, -EDGE.T)
    moves = {"shift": 0.1, "rotation": 3.0, "zoom": 0.03}
    target, ascent = ascend(by_hand(*kernels), steps=128, plain=plain, **moves)
    y, x = target.middle
    for value, face, kernel in zip(ascent.values[-1], ascent.faces[-1], kernels, strict=True):
        optimum = kernel[kernel > 0].sum()  # white under what is positive, black under the rest
        assert least * optimum - 1e-3 <= value <= optimum + 1e-3
        part = face[y : y + 5, x : x + 5]
        assert np.corrcoef(part.ravel(), np.sign(kernel).ravel())[0, 1] > 0.9


def test_adam_is_that_of_keras():
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(4, 2, 3)).astype("f4")
    variable, optimizer = keras.Variable(np.zeros((2, 3), "f4")), keras.optimizers.Adam(0.05)
    parameters, moments = np.zeros((2, 3), "f4"), np.zeros((2, 2, 3), "f4")
    for step, gradient in enumerate(gradients, 1):
        optimizer.apply([-gradient], [variable])  # it descends
        parameters, moments = maximization.adam_step(parameters, moments, gradient, step, 0.05)
        np.testing.assert_allclose(parameters, variable.numpy(), atol=1e-5)


def test_values_are_those_of_the_snapshots_and_rise():
    model = train_cnn.build_residual_cnn(4)
    classifier = Classifier("x", Path("x.keras"), model, (0.0, 255.0), None)
    target, ascent = ascend(classifier, layer=-1, steps=20)
    assert ascent.steps == [0, 1, 4, 16, 20]
    assert ascent.faces.shape == (5, 16, 48, 48) and ascent.values.shape == (5, 16)
    assert ascent.faces.min() >= 0 and ascent.faces.max() <= 255
    images, reached = ascent.best()
    assert (reached > ascent.values[0]).all()
    for earlier, later in zip(ascent.faces[:-1], ascent.faces[1:], strict=True):
        assert np.abs(later - earlier).max() > 1
    activation = maximization.activation_function(classifier, target)
    for faces, values in [*zip(ascent.faces, ascent.values, strict=True), (images, reached)]:
        found = activation(faces, np.arange(16))
        np.testing.assert_allclose(found, values, rtol=1e-3, atol=1e-5)


def test_filters_of_one_batch_or_of_several_do_not_influence_each_other(monkeypatch):
    classifier = by_hand(EDGE, DOT, -DOT)
    _, together = ascend(classifier, steps=8, plain=True)
    monkeypatch.setattr(maximization, "BATCH", 2)
    _, apart = ascend(classifier, steps=8, plain=True)
    np.testing.assert_allclose(apart.faces, together.faces, atol=1e-3)
    np.testing.assert_allclose(apart.values, together.values, atol=1e-4)
    for i in range(3):
        _, alone = ascend(classifier, filters=[i], steps=8, plain=True)
        # Another start, since the noise is drawn for all; the same optimum.
        assert alone.values[-1][0] == pytest.approx(together.values[-1][i], rel=1e-3)
    assert not np.array_equal(together.faces[0][0], together.faces[0][1])


def test_seeds_repeat_and_differ():
    classifier = by_hand(EDGE)
    one, again, other = (ascend(classifier, steps=4, seed=seed)[1].faces for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_the_ascent_starts_below_0_where_a_relu_would_end_it():
    """Activations are before the nonlinearity: after a ReLU there would be no gradient here."""
    _, ascent = ascend(by_hand(EDGE, activation="relu", bias=[-4.0]), steps=64, shift=0.1)
    assert ascent.values[0][0] < 0 < ascent.values[-1][0]


@pytest.mark.parametrize(
    ("shape", "input_range"),
    [((48, 48, 3), (0, 1)), ((64, 64, 1), (-1, 1)), ((None, None, 1), (0, 1))],
)
def test_any_input_size_channels_and_range(shape, input_range):
    convolution = layers.Conv2D(3, 5, activation="relu")
    classifier = classifier_of(convolution, shape=shape, input_range=input_range)
    target, ascent = ascend(classifier, steps=16)
    assert (ascent.values[-1] > ascent.values[0]).all()
    assert target.shape == ((44, 44, 3) if shape[0] in (48, None) else (60, 60, 3))


def test_a_nested_model_is_climbed_like_a_flat_one():
    inner = keras.Sequential(
        [keras.Input((44, 44, 2)), layers.Conv2D(3, 3, name="deep")], name="inner"
    )
    nested = classifier_of(layers.Conv2D(2, 5), inner)
    flat = classifier_of(layers.Conv2D(2, 5), layers.Conv2D(3, 3))
    flat.model.set_weights(nested.model.get_weights())
    (_, one), (_, other) = (ascend(c, layer=1, steps=4) for c in (nested, flat))
    np.testing.assert_allclose(one.faces, other.faces, atol=1e-3)
    assert maximization.untrained_copy(nested, 0).model.layers[1].layers[0].name == "deep"


def test_the_untrained_copy_has_other_weights_by_the_seed_and_leaves_the_model_alone():
    classifier = by_hand(EDGE, DOT)
    before = classifier.model.get_weights()
    copies = [maximization.untrained_copy(classifier, seed).model for seed in (0, 0, 1)]
    kernels = [copy.get_weights()[0] for copy in copies]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])
    assert not np.array_equal(kernels[0], before[0])
    for weight, now in zip(before, classifier.model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, now)


def test_a_batch_norm_after_the_convolution_is_part_of_the_activation():
    classifier = classifier_of(layers.Conv2D(2, 5), layers.BatchNormalization(), layers.ReLU())
    gamma = np.array([-2.0, 1.0])
    weights = classifier.model.layers[1].get_weights()
    classifier.model.layers[1].set_weights([gamma, *weights[1:]])
    [target] = filter_layers(classifier.model)
    plain = np.asarray(classifier.model.layers[0](IMAGES[:1, ..., None].astype("f4")))[0]
    found = maximization.feature_maps(classifier, target, IMAGES[0])
    expected = np.moveaxis(plain, -1, 0) * gamma[:, None, None] / np.sqrt(1 + 1e-3)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_progress_shows_the_activation_climbing(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr(progress, "SILENT", 0)
    monkeypatch.setattr(progress, "REDRAWN", 0)
    ascend(by_hand(EDGE), steps=12)
    shown = [float(x) for x in re.findall(r"mean activation (-?[\d.]+)", capsys.readouterr().out)]
    assert len(shown) >= 2 and shown[-1] > shown[0]  # it is redrawn every 50 ms


# Among faces


def test_the_highest_activations_agree_with_scipy():
    classifier = by_hand(EDGE, DOT, activation="relu", bias=[0.5, -100.0])
    [target] = filter_layers(classifier.model)
    [found] = maximization.activations_on_faces(classifier, [target], IMAGES)
    for i, (kernel, bias) in enumerate([(EDGE, 0.5), (DOT, -100.0)]):
        for face, image in enumerate(IMAGES):
            whole = scipy.ndimage.correlate(image / 255, kernel)[2:-2, 2:-2] + bias
            assert found.values[face, i] == pytest.approx(whole.max(), rel=1e-4)
            place = divmod(int(found.places[face, i]), 44)
            assert whole[place] == pytest.approx(whole.max(), rel=1e-4)
    assert found.dead(target.rectified).tolist() == [False, True]
    assert found.dead(False).tolist() == [False, False]  # below 0 throughout, yet it varies
    maps = maximization.feature_maps(classifier, target, IMAGES[3])
    np.testing.assert_allclose(maps.max(axis=(1, 2)), found.values[3], rtol=1e-5)


def test_a_constant_filter_is_dead_whatever_follows():
    classifier = by_hand(EDGE, np.zeros((5, 5)), bias=[0.0, 1.0])
    [target] = filter_layers(classifier.model)
    [found] = maximization.activations_on_faces(classifier, [target], IMAGES)
    assert not target.rectified and found.dead(target.rectified).tolist() == [False, True]
