"""A matrix as coloured cells with text in them: true classes are rows, predicted ones columns."""

import numpy as np

from toolbox.dataset.classes import LETTERS, in_lines, label_columns
from toolbox.late import AxesImage, Figure

DARK = 0.55  # of the highest value: text is white from here on


def plot_cells(
    values: np.ndarray, texts: list[str], rows: list[str], columns, limit: float, title: str
) -> tuple[Figure, AxesImage]:
    """The figure, and its image for a colour bar; values (k, k), `texts` row by row.

    rows, columns: what to call the classes.
    Colours are white at 0 and darkest at `limit`: blue, or red for negative values.
    """
    scale = max(len(columns) / 7, 1)
    figure = Figure(figsize=(7.5 * scale, 6.5 * scale), layout="constrained")
    axes = figure.add_subplot(title=title)
    signed = values.min() < 0
    colours = {"cmap": "RdBu", "vmin": -limit} if signed else {"cmap": "Blues", "vmin": 0}
    image = axes.imshow(values, vmax=limit, **colours)
    for (i, j), text in zip(np.ndindex(values.shape), texts, strict=True):
        dark = abs(values[i, j]) > DARK * limit
        axes.text(j, i, text, ha="center", va="center", color="white" if dark else "black")
    label_columns(axes, columns)
    axes.set_yticks(np.arange(len(rows)), [in_lines(name, LETTERS) for name in rows])
    axes.set(xlabel="predicted", ylabel="true")
    return figure, image
