"""Ascent finds what is known by hand; fields agree with gradients; the command run small."""

import json
import re
from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest
import scipy.ndimage
import tensorflow as tf
from conftest import make_faces
from PIL import Image

import utils
import activation_maximization as maximization
import classifier as classifiers
import filter_layers
import train_cnn
import visualize_filters
from utils import InputError

layers = keras.layers
IMAGES = make_faces(20)[0]
STILL = {"shift": 0.0, "rotation": 0.0, "zoom": 0.0}
MOVED = {"shift": 0.01, "rotation": 3.0, "zoom": 0.03}
EDGE = np.repeat([[1.0, 1.0, 0.0, -1.0, -1.0]], 5, axis=0)
DOT = -np.ones((5, 5)) / 4
DOT[1:4, 1:4] = 1


def classifier_of(*stack, shape=(48, 48, 1), input_range=(0.0, 255.0)) -> classifiers.Classifier:
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [keras.Input(shape), *stack, layers.GlobalAveragePooling2D(), layers.Dense(7)]
    )
    return classifiers.Classifier("x", model, input_range, None)


def by_hand(*kernels, activation=None, bias=None) -> classifiers.Classifier:
    """One convolution of known kernels on pixels of 0..1."""
    convolution = layers.Conv2D(len(kernels), 5, activation=activation, name="conv")
    made = classifier_of(layers.Rescaling(1 / 255), convolution)
    bias = np.zeros(len(kernels)) if bias is None else np.array(bias)
    convolution.set_weights([np.stack(kernels, axis=-1)[:, :, None], bias])
    return made


def ascend(classifier, layer=0, filters=None, steps=64, rate=0.05, move=MOVED, **options):
    target = filter_layers.filter_layers(classifier.model)[layer]
    filters = np.arange(target.filters) if filters is None else np.array(filters)
    options = {"plain": False, "seed": 0} | options
    return target, maximization.ascend(classifier, target, filters, steps, rate, move, **options)


# Where a unit looks

STACKS = {
    "valid": lambda: [layers.Conv2D(1, 5), layers.Conv2D(1, 3)],
    "strides": lambda: [layers.Conv2D(1, 5, 2, padding="same"), layers.Conv2D(1, 3, padding="same"),
                        layers.AveragePooling2D(2), layers.Conv2D(1, 3, padding="same")],
    "padding": lambda: [layers.ZeroPadding2D(2), layers.AveragePooling2D(5, 2),
                        layers.ZeroPadding2D(((1, 0), (1, 0))), layers.Conv2D(1, 3)],
    "dilation": lambda: [layers.Conv2D(1, 3, dilation_rate=2), layers.SeparableConv2D(1, 3)],
    "not square": lambda: [layers.Conv2D(1, (7, 1), padding="same"), layers.Conv2D(1, (1, 3), padding="same")],
}  # fmt: skip


@pytest.mark.parametrize("name", STACKS)
def test_fields_are_where_the_gradient_is_not_zero(name):
    classifier = classifier_of(*STACKS[name]())
    target = filter_layers.filter_layers(classifier.model)[-1]
    classifier.model.set_weights([np.ones_like(w) for w in classifier.model.get_weights()])
    value = maximization.value_function(classifier, target, np.array([0]))
    faces = tf.Variable(tf.ones((1, 48, 48)))
    with tf.GradientTape() as tape:
        total = value(faces)
    seen = np.argwhere(tape.gradient(total, faces).numpy()[0])
    field, middle = target.field, np.array(target.middle)
    centre = field.first + middle * field.jump
    np.testing.assert_array_equal(seen.min(axis=0), centre - (field.size - 1) / 2)
    np.testing.assert_array_equal(seen.max(axis=0), centre + (field.size - 1) / 2)
    face = np.arange(48.0)[:, None] + np.arange(48.0) * 0.01
    expected = face[seen[0][0] : seen[-1][0] + 1, seen[0][1] : seen[-1][1] + 1]
    part = filter_layers.crop(face, target, target.middle, (48, 48))
    np.testing.assert_allclose(part, expected, rtol=1e-6)


