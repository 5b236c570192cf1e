"""The fused layer computes what Keras's own does, value and gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from toolbox.training import prelu


def results(layer, x, weights, alpha) -> list[np.ndarray]:
    """Of a layer in training: outputs, and the gradients of inputs and alpha."""
    layer.build(x.shape)
    layer.alpha.assign(alpha)
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x, training=True)
        loss = tf.reduce_sum(weights * tf.cast(outputs, tf.float32))
    assert outputs.dtype == layer.compute_dtype
    found = [outputs, *tape.gradient(loss, [x, layer.alpha])]
    return [np.array(tf.cast(value, tf.float32)) for value in found]


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_fused_prelu_is_keras_own(policy):
    x = tf.random.stateless_normal((16, 3, 4, 5), (0, 1))
    x = tf.where(tf.abs(x) < 0.3, 0.0, x)  # where the gradients are 0
    weights = tf.random.stateless_normal(x.shape, (0, 2))
    alpha = tf.random.stateless_normal(x.shape[1:], (0, 3))
    kinds = keras.layers.PReLU, prelu.FusedPReLU
    plain, fused = (results(kind(dtype=policy), x, weights, alpha) for kind in kinds)
    tolerance = {"float32": 1e-5, "mixed_bfloat16": 0.03}[policy]
    for expected, found in zip(plain, fused, strict=True):
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def test_what_is_not_trained_or_shares_its_alphas_is_keras_own(monkeypatch):
    x = tf.constant([[[-2.0, 3.0]]])
    monkeypatch.setattr(prelu, "_prelu", None)  # which must not be called
    shared = prelu.FusedPReLU("ones", shared_axes=[1])
    assert np.array_equal(shared(x, training=True), x)
    assert np.array_equal(prelu.FusedPReLU("ones")(x), x)
