"""The scores of maps are right where the answer is known by hand, and the controls are controls."""

import keras
import numpy as np
import pytest
from conftest import make_faces
from keras import layers
from model_makers import classifier_of
from scipy.stats import spearmanr

from toolbox.analysis import attribution, faithfulness
from toolbox.analysis.attribution import Explained, explain
from toolbox.files import InputError

IMAGES = make_faces(12)[0]
LABELS = np.arange(12) % 7


def explained(*stack) -> Explained:
    return explain(classifier_of(*stack))


def test_ranks_and_mixing_by_hand():
    heat = np.arange(48 * 48, dtype=np.float32).reshape(1, 48, 48) - 100
    place = faithfulness.ranks(heat)
    assert place[0, -1, -1] == 0 and sorted(place.ravel()) == list(range(48 * 48))
    image = IMAGES[:1]
    hidden = faithfulness.mix(image, place, 0.5, hide=True)
    np.testing.assert_allclose(hidden[0, 24:], image.mean(), rtol=1e-5)
    np.testing.assert_array_equal(hidden[0, 3:20], image[0, 3:20])
    shown = faithfulness.mix(image, place, 0.5, hide=False)
    np.testing.assert_array_equal(shown[0, 24:], image[0, 24:])
    np.testing.assert_array_equal(faithfulness.mix(image, place, 0, hide=True), image)
    np.testing.assert_array_equal(faithfulness.mix(image, place, 1, hide=False), image)


def test_equal_values_are_not_in_the_order_of_the_pixels():
    place = faithfulness.ranks(np.zeros((2, 48, 48)))
    np.testing.assert_array_equal(place[0], place[1])
    assert abs(spearmanr(place[0].ravel(), np.arange(48 * 48))[0]) < 0.1


def test_a_true_map_beats_a_random_and_an_inverted_one():
    net = explained(layers.Flatten(), layers.Dense(7), layers.Softmax())
    kernel = np.zeros((48, 48, 7), np.float32)
    kernel[20:28, 20:28, 0] = 0.001
    net.model.layers[-1].set_weights([kernel.reshape(-1, 7), np.zeros(7)])
    images, labels = np.full((12, 48, 48), 20, np.uint8), np.zeros(12, int)
    images[:, 20:28, 20:28] = 60
    true = attribution.gradient(net, images, labels)
    noise = faithfulness.control_maps(images, seed=0)["random"]
    maps = {"true": true, "random": noise, "inverted": 1 - true}
    scores = faithfulness.score_maps(net, images, labels, labels, maps, keep=0.2)
    deletion = [scores[name]["deletion_auc"] for name in maps]
    insertion = [scores[name]["insertion_auc"] for name in maps]
    assert deletion == sorted(deletion) and insertion == sorted(insertion, reverse=True)
    assert len({*deletion}) == len({*insertion}) == 3
    # All pixels hidden is none shown, and the other way round.
    for score in scores.values():
        assert score["deletion"][0] == pytest.approx(score["insertion"][-1])
        assert score["deletion"][-1] == pytest.approx(score["insertion"][0])
    whole = faithfulness.probabilities(net, images)[:, 0].mean()
    assert scores["true"]["deletion"][0] == pytest.approx(whole)
    assert faithfulness.gain(scores["true"]) > 0 > faithfulness.gain(scores["inverted"])


def test_accuracies_are_of_the_most_salient_pixels():
    """Class 3 if the upper half is bright, else class 0; the true map is the upper half."""
    net = explained(layers.Flatten(), layers.Dense(7))
    kernel = np.zeros((48, 48, 7), np.float32)
    kernel[:24, :, 3] = 1
    net.model.layers[-1].set_weights([kernel.reshape(-1, 7), 180.0 * 24 * 48 * np.eye(7)[0]])
    images, labels = np.zeros((4, 48, 48), np.uint8), np.full(4, 3)
    images[:, :24] = 200  # the mean grey is 100
    true = np.zeros((4, 48, 48), np.float32)
    true[:, :24] = 1
    scores = faithfulness.score_maps(net, images, labels, labels, {"true": true}, keep=0.5)
    assert scores["true"]["accuracy_keeping_top"] == 1
    assert scores["true"]["accuracy_losing_top"] == 0


