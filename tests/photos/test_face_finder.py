"""Faces are found where they are, and cut out upright, whatever the size and the tilt."""

import sys

import numpy as np
import pytest
from PIL import Image
from skimage import data

from toolbox.files import InputError
from toolbox.photos import face_finder
from toolbox.photos.face_finder import Found, cut_out, find_faces, load_detector, read_face
from toolbox.photos.readings import Reading

ASTRONAUT = data.astronaut()


@pytest.fixture(scope="module")
def detector():
    return load_detector()


def test_one_face_at_any_size_and_none_in_a_flat_picture(detector):
    (face,) = find_faces(detector, ASTRONAUT)
    left, top, width, height = face.box
    assert left < 205 < 245 < left + width and top < 102 < 144 < top + height  # eyes and mouth
    large = Image.fromarray(ASTRONAUT).resize((1536, 1536))
    (other,) = find_faces(detector, np.asarray(large))
    np.testing.assert_allclose(np.array(other.box) / 3, face.box, atol=12)
    assert find_faces(detector, np.full((90, 300, 3), 128, np.uint8)) == []


def test_a_picture_of_48_pixels_is_the_face_itself(detector):
    picture = np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)
    (face,) = find_faces(detector, np.repeat(picture[..., np.newaxis], 3, axis=-1))
    np.testing.assert_array_equal(cut_out(picture, face)[0], picture)


def test_a_face_that_is_nearly_constant_is_doubtful(tmp_path, capsys, detector):
    grey = np.random.default_rng(0).normal(128, 2, (48, 48)).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    read_face(tmp_path / "grey.png")
    assert "blank" in capsys.readouterr().out
    (found,) = find_faces(detector, np.repeat(grey[..., np.newaxis], 3, axis=-1))
    assert Reading(found, cut_out(grey, found)[0], np.eye(7)[3]).doubts() == ["blank"]


def test_a_tilted_face_is_cut_out_as_the_upright_one():
    grey = Image.fromarray(ASTRONAUT).convert("L")
    upright = Found((178, 63, 90, 113), 0.9)
    x, y, _ = upright.square()
    expected = cut_out(np.asarray(grey), upright).astype(int)
    for roll in (-40, 40):  # degrees clockwise; Pillow turns the other way
        tilted = np.asarray(grey.rotate(-roll, Image.BICUBIC, center=(x, y)))
        crops = cut_out(tilted, upright._replace(roll=roll))
        assert np.abs(crops - expected).mean() < 4
        assert np.abs(cut_out(tilted, upright) - expected).mean() > 20


def test_beyond_the_border_the_nearest_pixel_is_repeated():
    picture = np.tile(np.arange(0, 200, 2, dtype=np.uint8), (100, 1))
    (crop,) = cut_out(picture, Found((-40, 20, 60, 60), 0.9), (1.0,))
    assert (crop[:, :25] == 0).all() and crop[0, -1] > 30


def test_without_opencv_or_with_another_network_one_line_says_what_to_do(tmp_path, monkeypatch):
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    with pytest.raises(InputError, match=r"junk\.onnx is not an ONNX file of YuNet"):
        load_detector(tmp_path / "junk.onnx")
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(InputError, match=f"pip install -r {face_finder.REQUIREMENTS}"):
        load_detector()


def test_a_picture_without_a_face_or_without_a_detector_is_taken_whole(
    tmp_path, capsys, monkeypatch
):
    path = tmp_path / "a.png"
    Image.fromarray(ASTRONAUT).save(path)
    face = read_face(path)
    assert face.picture.shape == (512, 512) and 80 < face.square[2] < 130
    assert capsys.readouterr().out == ""
    Image.fromarray(ASTRONAUT[300:420, 200:500]).save(path)
    assert read_face(path).square == (150, 60, 120)
    assert "no face found" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert read_face(path).square == (150, 60, 120)
    assert face_finder.REQUIREMENTS in capsys.readouterr().out
