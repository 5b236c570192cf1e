"""How far a long loop is: one line that is redrawn in a terminal, a few lines in a log."""

import sys
import time
from collections.abc import Collection, Iterator

SILENT = 2  # seconds of a loop before a terminal shows anything
REDRAWN = 0.2  # seconds between two states of the line
LOGGED = 10  # seconds of a loop before a log has a line; the next ones come after twice the time


class Progress:
    """Counts `things`, such as "faces", up to `total` if it is known."""

    def __init__(self, things: str, total: int | None = None):
        self.things, self.total, self.done, self.shown = things, total, 0, ""
        self.live, self.began = sys.stdout.isatty(), time.monotonic()
        self.next = self.began + (SILENT if self.live else LOGGED)

    def add(self, measure: str = "", value=0.0) -> None:
        """One more is done. measure, value: how it went.

        `value` becomes a float only when it is shown, since that waits for a GPU.
        """
        self.done += 1
        now = time.monotonic()
        if now < self.next:
            return
        passed = now - self.began
        self.next = now + (REDRAWN if self.live else passed)
        text = f"{self.done:,} {self.things}"
        if self.total:
            left = passed / self.done * (self.total - self.done)
            text = f"{self.done:,} of {self.total:,} {self.things}, {left:,.0f} s left"
        self._write(text + (measure and f", {measure} {float(value):.3f}"))

    def end(self) -> None:
        """Take the line off the terminal."""
        if self.live and self.shown:
            self._write("")
            print(end="\r", flush=True)

    def _write(self, text: str) -> None:
        if self.live:
            print(f"\r{text:{len(self.shown)}}", end="", flush=True)
        else:
            print(text, flush=True)
        self.shown = text


def watch(items: Collection, things: str) -> Iterator:
    """Hand on `items`, and show how far that is."""
    progress = Progress(things, len(items))
    try:
        for item in items:
            yield item
            progress.add()
    finally:
        progress.end()
