"""The maps are what their definitions say, on models whose maps are known by hand."""

from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from conftest import make_faces
from PIL import Image

import utils
import attribution
import classifier as classifiers
import faithfulness
import saliency
import train_cnn
from utils import InputError

layers = keras.layers
IMAGES = make_faces(20)[0]
LABELS = np.arange(20) % 7


def classifier_of(*stack, shape=(48, 48, 1), input_range=(0.0, 255.0)) -> classifiers.Classifier:
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input(shape), *stack])
    return classifiers.Classifier("x", classifiers.logits_model(model), input_range, None)


def linear() -> classifiers.Classifier:
    return classifier_of(layers.Flatten(), layers.Dense(7), layers.Softmax())


def small_cnn(*top) -> classifiers.Classifier:
    return classifier_of(
        layers.Rescaling(1 / 255),
        layers.Conv2D(6, 5, padding="same", activation="relu", name="conv"),
        layers.GlobalAveragePooling2D(),
        *(top or (layers.Dense(7), layers.Softmax())),
    )


# Logits


def test_every_kind_of_softmax_is_undone():
    keras.utils.set_random_seed(0)
    features = [layers.Flatten(), layers.Dense(5, activation="relu")]
    ends = {
        "layer": [layers.Dense(7), layers.Softmax()],
        "activation": [layers.Dense(7), layers.Activation("softmax")],
        "folded": [layers.Dense(7, activation="softmax")],
        "nested": [keras.Sequential([keras.Input((5,)), layers.Dense(7), layers.Softmax()])],
        "nested and folded": [keras.Sequential([keras.Input((5,)), layers.Dense(7, activation="softmax")])],
    }  # fmt: skip
    faces = IMAGES[..., None] / np.float32(2550)
    for name, end in ends.items():
        model = keras.Sequential([keras.Input((48, 48, 1)), *features, *end])
        logits = classifiers.logits_model(model)(faces).numpy()
        assert not np.allclose(logits.sum(axis=1), 1), name
        np.testing.assert_allclose(tf.nn.softmax(logits), model(faces), atol=1e-6, err_msg=name)
    plain = keras.Sequential([keras.Input((48, 48, 1)), *features, layers.Dense(7)])
    assert classifiers.logits_model(plain) is plain


# Methods


def test_a_linear_models_gradient_is_its_weights():
    classifier = linear()
    weights = classifier.model.layers[-1].kernel.numpy().T.reshape(7, 48, 48)
    logits = attribution.logits_of(classifier)
    np.testing.assert_allclose(
        attribution.gradient(logits, IMAGES, LABELS), weights[LABELS], rtol=1e-5
    )
    smooth = attribution.smooth_gradient(logits, IMAGES, LABELS, 0.15, 3, 0, verbose=0)
    np.testing.assert_allclose(smooth, weights[LABELS], rtol=1e-5)
    maps, error = attribution.integrated_gradients(logits, IMAGES, LABELS, 1, verbose=0)
    difference = IMAGES - IMAGES.mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(maps, weights[LABELS] * difference, atol=1e-3)
    assert error.max() < 1e-2
    fall = attribution.occlusion(logits, IMAGES, LABELS, 48)
    expected = (weights[LABELS] * difference).sum(axis=(1, 2))
    np.testing.assert_allclose(
        fall, np.broadcast_to(expected[:, None, None], fall.shape), atol=0.05
    )


def test_occlusion_finds_the_only_pixel_that_matters():
    classifier = linear()
    kernel = np.zeros((48, 48, 7), np.float32)
    kernel[10, 30] = 1
    classifier.model.layers[-1].set_weights([kernel.reshape(-1, 7), np.zeros(7)])
    image = np.zeros((1, 48, 48), np.uint8)
    image[0, 10, 30] = 255
    heat = attribution.occlusion(attribution.logits_of(classifier), image, np.array([0]), 8)[0]
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    assert abs(y - 10) < 8 and abs(x - 30) < 8
    assert heat[10, 30] == heat.max() > 0
    assert (heat[20:] == 0).all() and (heat[:, :20] == 0).all()


