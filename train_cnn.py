"""Train a convolutional network to name the expression of a face (the report's P1).

    python train_cnn.py                      # the compact net, the everyday default
    python train_cnn.py report               # the report's CNN and procedure
    python train_cnn.py report --no-augment  # as the report trained it again for P2

What to expect, on two cores with FER2013 (models/*.json): the compact net 61.5 % of the held-out
pictures, 61.9 % of PublicTest, 12 epochs in 3 minutes (seed 0); the report's CNN 47 s an epoch. The
report needed some 800 epochs for 62 %.
Killed or stopped, the same command goes on where it was. Figure: figures/NAME_history.png.
"""

import functools
import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import utils
import splits

with utils.quiet_stderr():
    import keras
import tyro
from keras import layers

import training
from batches import random_affine


@dataclass
class Args:
    # data
    data: Path | None = None
    """CSV of faces; without it data/fer2013.csv, or else drawn sample faces"""
    validation_fraction: float = 0.1
    """share of the training pictures that is held out"""

    # model
    net: Literal["compact", "report"] = "compact"
    """the network and its optimizer"""
    width: int = 32
    """channels of the compact net's first stage; they double twice"""
    dropout: float = 0.5
    """of the report's two dense layers (not stated there; 0.5 was the custom)"""

    # optimisation
    epochs: int = 12
    """passes over the training rows, at most"""
    patience: int = 100
    """epochs without a better validation accuracy before training stops"""
    batch_size: int = 128
    """faces a step"""
    learning_rate: float = 0.1
    """peak of the compact net's one cycle; the report's constant for Adadelta"""
    label_smoothing: float = 0.1
    """share of each target that is spread over all classes"""
    weight_decay: float = 5e-4
    """of the compact net, times the learning rate, each step"""

    # augmentation
    augment: bool = True
    """change each face at random each time it is shown"""
    shift: float = 0.08
    """largest shift, as a share of the side"""
    rotation: float = 10.0
    """largest turn, degrees"""
    zoom: float = 0.1
    """largest change of height and of width, as a share"""
    flip: bool = True
    """mirror every other face"""

    # output
    name: str = ""
    """of the files this run writes; without it the net's, and _no_augment where that is so"""
    seed: int = 0
    """of split, weights, order, augmentation and dropout"""
    models_dir: Path = utils.ROOT / "models"
    """folder of the model and its records"""
    figures_dir: Path = utils.ROOT / "figures"
    """folder of the figures"""
    fresh: bool = False
    """start over where an unfinished run of this name could go on"""


RECIPES = {
    "compact": ("A small modern net: batch norm, global pooling, one cycle of SGD.", Args()),
    "report": (
        "The report's CNN and procedure.",
        Args(
            net="report",
            epochs=1500,
            label_smoothing=0.0,
            weight_decay=0.0,
            shift=0.5,
            rotation=40.0,
            zoom=0.2,
        ),
    ),
}


def build_report_cnn(dropout: float) -> keras.Model:
    """The report's P1, layer by layer: 4,845,063 parameters; PReLU has one alpha a position."""
    return keras.Sequential(
        [
            keras.Input((48, 48, 1), name="faces"),
            layers.Rescaling(1 / 255, name="rescaling"),
            layers.Conv2D(64, 5, name="conv2d_1"),
            layers.PReLU(name="p_re_lu_1"),
            layers.ZeroPadding2D(2, name="zero_padding2d_1"),
            layers.MaxPooling2D(5, 2, name="max_pooling2d_1"),
            layers.ZeroPadding2D(1, name="zero_padding2d_2"),
            layers.Conv2D(64, 3, name="conv2d_2"),
            layers.PReLU(name="p_re_lu_2"),
            layers.ZeroPadding2D(1, name="zero_padding2d_3"),
            layers.Conv2D(64, 3, name="conv2d_3"),
            layers.PReLU(name="p_re_lu_3"),
            layers.AveragePooling2D(3, 2, name="average_pooling2d_1"),
            layers.ZeroPadding2D(1, name="zero_padding2d_4"),
            layers.Conv2D(128, 3, name="conv2d_4"),
            layers.PReLU(name="p_re_lu_4"),
            layers.ZeroPadding2D(1, name="zero_padding2d_5"),
            layers.Conv2D(128, 3, name="conv2d_5"),
            layers.PReLU(name="p_re_lu_5"),
            layers.ZeroPadding2D(1, name="zero_padding2d_6"),
            layers.AveragePooling2D(3, 2, name="average_pooling2d_2"),
            layers.Flatten(name="flatten_1"),
            layers.Dense(1024, name="dense_1"),
            layers.PReLU(name="p_re_lu_6"),
            layers.Dropout(dropout, name="dropout_1"),
            layers.Dense(1024, name="dense_2"),
            layers.PReLU(name="p_re_lu_7"),
            layers.Dropout(dropout, name="dropout_2"),
            layers.Dense(7, name="dense_3"),
            layers.Softmax(name="activation_1"),
        ],
        name="report",
    )


