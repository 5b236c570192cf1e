"""Ours beside its peers, in one run on one machine, so that the ratios mean something.

    pip install -r benchmarks/requirements.txt
    python benchmarks/benchmark.py    # half an hour on 2 cores

Measures whole processes, the loading of a CSV, training steps, saliency maps and the ascent for
filters, prints a table of each and the ratios to quote, and writes benchmarks/benchmark.json.
README.md beside this file says what is measured and how to read it.
"""

import functools
import shlex
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import tyro

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))  # last, so that `import saliency` finds PAIR's package, not our script

import train_cnn  # noqa: E402
import utils  # noqa: E402
from benchmarks import explainers, trainers  # noqa: E402
from benchmarks.timing import Times, apart, measure, stopwatch, time_process  # noqa: E402
from benchmarks.trainers import FAST, HOMEWORK  # noqa: E402
from toolbox.dataset import cache, fer2013_csv  # noqa: E402

OPERATIONS = 0.39e12  # to train on 1,000 images: 65 M multiply-adds of the homework CNN, six-fold
PRODUCT = "matrix product"
PANDAS, AGAIN = "CSV: pandas.read_csv alone", "CSV, again (from the cache): ours"
IMPORT, HELP = "start-up: import keras", "start-up: saliency.py --help"
BARE, MATRIX = "predict: bare script, no CSV", "predict: confusion_matrix.py"
BARE_SCRIPT = """
import sys, keras, numpy as np
model, images = keras.saving.load_model(sys.argv[1], compile=False), np.load(sys.argv[2])
print(model.predict(images, batch_size=256, verbose=0).argmax(axis=1))
"""
TITLES = {
    "processes": "whole processes, seconds",
    "csv": "CSV, seconds",
    "training": "training, seconds per 1,000 images",
    "product": "matrix products, seconds per 1e12 operations",
    "saliency": "saliency, seconds per 1,000 maps",
    "filters": "filters, seconds per step of ascent for 64 filters",
}
RATIOS = (  # table, ours, peer
    ("training", f"{HOMEWORK}, augmented: ours", f"{HOMEWORK}: PyTorch"),
    (
        "training",
        f"{HOMEWORK}, augmented: ours",
        f"{HOMEWORK}, augmented: fit on ImageDataGenerator",
    ),
    ("training", f"{HOMEWORK}: ours", f"{HOMEWORK}: fit on arrays"),
    ("training", f"{FAST}, augmented: ours", f"{FAST}, augmented: ours, with Keras's batch norm"),
    ("processes", HELP, IMPORT),
    ("processes", MATRIX, BARE),
    ("csv", AGAIN, PANDAS),
    ("saliency", explainers.OUR_GRADIENT, explainers.FORWARD),
    ("saliency", explainers.OUR_GRADIENT, explainers.KERAS_VIS),
    ("saliency", explainers.OUR_GRADIENT, explainers.PAIR),
    ("filters", explainers.CLIMB, explainers.VIS_CLIMB),
    ("filters", explainers.CLIMB, explainers.EAGER),
)


@dataclass
class Args:
    rounds: int = 3
    """each contender is measured once per round, in turn; medians are reported"""
    steps: int = 12
    """batches in the shortest of a measurement's four passes of training; steps of an ascent"""
    rows: int = 35_887
    """rows of the CSV; FER2013 has 35,887"""
    faces: float = 1.0
    """of the saliency maps, as a fraction of the usual number"""
    seed: int = 0
    """of the faces, which are noise"""
    output: Path = ROOT / "benchmarks" / "benchmark.json"
    """file to write"""


def time_processes(args: Args) -> pd.DataFrame:
    """Whole commands. The bare script has the faces that are evaluated, a tenth, as arrays; ours
    finds them in the CSV's cache.
    """
    images, labels = trainers.noise(args.rows, args.seed)
    usage = (np.arange(args.rows) % 10 == 0).astype(int)
    model = ROOT / "models" / "published" / "compact.keras"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fer2013_csv.write_csv(folder / "faces.csv", images, labels, usage)
        np.save(folder / "faces.npy", images[usage == 1, ..., np.newaxis].astype("f4"))
        cache.load(folder / "faces.csv")
        flags = ["--data", str(folder / "faces.csv"), "--figures-dir", name]
        lines = {
            IMPORT: ["-c", "import keras"],
            HELP: ["saliency.py", "--help"],
            BARE: ["-c", BARE_SCRIPT, str(model), str(folder / "faces.npy")],
            MATRIX: ["confusion_matrix.py", "--split", "PublicTest", *flags],
        }
        works = {n: functools.partial(time_process, *line) for n, line in lines.items()}
        return measure(works, args.rounds)


