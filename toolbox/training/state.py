"""All that training changes, in one file from which an interrupted run resumes exactly."""

from __future__ import annotations

import time

from toolbox import files
from toolbox.engine import keras
from toolbox.files import InputError
from toolbox.training import checkpoint, run_records
from toolbox.training.devices import ONE, Devices, device_name
from toolbox.training.run_records import Run


class TrainingState:
    """All that training changes; after each epoch it writes that to one file.

    `model` must be compiled. Of several processes, as `devices` tells, the first one writes.
    """

    def __init__(self, run: Run, model: keras.Model, configuration: dict, devices: Devices = ONE):
        self.run = run
        self.devices = devices
        self.configuration = configuration
        self.history: list[dict] = []
        self.model = model
        self.best_weights = model.get_weights()
        model.optimizer.build(model.trainable_variables)

    def variables(self) -> list:
        """Everything that training changes; dropout's random states are among the model's."""
        return [*self.model.variables, *self.model.optimizer.variables]

    def open(self) -> None:
        """Resume an unfinished run, or begin one; a folder that cannot be written shows now.

        Raises InputError as `load` does, and for a run that has more epochs than it should.
        """
        run = self.run
        resumes = run.state.exists() and not run.fresh
        self.devices.agree(  # also, nobody writes before all have looked
            files.sha256_of_file(run.state) if resumes else "",
            f"the processes find different states at {run.state}; share that folder, or give "
            "--fresh to all",
        )
        if resumes:
            self.load()
            done = len(self.history)
            if done > run.epochs:
                raise InputError(
                    f"{run.state} has {done} epochs, more than --epochs {run.epochs}; give "
                    f"--epochs {done} to end the run there, or --fresh"
                )
            self.devices.tell(f"Resuming after epoch {done} of {run.epochs} ({run.state})")
        (run.figures_dir / run.name).mkdir(parents=True, exist_ok=True)
        self.save()

    def save(self) -> None:
        if not self.devices.first:
            return
        arrays = checkpoint.values(self.variables())
        arrays |= {f"best_{i}": weights for i, weights in enumerate(self.best_weights)}
        checkpoint.save(self.run.state, self.configuration, self.history, arrays)

    def load(self) -> None:
        """Raises InputError if the file is of another configuration, or damaged."""
        history, arrays = checkpoint.load(self.run.state, self.configuration)
        try:
            best = [arrays[f"best_{i}"] for i in range(len(self.best_weights))]
        except LookupError as error:
            raise checkpoint.damaged(self.run.state, error) from None
        checkpoint.restore(self.run.state, self.variables(), arrays)
        self.best_weights, self.history = best, history

    def best(self) -> dict:
        """The epoch of the highest validation accuracy; of several, that of the lowest loss.

        The last one for a run that keeps the last.
        """
        if self.run.keep == "last":
            return self.history[-1]
        return max(self.history, key=lambda row: (row["val_accuracy"], -row["val_loss"]))

    def is_over(self) -> bool:
        done = len(self.history)
        since = done - self.best()["epoch"] if done else 0
        return done >= self.run.epochs or since >= self.run.patience

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self.started[0]
        cpu_seconds = time.process_time() - self.started[1]
        row = {"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}}
        times = {"seconds": round(seconds, 2), "cpu_seconds": round(cpu_seconds, 2)}
        self.history.append(row | times | {"device": device_name()})
        for name, value in row.items():
            run_records.check_finite(name, value, f" in epoch {epoch + 1}")
        if self.best()["epoch"] == epoch + 1:
            self.best_weights = self.model.get_weights()
        self.save()
        self.model.stop_training = self.is_over()
