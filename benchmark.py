"""Ours beside its peers, in one run on one machine, so that the ratios mean something.

    pip install -r requirements-benchmark.txt
    python benchmark.py        # some 20 minutes on 2 cores

CSV: loading a file of FER2013's size against `pandas.read_csv` alone, and again from the cache.
Training: seconds for 1,000 images of the report's CNN, batch 128, its Adadelta: our batches with
the report's augmentation and without, plain `model.fit` on arrays, `model.fit` on Keras's own
ImageDataGenerator, and PyTorch on the same net; and of the fast recipe's net, which says how many
epochs of the report's CNN the whole of that recipe takes, with our batch norm and with Keras's.
Both nets in bfloat16 too, which some processors are fast at and others slow.
Beside them this machine's speed at nothing but matrix products, and the share of it that training
the report's CNN reaches.
Saliency: seconds for 1,000 maps of the compact net against tf-keras-vis and PAIR's saliency, which
must give the same gradients.
Filters: seconds for one step of ascent for 64 filters of the compact net's deepest layer, all in
one batch, against the usual eager loop over filters.
It prints a table of each and writes figures/benchmark.json.
"""

import functools
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import utils  # isort: split

import numpy as np
import pandas as pd
import tyro

import contenders
import fer2013_csv


@dataclass
class Args:
    rounds: int = 3
    """each contender is measured once a round, in turn; medians are reported"""
    steps: int = 12
    """batches of the shortest of a measurement's four passes of training"""
    rows: int = 35_887
    """rows of the CSV, FER2013's own number by default"""
    seed: int = 0
    """of the faces, which are noise"""
    figures_dir: Path = utils.ROOT / "figures"
    """folder of benchmark.json"""


