"""Draw faces in FER2013's format, for everyone who has no data/fer2013.csv yet.

How they are drawn stands in drawn_faces.py. Scripts that find no FER2013 draw this file themselves.

    python sample_faces.py          -> data/sample_faces.csv and figures/sample_faces.png

Expect 4,000 faces in ten seconds, and on held-out ones about 80 % from a small CNN and 40 % from an
MLP; 8 % of the labels are wrong on purpose, so nothing honest passes 92 %. Accuracy on drawings
says that the code works. It says nothing about people.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro
from matplotlib.figure import Figure

import utils
from drawn_faces import EXPRESSIONS, SIZE, draw_sample, spell
from fer2013_csv import InputError, write_csv


@dataclass
class Args:
    count: int = 4000
    """how many faces to draw"""
    seed: int = 0
    """the same seed draws the same faces"""
    output: Path = utils.ROOT / "data" / "sample_faces.csv"
    """where the faces go: a CSV with the columns emotion,pixels,Usage,action_units"""
    figures_dir: Path = utils.ROOT / "figures"
    """where the contact sheet goes"""


def plot_contact_sheet(images, labels, columns: int = 12) -> Figure:
    """A row for each class with its first faces, named after the class and its action units."""
    tile = SIZE + 2
    sheet = np.full((len(EXPRESSIONS) * tile, columns * tile), 255, np.uint8)
    for row in range(len(EXPRESSIONS)):
        for column, image in enumerate(images[labels == row][:columns]):
            sheet[row * tile :, column * tile :][:SIZE, :SIZE] = image
    figure = Figure(figsize=(columns + 1.5, len(EXPRESSIONS) + 0.6), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    rows = zip(utils.CLASSES, EXPRESSIONS, strict=True)
    names = [f"{name}\nAU {spell(units)}" for name, units in rows]
    axes.set_yticks(np.arange(len(names)) * tile + SIZE / 2, names, fontsize=12)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title("DRAWN FACES, NOT PHOTOGRAPHS", fontsize=20, fontweight="bold")
    return figure


def main(args: Args) -> dict:
    if args.count < 1 or args.seed < 0:
        raise InputError("--count must be at least 1 and --seed at least 0")
    if args.output.exists() and b"action_units" not in args.output.open("rb").readline():
        raise InputError(f"{args.output} holds faces that were not drawn; name another --output")
    images, labels, _, units = columns = draw_sample(args.count, args.seed)
    utils.write_whole(args.output, lambda temporary: write_csv(temporary, *columns))
    # The sheet shows what each class looks like: no wrong labels, no unit missing.
    complete = np.array([spell(EXPRESSIONS[label]) for label in labels]) == units
    sheet = plot_contact_sheet(images[complete], labels[complete])
    utils.save_figure(sheet, args.figures_dir / "sample_faces.png")
    print(f"drew {args.count} faces, not photographs: {args.output}")
    return {"faces": args.count, "output": str(args.output)}


if __name__ == "__main__":
    utils.run(main, tyro.cli(Args))