def test_fields_of_the_reports_cnn_and_of_the_compact_net():
    def sizes(model):
        return [int(t.field.size[0]) for t in filter_layers.filter_layers(model)]

    # By hand: 1 + sum of (kernel - 1) * product of the strides before.
    assert sizes(train_cnn.build_report_cnn(0.5)) == [5, 13, 17, 29, 37]
    expected = [5, 9, 13, 23, 31, 39, 59, 75, 91]
    assert sizes(train_cnn.build_compact_cnn(8)) == expected
    assert sizes(train_cnn.build_compact_cnn(8, squeeze=True)) == expected
    pooled = [5, 10, 14, 24, 32, 40, 60, 76, 92]
    assert sizes(train_cnn.build_compact_cnn(8, stem="whitening")) == pooled


def test_a_field_over_the_border_is_white_there_and_a_large_one_is_the_face():
    target = filter_layers.filter_layers(by_hand(EDGE).model)[0]
    part = filter_layers.crop(np.zeros((48, 48)), target, (0, 0), (48, 48))
    assert part.shape == (5, 5) and not part.any()  # valid: the first unit sees all inside
    target = target._replace(field=target.field._replace(first=np.zeros(2)))
    part = filter_layers.crop(np.zeros((48, 48)), target, (0, 0), (48, 48))
    assert (part[:2] == 255).all() and (part[:, :2] == 255).all() and not part[2:, 2:].any()
    large = target._replace(field=target.field._replace(size=np.array([60.0, 60.0])))
    face = IMAGES[0]
    assert filter_layers.crop(face, large, (0, 0), (48, 48)) is face
    # A model of twice the side sees five of its pixels, two or three of the face's.
    assert filter_layers.crop(face, target, (20, 20), (96, 96)).shape == (2, 2)


# The ascent


def test_one_plain_step_of_a_linear_filter_is_its_kernel():
    classifier = by_hand(EDGE, DOT)
    target, ascent = ascend(classifier, steps=1, rate=0.001, plain=True)
    y, x = target.middle
    for change, kernel in zip(ascent.faces[1] - ascent.faces[0], (EDGE, DOT), strict=True):
        np.testing.assert_allclose(
            change[y : y + 5, x : x + 5] / np.abs(change).max(), kernel / np.abs(kernel).max(),
            atol=1e-3,
        )  # fmt: skip
        change[y : y + 5, x : x + 5] = 0
        assert not change.any()


@pytest.mark.parametrize(("plain", "share"), [(True, 1.0), (False, 0.97)])
def test_the_ascent_of_a_linear_filter_ends_at_its_optimum(plain, share):
    kernels = (EDGE, DOT, -EDGE.T)
    target, ascent = ascend(by_hand(*kernels), steps=128, plain=plain)
    y, x = target.middle
    for value, face, kernel in zip(ascent.values[-1], ascent.faces[-1], kernels, strict=True):
        optimum = kernel[kernel > 0].sum()  # white under what is positive, black under the rest
        assert share * optimum - 1e-3 <= value <= optimum + 1e-3
        part = face[y : y + 5, x : x + 5]
        assert np.corrcoef(part.ravel(), np.sign(kernel).ravel())[0, 1] > 0.9


def test_the_best_snapshot_is_never_below_the_start_and_snapshots_differ():
    classifier = classifiers.Classifier("x", train_cnn.build_compact_cnn(4), (0.0, 255.0), None)
    _, ascent = ascend(classifier, layer=-1, steps=20)
    assert ascent.steps == [0, 1, 4, 16, 20]
    assert ascent.faces.shape == (5, 16, 48, 48) and ascent.values.shape == (5, 16)
    assert ascent.faces.min() >= 0 and ascent.faces.max() <= 255
    assert (ascent.values.max(axis=0) > ascent.values[0]).all()
    for earlier, later in zip(ascent.faces[:-1], ascent.faces[1:], strict=True):
        assert np.abs(later - earlier).max() > 1
    # What is recorded is the value of the very picture that is shown.
    target = filter_layers.filter_layers(classifier.model)[-1]
    value = maximization.value_function(classifier, target, np.arange(16))
    for faces, values in zip(ascent.faces, ascent.values, strict=True):
        np.testing.assert_allclose(value(faces), values, rtol=1e-3, atol=1e-5)


