"""Learn from few labels: what do unlabelled faces add? (the homework's bonus)

    python semi_supervised.py                                # 250 labels per class, every method
    python semi_supervised.py --labels-per-class 25 --seed 1
    python semi_supervised.py --quick                        # a rehearsal: small net, few updates

Keeps a few labels of each class, hides the others, and trains one network by each method with the
same number of updates: on the labelled faces alone (the baseline); after SimCLR, which needs no
labels, on the labelled faces, by self-training, clustering and FixMatch, and with all labels.

What to expect on FER2013's PublicTest (means of three seeds): with 250 labels per class 44.2 % from
the labelled faces alone, 47.1 % after SimCLR, 53.6 % by FixMatch; with 25 labels 28.3, 34.6 and
38.0 %; with all labels 61.2 %. On AMX SimCLR takes 33 minutes of two cores, once for all runs,
FixMatch 9 of one, each other method 1 to 3. --quick takes 2.5 CPU minutes. After a SimCLR ten times
as long fine-tuning gives 52.5 and 40.1 %, FixMatch 58.3 % with 250 labels: docs/devices.md.

Each run writes RUN.keras and RUN.json to models/semi_supervised/, and all but SimCLR's a copy of
RUN.json to figures/semi_supervised/, from which table and figures are made. A finished run is not
trained again; an interrupted one resumes when you repeat the command.
"""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import tyro

import train_cnn
import utils
from toolbox.dataset import splits
from toolbox.engine import keras
from toolbox.semi_supervised import figures, results, runs, steps
from toolbox.semi_supervised.clustering import clustering
from toolbox.semi_supervised.few_labels import FewLabels, Learned, hide_labels
from toolbox.semi_supervised.fixmatch import fixmatch
from toolbox.semi_supervised.loop import Loop
from toolbox.semi_supervised.runs import Run, Task
from toolbox.semi_supervised.self_training import self_training
from toolbox.semi_supervised.simclr import simclr
from toolbox.semi_supervised.student import Setting, last_dense
from toolbox.semi_supervised.supervised import supervised
from toolbox.training import fit, precision
from toolbox.training.run_records import bare_model
from toolbox.training.schedules import one_cycle
from toolbox.training.whitening import whiten

METHODS = ("self_training", "clustering", "fixmatch", "all_labels")


@dataclass
class Args:
    # data
    data: Path | None = None
    """CSV of faces; without it data/fer2013.csv, or else synthetic faces"""
    labels_per_class: int = 250
    """labels of each class that are kept"""
    validation_fraction: float = 0.0
    """fraction of the training images to evaluate on; 0 takes PublicTest instead"""

    # methods
    methods: tuple[Literal[METHODS], ...] = METHODS
    """what to compare with the labelled faces alone, which come first in any case"""
    threshold: float = 0.8
    """self-training: least probability of a pseudo-label (smoothed targets are 0.91)"""
    rounds: int = 5
    """self-training: rounds; faces get pseudo-labels after each but the last"""
    clusters: int = 100
    """clustering: clusters of k-means"""
    uratio: int = 4
    """FixMatch: unlabelled faces per labelled one in a batch"""
    wu: float = 3.0
    """FixMatch: weight of the unlabelled faces' loss"""
    temperature: float = 0.5
    """FixMatch: of its pseudo-labels; 0 makes them hard, 1 leaves the probabilities as they are"""

    # the start, the same for each method but the baseline
    simclr_updates: int = 5000
    """steps of SimCLR on all training faces before any method; 0 starts from random weights"""

    # network and optimization, the same for each method
    width: int = 32
    """channels of the residual network's first stage; even, at most 50"""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """to compute in; auto is bfloat16 where the processor is fast at it and the network wide"""
    updates: int = 1500
    """steps of the optimizer"""
    batch_size: int = 64
    """faces with labels or pseudo-labels per update; FixMatch's unlabelled ones come on top"""
    learning_rate: float = 0.05
    """peak of the one-cycle schedule"""
    weight_decay: float = 2e-3
    """times the learning rate, each step"""

    # output
    seed: int = 0
    """of the labels kept, weights, batches and augmentation; of SimCLR only with
    --validation-fraction, since its faces then depend on the seed"""
    models_dir: Path = utils.MODELS
    """models and records go to its folder semi_supervised"""
    figures_dir: Path = utils.FIGURES
    """table and figures go to its folder semi_supervised"""
    fresh: bool = False
    """train again what is finished, SimCLR's start too, and start over what is not"""
    quick: bool = False
    """other defaults: 25 labels per class, a small network and few updates"""


QUICK = Args(quick=True, labels_per_class=25, rounds=3, clusters=40, uratio=3, width=8, updates=400,
             batch_size=32, simclr_updates=20)  # fmt: skip
# Arguments that change every run besides labels, width, updates and seed; and those of one method.
SHARED = ("validation_fraction", "batch_size", "learning_rate", "weight_decay", "simclr_updates")
OWN = {
    "self_training": ("threshold", "rounds"),
    "clustering": ("clusters",),
    "fixmatch": ("uratio", "wu", "temperature"),
}
LIMITS = (
    fit.LIMITS
    | dict.fromkeys(("labels_per_class", "rounds", "clusters", "uratio"), (1, 10**5))
    | {"batch_size": (2, 10**5), "updates": (1, 10**7), "simclr_updates": (0, 10**7)}
    | {"threshold": (0, 1), "wu": (0, 1000), "temperature": (0, 10)}
)


