"""Supervised learning, for comparison: from the labelled faces alone, or from all labels."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from toolbox.dataset.faces import SIDE
from toolbox.engine import tf
from toolbox.semi_supervised.few_labels import FewLabels, Learned
from toolbox.semi_supervised.student import (
    Pool,
    Setting,
    Student,
    cross_entropy,
    draw,
    make_pool,
)
from toolbox.training.augmentation import fold_in


def supervised(data: FewLabels, setting: Setting) -> Learned:
    """Train on the labelled faces: the baseline; if all have labels, the upper bound."""
    student = Student(setting)
    step = supervised_step(student, setting)
    pools = [make_pool(data.images, data.labels, data.classes)]
    setting.loop(lambda update: step(update, pools), student.variables())
    no_pseudo_labels = np.empty((0, len(data.unlabelled)), np.int8)
    return Learned(student.finished(), np.empty(0, int), no_pseudo_labels)


def supervised_step(
    student: Student, setting: Setting, adjusted: Callable[[tf.Tensor], tf.Tensor] = lambda x: x
) -> Callable[[int, list[Pool]], tf.Tensor]:
    """step(update, pools): an update on a batch to which each pool gives an equal share.

    adjusted: of the student's answers, before the loss.
    """

    def step(update: tf.Tensor, pools: list[Pool]) -> tf.Tensor:
        seed = fold_in([setting.seed, 1], update)
        share = setting.batch_size // len(pools)
        draws = [draw(pool, share, fold_in(seed, i)) for i, pool in enumerate(pools)]
        x, targets = (tf.concat(parts, axis=0) for parts in zip(*draws, strict=True))
        x = setting.weak(x, fold_in(seed, len(pools)))
        with tf.GradientTape() as tape:
            answers = adjusted(student.model(x, training=True))
            loss_xe = tf.reduce_mean(cross_entropy(targets, answers, setting.label_smoothing))
        student.apply(tape, loss_xe, update)
        return loss_xe

    faces = tf.TensorSpec((None, SIDE, SIDE, 1), tf.uint8)
    pool = Pool(faces, tf.TensorSpec((None, None), tf.float32))  # of any size, or each is traced

    @functools.cache
    def compiled(pools: int) -> Callable:
        signature = [tf.TensorSpec((), tf.int32), [pool] * pools]
        return tf.function(step, signature, autograph=False)  # which takes a second

    return lambda update, pools: compiled(len(pools))(tf.constant(update), pools)
