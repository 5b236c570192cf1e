"""Batch normalization by the one kernel that TensorFlow has for it."""

from __future__ import annotations

from toolbox.engine import keras, tf


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer, which in training reads and writes all features half as often.

    Keras 3 computes mean, variance, difference, quotient and their gradients one after the other,
    each a pass over memory and in float32. The kernel's running variance is the unbiased estimate,
    Keras's the biased one. Where the kernel does not serve (another backend, statistics over
    several devices), Keras's own code does. A saved model has the plain layer in its place:
    `run_records.bare_model`.
    """

    def call(self, inputs, training=None, mask=None):
        """float (n, h, w, channels) -> the same shape."""
        fused = training and self.trainable and not self.synchronized
        if not fused or keras.backend.backend() != "tensorflow":
            return super().call(inputs, training=training, mask=mask)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.cast(self.gamma, tf.float32),
            offset=tf.cast(self.beta, tf.float32),
            mean=tf.zeros(0),
            variance=tf.zeros(0),
            epsilon=self.epsilon,
        )
        for running, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            running.assign(self.momentum * running + (1 - self.momentum) * new)
        return outputs
