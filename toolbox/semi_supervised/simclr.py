"""SimCLR: learn features without labels, by telling the other view of a face from views of others.

T. Chen et al., "A simple framework for contrastive learning of visual representations" (ICML 2020).
What differs from the paper: faces are small and grey. So views are shifted, rotated and zoomed a
little, and changed in contrast and sharpness, with a square of grey, instead of being cropped
tightly and coloured. The optimizer is that of the other methods.
"""

from __future__ import annotations

import numpy as np

from toolbox.engine import keras, layers, ops, tf
from toolbox.semi_supervised.loop import Loop
from toolbox.semi_supervised.steps import ahead, make_step
from toolbox.semi_supervised.student import Augment, Augmentation
from toolbox.training.augmentation import fold_in
from toolbox.training.schedules import one_cycle

VIEW = Augmentation(0.12, 15.0, 0.25, contrast=0.5, erase=0.3, blur=1.2)
PROJECTION = 128  # size of the vectors that are compared
LEARNING_RATE, WEIGHT_DECAY = 0.1, 5e-4  # peak of one cycle; per step, times the learning rate


def simclr(
    images: np.ndarray,
    encoder: keras.Model,
    loop: Loop,
    seed: int,
    batch_size: int = 256,
    temperature: float = 0.15,
    view: Augment = VIEW,
) -> None:
    """Train `encoder`, from faces (n, 48, 48, 1) to features (n, d), on `images` uint8 (m, 48, 48).

    batch_size: faces per update, each in two views. temperature: τ in the paper.
    """
    features = encoder.output.shape[-1]
    head = keras.Sequential(
        [
            keras.Input((features,)),
            layers.Dense(features, activation="relu"),
            layers.Dense(PROJECTION, dtype="float32"),
        ]
    )
    pool, batch_size = tf.constant(images[..., np.newaxis]), min(batch_size, len(images))

    def two_views(update: tf.Tensor) -> tuple[tf.Tensor]:
        now = fold_in([seed, 4], update)
        x = tf.cast(tf.gather(pool, rows_of(update, batch_size, len(images), seed)), tf.float32)
        return (tf.concat([view(x, fold_in(now, 0)), view(x, fold_in(now, 1))], axis=0),)

    def loss(views) -> tuple:
        return nt_xent(head(encoder(views, training=True)), temperature), ()

    trained = encoder.trainable_variables + head.trainable_variables
    optimizer = one_cycle(loop.updates, LEARNING_RATE, WEIGHT_DECAY)
    step = make_step(loss, optimizer, trained, encoder.non_trainable_variables)
    batches = ahead(two_views, loop.updates)
    variables = [*encoder.variables, *head.variables, *optimizer.variables]
    loop(lambda update: step(update, batches(update))[0], variables)


def rows_of(update: tf.Tensor, batch_size: int, total: int, seed: int) -> tf.Tensor:
    """int32 (batch_size,): the rows, of `total`, of an update; no row comes twice in an epoch."""
    per_epoch = total // batch_size
    places = update % per_epoch * batch_size + tf.range(batch_size)
    epoch = fold_in([seed, 5], update // per_epoch)
    return tf.random.experimental.index_shuffle(places, epoch, total - 1)


def nt_xent(projections, temperature: float):
    """The paper's loss, a scalar: the mean over all views of the cross-entropy of finding the other
    view of the same face among all others.

    projections: float32 (2 n, d); views i and n + i are of one face.
    """
    unit = ops.normalize(projections, axis=1)
    views = ops.arange(ops.shape(unit)[0])
    itself = views[:, None] == views[None]
    similarity = ops.where(itself, -1e9, ops.matmul(unit, ops.transpose(unit)) / temperature)
    other = ops.roll(views, ops.shape(unit)[0] // 2)
    cross_entropy = keras.losses.sparse_categorical_crossentropy
    return ops.mean(cross_entropy(other, similarity, from_logits=True))
