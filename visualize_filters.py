"""What a saved model's filters look for (the report's P5).

    python visualize_filters.py                           # every convolution in turn
    python visualize_filters.py --layer conv_3a --plain   # one, by the homework's bare method
    python visualize_filters.py --list                    # the layers there are
    python visualize_filters.py --layer conv_1b --image me.jpg

For each filter the picture that it answers most, climbed to from noise, beside the real faces that
it answers most; the method is in activation_maximization.py. Of each layer NAME_LAYER_filters.png
shows the grid, and that of an untrained copy as the control; _ascent.png how pictures came about;
_responses.png what the same filters give for one face; _best_faces.png the nine faces, or parts of
faces, that excite each most. filters.csv has a row a filter, NAME_filters.json the counts; with
--plain "plain" is in all of these names.
"""

import contextlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import tyro
from matplotlib.figure import Figure

import utils
import activation_maximization as maximization
import artefacts
import classifier as classifiers
from utils import CLASSES, Faces, InputError
from filter_layers import FilterLayer, crop, filter_layers

Cell = tuple[np.ndarray, str]  # a picture and the text over it


@dataclass
class Args:
    # data
    data: Path | None = None
    """CSV of faces; without it data/fer2013.csv, or else drawn sample faces"""
    split: Literal["validation", "PublicTest", "PrivateTest", "Test", "all"] = "validation"
    """rows among which the faces that excite a filter most are found"""
    row: int | None = None
    """row of the CSV (0 is the first) whose responses are shown; without it the split's first"""
    image: Path | None = None
    """a picture to show the responses to instead; its middle is cut out and made 48x48"""

    # model
    model: Path | None = None
    """saved Keras model; without it compact.keras, or fast.keras for drawn faces"""
    input_range: tuple[float, float] = (0.0, 255.0)
    """what black and white become before the model sees them, as 0 1 or -1 1"""
    layer: str = ""
    """convolution to look at; without it each in turn"""
    filters: tuple[int, ...] = ()
    """filters of it, for the figures alone; without them all, and their numbers in the table"""
    list: bool = False
    """only list the convolutions, their sizes and receptive fields"""

    # ascent
    steps: int = 128
    """of gradient ascent"""
    rate: float = 0.05
    """of a step: Adam's learning rate, or with --plain the change as a share of 0..255"""
    shift: float = 0.04
    """largest random shift in each step, as a share of the receptive field"""
    rotation: float = 6.0
    """largest random turn in each step, degrees"""
    zoom: float = 0.06
    """largest random change of size in each step, as a share"""
    plain: bool = False
    """the homework's bare method: free pixels, no random moves"""

    # output
    show: int = 64
    """filters in a grid, those of the highest values"""
    few: int = 8
    """filters in the figures of the ascent and of the best faces, evenly chosen of the grid"""
    seed: int = 0
    """of noise, random moves and the untrained copy"""
    models_dir: Path = utils.ROOT / "models"
    """folder of compact.keras and fast.keras"""
    figures_dir: Path = utils.ROOT / "figures"
    """folder of the figures and their numbers"""


def choose_layers(args: Args, found: list[FilterLayer]) -> list[FilterLayer]:
    """The layers that --layer names, every one without it. Raises InputError if there is none."""
    chosen = [target for target in found if args.layer in ("", target.name)]
    if not chosen:
        names = ", ".join(target.name for target in found)
        raise InputError(f"there is no convolution {args.layer}; there are {names}")
    if args.filters and not args.layer:
        raise InputError("--filters are of one layer; name it with --layer")
    for number in args.filters:
        if not 0 <= number < chosen[0].filters:
            raise InputError(f"{args.layer} has filters 0 to {chosen[0].filters - 1}, not {number}")
    return chosen


