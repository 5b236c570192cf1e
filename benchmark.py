"""Ours beside its peers, in one run on one machine, so that the ratios mean something.

    pip install -r requirements-benchmark.txt
    python benchmark.py        # a few minutes on 2 cores

CSV: loading a file of FER2013's size against `pandas.read_csv` alone, and again from the cache.
Training: seconds for 1,000 images of the report's CNN, batch 128, its Adadelta: our batches with
the report's augmentation and without, plain `model.fit` on arrays, `model.fit` on Keras's own
ImageDataGenerator, and PyTorch on the same net.
Saliency: seconds for 1,000 maps of the compact net against tf-keras-vis and PAIR's saliency, which
must give the same gradients.
It prints a table of each and writes figures/benchmark.json.
"""

import functools
import multiprocessing
import sys
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
    images = np.random.default_rng(seed).integers(0, 256, (count, 48, 48), np.uint8)
    return images, np.arange(count, dtype=np.uint8) % 7


def keras_trainer(kind: str, images: np.ndarray, labels: np.ndarray) -> Callable[[], None]:
    """One pass of `fit` over the images, fed by our batches, by arrays or by Keras's generator."""
    with utils.quiet_stderr():
        import keras

    import train_cnn
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


def mapper(kind: str, images: np.ndarray, labels: np.ndarray) -> Callable[[], np.ndarray]:
    """Maps of an untrained compact net, as they come out of each library."""
    with utils.quiet_stderr():
        import keras
        import tensorflow as tf

    import attribution
    import classifier as classifiers
    import train_cnn

    keras.utils.set_random_seed(0)  # the same weights in every process
    model = classifiers.logits_model(train_cnn.build_compact_cnn(32))
    faces, classes = images[..., np.newaxis].astype("f4"), labels.astype(int)
    logits = attribution.logits_of(classifiers.Classifier("net", model, (0.0, 255.0), None))
    if kind == "gradient: ours":
        return lambda: attribution.gradient(logits, images, labels)
    if kind == "integrated gradients: ours":
        return lambda: attribution.integrated_gradients(logits, images, labels, 32, 32, 0)[0]
    if kind == "gradient: forward pass alone":
        return lambda: attribution.in_batches(lambda x, _: logits(x), images, labels)
    if kind == "gradient: tf-keras-vis":
        from tf_keras_vis.saliency import Saliency
        from tf_keras_vis.utils.scores import CategoricalScore

        peer = Saliency(model, clone=False)
        return lambda: peer(CategoricalScore(classes.tolist()), faces)
    # Here a script has the name of PAIR's package.
    sys.path[:] = [path for path in sys.path if Path(path).resolve() != utils.ROOT]
    sys.modules.pop("saliency", None)
    import saliency.core as pair

    def call(inputs, call_model_args, expected_keys=None) -> dict:
        inputs = tf.convert_to_tensor(inputs, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            score = model(inputs, training=False)[:, call_model_args]
        return {pair.INPUT_OUTPUT_GRADIENTS: tape.gradient(score, inputs).numpy()}

    def blank(face: np.ndarray) -> np.ndarray:
        return np.full_like(face, face.mean())

    if kind == "gradient: PAIR saliency":
        peer, how = pair.GradientSaliency(), lambda face: {}
    else:
        peer = pair.IntegratedGradients()
        how = lambda face: {"x_steps": 32, "x_baseline": blank(face), "batch_size": 32}  # noqa: E731
    return lambda: np.stack(
        [peer.GetMask(f, call, c, **how(f))[..., 0] for f, c in zip(faces, classes, strict=True)]
    )


def time_maps(kind: str, count: int, seed: int) -> tuple[tuple[float, float], np.ndarray]:
    """Seconds for 1,000 maps, in the process that calls this, and some of the maps."""
    make = mapper(kind, *noise(count, seed))
    maps = make()
    return tuple(seconds * 1000 / count for seconds in stopwatch(make)), maps[:8]


def time_saliency(args: Args) -> pd.DataFrame:
    """Maps by each library, in turn, each time in a new process; the same maps where it is so."""
    maps = {}

    def run(kind: str, count: int) -> tuple[float, float]:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            times, maps[kind] = pool.submit(time_maps, kind, count, args.seed).result()
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


BATCH = 128
CONTENDERS = (
    "ours, augmented",
    "model.fit on ImageDataGenerator, augmented",
    "ours",
    "model.fit on arrays",
    "PyTorch",
)
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
    tables = {
        "CSV, seconds": time_csv(args),
        "training, seconds for 1,000 images": time_training(args),
        "saliency, seconds for 1,000 maps": time_saliency(args),
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
