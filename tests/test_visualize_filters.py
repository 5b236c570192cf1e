"""The command run small: what it writes, under which names, and how it refuses."""

import io
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import make_faces
from keras import layers
from known_filters import by_hand, classifier_of
from PIL import Image

import utils
import visualize_filters
from toolbox.analysis import saved_models
from utils import InputError

IMAGE = make_faces(1)[0][0]
ENDINGS = {"filters.png", "ascent.png", "best_faces.png", "responses.png"}
ENDINGS |= {"filters.csv", "filters.json", "best_faces.csv"}


@pytest.fixture
def models(faces_csv):
    """A folder with faces.csv and models/x.keras, which has three convolutions."""
    stem = layers.Conv2D(4, 5, 2, name="stem", trainable=False)
    deep = [layers.BatchNormalization(), layers.ReLU(), layers.Conv2D(8, 3, name="deep")]
    last = [layers.ReLU(), layers.Conv2D(6, 3, name="last"), layers.ReLU()]
    model = classifier_of(layers.Rescaling(1 / 255), stem, *deep, *last).model
    (faces_csv.parent / "models").mkdir()
    model.save(faces_csv.parent / "models" / "x.keras")
    return faces_csv.parent


def args_for(models, **changes) -> visualize_filters.Args:
    folders = {"models_dir": models / "models", "figures_dir": models / "figures"}
    args = visualize_filters.Args(models / "faces.csv", "PublicTest", model="x", **folders)
    return replace(args, steps=5, **changes)


def written(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_command_writes_figures_and_one_row_per_filter(models, capsys):
    records = visualize_filters.main(args_for(models, layer=("deep",), show=6))
    base = models / "figures" / "x" / "deep_faces_PublicTest_steps5_show6"
    assert written(base.parent) == {f"{base.name}_{ending}" for ending in ENDINGS}

    table = pd.read_csv(f"{base}_filters.csv")
    steps = [f"step_{step}" for step in (0, 1, 4, 5)]
    means = [f"mean_{name}" for name in utils.CLASSES]
    columns = ["filter", "dead", "best_face", "ascent", *steps, "untrained", *means]
    assert table.columns.tolist() == columns
    assert table["filter"].tolist() == list(range(8)) and set(table["dead"]) <= {0, 1}
    assert (table[means].max(axis=1) <= table["best_face"] + 1e-4).all()
    climbed = table[table["ascent"].notna()]
    assert len(climbed) == 6 and (climbed["ascent"] >= climbed["step_0"]).all()
    others = table.loc[table["ascent"].isna() & (table["dead"] == 0), "best_face"]
    assert others.max() <= climbed.loc[climbed["dead"] == 0, "best_face"].min()

    record = records["deep"]
    assert json.loads(base.with_name(f"{base.name}_filters.json").read_text()) == record
    assert record["filters"] == 8 and record["climbed"] == 6
    assert record["dead"] == table["dead"].sum()
    live = climbed[climbed["dead"] == 0]
    assert record["ascent_above_best_face"] == (live["ascent"] > live["best_face"]).sum()
    assert record["split"] == "faces_PublicTest" and record["faces"] == 70
    assert record["arguments"]["steps"] == 5 and "deep: " in capsys.readouterr().out

    best = pd.read_csv(f"{base}_best_faces.csv")
    assert set(best["filter"]) == set(climbed["filter"]) and best["rank"].max() == 10
    first = best[best["rank"] == 1].set_index("filter")["activation"]
    np.testing.assert_allclose(first, table.loc[first.index, "best_face"], rtol=1e-4)
    faces = utils.load_faces(models / "faces.csv")
    assert not best.duplicated(["filter", "row"]).any()
    assert (faces.usage[best["row"]] == utils.USAGES.index("PublicTest")).all()
    assert best["label"].tolist() == [utils.CLASSES[i] for i in faces.labels[best["row"]]]


@pytest.mark.usefixtures("without_figures")
def test_runs_of_other_settings_leave_each_others_files_alone(models):
    """A second `main` in one process: two of three layers, then one layer in other settings."""
    records = visualize_filters.main(args_for(models, layer=("deep", "stem"), show=4))
    folder, base = models / "figures" / "x", "faces_PublicTest_steps5_show4"
    assert [(name, record["layer"]) for name, record in records.items()] == [
        ("stem", "stem"),
        ("deep", "deep"),
    ]
    expected = {f"{name}_{base}_{ending}" for name in records for ending in ENDINGS}
    assert written(folder) == expected
    before = {path: path.read_bytes() for path in folder.iterdir()}
    others = [{"seed": 3}, {"plain": True}, {"split": "all"}]
    for changes in others:
        visualize_filters.main(args_for(models, layer=("deep",), show=4, **changes))
    assert len(written(folder)) == len(before) + len(others) * len(ENDINGS)
    assert all(path.read_bytes() == content for path, content in before.items())
    visualize_filters.main(args_for(models, layer=("deep",), show=4, row=3))
    one_more = written(folder) - expected  # the row changes the feature maps alone
    assert f"deep_{base}_responses_row3.png" in one_more
    assert len(one_more) == len(others) * len(ENDINGS) + 1
    table = folder / f"deep_{base}_filters.csv"
    again = [pd.read_csv(file) for file in (table, io.BytesIO(before[table]))]
    pd.testing.assert_frame_equal(*again, rtol=1e-3)  # the seed repeats


def test_a_picture_of_ones_own_needs_no_csv(models, monkeypatch, capsys):
    Image.fromarray(IMAGE).resize((90, 60)).save(models / "me.png")
    monkeypatch.setattr(utils, "load_faces", None)
    monkeypatch.setattr(saved_models, "SHIPPED", models / "models" / "x.keras")
    args = replace(args_for(models, layer=("deep",)), data=None, model="", image=models / "me.png")
    record = visualize_filters.main(args)["deep"]
    folder, base = models / "figures" / "x", "deep_image-me_responses"
    assert written(folder) == {f"{base}.png", f"{base}.json"}
    assert json.loads((folder / f"{base}.json").read_text()) == record
    assert len(record["highest_activations"]) == 8
    assert "Model: x" in capsys.readouterr().out
    formula = models / r"$\frac{$.png"
    formula.write_bytes((models / "me.png").read_bytes())
    visualize_filters.main(replace(args, image=formula))
    own = folder / f"{base}.png"  # a figure as the next picture, under a name that leads to itself
    (models / "me.png").unlink()
    (models / "me.png").symlink_to(own)
    with pytest.raises(InputError, match="is an input and would be overwritten"):
        visualize_filters.main(args)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"layer": ("conv_9",)}, "no convolution conv_9; there are stem, deep, last"),
        ({"row": 420}, "rows 0 to 419, not 420"),
        ({"steps": 0}, "--steps is 0"),
        ({"show": 0}, "--show is 0"),
        ({"split": "Test"}, "no rows of Usage Test"),
        ({"split": "validation"}, "x has no validation rows"),
    ],
)
def test_bad_input_ends_in_one_line_and_writes_nothing(change, expected, models):
    with pytest.raises(InputError, match=expected):
        visualize_filters.main(replace(args_for(models), **change))
    assert not (models / "figures").exists()


def test_a_broken_model_ends_in_one_line(models):
    by_hand(np.full((5, 5), np.nan)).model.save(models / "models" / "x.keras")
    Image.fromarray(IMAGE).save(models / "me.png")
    args = args_for(models)
    for its in (args, replace(args, data=None, image=models / "me.png")):
        with pytest.raises(InputError, match="NaN or infinity"):
            visualize_filters.main(its)
    assert not (models / "figures").exists()