def choose_face(args: Args, faces: Faces, rows: np.ndarray) -> tuple[np.ndarray, str]:
    """The face (48, 48) whose responses are shown, and what to call it."""
    if args.image:
        return classifiers.read_picture(args.image)[0], args.image.name
    row = int(rows[0]) if args.row is None else args.row
    if not 0 <= row < len(faces.images):
        raise InputError(f"{faces.path} has rows 0 to {len(faces.images) - 1}, not {row}")
    name = "" if faces.labels is None else f", {CLASSES[faces.labels[row]]}"
    return faces.images[row], f"row {row}{name}"


def show(axes, image: np.ndarray, text: str) -> None:
    axes.set_axis_on()  # a thin frame, for pictures that are white at the edge
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_linewidth(0.3)
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set_title(text, fontsize=7, pad=2)


def upright_grid(figure, count: int) -> np.ndarray:
    """Axes without frames in a nearly square grid, (rows, columns)."""
    columns = int(np.ceil(np.sqrt(count)))
    grid = figure.subplots(int(np.ceil(count / columns)), columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    return grid


def plot_grids(grids: dict[str, list[Cell]], title: str) -> Figure:
    """Named grids of pictures side by side, each picture with its text."""
    side = 0.85 * np.ceil(np.sqrt(max(len(cells) for cells in grids.values())))
    figure = Figure(
        figsize=(max(side, 3) * len(grids) + 0.5, 1.15 * side + 1), layout="constrained"
    )
    figure.suptitle(title)
    parts = figure.subfigures(1, len(grids), squeeze=False)[0]
    for part, (name, cells) in zip(parts, grids.items(), strict=True):
        part.suptitle(name, fontsize=10)
        for axes, cell in zip(upright_grid(part, len(cells)).flat, cells, strict=False):
            show(axes, *cell)
    return figure


def plot_rows(rows: dict[str, list[Cell]], title: str) -> Figure:
    """A named row of pictures for each filter, each picture with its text."""
    columns = max(len(cells) for cells in rows.values())
    figure = Figure(figsize=(columns + 1.2, 1.2 * len(rows) + 0.8), layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for line, (name, cells) in zip(grid, rows.items(), strict=True):
        line[0].text(-0.1, 0.5, name, transform=line[0].transAxes, ha="right", va="center")
        for axes, cell in zip(line, cells, strict=False):
            show(axes, *cell)
    return figure


def plot_responses(face: np.ndarray, maps: dict[int, np.ndarray], title: str) -> Figure:
    """What each filter gives at each place of a face, all on one scale around 0."""
    side = 0.85 * np.ceil(np.sqrt(len(maps)))
    figure = Figure(figsize=(max(side, 2) + 3, max(1.1 * side, 2) + 0.7), layout="constrained")
    figure.suptitle(title)
    left, right = figure.subfigures(1, 2, width_ratios=[1.6, max(side, 2) + 1])
    [[axes]] = upright_grid(left, 1)
    show(axes, face, "the face")
    limit = float(np.quantile(np.abs(list(maps.values())), 0.995)) or 1.0
    grid = upright_grid(right, len(maps))
    for axes, (number, heat) in zip(grid.flat, maps.items(), strict=False):
        drawn = axes.imshow(heat, cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes.set_title(str(number), fontsize=7, pad=2)
    right.colorbar(drawn, ax=grid, shrink=0.6, label="value before the nonlinearity")
    return figure


class Looked(NamedTuple):
    """What was found of one layer; positions are those among `numbers`."""

    target: FilterLayer
    numbers: np.ndarray  # its filters that were looked at
    ascent: maximization.Ascent
    strongest: maximization.Strongest
    table: pd.DataFrame  # a row a filter

    def order(self, count: int) -> np.ndarray:
        """Positions of the highest values first, dead filters last."""
        return np.lexsort((-self.table["ascent"], self.table["dead"]))[:count]

    def summary(self) -> dict:
        live = self.table[self.table["dead"] == 0]
        return {
            "filters": len(self.table),
            "dead": len(self.table) - len(live),
            "receptive_field": self.target.field_text(),
            "ascent_above_best_face": int((live["ascent"] > live["best_face"]).sum()),
        }


def look_at(args: Args, classifier, target: FilterLayer, strongest, labels) -> Looked:
    """Climb for every filter of a layer and put the numbers together."""
    numbers = np.array(args.filters or range(target.filters))
    ascent = climb(args, classifier, target, numbers)
    table = pd.DataFrame({"model": classifier.name, "layer": target.name, "filter": numbers})
    table["start"], table["ascent"] = ascent.values[0], ascent.values.max(axis=0)
    values = strongest.values[:, numbers]
    table["best_face"] = values.max(axis=0)
    table["dead"] = strongest.is_dead(target.rectified)[numbers].astype(int)
    for label in np.unique(labels) if labels is not None else ():
        table[f"mean_{CLASSES[label]}"] = values[labels == label].mean(axis=0)
    return Looked(target, numbers, ascent, strongest, table)


def climb(args: Args, classifier, target: FilterLayer, numbers) -> maximization.Ascent:
    """The ascent as `args` say; moves shrink with the part of the face that a unit sees."""
    share = float(min(target.field.size.max() / utils.SIDE, 1))
    move = {"shift": args.shift * share, "rotation": args.rotation, "zoom": args.zoom}
    verbose = int(sys.stdout.isatty())
    return maximization.ascend(
        classifier, target, numbers, args.steps, args.rate, move, args.plain, args.seed, verbose
    )


def draw(args: Args, faces: Faces, rows, classifier, control, looked: Looked, given) -> None:
    """The four figures of a layer; `control` is the untrained copy and its layer."""
    target, numbers, ascent, strongest, table = looked
    middle, sides = target.middle, classifier.model.input_shape[1:3]
    base = utils.folder(args.figures_dir, faces) / (
        f"{classifier.name}_{target.name.replace('/', '_')}{'_plain' if args.plain else ''}"
    )

    def save(figure: Figure, ending: str) -> None:
        utils.save_figure(figure, base.with_name(f"{base.name}_{ending}.png"))

    def title(text: str) -> str:
        way = " by plain ascent" if args.plain else ""
        return utils.headline(faces, f"{classifier.name} {target.name}{way}: {text}")

    def cut(face: np.ndarray, place=middle) -> np.ndarray:
        return crop(face, target, place, sides)

    def cells(climbed: maximization.Ascent, positions, names) -> list[Cell]:
        reached, best = climbed.values.max(axis=0), climbed.best()
        pictures = climbed.faces[best, np.arange(len(best))]
        return [
            (cut(pictures[i]), f"{name}: {reached[i]:.1f}")
            for i, name in zip(positions, names, strict=True)
        ]

    order = looked.order(args.show)
    names = [f"{numbers[i]}{' dead' if table['dead'][i] else ''}" for i in order]
    blindly = climb(args, *control, numbers[order])
    origin = "trained" if target.layer.trainable else "set, not trained"
    grids = {
        origin: cells(ascent, order, names),
        "untrained copy": cells(blindly, range(len(order)), numbers[order]),
    }
    shown = f"{len(order)} of its {target.filters} filters, which see {target.field_text()} pixels"
    shown = f"the highest {shown}" if len(order) < len(numbers) else shown
    save(plot_grids(grids, title(f"what {shown}, answer most, and the value reached")), "filters")

    few = order[np.linspace(0, len(order) - 1, min(args.few, len(order))).astype(int)]
    climbs = {
        f"filter {numbers[i]}": [
            (cut(face[i]), f"step {step}: {value[i]:.1f}")
            for step, face, value in zip(ascent.steps, ascent.faces, ascent.values, strict=True)
        ]
        for i in few
    }
    save(plot_rows(climbs, title("the ascent from noise, and the value reached")), "ascent")

    maps = maximization.responses(classifier, target, given[0])
    maps = {int(number): maps[number] for number in numbers[order]}
    save(plot_responses(given[0], maps, title(f"responses to {given[1]}")), "responses")

    found = {}
    for i, ascended in zip(few, cells(ascent, few, ["ascent"] * len(few)), strict=True):
        line = found[f"filter {numbers[i]}"] = [ascended]
        values, places = strongest.values[:, numbers[i]], strongest.places[:, numbers[i]]
        for face in np.argsort(-values, kind="stable")[:9]:
            label = "" if faces.labels is None else CLASSES[faces.labels[rows[face]]]
            picture = cut(faces.images[rows[face]], divmod(int(places[face]), target.width))
            line.append((picture, f"{label} {values[face]:.1f}"))
    about = title(f"the faces of {args.split} that excite a filter most")
    save(plot_rows(found, about), "best_faces")


def main(args: Args) -> dict:
    """Look at every layer that is asked for; returns the record written beside the figures."""
    utils.check_limits(args, LIMITS)
    classifiers.require_tensorflow()
    faces, classifier = classifiers.open_data_and_model(args)
    found = filter_layers(classifier.model)
    if args.list:
        for target in found:
            print(
                f"{target.name}: {target.filters} filters, maps of {target.height}x{target.width}, "
                f"receptive field {target.field_text()} pixels"
            )
        return {"layers": [target.name for target in found]}
    chosen = choose_layers(args, found)
    name = "filters_plain" if args.plain else "filters"
    path = utils.folder(args.figures_dir, faces) / f"{name}.csv"
    artefacts.read_table(path, KEY)  # a damaged one shows now, not after minutes
    rows = classifiers.rows_of_split(args.split, faces, classifier)
    given = choose_face(args, faces, rows)
    labels = None if faces.labels is None else faces.labels[rows]
    untrained = maximization.untrained(classifier, args.seed)
    same = {target.name: target for target in filter_layers(untrained.model)}
    strongest = maximization.strongest(classifier, chosen, faces.images[rows])
    if not all(np.isfinite(found_in.values).all() for found_in in strongest.values()):
        raise InputError(f"{classifier.name} answers with NaN or infinity; train it again")
    record = utils.provenance(args, faces) | {"model": classifier.name, "split": args.split}
    record |= {"faces": len(rows), "layers": {}}
    tables = []
    for target in chosen:
        looked = look_at(args, classifier, target, strongest[target.name], labels)
        control = untrained, same[target.name]
        draw(args, faces, rows, classifier, control, looked, given)
        tables.append(looked.table)
        summary = looked.summary()
        record["layers"][target.name] = summary | {"command": record["command"]}
        print(
            f"{target.name}: {summary['dead']} of {summary['filters']} filters dead; of the others "
            f"{summary['ascent_above_best_face']} climbed above the best of {len(rows):,} faces"
        )
    if args.filters:
        print(f"{path.name} stays as it is: it is of whole layers")
        return record
    table = artefacts.with_rows(artefacts.read_table(path, KEY), pd.concat(tables), KEY)
    utils.write_text(path, table.to_csv(index=False, float_format="%.5g"))
    path = path.with_name(f"{classifier.name}_{name}.json")
    if args.layer and path.exists():  # what is known of the others stays
        with contextlib.suppress(ValueError, LookupError, TypeError):  # but not if it is damaged
            earlier = json.loads(path.read_text())
            if earlier["data"] == record["data"] and earlier["split"] == record["split"]:
                record["layers"] = earlier["layers"] | record["layers"]
    utils.write_json(path, record)
    return record


KEY = ["model", "layer"]  # of filters.csv: a run replaces all rows of a layer
LIMITS = {
    "steps": (1, 10**5),
    "rate": (1e-6, 10),
    "shift": (0, 1),
    "rotation": (0, 180),
    "zoom": (0, 0.99),
    "show": (1, 1024),
    "few": (1, 64),
    "seed": (0, 2**31 - 1),
}

if __name__ == "__main__":
    utils.run(main, tyro.cli(Args, description=__doc__))
