"""Cluster-then-label: faces in one cluster of a model's features get one label.

X. Zhu, A. B. Goldberg, "Introduction to semi-supervised learning" (2009), chapter 3, with k-means.
"""

from __future__ import annotations

import numpy as np

from toolbox.engine import keras
from toolbox.files import InputError
from toolbox.late import Late
from toolbox.semi_supervised.few_labels import NONE, FewLabels, Learned
from toolbox.semi_supervised.student import Setting, Student, last_dense, make_pools, predict
from toolbox.semi_supervised.supervised import supervised_step

KMeans = Late("sklearn.cluster", "KMeans")


def clustering(data: FewLabels, setting: Setting, first: keras.Model, clusters: int) -> Learned:
    """Train on the labelled faces, and on all others in a cluster with a labelled one.

    first: a model that learned from the labelled faces. clusters: of k-means, over what its last
    dense layer is given, for all faces. Half of each batch are faces with a pseudo-label.
    Raises InputError for more clusters than faces.
    """
    images = np.concatenate([data.images, data.unlabelled])
    if clusters > len(images):
        raise InputError(f"--clusters is {clusters}, but there are {len(images)} faces")
    extractor = keras.Model(first.inputs[0], last_dense(first).input)
    kmeans = KMeans(clusters, n_init=1, random_state=setting.seed)
    cluster = kmeans.fit_predict(predict(extractor, images))
    labelled = len(data.labels)
    pseudo_labels = label_clusters(cluster[:labelled], data.labels, cluster[labelled:])
    student, pools = Student(setting), make_pools(data, pseudo_labels)
    setting.loop(supervised_step(student, setting)(*pools), student.variables())
    return Learned(student.finished(), np.zeros(1, int), pseudo_labels[np.newaxis])


def label_clusters(
    labelled_clusters: np.ndarray, labels: np.ndarray, clusters: np.ndarray
) -> np.ndarray:
    """Pseudo-labels int8 (m,) of faces in `clusters` (m,): the most frequent of the labels there.

    labelled_clusters, labels: (n,), of the labelled faces. The first class wins a tie; NONE for a
    cluster without a labelled face.
    """
    votes = np.zeros((max(labelled_clusters.max(), clusters.max()) + 1, labels.max() + 1), int)
    np.add.at(votes, (labelled_clusters, labels), 1)
    label_of_cluster = np.where(votes.any(axis=1), votes.argmax(axis=1), NONE)
    return label_of_cluster[clusters].astype(np.int8)