def stopwatch(work: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(works: dict[str, Callable[[], tuple]], rounds: int) -> pd.DataFrame:
    """Median wall and CPU seconds of each, measured in turn so that drift hits all alike."""
    times = [(name, *works[name]()) for _ in range(rounds) for name in works]
    table = pd.DataFrame(times, columns=["name", "wall", "cpu"])
    return table.groupby("name", sort=False).median()


def time_csv(args: Args) -> pd.DataFrame:
    """Loading, parse and cache, of a CSV that is written for the purpose."""
    images, labels = contenders.noise(args.rows, args.seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "faces.csv"
        fer2013_csv.write_csv(path, images, labels, np.zeros_like(labels))
        print(f"CSV of {path.stat().st_size / 1e6:.0f} MB")

        def cold() -> None:
            utils._cache_path(path).unlink(missing_ok=True)
            utils.load_faces(path)

        works = {
            "pandas.read_csv alone": lambda: pd.read_csv(path),
            "parse_csv": lambda: fer2013_csv.parse_csv(path),
            "load_faces, cold (hash, parse, write the cache)": cold,
            "load_faces, from the cache": lambda: utils.load_faces(path),
        }
        return measure(
            {n: functools.partial(stopwatch, work) for n, work in works.items()}, args.rounds
        )


def time_passes(kind: str, steps: int, seed: int) -> tuple[float, float]:
    """Wall and CPU seconds for 1,000 images over four passes, after one to trace and warm up.

    At the end of a pass `fit` may wait for TensorFlow's autotuner, which wakes up after 10, 30, 70
    ... ms, each interval twice the one before. So the passes have lengths evenly spread over an
    octave, from `steps` batches on: together they wait as long as passes of any length do in the
    mean, on a machine of whatever speed.
    """
    counts = [round(steps * 2 ** (part / 4)) * contenders.BATCH for part in range(4)]
    images, labels = contenders.noise(counts[-1], seed)
    if kind == "PyTorch":
        train = contenders.torch_trainer(images, labels)
    else:
        train = contenders.keras_trainer(kind, images, labels)
    train(2 * contenders.BATCH)
    times = [stopwatch(functools.partial(train, count)) for count in counts]
    return tuple(sum(seconds) * 1000 / sum(counts) for seconds in zip(*times, strict=True))


def apart(function: Callable, *arguments):
    """The result of a call in a new process: the idle threads of one framework slow another."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def time_training(args: Args) -> pd.DataFrame:
    """Training by each contender, in turn, each time in a new process."""
    works = {k: functools.partial(apart, time_passes, k, args.steps, args.seed) for k in TRAINERS}
    return measure(works, args.rounds)


def time_product(size: int) -> tuple[float, float]:
    """Seconds for 1e12 operations of matrix products, in the process that calls this."""
    multiply = contenders.multiplier(size)
    multiply()
    return tuple(seconds * 1e12 / (8 * 2 * size**3) for seconds in stopwatch_of(multiply, 8))


def stopwatch_of(work: Callable[[], None], times: int) -> tuple[float, float]:
    return stopwatch(lambda: [work() for _ in range(times)])


def time_filters(kind: str, filters: int, steps: int) -> tuple[float, float]:
    """Seconds for a step of 64 filters, from the difference of two runs: tracing takes no part."""
    one, two = (stopwatch(contenders.climber(kind, filters, count)) for count in (steps, 3 * steps))
    return tuple((b - a) / (2 * steps) * 64 / filters for a, b in zip(one, two, strict=True))


def time_maps(kind: str, count: int, seed: int) -> tuple[tuple[float, float], np.ndarray]:
    """Seconds for 1,000 maps, in the process that calls this, and some of the maps."""
    make = contenders.mapper(kind, *contenders.noise(count, seed))
    maps = make()
    return tuple(seconds * 1000 / count for seconds in stopwatch(make)), maps[:8]


def time_saliency(args: Args) -> pd.DataFrame:
    """Maps by each library, in turn, each time in a new process; the same maps where it is so."""
    maps = {}

    def run(kind: str, count: int) -> tuple[float, float]:
        times, maps[kind] = apart(time_maps, kind, count, args.seed)
        return times

    table = measure({k: functools.partial(run, k, n) for k, n in MAPPERS.items()}, args.rounds)
    ours, vis, pair = (
        maps[f"gradient: {name}"] for name in ("ours", "tf-keras-vis", "PAIR saliency")
    )
    np.testing.assert_allclose(pair, ours, rtol=1e-3, atol=1e-3 * np.abs(ours).max())
    # tf-keras-vis scales each map's sizes, up to a small constant of its own.
    sizes = np.abs(ours) - np.abs(ours).min(axis=(1, 2), keepdims=True)
    ours, vis = (m / m.max(axis=(1, 2), keepdims=True) for m in (sizes, vis))
    np.testing.assert_allclose(vis, ours, atol=1e-3)
    return table


def fast_recipe(table: pd.DataFrame) -> dict:
    """The whole of the fast recipe in epochs of the report's CNN, of the same number of faces."""
    record = json.loads((utils.ROOT / "models" / "fast.json").read_text())

    def report_epochs(fast: str, report: str) -> float:
        ratio = table.loc[fast, "wall"] / table.loc[report, "wall"]
        return round(float(ratio) * record["epochs"], 2)

    return {
        "epochs": record["epochs"],
        "report_epochs": report_epochs(contenders.FAST, contenders.OURS),
        "report_epochs_in_bfloat16": report_epochs(contenders.FAST_BFLOAT16, contenders.BFLOAT16),
        "public_test_accuracy": record["metrics"]["public_test_accuracy"],
    }


TRAINERS = (
    contenders.OURS,
    "model.fit on ImageDataGenerator, augmented",
    "ours",
    "model.fit on arrays",
    "PyTorch",
    contenders.BFLOAT16,
    contenders.FAST,
    contenders.FAST_BFLOAT16,
    contenders.UNFUSED,
)
CLIMBERS = {  # filters and steps of one measurement
    "ours": (64, 16),
    "ours, plain": (64, 16),
    "eager loop over filters": (4, 16),
}
OPERATIONS = 0.39e12  # to train on 1,000 images with the report's CNN: 65 M multiply-adds, six-fold
MAPPERS = {  # and the faces of one measurement
    "gradient: ours": 1000,
    "gradient: forward pass alone": 1000,
    "gradient: tf-keras-vis": 1000,
    "gradient: PAIR saliency": 200,
    "integrated gradients: ours": 100,
    "integrated gradients: PAIR saliency": 50,
}


def main(args: Args) -> dict:
    """Measure, print the tables and write them to figures/benchmark.json."""
    product = {"matrix product": functools.partial(apart, time_product, 2048)}
    climbs = {k: functools.partial(apart, time_filters, k, *how) for k, how in CLIMBERS.items()}
    tables = {
        "CSV, seconds": time_csv(args),
        "training, seconds for 1,000 images": time_training(args),
        "matrix products, seconds for 1e12 operations": measure(product, args.rounds),
        "saliency, seconds for 1,000 maps": time_saliency(args),
        "filters, seconds for a step of 64 filters": measure(climbs, args.rounds),
    }
    for title, table in tables.items():
        table["wall ratio"] = table["wall"] / table["wall"].iloc[0]
        table["cpu ratio"] = table["cpu"] / table["cpu"].iloc[0]
        print(f"\n{title}; ratios to the first row\n{table.round(3).to_string()}")
    _, training, products, _, _ = tables.values()
    peak = products["cpu"].iloc[0] * OPERATIONS / 1e12
    shares = {n: round(float(peak / training.loc[n, "cpu"]), 3) for n in ("ours", "PyTorch")}
    fast = fast_recipe(training)
    print(f"\nshare of the matrix product's speed, training the report's CNN: {shares}")
    print(f"the fast recipe, in epochs of the report's CNN: {fast}")
    results = {title: table.round(4).to_dict("index") for title, table in tables.items()}
    record = utils.provenance(args) | {"torch": version("torch"), "results": results}
    record |= {"share_of_matrix_product": shares, "fast_recipe": fast}
    utils.write_json(args.figures_dir / "benchmark.json", record)
    return record


if __name__ == "__main__":
    utils.run(main, tyro.cli(Args, description=__doc__))
