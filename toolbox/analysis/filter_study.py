"""All that is found of the filters of one layer, and the tables of it."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from toolbox.analysis import activation_maximization as maximization
from toolbox.analysis.filter_layers import FilterLayer
from toolbox.analysis.subject import Subject

CONTROL = 16  # filters of the untrained copy that climb
EXAMPLES = 8  # filters in figures with one row per filter
BEST = 10  # faces per filter


class Study(NamedTuple):
    """What was found of one layer."""

    target: FilterLayer
    faces: maximization.FaceActivations
    shown: np.ndarray  # int (m,), filters that climbed, those that faces activate most first
    ascent: maximization.Ascent  # of `shown`
    control: maximization.Ascent  # of the first CONTROL of them in an untrained copy
    kernels: list[np.ndarray]  # of a first layer, trained and untrained, else none

    @property
    def dead(self) -> np.ndarray:
        """bool (filters,)"""
        return self.faces.dead(self.target.rectified)

    @property
    def examples(self) -> np.ndarray:
        """Positions in `shown`, evenly spaced, for the figures with one row per filter."""
        return np.linspace(0, len(self.shown) - 1, min(EXAMPLES, len(self.shown))).astype(int)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the examples."""
        return tuple(f"filter {number}" for number in self.shown[self.examples])


def study_layer(
    trained: maximization.Climber,
    untrained: maximization.Climber,
    faces: maximization.FaceActivations,
    show: int,
    settings: maximization.AscentSettings,
) -> Study:
    """Synthesize images for the `show` filters of a layer that faces activate most, dead ones last,
    and for a few of them in an untrained copy, the control.
    """
    target = trained.target
    shown = np.lexsort((-faces.values.max(axis=0), faces.dead(target.rectified)))[:show]
    climbers = (trained, shown), (untrained, shown[:CONTROL])
    ascents = [maximization.ascend(*climber, settings) for climber in climbers]
    kernels = [
        maximization.kernels(climber.classifier, climber.target, filters)
        for climber, filters in climbers
        if target.first
    ]
    return Study(target, faces, shown, *ascents, kernels)


def tabulate(study: Study, subject: Subject) -> pd.DataFrame:
    """One row per filter; what only filters that climbed have is empty for the others."""
    values, ascent = study.faces.values, study.ascent
    table = pd.DataFrame({"filter": np.arange(values.shape[1]), "dead": study.dead.astype(int)})
    table["best_face"] = values.max(axis=0)
    table.loc[study.shown, "ascent"] = ascent.values.max(axis=0)
    for step, reached in zip(ascent.steps, ascent.values, strict=True):
        table.loc[study.shown, f"step_{step}"] = reached
    table.loc[study.shown[:CONTROL], "untrained"] = study.control.values.max(axis=0)
    labels = None if subject.faces.labels is None else subject.faces.labels[subject.rows]
    for label in [] if labels is None else np.unique(labels):
        table[f"mean_{subject.faces.classes[label]}"] = values[labels == label].mean(axis=0)
    return table


def summarize(study: Study, subject: Subject, table: pd.DataFrame) -> dict:
    """The layer in a few numbers; medians are over the filters that climbed."""
    climbed = table.loc[study.shown]
    above = (climbed["dead"] == 0) & (climbed["ascent"] > climbed["best_face"])
    medians = climbed[["ascent", "best_face", "untrained"]].median()
    return {
        "model": subject.classifier.name,
        "layer": study.target.name,
        "split": subject.label,
        "faces": len(subject.rows),
        "filters": len(table),
        "dead": int(study.dead.sum()),
        "receptive_field": study.target.field_text(),
        "climbed": len(climbed),
        "ascent_above_best_face": int(above.sum()),
    } | {f"{name}_median": float(f"{value:.5g}") for name, value in medians.items()}


def find_best_faces(study: Study, subject: Subject) -> pd.DataFrame:
    """The faces that activate the example filters most, one row per filter and rank.

    Copies of one image count once. `map_y` and `map_x` are the place in the layer's map.
    """
    found = []
    for number in study.shown[study.examples]:
        values, places = study.faces.values[:, number], study.faces.places[:, number]
        order = np.argsort(-values, kind="stable")
        _, first = np.unique(subject.first_copies[subject.rows[order]], return_index=True)
        for rank, face in enumerate(order[np.sort(first)][:BEST], 1):
            place = divmod(int(places[face]), study.target.shape[1])
            found.append((number, rank, subject.rows[face], values[face], *place))
    columns = ["filter", "rank", "row", "activation", "map_y", "map_x"]
    table = pd.DataFrame(found, columns=columns)
    labels = subject.faces.labels
    table["label"] = "" if labels is None else np.array(subject.faces.classes)[labels[table["row"]]]
    return table
