"""The time of a frame is known whatever the file says of its rate."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from toolbox.files import InputError
from toolbox.photos import video


class Stream:
    """As OpenCV's VideoCapture of ten frames."""

    def __init__(self, fps: float, times: list[float]):
        self.fps, self.times, self.number = fps, times, -1

    def grab(self) -> bool:
        self.number += 1
        return self.number < len(self.times)

    def retrieve(self):
        return True, np.full((4, 6, 3), self.number, np.uint8)

    def get(self, what: int) -> float:
        return {cv2.CAP_PROP_FPS: self.fps}.get(what, 1000 * self.times[max(self.number, 0)])


@pytest.mark.parametrize("fps", [0.0, float("nan"), float("inf"), -5.0, 90_000.0])
def test_a_rate_that_is_nonsense_is_replaced_and_the_times_of_the_frames_hold(fps):
    times = [0.0, 0.1, 0.3, 0.35]
    stream = Stream(fps, times)
    assert video.frames_per_second(stream) == video.USUAL_FPS
    assert [frame.seconds for frame in video.read_frames(stream)] == times


def test_without_times_the_rate_tells_them():
    frames = list(video.read_frames(Stream(10.0, [0.0] * 5), every=2))
    assert [frame.number for frame in frames] == [0, 2, 4]
    assert [frame.seconds for frame in frames] == pytest.approx([0.0, 0.2, 0.4])


def test_what_is_written_is_read_again_between_two_times(tmp_path):
    path, writer = tmp_path / "é.mp4", video.Writer(tmp_path / "é.mp4", 10)
    for grey in range(0, 200, 10):
        writer.append(Image.new("RGB", (64, 48), (grey, grey, grey)))
    writer.append(Image.new("RGB", (32, 48)))  # of another size
    writer.close()
    stream = video.open_video(path)
    assert video.frames_per_second(stream) == pytest.approx(10) and video.count_frames(stream) == 21
    frames = list(video.read_frames(stream, every=3, start=0.45, end=1.25))
    assert [frame.number for frame in frames] == [5, 8, 11]
    assert [np.asarray(f.image).mean() for f in frames] == pytest.approx([50, 80, 110], abs=4)


def test_a_full_disk_leaves_no_half_of_a_video_unremarked(tmp_path):
    resource = pytest.importorskip("resource")  # of Unix
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    noise = np.random.default_rng(0).integers(0, 255, (9, 240, 320, 3), np.uint8)
    writer = video.Writer(tmp_path / "a.mp4", 0.0001)  # a rate that OpenCV refuses
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        for image in noise:
            writer.append(Image.fromarray(image))
        with pytest.raises(OSError, match="disk"):
            writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_what_is_no_video_or_no_webcam_ends_in_one_line(tmp_path, capfd):
    (tmp_path / "a.mp4").write_bytes(b"not a video")
    for open_it, name in (
        (video.open_video, tmp_path / "a.mp4"),
        (video.open_video, tmp_path / "b.mp4"),
        (video.open_webcam, 98),
    ):
        with pytest.raises(InputError, match=str(name)):
            open_it(name)
    assert capfd.readouterr() == ("", "")


def test_a_name_that_is_no_utf8_is_refused_before_opencv_crashes(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4"))
    path.write_bytes(b"")
    with pytest.raises(InputError, match="rename it"):
        video.open_video(path)
    with pytest.raises(InputError, match="rename it"):
        video.Writer(path, 10).append(Image.new("RGB", (64, 48)))


def test_items_that_a_thread_makes_ahead_come_in_order_and_so_does_what_goes_wrong():
    def items():
        yield from range(3)
        raise InputError("no more")

    made = video.ahead(items())
    assert [next(made) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InputError, match="no more"):
        next(made)
    assert list(video.ahead(iter("abc"))) == ["a", "b", "c"]
