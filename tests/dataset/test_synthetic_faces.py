"""The synthetic faces show what their labels and action units say."""

import hashlib

import numpy as np
import pytest

from toolbox.dataset import synthetic_faces
from toolbox.dataset.faces import CLASSES
from toolbox.dataset.synthetic_faces import UNITS, draw_faces, draw_people, place_landmarks


@pytest.fixture(scope="module")
def faces():
    return draw_faces(count=1500, seed=0)


def showing(*units, count=300, strength=1.0):
    """Strengths (count, units) of faces that show these units and no others."""
    return np.tile(strength * np.isin(UNITS, units), (count, 1))


def landmarks_of(*units):
    return place_landmarks(np.random.default_rng(0), showing(*units))


def mean_image(*units):
    return draw_people(np.random.default_rng(0), showing(*units)).mean(0)


def test_same_seed_same_faces_and_another_seed_others():
    first, again, other = (draw_faces(40, seed) for seed in (3, 3, 4))
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    assert first[2] == again[2]
    assert not np.array_equal(first[0], other[0])


def test_format(faces):
    images, labels, units = faces
    assert images.shape == (1500, 48, 48) and images.dtype == np.uint8
    assert labels.shape == (1500,) and labels.dtype == np.int64
    assert set(labels) == set(range(len(CLASSES)))
    assert len(units) == 1500
    known = {str(unit) for unit in (0, *UNITS)}
    assert all(set(face.split("+")) <= known for face in units)
    for count in (1, 16, 17):
        assert [len(column) for column in draw_faces(count)] == [count] * 3


def test_classes_have_fer2013s_proportions(faces):
    share = np.bincount(faces[1], minlength=7) / len(faces[1])
    real = np.array([3995, 436, 4097, 7215, 4830, 3171, 4965]) / 28709
    np.testing.assert_allclose(share, real, atol=1 / 1500)


def test_no_image_is_blank_or_a_copy(faces):
    images = faces[0].reshape(len(faces[0]), -1)
    assert images.std(1).min() > 8
    assert len(np.unique(images, axis=0)) == len(images)
    assert 110 < images.mean() < 150  # real FER2013: 129


def test_units_belong_to_the_class_but_for_the_label_noise(faces):
    _, labels, units = faces
    belongs = [
        face == "0" or set(map(int, face.split("+"))) <= set(synthetic_faces.EXPRESSIONS[label])
        for face, label in zip(units, labels, strict=True)
    ]
    # Some noise can't be seen: Surprise with the label Fear, or a face that dropped its units.
    assert 0.03 < 1 - np.mean(belongs) < 0.1
    complete = [face == synthetic_faces.spell(synthetic_faces.EXPRESSIONS[label])
                for face, label in zip(units, labels, strict=True)]  # fmt: skip
    assert 0.5 < np.mean(complete) < 0.9


@pytest.mark.parametrize(
    ("unit", "landmark", "direction"),
    [
        (1, "brow_inner_y", -1),  # up
        (2, "brow_outer_y", -1),
        (4, "brow_inner_y", 1),
        (4, "brow_inner_x", -1),  # together
        (5, "lid_upper", 1),  # wide
        (6, "cheek", 1),
        (7, "lid_lower", -1),  # tight
        (9, "fold_nose", 1),
        (12, "mouth_y", -1),
        (12, "mouth_x", 1),
        (15, "mouth_y", 1),
        (16, "lip_lower_y", 1),
        (20, "mouth_x", 1),
        (23, "lip_upper_size", -1),
        (26, "jaw_y", 1),
    ],
)
def test_a_unit_moves_its_landmark_on_both_sides_of_every_face(unit, landmark, direction):
    moved = landmarks_of(unit)[landmark] - landmarks_of()[landmark]
    assert moved.shape == (2, 300)
    assert (direction * moved > 0).all()


def test_a_unit_leaves_other_landmarks_alone():
    rest, smile = landmarks_of(), landmarks_of(12)
    for landmark in synthetic_faces.LANDMARKS.keys() - synthetic_faces.ACTION_UNITS[12].keys():
        np.testing.assert_array_equal(rest[landmark], smile[landmark])


def test_jaw_drop_opens_the_mouth_in_landmarks_and_pixels():
    rest, open_mouth = landmarks_of(), landmarks_of(26)
    assert np.all(rest["lip_lower_y"] - rest["lip_upper_y"] < 0.06)
    assert np.all(open_mouth["lip_lower_y"] - open_mouth["lip_upper_y"] > 0.15)
    # The same 300 people twice: rows 36..43 around the middle column hold the open mouth.
    change = mean_image(26) - mean_image()
    assert change[36:44, 20:28].mean() < -15
    assert abs(change[:25]).mean() < 1  # and next to nothing happens to eyes and brows


def test_contact_sheet_has_a_row_for_each_class_and_a_warning():
    images, labels, units = draw_faces(60)
    axes = synthetic_faces.plot_contact_sheet(images, labels, units, columns=4).axes[0]
    names = [label.get_text().split("\n")[0] for label in axes.get_yticklabels()]
    assert names == list(CLASSES)
    assert axes.get_title() == "SYNTHETIC FACES, NOT PHOTOGRAPHS"
    sheet = axes.images[0].get_array()
    assert sheet.shape == (7 * 50, 4 * 50)
    happy = [image for image, shown in zip(images, units, strict=True) if shown == "6+12"]
    assert np.array_equal(sheet[150:198, :48], happy[0])  # with its label and all of its units


def test_the_sample_is_drawn_as_it_always_was():
    """Its first rows; whoever trained on it before must be able to draw it again."""
    images, labels, _ = draw_faces(64)
    assert (
        hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()[:16] == "b373d1a2c835bb31"
    )
