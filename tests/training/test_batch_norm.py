"""The fused layer computes what Keras's own does."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from toolbox.training import batch_norm


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_fused_batch_norm_is_keras_own(dtype):
    features = tf.random.stateless_normal((16, 6, 6, 4), (0, 1), 3.0, 2.0)
    weights = tf.random.stateless_normal(features.shape, (0, 2))
    policy = "mixed_bfloat16" if dtype == "bfloat16" else "float32"
    found = []
    for kind in (keras.layers.BatchNormalization, batch_norm.FusedBatchNormalization):
        layer = kind(momentum=0.8, dtype=policy)
        layer.build(features.shape)
        layer.gamma.assign([0.5, 1, 1.5, 2])
        layer.beta.assign([0, 1, 2, 3])
        with tf.GradientTape() as tape:
            tape.watch(features)
            outputs = layer(features, training=True)
            loss = tf.reduce_sum(weights * tf.cast(outputs, tf.float32))
        assert outputs.dtype == dtype
        gradients = tape.gradient(loss, [features, layer.gamma, layer.beta])
        results = [outputs, *gradients, layer.moving_mean, layer.moving_variance]
        found.append([np.array(tf.cast(x, tf.float32)) for x in results])
    faces = 16 * 6 * 6  # by one less the kernel divides
    found[1][-1] -= 0.2 * features.numpy().var(axis=(0, 1, 2)) / (faces - 1)
    tolerance = {"float32": 1e-4, "bfloat16": 0.03}[dtype]
    for plain, fused in zip(*found, strict=True):
        np.testing.assert_allclose(fused, plain, rtol=tolerance, atol=tolerance)


def test_statistics_of_several_devices_are_keras_own(monkeypatch):
    layer = batch_norm.FusedBatchNormalization()
    features = tf.ones((2, 3, 3, 4))
    layer(features, training=True)
    monkeypatch.setattr(tf.raw_ops, "FusedBatchNormV3", None)  # which must not be called
    layer(features)
    layer.synchronized = True
    layer(features, training=True)
    layer.synchronized, layer.trainable = False, False
    layer(features, training=True)
