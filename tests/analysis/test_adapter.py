"""Whatever a model's outputs are and in whatever order, its answer is the same."""

import keras
import numpy as np
import pytest
from conftest import make_faces
from model_makers import brightness_model

from toolbox.analysis import adapter
from toolbox.analysis.model_layers import logits_model
from toolbox.dataset.faces import CLASSES
from toolbox.files import InputError

LAYERS = keras.layers


def test_class_names_in_any_order():
    names = ("anger", "Disgusted", "fear", "happiness", "neutral", "SAD", "surprise")
    alphabetical = tuple(sorted(CLASSES))
    assert adapter.read_classes(names, "--classes") == alphabetical
    assert adapter.read_classes(("alphabetical",), "--classes") == alphabetical
    assert adapter.read_classes("alphabetical", "x.json") == alphabetical
    assert adapter.read_classes((), "--classes") == CLASSES
    assert adapter.read_classes("joy ang", "--classes") == ("Joy", "Angry")
    for wrong in ((*CLASSES[:6], "Anger"), ("x",), ("0", "1"), ("a,b", "c")):
        with pytest.raises(InputError, match=r"--classes: .* in the order of the outputs"):
            adapter.read_classes(wrong, "--classes")


@pytest.mark.parametrize("last", ["softmax", None, "sigmoid"])
def test_outputs_are_put_into_our_order(last):
    order = (6, 3, 0, 1, 5, 2, 4)
    images, labels, _ = make_faces(70)
    ordered = adapter.with_outputs(brightness_model(order, last), np.argsort(order))
    output = ordered.predict(images[..., np.newaxis], verbose=0)
    expected = brightness_model(last=last).predict(images[..., np.newaxis], verbose=0)
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6)
    if last != "sigmoid":
        assert adapter.last_activation(ordered) == (last or "linear")
        assert (output.argmax(axis=1) == labels).mean() > 0.95
        logits = logits_model(ordered).predict(images[..., np.newaxis], verbose=0)
        plain = logits_model(brightness_model(last=last)).predict(
            images[..., np.newaxis], verbose=0
        )
        np.testing.assert_allclose(logits, plain, rtol=1e-5)


def test_the_last_activation_is_found():
    inputs = keras.Input((48, 48, 1))
    logits = LAYERS.Dense(7)(LAYERS.Flatten()(inputs))
    outputs = {
        "linear": logits,
        "softmax": LAYERS.Softmax()(logits),
        "sigmoid": LAYERS.Activation("sigmoid")(logits),
        "relu": LAYERS.Dense(7, "relu")(logits),
    }
    for name, output in outputs.items():
        model = keras.Model(inputs, output)
        assert adapter.last_activation(model) == name
        assert adapter.last_activation(keras.Model(inputs, model(inputs))) == name
    assert adapter.last_activation(keras.Model(inputs, keras.ops.softmax(logits))) == "softmax"


def test_probabilities_do_not_go_through_softmax_again():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (50, 7))
    exact = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(adapter.as_probabilities(logits, "linear"), exact)
    coarse = exact * rng.uniform(0.99, 1.01, (50, 1))  # as a softmax in bfloat16
    for activation in ("softmax", "take", "linear"):
        np.testing.assert_allclose(adapter.as_probabilities(coarse, activation), exact)
    sigmoids = 1 / (1 + np.exp(-logits))
    found = adapter.as_probabilities(sigmoids, "sigmoid")
    np.testing.assert_allclose(found, sigmoids / sigmoids.sum(axis=1, keepdims=True))
    nothing = adapter.as_probabilities(np.zeros((2, 7)), "sigmoid")
    np.testing.assert_allclose(nothing, 1 / 7)
    small = rng.random((50, 7))  # logits that happen to be within 0..1
    np.testing.assert_allclose(
        adapter.as_probabilities(small, "linear"),
        np.exp(small) / np.exp(small).sum(axis=1, keepdims=True),
    )


def test_one_of_several_outputs_is_taken(capsys):
    inputs = keras.Input((48, 48, 1))
    flat = LAYERS.Flatten()(inputs)
    seven, two = LAYERS.Dense(7)(flat), LAYERS.Dense(2)(flat)
    model = adapter.as_classifier(keras.Model(inputs, {"emotion": seven, "age": two}), "m.keras")
    assert model.predict(np.zeros((1, 48, 48, 1)), verbose=0).shape == (1, 7)
    assert "has 2 outputs" in capsys.readouterr().out
    model = adapter.as_classifier(keras.Model(inputs, {"emotion": seven}), "m.keras")
    assert model.predict(np.zeros((1, 48, 48, 1)), verbose=0).shape == (1, 7)
    with pytest.raises(InputError, match=r"m\.keras takes .* and gives"):
        adapter.as_classifier(keras.Model(inputs, [seven, LAYERS.Dense(7)(flat)]), "m.keras")
    with pytest.raises(InputError, match=r"m\.keras has 2 outputs, and nothing says which .*--cla"):
        adapter.as_classifier(keras.Model(inputs, two), "m.keras")
    with pytest.raises(InputError, match=r"m\.keras has 2 outputs, and --classes names 3; name"):
        adapter.as_classifier(keras.Model(inputs, two), "m.keras", 3, "--classes")
    deep = keras.Input((48, 48, 4))
    with pytest.raises(InputError, match="needed are one input"):
        adapter.as_classifier(keras.Model(deep, LAYERS.Dense(7)(LAYERS.Flatten()(deep))), "m")


def test_whole_numbers_become_floats():
    stack = [LAYERS.Rescaling(1 / 255), LAYERS.Flatten(), LAYERS.Dense(7)]
    whole = keras.Sequential([keras.Input((48, 48, 1), dtype="int32"), *stack])
    model = adapter.as_classifier(whole, "m.keras")
    assert model.inputs[0].dtype == "float32"
    images = make_faces(3)[0][..., np.newaxis]
    np.testing.assert_allclose(
        model.predict(images, verbose=0), whole.predict(images, verbose=0), rtol=1e-6
    )


@pytest.mark.parametrize("last", ["layer", "model"])
def test_names_that_a_loaded_model_has_are_not_given_again(last):
    faces = keras.Input((48, 48, 1))
    x = LAYERS.Flatten()(faces)
    for name in ("take", "softmax", "functional", "functional_1", "functional_2"):
        x = LAYERS.Activation("linear", name=name)(x)
    head = LAYERS.Dense(7, "softmax", name="head")
    if last == "model":
        head = keras.Sequential([keras.Input((2304,)), head], name="outer")
    model = keras.Model(faces, head(x))
    images = make_faces(2)[0][..., np.newaxis] / np.float32(2550)
    expected = model(images).numpy()
    keras.backend.clear_session()  # so that names are counted as in a new process
    ordered = adapter.with_outputs(model, [1, 0, 2, 3, 4, 5, 6])
    np.testing.assert_allclose(ordered(images)[:, 1], expected[:, 0], atol=1e-6)
