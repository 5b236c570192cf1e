"""Faces are fed as each model wants them, and its answers are probabilities."""

from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import make_faces
from model_makers import classifier_of, random_model

from toolbox.analysis import predictions
from toolbox.analysis.predictions import predict
from toolbox.analysis.saved_models import Classifier, load_classifier
from toolbox.files import InputError


def linear(shape: tuple, input_range=(0.0, 255.0)) -> Classifier:
    stack = keras.layers.Flatten(), keras.layers.Dense(7)
    return classifier_of(*stack, shape=shape, input_range=input_range)


def test_faces_are_resized_repeated_and_rescaled_as_the_model_expects():
    images = make_faces(3)[0]
    plain = predictions.prepare(linear((48, 48, 1)), images).numpy()
    np.testing.assert_array_equal(plain[..., 0], images)
    other = predictions.prepare(linear((64, 64, 3), (-1.0, 1.0)), images).numpy()
    assert other.shape == (3, 64, 64, 3)
    np.testing.assert_array_equal(other[..., 0], other[..., 2])
    assert -1 <= other.min() < other.max() <= 1
    np.testing.assert_allclose(other.mean() * 127.5 + 127.5, images.mean(), rtol=0.01)
    flat = np.full((1, 48, 48), 51, np.uint8)
    unit = predictions.prepare(linear((96, 96, 1), (0.0, 1.0)), flat).numpy()
    np.testing.assert_allclose(unit, 0.2, rtol=1e-6)


def test_logits_and_probabilities_give_the_same_answer():
    images = make_faces(30)[0]
    logits = linear((48, 48, 1), (0.0, 1.0))
    softmax = keras.Sequential([logits.model, keras.layers.Softmax()])
    found = predict(logits, images)
    np.testing.assert_allclose(found, predict(logits._replace(model=softmax), images), atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_a_model_that_answers_nan_is_refused(tmp_path):
    model = random_model(0)
    model.set_weights([np.full_like(each, np.nan) for each in model.get_weights()])
    model.save(tmp_path / "m.keras")
    with pytest.raises(InputError, match="outputs NaN"):
        predict(load_classifier(tmp_path / "m.keras"), make_faces(3)[0])


def test_views_are_the_shifted_and_the_mirrored_faces():
    classifier = Classifier("x", Path("x.keras"), random_model(0), (0.0, 255.0), None)
    images = np.full((5, 48, 48), 90, np.uint8)  # a border of one grey: a shift is a roll
    images[:, 4:-4, 4:-4] = np.random.default_rng(0).integers(0, 256, (5, 40, 40))
    views = [np.roll(images, (y, x), (1, 2)) for y in (-3, 0, 3) for x in (-3, 0, 3)]
    views += [view[:, :, ::-1] for view in views]
    expected = np.mean([predict(classifier, view) for view in views], axis=0)
    mean, count = predictions.predict_views(classifier, images, shift=3, flip=True)
    assert count == 18
    np.testing.assert_allclose(mean, expected, rtol=1e-6)
    alone, count = predictions.predict_views(classifier, images, shift=0, flip=False)
    assert count == 1
    np.testing.assert_array_equal(alone, predict(classifier, images))
