"""FixMatch: what a face is under weak augmentation, it must be under a strong one.

K. Sohn et al., "FixMatch: simplifying semi-supervised learning with consistency and confidence"
(NeurIPS 2020); the names are those of google-research/fixmatch. What differs from the paper:

- `confidence`, fixed there at 0.95, is the model's mean confidence, after Y. Wang et al.,
  "FreeMatch" (ICLR 2023), but for each class by itself, since the classes differ tenfold in size.
- Predictions are aligned to the distribution of the classes, as in D. Berthelot et al.,
  "ReMixMatch" (ICLR 2020). The labelled faces say nothing of it, being equally many of each class,
  so it is estimated from the answers of a model that learned from them.
- The labelled faces are spread evenly over the classes, the others are not. So the labelled loss
  takes answers moved from the estimated distribution to the even one, after A. K. Menon et al.,
  "Long-tail learning via logit adjustment" (ICLR 2021).
- The averaged weights give the pseudo-labels, after a warm-up on the labelled faces alone.
- Pseudo-labels may be soft, as in D. Berthelot et al., "MixMatch" (NeurIPS 2019), and are smoothed
  as the labels are.
"""

from __future__ import annotations

import functools

import numpy as np

from toolbox.engine import keras, ops, tf
from toolbox.semi_supervised.few_labels import FewLabels, Learned
from toolbox.semi_supervised.snapshots import Snapshots
from toolbox.semi_supervised.steps import ahead
from toolbox.semi_supervised.student import (
    Augment,
    Augmentation,
    Setting,
    Student,
    cross_entropy,
    draw,
    make_pool,
    predict,
    random_rows,
)
from toolbox.semi_supervised.supervised import supervised_step
from toolbox.training.augmentation import fold_in

STRONG = Augmentation(shift=0.15, rotation=30.0, zoom=0.25, contrast=0.4, erase=0.45)
WARM_UP = 5  # 1 / fraction of the updates that are on the labelled faces alone


def fixmatch(
    data: FewLabels,
    setting: Setting,
    first: keras.Model,
    uratio: int,
    wu: float,
    temperature: float,
    strong: Augment = STRONG,
) -> Learned:
    """first: a model that learned from the labelled faces; uratio: unlabelled faces per labelled
    one in a batch (μ in the paper); wu: weight of their loss (λ_u); temperature: of the
    pseudo-labels, 0 makes them hard as in the paper.
    """
    student = Student(setting)
    labelled = make_pool(data.images, data.labels, data.classes)
    unlabelled = tf.constant(data.unlabelled)
    prior = estimate_prior(predict(first, data.unlabelled)).astype(np.float32)
    uniform = np.full(data.classes, 1 / data.classes, np.float32)
    mean_answer, confidence = keras.Variable(prior), keras.Variable(uniform)
    snapshots = Snapshots(len(data.unlabelled), setting.updates)
    evenly = functools.partial(align, prior=uniform, mean_answer=prior)
    weak, size, decay = setting.weak, setting.batch_size, setting.ema_decay

    def batch(update: tf.Tensor) -> tuple:
        seed = fold_in([setting.seed, 2], update)
        x, targets = draw(labelled, size, fold_in(seed, 0))
        rows = random_rows(len(data.unlabelled), size * uratio, fold_in(seed, 1))
        u = tf.cast(tf.gather(unlabelled, rows), tf.float32)[..., tf.newaxis]
        faces = tf.concat([weak(x, fold_in(seed, 3)), strong(u, fold_in(seed, 4))], axis=0)
        return rows, weak(u, fold_in(seed, 2)), faces, targets

    def loss(rows, u, faces, targets) -> tuple:
        teacher = ops.stop_gradient(student.average(u, training=False))
        mean_answer.assign(decay * mean_answer + (1 - decay) * ops.mean(teacher, axis=0))
        teacher = align(teacher, prior, mean_answer.value)
        confidence.assign(update_confidence(confidence.value, teacher, decay))
        labels = ops.argmax(teacher, axis=1)
        pseudo_mask = ops.max(teacher, axis=1) >= ops.take(confidence, labels)
        pseudo_labels = sharpen(teacher, temperature)

        answers = student.model(faces, training=True)
        loss_xe = cross_entropy(targets, evenly(answers[:size]), setting.label_smoothing)
        loss_xeu = cross_entropy(pseudo_labels, answers[size:], setting.label_smoothing)
        loss_xeu *= ops.cast(pseudo_mask, "float32")
        return ops.mean(loss_xe) + wu * ops.mean(loss_xeu), (rows, labels, pseudo_mask)

    step, batches = student.step(loss, mean_answer, confidence), ahead(batch, setting.updates)
    warm_up = supervised_step(student, setting, evenly)(labelled)

    def warm_up_or_step(update: int) -> object:
        if update < setting.updates // WARM_UP:
            value = warm_up(update)
        else:
            value, pseudo_labels = step(update, batches(update))
            snapshots.note(*pseudo_labels)
        snapshots.take(update)
        return value

    variables = [*student.variables(), mean_answer, confidence, *snapshots.variables()]
    setting.loop(warm_up_or_step, variables)
    return snapshots.learned(student.finished())


def update_confidence(confidence, answers, decay: float):
    """Running mean, (k,), of the largest probability of the faces that are taken for each class.

    answers: float32 (m, k). A class that no face is taken for keeps its own.
    """
    members = ops.one_hot(ops.argmax(answers, axis=1), answers.shape[1])
    count = ops.sum(members, axis=0)
    total = ops.sum(members * ops.max(answers, axis=1, keepdims=True), axis=0)
    mean = total / ops.maximum(count, 1)
    return ops.where(count > 0, decay * confidence + (1 - decay) * mean, confidence)


def align(answers, prior, mean_answer):
    """Distribution alignment: (m, k) times prior / mean_answer, each row normalized to sum 1."""
    scaled = answers * prior / (mean_answer + 1e-6)
    return scaled / ops.sum(scaled, axis=1, keepdims=True)


def sharpen(answers, temperature: float):
    """(m, k) to the power of 1 / temperature, each row normalized to sum 1; 0 is the limit, one-hot
    for the first of the largest.
    """
    if not temperature:
        return ops.one_hot(ops.argmax(answers, axis=1), answers.shape[1])
    return ops.softmax(ops.log(answers + 1e-12) / temperature)


def estimate_prior(answers: np.ndarray, rounds: int = 2) -> np.ndarray:
    """Distribution of the classes, float64 (k,), among faces to which a classifier that was trained
    on equally many of each class gives the probabilities `answers` (m, k).

    By expectation maximization: M. Saerens et al., "Adjusting the outputs of a classifier to new a
    priori probabilities" (2002), stopped early. A network that fits few labels is too sure of
    itself, and further rounds make some classes vanish.
    """
    prior = np.full(answers.shape[1], 1 / answers.shape[1])
    for _ in range(rounds):
        adjusted = answers * prior
        prior = (adjusted / adjusted.sum(axis=1, keepdims=True)).mean(axis=0)
    return prior
