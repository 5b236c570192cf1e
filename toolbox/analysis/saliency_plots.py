"""The figures of saliency.py: maps of single faces and of classes, and how far to trust them."""

import numpy as np

from toolbox.analysis import faithfulness
from toolbox.analysis.faithfulness import method_name
from toolbox.dataset.classes import in_lines
from toolbox.late import Axes, Figure, Rectangle
from toolbox.photos.face_finder import OneFace

HEAT = "inferno"  # its brightness rises evenly, so colour-blind readers lose nothing
MARKERS = ("o", "s", "^", "D", "v")
UNITS = {
    "grad_cam": "weighted sum of the last feature maps",
    "occlusion": "drop in class score when this region is hidden",
    "integrated_gradients": "size of this pixel's share in the class score",
    "smooth_gradient": "size of the change of the class score per grey level",
    "gradient": "size of the change of the class score per grey level",
}
SCORE = "(class score: the output for the predicted class, before the softmax)"
LETTERS = 26  # in a line beside a face
MANY = 0.995  # of a map's pixels are within its scale, so that one pixel does not decide on it


def captions(
    probabilities: np.ndarray, labels: np.ndarray | None, classes: tuple[str, ...]
) -> list[str]:
    """True class, where it is known, and predicted class of each face, and its probability."""
    texts = []
    for i, row in enumerate(probabilities):
        true = "" if labels is None else f"true {classes[labels[i]]}\n"
        texts.append(f"{true}predicted {classes[row.argmax()]}\n{100 * row.max():.0f} %")
    return texts


def top(heat: np.ndarray) -> float:
    """The upper end of a map's scale."""
    return max(float(np.quantile(np.abs(heat), MANY)), 1e-12)


def show_face(axes: Axes, image: np.ndarray, text: str = "") -> None:
    """A grey picture (h, w) of 0..255, with a text to its left."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=255)
    axes.set(xticks=[], yticks=[])
    text = "\n".join(in_lines(line, LETTERS) for line in text.split("\n"))
    axes.set_ylabel(text, rotation=0, ha="right", va="center")


def wider(texts: list[str]) -> float:
    """What texts beside faces need beyond a usual one, inches."""
    longest = max(len(line) for text in texts for line in text.split("\n"))
    return 0.2 * max(min(longest, LETTERS) - 18, 0)


def show_map(axes: Axes, heat: np.ndarray) -> None:
    """The sizes of a map's values, on a scale of its own that is written below it."""
    axes.imshow(np.abs(heat), cmap=HEAT, vmin=0, vmax=top(heat))
    axes.set(xticks=[], yticks=[])
    axes.set_xlabel(f"0 to {top(heat):.2g}", fontsize=8, labelpad=2)


def add_scale(figure: Figure, axes: Axes, label: str) -> None:
    """A colour bar below all axes, which ends at the number below each map."""
    (image,) = axes.images
    bar = figure.colorbar(
        image, ax=figure.axes, location="bottom", extend="max", aspect=50, pad=0.02
    )
    ends = bar.ax.set_xticks([0, image.norm.vmax], ["0", "number below the map"])
    ends[1].label1.set_horizontalalignment("right")
    bar.set_label(label, fontsize=9)


def plot_panels(
    images: np.ndarray, maps: np.ndarray, method: str, keep: float, texts: list[str], title: str
) -> Figure:
    """The homework's three panels per face: the face, its map, and its most salient pixels alone.

    images: (n, 48, 48) of 0..255. maps: float (n, 48, 48). keep: fraction of the pixels in the
    third panels. texts: beside the faces.
    """
    size = 6 + wider(texts), 1.5 * len(images) + 1.6
    figure = Figure(figsize=size, layout="compressed")
    figure.suptitle(title)
    grid = figure.subplots(len(images), 3, squeeze=False)
    names = "face", method_name(method), f"top {100 * keep:g} % of pixels"
    for axes, name in zip(grid[0], names, strict=True):
        axes.set_title(name, fontsize=11)
    kept = faithfulness.mix(images, faithfulness.ranks(maps), keep, hide=False)
    for row, image, heat, rest, text in zip(grid, images, maps, kept, texts, strict=True):
        show_face(row[0], image, text)
        show_map(row[1], heat)
        show_face(row[2], rest)
    add_scale(figure, grid[-1, 1], f"{UNITS[method]}\n{SCORE}")
    return figure


def plot_photo(face: OneFace, heat: np.ndarray, method: str, title: str) -> Figure:
    """A photo with a box about the face that the model saw, that face, and its map over it."""
    figure = Figure(figsize=(9, 3.6), layout="compressed")
    figure.suptitle(title)
    photo, seen, over = figure.subplots(1, 3)
    show_face(photo, face.picture)
    y, x, *size = face.box
    look = {"fill": False, "edgecolor": "C4", "linewidth": 2}
    turned = {"angle": face.turn, "rotation_point": "center"}
    photo.add_patch(Rectangle((x, y), *size, **turned, **look))
    show_face(seen, face.image)
    show_face(over, face.image)
    over.imshow(np.abs(heat), cmap=HEAT, vmin=0, vmax=top(heat), alpha=0.55)
    names = "photo", "what the model sees", method_name(method)
    for axes, name in zip((photo, seen, over), names, strict=True):
        axes.set_title(name, fontsize=11)
    return figure


