"""The contenders can be built, and what is to be quoted is found. Nothing is timed."""

import numpy as np
import pytest

import train_cnn
from benchmarks import benchmark, explainers, timing, trainers
from toolbox.engine import keras
from toolbox.training.batch_norm import FusedBatchNormalization


def test_a_copy_with_plain_batch_norm_differs_in_that_alone():
    model = train_cnn.compiled(train_cnn.RECIPES["fast"], steps_per_epoch=1)
    copy = trainers.in_plain_keras(model)
    fused = [isinstance(layer, FusedBatchNormalization) for layer in model.layers]
    plain = [type(layer) is keras.layers.BatchNormalization for layer in copy.layers]
    assert fused == plain and sum(fused) == 8
    assert copy.count_params() == model.count_params()
    assert type(copy.optimizer) is type(model.optimizer) and copy.loss is not None
    assert not any(isinstance(layer, FusedBatchNormalization) for layer in copy.layers)


def test_peers_train_the_homework_cnn_of_kerass_own_layers(monkeypatch):
    """They had our faster ones, and our optimizer, and so were no peers."""
    made = []
    monkeypatch.setattr(keras.Model, "fit", lambda model, *args, **settings: made.append(model))
    trainers.train_by_fit(*trainers.noise(2, 0), generator=False)(2)
    kinds = {type(part) for part in (*made[0].layers, made[0].optimizer)}
    assert {keras.layers.PReLU, keras.optimizers.Adadelta} <= kinds
    assert made[0].count_params() == trainers.HOMEWORK_PARAMETERS
    assert all(kind.__module__.startswith("keras.") for kind in kinds)


def test_ours_train():
    images, labels = trainers.noise(trainers.BATCH, 0)
    trainers.train_ours(images, labels, recipe="fast")(trainers.BATCH)


def test_ours_make_maps():
    images, labels = trainers.noise(8, 0)
    assert explainers.map_ours(images, labels, "gradient")().shape == images.shape
    assert explainers.map_ours(images, labels, "forward")().shape == (8, 7)


def test_ours_and_the_eager_loop_climb_for_the_same_layer():
    assert explainers.untrained_compact().model.count_params() == 1_767_207
    assert explainers.deepest_layer().output.shape == (None, 6, 6, 256)
    explainers.climb_ours(1, 1)()
    explainers.climb_eagerly(1, 1)()


def test_what_is_quoted_is_measured():
    kinds = {
        "processes": [benchmark.IMPORT, benchmark.HELP, benchmark.BARE, benchmark.MATRIX],
        "csv": [benchmark.PANDAS, benchmark.AGAIN],
        "training": trainers.TRAINERS,
        "product": [benchmark.PRODUCT],
        "saliency": explainers.MAPPERS,
        "filters": explainers.CLIMBERS,
    }
    results = {
        part: {name: {"wall": i + 1.0, "cpu": 2.0} for i, name in enumerate(names)}
        for part, names in kinds.items()
    }
    quoted = benchmark.to_quote({"results": results}).splitlines()
    assert len(quoted) == 2 + len(benchmark.RATIOS)
    assert f"| {benchmark.AGAIN} | {benchmark.PANDAS} | 2.00 | 1.00 |" in quoted
    summary = benchmark.summarize(results)
    assert summary["fraction_of_matrix_product"]["ours"] == pytest.approx(0.39)
    assert summary["homework_epochs_of_fast"] == 7 * train_cnn.RECIPES["fast"].epochs


def test_medians_and_ratios():
    """By hand: `b` takes 2, 9 and 4 seconds, `a` always 2."""
    seconds = {"a": iter((2.0, 2.0, 2.0)), "b": iter((2.0, 9.0, 4.0))}
    works = {name: lambda its=its: (next(its), 1.0) for name, its in seconds.items()}
    table = timing.measure(works, 3)
    assert table["wall"].to_dict() == {"a": 2.0, "b": 4.0}
    assert np.allclose(table["wall ratio"], [1, 2]) and np.allclose(table["cpu ratio"], 1)
