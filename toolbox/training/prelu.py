"""PReLU in one pass over memory."""

from __future__ import annotations

from toolbox.engine import keras, tf


class FusedPReLU(keras.layers.PReLU):
    """Keras's layer with one alpha per position, which in training XLA makes one loop of.

    Keras computes two rectifiers, a product, a difference, and the gradient of each, one after the
    other. The gradient of alpha is summed in float32. Where that does not serve (another backend,
    several devices), Keras's own code does. A saved model has the plain layer in its place:
    `run_records.bare_model`.
    """

    def call(self, inputs, training=None):
        """float (n, ...) -> the same shape."""
        plain = not training or self.shared_axes or keras.backend.backend() != "tensorflow"
        if plain or tf.distribute.has_strategy():
            return super().call(inputs)
        return _prelu(inputs, tf.convert_to_tensor(self.alpha))


@tf.custom_gradient
def _prelu(x: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    return _forward(x, alpha), lambda upstream: _backward(x, alpha, upstream)


@tf.function(jit_compile=True)
def _forward(x: tf.Tensor, alpha: tf.Tensor) -> tf.Tensor:
    return tf.where(x > 0, x, tf.cast(alpha, x.dtype) * x)


@tf.function(jit_compile=True)
def _backward(x: tf.Tensor, alpha: tf.Tensor, upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The gradients of x and of alpha; at 0 both are 0, as Keras's."""
    of_x = tf.where(x > 0, upstream, tf.cast(alpha, x.dtype) * tf.where(x < 0, upstream, 0))
    below = tf.cast(tf.minimum(x, 0), tf.float32)
    return of_x, tf.cast(tf.reduce_sum(below * tf.cast(upstream, tf.float32), 0), alpha.dtype)
