"""What a saved model looks at (the report's P4), and whether to believe it.

    python saliency.py                                  # one face of every class
    python saliency.py --rows 12 80 --method integrated_gradients
    python saliency.py --image me.jpg

Five methods stand in attribution.py, what judges them in faithfulness.py. NAME_SPLIT_saliency.png
has the report's three panels a face; _methods.png the same faces by all methods; _classes.png the
mean map of each class; saliency_scores.png and .csv say which method to trust. A few minutes.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import tyro
from matplotlib.figure import Figure

import utils
import attribution
import classifier as classifiers
import faithfulness
from utils import CLASSES, SIDE, Faces, InputError

METHODS = ("gradient", "smooth_gradient", "integrated_gradients", "grad_cam", "occlusion")


@dataclass
class Args:
    # data
    data: Path | None = None
    """CSV of faces; without it data/fer2013.csv, or else drawn sample faces"""
    split: Literal["validation", "PublicTest", "PrivateTest", "Test", "all"] = "validation"
    """rows to choose faces from and to judge the maps on"""
    rows: tuple[int, ...] = ()
    """rows of the CSV (0 is the first) to show instead of one face of every class"""
    image: Path | None = None
    """a picture to show instead; its middle is cut out and made 48x48"""

    # model
    model: Path | None = None
    """saved Keras model; without it compact.keras, or fast.keras for drawn faces"""
    input_range: tuple[float, float] = (0.0, 255.0)
    """what black and white become before the model sees them, as 0 1 or -1 1"""

    # maps
    method: Literal[METHODS] = "smooth_gradient"
    """map of the three-panel figure; the class means are of the plain gradient"""
    keep: float = 0.2
    """share of the pixels, the most salient, that stays visible in the third panel"""
    noise: float = 0.15
    """smooth_gradient: standard deviation of the noise, as a share of 0..255"""
    samples: int = 32
    """smooth_gradient: noisy copies of each face"""
    steps: int = 32
    """integrated_gradients: steps to begin with; doubled while the error is above 5 %"""
    patch: int = 8
    """occlusion: side of the grey square, pixels; it moves by half of it"""

    # judging them
    faces: int = 200
    """faces over which the maps are judged; 0 leaves that out"""

    # output
    seed: int = 0
    """of noise, random order and choice of faces"""
    models_dir: Path = utils.ROOT / "models"
    """folder of compact.keras and fast.keras"""
    figures_dir: Path = utils.ROOT / "figures"
    """folder of the figures and their numbers"""


def makers(args: Args, classifier, logits, images, classes: np.ndarray, quiet=False) -> dict:
    """For each method that the model allows, a function that makes the maps of these faces."""
    given = logits, images, classes
    verbose = 0 if quiet or not sys.stdout.isatty() else 1

    def integrated_gradients() -> np.ndarray:
        limit = args.steps if quiet else 1024
        maps, error = attribution.integrated_gradients(*given, args.steps, limit, verbose)
        if not quiet:
            print(
                f"integrated gradients of {len(maps)} faces: completeness error "
                f"{np.median(error):.1%} (median), {error.max():.1%} (largest)"
            )
        return maps

    by_method = {
        "gradient": lambda: attribution.gradient(*given),
        "smooth_gradient": lambda: attribution.smooth_gradient(
            *given, args.noise, args.samples, args.seed, verbose
        ),
        "integrated_gradients": integrated_gradients,
        "grad_cam": lambda: attribution.grad_cam(classifier, images, classes),
        "occlusion": lambda: attribution.occlusion(*given, args.patch),
    }
    if not attribution.convolutions(classifier.model):
        del by_method["grad_cam"]
    return by_method


def choose_faces(args: Args, faces: Faces, rows: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Positions among `rows` to show: those of --rows, or one correctly classified a class."""
    if args.rows:
        unknown = sorted(set(args.rows) - set(rows.tolist()))
        if unknown:
            raise InputError(f"rows {unknown} are not of {args.split}; name others, or --split all")
        return np.array([np.flatnonzero(rows == row)[0] for row in args.rows])
    rng = np.random.default_rng(args.seed)
    right = predicted == faces.labels[rows]
    chosen = [np.flatnonzero(right & (faces.labels[rows] == label)) for label in range(7)]
    for label, found in enumerate(chosen):
        if not len(found):
            print(f"No face of class {CLASSES[label]} is classified correctly: it has no row")
    return np.array([rng.choice(found) for found in chosen if len(found)], int)


