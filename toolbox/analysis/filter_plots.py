"""The figures of visualize_filters.py: what a layer's filters look for, and its maps of a face."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from toolbox.analysis import filter_study
from toolbox.analysis.filter_layers import crop, field_box
from toolbox.analysis.filter_study import Study
from toolbox.analysis.picture_grid import Cell, Grid, in_rows, plot_grids, square_rows
from toolbox.analysis.subject import Subject
from toolbox.dataset.classes import in_lines
from toolbox.late import Figure

SIGNED = {"cmap": "RdBu_r", "vmin": -1, "vmax": 1}
Title = Callable[[str], str]  # of what a figure shows, the whole title


def plot_filters(study: Study, title: Title) -> Figure:
    """What maximally activates each filter, trained and untrained; of a first layer its kernel."""
    target, columns = study.target, int(np.ceil(np.sqrt(len(study.shown))))
    what, look = "images that maximally activate", {"scale": "pixel value"}
    if target.first:
        what, look = "kernels of", {"look": SIGNED, "scale": "weight / largest of the filter"}
    headings = ["trained" if target.layer.trainable else "set, not trained", "untrained copy"]
    widths = [columns, -(-len(study.control.values[0]) // columns)]
    grids = []
    for i, ascent in enumerate((study.ascent, study.control)):
        images, reached = ascent.best()
        pictures = study.kernels[i] if target.first else images
        cells = [
            Cell(crop(picture, target, target.middle), f"{number}: {value:.1f}")
            for picture, number, value in zip(pictures, study.shown, reached, strict=False)
        ]
        grids.append(Grid(in_rows(cells, widths[i]), headings[i], **look))
    some = "" if len(study.shown) == target.filters else f"{len(study.shown)} of "
    text = f"{what} {some}its {target.filters} filters, with the activation that ascent reached"
    return plot_grids(grids, title(text))


def plot_ascent(study: Study, title: Title) -> Figure:
    """One row per filter: the image after some steps, and its activation."""
    target, ascent = study.target, study.ascent
    rows = [
        [
            Cell(crop(faces[i], target, target.middle), f"step {step}: {values[i]:z.1f}")
            for step, faces, values in zip(ascent.steps, ascent.faces, ascent.values, strict=True)
        ]
        for i in study.examples
    ]
    text = "gradient ascent from noise, one row per filter, with its activation"
    return plot_grids([Grid(rows, names=study.names, scale="pixel value")], title(text))


def plot_best_faces(study: Study, best: pd.DataFrame, subject: Subject, title: Title) -> Figure:
    """One row per filter: the synthesized image, then the faces that activate it most.

    If a filter sees only a patch of the face, the patch, and beside it the face with a box.
    """
    target, rows, (pictures, reached) = study.target, [], study.ascent.best()
    for i in study.examples:
        row = [Cell(crop(pictures[i], target, target.middle), f"ascent: {reached[i]:.1f}")]
        for found in best[best["filter"] == study.shown[i]].itertuples():
            face, place = subject.faces.images[found.row], (found.map_y, found.map_x)
            text = f"{in_lines(found.label, 12, 1)} {found.activation:.1f}"
            row.append(Cell(crop(face, target, place), text))
            if not target.sees_whole_face:
                row.append(Cell(face, f"row {found.row}", field_box(target, place)))
        rows.append(row[: filter_study.BEST + 1])
    patches = "" if target.sees_whole_face else "patches of "
    text = f"{patches}faces of {subject.label} that activate a filter most, one row per filter"
    return plot_grids([Grid(rows, names=study.names, scale="pixel value")], title(text))


def plot_feature_maps(
    face: np.ndarray, maps: np.ndarray, filters, title: str, photo: Cell | None = None
) -> Figure:
    """A face (48, 48) and, on one scale around 0, some filters' maps of it of (filters, h, w).

    photo: the picture that the face is from, where there is one.
    """
    limit = float(np.quantile(np.abs(maps[filters]), 0.995)) or 1.0
    cells = [Cell(maps[number], str(number)) for number in filters]
    look = SIGNED | {"vmin": -limit, "vmax": limit}
    scale = "activation, before the nonlinearity"
    inputs = [[Cell(face, "input")], *([[photo]] if photo else [])]
    return plot_grids([Grid(inputs), Grid(square_rows(cells), look=look, scale=scale)], title)
