"""How well does a convolutional network name the expression of a face? P1 of the homework.

    python train_cnn.py                        # recipe fast: a small network, minutes
    python train_cnn.py compact                # a larger one, for a night
    python train_cnn.py homework               # the homework's CNN and procedure, for days
    python train_cnn.py homework --no-augment  # without augmentation, for P2

The recipe, if any, comes first; the flags change it, and --help after a recipe shows its values.
What to expect with FER2013 on two cores, seed 0, on the held-out images: fast 61.9 % in 10 epochs,
5 CPU minutes (PublicTest 62.7 %); compact, which holds out PublicTest, 68.3 % in 150, 280 CPU
minutes; homework 60.1 % in 800 (its authors 62 %), without augmentation 55.3 % in 100 (56 %).
An interrupted run resumes when you repeat the command; homework also with another --epochs.
Figure: figures/NAME/history.png.
"""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import tyro

import utils
from toolbox.engine import keras, layers, tf
from toolbox.training import augmentation, devices, fit, precision, schedules, whitening
from toolbox.training.fused import FusedBatchNormalization, FusedPReLU
from toolbox.training.run_records import Run


@dataclass
class Args:
    # data
    data: Path | None = None
    """CSV of faces; without it data/fer2013.csv, or else synthetic faces"""
    validation_fraction: float = 0.1
    """fraction of the training images to hold out; 0 holds out PublicTest instead"""
    targets: Literal["majority", "votes"] = "majority"
    """what to train on: the labels, or the CSV's columns of votes, as of FER+"""

    # model
    network: Literal["residual", "vgg", "homework"] = "residual"
    """the network; the homework's comes with its optimizer, Adadelta, the others with SGD"""
    width: int = 32
    """residual (even, at most 50), vgg: channels of the first stage, doubled at each later one"""
    dropout: float = 0.0
    """vgg, homework: after the dense layers"""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """to compute in; auto is bfloat16 where the processor is fast at it and the network wide"""

    # optimization
    epochs: int = 10
    """passes over the training rows, at most"""
    patience: int = 100
    """keep best: epochs without a better validation accuracy before training stops"""
    batch_size: int = 128
    """faces per step"""
    keep: Literal["best", "last"] = "best"
    """weights of the epoch that is best on the held-out images, or of the last one"""
    learning_rate: float = 0.1
    """peak of the one cycle, or Adadelta's constant"""
    warmup: float = 0.25
    """residual, vgg: fraction of all steps in which the learning rate climbs; then it falls to 0"""
    label_smoothing: float = 0.1
    """fraction of each target that is spread over all classes"""
    weight_decay: float = 5e-4
    """residual, vgg: per step, times the learning rate"""
    distribute: bool = False
    """share each step among all GPUs, or on KERAS_BACKEND=jax all processes: docs/devices.md"""

    # augmentation
    augment: bool = True
    """change each face at random each time it is shown"""
    shift: float = 0.08
    """largest shift, as a fraction of the image size"""
    rotation: float = 10.0
    """largest rotation, degrees"""
    zoom: float = 0.1
    """largest change of height and of width, as a fraction"""
    flip: bool = True
    """mirror half of the faces"""
    erase: float = 0.0
    """size of a square that is greyed out in half of the faces, as a fraction of the image size"""

    # output
    name: str = "fast"
    """of the files this run writes; a recipe's own name gains _no_augment without augmentation"""
    seed: int = 0
    """of split, weights, order, augmentation and dropout"""
    models_dir: Path = utils.MODELS
    """folder of the model and its records"""
    figures_dir: Path = utils.FIGURES
    """folder of the figures"""
    fresh: bool = False
    """start over even if an unfinished run of this name could be resumed"""


# `fast` is the defaults above; the others state all they use, so editing a default changes none.
RECIPES = {
    "fast": Args(),
    "compact": Args(
        name="compact", validation_fraction=0.0, targets="majority", network="vgg", width=32,
        dropout=0.3, precision="auto", epochs=150, patience=100, batch_size=128, keep="last",
        learning_rate=0.1, warmup=0.033, label_smoothing=0.1, weight_decay=2e-3, augment=True,
        shift=0.1, rotation=15.0, zoom=0.15, flip=True, erase=0.35,
    ),
    "homework": Args(  # which does not state its dropout; 0.5 was the custom
        name="homework", validation_fraction=0.1, targets="majority", network="homework",
        dropout=0.5, precision="auto", epochs=1500, patience=100, batch_size=128, keep="best",
        learning_rate=0.1, label_smoothing=0.0, weight_decay=0.0, augment=True, shift=0.5,
        rotation=40.0, zoom=0.2, flip=True, erase=0.0,
    ),
}  # fmt: skip
UNUSED = {"residual": ("dropout",), "homework": ("width", "warmup", "weight_decay")}