def build_compact_cnn(width: int) -> keras.Model:
    """Halve the side at once, then two convolutions at each of three sizes; global pooling.

    The batch norms forget sooner than Keras's default, which needs some 500 steps to settle.
    """
    stack = [
        keras.Input((48, 48, 1), name="faces"),
        layers.Rescaling(1 / 127.5, offset=-1, name="rescaling"),
        layers.Conv2D(width, 5, 2, padding="same", use_bias=False, name="conv_0"),
        layers.BatchNormalization(momentum=0.9, name="norm_0"),
        layers.ReLU(name="relu_0"),
    ]
    for stage in range(3):
        if stage > 0:
            stack.append(layers.MaxPooling2D(name=f"pool_{stage}"))
        for part in "ab":
            stack += [
                layers.Conv2D(
                    width * 2**stage,
                    3,
                    padding="same",
                    use_bias=False,
                    name=f"conv_{stage + 1}{part}",
                ),
                layers.BatchNormalization(momentum=0.9, name=f"norm_{stage + 1}{part}"),
                layers.ReLU(name=f"relu_{stage + 1}{part}"),
            ]
    stack += [
        layers.GlobalAveragePooling2D(name="global_pooling"),
        layers.Dense(7, name="logits"),
        layers.Softmax(name="softmax"),
    ]
    return keras.Sequential(stack, name="compact")


def report_optimizer(args: Args) -> keras.optimizers.Optimizer:
    """The report's Adadelta(lr=0.1, rho=0.95, epsilon=1e-8)."""
    return keras.optimizers.Adadelta(args.learning_rate, rho=0.95, epsilon=1e-8)


def one_cycle(args: Args, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """SGD whose learning rate climbs for a quarter of the run, then falls to 0 along a cosine.

    After L. N. Smith, "A disciplined approach to neural network hyper-parameters" (2018).
    """
    steps = args.epochs * steps_per_epoch
    rate = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=args.learning_rate / 25,
        warmup_target=args.learning_rate,
        warmup_steps=steps // 4,
        decay_steps=steps - steps // 4,
    )
    return keras.optimizers.SGD(
        rate, momentum=0.9, nesterov=True, weight_decay=args.weight_decay or None
    )


def main(args: Args) -> dict:
    """Train as `args` say; returns the record written to models/NAME.json."""
    args = replace(args, name=args.name or args.net + ("" if args.augment else "_no_augment"))
    training.check(args)
    faces = utils.load_faces(args.data)
    train_rows, validation_rows = splits.split(faces, args.validation_fraction, args.seed)
    training.make_repeatable(args.seed)
    if args.net == "report":
        model, optimizer = build_report_cnn(args.dropout), report_optimizer(args)
    else:
        model = build_compact_cnn(args.width)
        optimizer = one_cycle(args, math.ceil(len(train_rows) / args.batch_size))
    model.compile(
        optimizer,
        keras.losses.CategoricalCrossentropy(label_smoothing=args.label_smoothing),
        metrics=["accuracy"],
        jit_compile=False,  # XLA does not pay for convolutions on a CPU
    )
    augment = functools.partial(
        random_affine, shift=args.shift, rotation=args.rotation, zoom=args.zoom, flip=args.flip
    )
    return training.train(
        args, model, faces, train_rows, validation_rows, augment if args.augment else None
    )


def parse(arguments: list[str]) -> Args:
    """`[RECIPE] [flags]`; the recipe sets the defaults that the flags change."""
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        arguments = ["compact", *arguments]
    return tyro.extras.overridable_config_cli(RECIPES, args=arguments, description=__doc__)


if __name__ == "__main__":
    utils.run(main, parse(sys.argv[1:]))
