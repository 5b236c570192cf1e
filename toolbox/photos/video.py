"""Videos and webcams in, annotated videos out, by OpenCV."""

import errno
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from toolbox.files import InputError, as_text, require_file
from toolbox.photos.face_finder import import_opencv

VIDEOS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".wmv", ".mpg", ".mpeg", ".3gp")
USUAL_FPS = 25.0  # where a file does not say, or says nonsense
MOST_FPS, LEAST_FPS = 1000, 0.01  # OpenCV cannot write fewer than 0.002


class Frame(NamedTuple):
    number: int  # in the file, the first is 0
    seconds: float  # since the beginning
    image: Image.Image  # RGB


def refuse_odd_bytes(path: Path) -> None:
    """Raise InputError for a name that OpenCV crashes at."""
    if as_text(path) != path.as_posix():
        raise InputError(f"{as_text(path)} is no name that OpenCV can open, not UTF-8; rename it")


def open_video(path: Path):
    """OpenCV's VideoCapture of a file. Raises InputError for what is no video."""
    cv2 = import_opencv()
    require_file(path, "a video")
    refuse_odd_bytes(path)
    video = cv2.VideoCapture(str(path))
    if not video.isOpened():
        raise InputError(
            f"{path} is not a readable video, but damaged, cut off, without pictures or of an "
            "unknown kind; copy it again, or convert it"
        )
    return video


def open_webcam(number: int):
    """OpenCV's VideoCapture of a webcam. Raises InputError if there is none of this number."""
    video = import_opencv().VideoCapture(number)
    if not video.isOpened():
        raise InputError(f"there is no webcam {number}; connect one, or name another: --webcam 1")
    return video


def frames_per_second(video) -> float:
    """As the file says; USUAL_FPS where it says nothing, 0 or NaN."""
    fps = video.get(import_opencv().CAP_PROP_FPS)
    return fps if math.isfinite(fps) and 0 < fps <= MOST_FPS else USUAL_FPS


def count_frames(video) -> int | None:
    """As the file says; None where it does not."""
    count = video.get(import_opencv().CAP_PROP_FRAME_COUNT)
    return int(count) if math.isfinite(count) and 0 < count < 1e9 else None


def read_frames(
    video, every: int = 1, start: float = 0, end: float = math.inf, live: bool = False
) -> Iterator[Frame]:
    """Every `every`-th frame between two times, seconds.

    The time of a frame is what the file says, or where that stands still, what the frame rate
    says; of a webcam, `live`, that of the clock.
    """
    cv2, fps, began = import_opencv(), frames_per_second(video), time.monotonic()
    number, seconds, chosen = -1, -1.0, 0
    while video.grab():
        number += 1
        told = time.monotonic() - began if live else video.get(cv2.CAP_PROP_POS_MSEC) / 1000
        seconds = told if told > seconds else max(number / fps, seconds + 1 / fps)
        if seconds > end:
            return
        if seconds < start:
            continue
        chosen += 1
        if (chosen - 1) % every:
            continue
        decoded, image = video.retrieve()
        if decoded:
            yield Frame(number, seconds, Image.fromarray(np.ascontiguousarray(image[..., ::-1])))


def ahead(items: Iterator) -> Iterator:
    """The same items; a thread makes each of them while the one before is in use."""
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, items, None)
        while (item := following.result()) is not None:
            following = thread.submit(next, items, None)
            yield item


class Writer:
    """An mp4v video that grows by a picture at a time, all of the size of the first."""

    def __init__(self, path: Path, fps: float):
        self.path, self.fps, self.size, self.video = path, max(fps, LEAST_FPS), None, None
        self.count = 0

    def append(self, image: Image.Image) -> None:
        """Raises InputError if OpenCV cannot write such a video here."""
        if self.video is None:
            refuse_odd_bytes(self.path)
            cv2, self.size = import_opencv(), image.size
            code = cv2.VideoWriter_fourcc(*"mp4v")
            self.video = cv2.VideoWriter(str(self.path), code, self.fps, self.size)
            if not self.video.isOpened():
                raise InputError(
                    "the disk is full, or this OpenCV cannot write mp4v; make room, or install "
                    "opencv-python-headless"
                )
        image = image if image.size == self.size else image.resize(self.size)
        self.video.write(np.ascontiguousarray(np.asarray(image)[..., ::-1]))
        self.count += 1

    def close(self) -> None:
        """Finish the file, so that it can be played. Raises OSError if it is not whole."""
        if self.video is None:
            return
        self.video.release()
        # OpenCV tells nobody of a disk that is full.
        written = import_opencv().VideoCapture(str(self.path))
        if (count_frames(written) or 0) < self.count:
            raise OSError(errno.EIO, "OpenCV could not write all of it; is the disk full?")


def open_window(title: str) -> Callable[[Image.Image], bool] | None:
    """A function that shows a picture and says whether its window is still open; None if there is
    no screen. By Tk, since OpenCV without a head has no windows.
    """
    try:
        import tkinter

        from PIL import ImageTk
    except ImportError:
        return None
    try:
        root = tkinter.Tk()
    except (RuntimeError, tkinter.TclError):
        return None
    root.title(title)
    panel, opened = tkinter.Label(root), [True]
    panel.pack()
    root.protocol("WM_DELETE_WINDOW", opened.clear)

    def show(image: Image.Image) -> bool:
        panel.photo = ImageTk.PhotoImage(image)  # Tk itself keeps no reference
        panel.configure(image=panel.photo)
        root.update()
        if not opened:
            root.destroy()
        return bool(opened)

    return show
