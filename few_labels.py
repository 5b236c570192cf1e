"""One method of learning from few labels, from the labels it keeps to the record it leaves.

Which method, and all numbers, are the arguments of semi_supervised.py; what the methods do stands
in pseudo_labels.py.
"""

import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import utils
import classifier
import pseudo_labels
import saved_state
import scores
import splits
import training
from utils import CLASSES, Faces, InputError
from pseudo_labels import NONE, FewLabels, Learnt

with utils.quiet_stderr():
    import keras

# Arguments that tell nothing of what is trained, and those that one method alone asks for.
ELSEWHERE = ("data", "methods", "models_dir", "figures_dir", "fresh", "quick")
ONLY_FOR = {
    "self_training": ("threshold", "rounds"),
    "clustering": ("clusters",),
    "fixmatch": (
        *("unlabelled_batch", "unlabelled_weight", "temperature"),
        *("strong_shift", "strong_rotation", "strong_zoom", "strong_contrast", "strong_erase"),
    ),
}


def hide_labels(
    faces: Faces, rows: np.ndarray, labels_per_class: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows that keep their label, as many of each class, no picture twice; and all others, sorted.

    Raises InputError if a class has too few pictures, or if no label is hidden.
    """
    pictures = rows[np.unique(splits.first_copy(faces.images[rows]))]
    random = np.random.default_rng([seed, 3])
    kept = []
    for label, name in enumerate(CLASSES):
        members = pictures[faces.labels[pictures] == label]
        if len(members) < labels_per_class:
            raise InputError(
                f"--labels-per-class is {labels_per_class}, but {faces.path} has {len(members)} "
                f"pictures of {name} to train on; give that many or fewer"
            )
        kept.append(random.choice(members, labels_per_class, replace=False))
    labelled = np.sort(np.concatenate(kept))
    hidden = np.setdiff1d(rows, labelled)
    if not len(hidden):
        raise InputError(
            f"--labels-per-class {labels_per_class} keeps all labels of {faces.path}; give fewer"
        )
    return labelled, hidden


def looped(path: Path, configuration: dict, args, history: list[dict]) -> pseudo_labels.Loop:
    """A loop over all updates that goes on from `path`, and notes loss and time in `history`."""

    def loop(step: Callable, variables: list) -> None:
        def save() -> None:
            saved_state.save(path, configuration, history, saved_state.values(variables))

        if path.exists() and not args.fresh:
            history[:], arrays = saved_state.load(path, configuration)
            saved_state.restore(path, variables, arrays)
        else:
            save()  # a full disk or a folder without permission shows now, not after minutes
        if history:
            print(f"  going on after update {history[-1]['update']} of {args.updates} ({path})")
        done = history[-1]["update"] if history else 0
        before = history[-1]["seconds"] if history else 0.0
        every = max(args.updates // 20, 1)
        started = time.perf_counter()
        try:
            for update in range(done, args.updates):
                loss = step(update)
                if (update + 1) % every and update + 1 != args.updates:
                    continue
                if not np.isfinite(loss):
                    raise InputError(
                        f"the loss is {loss} after {update + 1} updates; lower the learning rate"
                    )
                seconds = round(before + time.perf_counter() - started, 2)
                history.append({"update": update + 1, "loss": float(loss), "seconds": seconds})
                save()
                print(f"  {update + 1} of {args.updates}: loss {loss:.3f}, {seconds:.0f} s")
        except KeyboardInterrupt:
            print("\nThe same command, without --fresh, goes on.", file=sys.stderr)
            raise

    return loop


def quality(learnt: Learnt, hidden_labels: np.ndarray) -> dict[str, list]:
    """Coverage and precision of the pseudo-labels (k, m), held against the hidden labels (m,).

    Coverage is the share of unlabelled faces with a pseudo-label; precision the share of those that
    are right, None where there are none.
    """
    given = learnt.pseudo_labels != NONE
    right = learnt.pseudo_labels == hidden_labels
    return {
        "updates": learnt.updates.tolist(),
        "coverage": [round(float(row.mean()), 4) for row in given],
        "precision": [
            round(float(hits[row].mean()), 4) if row.any() else None
            for hits, row in zip(right, given, strict=True)
        ],
    }


def run_name(args, method: str) -> str:
    labels = "" if method == "all_labels" else f"_{args.labels_per_class}"
    return f"{args.name}_{method}{labels}_{args.updates}_seed{args.seed}"


def configuration_of(args, method: str, faces: Faces) -> dict:
    """What decides the weights of a run, as its record holds it."""
    others = [name for key, names in ONLY_FOR.items() if key != method for name in names]
    others += ["labels_per_class"] if method == "all_labels" else []
    fields = {k: v for k, v in vars(args).items() if k not in (*ELSEWHERE, *others)}
    return {"method": method, **fields, "data": faces.sha256}


def finished(path: Path, configuration: dict) -> tuple[keras.Model, dict] | None:
    """Model and record of an earlier run of this configuration, if both are whole."""
    if not path.is_file():
        return None
    record, _ = classifier.read_record(path)
    if record is None or record.get("configuration") != configuration:
        return None
    return classifier.load_classifier(path).model, record


def learn(
    method: str, args, faces: Faces, rows: dict[str, np.ndarray], baseline: keras.Model | None
) -> tuple[keras.Model, dict]:
    """Train by one method, judge, and leave NAME.keras and NAME.json; or find that done before."""
    folder = utils.folder(args.models_dir, faces)
    name = run_name(args, method)
    path, configuration = folder / f"{name}.keras", configuration_of(args, method, faces)
    done = None if args.fresh else finished(path, configuration)
    if done is not None:
        print(f"{name}: is there already")
        return done
    print(f"{name}:")
    state = folder / f"{name}.state.npz"
    saved_state.remove_leftovers(state)
    keep, hidden = rows["labelled"], rows["unlabelled"]
    seen = np.union1d(keep, hidden)
    if method == "all_labels":
        keep, hidden = seen, hidden[:0]
    data = FewLabels(faces.images[keep], faces.labels[keep], faces.images[hidden])
    history: list[dict] = []
    training.make_repeatable(args.seed, args.precision)
    train = {
        "self_training": pseudo_labels.self_training,
        "clustering": functools.partial(pseudo_labels.clustering, baseline=baseline),
        "fixmatch": functools.partial(pseudo_labels.fixmatch, baseline=baseline),
    }.get(method, pseudo_labels.supervised)
    learnt = train(data, args, looped(state, configuration, args, history))
    judged = rows["held_out"]
    labels = faces.labels[judged]
    answers = classifier.predict(
        classifier.Classifier(name, learnt.model, (0.0, 255.0), None), faces.images[judged]
    )
    answers = answers.argmax(axis=1)
    record = utils.provenance(args, faces) | {
        "configuration": configuration,
        "parameters": learnt.model.count_params(),
        "labelled": len(keep),
        "unlabelled": len(hidden),
        "minutes": round(history[-1]["seconds"] / 60, 2),
        "history": history,
        "metrics": scores.measure(labels, answers)
        | {"f1": scores.f1_by_class(labels, answers).round(4).tolist()},
        "pseudo_labels": quality(learnt, faces.labels[hidden]),
        "split": {
            "method": "few labels of Training; judged on pictures that are not among it",
            "labels_sha256": splits.sha256_of_rows(faces, keep),
            "training_rows": len(seen),
            "training_sha256": splits.sha256_of_rows(faces, seen),
            "validation_sha256": splits.sha256_of_rows(faces, judged),
            "validation_rows": judged.tolist(),
        },
    }
    utils.write_whole(path, learnt.model.save)
    record["model_sha256"] = utils.sha256_of_file(path)
    utils.write_json(path.with_suffix(".json"), record)
    state.unlink(missing_ok=True)
    return learnt.model, record
