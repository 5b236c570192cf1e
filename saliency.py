"""What a saved model looks at, and whether to believe the map (the homework's P4).

    python saliency.py --split PublicTest               # five methods, evaluated on 200 faces
    python saliency.py --rows 12 80 --method grad_cam   # these faces, in seconds
    python saliency.py --image me.jpg                   # your own photo; needs no CSV

The methods are in toolbox/analysis/attribution.py, their evaluation in faithfulness.py beside it.
Writes to figures/NAME/: SPLIT_saliency.png, the homework's three panels for one face per class;
_methods.png, the same faces by all methods; _classes.png and .csv, the mean map of each class;
_scores.png and .csv, which method to trust; .json, all of it. A CPU minute on a processor that is
fast at bfloat16, which moves areas under the curves by less than 0.005; two and a half elsewhere.
What to expect of the shipped model on PublicTest: insertion AUC minus deletion AUC is 0.38 for
occlusion, 0.12 for Grad-CAM, 0.03 for plain gradients, and 0.02 for edges, which know no model.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import tyro

import utils
from toolbox.analysis import attribution, faithfulness, predictions, saved_models
from toolbox.analysis import saliency_plots as plots
from toolbox.analysis.attribution import Explained
from toolbox.analysis.sampling import balanced_sample, given_rows, one_per_class
from toolbox.analysis.subject import Subject, open_subject
from toolbox.photos.face_finder import read_face
from toolbox.training import precision
from utils import SIDE, InputError

CHECKED = 7  # faces of the randomization check, or one per class: it makes all maps six times
MOST_STEPS = 256  # of integrated gradients, for the faces that are shown
RESULT = ("faces", "rows", "precision", "method", "keep",
          "noise", "samples", "steps", "patch", "seed")  # fmt: skip
LIMITS = {
    "faces": (1, 10**6), "keep": (0.001, 1), "noise": (0, 10), "samples": (1, 10**5),
    "steps": (1, 10**4), "patch": (1, SIDE), "seed": (0, 2**31 - 1),
}  # fmt: skip


@dataclass
class Args:
    # data
    data: Path | None = None
    """CSV of faces; without it data/fer2013.csv, or else synthetic faces"""
    split: Literal["validation", "PublicTest", "PrivateTest", "Test", "all"] = "validation"
    """rows from which the faces are drawn; validation are those that this model held out"""
    faces: int = 200
    """faces of the mean maps and the evaluation, as many of each class as of the others"""
    rows: tuple[int, ...] = ()
    """show these rows of the CSV (0 is the first), and evaluate nothing"""
    image: Path | None = None
    """show the largest face of this picture, and evaluate nothing"""

    # model
    model: str = ""
    """file, or name of a run; without it the shipped compact, or on synthetic faces sample/fast"""
    input_range: tuple[float, float] = saved_models.PIXEL_RANGE
    """input range of an external model that does not rescale inside, such as 0 1"""
    classes: tuple[str, ...] = ()
    """what the outputs of such a model stand for: names in order, or alphabetical"""

    # maps
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """to compute in; auto is bfloat16 where the processor is fast at it"""
    method: Literal[tuple(plots.UNITS)] = "occlusion"
    """map of the three panels and of the class means"""
    keep: float = 0.2
    """fraction of the pixels, the most salient, that stays visible in the third panel"""
    noise: float = 0.15
    """smooth_gradient: standard deviation of the noise, as a fraction of 0..255"""
    samples: int = 16
    """smooth_gradient: noisy copies per face"""
    steps: int = 16
    """integrated_gradients: steps; for faces that are shown doubled while the error is above 5 %"""
    patch: int = 12
    """occlusion: side of the grey square, pixels; it moves by half of it"""

    # output
    seed: int = 0
    """of the noise, the random order and the choice of faces"""
    models_dir: Path = utils.MODELS
    """folder of your models"""
    figures_dir: Path = utils.FIGURES
    """folder of the figures and their numbers"""


class Batch(NamedTuple):
    """Some faces, what the model takes them for, and the maps that explain it."""

    images: np.ndarray  # uint8 (n, 48, 48)
    labels: np.ndarray | None  # true classes, int (n,), where they are known
    predicted: np.ndarray  # those that the maps explain, int (n,)
    probabilities: np.ndarray  # float (n, k)
    maps: dict[str, np.ndarray]  # for each method float32 (n, 48, 48)
    error: np.ndarray  # completeness error of integrated gradients, relative, (n,)


def compute_maps(
    args: Args, net: Explained, images: np.ndarray, classes: np.ndarray, most_steps: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Maps by each method that the model allows, and the error of integrated gradients.

    Raises InputError for --method grad_cam if the model has no convolution.
    """
    maps, given = {}, (net, images, classes)
    if net.features or args.method == "grad_cam":
        maps["grad_cam"] = attribution.grad_cam(*given)
    # Regions whose occlusion raises the score count as zero, as in Grad-CAM.
    maps["occlusion"] = np.maximum(attribution.occlusion(*given, args.patch), 0)
    exact, error = attribution.integrated_gradients(*given, args.steps, most_steps)
    smooth = attribution.smooth_gradient(*given, args.noise, args.samples, args.seed)
    maps |= {"integrated_gradients": exact, "smooth_gradient": smooth}
    return maps | {"gradient": attribution.gradient(*given)}, error


