"""Who trains: our batches and networks, plain `fit`, PyTorch; each in a process of its own.

The frameworks are imported where they are used, since even the idle threads of one slow another.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

BATCH = 128
HOMEWORK_PARAMETERS = 4_845_063
HOMEWORK, FAST = "homework CNN", "fast recipe's residual net"

Train = Callable[[int], None]  # one pass over so many images


def noise(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (count, 48, 48) and labels (count,) without meaning."""
    images = np.random.default_rng(seed).integers(0, 256, (count, 48, 48), np.uint8)
    return images, np.arange(count, dtype=np.uint8) % 7


def in_plain_keras(model, optimizer=None):
    """A compiled copy with Keras's own layers in place of our faster ones, and `optimizer`."""
    from toolbox.training.run_records import bare_model

    copy = bare_model(model)
    how = {"metrics": ["accuracy"], "jit_compile": model.jit_compile}
    copy.compile(optimizer or model.optimizer, model.loss, **how)
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
        model = in_plain_keras(model)
    change = partial(train_cnn.augmented, args) if augment else None
    targets = np.eye(7, dtype="f4")[labels]

    def train(count: int) -> None:
        data = training_batches(images[:count], targets[:count], BATCH, 0, range(1), change)
        model.fit(data, steps_per_epoch=count // BATCH, verbose=0, shuffle=False)

    return train


def train_by_fit(images: np.ndarray, labels: np.ndarray, generator: bool) -> Train:
    """The homework CNN of Keras's own layers by plain `fit`: on arrays, or on its generator."""
    import train_cnn
    from toolbox.engine import keras

    args = replace(train_cnn.RECIPES["homework"], precision="float32")
    adadelta = keras.optimizers.Adadelta(args.learning_rate, rho=0.95, epsilon=1e-8)
    model = in_plain_keras(train_cnn.compiled(args, steps_per_epoch=1), adadelta)
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
