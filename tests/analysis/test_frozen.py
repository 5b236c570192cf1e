"""A frozen model: the same answers without batch norms, and nearly the same in bfloat16."""

import functools

import keras
import numpy as np
import pytest
from conftest import make_faces

import train_cnn
from toolbox.analysis.frozen import computed_in, freeze

FACES = make_faces(4)[0][..., np.newaxis].astype("f4")


def trained_like(build) -> keras.Model:
    """With batch norms that scale and shift, each variable positive."""
    keras.utils.set_random_seed(0)
    model, rng = build(), np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.random(w.shape) + 0.5 for w in layer.get_weights()])
    return model


def norms(model: keras.Model) -> int:
    return sum(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)


def sequential() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((48, 48, 1)),
            keras.layers.Conv2D(3, 5, 4),  # with a bias of its own
            keras.layers.BatchNormalization(scale=False),
            keras.layers.Flatten(),
            keras.layers.Dense(7),
            keras.layers.BatchNormalization(center=False),
        ]
    )


def with_operators() -> keras.Model:
    """A gate, and a convolution that more than its batch norm reads."""
    faces = keras.Input((48, 48, 1))
    x = keras.layers.Conv2D(4, 5, 4)(faces / 255)
    x = x + keras.layers.BatchNormalization()(x)
    x = x * keras.layers.Conv2D(4, 1, activation="sigmoid")(x)
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(3, 3)(x))
    return keras.Model(faces, keras.layers.Dense(7)(keras.ops.mean(x, axis=(1, 2))))


@pytest.mark.parametrize(
    "build",
    [
        functools.partial(train_cnn.build_vgg, 4, 0.3),
        functools.partial(train_cnn.build_residual_cnn, 4),
        sequential,
        with_operators,
    ],
    ids=["compact", "fast", "sequential", "operators"],
)
def test_the_same_answers_without_batch_norms(build):
    model = trained_like(build)
    expected = model(FACES).numpy()
    assert norms(model) and norms(freeze(model)) == (build is with_operators)
    np.testing.assert_allclose(freeze(model)(FACES), expected, rtol=1e-4, atol=1e-5)
    rough = freeze(model, "bfloat16")(FACES).numpy()
    assert rough.dtype == np.float32
    np.testing.assert_allclose(rough, expected, atol=0.02 * np.abs(expected).max())
    assert not np.array_equal(rough, expected)


def test_a_norm_that_others_share_stays():
    """Of an activated convolution, or of one whose output is read elsewhere too."""
    faces = keras.Input((48, 48, 1))
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(2, 3, activation="relu")(faces))
    y = keras.layers.Conv2D(2, 3, padding="same")(x)
    x = keras.layers.Add()([y, keras.layers.BatchNormalization()(y)])
    model = keras.Model(faces, keras.layers.Dense(7)(keras.layers.GlobalMaxPooling2D()(x)))
    assert norms(freeze(model)) == 2
    nested = keras.Sequential([keras.Input((48, 48, 1)), model])
    assert freeze(nested) is nested
    assert computed_in(model, "bfloat16") == "bfloat16"
    assert computed_in(nested, "bfloat16") == "float32"


@pytest.mark.parametrize("shared", [0, 1])
def test_a_layer_that_is_called_twice_is_not_folded(shared):
    def call_twice() -> keras.Model:
        pairs = [[keras.layers.Conv2D(1, 3), keras.layers.BatchNormalization()] for _ in range(2)]
        pairs[1][shared] = pairs[0][shared]
        stack = [*pairs[0], keras.layers.ReLU(), *pairs[1]]
        x = faces = keras.Input((48, 48, 1))
        for layer in stack:
            x = layer(x)
        return keras.Model(faces, keras.layers.GlobalAveragePooling2D()(x))

    model = trained_like(call_twice)
    np.testing.assert_allclose(freeze(model)(FACES), model(FACES), rtol=1e-4)


def test_quantized_layers_stay_as_they_are():
    model = sequential()
    model.quantize("int8")
    assert freeze(model, "bfloat16") is model


def test_a_layer_of_low_rank_updates_is_not_folded():
    model = trained_like(sequential)
    model.layers[0].enable_lora(1)
    np.testing.assert_allclose(freeze(model)(FACES), model(FACES), rtol=1e-4)


def test_inputs_are_normalized_in_float32():
    """Where pixels vary by two about 100, bfloat16 would keep half of that."""
    layers = keras.layers
    model = keras.Sequential(
        [
            *(keras.Input((48, 48, 1)), layers.Normalization(mean=[100.0], variance=[4.0])),
            *(layers.Conv2D(8, 3), layers.GlobalAveragePooling2D(), layers.Dense(7)),
        ]
    )
    faces = np.random.default_rng(0).uniform(98, 102, (4, 48, 48, 1)).astype("f4")
    np.testing.assert_allclose(freeze(model, "bfloat16")(faces), model(faces), atol=1e-3)
