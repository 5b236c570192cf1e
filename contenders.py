"""What benchmark.py measures: each contender prepared, to be run in a process of its own.

The frameworks are imported where they are used, since even the idle threads of one slow another.
"""

import functools
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import utils  # isort: split

import numpy as np

BATCH = 128


def noise(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (count, 48, 48) and labels (count,) without meaning."""
    images = np.random.default_rng(seed).integers(0, 256, (count, 48, 48), np.uint8)
    return images, np.arange(count, dtype=np.uint8) % 7


def keras_trainer(kind: str, images: np.ndarray, labels: np.ndarray) -> Callable[[int], None]:
    """One pass of `fit` over so many of the images, fed by our batches, by arrays or by Keras's
    generator.
    """
    with utils.quiet_stderr():
        import keras

    import train_cnn
    import training
    from batches import training_batches

    _, args = train_cnn.RECIPES["fast" if "fast" in kind else "report"]
    if "bfloat16" in kind:
        args = replace(args, precision="bfloat16")
    if kind == UNFUSED:
        train_cnn.FusedBatchNormalization = keras.layers.BatchNormalization
    if "ours" in kind:  # as the scripts train; the others as they are used elsewhere
        training.make_repeatable(0, args.precision)
    model = train_cnn.compiled(args, steps_per_epoch=len(images) // BATCH)
    floats, targets = images[..., np.newaxis].astype("f4"), np.eye(7, dtype="f4")[labels]
    augment = functools.partial(train_cnn.augmented, args) if OURS in kind else None
    augmenter = keras.src.legacy.preprocessing.image.ImageDataGenerator(
        width_shift_range=args.shift,
        height_shift_range=args.shift,
        rotation_range=args.rotation,
        zoom_range=args.zoom,
        horizontal_flip=args.flip,
    )

    def train(count: int) -> None:
        if kind == "model.fit on arrays":
            model.fit(floats[:count], targets[:count], BATCH, verbose=0)
        elif kind == "model.fit on ImageDataGenerator, augmented":
            model.fit(augmenter.flow(floats[:count], targets[:count], BATCH), verbose=0)
        else:
            data = training_batches(images[:count], labels[:count], BATCH, 0, range(1), augment)
            model.fit(data, steps_per_epoch=count // BATCH, verbose=0, shuffle=False)

    return train


def torch_trainer(images: np.ndarray, labels: np.ndarray) -> Callable[[int], None]:
    """One pass over so many of the images in PyTorch: the same net, layer by layer, optimizer and
    batch.
    """
    import torch
    from torch import nn

    class PReLU(nn.Module):
        """One alpha a position, as Keras has by default; PyTorch has one a channel at most."""

        def __init__(self, *shape: int):
            super().__init__()
            self.alpha = nn.Parameter(torch.zeros(shape))

        def forward(self, x):
            return torch.relu(x) + self.alpha * torch.clamp(x, max=0)

    net = nn.Sequential(
        *(nn.Conv2d(1, 64, 5), PReLU(64, 44, 44), nn.ZeroPad2d(2), nn.MaxPool2d(5, 2)),
        *(nn.ZeroPad2d(1), nn.Conv2d(64, 64, 3), PReLU(64, 22, 22)),
        *(nn.ZeroPad2d(1), nn.Conv2d(64, 64, 3), PReLU(64, 22, 22), nn.AvgPool2d(3, 2)),
        *(nn.ZeroPad2d(1), nn.Conv2d(64, 128, 3), PReLU(128, 10, 10)),
        *(nn.ZeroPad2d(1), nn.Conv2d(128, 128, 3), PReLU(128, 10, 10)),
        *(nn.ZeroPad2d(1), nn.AvgPool2d(3, 2), nn.Flatten()),
        *(nn.Linear(3200, 1024), PReLU(1024), nn.Dropout(0.5)),
        *(nn.Linear(1024, 1024), PReLU(1024), nn.Dropout(0.5), nn.Linear(1024, 7)),
    )
    if sum(p.numel() for p in net.parameters()) != 4_845_063:
        raise ValueError("the PyTorch net is not the report's")
    adadelta = torch.optim.Adadelta(net.parameters(), 0.1, rho=0.95, eps=1e-8)
    loss = nn.CrossEntropyLoss()
    inputs = torch.from_numpy(images[:, np.newaxis].astype("f4")) / 255
    classes = torch.from_numpy(labels.astype("i8"))

    def train(count: int) -> None:
        for rows in torch.randperm(count).split(BATCH):
            adadelta.zero_grad()
            loss(net(inputs[rows]), classes[rows]).backward()
            adadelta.step()

    return train


def mapper(kind: str, images: np.ndarray, labels: np.ndarray) -> Callable[[], np.ndarray]:
    """Maps of an untrained compact net, as they come out of each library."""
    with utils.quiet_stderr():
        import keras
        import tensorflow as tf

    import attribution
    import classifier as classifiers
    import train_cnn

    keras.utils.set_random_seed(0)  # the same weights in every process
    model = classifiers.logits_model(train_cnn.build_compact_cnn(32))
    faces, classes = images[..., np.newaxis].astype("f4"), labels.astype(int)
    logits = attribution.logits_of(classifiers.Classifier("net", model, (0.0, 255.0), None))
    if kind == "gradient: ours":
        return lambda: attribution.gradient(logits, images, labels)
    if kind == "integrated gradients: ours":
        return lambda: attribution.integrated_gradients(logits, images, labels, 32, 32, 0)[0]
    if kind == "gradient: forward pass alone":
        return lambda: attribution.in_batches(lambda x, _: logits(x), images, labels)
    if kind == "gradient: tf-keras-vis":
        from tf_keras_vis.saliency import Saliency
        from tf_keras_vis.utils.scores import CategoricalScore

        peer = Saliency(model, clone=False)
        return lambda: peer(CategoricalScore(classes.tolist()), faces)
    # Here a script has the name of PAIR's package.
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != utils.ROOT]
    sys.modules.pop("saliency", None)
    import saliency.core as pair

    def call(inputs, call_model_args, expected_keys=None) -> dict:
        inputs = tf.convert_to_tensor(inputs, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            score = model(inputs, training=False)[:, call_model_args]
        return {pair.INPUT_OUTPUT_GRADIENTS: tape.gradient(score, inputs).numpy()}

    def blank(face: np.ndarray) -> np.ndarray:
        return np.full_like(face, face.mean())

    if kind == "gradient: PAIR saliency":
        peer, how = pair.GradientSaliency(), lambda face: {}
    else:
        peer = pair.IntegratedGradients()
        how = lambda face: {"x_steps": 32, "x_baseline": blank(face), "batch_size": 32}  # noqa: E731
    return lambda: np.stack(
        [peer.GetMask(f, call, c, **how(f))[..., 0] for f, c in zip(faces, classes, strict=True)]
    )


def climber(kind: str, filters: int, steps: int) -> Callable[[], None]:
    """The ascent for filters of the deepest layer of an untrained compact net.

    The usual way, as in Keras's own example: for one filter after the other, step by step, the
    gradient of the filter's mean with respect to a picture, taken eagerly.
    """
    with utils.quiet_stderr():
        import keras
        import tensorflow as tf

    import activation_maximization as maximization
    import classifier as classifiers
    import train_cnn
    from filter_layers import filter_layers

    keras.utils.set_random_seed(0)
    _, args = train_cnn.RECIPES["compact"]
    model = train_cnn.build(args)
    target = filter_layers(model)[-1]
    if kind != "eager loop over filters":
        net = classifiers.Classifier("net", model, (0.0, 255.0), None)
        move = {"shift": 0.04, "rotation": 6.0, "zoom": 0.06}
        how = (steps, 0.05, move, kind == "ours, plain", 0)
        return lambda: maximization.ascend(net, target, np.arange(filters), *how)
    cut = keras.Model(model.inputs, target.seen.output)

    def climb() -> None:
        for number in range(filters):
            picture = tf.random.uniform((1, 48, 48, 1)) * 20 + 118
            for _ in range(steps):
                with tf.GradientTape() as tape:
                    tape.watch(picture)
                    value = tf.reduce_mean(cut(picture)[..., number])
                picture += 10 * tf.math.l2_normalize(tape.gradient(value, picture))

    return climb


def multiplier(size: int) -> Callable[[], None]:
    """One product of two square float32 matrices, 2 * size**3 operations."""
    with utils.quiet_stderr():
        import tensorflow as tf

    matrix = tf.random.normal((size, size))
    return lambda: tf.linalg.matmul(matrix, matrix).numpy()


OURS = "ours, augmented"
BFLOAT16 = f"{OURS}, bfloat16"
FAST = f"the fast recipe's net: {OURS}"
FAST_BFLOAT16 = f"{FAST}, bfloat16"
UNFUSED = f"the fast recipe's net with Keras's batch norm: {OURS}"
