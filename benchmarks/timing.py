"""Wall and CPU seconds of calls and of processes, measured in turn."""

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent

Times = tuple[float, float]  # wall and CPU seconds


def stopwatch(work: Callable[[], object]) -> Times:
    """Wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(works: dict[str, Callable[[], Times]], rounds: int) -> pd.DataFrame:
    """Median wall and CPU seconds of each, measured in turn so that drift hits all alike; and the
    ratios to the first.
    """
    times = [(name, *works[name]()) for _ in range(rounds) for name in works]
    table = pd.DataFrame(times, columns=["name", "wall", "cpu"])
    table = table.groupby("name", sort=False).median()
    for unit in ("wall", "cpu"):
        table[f"{unit} ratio"] = table[unit] / table[unit].iloc[0]
    return table


def time_process(*line: str) -> Times:
    """Wall and CPU seconds of a Python process."""
    before = os.times()
    subprocess.run([sys.executable, *line], cwd=ROOT, capture_output=True, check=True)
    after = os.times()
    cpu = sum(after[2:4]) - sum(before[2:4])  # of children that have ended
    return after.elapsed - before.elapsed, cpu


def apart(function: Callable, *arguments):
    """The result of a call in a new process: the idle threads of one framework slow another."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()
