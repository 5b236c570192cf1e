"""Supervised learning, for comparison: from the labelled faces alone, or from all labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from toolbox.engine import ops, tf
from toolbox.semi_supervised.few_labels import FewLabels, Learned
from toolbox.semi_supervised.steps import ahead
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
    pool = make_pool(data.images, data.labels, data.classes)
    setting.loop(supervised_step(student, setting)(pool), student.variables())
    no_pseudo_labels = np.empty((0, len(data.unlabelled)), np.int8)
    return Learned(student.finished(), np.empty(0, int), no_pseudo_labels)


def supervised_step(
    student: Student, setting: Setting, adjusted: Callable = lambda answers: answers
) -> Callable[..., Callable[[int], object]]:
    """supervised_step(...)(*pools): a step on batches to which each pool gives an equal share.

    adjusted: of the student's answers, before the loss.
    """

    def loss(x, targets) -> tuple:
        answers = adjusted(student.model(x, training=True))
        return ops.mean(cross_entropy(targets, answers, setting.label_smoothing)), ()

    step = student.step(loss)

    def on(*pools: Pool) -> Callable[[int], object]:
        def batch(update: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            seed = fold_in([setting.seed, 1], update)
            share = setting.batch_size // len(pools)
            draws = [draw(pool, share, fold_in(seed, i)) for i, pool in enumerate(pools)]
            x, targets = (tf.concat(parts, axis=0) for parts in zip(*draws, strict=True))
            return setting.weak(x, fold_in(seed, len(pools))), targets

        batches = ahead(batch, setting.updates)
        return lambda update: step(update, batches(update))[0]

    return on