def time_csv(args: Args) -> pd.DataFrame:
    """Loading, parse and cache, of a CSV that is written for the purpose."""
    images, labels = trainers.noise(args.rows, args.seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "faces.csv"
        fer2013_csv.write_csv(path, images, labels, np.zeros_like(labels))

        def cold() -> None:
            cache.cache_path(path).unlink(missing_ok=True)
            cache.load(path)

        works = {
            PANDAS: lambda: pd.read_csv(path),
            "CSV, first time (parse, write the cache): ours": cold,
            AGAIN: lambda: cache.load(path),
        }
        return measure(
            {n: functools.partial(stopwatch, work) for n, work in works.items()}, args.rounds
        )


def time_passes(kind: str, steps: int, seed: int) -> Times:
    """Seconds per 1,000 images over four passes of training, after one to trace and warm up.

    At the end of a pass `fit` may wait for TensorFlow's autotuner, which wakes up after 10, 30, 70
    ... ms, each interval twice the one before. So the passes have lengths evenly spread over an
    octave, from `steps` batches on: together they wait as long as passes of any length do in the
    mean, on a machine of whatever speed.
    """
    counts = [round(steps * 2 ** (part / 4)) * trainers.BATCH for part in range(4)]
    train = trainers.TRAINERS[kind](*trainers.noise(max(*counts, 2 * trainers.BATCH), seed))
    train(2 * trainers.BATCH)
    times = [stopwatch(functools.partial(train, count)) for count in counts]
    return tuple(sum(seconds) * 1000 / sum(counts) for seconds in zip(*times, strict=True))


def time_training(args: Args) -> pd.DataFrame:
    """Training by each contender, in turn, each time in a new process."""
    works = {
        kind: functools.partial(apart, time_passes, kind, args.steps, args.seed)
        for kind in trainers.TRAINERS
    }
    return measure(works, args.rounds)


def time_product(size: int, times: int = 8) -> Times:
    """Seconds per 1e12 operations of matrix products."""
    multiply = trainers.multiplier(size)
    multiply()
    seconds = stopwatch(lambda: [multiply() for _ in range(times)])
    return tuple(its * 1e12 / (times * 2 * size**3) for its in seconds)


def time_saliency(args: Args) -> pd.DataFrame:
    """Maps by each library, in turn, each time in a new process; all must give the same gradients.

    tf-keras-vis gives sizes, scaled to 0..1 up to a small constant of its own.
    """
    maps = {}

    def run(kind: str, count: int) -> Times:
        times, maps[kind] = apart(
            explainers.time_maps, kind, max(round(args.faces * count), 8), args.seed
        )
        return times

    counts = {kind: count for kind, (_, count) in explainers.MAPPERS.items()}
    table = measure(
        {kind: functools.partial(run, kind, count) for kind, count in counts.items()}, args.rounds
    )
    ours, pair = maps[explainers.OUR_GRADIENT], maps[explainers.PAIR]
    np.testing.assert_allclose(pair, ours, rtol=1e-3, atol=1e-3 * np.abs(ours).max())
    sizes = np.abs(ours) - np.abs(ours).min(axis=(1, 2), keepdims=True)
    sizes, vis = (
        m / m.max(axis=(1, 2), keepdims=True) for m in (sizes, maps[explainers.KERAS_VIS])
    )
    np.testing.assert_allclose(vis, sizes, atol=1e-3)
    return table


def summarize(results: dict[str, dict[str, dict]]) -> dict:
    """Two numbers that need more than one table. results: those of a record."""
    training = results["training"]
    peak = results["product"][PRODUCT]["cpu"] * OPERATIONS / 1e12
    epochs = train_cnn.RECIPES["fast"].epochs
    step = training[f"{FAST}, augmented: ours"]["wall"]
    whole = training[f"{HOMEWORK}, augmented: ours"]["wall"]
    return {
        "fraction_of_matrix_product": {
            name: round(peak / training[f"{HOMEWORK}: {name}"]["cpu"], 3)
            for name in ("ours", "PyTorch")
        },
        "homework_epochs_of_fast": round(step / whole * epochs, 2),
    }


def to_quote(record: dict) -> str:
    """The ratios of ours to each peer as a Markdown table; below 1, ours is faster."""
    lines = ["| ours | peer | time | CPU seconds |", "|---|---|---|---|"]
    for part, ours, peer in RATIOS:
        one, other = record["results"][part][ours], record["results"][part][peer]
        ratios = (f"{one[unit] / other[unit]:.2f}" for unit in ("wall", "cpu"))
        lines.append(f"| {ours} | {peer} | {' | '.join(ratios)} |")
    return "\n".join(lines)


def main(args: Args) -> dict:
    """Measure, print the tables and what to quote, and write the record."""
    product = {PRODUCT: functools.partial(apart, time_product, 2048)}
    climbs = {
        kind: functools.partial(apart, explainers.time_climb, kind, args.steps)
        for kind in explainers.CLIMBERS
    }
    parts = {
        "processes": lambda: time_processes(args),
        "csv": lambda: time_csv(args),
        "training": lambda: time_training(args),
        "product": lambda: measure(product, args.rounds),
        "saliency": lambda: time_saliency(args),
        "filters": lambda: measure(climbs, args.rounds),
    }
    results = {}
    for name, work in parts.items():
        print(f"\n{TITLES[name]}; ratios to the first row ...", flush=True)
        table = work()
        print(table.round(3).to_string())
        results[name] = table.round(6).to_dict("index")
    command = shlex.join(["python", "benchmarks/benchmark.py", *sys.argv[1:]])
    record = utils.provenance(args) | {"command": command, "torch": version("torch")}
    record |= {"results": results} | summarize(results)
    utils.write_json(args.output, record)
    print(f"\n{to_quote(record)}\n\nwrote {args.output}, on {record['machine']}")
    return record


if __name__ == "__main__":
    utils.run(main, lambda: tyro.cli(Args, description=__doc__))