def build_homework_cnn(dropout: float, classes: int = 7) -> keras.Model:
    """The homework's P1, layer by layer: 4,845,063 parameters; PReLU has one alpha per position."""
    return keras.Sequential([
        keras.Input((48, 48, 1), name="faces"), layers.Rescaling(1 / 255, name="rescaling"),
        layers.Conv2D(64, 5, name="conv2d_1"), FusedPReLU(name="p_re_lu_1"),
        layers.ZeroPadding2D(2, name="zero_padding2d_1"),
        layers.MaxPooling2D(5, 2, name="max_pooling2d_1"),
        layers.ZeroPadding2D(1, name="zero_padding2d_2"),
        layers.Conv2D(64, 3, name="conv2d_2"), FusedPReLU(name="p_re_lu_2"),
        layers.ZeroPadding2D(1, name="zero_padding2d_3"),
        layers.Conv2D(64, 3, name="conv2d_3"), FusedPReLU(name="p_re_lu_3"),
        layers.AveragePooling2D(3, 2, name="average_pooling2d_1"),
        layers.ZeroPadding2D(1, name="zero_padding2d_4"),
        layers.Conv2D(128, 3, name="conv2d_4"), FusedPReLU(name="p_re_lu_4"),
        layers.ZeroPadding2D(1, name="zero_padding2d_5"),
        layers.Conv2D(128, 3, name="conv2d_5"), FusedPReLU(name="p_re_lu_5"),
        layers.ZeroPadding2D(1, name="zero_padding2d_6"),
        layers.AveragePooling2D(3, 2, name="average_pooling2d_2"), layers.Flatten(name="flatten_1"),
        layers.Dense(1024, name="dense_1"), layers.PReLU(name="p_re_lu_6"),
        layers.Dropout(dropout, name="dropout_1"),
        layers.Dense(1024, name="dense_2"), layers.PReLU(name="p_re_lu_7"),
        layers.Dropout(dropout, name="dropout_2"),
        layers.Dense(classes, name="dense_3", dtype="float32"),
        layers.Softmax(name="activation_1", dtype="float32"),
    ], name="homework")  # fmt: skip


def convolution(x, channels: int, name: str):
    """Convolution and batch norm, whose momentum 0.9 settles sooner than Keras's 0.99."""
    x = layers.Conv2D(channels, 3, padding="same", use_bias=False, name=f"conv_{name}")(x)
    return FusedBatchNormalization(momentum=0.9, name=f"norm_{name}")(x)


def build_residual_cnn(width: int, classes: int = 7) -> keras.Model:
    """A fixed first layer, then a residual block at each of three sizes.

    `whiten` gives the first layer its weights. Blocks after K. He et al., "Deep residual learning"
    (2015).
    """
    faces = keras.Input((48, 48, 1), name="faces")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="rescaling")(faces)
    x = layers.Conv2D(width, 5, 1, "same", use_bias=False, trainable=False, name="conv_0")(x)
    x = layers.ReLU(name="relu_0")(layers.MaxPooling2D(name="pool_1")(x))
    for stage in (1, 2, 3):
        channels = width * 2 ** (stage - 1)
        if stage > 1:
            x = layers.MaxPooling2D(name=f"pool_{stage}")(x)
            x = layers.ReLU(name=f"relu_{stage}")(convolution(x, channels, f"{stage}"))
        y = layers.ReLU(name=f"relu_{stage}a")(convolution(x, channels, f"{stage}a"))
        y = convolution(y, channels, f"{stage}b")
        x = layers.ReLU(name=f"relu_{stage}b")(layers.Add(name=f"add_{stage}")([x, y]))
    x = layers.GlobalAveragePooling2D(name="global_pooling")(x)
    x = layers.Dense(classes, name="logits", dtype="float32")(x)
    return keras.Model(faces, layers.Softmax(name="softmax", dtype="float32")(x), name="residual")


