"""Noisy student: a new network learns what another one says of all faces, under harder conditions.

Q. Xie et al., "Self-training with noisy student improves ImageNet classification" (CVPR 2020), with
its soft pseudo-labels. What differs from the paper: the noise is strong augmentation and mixup
(H. Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018, with α = 1), and the
student is as large as its teacher.
"""

from __future__ import annotations

import numpy as np

from toolbox.engine import ops, tf
from toolbox.semi_supervised.few_labels import FewLabels, Learned
from toolbox.semi_supervised.fixmatch import STRONG
from toolbox.semi_supervised.steps import ahead
from toolbox.semi_supervised.student import (
    Augment,
    Pool,
    Setting,
    Student,
    cross_entropy,
    draw,
    make_pool,
    predict,
)
from toolbox.training.augmentation import fold_in


def noisy_student(
    data: FewLabels,
    setting: Setting,
    teacher,
    uratio: int,
    augment: Augment = STRONG,
) -> Learned:
    """teacher: a model that learned from all faces; its answers, averaged over each face and its
    mirror image, are the pseudo-labels. uratio: a batch holds as many faces as one of FixMatch.
    """
    mirrored = data.unlabelled[:, :, ::-1]
    answers = (predict(teacher, data.unlabelled) + predict(teacher, mirrored)) / 2
    labelled = make_pool(data.images, data.labels, data.classes)
    images = tf.concat([labelled.images, data.unlabelled[..., np.newaxis]], axis=0)
    pool = Pool(images, tf.concat([labelled.targets, tf.cast(answers, tf.float32)], axis=0))
    student, size = Student(setting), setting.batch_size * (1 + uratio)

    def batch(update: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        seed = fold_in([setting.seed, 6], update)
        x, targets = draw(pool, size, fold_in(seed, 0))
        return mixup(augment(x, fold_in(seed, 1)), targets, fold_in(seed, 2))

    def loss(x, targets) -> tuple:
        return ops.mean(cross_entropy(targets, student.model(x, training=True), 0)), ()

    step, batches = student.step(loss), ahead(batch, setting.updates)
    setting.loop(lambda update: step(update, batches(update))[0], student.variables())
    pseudo_labels = answers.argmax(axis=1).astype(np.int8)
    return Learned(student.finished(), np.zeros(1, int), pseudo_labels[np.newaxis])


def mixup(x: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mix each face (n, 48, 48, 1), and its targets (n, k), with the next in a random share."""
    share = tf.random.stateless_uniform([tf.shape(x)[0], 1], seed)
    mixed = share * targets + (1 - share) * tf.roll(targets, 1, 0)
    share = share[:, :, tf.newaxis, tf.newaxis]
    return share * x + (1 - share) * tf.roll(x, 1, 0), mixed
