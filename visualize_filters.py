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

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

import utils
from toolbox.analysis import activation_maximization as maximization
from toolbox.analysis import filter_plots as plots
from toolbox.analysis import filter_study, frozen, predictions, saved_models
from toolbox.analysis.filter_layers import choose_layers
from toolbox.analysis.filter_study import Study
from toolbox.analysis.picture_grid import Cell
from toolbox.analysis.subject import Subject, open_subject
from toolbox.photos.face_finder import read_face
from toolbox.training import precision
from utils import InputError

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
    """file, or name of a run; without it the shipped compact, or on synthetic faces sample/fast"""
    input_range: tuple[float, float] = saved_models.PIXEL_RANGE
    """input range of an external model that does not rescale inside, such as 0 1"""
    classes: tuple[str, ...] = ()
    """what the outputs of such a model stand for: names in order, or alphabetical"""
    layer: tuple[str, ...] = ()
    """convolutions to look at; without it each in turn"""

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
    record["ascent_in"] = frozen.computed_in(classifier.model, precision.choose(args.precision))
    record |= subject.told
    utils.write_text(path("filters.csv"), table.to_csv(index=False, float_format="%.5g"))
    utils.write_text(path("best_faces.csv"), best.to_csv(index=False, float_format="%.5g"))
    utils.write_json(path("filters.json"), record)
    face, name = choose_face(args.row, subject)
    maps = maximization.feature_maps(classifier, target, face)
    utils.save_figure(plots.plot_filters(study, title), path("filters.png"))
    utils.save_figure(plots.plot_ascent(study, title), path("ascent.png"))
    utils.save_figure(plots.plot_best_faces(study, best, subject, title), path("best_faces.png"))
    figure = plots.plot_feature_maps(face, maps, study.shown, title(f"feature maps of {name}"))
    utils.save_figure(figure, path(f"responses{utils.changed(args, 'row')}.png"))
    return record


def show_picture(args: Args) -> dict:
    """Write each layer's feature maps of --image; returns {layer: its JSON record}."""
    face, records = read_face(args.image), {}
    classifier = saved_models.open_model(args, synthetic=False)
    folder = saved_models.results_folder(classifier, args.models_dir, args.figures_dir)
    settings = classifier.settings + utils.changed(args, "show")
    picture = utils.stem_of(args.image)
    for target in choose_layers(classifier.model, args.layer):
        path = folder / f"{target.file_name}_image-{picture}{settings}_responses.png"
        utils.refuse_overwriting([args.image], [path])
        maps = maximization.feature_maps(classifier, target, face.image)
        predictions.refuse_nonfinite(classifier, maps)
        highest = maps.max(axis=(1, 2))
        shown, photo = np.argsort(-highest)[: args.show], Cell(face.picture, "photo", face.box)
        title = f"{classifier.name} {target.name}: feature maps of {args.image.name}"
        title = classifier.headline(title)
        figure = plots.plot_feature_maps(face.image, maps, shown, title, photo)
        utils.save_figure(figure, path)
        record = utils.provenance(args) | {"model": classifier.name, "layer": target.name}
        record["highest_activations"] = [float(f"{value:.5g}") for value in highest]
        utils.write_json(path.with_suffix(".json"), record)
        records[target.name] = record
    return records


def study_filters(args: Args) -> dict:
    """Look at every layer that is asked for, on faces of a CSV."""
    faces = utils.load_faces(args.data)
    classifier = saved_models.open_model(args, faces.synthetic)
    climb_in = precision.choose(args.precision)
    trained = maximization.climbers(classifier, args.layer, climb_in)
    subject = open_subject(faces, args.split, classifier, args.models_dir, args.figures_dir)
    choose_face(args.row, subject)  # a wrong row shows now, not after minutes
    copy = maximization.untrained_copy(classifier, args.seed)
    untrained = maximization.climbers(copy, args.layer, climb_in)
    targets = [climber.target for climber in trained]
    found = maximization.activations_on_faces(classifier, targets, subject.images)
    moves = args.shift, args.rotation, args.zoom
    settings = maximization.AscentSettings(args.steps, args.rate, *moves, args.plain, args.seed)
    records = {}
    for *climbers, target, on_faces in zip(trained, untrained, targets, found, strict=True):
        predictions.refuse_nonfinite(classifier, on_faces.values)
        print(f"{target.name}: ascent of {min(args.show, target.filters)} filters ...", flush=True)
        study = filter_study.study_layer(*climbers, on_faces, args.show, settings)
        record = records[target.name] = save_study(args, subject, study)
        print(
            f"{target.name}: {record['dead']} of {record['filters']} filters dead; "
            f"{record['ascent_above_best_face']} of {record['climbed']} images activate their "
            f"filter more than any of {len(subject.rows):,} faces"
        )
    return records


def main(args: Args) -> dict:
    """Look at the filters, or at their maps of a picture; returns {layer: its JSON record}."""
    utils.check_limits(args, LIMITS)
    if args.image and args.row is not None:
        raise InputError("--image shows a picture, --row shows a face of a CSV; give one of them")
    saved_models.require_tensorflow()
    return show_picture(args) if args.image else study_filters(args)


if __name__ == "__main__":
    utils.run(main, lambda: tyro.cli(Args, description=__doc__))
