"""The fused optimizer makes the steps that Keras's own does."""

import keras
import numpy as np
import tensorflow as tf

from toolbox.training.adadelta import FusedAdadelta


def test_fused_adadelta_is_keras_own():
    gradients = np.random.default_rng(0).normal(size=(5, 3, 4)).astype("f4")
    found = []
    for kind in (keras.optimizers.Adadelta, FusedAdadelta):
        weights = keras.Variable(np.ones((3, 4), "f4"))
        optimizer = kind(0.5, rho=0.9, epsilon=1e-6)
        optimizer.build([weights])
        step = tf.function(lambda g, o=optimizer: o.apply([g]))
        for gradient in gradients:
            step(tf.constant(gradient))
        found.append([np.array(v) for v in (weights, *optimizer.variables)])
    assert np.abs(found[0][0] - 1).min() > 0
    for plain, fused in zip(*found, strict=True):
        np.testing.assert_allclose(fused, plain, rtol=1e-5)