def test_filters_in_one_batch_do_not_touch_each_other():
    classifier = by_hand(EDGE, DOT, -DOT)
    _, together = ascend(classifier, steps=8, move=STILL, plain=True)
    noise = together.faces[0]
    for i in range(3):
        _, alone = ascend(classifier, filters=[i], steps=8, move=STILL, plain=True)
        # Another start, since the noise is drawn for the whole batch; the same optimum.
        assert alone.values[-1][0] == pytest.approx(together.values[-1][i], rel=1e-3)
    assert not np.array_equal(noise[0], noise[1])


def test_seeds_repeat_and_differ():
    classifier = by_hand(EDGE)
    one, again, other = (ascend(classifier, steps=4, seed=seed)[1].faces for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_the_ascent_starts_below_0_where_a_relu_would_end_it():
    """The objective is before the nonlinearity: after a ReLU there would be no gradient here."""
    _, ascent = ascend(by_hand(EDGE, activation="relu", bias=[-4.0]), steps=64)
    assert ascent.values[0][0] < 0 < ascent.values[-1][0]


@pytest.mark.parametrize(
    ("shape", "input_range"),
    [((48, 48, 3), (0, 1)), ((64, 64, 1), (-1, 1)), ((None, None, 1), (0, 1))],
)
def test_any_input_size_channels_and_range(shape, input_range):
    classifier = classifier_of(
        layers.Conv2D(3, 5, activation="relu"), shape=shape, input_range=input_range
    )
    target, ascent = ascend(classifier, steps=16)
    assert (ascent.values[-1] > ascent.values[0]).all()
    assert (target.height, target.width) == ((44, 44) if shape[0] in (48, None) else (60, 60))


def test_layers_of_a_nested_model():
    inner = keras.Sequential([keras.Input((44, 44, 2)), layers.Conv2D(3, 3, name="deep")], name="inner")  # fmt: skip
    nested = classifier_of(layers.Conv2D(2, 5, name="first"), inner)
    found = filter_layers.filter_layers(nested.model)
    assert [t.name for t in found] == ["first", "inner/deep"]
    assert [t.field_text() for t in found] == ["5x5", "7x7"]
    flat = classifier_of(layers.Conv2D(2, 5), layers.Conv2D(3, 3))
    flat.model.set_weights(nested.model.get_weights())
    (_, one), (_, other) = (ascend(c, layer=1, steps=4) for c in (nested, flat))
    np.testing.assert_allclose(one.faces, other.faces, atol=1e-3)
    assert maximization.untrained(nested, 0).model.layers[1].layers[0].name == "deep"


def test_a_batch_norm_after_the_convolution_is_looked_through():
    classifier = classifier_of(layers.Conv2D(2, 5), layers.BatchNormalization(), layers.ReLU())
    gamma = np.array([-2.0, 1.0])
    weights = classifier.model.layers[1].get_weights()
    classifier.model.layers[1].set_weights([gamma, *weights[1:]])
    target = filter_layers.filter_layers(classifier.model)[0]
    assert target.rectified
    plain = np.asarray(classifier.model.layers[0](IMAGES[:1, ..., None].astype("f4")))[0]
    found = maximization.responses(classifier, target, IMAGES[0])
    expected = np.moveaxis(plain, -1, 0) * gamma[:, None, None] / np.sqrt(1 + 1e-3)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


# Among faces


def test_the_strongest_places_agree_with_scipy():
    classifier = by_hand(EDGE, DOT, activation="relu", bias=[0.5, -100.0])
    [target] = filter_layers.filter_layers(classifier.model)
    found = maximization.strongest(classifier, [target], IMAGES)["conv"]
    for i, (kernel, bias) in enumerate([(EDGE, 0.5), (DOT, -100.0)]):
        for face, image in enumerate(IMAGES):
            whole = scipy.ndimage.correlate(image / 255, kernel)[2:-2, 2:-2] + bias
            assert found.values[face, i] == pytest.approx(whole.max(), rel=1e-4)
            place = divmod(int(found.places[face, i]), 44)
            assert whole[place] == pytest.approx(whole.max(), rel=1e-4)
    assert found.is_dead(target.rectified).tolist() == [False, True]
    assert found.is_dead(False).tolist() == [False, False]  # below 0 throughout, yet it varies
    maps = maximization.responses(classifier, target, IMAGES[3])
    np.testing.assert_allclose(maps.max(axis=(1, 2)), found.values[3], rtol=1e-5)


def test_a_constant_filter_is_dead_whatever_follows():
    classifier = by_hand(EDGE, np.zeros((5, 5)), bias=[0.0, 1.0])
    [target] = filter_layers.filter_layers(classifier.model)
    assert not target.rectified
    found = maximization.strongest(classifier, [target], IMAGES)["conv"]
    assert found.is_dead(target.rectified).tolist() == [False, True]


def test_watching_leaves_the_model_as_it_was():
    classifier = by_hand(EDGE, DOT, activation="relu")
    [layer] = [classifier.model.layers[1]]
    before = classifier.model(IMAGES[..., None].astype("f4")).numpy()
    with pytest.raises(ValueError), classifiers.observed([layer], before_activation=True) as kept:
        inside = classifier.model(IMAGES[..., None].astype("f4")).numpy()
        assert (kept[layer].numpy() < 0).any()
        raise ValueError
    np.testing.assert_array_equal(inside, before)
    assert layer.activation is keras.activations.relu
    kept.clear()
    np.testing.assert_array_equal(classifier.model(IMAGES[..., None].astype("f4")), before)
    assert not kept


# The command


def args_for(trained, output, **changes) -> visualize_filters.Args:
    args = visualize_filters.Args(trained / "faces.csv", models_dir=trained / "models", steps=5)
    return replace(args, figures_dir=output, **changes)


def test_the_command_leaves_figures_and_a_row_a_filter(trained, tmp_path, capsys):
    record = visualize_filters.main(
        args_for(trained, tmp_path, layer="conv_2a", split="PublicTest")
    )
    base = "compact_conv_2a"
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"{base}_{ending}.png" for ending in ("filters", "ascent", "responses", "best_faces")} | {"filters.csv", "compact_filters.json"}  # fmt: skip
    assert all(p.stat().st_size > 10_000 for p in tmp_path.glob("*.png"))
    assert json.loads((tmp_path / "compact_filters.json").read_text()) == json.loads(
        json.dumps(record)
    )
    table = pd.read_csv(tmp_path / "filters.csv")
    means = [f"mean_{name}" for name in utils.CLASSES]
    assert table.columns.tolist() == ["model", "layer", "filter", "start", "ascent", "best_face", "dead", *means]  # fmt: skip
    assert table["filter"].tolist() == list(range(8))
    assert (table["ascent"] >= table["start"]).all()
    assert (table[means].max(axis=1) <= table["best_face"] + 1e-6).all()
    assert set(table["dead"]) <= {0, 1}
    summary = record["layers"]["conv_2a"]
    assert summary["filters"] == 8 and summary["dead"] == table["dead"].sum()
    live = table[table["dead"] == 0]
    assert summary["ascent_above_best_face"] == (live["ascent"] > live["best_face"]).sum()
    assert "conv_2a: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("layer", "heading"), [("conv_0", "set, not trained"), ("conv_1a", "trained")]
)
def test_a_grid_says_whether_its_filters_were_trained(
    layer, heading, trained, tmp_path, monkeypatch
):
    seen, plot = [], visualize_filters.plot_grids
    monkeypatch.setattr(
        visualize_filters,
        "plot_grids",
        lambda grids, title: seen.append(grids) or plot(grids, title),
    )
    visualize_filters.main(args_for(trained, tmp_path, layer=layer, split="PublicTest"))
    assert [list(grids) for grids in seen] == [[heading, "untrained copy"]]


