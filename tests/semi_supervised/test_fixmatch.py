import dataclasses

import numpy as np
import pytest
from small_task import assert_same_weights, interrupted, make_few_labels, make_setting, untrained

from toolbox.engine import keras, layers
from toolbox.semi_supervised.few_labels import NONE
from toolbox.semi_supervised.fixmatch import (
    align,
    estimate_prior,
    fixmatch,
    sharpen,
    update_confidence,
)
from toolbox.semi_supervised.student import predict, random_rows
from toolbox.training.augmentation import fold_in
from toolbox.training.schedules import one_cycle


def test_confidence_is_a_running_mean_for_each_class():
    answers = np.full((3, 7), 0.01, np.float32)
    answers[[0, 1, 2], [2, 2, 6]] = [0.9, 0.7, 0.4]
    confidence = update_confidence(np.full(7, 0.5, np.float32), answers, decay=0.75)
    expected = [0.5, 0.5, 0.75 * 0.5 + 0.25 * 0.8, 0.5, 0.5, 0.5, 0.75 * 0.5 + 0.25 * 0.4]
    np.testing.assert_allclose(confidence, expected, rtol=1e-6)


def test_alignment_by_hand_and_in_the_mean():
    answers = np.float32([[0.5, 0.5], [0.9, 0.1]])
    given = align(answers, np.float32([0.2, 0.8]), np.float32([0.8, 0.2]))
    np.testing.assert_allclose(given, [[1 / 17, 16 / 17], [9 / 25, 16 / 25]], rtol=1e-4)
    same = align(answers, np.float32([0.7, 0.3]), np.float32([0.7, 0.3]))
    np.testing.assert_allclose(same, answers, rtol=1e-4)


def test_sharpening_by_hand():
    answers = np.float32([[0.6, 0.4], [0.0, 1.0]])
    for temperature, sharp in ((1, 0.6), (0.5, 0.36 / 0.52), (0, 1)):
        given = sharpen(answers, temperature)
        np.testing.assert_allclose(given, [[sharp, 1 - sharp], [0, 1]], rtol=1e-5, atol=1e-7)


def test_estimated_prior_of_answers_that_are_certain_is_their_count():
    certain = np.eye(7)[[0, 0, 0, 3]]
    np.testing.assert_allclose(estimate_prior(certain), [0.75, 0, 0, 0.25, 0, 0, 0])


def test_estimated_prior_comes_nearer_to_the_true_one():
    """Two classes of a normal feature, apart by 2: the posterior under equal shares is known."""
    random = np.random.default_rng(0)
    member = random.random(20000) < 0.9
    feature = random.normal(np.where(member, 1, -1))
    first = 1 / (1 + np.exp(-2 * feature))
    answers = np.stack([first, 1 - first, *np.zeros((5, len(first)))], axis=1)
    plain = abs(answers.mean(axis=0)[0] - 0.9)
    assert abs(estimate_prior(answers)[0] - 0.9) < 0.75 * plain
    assert abs(estimate_prior(answers, rounds=200)[0] - 0.9) < 0.02


def cross_entropy(targets: np.ndarray, answers: np.ndarray) -> np.ndarray:
    smooth = 0.9 * targets + 0.1 / 7
    return -(smooth * np.log(answers)).sum(axis=1)


@pytest.mark.parametrize("temperature", [0.0, 0.5])
def test_the_loss_of_the_first_update_by_numpy(temperature, tmp_path):
    """Without a warm-up, augmentation and batch norm: weights, and so answers, are the same."""

    def build():
        faces = keras.Input((48, 48, 1))
        pooled = layers.Flatten()(layers.AveragePooling2D(12)(layers.Rescaling(1 / 64)(faces)))
        return keras.Model(faces, layers.Dense(7, "softmax")(pooled)), one_cycle(1, 0.05, 0)

    data, setting = make_few_labels(), make_setting(tmp_path / "state.npz", updates=1)
    setting = dataclasses.replace(setting, build=build, weak=lambda images, seed: images)
    baseline, uratio, wu = untrained(), 4, 3.0
    learned = fixmatch(data, setting, baseline, uratio, wu, temperature, setting.weak)

    keras.utils.set_random_seed(0)
    model, _ = build()
    seed = fold_in([0, 2], 0)
    rows = random_rows(28, 8, fold_in(seed, 0)).numpy()
    others = random_rows(112, 32, fold_in(seed, 1)).numpy()
    x, u = (
        np.asarray(model(images[..., np.newaxis].astype(np.float32))).astype(float)
        for images in (data.images[rows], data.unlabelled[others])
    )
    prior = estimate_prior(predict(baseline, data.unlabelled))
    answers = u * prior / (0.99 * prior + 0.01 * u.mean(axis=0))
    answers /= answers.sum(axis=1, keepdims=True)
    labels, sureness = answers.argmax(axis=1), answers.max(axis=1)
    confidence = np.array(
        [0.99 / 7 + 0.01 * sureness[labels == c].mean() if c in labels else 1 / 7 for c in range(7)]
    )
    pseudo_mask = sureness >= confidence[labels]
    pseudo_labels = answers**2 / (answers**2).sum(axis=1, keepdims=True)
    pseudo_labels = pseudo_labels if temperature else np.eye(7)[labels]
    x = x / 7 / prior  # as if the classes were equally frequent, as they are with labels
    loss_xe = cross_entropy(np.eye(7)[data.labels[rows]], x / x.sum(axis=1, keepdims=True)).mean()
    loss_xeu = (pseudo_mask * cross_entropy(pseudo_labels, u)).mean()
    assert setting.loop.history[-1]["loss"] == pytest.approx(loss_xe + wu * loss_xeu, rel=1e-4)
    given = np.full(112, NONE)
    given[others] = np.where(pseudo_mask, labels, NONE)
    np.testing.assert_array_equal(learned.pseudo_labels[-1], given)


def test_an_interrupted_run_ends_as_it_would_have(tmp_path):
    data, options = make_few_labels(), (2, 3.0, 0.0)
    whole = fixmatch(data, make_setting(tmp_path / "whole.npz"), untrained(), *options)
    with pytest.raises(KeyboardInterrupt):
        setting = interrupted(make_setting(tmp_path / "state.npz"), update=3)
        fixmatch(data, setting, untrained(), *options)
    again = fixmatch(data, make_setting(tmp_path / "state.npz"), untrained(), *options)
    assert_same_weights(again.model, whole.model)
    np.testing.assert_array_equal(again.pseudo_labels, whole.pseudo_labels)
    assert (again.pseudo_labels[-1] != NONE).any()
