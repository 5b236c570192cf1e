"""Grids of small pictures in one figure, each with its text, all at one size."""

import textwrap
from typing import NamedTuple

import numpy as np

from toolbox.late import Axes, AxesImage, Figure, Rectangle

GREY = {"cmap": "gray", "vmin": 0, "vmax": 255}
COLUMN, ROW = 1.08, 1.25  # of a picture and the space around it, in widths of a picture
GAP, NAMES = 0.5, 0.9  # between grids, for the names of rows
HEADING = 0.55  # above the first row, with a heading
INCHES = 0.9  # width of a picture
BAR = 0.95  # width of the colour bar and its labels, inches
LETTERS = 12  # of a title, per inch


class Cell(NamedTuple):
    """A picture, the text above it, and what is boxed in it."""

    picture: np.ndarray  # (h, w)
    text: str
    box: tuple[float, float, float, float] | None = None  # top, left, height, width, pixels


class Grid(NamedTuple):
    """Rows of pictures that share one scale."""

    rows: list[list[Cell]]
    heading: str = ""
    names: tuple[str, ...] = ()  # of the rows
    look: dict = GREY  # colour map and limits, as `imshow` takes them
    scale: str = ""  # label of a colour bar; none without it


def in_rows(cells: list[Cell], columns: int) -> list[list[Cell]]:
    return [cells[i : i + columns] for i in range(0, len(cells), columns)]


def square_rows(cells: list[Cell]) -> list[list[Cell]]:
    """As many rows as columns, or one less."""
    return in_rows(cells, int(np.ceil(np.sqrt(len(cells)))))


def plot_grids(grids: list[Grid], title: str) -> Figure:
    """The grids side by side, with one colour bar, that of the last grid that has a scale.

    One axes for all, placed by hand: an axes per picture, or a layout engine, takes seconds.
    """
    lefts, right = [], 0.1 - GAP
    for grid in grids:
        lefts.append(right + GAP + (NAMES if grid.names else 0))
        right = lefts[-1] + COLUMN * max(len(row) for row in grid.rows)
    top = HEADING if any(grid.heading for grid in grids) else ROW - 1
    bottom = ROW * max(len(grid.rows) for grid in grids) - (ROW - 1) + 0.1
    width, height = INCHES * right, INCHES * (top + bottom)
    wide, letters = width + BAR, int((width + BAR) * LETTERS)
    title = "\n".join(even_lines(line, letters) for line in title.split("\n"))
    tall = height + 0.2 * (title.count("\n") + 1) + 0.1
    figure = Figure(figsize=(wide, tall))
    figure.suptitle(title, fontsize=11, y=1 - 0.08 / tall)
    axes = figure.add_axes((0, 0, width / wide, height / tall))
    images = [draw_grid(axes, grid, left) for grid, left in zip(grids, lefts, strict=True)]
    scaled = [(grid.scale, image) for grid, image in zip(grids, images, strict=True) if grid.scale]
    for scale, image in scaled[-1:]:
        bar = ((width + 0.1) / wide, 0.2 * height / tall, 0.12 / wide, 0.6 * height / tall)
        figure.colorbar(image, cax=figure.add_axes(bar), label=scale)
    axes.set(xlim=(0, right), ylim=(bottom, -top))
    axes.set_axis_off()
    return figure


def even_lines(text: str, letters: int) -> str:
    """As few lines of at most `letters` as can be, none much shorter than the others."""
    fewest = len(textwrap.wrap(text, letters))
    for width in range(max(len(text) // max(fewest, 1), 1), letters):
        if len(textwrap.wrap(text, width)) == fewest:
            return textwrap.fill(text, width)
    return textwrap.fill(text, letters)


def draw_grid(axes: Axes, grid: Grid, left: float) -> AxesImage:
    """Draw one grid from `left` on; returns its last image."""
    width = COLUMN * max(len(row) for row in grid.rows)
    axes.text(left + width / 2, -0.33, grid.heading, ha="center", fontsize=10)
    for y, row in enumerate(grid.rows):
        for x, cell in enumerate(row):
            image = draw_cell(axes, cell, left + COLUMN * x, ROW * y, grid.look)
    for y, name in enumerate(grid.names):
        axes.text(left - 0.1, ROW * y + 0.5, name, ha="right", va="center", fontsize=9)
    return image


def draw_cell(axes: Axes, cell: Cell, left: float, top: float, look: dict) -> AxesImage:
    height, width = np.array(cell.picture.shape) / max(cell.picture.shape)
    place = left, left + width, top + height, top
    image = axes.imshow(cell.picture, extent=place, interpolation="nearest", **look)
    frame = Rectangle((left, top), width, height, fill=False, linewidth=0.4, edgecolor="0.5")
    axes.add_patch(frame)  # for pictures that are white at the edge
    axes.text(left + width / 2, top - 0.03, cell.text, ha="center", va="bottom", fontsize=7)
    if cell.box is not None:
        pixel = 1 / max(cell.picture.shape)
        y, x, tall, wide = np.array(cell.box) * pixel
        box = Rectangle((left + x, top + y), wide, tall, fill=False, edgecolor="C4", linewidth=1.2)
        axes.add_patch(box).set_clip_path(frame)
    return image