def test_every_layer_in_turn_and_runs_of_other_models_stay(trained, tmp_path):
    other = pd.DataFrame({"model": ["other"], "layer": ["conv"], "filter": [0], "ascent": [1.5]})
    other.to_csv(tmp_path / "filters.csv", index=False)
    faces = utils.load_faces(trained / "faces.csv")
    record = visualize_filters.main(args_for(trained, tmp_path, few=2, show=4, row=3))
    convolutions = [f"conv_{name}" for name in ("0", "1a", "1b", "2", "2a", "2b", "3", "3a", "3b")]
    assert list(record["layers"]) == convolutions
    table = pd.read_csv(tmp_path / "filters.csv")
    assert table.loc[table["model"] == "other", "ascent"].tolist() == [1.5]
    assert table["layer"].unique().tolist() == ["conv", *convolutions]
    before = (tmp_path / "filters.csv").read_bytes()
    visualize_filters.main(args_for(trained, tmp_path, layer="conv_0", filters=(2, 1)))
    assert (tmp_path / "filters.csv").read_bytes() == before  # it is of whole layers
    visualize_filters.main(args_for(trained, tmp_path, layer="conv_0", steps=1))
    again = pd.read_csv(tmp_path / "filters.csv")
    for layer in ("conv", *convolutions):
        parts = [t[t["layer"] == layer].reset_index(drop=True) for t in (again, table)]
        assert parts[0].equals(parts[1]) == (layer != "conv_0")
    kept = json.loads((tmp_path / "compact_filters.json").read_text())
    assert list(kept["layers"]) == convolutions
    visualize_filters.main(args_for(trained, tmp_path, layer="conv_0", split="PublicTest"))
    assert list(json.loads((tmp_path / "compact_filters.json").read_text())["layers"]) == ["conv_0"]
    assert len(faces.images) == 420
    (tmp_path / "filters.csv").write_text("what;is\nthis;1\n")
    with pytest.raises(InputError, match=r"is damaged.*move it away"):
        visualize_filters.main(args_for(trained, tmp_path, layer="conv_0"))


