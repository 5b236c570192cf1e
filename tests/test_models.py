"""The networks are the report's, layer by layer, and keep the contracts of a saved model."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import artefacts
import batch_norm
import train_cnn
import train_dnn
import training

# From the report: layer, output shape, parameters.
CNN = """
conv2d_1 44,44,64 1664
p_re_lu_1 44,44,64 123904
zero_padding2d_1 48,48,64 0
max_pooling2d_1 22,22,64 0
zero_padding2d_2 24,24,64 0
conv2d_2 22,22,64 36928
p_re_lu_2 22,22,64 30976
zero_padding2d_3 24,24,64 0
conv2d_3 22,22,64 36928
p_re_lu_3 22,22,64 30976
average_pooling2d_1 10,10,64 0
zero_padding2d_4 12,12,64 0
conv2d_4 10,10,128 73856
p_re_lu_4 10,10,128 12800
zero_padding2d_5 12,12,128 0
conv2d_5 10,10,128 147584
p_re_lu_5 10,10,128 12800
zero_padding2d_6 12,12,128 0
average_pooling2d_2 5,5,128 0
flatten_1 3200 0
dense_1 1024 3277824
p_re_lu_6 1024 1024
dropout_1 1024 0
dense_2 1024 1049600
p_re_lu_7 1024 1024
dropout_2 1024 0
dense_3 7 7175
activation_1 7 0
"""
DNN = """
flatten_1 2304 0
dense_1 1024 2360320
p_re_lu_1 1024 1024
dropout_1 1024 0
dense_2 1024 1049600
p_re_lu_2 1024 1024
dropout_2 1024 0
dense_3 1024 1049600
p_re_lu_3 1024 1024
dropout_3 1024 0
dense_4 7 7175
activation_1 7 0
"""
MODELS = {
    "report": lambda: train_cnn.build_report_cnn(0.5),
    "dnn": lambda: train_dnn.build_dnn(1024, 0.5),
    "fast": lambda: train_cnn.build_compact_cnn(32),
    "compact": lambda: train_cnn.build(train_cnn.RECIPES["compact"][1]),
    "whitening": lambda: train_cnn.build_compact_cnn(8, stem="whitening"),
}


def rows_of(table: str) -> list[str]:
    """The written table in the report's terms: name, shape, parameters."""
    rows = [line.split("|")[1:4] for line in table.splitlines() if line.startswith("| ")][1:]
    return [
        f"{name.split()[0]} {shape.replace(' ', '')} {params.replace(',', '')}".replace("  ", " ")
        for name, shape, params in ([cell.strip() for cell in row] for row in rows)
    ]


@pytest.mark.parametrize(
    ("name", "table", "total"), [("report", CNN, 4_845_063), ("dnn", DNN, 4_469_767)]
)
def test_layer_table_is_the_reports_row_by_row(name, table, total):
    model = MODELS[name]()
    written = artefacts.layer_table(model)
    assert rows_of(written)[1:] == table.strip().splitlines()  # the first is the rescaling
    assert rows_of(written)[0] == "rescaling 48,48,1 0"
    assert model.count_params() == total
    assert f"Total {total:,} parameters, {total:,} of them trainable." in written


def test_max_pooling_and_dropout_are_the_reports():
    model = MODELS["report"]()
    assert model.get_layer("max_pooling2d_1").pool_size == (5, 5)
    assert model.get_layer("max_pooling2d_1").strides == (2, 2)
    assert model.get_layer("conv2d_1").kernel_size == (5, 5)
    assert model.get_layer("dropout_1").rate == 0.5


@pytest.mark.parametrize("name", MODELS)
def test_saved_model_takes_raw_pixels_and_carries_no_optimizer(name, tmp_path):
    model = MODELS[name]()
    model.compile("adam", "categorical_crossentropy")
    images = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 1)).astype("float32")
    model.fit(images, keras.ops.one_hot([0, 1, 2], 7), verbose=0)
    artefacts.bare_model(model).save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert getattr(loaded, "optimizer", None) is None
    expected = model.predict(images, verbose=0)
    np.testing.assert_array_equal(loaded.predict(images, verbose=0), expected)
    assert expected.shape == (3, 7)
    np.testing.assert_allclose(expected.sum(axis=1), 1, rtol=1e-5)
    # Rescaling is inside: a face and the same face over 255 must not look alike to the model.
    assert np.abs(model.predict(images / 255, verbose=0) - expected).max() > 1e-4
    assert loaded.layers[-2].get_config()["units"] == 7
    assert isinstance(loaded.layers[-1], keras.layers.Softmax)


def test_a_model_trained_in_bfloat16_is_saved_in_float32(tmp_path):
    training.make_repeatable(0, "bfloat16")
    model = train_cnn.build_compact_cnn(16, squeeze=True, dropout=0.2)
    assert model.get_layer("conv_1a").compute_dtype == "bfloat16"
    training.make_repeatable(0)
    bare = artefacts.bare_model(model)
    assert {layer.compute_dtype for layer in bare.layers} == {"float32"}
    images = np.random.default_rng(0).integers(0, 256, (5, 48, 48, 1)).astype("float32")
    expected = train_cnn.build_compact_cnn(16, squeeze=True, dropout=0.2)
    expected.set_weights(model.get_weights())
    np.testing.assert_array_equal(
        bare.predict(images, verbose=0), expected.predict(images, verbose=0)
    )
    np.testing.assert_allclose(
        bare.predict(images, verbose=0), model.predict(images, verbose=0), atol=0.05
    )


@pytest.mark.parametrize("build", [train_cnn.build_report_cnn, lambda x: train_dnn.build_dnn(8, x)])
def test_in_bfloat16_logits_and_softmax_stay_in_float32(build):
    training.make_repeatable(0, "bfloat16")
    model = build(0.5)
    training.make_repeatable(0)
    assert [layer.compute_dtype for layer in model.layers[-2:]] == ["float32", "float32"]
    assert model.layers[-4].compute_dtype == "bfloat16"


def test_one_cycle_climbs_and_falls_to_nothing():
    rate = train_cnn.one_cycle(100, learning_rate=0.2, weight_decay=0)._learning_rate
    rates = np.array([float(rate(step)) for step in range(101)])
    assert rates.argmax() == 25
    assert rates[25] == pytest.approx(0.2)
    assert rates[0] == pytest.approx(0.2 / 25)
    assert rates[100] == pytest.approx(0, abs=1e-6)


def test_report_recipe_is_the_reports_procedure():
    _, args = train_cnn.RECIPES["report"]
    assert (args.batch_size, args.epochs, args.patience) == (128, 1500, 100)
    assert (args.shift, args.rotation, args.zoom, args.flip) == (0.5, 40, 0.2, True)
    assert args.label_smoothing == 0
    adadelta = train_cnn.report_optimizer(args)
    assert isinstance(adadelta, keras.optimizers.Adadelta)
    assert float(adadelta.learning_rate) == pytest.approx(0.1)
    assert (adadelta.rho, adadelta.epsilon) == (0.95, 1e-8)


@pytest.mark.parametrize(
    ("line", "net", "epochs", "augment"),
    [
        ("", "compact", 12, True),
        ("--epochs 3", "compact", 3, True),
        ("fast --no-augment", "compact", 12, False),
        ("compact --seed 1", "compact", 60, True),
        ("report", "report", 1500, True),
        ("report --no-augment --epochs 100", "report", 100, False),
    ],
)
def test_recipes_on_the_command_line(line, net, epochs, augment):
    args = train_cnn.parse(line.split())
    assert (args.net, args.epochs, args.augment) == (net, epochs, augment)


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
