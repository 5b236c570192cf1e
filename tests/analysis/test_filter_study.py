"""The tables of one layer: copies of an image count once."""

from pathlib import Path

import numpy as np
from conftest import in_memory
from known_filters import DOT, EDGE, by_hand

from toolbox.analysis import activation_maximization as maximization
from toolbox.analysis import filter_study
from toolbox.analysis.filter_layers import filter_layers
from toolbox.analysis.held_out import KnownRows
from toolbox.analysis.subject import Subject
from toolbox.dataset import splits


def test_copies_of_one_image_are_one_of_the_best_faces():
    faces = in_memory(14)
    images = faces.images
    images[[5, 9]] = images[2]
    classifier, rows = by_hand(EDGE, DOT), np.arange(2, 14)
    copies, known = splits.first_copy(images), KnownRows(None, None, "")
    subject = Subject(classifier, faces, copies, known, rows, "all", Path(), False)
    [target] = filter_layers(classifier.model)
    [found] = maximization.activations_on_faces(classifier, [target], images[rows])
    [layer], settings = maximization.climbers(classifier), maximization.AscentSettings(steps=1)
    study = filter_study.study_layer(layer, layer, found, 2, settings)
    best = filter_study.find_best_faces(study, subject)
    for number in range(2):
        of_filter = best[best["filter"] == number]
        assert sorted(of_filter["row"]) == [2, 3, 4, 6, 7, 8, 10, 11, 12, 13]
        assert of_filter["activation"].is_monotonic_decreasing
        values = found.values[of_filter["row"] - 2, number]
        np.testing.assert_array_equal(of_filter["activation"], values)
    table = filter_study.tabulate(study, subject)
    np.testing.assert_array_equal(table["best_face"], found.values.max(axis=0))
    np.testing.assert_allclose(table["untrained"], table["ascent"])  # here the control is itself
    record = filter_study.summarize(study, subject, table)
    assert record["climbed"] == record["filters"] == 2 and record["receptive_field"] == "5x5"
