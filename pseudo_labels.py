"""Ways to learn from few labels, each a function to be read beside its paper.

All take what a learner may see, `FewLabels`, and return what they learnt, `Learnt`; no hidden label
is among their arguments. All make `args.updates` updates of the same network, on batches that
follow from (seed, update) alone, and average the weights of the last updates.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import utils
import artefacts
import train_cnn
from utils import CLASSES, InputError
from batches import random_affine, random_contrast, random_erasing

with utils.quiet_stderr():
    import keras
    import tensorflow as tf
from sklearn.cluster import KMeans

fold_in = tf.random.experimental.stateless_fold_in
NONE = -1  # among pseudo-labels: this face has none


class FewLabels(NamedTuple):
    """All that a learner may see."""

    images: np.ndarray  # uint8 (n, 48, 48), the labelled faces
    labels: np.ndarray  # uint8 (n,)
    unlabelled: np.ndarray  # uint8 (m, 48, 48)


class Learnt(NamedTuple):
    """A trained model, and the pseudo-labels that the unlabelled faces had after some updates."""

    model: keras.Model
    updates: np.ndarray  # int64 (k,)
    pseudo_labels: np.ndarray  # int8 (k, m), NONE or 0..6


# Calls its first argument with 0, 1, 2 ...; keeps the variables, its second, so that it can go on.
Loop = Callable[[Callable[[int], tf.Tensor], list], None]


# Methods


def supervised(data: FewLabels, args, loop: Loop) -> Learnt:
    """The labelled faces alone: the baseline; with all labels, the ceiling."""
    student = new_student(args)
    step, pools = supervised_step(student, args), [as_pool(data.images, data.labels)]
    loop(lambda update: step(update, pools), student.variables())
    return Learnt(finished(student), np.empty(0, int), np.empty((0, len(data.unlabelled)), np.int8))


def self_training(data: FewLabels, args, loop: Loop) -> Learnt:
    """Train; label the faces the model is sure of; go on with those too; in rounds.

    D. Yarowsky, "Unsupervised word sense disambiguation rivaling supervised methods" (1995), with
    the fixed threshold of D.-H. Lee, "Pseudo-label" (2013). A face that was given a label leaves
    the pool and keeps it. Half of each batch are such faces, once there are any.
    """
    student = new_student(args)
    step = supervised_step(student, args)
    every = math.ceil(args.updates / args.rounds)
    labels = tf.Variable(np.full((args.rounds, len(data.unlabelled)), NONE, np.int8))
    labelled, pools = as_pool(data.images, data.labels), []

    def step_of_round(update: int) -> tf.Tensor:
        current, since = divmod(update, every)
        if since == 0 and current > 0:
            probabilities = predicted(student.average, data.unlabelled)
            now = with_the_sure(labels[current - 1].numpy(), probabilities, args.threshold)
            labels[current].assign(now)
        if since == 0 or not pools:  # not at a round's start: the run goes on from a file
            now = labels[current].numpy()
            chosen = now != NONE
            pools[:] = [labelled]
            if chosen.any():
                pools.append(as_pool(data.unlabelled[chosen], now[chosen]))
        return step(update, pools)

    loop(step_of_round, [*student.variables(), labels])
    begun = np.arange(0, args.updates, every)
    return Learnt(finished(student), begun, labels.numpy()[: len(begun)])


def clustering(data: FewLabels, args, loop: Loop, baseline: keras.Model) -> Learnt:
    """Cluster the baseline's features; a cluster's class is that of the labelled faces inside it.

    The cluster-then-label of X. Zhu and A. Goldberg, "Introduction to semi-supervised learning"
    (2009), chapter 3, by k-means. Faces in clusters without a labelled one stay unlabelled.
    Raises InputError for more clusters than faces.
    """
    layer = baseline.get_layer("global_pooling").output
    features = keras.Model(baseline.inputs[0], layer)
    together = np.concatenate([data.images, data.unlabelled])
    if args.clusters > len(together):
        raise InputError(f"--clusters is {args.clusters}, but there are {len(together)} faces")
    kmeans = KMeans(args.clusters, n_init=1, random_state=args.seed)
    clusters = kmeans.fit_predict(predicted(features, together))
    count = len(data.labels)
    labels = labels_of_clusters(clusters[:count], data.labels, clusters[count:])
    student = new_student(args)
    step, chosen = supervised_step(student, args), labels != NONE
    pools = [as_pool(data.images, data.labels)]
    if chosen.any():
        pools.append(as_pool(data.unlabelled[chosen], labels[chosen]))
    loop(lambda update: step(update, pools), student.variables())
    return Learnt(finished(student), np.zeros(1, int), labels[np.newaxis])


def fixmatch(data: FewLabels, args, loop: Loop, baseline: keras.Model) -> Learnt:
    """What a face is when it is hardly changed, it must be when it is changed a lot.

    K. Sohn et al., "FixMatch" (2020). Its fixed threshold is replaced by the model's mean
    confidence, after Y. Wang et al., "FreeMatch" (2023), but for each class by itself, since
    classes here differ tenfold in number. Predictions are aligned to a distribution of classes as
    in D. Berthelot et al., "ReMixMatch" (2020); that of the labelled faces tells nothing here, as
    equally many of each class are labelled, so it is estimated from the baseline's answers. The
    averaged weights give the pseudo-labels, from the second fifth of the updates on. They are hard,
    as in the paper, for a temperature of 0; above, they are the sharpened probabilities.
    """
    prior = tf.constant(estimated_prior(predicted(baseline, data.unlabelled)), tf.float32)
    student = new_student(args)
    labelled = as_pool(data.images, data.labels)
    unlabelled = tf.constant(data.unlabelled[..., np.newaxis])
    mean = tf.Variable(tf.fill([len(CLASSES)], 1 / len(CLASSES)))  # of the predictions
    threshold = tf.Variable(tf.fill([len(CLASSES)], 1 / len(CLASSES)))
    latest = tf.Variable(np.full(len(data.unlabelled), NONE, np.int8))
    snapshots = tf.Variable(np.full((SNAPSHOTS, len(data.unlabelled)), NONE, np.int8))
    every = math.ceil(args.updates / SNAPSHOTS)

    @tf.function
    def step(update: tf.Tensor) -> tf.Tensor:
        seed = fold_in([args.seed, 2], update)
        faces, targets = draw(labelled, args.batch_size, fold_in(seed, 0))
        rows = random_rows(len(data.unlabelled), args.unlabelled_batch, fold_in(seed, 1))
        others = tf.cast(tf.gather(unlabelled, rows), tf.float32)
        answers = student.average(weak(args, others, fold_in(seed, 2)), training=False)
        mean.assign(args.memory * mean + (1 - args.memory) * tf.reduce_mean(answers, axis=0))
        answers = aligned(answers, prior, mean)
        confidence, labels = tf.reduce_max(answers, axis=1), tf.argmax(answers, axis=1)
        threshold.assign(class_thresholds(threshold, confidence, labels, args.memory))
        sure = confidence >= tf.gather(threshold, labels)
        given = tf.where(sure, tf.cast(labels, tf.int8), tf.constant(NONE, tf.int8))
        latest.scatter_nd_update(rows[:, tf.newaxis], given)
        both = [weak(args, faces, fold_in(seed, 3)), strong(args, others, fold_in(seed, 4))]
        targets = tf.concat([targets, sharpened(answers, args.temperature)], axis=0)
        weights = [
            tf.fill([args.batch_size], 1 / args.batch_size),
            tf.cast(sure, tf.float32) * args.unlabelled_weight / args.unlabelled_batch,
        ]
        return descend(student, tf.concat(both, 0), targets, tf.concat(weights, 0), update, args)

    alone = supervised_step(student, args)

    def step_and_note(update: int) -> tf.Tensor:
        first = update < args.updates // 5
        loss = alone(update, [labelled]) if first else step(tf.constant(update))
        if (update + 1) % every == 0 or update + 1 == args.updates:
            snapshots[update // every].assign(latest)
        return loss

    loop(step_and_note, [*student.variables(), mean, threshold, latest, snapshots])
    ends = np.minimum(np.arange(1, SNAPSHOTS + 1) * every, args.updates)
    taken = np.unique(ends, return_index=True)[1]
    return Learnt(finished(student), ends[taken], snapshots.numpy()[taken])


SNAPSHOTS = 20  # of FixMatch's pseudo-labels, over the run


# What the methods decide by


def with_the_sure(labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """Pseudo-labels int8 (m,) after a round: faces in the pool (NONE) get the class whose
    probability, (m, 7), is at least `threshold`; faces that have left the pool stay as they are.
    """
    sure = (labels == NONE) & (probabilities.max(axis=1) >= threshold)
    return np.where(sure, probabilities.argmax(axis=1), labels).astype(np.int8)


def labels_of_clusters(
    labelled_clusters: np.ndarray, labels: np.ndarray, clusters: np.ndarray
) -> np.ndarray:
    """Pseudo-labels int8 (m,) of faces in `clusters` (m,): the class of most labelled faces there.

    Of classes with equal votes the first; NONE for a cluster without a labelled face.
    """
    votes = np.zeros((max(labelled_clusters.max(), clusters.max()) + 1, len(CLASSES)), int)
    np.add.at(votes, (labelled_clusters, labels), 1)
    of_cluster = np.where(votes.any(axis=1), votes.argmax(axis=1), NONE)
    return of_cluster[clusters].astype(np.int8)


def class_thresholds(
    threshold: tf.Tensor, confidence: tf.Tensor, labels: tf.Tensor, memory: float
) -> tf.Tensor:
    """Running mean confidence of the faces taken for each class, (7,); a class without any keeps
    its own. confidence float32 (m,), labels int64 (m,) in 0..6.
    """
    members = tf.one_hot(labels, len(CLASSES))
    count = tf.reduce_sum(members, axis=0)
    mean = tf.math.divide_no_nan(tf.linalg.matvec(members, confidence, transpose_a=True), count)
    return tf.where(count > 0, memory * threshold + (1 - memory) * mean, threshold)


def aligned(probabilities: tf.Tensor, prior: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
    """Distribution alignment: (m, 7) times prior / mean, each row made to add up to 1 again."""
    scaled = probabilities * prior / (mean + 1e-6)
    return scaled / tf.reduce_sum(scaled, axis=1, keepdims=True)


def sharpened(probabilities: tf.Tensor, temperature: float) -> tf.Tensor:
    """(m, 7) to the power of 1 / temperature, each row made to add up to 1 again; 0 is the limit,
    all for the first of the largest. After D. Berthelot et al., "MixMatch" (2019).
    """
    if not temperature:
        return tf.one_hot(tf.argmax(probabilities, axis=1), probabilities.shape[1])
    return tf.nn.softmax(tf.math.log(probabilities + 1e-12) / temperature)


def estimated_prior(probabilities: np.ndarray, rounds: int = 2) -> np.ndarray:
    """Shares of the classes, float64 (7,), among faces to which a classifier that was trained on
    as many faces of each class gives `probabilities` (m, 7).

    By expectation maximisation: M. Saerens et al., "Adjusting the outputs of a classifier to new a
    priori probabilities" (2002), stopped early. A network that fits few labels is too sure of
    itself, and further rounds make some classes vanish.
    """
    prior = np.full(len(CLASSES), 1 / len(CLASSES))
    for _ in range(rounds):
        adjusted = probabilities * prior
        prior = (adjusted / adjusted.sum(axis=1, keepdims=True)).mean(axis=0)
    return prior


# What they have in common


class Student(NamedTuple):
    """A network with its optimizer, and the running average of its weights, which is the result."""

    model: keras.Model
    average: keras.Model

    def variables(self) -> list:
        """Everything that an update changes."""
        return [*self.model.variables, *self.model.optimizer.variables, *self.average.variables]


def new_student(args) -> Student:
    """The same for each method and seed."""
    keras.utils.set_random_seed(args.seed)
    model, average = (train_cnn.build_compact_cnn(args.width) for _ in range(2))
    average.set_weights(model.get_weights())
    model.optimizer = train_cnn.one_cycle(args.updates, args.learning_rate, args.weight_decay)
    model.optimizer.build(model.trainable_variables)
    return Student(model, average)


def supervised_step(student: Student, args) -> Callable:
    """step(update, pools): an update on a batch of which each pool gives an equal share."""

    @tf.function(reduce_retracing=True)
    def step(update: tf.Tensor, pools: list) -> tf.Tensor:
        seed = fold_in([args.seed, 1], update)
        share = args.batch_size // len(pools)
        draws = [draw(pool, share, fold_in(seed, i)) for i, pool in enumerate(pools)]
        faces, targets = (tf.concat(parts, axis=0) for parts in zip(*draws, strict=True))
        weights = tf.fill([share * len(pools)], 1 / (share * len(pools)))
        faces = weak(args, faces, fold_in(seed, len(pools)))
        return descend(student, faces, targets, weights, update, args)

    return lambda update, pools: step(tf.constant(update), pools)  # a number would be traced anew


def descend(
    student: Student,
    faces: tf.Tensor,
    targets: tf.Tensor,
    weights: tf.Tensor,
    update: tf.Tensor,
    args,
) -> tf.Tensor:
    """One update by the weighted sum of cross-entropies, which is returned."""
    model, average = student
    with tf.GradientTape() as tape:
        losses = keras.losses.categorical_crossentropy(
            targets, model(faces, training=True), label_smoothing=args.label_smoothing
        )
        loss = tf.reduce_sum(losses * weights)
    gradients = tape.gradient(loss, model.trainable_variables)
    model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    # At first the average follows closely (A. Tarvainen, H. Valpola, "Mean teachers", 2017).
    memory = tf.minimum(args.memory, tf.cast((1 + update) / (10 + update), tf.float32))
    for mean, now in zip(average.variables, model.variables, strict=True):
        mean.assign(memory * mean + (1 - memory) * now)
    return loss


def finished(student: Student) -> keras.Model:
    """The average, in float32."""
    return artefacts.bare_model(student.average)


def predicted(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """float64 (m, outputs) for uint8 (m, 48, 48)."""
    parts = np.array_split(images[..., np.newaxis], math.ceil(len(images) / 256))
    call = tf.function(lambda faces: model(faces, training=False), reduce_retracing=True)
    return np.concatenate([call(tf.cast(part, tf.float32)).numpy() for part in parts]).astype(float)


def as_pool(images: np.ndarray, labels: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
    """Faces to draw from: uint8 (n, 48, 48, 1) and one-hot float32 (n, 7)."""
    return tf.constant(images[..., np.newaxis]), tf.one_hot(labels, len(CLASSES))


def draw(pool: tuple[tf.Tensor, tf.Tensor], count: int, seed: tf.Tensor) -> tuple:
    """`count` faces of a pool, float32, and their targets, with replacement."""
    images, targets = pool
    rows = random_rows(tf.shape(images)[0], count, seed)
    return tf.cast(tf.gather(images, rows), tf.float32), tf.gather(targets, rows)


def random_rows(total, count: int, seed: tf.Tensor) -> tf.Tensor:
    return tf.random.stateless_uniform([count], seed, 0, total, tf.int32)


def weak(args, faces: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """What each method does to each face: a small shift, turn and zoom, mirrored or not."""
    return random_affine(faces, seed, args.shift, args.rotation, args.zoom, flip=True)


def strong(args, faces: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """More of it, another contrast and brightness, and a square greyed out in every other face."""
    faces = random_affine(
        faces, seed, args.strong_shift, args.strong_rotation, args.strong_zoom, flip=True
    )
    faces = random_contrast(faces, fold_in(seed, 1), args.strong_contrast)
    return random_erasing(faces, fold_in(seed, 2), args.strong_erase)
