"""What a model says of many faces."""

import numpy as np
from keras import layers
from model_makers import classifier_of

from toolbox.analysis.predictions import predict
from toolbox.photos import readings


def test_a_crowd_is_answered_in_batches_each_face_by_its_views_and_their_mirror_images(monkeypatch):
    stack = layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(7, "softmax")
    classifier = classifier_of(*stack)
    views = np.random.default_rng(0).integers(0, 256, (5, 3, 48, 48), np.uint8)
    monkeypatch.setattr(readings, "BATCH", 7)
    found = readings.compile_classifier(classifier)(views)
    both = [
        predict(classifier, v) for v in (*views.swapaxes(0, 1), *views.swapaxes(0, 1)[..., ::-1])
    ]
    np.testing.assert_allclose(found, np.mean(both, axis=0), atol=1e-6)
