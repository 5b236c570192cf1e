"""Ours beside its peers, in one run on one machine, so that the ratios mean something.

    pip install -r requirements-benchmark.txt
    python benchmark.py        # a few minutes on 2 cores

CSV: loading a file of FER2013's size against `pandas.read_csv` alone, and again from the cache.
Training: seconds for 1,000 images of the report's CNN, batch 128, its Adadelta: our batches with
the report's augmentation and without, plain `model.fit` on arrays, `model.fit` on Keras's own
ImageDataGenerator, and PyTorch on the same net.
It prints a table of each and writes figures/benchmark.json.
"""

import functools
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

import fer2013_csv

# The frameworks are imported where they are used: each contender trains in a process of its own,
# since even the idle threads of one framework slow another down.


@dataclass
class Args:
    rounds: int = 5
    """each contender is measured once a round, in turn; medians are reported"""
    steps: int = 16
    """batches a measurement"""
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


def measure(contenders: dict[str, Callable[[], tuple]], rounds: int) -> pd.DataFrame:
    """Median wall and CPU seconds of each, measured in turn so that drift hits all alike."""
    times = [(name, *contenders[name]()) for _ in range(rounds) for name in contenders]
    table = pd.DataFrame(times, columns=["name", "wall", "cpu"])
    return table.groupby("name", sort=False).median()


def time_csv(args: Args) -> pd.DataFrame:
    """Loading, parse and cache, of a CSV that is written for the purpose."""
    images, labels = noise(args.rows, args.seed)
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
        contenders = {n: functools.partial(stopwatch, work) for n, work in works.items()}
        return measure(contenders, args.rounds)


def noise(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (count, 48, 48) and labels (count,) without meaning."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 48, 48), np.uint8), rng.integers(0, 7, count).astype("u1")


def keras_trainer(kind: str, images: np.ndarray, labels: np.ndarray) -> Callable[[], None]:
    """One pass of `fit` over the images, fed by our batches, by arrays or by Keras's generator."""
    import keras

    import train_cnn  # first: it quiets TensorFlow
    from batches import random_affine, training_batches

    _, report = train_cnn.RECIPES["report"]
    model = train_cnn.build_report_cnn(report.dropout)
    model.compile(
        train_cnn.report_optimizer(report),
        "categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    floats, targets = images[..., np.newaxis].astype("f4"), np.eye(7, dtype="f4")[labels]
    ways = dict(shift=report.shift, rotation=report.rotation, zoom=report.zoom, flip=report.flip)
    augment = functools.partial(random_affine, **ways) if kind == "ours, augmented" else None
    generator = keras.src.legacy.preprocessing.image.ImageDataGenerator(
        width_shift_range=report.shift,
        height_shift_range=report.shift,
        rotation_range=report.rotation,
        zoom_range=report.zoom,
        horizontal_flip=report.flip,
    ).flow(floats, targets, BATCH)

    def train() -> None:
        if kind == "model.fit on arrays":
            model.fit(floats, targets, BATCH, verbose=0)
        elif kind == "model.fit on ImageDataGenerator, augmented":
            model.fit(generator, verbose=0)
        else:
            data = training_batches(images, labels, BATCH, 0, range(1), augment)
            model.fit(data, steps_per_epoch=len(images) // BATCH, verbose=0, shuffle=False)

    return train


def torch_trainer(images: np.ndarray, labels: np.ndarray) -> Callable[[], None]:
    """One pass over the images in PyTorch: the same net, layer by layer, optimizer and batch."""
    import torch
    from torch import nn

    class PReLU(nn.Module):
        """One alpha a position, as Keras has by default; PyTorch has one a channel at most."""

        def __init__(self, *shape: int):
            super().__init__()
            self.alpha = nn.Parameter(torch.zeros(shape))

        def forward(self, x):
            return torch.relu(x) + self.alpha * torch.clamp(x, max=0)

    net = nn.Sequential(
        *(nn.Conv2d(1, 64, 5), PReLU(64, 44, 44), nn.ZeroPad2d(2), nn.MaxPool2d(5, 2)),
        *(nn.ZeroPad2d(1), nn.Conv2d(64, 64, 3), PReLU(64, 22, 22)),
        *(nn.ZeroPad2d(1), nn.Conv2d(64, 64, 3), PReLU(64, 22, 22), nn.AvgPool2d(3, 2)),
        *(nn.ZeroPad2d(1), nn.Conv2d(64, 128, 3), PReLU(128, 10, 10)),
        *(nn.ZeroPad2d(1), nn.Conv2d(128, 128, 3), PReLU(128, 10, 10)),
        *(nn.ZeroPad2d(1), nn.AvgPool2d(3, 2), nn.Flatten()),
        *(nn.Linear(3200, 1024), PReLU(1024), nn.Dropout(0.5)),
        *(nn.Linear(1024, 1024), PReLU(1024), nn.Dropout(0.5), nn.Linear(1024, 7)),
    )
    if sum(p.numel() for p in net.parameters()) != 4_845_063:
        raise ValueError("the PyTorch net is not the report's")
    adadelta = torch.optim.Adadelta(net.parameters(), 0.1, rho=0.95, eps=1e-8)
    loss = nn.CrossEntropyLoss()
    inputs = torch.from_numpy(images[:, np.newaxis].astype("f4")) / 255
    classes = torch.from_numpy(labels.astype("i8"))

    def train() -> None:
        for rows in torch.randperm(len(classes)).split(BATCH):
            adadelta.zero_grad()
            loss(net(inputs[rows]), classes[rows]).backward()
            adadelta.step()

    return train


def time_one_pass(kind: str, count: int, seed: int) -> tuple[float, float]:
    """Wall and CPU seconds for 1,000 images, after a pass to trace, compile and warm up."""
    images, labels = noise(count, seed)
    if kind == "PyTorch":
        train = torch_trainer(images, labels)
    else:
        train = keras_trainer(kind, images, labels)
    train()
    return tuple(seconds * 1000 / count for seconds in stopwatch(train))


def time_training(args: Args) -> pd.DataFrame:
    """Training the report's CNN by each contender, in turn, each time in a new process."""

    def run(kind: str) -> tuple[float, float]:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return pool.submit(time_one_pass, kind, args.steps * BATCH, args.seed).result()

    return measure({kind: functools.partial(run, kind) for kind in CONTENDERS}, args.rounds)


BATCH = 128
CONTENDERS = (
    "ours, augmented",
    "model.fit on ImageDataGenerator, augmented",
    "ours",
    "model.fit on arrays",
    "PyTorch",
)


def main(args: Args) -> dict:
    """Measure, print the tables and write them to figures/benchmark.json."""
    tables = {
        "CSV, seconds": time_csv(args),
        "training, seconds for 1,000 images": time_training(args),
    }
    for title, table in tables.items():
        table["wall ratio"] = table["wall"] / table["wall"].iloc[0]
        table["cpu ratio"] = table["cpu"] / table["cpu"].iloc[0]
        print(f"\n{title}; ratios to the first row\n{table.round(3).to_string()}")
    results = {title: table.round(4).to_dict("index") for title, table in tables.items()}
    record = utils.provenance(args) | {"torch": version("torch"), "results": results}
    utils.write_json(args.figures_dir / "benchmark.json", record)
    return record


if __name__ == "__main__":
    utils.run(main, tyro.cli(Args, description=__doc__))
