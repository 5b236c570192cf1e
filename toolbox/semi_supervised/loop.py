"""The training loop that all methods share: exact resume, and how far it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from toolbox.engine import tf
from toolbox.progress import Progress
from toolbox.training import checkpoint, run_records

SAVES = 20  # per run


class Loop:
    """Calls a method's step with 0, 1, 2 ... `updates` - 1, and saves all that it changes.

    An interrupted run resumes from the file at `path`, unless it is to start `fresh`, and ends with
    the very weights it would have had: each step must depend on its number and on the variables
    alone. `configuration` is what decides the weights; a file of another one is refused.
    `history` holds, for each save, the number of updates, their last loss, and the seconds so far.
    """

    def __init__(self, path: Path, configuration: dict, updates: int, fresh: bool = False):
        self.path = path
        self.configuration = configuration
        self.updates = updates
        self.fresh = fresh
        self.history: list[dict] = []

    def __call__(self, step: Callable[[int], tf.Tensor], variables: list) -> None:
        """Make all updates. `step` returns the loss, a scalar.

        Raises InputError for a loss that is not finite, and for a file that it cannot resume from.
        """
        self._open(variables)
        done, before = 0, 0.0
        if self.history:
            done, before = self.history[-1]["update"], self.history[-1]["seconds"]
        every = max(self.updates // SAVES, 1)
        progress = Progress("updates", self.updates - done)
        started = time.perf_counter()
        try:
            for update in range(done, self.updates):
                loss = step(update)  # a GPU goes on until its value is needed
                if (update + 1) % every == 0 or update + 1 == self.updates:
                    self._note(update + 1, float(loss), before + time.perf_counter() - started)
                    self._save(variables)
                progress.add("loss", loss)
            progress.end()
            last = self.history[-1]
            print(f"{self.updates:,} updates, loss {last['loss']:.3f}, {last['seconds']:,.0f} s")
        except KeyboardInterrupt:
            print("\nRepeat the command, without --fresh, to resume.", file=sys.stderr)
            raise

    def _open(self, variables: list) -> None:
        """Load the file of an interrupted run, or write one."""
        if self.path.exists() and not self.fresh:
            self.history, arrays = checkpoint.load(self.path, self.configuration)
            checkpoint.restore(self.path, variables, arrays)
        else:
            self._save(variables)  # a full disk shows now, not after minutes
        if self.history:
            done = self.history[-1]["update"]
            print(f"Resuming after update {done:,} of {self.updates:,} ({self.path})")

    def _note(self, update: int, loss: float, seconds: float) -> None:
        run_records.check_finite("the loss", loss, f" after {update} updates")
        self.history.append({"update": update, "loss": loss, "seconds": round(seconds, 2)})

    def _save(self, variables: list) -> None:
        checkpoint.save(self.path, self.configuration, self.history, checkpoint.values(variables))
