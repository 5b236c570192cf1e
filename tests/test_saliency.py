"""The command's figures, tables and names, for a CSV and for a picture of one's own."""

import json
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import make_faces
from keras import layers
from matplotlib.figure import Figure
from model_makers import brightness_model, save_run
from PIL import Image

import saliency
import utils
from toolbox.analysis import faithfulness, saliency_plots
from toolbox.dataset import fer2013_csv
from utils import CLASSES, InputError

METHODS = set(saliency_plots.UNITS)
PARTS = (
    ".png",
    ".json",
    "_methods.png",
    "_classes.png",
    "_classes.csv",
    "_scores.png",
    "_scores.csv",
)


def convolutional(model: keras.Model) -> keras.Model:
    """The same model behind a convolution that changes nothing."""
    same = layers.Conv2D(1, 1, name="conv")
    model = keras.Sequential([keras.Input((48, 48, 1)), same, *model.layers])
    same.set_weights([np.ones((1, 1, 1, 1)), np.zeros(1)])
    return model


@pytest.fixture
def args(tmp_path) -> saliency.Args:
    """Few faces, and a model that is right on nearly all of them."""
    fer2013_csv.write_csv(tmp_path / "faces.csv", *make_faces(84))
    faces = utils.load_faces(tmp_path / "faces.csv")
    save_run(tmp_path / "models" / "net.keras", convolutional(brightness_model()), faces)
    return saliency.Args(
        data=tmp_path / "faces.csv",
        model="net",
        split="all",
        faces=14,
        samples=2,
        steps=2,
        patch=24,
        models_dir=tmp_path / "models",
        figures_dir=tmp_path / "figures",
    )


def test_a_run_writes_figures_scores_and_a_record(args, capsys):
    record = saliency.main(args)
    base = "faces_all_saliency_faces14_samples2_steps2_patch24"
    folder = args.figures_dir / "net"
    assert {path.name for path in folder.iterdir()} == {base + part for part in PARTS}
    table = pd.read_csv(folder / f"{base}_scores.csv", index_col="method")
    assert set(table.index) == {*METHODS, *faithfulness.CONTROLS}
    assert table[["deletion_auc", "insertion_auc"]].stack().between(0, 1).all()
    evaluation = json.loads((folder / f"{base}.json").read_text())["evaluation"]
    assert evaluation["verdict"] in capsys.readouterr().out
    assert evaluation["layers_shuffled"] == [0, 1, 2] and evaluation["accuracy"] > 0.9
    for name, score in evaluation["scores"].items():
        assert table.loc[name, "deletion_auc"] == pytest.approx(score["deletion_auc"])
    labels = utils.load_faces(args.data).labels[record["rows"]]
    assert labels.tolist() == list(range(7))  # one face of each class, and a correct one
    for name, text in zip(CLASSES, record["faces"], strict=True):
        assert text.startswith(f"true {name}, predicted {name}, ") and text.endswith(" %")
    means = pd.read_csv(folder / f"{base}_classes.csv", index_col="pixel")
    assert means.shape == (48 * 48, 7) and list(means) == list(CLASSES)


@pytest.mark.usefixtures("without_figures")
def test_a_second_run_in_one_process_overwrites_nothing_of_other_settings(args):
    args = replace(args, rows=(12, 80), split="validation")
    first = saliency.main(args)
    assert first["rows"] == [12, 80] and "evaluation" not in first
    written = {path: path.read_bytes() for path in args.figures_dir.rglob("*.*")}
    base = "faces_all_saliency_faces14_rows12-80_samples2_steps2_patch24"
    assert {path.name for path in written} == {
        f"{base}{x}" for x in (".png", ".json", "_methods.png")
    }
    saliency.main(replace(args, seed=1, method="grad_cam"))
    assert {path: path.read_bytes() for path in written} == written
    assert list(args.figures_dir.rglob("*_rows12-80_methodgrad_cam*_seed1_methods.png"))
    assert saliency.main(args) == first
    for rows in ((84,), (-1,), (0,) * 99):
        with pytest.raises(InputError, match="0 to 83"):
            saliency.main(replace(args, rows=rows))


@pytest.mark.usefixtures("without_figures")
def test_faces_without_labels_can_be_shown_but_not_evaluated(args, tmp_path):
    images, *_ = make_faces(7)
    text = "pixels\n" + "\n".join(" ".join(map(str, image.ravel())) for image in images)
    (tmp_path / "test.csv").write_text(text)
    args = replace(args, data=tmp_path / "test.csv")
    with pytest.raises(InputError, match="no labels"):
        saliency.main(args)
    record = saliency.main(replace(args, rows=(3,)))
    assert record["faces"][0].startswith("predicted Happy")


