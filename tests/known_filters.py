"""Small models whose filters are known by hand."""

import keras
import model_makers
import numpy as np

from toolbox.analysis import activation_maximization as maximization
from toolbox.analysis.filter_layers import filter_layers
from toolbox.analysis.saved_models import Classifier

layers = keras.layers
EDGE = np.repeat([[1.0, 1.0, 0.0, -1.0, -1.0]], 5, axis=0)
DOT = -np.ones((5, 5)) / 4
DOT[1:4, 1:4] = 1


def classifier_of(*stack, **how) -> Classifier:
    """A classifier that pools the last features."""
    return model_makers.classifier_of(
        *stack, layers.GlobalAveragePooling2D(), layers.Dense(7), **how
    )


def by_hand(*kernels, activation=None, bias=None) -> Classifier:
    """One convolution of known kernels on pixels of 0..1."""
    convolution = layers.Conv2D(len(kernels), 5, activation=activation, name="conv")
    made = classifier_of(layers.Rescaling(1 / 255), convolution)
    bias = np.zeros(len(kernels)) if bias is None else np.array(bias)
    convolution.set_weights([np.stack(kernels, axis=-1)[:, :, None], bias])
    return made


def ascend(classifier: Classifier, layer=0, filters=None, **settings):
    """The layer, and the ascent for `filters`, all without them."""
    target = filter_layers(classifier.model)[layer]
    filters = np.arange(target.filters) if filters is None else np.array(filters)
    settings = maximization.AscentSettings(**settings)
    climber = maximization.climbers(classifier, [target.name])[0]
    return target, maximization.ascend(climber, filters, settings)
