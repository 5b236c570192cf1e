"""What benchmark.py measures: each contender, prepared in a process of its own.

The frameworks are imported where they are used, since even the idle threads of one slow another.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

BATCH = 128
HOMEWORK_PARAMETERS = 4_845_063
HOMEWORK, FAST = "homework CNN", "fast recipe's residual net"
STEPS = 32  # of integrated gradients

Train = Callable[[int], None]  # one pass over so many images


def noise(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (count, 48, 48) and labels (count,) without meaning."""
    images = np.random.default_rng(seed).integers(0, 256, (count, 48, 48), np.uint8)
    return images, np.arange(count, dtype=np.uint8) % 7


# Training


def with_plain_batch_norm(model):
    """A compiled copy that has Keras's own batch norm instead of our faster one."""
    from toolbox.training.run_records import bare_model

    copy = bare_model(model)
    copy.compile_from_config(model.get_compile_config())
    return copy


def train_ours(
    images: np.ndarray,
    labels: np.ndarray,
    recipe: str = "homework",
    precision: str = "float32",
    augment: bool = True,
    plain_batch_norm: bool = False,
) -> Train:
    """As train_cnn.py does."""
    import train_cnn
    from toolbox.training import fit
    from toolbox.training.batches import training_batches

    args = replace(train_cnn.RECIPES[recipe], precision=precision)
    fit.make_repeatable(0, precision)
    model = train_cnn.compiled(args, steps_per_epoch=len(images) // BATCH)
    if plain_batch_norm:
        model = with_plain_batch_norm(model)
    change = partial(train_cnn.augmented, args) if augment else None
    targets = np.eye(7, dtype="f4")[labels]

    def train(count: int) -> None:
        data = training_batches(images[:count], targets[:count], BATCH, 0, range(1), change)
        model.fit(data, steps_per_epoch=count // BATCH, verbose=0, shuffle=False)

    return train


def train_by_fit(images: np.ndarray, labels: np.ndarray, generator: bool) -> Train:
    """The homework CNN by plain `fit`: on arrays, or on Keras's own augmenting generator."""
    import train_cnn
    from toolbox.engine import keras

    args = replace(train_cnn.RECIPES["homework"], precision="float32")
    model = train_cnn.compiled(args, steps_per_epoch=len(images) // BATCH)
    floats, targets = images[..., np.newaxis].astype("f4"), np.eye(7, dtype="f4")[labels]
    augmenter = keras.src.legacy.preprocessing.image.ImageDataGenerator(
        width_shift_range=args.shift,
        height_shift_range=args.shift,
        rotation_range=args.rotation,
        zoom_range=args.zoom,
        horizontal_flip=args.flip,
    )

    def train(count: int) -> None:
        if generator:
            model.fit(augmenter.flow(floats[:count], targets[:count], BATCH), verbose=0)
        else:
            model.fit(floats[:count], targets[:count], BATCH, verbose=0)

    return train


def train_by_torch(images: np.ndarray, labels: np.ndarray) -> Train:
    """The homework CNN in PyTorch, layer by layer, with its Adadelta."""
    import torch
    from torch import nn

    class PReLU(nn.Module):
        """One alpha per position, as Keras has by default; PyTorch has one per channel at most."""

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
    if sum(p.numel() for p in net.parameters()) != HOMEWORK_PARAMETERS:
        raise ValueError("the PyTorch net is not the homework's")
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


TRAINERS: dict[str, Callable[[np.ndarray, np.ndarray], Train]] = {
    f"{HOMEWORK}, augmented: ours": train_ours,
    f"{HOMEWORK}, augmented: fit on ImageDataGenerator": partial(train_by_fit, generator=True),
    f"{HOMEWORK}: ours": partial(train_ours, augment=False),
    f"{HOMEWORK}: fit on arrays": partial(train_by_fit, generator=False),
    f"{HOMEWORK}: PyTorch": train_by_torch,
    f"{HOMEWORK} in bfloat16, augmented: ours": partial(train_ours, precision="bfloat16"),
    f"{FAST}, augmented: ours": partial(train_ours, recipe="fast"),
    f"{FAST}, augmented: ours, with Keras's batch norm": partial(
        train_ours, recipe="fast", plain_batch_norm=True
    ),
}


def multiplier(size: int) -> Callable[[], None]:
    """One product of two square float32 matrices, 2 * size**3 operations."""
    from toolbox.engine import tf

    matrix = tf.random.normal((size, size))
    return lambda: tf.linalg.matmul(matrix, matrix).numpy()


# Whole processes

BARE = """
import sys, keras, numpy as np
model, images = keras.saving.load_model(sys.argv[1], compile=False), np.load(sys.argv[2])
print(model.predict(images, batch_size=256, verbose=0).argmax(axis=1))
"""


# Saliency maps, and images that maximally activate filters, all of the untrained compact


def untrained_compact():
    """The shipped network, untrained; the same weights in every process."""
    import train_cnn
    from toolbox.analysis import saved_models
    from toolbox.engine import keras

    keras.utils.set_random_seed(0)
    args, path = train_cnn.RECIPES["compact"], Path("untrained.keras")
    model = train_cnn.build_residual_cnn(args.width, args.squeeze, args.dropout, stem=args.stem)
    return saved_models.Classifier(path.stem, path, model, saved_models.PIXELS, None)


def untrained_logits():
    """The same up to its logits, as it would be saved."""
    from toolbox.analysis.model_layers import logits_model

    return logits_model(untrained_compact().model)


def map_ours(
    images: np.ndarray, labels: np.ndarray, what: str, precision: str = "float32"
) -> Callable[[], np.ndarray]:
    """Our gradients, our integrated gradients, or the forward pass alone."""
    from toolbox.analysis import attribution

    net = attribution.explain(untrained_compact(), precision)
    if what == "forward":
        return lambda: attribution.in_batches(lambda x, _: net.scores(x), images, labels)
    if what == "gradient":
        return lambda: attribution.gradient(net, images, labels)
    return lambda: attribution.integrated_gradients(net, images, labels, STEPS, STEPS)[0]


def map_by_keras_vis(images: np.ndarray, labels: np.ndarray) -> Callable[[], np.ndarray]:
    """The gradients of tf-keras-vis: their sizes, each map scaled to 0..1."""
    from tf_keras_vis.saliency import Saliency
    from tf_keras_vis.utils.scores import CategoricalScore

    peer = Saliency(untrained_logits(), clone=False)
    faces, score = images[..., np.newaxis].astype("f4"), CategoricalScore(labels.tolist())
    return lambda: peer(score, faces)


def map_by_pair(
    images: np.ndarray, labels: np.ndarray, integrated: bool
) -> Callable[[], np.ndarray]:
    """The maps of PAIR's saliency, which takes one face at a time."""
    import saliency.core as pair  # found before our saliency.py: see benchmark.py

    from toolbox.engine import tf

    model, faces = untrained_logits(), images[..., np.newaxis].astype("f4")
    peer = pair.IntegratedGradients() if integrated else pair.GradientSaliency()

    def call(inputs, call_model_args, expected_keys=None) -> dict:  # as PAIR names them
        inputs = tf.convert_to_tensor(inputs, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            score = model(inputs, training=False)[:, call_model_args]
        return {pair.INPUT_OUTPUT_GRADIENTS: tape.gradient(score, inputs).numpy()}

    def map_of(face: np.ndarray, label: int) -> np.ndarray:
        if not integrated:
            return peer.GetMask(face, call, label)[..., 0]
        blank = np.full_like(face, face.mean())
        return peer.GetMask(face, call, label, blank, x_steps=STEPS, batch_size=STEPS)[..., 0]

    pairs = list(zip(faces, labels.astype(int), strict=True))
    return lambda: np.stack([map_of(face, label) for face, label in pairs])


OUR_GRADIENT, FORWARD = "gradient: ours", "forward pass alone: ours"
KERAS_VIS, PAIR = "gradient: tf-keras-vis", "gradient: PAIR saliency"
MAPPERS: dict[str, tuple[Callable, int]] = {  # and the faces of one measurement
    OUR_GRADIENT: (partial(map_ours, what="gradient"), 1000),
    FORWARD: (partial(map_ours, what="forward"), 1000),
    "gradient in bfloat16: ours": (partial(map_ours, what="gradient", precision="bfloat16"), 1000),
    KERAS_VIS: (map_by_keras_vis, 1000),
    PAIR: (partial(map_by_pair, integrated=False), 200),
    "integrated gradients: ours": (partial(map_ours, what="integrated"), 100),
    "integrated gradients: PAIR saliency": (partial(map_by_pair, integrated=True), 50),
}


def deepest_layer():
    """The untrained model up to its last convolution's activations."""
    from toolbox.analysis.filter_layers import filter_layers
    from toolbox.engine import keras

    model = untrained_compact().model
    return keras.Model(model.inputs, filter_layers(model)[-1].measured.output)


def climb_ours(filters: int, steps: int, plain: bool = False) -> Callable[[], None]:
    """Our ascent, all filters in one batch; `plain` is the homework's bare method."""
    from toolbox.analysis.activation_maximization import AscentSettings, ascend, climbers

    climber, settings = climbers(untrained_compact())[-1], AscentSettings(steps, plain=plain)
    return lambda: ascend(climber, np.arange(filters), settings)


def climb_by_keras_vis(filters: int, steps: int) -> Callable[[], None]:
    """The ascent of tf-keras-vis with its default regularizers, all filters in one batch."""
    from tf_keras_vis.activation_maximization import ActivationMaximization
    from tf_keras_vis.utils.scores import CategoricalScore

    peer, score = ActivationMaximization(deepest_layer()), CategoricalScore(list(range(filters)))
    images = noise(filters, 0)[0][..., np.newaxis].astype("f4")
    return lambda: peer(score, images, steps=steps)


def climb_eagerly(filters: int, steps: int) -> Callable[[], None]:
    """The usual way, as in Keras's own example: one filter after the other, step by step, the
    gradient of the filter's mean with respect to an image, taken eagerly.
    """
    from toolbox.engine import tf

    part = deepest_layer()

    def climb() -> None:
        for number in range(filters):
            image = tf.random.uniform((1, 48, 48, 1)) * 20 + 118
            for _ in range(steps):
                with tf.GradientTape() as tape:
                    tape.watch(image)
                    value = tf.reduce_mean(part(image)[..., number])
                image += 10 * tf.math.l2_normalize(tape.gradient(value, image))

    return climb


CLIMB, EAGER, VIS_CLIMB = "ascent: ours", "ascent: eager loop over filters", "ascent: tf-keras-vis"
CLIMBERS: dict[str, tuple[Callable, int]] = {  # and the filters of one measurement
    CLIMB: (climb_ours, 64),
    "ascent, plain: ours": (partial(climb_ours, plain=True), 64),
    VIS_CLIMB: (climb_by_keras_vis, 64),
    EAGER: (climb_eagerly, 4),
}