def picture(path: Path) -> Path:
    Image.fromarray(make_faces(7)[0][3]).convert("RGB").resize((96, 96)).save(path)
    return path


def test_a_picture_needs_no_csv_and_takes_the_shipped_model(tmp_path, monkeypatch):
    def no_csv(path=None):
        raise AssertionError("a CSV was asked for")

    monkeypatch.setattr(utils, "load_faces", no_csv)
    args = saliency.Args(
        image=picture(tmp_path / "me.jpg"), models_dir=tmp_path, figures_dir=tmp_path, samples=2
    )
    record = saliency.main(args)
    assert record["model"] == "compact" and "data" not in record
    assert len(record["faces"]) == 1 and "true" not in record["faces"][0]
    names = {path.name for path in (tmp_path / "compact-published").iterdir()}
    assert names == {
        f"me_saliency_samples2{part}" for part in (".png", ".json", "_methods.png", "_photo.png")
    }
    args.image.unlink()
    args.image.symlink_to(tmp_path / "compact-published" / "me_saliency_samples2_photo.png")
    with pytest.raises(InputError, match="is an input and would be overwritten"):
        saliency.main(args)


def test_a_picture_seen_by_a_model_of_synthetic_faces_is_kept_apart(args, tmp_path):
    faces = utils.load_faces(args.data)
    model = convolutional(brightness_model())
    save_run(tmp_path / "models" / "sample" / "fake.keras", model, faces, synthetic=True)
    path = tmp_path / "models" / "sample" / "fake.keras"
    saliency.main(replace(args, model=str(path), image=picture(tmp_path / "me.png")))
    assert list((args.figures_dir / "sample" / "fake").glob("me_saliency*.png"))


@pytest.mark.usefixtures("without_figures")
def test_a_model_without_convolution_that_is_never_right_is_explained_without_grad_cam(args):
    wrong = brightness_model(order=np.roll(range(7), 1))
    wrong.save(args.models_dir / "flat.keras")
    args = replace(args, model="flat")
    record = saliency.main(args)
    assert record["evaluation"]["accuracy"] < 0.1 and len(record["rows"]) == 7
    assert set(record["evaluation"]["scores"]) == {*METHODS, *faithfulness.CONTROLS} - {"grad_cam"}
    with pytest.raises(InputError, match="no convolution"):
        saliency.main(replace(args, method="grad_cam"))


@pytest.mark.parametrize("change", [{"patch": 49}, {"keep": 0}, {"noise": float("nan")}])
def test_arguments_out_of_their_limits_are_refused(args, change):
    with pytest.raises(InputError, match=f"--{next(iter(change))} is "):
        saliency.main(replace(args, **change))


# Figures


def test_every_map_has_its_scale_below_it():
    images = make_faces(2)[0]
    maps = {name: np.full((2, 48, 48), -2.5, np.float32) for name in METHODS}
    for figure in (
        saliency_plots.plot_methods(images, maps, ["a", "b"], "title"),
        saliency_plots.plot_panels(images, maps["gradient"], "gradient", 0.2, ["a", "b"], "title"),
        saliency_plots.plot_class_means(
            dict(zip("ab", images, strict=True)), dict(zip("ab", maps["gradient"], strict=True)),
            {"a": (5, 2), "b": (6, 2)}, "gradient", "title",
        ),
    ):  # fmt: skip
        drawn = [axes for axes in figure.axes if axes.images]
        heats = [axes for axes in drawn if axes.images[0].cmap.name == saliency_plots.HEAT]
        assert len(heats) >= 2 and all("0 to 2.5" in axes.get_xlabel() for axes in heats)
        assert any("number below the map" in labels(axes) for axes in figure.axes)


def labels(axes) -> list[str]:
    return [label.get_text() for label in axes.get_xticklabels()]


def test_no_legend_covers_a_curve():
    names = [*saliency_plots.UNITS, *faithfulness.CONTROLS]
    curve = np.linspace(1, 0, len(faithfulness.FRACTIONS)).tolist()
    one = {"deletion": curve, "insertion": curve, "deletion_auc": 0.5, "insertion_auc": 0.5}
    correlations = {name: [1.0, 0.5, 0.1] for name in saliency_plots.UNITS}
    figure: Figure = saliency_plots.plot_scores(
        dict.fromkeys(names, one), [0, 1, 2], correlations, 7, "title"
    )
    figure.draw_without_rendering()
    for axes in figure.axes:
        assert axes.get_legend().get_window_extent().y1 < axes.get_window_extent().y0
        looks = {
            (line.get_color(), line.get_marker(), line.get_linestyle())
            for line in axes.get_legend().get_lines()
        }
        assert len(looks) == len(axes.get_legend().get_lines())  # also without its colours