def build_network(args: Args, task: Task) -> keras.Model:
    """The residual network of train_cnn.py; whitening its first layer needs no labels."""
    model = train_cnn.build_residual_cnn(args.width, len(task.faces.classes))
    whiten(model, task.faces.images[task.known])
    return model


def build_student(
    args: Args, task: Task, start: keras.Model | None
) -> tuple[keras.Model, keras.optimizers.Optimizer]:
    """The network, with the weights of `start` up to its classifier, and its optimizer."""
    model = build_network(args, task)
    classifier = last_dense(model)
    for ours, its in zip(model.layers, start.layers, strict=True) if start else ():
        if ours is not classifier:
            ours.set_weights(its.get_weights())
    return model, one_cycle(args.updates, args.learning_rate, args.weight_decay)


def pretrain(args: Args, task: Task, loop: Loop, seed: int) -> keras.Model:
    """The network, trained on all faces but those held out; its classifier stays random."""
    model = build_network(args, task)
    encoder = keras.Model(model.inputs[0], last_dense(model).input)
    simclr(task.faces.images[task.known], encoder, loop, seed)
    return bare_model(model)


def learn(
    method: str, data: FewLabels, setting: Setting, first: keras.Model | None, args: Args
) -> Learned:
    """Train by one method. first: a model that learned from the labelled faces."""
    if method == "self_training":
        return self_training(data, setting, args.threshold, args.rounds)
    if method == "clustering":
        return clustering(data, setting, first, args.clusters)
    if method == "fixmatch":
        return fixmatch(data, setting, first, args.uratio, args.wu, args.temperature)
    return supervised(data, setting)


def make_run(method: str, args: Args, task: Task, start: keras.Model | None = None) -> Run:
    """What decides the run of one method, and where it writes."""
    shared, own = SHARED, OWN.get(method, ())
    updates, seed = args.updates, args.seed
    if method == "simclr":  # one for all seeds, unless they hold out different faces
        shared, updates = ("validation_fraction",), args.simclr_updates
        seed = args.seed if args.validation_fraction else 0
    labels = () if method in ("all_labels", "simclr") else ("labels_per_class",)
    decides = {name: getattr(args, name) for name in (*labels, "width", *shared, *own)}
    decides |= {"method": method, "updates": updates, "seed": seed}
    decides["precision"] = precision.choose(args.precision, args.width)
    if start:
        decides["start"] = runs.sha256_of_weights(start)
    changed = utils.changed(args, *shared), utils.changed(args, *own)
    return Run(task.faces, decides, *changed, args.models_dir, args.figures_dir)


def train(
    run: Run, args: Args, task: Task, start: tuple | None = None, first: keras.Model | None = None
) -> tuple[keras.Model, dict]:
    """Train, evaluate and save, or load what a finished run saved; returns model and record.

    start: model and record of SimCLR's run. first: a model that learned from the labelled faces.
    """
    finished = None if args.fresh else runs.load_finished(run)
    print(f"{run.name}{' is finished' if finished else ':'}")
    if finished:
        return finished
    method, seed = run.decides["method"], run.decides["seed"]
    fit.make_repeatable(seed, run.decides["precision"])
    loop = Loop(run.state, run.configuration, run.decides["updates"], args.fresh)
    record = utils.provenance(replace(args, seed=seed), task.faces)
    record["versions"] |= fit.engine_version()
    if method == "simclr":
        model = pretrain(args, task, loop, seed)
        record |= runs.describe_training(run, model, task, loop.history)
    else:
        build = functools.partial(build_student, args, task, start and start[0])
        setting = Setting(build, loop, args.batch_size, seed)
        learned = learn(method, task.few_labels(), setting, first, args)
        model = learned.model
        record |= runs.describe(run, learned, task, loop.history)
    if start:
        record["start"] = runs.brief(start[1])
    keras.config.set_dtype_policy("float32")  # of whatever this process builds next
    runs.save_run(run, model, record)
    return model, record


def main(args: Args) -> dict[str, dict]:
    """Train by each of `args.methods`; returns the records, by method."""
    utils.check_limits(args, LIMITS)
    steps.check_backend()
    faces = utils.load_faces(args.data)
    rows, held_out = splits.split(faces, args.validation_fraction, args.seed)
    task = Task(faces, *hide_labels(faces, rows, args.labels_per_class, args.seed), held_out)
    counts = f"{len(task.labelled):,} labelled and {len(task.hidden):,} unlabelled faces"
    print(f"{counts} of {faces.path.name}; evaluated on {len(held_out):,} others")
    baseline = make_run("baseline", args, task)
    results.read_records(baseline)  # a damaged one shows now
    methods, start, first, records = ["baseline"], None, None, {}
    if args.simclr_updates:
        methods.append("fine_tuning")
        start = train(make_run("simclr", args, task), args, task.no_labels())
    for method in (*methods, *(name for name in METHODS if name in args.methods)):
        its = task.all_labels() if method == "all_labels" else task
        source = None if method == "baseline" else start
        run = make_run(method, args, its, source and source[0])
        model, records[method] = train(run, args, its, source, first)
        first = model if method in methods else first
        results.add_to_table(run, records[method])
    figures.save(baseline)
    print(results.format_results(records))
    if faces.synthetic or args.quick:
        print("A rehearsal, too short or too artificial to say which method gains more.")
    return records


def parse(arguments: list[str]) -> Args:
    """`[flags]`; with `--quick` the flags change the quick settings instead."""
    default = QUICK if "--quick" in arguments else Args()
    return tyro.cli(Args, args=arguments, default=default, description=__doc__)


if __name__ == "__main__":
    utils.run(main, lambda: parse(sys.argv[1:]))