def captions(probabilities: np.ndarray, logits: np.ndarray, labels: np.ndarray | None) -> list[str]:
    """True and predicted class, probability and logit of each face."""
    texts = []
    for i, (row, logit) in enumerate(zip(probabilities, logits, strict=True)):
        best = row.argmax()
        true = "" if labels is None else f"true {CLASSES[labels[i]]}\n"
        texts.append(f"{true}{CLASSES[best]} {row[best]:.0%}\nlogit {logit[best]:.1f}")
    return texts


def show(axes, image: np.ndarray, heat: np.ndarray | None = None, mask=None) -> None:
    """A face, grey where `mask` is true; or the size of a map's values, on the map's own scale."""
    axes.set_xticks([])
    axes.set_yticks([])
    if heat is None:
        axes.imshow(np.where(mask, image.mean(), image) if mask is not None else image,
                    cmap="gray", vmin=0, vmax=255)  # fmt: skip
    else:
        heat = np.abs(heat)
        axes.imshow(heat, cmap="inferno", vmin=0, vmax=max(np.quantile(heat, 0.995), 1e-12))


def plot_panels(images, maps, texts: list[str], keep: float, method: str, title: str) -> Figure:
    """The report's three panels a face: the face, its map, the face without what matters least."""
    figure = Figure(figsize=(5.6, 1.42 * len(images) + 0.9), layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(len(images), 3, squeeze=False)
    hidden = faithfulness.ranks(maps) >= round(keep * SIDE * SIDE)
    for row, image, heat, mask, text in zip(grid, images, maps, hidden, texts, strict=True):
        show(row[0], image)
        show(row[1], image, heat)
        show(row[2], image, mask=mask)
        row[0].set_ylabel(text, rotation=0, ha="right", va="center")
    for axes, name in zip(
        grid[0], ("face", method.replace("_", " "), f"top {keep:.0%}"), strict=True
    ):
        axes.set_title(name)
    return figure


def plot_methods(images, maps: dict[str, np.ndarray], texts: list[str], title: str) -> Figure:
    """The same faces by all methods, a column a method."""
    figure = Figure(figsize=(1.5 * len(maps) + 3, 1.6 * len(images) + 0.9), layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(len(images), 1 + len(maps), squeeze=False)
    for i, row in enumerate(grid):
        show(row[0], images[i])
        row[0].set_ylabel(texts[i], rotation=0, ha="right", va="center")
        for axes, heat in zip(row[1:], maps.values(), strict=True):
            show(axes, images[i], heat[i])
    for axes, name in zip(grid[0], ("face", *maps), strict=True):
        axes.set_title(name.replace("_", "\n"), fontsize=10)
    return figure


def class_means(values: np.ndarray, labels: np.ndarray) -> dict[int, np.ndarray]:
    """Mean of values (n, 48, 48) over the faces of each class that has any."""
    return {int(label): values[labels == label].mean(axis=0) for label in np.unique(labels)}


def plot_class_means(faces: dict, heats: dict, labels: np.ndarray, title: str) -> Figure:
    """Mean face and mean size of the map of each true class; which parts decide an expression."""
    figure = Figure(figsize=(11, 3.9), layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(2, len(CLASSES))
    for label, column in enumerate(grid.T):
        column[0].set_title(f"{CLASSES[label]}\n{np.sum(labels == label):,} faces")
        for axes in column:
            axes.set_axis_off()
        if label in faces:
            show(column[0], faces[label])
            show(column[1], faces[label], heats[label])
    return figure


def plot_scores(
    scores: dict[str, dict], correlations: dict[str, list], checked: int, title: str
) -> Figure:
    """Deletion, insertion and the randomisation check, a curve a method; controls are dashed."""
    figure = Figure(figsize=(14, 4.3), layout="constrained")
    figure.suptitle(title)
    deletion, insertion, check = figure.subplots(1, 3)
    for i, (name, score) in enumerate(scores.items()):
        look = {"color": f"C{i}", "linestyle": "--" if name in CONTROLS else "-"}
        for axes, kind in ((deletion, "deletion"), (insertion, "insertion")):
            label = f"{name.replace('_', ' ')} {score[f'{kind}_auc']:.3f}"
            axes.plot(100 * faithfulness.SHARES, score[kind], label=label, **look)
        if name in correlations:
            check.plot(correlations[name], marker="o", label=name.replace("_", " "), **look)
    deletion.set(xlabel="% of the pixels hidden, most salient first", ylabel="class probability",
                 title="deletion: lower is better")  # fmt: skip
    insertion.set(xlabel="% of the pixels shown, most salient first", ylabel="class probability",
                  title="insertion: higher is better")  # fmt: skip
    check.set(xlabel="layers with shuffled weights, from the top", ylabel="rank correlation",
              title=f"weights shuffled, {checked} faces: lower is better")  # fmt: skip
    for axes, place in ((deletion, "upper right"), (insertion, "lower right"), (check, "best")):
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8, loc=place)
    return figure


def verdict(name: str, scores: dict[str, dict], correlations: dict[str, list]) -> str:
    """Which method to trust for this model, in a sentence, from the numbers."""
    gains = {
        method: score["insertion_auc"] - score["deletion_auc"] for method, score in scores.items()
    }
    bar = max(gains[control] for control in CONTROLS)
    best = max((method for method in scores if method not in CONTROLS), key=gains.get)
    words = best.replace("_", " ")
    numbers = (
        f"insertion less deletion {gains[best]:.3f}, against {gains['random']:.3f} of a random "
        f"order and {gains['sobel']:.3f} of the face's edges"
    )
    if gains[best] <= bar:
        return f"Trust no method for {name}: {words}, the best, is no better ({numbers})."
    left = correlations[best][-1]
    caution = "" if abs(left) < 0.5 else "; but its maps hardly change without the model: beware"
    return (
        f"For {name} trust {words} most ({numbers}; rank correlation {left:.2f} with its maps "
        f"after all weights were shuffled{caution})."
    )


def judge(
    args: Args, faces: Faces, rows, classifier, logits, predicted: np.ndarray, title: str
) -> dict:
    """Judge every method on --faces faces; write the table and the figure, print the verdict."""
    rng = np.random.default_rng(args.seed)
    some = np.sort(rng.permutation(len(rows))[: args.faces])
    images, labels = (
        faces.images[rows[some]].astype(np.float32),
        faces.labels[rows[some]].astype(int),
    )
    by_method = makers(args, classifier, logits, images, predicted[some])
    maps = {name: make() for name, make in by_method.items()}
    controls = (faithfulness.random_maps(images, args.seed), faithfulness.edge_maps(images))
    maps |= dict(zip(CONTROLS, controls, strict=True))
    scores = {
        name: faithfulness.judge(logits, images, labels, predicted[some], heat, args.keep)
        for name, heat in maps.items()
    }
    few, brief = slice(CHECKED), replace(args, samples=8, steps=16)
    check = makers(brief, classifier, logits, images[few], predicted[some][few], quiet=True)
    correlations = faithfulness.randomisation_check(classifier.model, check, args.seed)
    for name, values in correlations.items():
        scores[name]["rank_correlation_top_shuffled"] = values[1]
        scores[name]["rank_correlation_all_shuffled"] = values[-1]
    folder = utils.folder(args.figures_dir, faces)
    table = pd.DataFrame(scores).T.drop(columns=["deletion", "insertion"]).rename_axis("method")
    utils.write_text(folder / "saliency_scores.csv", table.to_csv())
    figure = plot_scores(scores, correlations, len(images[few]), title)
    utils.save_figure(figure, folder / "saliency_scores.png")
    print(table.astype(float).round(3).to_string())
    sentence = verdict(classifier.name, scores, correlations)
    print(sentence)
    whole = faithfulness.accuracy(logits, images, labels)
    return {
        "faces": len(some),
        "faces_checked": len(images[few]),
        "accuracy": whole,
        "scores": scores,
        "rank_correlations": correlations,
        "verdict": sentence,
    }


def main(args: Args) -> dict:
    """Make the maps, judge them, write figures; returns the record written beside them."""
    utils.check_limits(args, LIMITS)
    classifiers.require_tensorflow()
    faces, classifier = classifiers.open_data_and_model(args)
    classifier = classifier._replace(model=classifiers.logits_model(classifier.model))
    name, folder = classifier.name, utils.folder(args.figures_dir, faces)
    record = utils.provenance(args, faces) | {"model": name, "split": args.split}
    if args.image:
        rows, shown, true = None, classifiers.read_picture(args.image), None
        where = args.image.name
    else:
        if faces.labels is None:
            raise InputError(f"{faces.path} has no labels; show single faces with --image")
        rows = classifiers.rows_of_split(args.split, faces, classifier)
        predicted = classifiers.predict(classifier, faces.images[rows]).argmax(axis=1)
        chosen = rows[choose_faces(args, faces, rows, predicted)]
        shown, true, where = faces.images[chosen], faces.labels[chosen], args.split
        record["rows"] = chosen.tolist()
    probabilities = classifiers.predict(classifier, shown)
    classes = probabilities.argmax(axis=1)
    logits = attribution.logits_of(classifier)
    by_method = makers(args, classifier, logits, shown, classes)
    if args.method not in by_method:
        raise InputError(f"{name} has no convolution for Grad-CAM; name another --method")
    maps = {method: make() for method, make in by_method.items()}
    texts = captions(probabilities, np.asarray(logits(shown.astype(np.float32))), true)
    base = f"{name}_{args.image.stem if args.image else args.split}_saliency"
    panels = plot_panels(
        shown, maps[args.method], texts, args.keep, args.method,
        utils.headline(faces, f"What {name} looks at, {where}"),
    )  # fmt: skip
    utils.save_figure(panels, folder / f"{base}.png")
    methods = plot_methods(
        shown, maps, texts, utils.headline(faces, f"{name}, all methods, {where}")
    )
    utils.save_figure(methods, folder / f"{base}_methods.png")
    record["faces"] = [text.replace("\n", ", ") for text in texts]
    if rows is not None:
        labels = faces.labels[rows].astype(int)
        gradients = attribution.gradient(logits, faces.images[rows], predicted)
        title = utils.headline(
            faces,
            f"{name} on {where}: mean face of each class, and mean size of the gradient\n"
            "of the class predicted, each on its own scale",
        )
        heats = class_means(np.abs(gradients), labels)
        means = plot_class_means(class_means(faces.images[rows], labels), heats, labels, title)
        utils.save_figure(means, folder / f"{base}_classes.png")
        table = pd.DataFrame({CLASSES[label]: heat.ravel() for label, heat in heats.items()})
        text = table.rename_axis("pixel").to_csv(float_format="%.3g")
        utils.write_text(folder / f"{base}_classes.csv", text)
        if args.faces:
            count = min(args.faces, len(rows))
            title = utils.headline(faces, f"{name} on {count} faces of {where}")
            record["judged"] = judge(args, faces, rows, classifier, logits, predicted, title)
    utils.write_json(folder / f"{base}.json", record)
    return record


CONTROLS = ("random", "sobel")
LIMITS = {
    "keep": (0.001, 1),
    "noise": (0, 10),
    "samples": (1, 10**5),
    "steps": (1, 1024),
    "patch": (1, SIDE),
    "faces": (0, 10**6),
    "seed": (0, 2**31 - 1),
}
CHECKED = 32  # faces of the randomisation check, which makes all maps again for every layer

if __name__ == "__main__":
    utils.run(main, tyro.cli(Args, description=__doc__))