def test_integrated_gradients_add_up_and_double_their_steps():
    classifier = small_cnn(layers.Dense(40, activation="tanh"), layers.Dense(7))
    classifier.model.layers[-2].kernel.assign(classifier.model.layers[-2].kernel * 30)
    logits = attribution.logits_of(classifier)
    images = IMAGES.astype(np.float32)
    _, coarse = attribution.integrated_gradients(logits, images, LABELS, 1, limit=1, verbose=0)
    maps, error = attribution.integrated_gradients(logits, images, LABELS, 1, verbose=0)
    assert coarse.max() > 0.05 >= error.max()
    blank = np.broadcast_to(images.mean(axis=(1, 2), keepdims=True), images.shape)
    rows = np.arange(20)
    change = logits(images).numpy()[rows, LABELS] - logits(blank).numpy()[rows, LABELS]
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), change, rtol=0.051)


def test_grad_cam_by_hand_also_inside_a_nested_model():
    classifier = small_cnn()
    maps = attribution.grad_cam(classifier, IMAGES, LABELS)
    convolution, dense = classifier.model.get_layer("conv"), classifier.model.layers[-1]
    features = convolution(IMAGES[..., None].astype(np.float32) / 255).numpy()
    weights = dense.kernel.numpy()[:, LABELS].T / 48**2  # global pooling spreads it evenly
    expected = np.maximum(np.einsum("nyxk,nk->nyx", features, weights), 0)
    np.testing.assert_allclose(maps, expected, rtol=1e-3, atol=1e-8)
    inside = keras.Sequential([keras.Input((48, 48, 1)), *classifier.model.layers[1:]])
    nested = classifiers.Classifier(
        "nested", keras.Sequential([keras.Input((48, 48, 1)), inside]), (0.0, 255.0), None
    )
    np.testing.assert_allclose(attribution.grad_cam(nested, IMAGES, LABELS), maps, rtol=1e-5)
    with pytest.raises(InputError, match="no convolution"):
        attribution.grad_cam(linear(), IMAGES, LABELS)


def test_grad_cam_takes_the_maps_that_are_pooled():
    """Not the convolution itself: a batch norm, a shortcut and a ReLU stand between."""
    model = train_cnn.build_compact_cnn(width=4, squeeze=True)
    assert attribution.last_feature_maps(model).name == "relu_3b"
    assert attribution.last_feature_maps(train_cnn.build_report_cnn(0.5)).name == "p_re_lu_5"
    assert attribution.last_feature_maps(small_cnn().model).name == "conv"


def test_shifted_face_shifts_the_map_of_a_fully_convolutional_net():
    classifier = small_cnn()
    image = np.zeros((1, 48, 48), np.uint8)
    image[0, 16:28, 16:28] = IMAGES[0, :12, :12]
    logits, label = attribution.logits_of(classifier), np.array([2])
    here = attribution.gradient(logits, image, label)
    there = attribution.gradient(logits, np.roll(image, (5, -3), (1, 2)), label)
    np.testing.assert_allclose(
        np.roll(here, (5, -3), (1, 2))[:, 8:40, 8:40], there[:, 8:40, 8:40], atol=1e-9
    )