def test_a_picture_of_ones_own(trained, tmp_path):
    Image.fromarray(IMAGES[0]).resize((90, 60)).save(tmp_path / "me.png")
    visualize_filters.main(
        args_for(trained, tmp_path, layer="conv_0", image=tmp_path / "me.png", plain=True)
    )
    assert (tmp_path / "compact_conv_0_plain_responses.png").stat().st_size > 10_000
    assert (tmp_path / "compact_filters_plain.json").exists()
    assert not (tmp_path / "filters.csv").exists()  # that of the default method stays


def test_list_names_the_layers_and_writes_nothing(trained, tmp_path, capsys):
    visualize_filters.main(args_for(trained, tmp_path, list=True))
    out = capsys.readouterr().out
    assert "conv_1b: 4 filters, maps of 24x24, receptive field 14x14 pixels" in out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"layer": "conv_9"}, "no convolution conv_9; there are conv_0, conv_1a"),
        ({"layer": "conv_0", "filters": (4,)}, "conv_0 has filters 0 to 3, not 4"),
        ({"layer": "conv_0", "filters": (-1,)}, "not -1"),
        ({"filters": (1,)}, "name it with --layer"),
        ({"row": 420}, "rows 0 to 419, not 420"),
        ({"steps": 0}, "--steps is 0"),
        ({"few": 0}, "--few is 0"),
        ({"split": "Test"}, "no rows of Usage Test"),
    ],
)
def test_bad_input_ends_in_one_line_and_writes_nothing(change, expected, trained, tmp_path):
    with pytest.raises(InputError, match=expected) as caught:
        visualize_filters.main(args_for(trained, tmp_path, **change))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_broken_model_ends_in_one_line(trained, tmp_path):
    model = by_hand(np.full((5, 5), np.nan)).model
    model.save(tmp_path / "broken.keras")
    args = args_for(trained, tmp_path / "out", model=tmp_path / "broken.keras", split="PublicTest")
    with pytest.raises(InputError, match="NaN or infinity"):
        visualize_filters.main(args)
    assert not (tmp_path / "out").exists()


def test_the_bar_shows_the_value_climbing(capsys):
    ascend(by_hand(EDGE), steps=12, verbose=1)
    shown = [float(x) for x in re.findall(r"mean value: (-?[\d.]+)", capsys.readouterr().out)]
    assert len(shown) >= 2 and shown[-1] > shown[0]  # it is redrawn every 50 ms


def test_a_model_without_convolution_says_so(trained, tmp_path):
    model = keras.Sequential([keras.Input((48, 48, 1)), layers.Flatten(), layers.Dense(7)])
    model.save(tmp_path / "flat.keras")
    with pytest.raises(InputError, match="no convolution"):
        visualize_filters.main(args_for(trained, tmp_path, model=tmp_path / "flat.keras"))
