import numpy as np
from small_task import make_few_labels, make_setting, untrained

from toolbox.semi_supervised.clustering import clustering, label_clusters
from toolbox.semi_supervised.few_labels import NONE


def test_a_cluster_gets_its_most_frequent_label():
    labels = label_clusters(
        np.array([0, 0, 0, 2, 2]), np.array([5, 3, 5, 6, 1]), np.array([2, 0, 1, 3, 0])
    )
    assert labels.tolist() == [1, 5, NONE, NONE, 5]  # of the tie in cluster 2 the first class


def test_brightness_tells_the_classes_apart(tmp_path):
    """The faces of each class have a brightness of their own, so that clusters are classes."""
    data = make_few_labels()
    learned = clustering(data, make_setting(tmp_path / "state.npz"), untrained(), clusters=7)
    given = learned.pseudo_labels[0]
    true = np.arange(140)[28:] % 7
    assert np.mean(given == true) > 0.9


def test_as_many_clusters_as_faces_leave_no_pseudo_label(tmp_path):
    data = make_few_labels()
    learned = clustering(data, make_setting(tmp_path / "state.npz"), untrained(), clusters=140)
    assert learned.pseudo_labels.shape == (1, 112) and (learned.pseudo_labels == NONE).all()