def explain_faces(
    args: Args, net: Explained, images: np.ndarray, labels: np.ndarray | None, most_steps: int
) -> Batch:
    """Predict the class of each face, and make the maps of it."""
    probabilities = predictions.predict(net.classifier, images)
    predicted = probabilities.argmax(axis=1)
    made = compute_maps(args, net, images, predicted, most_steps)
    return Batch(images, labels, predicted, probabilities, *made)


def save_panels(args: Args, base: str, batch: Batch, classes: tuple[str, ...], title: str) -> dict:
    """The figures of single faces: three panels, and all methods. Returns what they show."""
    images, maps = batch.images, batch.maps
    texts = plots.captions(batch.probabilities, batch.labels, classes)
    panels = plots.plot_panels(images, maps[args.method], args.method, args.keep, texts, title)
    utils.save_figure(panels, f"{base}.png")
    utils.save_figure(plots.plot_methods(images, maps, texts, title), f"{base}_methods.png")
    return {
        "faces": [text.replace("\n", ", ") for text in texts],
        "completeness_errors": batch.error.tolist(),
        "scales": {name: [plots.top(one) for one in heat] for name, heat in maps.items()},
    }


def save_class_means(args: Args, base: str, batch: Batch, subject: Subject, title: str) -> None:
    """Mean face and mean absolute map of each class; the numbers, one row per pixel."""
    sizes, faces, heats, counts = np.abs(batch.maps[args.method]), {}, {}, {}
    for label in np.unique(batch.labels):
        name, maps = subject.classes[label], sizes[batch.labels == label]
        images = subject.images[subject.labels == label]
        faces[name], heats[name] = images.mean(axis=0), maps.mean(axis=0)
        counts[name] = len(images), len(maps)
    figure = plots.plot_class_means(faces, heats, counts, args.method, title)
    utils.save_figure(figure, f"{base}_classes.png")
    table = pd.DataFrame({name: heat.ravel() for name, heat in heats.items()})
    utils.write_text(f"{base}_classes.csv", table.rename_axis("pixel").to_csv(float_format="%.3g"))


def save_evaluation(args: Args, base: str, net: Explained, batch: Batch, title: str) -> dict:
    """Evaluate every method; write the table and its figure, print the verdict."""
    images, predicted = batch.images, batch.predicted
    maps = batch.maps | faithfulness.control_maps(images, args.seed)
    checked = min(max(CHECKED, len(net.classifier.classes)), len(images))
    print("Hiding and showing the most salient pixels ...", flush=True)
    scores = faithfulness.score_maps(net, images, batch.labels, predicted, maps, args.keep)
    print(f"Randomization check: maps of {checked} faces with shuffled weights ...", flush=True)
    few = images[:checked], predicted[:checked]
    depths, correlations = faithfulness.randomization_check(
        net.model, lambda: compute_maps(args, net, *few, args.steps)[0], args.seed
    )
    for name, values in correlations.items():
        scores[name]["rank_correlation_top_shuffled"] = values[1]
        scores[name]["rank_correlation_all_shuffled"] = values[-1]
    table = pd.DataFrame(scores).T.drop(columns=["deletion", "insertion"]).rename_axis("method")
    utils.write_text(f"{base}_scores.csv", table.to_csv())
    figure = plots.plot_scores(scores, depths, correlations, checked, title)
    utils.save_figure(figure, f"{base}_scores.png")
    sentence = faithfulness.verdict(net.classifier.name, scores, correlations)
    print(table.astype(float).round(3).to_string(), sentence, sep="\n")
    return {
        "faces": len(images),
        "faces_checked": checked,
        "accuracy": float(np.mean(predicted == batch.labels)),
        "median_completeness_error": float(np.median(batch.error)),
        "fractions": faithfulness.FRACTIONS,
        "scores": scores,
        "layers_shuffled": depths,
        "rank_correlations": correlations,
        "verdict": sentence,
    }