def plot_methods(
    images: np.ndarray, maps: dict[str, np.ndarray], texts: list[str], title: str
) -> Figure:
    """The same faces by all methods, one column per method."""
    size = 1.35 * len(maps) + 2.7 + wider(texts), 1.55 * len(images) + 1.8
    figure = Figure(figsize=size, layout="compressed")
    figure.suptitle(title)
    grid = figure.subplots(len(images), 1 + len(maps), squeeze=False)
    for axes, name in zip(grid[0], ("face", *map(method_name, maps)), strict=True):
        axes.set_title(name.replace(" ", "\n"), fontsize=11)
    for i, row in enumerate(grid):
        show_face(row[0], images[i], texts[i])
        for axes, heat in zip(row[1:], maps.values(), strict=True):
            show_map(axes, heat[i])
    add_scale(figure, grid[-1, -1], "size of the value, on each map's own scale")
    return figure


def plot_class_means(
    faces: dict[str, np.ndarray],
    heats: dict[str, np.ndarray],
    counts: dict[str, tuple[int, int]],
    method: str,
    title: str,
) -> Figure:
    """Mean face of each class above its mean absolute map.

    faces, heats: for each class (48, 48). counts: how many faces and maps these are the means of.
    """
    figure = Figure(figsize=(1.55 * len(faces) + 0.3, 5.2), layout="compressed")
    figure.suptitle(title)
    grid = figure.subplots(2, len(faces), squeeze=False)
    for label, (above, below) in zip(faces, grid.T, strict=True):
        of_faces, of_maps = counts[label]
        show_face(above, faces[label])
        above.set_title(in_lines(label, 14), fontsize=11)
        above.set_xlabel(f"mean of {of_faces:,} faces", fontsize=8, labelpad=2)
        show_map(below, heats[label])
        below.set_xlabel(f"mean of {of_maps:,} maps:\n{below.get_xlabel()}", fontsize=8)
    add_scale(figure, grid[-1, -1], f"{method_name(method)}: {UNITS[method]}\n{SCORE}")
    return figure


def plot_scores(
    scores: dict[str, dict],
    depths: list[int],
    correlations: dict[str, list[float]],
    checked: int,
    title: str,
) -> Figure:
    """Deletion, insertion and the randomization check, one curve per method; controls are grey.

    scores: of `faithfulness.score_maps`; depths, correlations: of `randomization_check`, on
    `checked` faces.
    """
    figure = Figure(figsize=(13, 5.2), layout="constrained")
    figure.suptitle(title)
    figure.get_layout_engine().set(w_pad=0.12)
    deletion, insertion, check = figure.subplots(1, 3)
    looks = {
        name: {"color": f"C{i}", "marker": marker}
        for i, (name, marker) in enumerate(zip(correlations, MARKERS, strict=False))
    }
    looks |= {
        name: {"color": "0.45", "linestyle": line}
        for name, line in zip(faithfulness.CONTROLS, ("--", ":"), strict=True)
    }
    for name, score in scores.items():
        for axes, kind in ((deletion, "deletion"), (insertion, "insertion")):
            label = f"{method_name(name)}  {score[f'{kind}_auc']:.3f}"
            axes.plot(
                100 * np.array(faithfulness.FRACTIONS), score[kind], label=label, **looks[name]
            )
    for name, values in correlations.items():
        check.plot(depths, values, label=method_name(name), **looks[name])
    check.axhline(0, color="0.45", linewidth=0.8)
    deletion.set(xlabel="% of the pixels hidden, most salient first",
                 title="Deletion: lower is better")  # fmt: skip
    insertion.set(xlabel="% of the pixels shown, most salient first",
                  title="Insertion: higher is better")  # fmt: skip
    check.set(xlabel="layers with shuffled weights, from the top",
              ylabel=f"rank correlation, mean of {checked} faces",
              title="Weights shuffled: closer to 0 is better")  # fmt: skip
    check.xaxis.get_major_locator().set_params(integer=True)
    highest = max(max(score["insertion"]) for score in scores.values())
    for axes in (deletion, insertion):
        axes.set(ylabel="mean probability of the class", ylim=(0, 1.05 * highest))
        legend_below(axes, "area under the curve")
    legend_below(check)
    return figure


def legend_below(axes: Axes, title: str | None = None) -> None:
    """A legend that hides no curve."""
    axes.grid(alpha=0.3)
    axes.legend(title=title, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=8.5)
