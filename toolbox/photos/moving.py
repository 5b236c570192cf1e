"""Name the faces of moving pictures, videos and webcams, where each face keeps its number."""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from toolbox import files
from toolbox.files import InputError
from toolbox.photos import drawing, video
from toolbox.photos.findings import Findings
from toolbox.photos.readings import Reader, Reading
from toolbox.photos.tracking import Tracker
from toolbox.progress import Progress

ENOUGH = 0.9  # of the frames that a video tells of; some tell a few too many


class Pace(NamedTuple):
    """Which frames are read, and how fast answers may change."""

    every: int = 1  # frames to go on by
    start: float = 0.0  # seconds
    end: float = math.inf
    smooth: float = 0.0  # half-life of the running mean of each face's probabilities, seconds

    @property
    def whole(self) -> bool:
        """Whether a video is read from its beginning to its end."""
        return (self.start, self.end) == (0, math.inf)


def follow(
    stream, pace: Pace, reader: Reader, live: bool = False
) -> Iterator[tuple[video.Frame, list[Reading]]]:
    """The frames of a video or webcam, with faces that keep their numbers.

    While the model names the faces of one frame, a thread finds those of the next.
    """
    tracker = Tracker(pace.smooth, pace.every / video.frames_per_second(stream))
    frames = video.read_frames(stream, pace.every, pace.start, pace.end, live=live)
    for frame, faces in video.ahead((frame, reader.find(frame.image)) for frame in frames):
        yield frame, tracker.follow(reader.name(*faces), frame.seconds)


def read_video(path: Path, out: Path, pace: Pace, reader: Reader, findings: Findings) -> None:
    """Name the faces of a video, and write it annotated; Ctrl-C ends it there, but whole."""
    stream, began, stopped = video.open_video(path), time.perf_counter(), False
    told = video.count_frames(stream) or 0
    progress = Progress("frames", told // pace.every if pace.whole else 0)
    numbers = []  # of the frames that were read

    def write(temporary: Path) -> None:
        nonlocal stopped
        writer = video.Writer(temporary, video.frames_per_second(stream) / pace.every)
        try:
            for frame, found in follow(stream, pace, reader):
                writer.append(drawing.annotate(frame.image, found, findings.names))
                findings.add(path, found, (frame.number, frame.seconds))
                numbers.append(frame.number)
                progress.add()
        except KeyboardInterrupt:
            stopped = True
        finally:
            writer.close()
            progress.end()
        if not numbers:
            which = "to read" if pace.whole else "between those --seconds"
            raise KeyboardInterrupt if stopped else InputError(f"{path} has no frame {which}")

    target = out / findings.new_file(path, "_faces.mp4")
    files.atomic_write(target, write)
    speed = len(numbers) / (time.perf_counter() - began)
    print(f"{path}: {len(numbers):,} frames, {speed:.0f} per second; wrote {target.name}")
    if stopped:
        raise KeyboardInterrupt
    done, left = len(numbers) * pace.every, told - numbers[0]
    if math.isinf(pace.end) and done < ENOUGH * left:
        print(f"{path}: {done:,} of the {left:,} frames that it tells of; it may be cut off")


def watch_webcam(number: int, pace: Pace, reader: Reader, findings: Findings) -> None:
    """Name the faces before a webcam, in a window where there is a screen."""
    stream, show = video.open_webcam(number), video.open_window("predict.py")
    print("Close the window to stop" if show else "No screen: the table alone. Ctrl-C to stop")
    for frame, found in follow(stream, pace, reader, live=True):
        findings.add(Path(f"webcam{number}"), found, (frame.number, frame.seconds))
        if show and not show(drawing.annotate(frame.image, found, findings.names)):
            break