def explain_image(args: Args) -> dict:
    """Show one picture by every method; needs no CSV."""
    face = read_face(args.image)
    classifier = saved_models.open_model(args, synthetic=False)
    folder = saved_models.results_folder(classifier, args.models_dir, args.figures_dir)
    settings = f"{classifier.settings}_saliency{utils.changed(args, *RESULT)}"
    base = f"{folder / utils.stem_of(args.image)}{settings}"
    endings = (".png", "_methods.png", "_photo.png", ".json")
    utils.refuse_overwriting([args.image], [Path(f"{base}{ending}") for ending in endings])
    title = classifier.headline(f"What {classifier.name} looks at in {args.image.name}")
    net = attribution.explain(classifier, precision.choose(args.precision))
    batch = explain_faces(args, net, face.image[np.newaxis], None, MOST_STEPS)
    record = utils.provenance(args) | {"model": classifier.name, "computed_in": net.precision}
    record |= save_panels(args, base, batch, classifier.classes, title)
    (answer,) = record["faces"]
    photo = plots.plot_photo(face, batch.maps[args.method][0], args.method, f"{title}\n{answer}")
    utils.save_figure(photo, f"{base}_photo.png")
    utils.write_json(f"{base}.json", record)
    print(f"{args.image.name}: {answer}")
    return record


def explain_rows(args: Args) -> dict:
    """Show faces of a CSV; unless --rows names them, also average and evaluate the maps."""
    faces = utils.load_faces(args.data)
    if faces.labels is None and not args.rows:
        raise InputError(f"{faces.path} has no labels; show some of its faces: --rows 0 1 2")
    classifier = saved_models.open_model(args, faces.synthetic)
    split = "all" if args.rows else args.split
    subject = open_subject(faces, split, classifier, args.models_dir, args.figures_dir)
    faces, rows = subject.faces, subject.rows
    net = attribution.explain(subject.classifier, precision.choose(args.precision))
    base = f"{subject.folder / subject.label}_saliency{utils.changed(args, *RESULT)}"
    record = utils.provenance(args, faces) | {"model": classifier.name, "split": split}
    record |= {"computed_in": net.precision} | subject.told
    if args.rows:
        rows = given_rows(args.rows, faces)
    else:
        rows = rows[balanced_sample(subject.labels, args.faces, args.seed)]
        print(f"Maps of {len(rows)} faces by all methods, in {net.precision} ...", flush=True)
        batch = explain_faces(args, net, faces.images[rows], faces.labels[rows], args.steps)
        title = f"{classifier.name} on {len(rows)} faces of {split}, classes as even as can be"
        save_class_means(args, base, batch, subject, subject.headline(title))
        record["evaluation"] = save_evaluation(args, base, net, batch, subject.headline(title))
        rows = rows[one_per_class(batch.labels, batch.predicted)]
    labels = None if faces.labels is None else faces.labels[rows]
    batch = explain_faces(args, net, faces.images[rows], labels, MOST_STEPS)
    title = subject.headline(f"What {classifier.name} looks at in faces of {split}")
    record |= {"rows": rows.tolist()} | save_panels(args, base, batch, faces.classes, title)
    utils.write_json(f"{base}.json", record)
    return record


def main(args: Args) -> dict:
    """Make the maps, evaluate them, write figures; returns the record written beside them."""
    utils.check_limits(args, LIMITS)
    if args.image and args.rows:
        raise InputError("--image shows a picture, --rows shows faces of a CSV; give one of them")
    saved_models.require_tensorflow()
    return explain_image(args) if args.image else explain_rows(args)


if __name__ == "__main__":
    utils.run(main, lambda: tyro.cli(Args, description=__doc__))
