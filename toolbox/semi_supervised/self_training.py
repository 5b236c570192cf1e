"""Self-training: a model labels faces for itself, and trains on.

D. Yarowsky, "Unsupervised word sense disambiguation rivaling supervised methods" (ACL 1995), with
the fixed threshold of D.-H. Lee, "Pseudo-label" (ICML workshop 2013).
"""

from __future__ import annotations

import math

import numpy as np

from toolbox.engine import tf
from toolbox.semi_supervised.few_labels import NONE, FewLabels, Learned
from toolbox.semi_supervised.student import Setting, Student, make_pools, predict
from toolbox.semi_supervised.supervised import supervised_step


def self_training(data: FewLabels, setting: Setting, threshold: float, rounds: int) -> Learned:
    """Train; pseudo-label the faces that the model is sure of; train on those too; and so on.

    threshold: least probability of a pseudo-label. A face that got one keeps it.
    rounds: of equally many updates; new faces get a pseudo-label after each but the last. From then
    on half of each batch are such faces.
    """
    student = Student(setting)
    learn_from = supervised_step(student, setting)
    rounds = min(rounds, setting.updates)
    every = math.ceil(setting.updates / rounds)
    labels = tf.Variable(np.full((rounds, len(data.unlabelled)), NONE, np.int8))
    step = None

    def step_of_round(update: int) -> object:
        nonlocal step
        current, since = divmod(update, every)
        if since == 0 and current > 0:
            probabilities = predict(student.average, data.unlabelled)
            labels[current].assign(
                label_the_sure(labels[current - 1].numpy(), probabilities, threshold)
            )
        if since == 0 or not step:  # a run that resumes has none in the middle of a round
            step = learn_from(*make_pools(data, labels[current].numpy()))
        return step(update)

    setting.loop(step_of_round, [*student.variables(), labels])
    starts = np.arange(0, setting.updates, every)
    return Learned(student.finished(), starts, labels.numpy()[: len(starts)])


def label_the_sure(
    pseudo_labels: np.ndarray, probabilities: np.ndarray, threshold: float
) -> np.ndarray:
    """Pseudo-labels int8 (m,) after a round: faces without one (NONE) get the class whose
    probability, of (m, k), is at least `threshold`; all others keep theirs.
    """
    sure = (pseudo_labels == NONE) & (probabilities.max(axis=1) >= threshold)
    return np.where(sure, probabilities.argmax(axis=1), pseudo_labels).astype(np.int8)