def test_rank_correlation_is_spearmans_of_sizes():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 48, 48))
    b += a
    expected = np.mean(
        [spearmanr(np.abs(x).ravel(), np.abs(y).ravel())[0] for x, y in zip(a, b, strict=True)]
    )
    assert faithfulness.rank_correlation(a, b) == pytest.approx(expected)
    assert faithfulness.rank_correlation(a, -a) == pytest.approx(1)
    assert faithfulness.rank_correlation(a, 0 * a) == 0
    assert faithfulness.rank_correlation(a, np.full_like(a, np.nan)) == 0


def test_randomization_tells_a_map_of_the_model_from_one_of_the_face():
    net = explained(
        layers.Rescaling(1 / 255),
        layers.Conv2D(6, 5, activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(7, activation="softmax"),
    )
    before = net.model.get_weights()

    def make_maps() -> dict[str, np.ndarray]:
        edges = faithfulness.control_maps(IMAGES, seed=0)["edges"]
        return {"model": attribution.gradient(net, IMAGES, LABELS), "edges": edges}

    depths, found = faithfulness.randomization_check(net.model, make_maps, seed=0)
    assert depths == [0, 1, 2]  # a convolution and a dense layer
    assert found["edges"] == pytest.approx([1, 1, 1])
    assert found["model"][0] == 1 and abs(found["model"][-1]) < 0.5
    for weights, again in zip(before, net.model.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, again)


def test_all_weights_are_shuffled_also_those_that_are_not_called_kernel():
    net = explained(
        layers.SeparableConv2D(4, 3),
        layers.DepthwiseConv2D(3),
        layers.BatchNormalization(),
        layers.PReLU(shared_axes=(1, 2)),
        layers.Flatten(),
        layers.Dense(7),
    )
    rng = np.random.default_rng(0)
    net.model.set_weights([rng.random(w.shape) + 1 for w in net.model.get_weights()])
    seen = []

    def make_maps() -> dict[str, np.ndarray]:
        seen.append(net.model.get_weights())
        return {"any": np.ones((1, 48, 48))}

    depths, _ = faithfulness.randomization_check(net.model, make_maps, seed=0)
    assert depths == [0, 1, 2, 3, 4, 5]
    for first, last in zip(seen[0], seen[-1], strict=True):
        np.testing.assert_array_equal(np.sort(first.ravel()), np.sort(last.ravel()))
        assert first.size == 1 or not np.array_equal(first, last)


def test_a_deep_model_is_shuffled_at_five_depths():
    stack = [layers.Dense(3, name=f"d{i}") for i in range(12)]
    net = explained(layers.Flatten(), *stack, layers.Dense(7))
    depths, _ = faithfulness.randomization_check(
        net.model, lambda: {"any": np.ones((1, 48, 48))}, seed=0
    )
    assert depths == [0, 1, 4, 7, 10, 13]


def test_a_model_without_weights_has_none_to_shuffle():
    keras_model = keras.Sequential([keras.Input((7,)), layers.Softmax()])
    with pytest.raises(InputError, match="no weights"):
        faithfulness.randomization_check(keras_model, dict, seed=0)


def test_verdict_follows_the_numbers():
    def scores(gain: float) -> dict:
        gains = {"gradient": gain, "occlusion": gain / 2, "random": 0, "edges": 0.05}
        return {
            name: {"insertion_auc": 0.3 + one, "deletion_auc": 0.3} for name, one in gains.items()
        }

    checked = {"gradient": [1, 0.1], "occlusion": [1, 0.1]}
    assert "trust gradient." in faithfulness.verdict("net", scores(0.2), checked)
    assert "Trust no method" in faithfulness.verdict("net", scores(0.04), checked)
    stuck = {"gradient": [1, 0.9], "occlusion": [1, 0.1]}
    assert "hardly depend" in faithfulness.verdict("net", scores(0.2), stuck)
