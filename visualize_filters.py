"""P5: what do the filters of a trained CNN look for?

    python visualize_filters.py                           # every convolution of the model
    python visualize_filters.py --layer conv_3a --plain   # one, by the homework's bare method
    python visualize_filters.py --image me.jpg            # feature maps of your own picture

For each filter: the image that maximally activates it, by gradient ascent from noise, and the faces
that activate it most (the method: toolbox/analysis/activation_maximization.py). Each layer gets in
figures/NAME/ LAYER_filters.png, the homework's figure, beside an untrained copy (of a first layer
the kernels themselves), _ascent.png, _best_faces.png, _responses.png (the feature maps of a face),
and their numbers. What differs from the defaults is in the names, as in conv_2a_PublicTest_seed1_*.
All convolutions of `compact` take 2 minutes of CPU time or less.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import tyro

import utils
from toolbox.analysis import activation_maximization as maximization
from toolbox.analysis import filter_study, frozen, saved_models
from toolbox.analysis.filter_layers import choose_layers, crop, field_box
from toolbox.analysis.filter_study import Study
from toolbox.analysis.picture_grid import Cell, Grid, in_rows, plot_grids, square_rows
from toolbox.analysis.subject import Subject, open_subject
from toolbox.dataset.classes import in_lines
from toolbox.late import Figure
from toolbox.photos.face_finder import read_face
from utils import InputError

SIGNED = {"cmap": "RdBu_r", "vmin": -1, "vmax": 1}
RESULT = ("steps", "rate", "shift", "rotation", "zoom", "precision", "show", "seed")
LIMITS = {
    "steps": (1, 10**5),
    "rate": (1e-6, 10),
    "shift": (0, 1),
    "rotation": (0, 180),
    "zoom": (0, 0.99),
    "show": (1, 1024),
    "seed": (0, 2**31 - 1),
}


@dataclass
class Args:
    # data
    data: Path | None = None
    """CSV of faces; without it data/fer2013.csv, or else synthetic faces"""
    split: Literal["validation", "PublicTest", "PrivateTest", "Test", "all"] = "validation"
    """rows among which the faces that activate a filter most are found"""
    row: int | None = None
    """row of the CSV (0 is the first) whose feature maps are shown; without it the split's first"""
    image: Path | None = None
    """a picture: show the feature maps of its largest face and nothing else; no CSV is read"""

    # model
    model: str = ""
    """saved Keras model, or the name of a run; without it the shipped compact, or on synthetic
    faces sample/fast"""
    input_range: tuple[float, float] = (0.0, 255.0)
    """input range of an external model that does not rescale inside, such as 0 1"""
    classes: tuple[str, ...] = ()
    """what the outputs of such a model stand for: names in order, or alphabetical"""
    layer: str = ""
    """convolution to look at; without it each in turn"""

    # gradient ascent
    steps: int = 64
    """steps of gradient ascent"""
    rate: float = 0.05
    """Adam's learning rate; with --plain the size of a step, as a fraction of 0..255"""
    shift: float = 0.04
    """largest random shift in each step, as a fraction of the receptive field"""
    rotation: float = 6.0
    """largest random rotation in each step, degrees"""
    zoom: float = 0.06
    """largest random zoom in each step, as a fraction"""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """to compute the steps in; auto is bfloat16 where the processor is fast at it"""
    plain: bool = False
    """the homework's method: optimize the pixels directly, without random moves"""

    # output
    show: int = 64
    """filters to optimize and show per layer: those that faces activate most"""
    seed: int = 0
    """of noise, random moves and the untrained copy"""
    models_dir: Path = utils.MODELS
    """folder of the models"""
    figures_dir: Path = utils.FIGURES
    """folder of the figures and their numbers"""


def choose_face(row: int | None, subject: Subject) -> tuple[np.ndarray, str]:
    """The face (48, 48) whose feature maps are shown, and what to call it."""
    faces, row = subject.faces, int(subject.rows[0]) if row is None else row
    if not 0 <= row < len(faces.images):
        raise InputError(f"{faces.path} has rows 0 to {len(faces.images) - 1}, not {row}")
    label = "" if faces.labels is None else f" ({faces.classes[faces.labels[row]]})"
    return faces.images[row], f"row {row}{label}"


def plot_filters(study: Study, title: Callable[[str], str]) -> Figure:
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
    return plot_grids([grids[0]._replace(scale=""), grids[1]], title(text))


def plot_ascent(study: Study, title: Callable[[str], str]) -> Figure:
    """One row per filter: the image after some steps, and its activation."""
    target, ascent = study.target, study.ascent
    rows = [
        [
            Cell(crop(faces[i], target, target.middle), f"step {step}: {values[i]:.1f}")
            for step, faces, values in zip(ascent.steps, ascent.faces, ascent.values, strict=True)
        ]
        for i in study.examples
    ]
    text = "gradient ascent from noise, one row per filter, with its activation"
    return plot_grids([Grid(rows, names=study.names, scale="pixel value")], title(text))


def plot_best_faces(study: Study, best: pd.DataFrame, subject: Subject, title) -> Figure:
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