def test_dropout_is_off_and_seeds_repeat():
    classifier = small_cnn(layers.Dropout(0.9), layers.Dense(7), layers.Softmax())
    logits = attribution.logits_of(classifier)
    first, second = (attribution.gradient(logits, IMAGES, LABELS) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    noisy = [
        attribution.smooth_gradient(logits, IMAGES, LABELS, 0.2, 2, seed, 0) for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(noisy[0], noisy[1])
    assert not np.array_equal(noisy[0], noisy[2])


def test_other_sizes_and_ranges_keep_the_maps_48_by_48():
    classifier = classifier_of(
        layers.Conv2D(3, 3), layers.GlobalAveragePooling2D(), layers.Dense(7, activation="softmax"),
        shape=(64, 64, 3), input_range=(-1.0, 1.0),
    )  # fmt: skip
    logits = attribution.logits_of(classifier)
    for maps in (
        attribution.gradient(logits, IMAGES, LABELS),
        attribution.grad_cam(classifier, IMAGES, LABELS),
    ):
        assert maps.shape == (20, 48, 48) and np.abs(maps).max() > 0


# Judging


def test_ranks_and_mixing_by_hand():
    heat = np.arange(48 * 48, dtype=np.float32).reshape(1, 48, 48) - 100
    place = faithfulness.ranks(heat)
    assert place[0, -1, -1] == 0 and sorted(place.ravel()) == list(range(48 * 48))
    image = IMAGES[:1]
    hidden = faithfulness.mix(image, place, 0.5, hide=True)
    np.testing.assert_allclose(hidden[0, 24:], image.mean(), rtol=1e-5)
    np.testing.assert_array_equal(hidden[0, 3:20], image[0, 3:20])
    shown = faithfulness.mix(image, place, 0.5, hide=False)
    np.testing.assert_array_equal(shown[0, 24:], image[0, 24:])
    np.testing.assert_array_equal(faithfulness.mix(image, place, 0, hide=True), image)
    np.testing.assert_array_equal(faithfulness.mix(image, place, 1, hide=False), image)


def test_a_true_map_beats_a_random_and_an_inverted_one():
    classifier = linear()
    kernel = np.zeros((48, 48, 7), np.float32)
    kernel[20:28, 20:28, 0] = 0.01
    classifier.model.layers[-1].set_weights([kernel.reshape(-1, 7), np.zeros(7)])
    images = np.full((12, 48, 48), 20, np.uint8)
    images[:, 20:28, 20:28] = 60
    logits, labels = attribution.logits_of(classifier), np.zeros(12, int)
    true = attribution.gradient(logits, images, labels)
    candidates = {"true": true, "random": faithfulness.random_maps(images, 0), "inverted": 1 - true}
    scores = {
        name: faithfulness.judge(logits, images, labels, labels, heat, 0.2)
        for name, heat in candidates.items()
    }
    assert (
        scores["true"]["deletion_auc"]
        < scores["random"]["deletion_auc"]
        < scores["inverted"]["deletion_auc"]
    )
    assert (
        scores["true"]["insertion_auc"]
        > scores["random"]["insertion_auc"]
        > scores["inverted"]["insertion_auc"]
    )
    assert scores["true"]["deletion"][0] == pytest.approx(scores["true"]["insertion"][-1])


def test_rank_correlation_is_spearmans_of_sizes():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, 48, 48))
    b += a
    expected = np.mean(
        [spearmanr(np.abs(x).ravel(), np.abs(y).ravel())[0] for x, y in zip(a, b, strict=True)]
    )
    assert faithfulness.rank_correlation(a, b) == pytest.approx(expected)
    assert faithfulness.rank_correlation(a, -a) == pytest.approx(1)
    assert faithfulness.rank_correlation(a, 0 * a) == 0


def test_randomisation_tells_a_map_of_the_model_from_one_of_the_face():
    classifier = small_cnn()
    before = classifier.model.get_weights()
    logits = attribution.logits_of(classifier)
    found = faithfulness.randomisation_check(
        classifier.model,
        {
            "model": lambda: attribution.gradient(logits, IMAGES, LABELS),
            "edges": lambda: faithfulness.edge_maps(IMAGES),
        },
        seed=0,
    )
    assert len(found["model"]) == 1 + 2  # a convolution and a dense layer
    assert found["edges"] == pytest.approx([1, 1, 1])
    assert abs(found["model"][-1]) < 0.5
    for weights, again in zip(before, classifier.model.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, again)


