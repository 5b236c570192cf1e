"""Keep the numbers of faces over the frames of a video, and smooth what is said of them."""

import numpy as np

from toolbox.late import Late
from toolbox.photos.readings import Reading

optimize = Late("scipy.optimize")

NEAR = 0.8  # most distance between two frames, in sizes of the face
LOST = 1.0  # a face that is away for longer gets a new number, seconds


class Tracker:
    """Gives each face the number of the face that was nearest in the frames before."""

    def __init__(self, half_life: float = 0.0, interval: float = 0.0):
        """half_life: of the running mean of probabilities, seconds; 0: no mean.

        interval: between two frames, seconds.
        """
        self.half_life, self.last, self.count = half_life, {}, 0
        self.lost = max(LOST, 1.5 * interval)

    def follow(self, readings: list[Reading], seconds: float) -> list[Reading]:
        """The readings of the next frame with numbers that stay, and smoothed probabilities."""
        self.last = {n: old for n, old in self.last.items() if seconds - old[1] <= self.lost}
        numbers = self._match([reading.found.square() for reading in readings])
        followed = []
        for reading, number in zip(readings, numbers, strict=True):
            probabilities = reading.probabilities
            if number in self.last and self.half_life:
                old, since = self.last[number]
                keep = 0.5 ** ((seconds - since) / self.half_life)
                probabilities = keep * old.probabilities + (1 - keep) * probabilities
            reading = reading._replace(probabilities=probabilities, face=number)
            self.last[number] = reading, seconds
            followed.append(reading)
        return followed

    def _match(self, squares: list[tuple[float, float, float]]) -> list[int]:
        """For each square the number of a face before, or a new one."""
        known, numbers = list(self.last), [0] * len(squares)
        if known and squares:
            new = np.array(squares)[:, np.newaxis]
            old = np.array([self.last[number][0].found.square() for number in known])
            sizes = (new[..., 2] + old[:, 2]) / 2
            apart = np.hypot(new[..., 0] - old[:, 0], new[..., 1] - old[:, 1]) / sizes
            apart += np.abs(np.log(new[..., 2] / old[:, 2]))  # another size is another face
            for i, j in zip(*optimize.linear_sum_assignment(np.minimum(apart, NEAR)), strict=True):
                if apart[i, j] < NEAR:
                    numbers[i] = known[j]
        for i, number in enumerate(numbers):
            if not number:
                self.count += 1
                numbers[i] = self.count
        return numbers
