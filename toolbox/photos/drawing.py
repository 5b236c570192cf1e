"""Draw what a model says of faces: on the picture, as a sheet of its inputs, over time."""

import functools
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from toolbox.analysis.picture_grid import Cell, Grid, in_rows, plot_grids
from toolbox.dataset.classes import in_lines
from toolbox.late import PALETTE, Figure, Late
from toolbox.photos.readings import Reading

matplotlib = Late("matplotlib")

SURE, DOUBTFUL = PALETTE[5], PALETTE[4]  # of boxes; what is doubtful has a question mark too
ON_SHEET, COLUMNS, SHOWN = 96, 12, 4  # crops of a contact sheet, its columns; faces of a timeline
ON_LINE = 80  # letters of a legend


@functools.cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Matplotlib's own, which has the letters of most languages."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", size)


def label(reading: Reading, names: tuple[str, ...]) -> str:
    """Expression and its probability, with a question mark if it is doubtful."""
    best = int(reading.probabilities.argmax())
    sure = "" if not reading.doubts() else " ?"
    return f"{in_lines(names[best], 20, 1)} {100 * reading.probabilities[best]:.0f} %{sure}"


def annotate(photo: Image.Image, readings: list[Reading], names: tuple[str, ...]) -> Image.Image:
    """A copy of the picture in RGB: the square that the model saw of each face, with its label."""
    photo = photo.convert("RGB") if photo.mode != "RGB" else photo.copy()
    draw, longest = ImageDraw.Draw(photo), max(photo.size)
    for reading in readings:
        x, y, side = reading.found.square()
        turn = np.radians(reading.found.turn)
        corners = side / 2 * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
        corners = corners @ [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]] + (x, y)
        colour = DOUBTFUL if reading.doubts() else SURE
        width = max(round(longest / 400), 2)
        draw.line([*map(tuple, corners), tuple(corners[0])], colour, width, joint="curve")
        text = f"{reading.face}  {label(reading, names)}"
        letters = font(int(np.clip(side / 8, max(11, longest / 80), max(11, longest / 30))))
        _, _, right, bottom = draw.textbbox((0, 0), text, letters)
        place = np.clip(corners[:, 0].min(), 0, max(photo.width - right - 4, 0))
        above = corners[:, 1].min() - bottom - 4
        above = above if above >= 0 else min(corners[:, 1].max() + 2, photo.height - bottom - 4)
        draw.rectangle((place, above, place + right + 4, above + bottom + 3), fill=colour)
        draw.text((place + 2, above + 1), text, "black", letters)
    return photo


def plot_sheet(faces: list[tuple[int, Reading]], names: tuple[str, ...], title: str) -> Figure:
    """The crops as the model sees them, at most ON_SHEET evenly picked, each with its label.

    faces: row of faces.csv, and what was read.
    """
    picked = np.unique(np.linspace(0, len(faces) - 1, min(len(faces), ON_SHEET)).astype(int))
    cells = [
        Cell(reading.crop, f"{row}: {label(reading, names)}")
        for row, reading in (faces[i] for i in picked)
    ]
    some = f"{len(cells)} of " if len(cells) < len(faces) else ""
    title += f"\n{some}{len(faces):,} faces, by their rows of faces.csv"
    return plot_grids([Grid(in_rows(cells, COLUMNS))], title)


def plot_timeline(table: pd.DataFrame, names: tuple[str, ...], title: str) -> Figure:
    """Probabilities over seconds, one panel for each of the faces that are longest in the picture.

    table: rows of faces.csv of one video.
    """
    faces = table["face"].value_counts().index[:SHOWN].sort_values()
    figure = Figure(figsize=(10, 1.2 + 2 * max(len(faces), 1)), layout="constrained")
    more = table["face"].nunique() - len(faces)
    figure.suptitle(title + (f"\n{more} faces that appear less are not shown" if more else ""))
    panels = figure.subplots(max(len(faces), 1), sharex=True, squeeze=False)[:, 0]
    step = table["seconds"].drop_duplicates().diff().median()
    for axes, face in zip(panels, faces, strict=False):
        rows = table[table["face"] == face]
        gaps = np.flatnonzero(rows["seconds"].diff() > 2.5 * step)
        seconds = np.insert(rows["seconds"].to_numpy(float), gaps, np.nan)
        for i, name in enumerate(names):
            values = np.insert(rows[name].to_numpy(float), gaps, np.nan)
            look = {"color": f"C{i}", "ls": "-" if i < len(PALETTE) else "--", "lw": 1.3}
            axes.plot(seconds, values, label=in_lines(name, 20, 1), **look)
        axes.set(ylabel=f"face {face:.0f}\nprobability", ylim=(0, 1.02))
        axes.grid(alpha=0.3)
    panels[-1].set(xlabel="seconds")
    panels[-1].margins(x=0)
    if len(faces):
        columns = len(names) if sum(map(len, names)) < ON_LINE else 4
        panels[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=columns, frameon=False)
    return figure