def save_study(args: Args, subject: Subject, study: Study) -> dict:
    """Write the tables and figures of a layer; returns its JSON record."""
    target, classifier = study.target, subject.classifier
    table = filter_study.tabulate(study, subject)
    best = filter_study.find_best_faces(study, subject)
    split = "" if subject.label == Args.split else f"_{subject.label}"
    settings = utils.changed(args, *RESULT)
    base = f"{target.file_name}{utils.changed(args, 'plain')}{split}{settings}"

    def path(ending: str) -> Path:
        return subject.folder / f"{base}_{ending}"

    def title(text: str) -> str:
        way = ", plain ascent" if args.plain else ""
        return subject.headline(f"{classifier.name} {target.name}{way}: {text}")

    record = utils.provenance(args, subject.faces) | filter_study.summarize(study, subject, table)
    record["ascent_in"] = frozen.choose_precision(args.precision)
    record |= subject.told
    utils.write_text(path("filters.csv"), table.to_csv(index=False, float_format="%.5g"))
    utils.write_text(path("best_faces.csv"), best.to_csv(index=False, float_format="%.5g"))
    utils.write_json(path("filters.json"), record)
    face, name = choose_face(args.row, subject)
    maps = maximization.feature_maps(classifier, target, face)
    utils.save_figure(plot_filters(study, title), path("filters.png"))
    utils.save_figure(plot_ascent(study, title), path("ascent.png"))
    utils.save_figure(plot_best_faces(study, best, subject, title), path("best_faces.png"))
    figure = plot_feature_maps(face, maps, study.shown, title(f"feature maps of {name}"))
    utils.save_figure(figure, path(f"responses{utils.changed(args, 'row')}.png"))
    return record


def show_picture(args: Args) -> dict:
    """Write each layer's feature maps of --image; returns {layer: its JSON record}."""
    face = read_face(args.image)
    path = saved_models.find_model(args.model, args.models_dir, synthetic=False)
    classifier = saved_models.load_classifier(path, args.input_range, args.classes)
    synthetic, records = saved_models.trained_on_synthetic(classifier), {}
    x, y, side = face.square
    box = (y - side / 2, x - side / 2, side, side)
    folder = saved_models.results_folder(args.figures_dir, args.models_dir, classifier, synthetic)
    settings = classifier.settings + utils.changed(args, "show")
    for target in choose_layers(classifier.model, args.layer):
        path = folder / f"{target.file_name}_image-{args.image.stem}{settings}_responses.png"
        utils.refuse_overwriting([args.image], [path])
        maps = maximization.feature_maps(classifier, target, face.image)
        highest = maps.max(axis=(1, 2))
        title = f"{classifier.name} {target.name}: feature maps of {args.image.name}"
        title = saved_models.headline(classifier, title)
        shown = np.argsort(-highest)[: args.show]
        figure = plot_feature_maps(face.image, maps, shown, title, Cell(face.picture, "photo", box))
        utils.save_figure(figure, path)
        record = utils.provenance(args) | {"model": classifier.name, "layer": target.name}
        record["highest_activations"] = [float(f"{value:.5g}") for value in highest]
        utils.write_json(path.with_suffix(".json"), record)
        records[target.name] = record
    return records


def main(args: Args) -> dict:
    """Look at every layer that is asked for; returns {layer: its JSON record}."""
    utils.check_limits(args, LIMITS)
    saved_models.require_tensorflow()
    if args.image:
        return show_picture(args)
    faces = utils.load_faces(args.data)
    path = saved_models.find_model(args.model, args.models_dir, faces.synthetic)
    classifier = saved_models.load_classifier(path, args.input_range, args.classes)
    precision = frozen.choose_precision(args.precision)
    trained = maximization.climbers(classifier, args.layer, precision)
    subject = open_subject(faces, args.split, classifier, args.models_dir, args.figures_dir)
    choose_face(args.row, subject)  # a wrong row shows now, not after minutes
    copy = maximization.untrained_copy(classifier, args.seed)
    untrained = maximization.climbers(copy, args.layer, precision)
    targets = [climber.target for climber in trained]
    found = maximization.activations_on_faces(classifier, targets, faces.images[subject.rows])
    moves = args.shift, args.rotation, args.zoom
    settings = maximization.AscentSettings(args.steps, args.rate, *moves, args.plain, args.seed)
    records = {}
    for *climbers, target, on_faces in zip(trained, untrained, targets, found, strict=True):
        if not np.isfinite(on_faces.values).all():
            raise InputError(f"{classifier.name} outputs NaN or infinity; train it again")
        print(f"{target.name}: ascent of {min(args.show, target.filters)} filters ...", flush=True)
        study = filter_study.study_layer(*climbers, on_faces, args.show, settings)
        record = records[target.name] = save_study(args, subject, study)
        print(
            f"{target.name}: {record['dead']} of {record['filters']} filters dead; "
            f"{record['ascent_above_best_face']} of {record['climbed']} images activate their "
            f"filter more than any of {len(subject.rows):,} faces"
        )
    return records


if __name__ == "__main__":
    utils.run(main, lambda: tyro.cli(Args, description=__doc__))
