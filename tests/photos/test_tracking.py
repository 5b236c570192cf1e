"""Faces keep their numbers while they move, and their probabilities are smoothed by time."""

import numpy as np
import pytest

from toolbox.photos.face_finder import Found
from toolbox.photos.readings import Reading
from toolbox.photos.tracking import LOST, Tracker


def face(x: float, side: float = 50, probability: float = 1.0) -> Reading:
    probabilities = np.array([probability, 1 - probability])
    return Reading(Found((x, 0, side, side), 0.9), np.zeros((48, 48), np.uint8), probabilities)


def numbers(tracker: Tracker, seconds: float, *faces: Reading) -> list[int]:
    return [reading.face for reading in tracker.follow(list(faces), seconds)]


def test_numbers_stay_with_faces_that_move_or_are_listed_in_another_order():
    tracker = Tracker()
    assert numbers(tracker, 0, face(0), face(200)) == [1, 2]
    assert numbers(tracker, 0.1, face(180), face(20)) == [2, 1]
    assert numbers(tracker, 0.2, face(35), face(100), face(165)) == [1, 3, 2]
    assert numbers(tracker, 0.3, face(35, side=140)) == [4]  # another size at the same place


def test_a_face_that_was_away_too_long_is_a_new_one():
    tracker = Tracker()
    assert numbers(tracker, 0, face(0)) == [1]
    assert numbers(tracker, 0.5) == []
    assert numbers(tracker, LOST, face(0)) == [1]
    assert numbers(tracker, 2 * LOST + 0.1, face(0)) == [2]


def test_after_a_half_life_half_of_the_old_is_left():
    tracker = Tracker(half_life=0.4)
    tracker.follow([face(0, probability=1.0)], 0)
    (reading,) = tracker.follow([face(0, probability=0.0)], 0.4)
    assert reading.probabilities == pytest.approx([0.5, 0.5])
    (reading,) = tracker.follow([face(0, probability=0.0)], 1.2)
    assert reading.probabilities == pytest.approx([0.125, 0.875])


def test_a_face_keeps_its_number_where_frames_are_far_apart():
    tracker = Tracker(interval=3 * LOST)
    assert [numbers(tracker, 3 * LOST * i, face(0)) for i in range(3)] == [[1], [1], [1]]