def test_verdict_follows_the_numbers():
    def scores(gain: float) -> dict:
        return {
            name: {"insertion_auc": 0.3 + change, "deletion_auc": 0.3}
            for name, change in (
                ("gradient", gain),
                ("occlusion", gain / 2),
                ("random", 0),
                ("sobel", 0.05),
            )
        }

    correlations = {"gradient": [1, 0.1], "occlusion": [1, 0.1]}
    assert "trust gradient most" in saliency.verdict("net", scores(0.2), correlations)
    assert "Trust no method" in saliency.verdict("net", scores(0.04), correlations)
    assert "beware" in saliency.verdict("net", scores(0.2), {"gradient": [1, 0.9]})


# The command


def args_for(trained, output, **changes) -> saliency.Args:
    args = saliency.Args(
        trained / "faces.csv", models_dir=trained / "models", samples=2, steps=2, faces=12
    )
    return replace(args, figures_dir=output, **changes)


def test_the_command_leaves_figures_and_scores(trained, tmp_path, capsys):
    record = saliency.main(args_for(trained, tmp_path, split="PublicTest"))
    base = "compact_PublicTest_saliency"
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"{base}.png", f"{base}_methods.png", f"{base}_classes.png", f"{base}_classes.csv", f"{base}.json",
                     "saliency_scores.csv", "saliency_scores.png"}  # fmt: skip
    table = pd.read_csv(tmp_path / "saliency_scores.csv", index_col="method")
    assert set(table.index) == {*saliency.METHODS, *saliency.CONTROLS}
    for name, row in table.iterrows():
        assert 0 <= row["deletion_auc"] <= 1 and 0 <= row["insertion_auc"] <= 1
        assert row["deletion_auc"] == pytest.approx(
            record["judged"]["scores"][name]["deletion_auc"]
        )
    assert record["judged"]["verdict"] in capsys.readouterr().out
    faces = utils.load_faces(trained / "faces.csv")
    classes = faces.labels[record["rows"]]
    assert sorted(classes) == sorted(set(classes))  # one face a class
    assert all(f"true {utils.CLASSES[c]}, {utils.CLASSES[c]} " in text
               for c, text in zip(classes, record["faces"], strict=True))  # fmt: skip


def test_given_rows_and_pictures_are_shown(trained, tmp_path):
    record = saliency.main(args_for(trained, tmp_path, split="all", rows=(12, 80), faces=0))
    assert record["rows"] == [12, 80]
    with pytest.raises(InputError, match=r"rows \[5000\] are not of all"):
        saliency.main(args_for(trained, tmp_path, split="all", rows=(5000,)))
    Image.fromarray(IMAGES[0]).convert("RGB").resize((90, 60)).save(tmp_path / "me.jpg")
    record = saliency.main(args_for(trained, tmp_path, image=tmp_path / "me.jpg"))
    assert (tmp_path / "compact_me_saliency.png").exists()
    assert len(record["faces"]) == 1 and "true" not in record["faces"][0]
    (tmp_path / "bad.jpg").write_text("no picture")
    with pytest.raises(InputError, match="not a readable picture"):
        saliency.main(args_for(trained, tmp_path, image=tmp_path / "bad.jpg"))


def test_a_model_without_convolution_has_no_grad_cam(trained, tmp_path):
    model = keras.Sequential(
        [keras.Input((48, 48, 1)), layers.Flatten(), layers.Dense(7), layers.Softmax()]
    )
    model.save(tmp_path / "flat.keras")
    args = args_for(trained, tmp_path, model=tmp_path / "flat.keras", split="all")
    record = saliency.main(args)
    assert set(record["judged"]["scores"]) == {*saliency.METHODS, *saliency.CONTROLS} - {"grad_cam"}
    with pytest.raises(InputError, match="no convolution"):
        saliency.main(replace(args, method="grad_cam"))