def build_vgg(width: int, dropout: float, classes: int = 7) -> keras.Model:
    """Two convolutions at each of four sizes, and a dense layer; after each size half the dropout.

    After K. Simonyan and A. Zisserman, "Very deep convolutional networks" (2014); C. Pramerdorfer
    and M. Kampel (2016) found such a small one to do well on FER2013.
    """
    faces = keras.Input((48, 48, 1), name="faces")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="rescaling")(faces)
    for stage in (1, 2, 3, 4):
        for part in (f"{stage}a", f"{stage}b"):
            x = layers.ReLU(name=f"relu_{part}")(convolution(x, width * 2 ** (stage - 1), part))
        x = layers.MaxPooling2D(name=f"pool_{stage}")(x)
        x = layers.Dropout(dropout / 2, name=f"dropout_{stage}")(x)
    x = layers.Dense(8 * width, use_bias=False, name="dense_5")(layers.Flatten(name="flatten")(x))
    x = layers.ReLU(name="relu_5")(layers.BatchNormalization(momentum=0.9, name="norm_5")(x))
    x = layers.Dropout(dropout, name="dropout_5")(x)
    x = layers.Dense(classes, name="logits", dtype="float32")(x)
    return keras.Model(faces, layers.Softmax(name="softmax", dtype="float32")(x), name="vgg")


def compiled(args: Args, steps_per_epoch: int, classes: int = 7) -> keras.Model:
    """The network that `args` name, with its optimizer and loss."""
    if args.network == "homework":
        model = build_homework_cnn(args.dropout, classes)
        optimizer = schedules.adadelta(args.learning_rate)
    else:
        steps = args.epochs * steps_per_epoch
        optimizer = schedules.one_cycle(steps, args.learning_rate, args.weight_decay, args.warmup)
        if args.network == "vgg":
            model = build_vgg(args.width, args.dropout, classes)
            optimizer.exclude_from_weight_decay(var_names=["gamma", "beta"])  # of batch norms
        else:
            model = build_residual_cnn(args.width, classes)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=args.label_smoothing)
    model.compile(optimizer, loss, metrics=["accuracy"], jit_compile=fit.jit_compile())
    return model


def augmented(args: Args, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Each image changed at random as `args` say; float32 (n, 48, 48, 1) -> the same shape."""
    x = augmentation.random_affine(x, seed, args.shift, args.rotation, args.zoom, args.flip)
    if args.erase:
        x = augmentation.random_erasing(x, augmentation.fold_in(seed, 1), args.erase)
    return x


def main(args: Args) -> dict:
    """Train as `args` say; returns the record written to models/NAME.json."""
    if args.name in RECIPES and not args.augment:
        args = replace(args, name=f"{args.name}_no_augment")
    utils.check_limits(args, fit.LIMITS)
    fit.check_name(args.name)
    faces = utils.load_faces(args.data)
    run = Run.of(args, faces.synthetic)
    width = 64 if args.network == "homework" else args.width
    args = replace(args, precision=precision.choose_for_run(args.precision, width, run))
    split = fit.split_faces(faces, args.validation_fraction, args.seed, args.targets == "votes")
    fit.make_repeatable(args.seed, args.precision)
    record = utils.provenance(args, faces)
    for name in UNUSED.get(args.network, ()):  # so that no record tells of it
        del record["arguments"][name]
    used = devices.start(args.distribute, args.batch_size, fit.configuration(record))
    with used.scope():
        model = compiled(args, used.steps(len(split.training), args.batch_size), len(faces.classes))
        if args.network == "residual":
            whitening.whiten(model, faces.images[split.training])
    augment = functools.partial(augmented, args) if args.augment else None
    return fit.train(model, split, run, record, augment, used)


def parse(arguments: list[str]) -> Args:
    """`[RECIPE] [flags]`; the recipe sets the defaults that the flags change."""
    recipe = "fast"
    if arguments and not arguments[0].startswith("-"):
        recipe, *arguments = arguments
    if recipe not in RECIPES:
        raise utils.InputError(f"no recipe {recipe}; there are {', '.join(RECIPES)}")
    usage = f"train_cnn.py [{'|'.join(RECIPES)}]"
    return tyro.cli(Args, args=arguments, default=RECIPES[recipe], prog=usage, description=__doc__)


if __name__ == "__main__":
    utils.run(main, lambda: parse(sys.argv[1:]))
