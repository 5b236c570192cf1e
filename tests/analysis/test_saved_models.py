"""Models are found and fed as each of them wants it, and what they leave is kept apart."""

import json
import os
from pathlib import Path

import keras
import numpy as np
import pytest
from model_makers import brightness_model, random_model, save_run

import utils
from toolbox.analysis import saved_models
from toolbox.analysis.predictions import predict
from toolbox.analysis.saved_models import Classifier, load_classifier
from toolbox.files import InputError


def test_how_a_model_is_fed_and_read_belongs_to_the_model(faces_csv, tmp_path, capsys):
    faces = utils.load_faces(faces_csv)
    ours = save_run(tmp_path / "ours.keras", brightness_model(), faces)
    unit, told = tmp_path / "unit.keras", tmp_path / "told.keras"
    order = (0, 1, 2, 3, 6, 4, 5)
    for path in (unit, told):
        brightness_model(order, scale=255.0).save(path)
    told.with_suffix(".json").write_text('{"input_range": [0, 1], "classes": "alphabetical"}')
    for path, flags, settings in (
        (ours, ((0, 1), ("alphabetical",)), ""),  # its record knows better
        (unit, ((0, 1), ("alphabetical",)), "_input0to1_alphabetical"),
        (told, ((0, 255), ()), "_input0to1_alphabetical"),
        (told, ((-1, 1), ()), "_input0to1_alphabetical"),
    ):
        classifier = load_classifier(path, *flags)
        right = predict(classifier, faces.images).argmax(axis=1) == faces.labels
        assert right.mean() > 0.95 and classifier.settings == settings
    printed = capsys.readouterr().out
    assert "ours takes 0 to 255, says ours.json; --input-range is unused" in printed
    assert "ours's order of classes is that of ours.json" in printed
    assert "told takes 0 to 1" in printed
    assert load_classifier(told).unknown == "told.json does not say what the model was trained on"


@pytest.mark.parametrize(
    "content",
    ['{"input_range": [1, 1]}', '{"input_range": 3}', '{"classes": ["x"]}', '{"classes": 1}'],
)
def test_wrong_words_beside_a_model_are_refused(content, tmp_path):
    brightness_model().save(tmp_path / "m.keras")
    (tmp_path / "m.json").write_text(content)
    with pytest.raises(InputError, match=r"m\.json: "):
        load_classifier(tmp_path / "m.keras")


def test_wrong_flags_are_refused(tmp_path):
    brightness_model().save(tmp_path / "m.keras")
    for wrong in ((1, 1), (0, np.nan), (0, np.inf)):
        with pytest.raises(InputError, match=r"--input-range: .* two different numbers"):
            load_classifier(tmp_path / "m.keras", wrong)
    (tmp_path / "m.json").write_text('{"input_range": [0, 1]}')  # it wins, but nonsense is told
    with pytest.raises(InputError, match=r"--input-range: .* two different numbers"):
        load_classifier(tmp_path / "m.keras", (np.nan, 1))


def test_record_of_another_model_is_not_believed(faces_csv, tmp_path):
    """As after a crash between NAME.keras and NAME.json: nothing is known then."""
    faces = utils.load_faces(faces_csv)
    path = save_run(tmp_path / "m.keras", random_model(0), faces)
    assert load_classifier(path).record is not None
    record = json.loads(path.with_suffix(".json").read_text())
    listed = json.dumps(record | {"split": list(record["split"]), "data": ["synthetic"]})
    for damage in (
        "",
        "{",
        "[1]",
        "{}",
        '{"split": {}, "data": {}}',
        '{"split": 3}',
        listed,
        "\xff",
    ):
        path.with_suffix(".json").write_text(damage, encoding="latin-1")
        assert load_classifier(path).record is None
        assert "is damaged" in load_classifier(path).unknown
    path.with_suffix(".json").write_text(json.dumps(record | {"accuracy": float("nan")}))
    assert "is damaged" in load_classifier(path).unknown
    path.with_suffix(".json").write_text(json.dumps(record | {"data": {"drawn": True}}))
    assert load_classifier(path).synthetic  # as older records say it
    path.with_suffix(".json").write_text(json.dumps(record))
    random_model(1).save(path)
    assert "is the record of another m.keras" in load_classifier(path).unknown
    path.with_suffix(".json").unlink()
    assert "there is no m.json" in load_classifier(path).unknown


def test_which_model_is_meant(tmp_path, capsys, monkeypatch):
    shipped = saved_models.SHIPPED
    assert saved_models.find_model("", tmp_path, synthetic=False) == shipped
    assert "Model: compact, which this project ships" in capsys.readouterr().out
    (tmp_path / "sample").mkdir()
    (tmp_path / "circle.keras").symlink_to("circle.keras")
    for name in ("v1.keras", "mine", "sample/mine", "sample/fast", ".mine.17"):
        (tmp_path / f"{name}.keras").write_bytes(b"")
    os.utime(tmp_path / "v1.keras.keras", (0, 0))
    assert saved_models.find_model("", tmp_path, synthetic=False) == shipped
    assert capsys.readouterr().out.count("\n") == 1
    saved_models.find_model("", tmp_path, synthetic=False)
    assert "your newest: --model mine" in capsys.readouterr().out
    assert saved_models.find_model("", tmp_path, True) == tmp_path / "sample" / "fast.keras"
    assert "--model mine" in capsys.readouterr().out
    for name, synthetic, found in (
        ("mine", False, tmp_path / "mine.keras"),
        ("mine", True, tmp_path / "sample" / "mine.keras"),
        ("sample/mine", True, tmp_path / "sample" / "mine.keras"),
        ("compact", False, shipped),
        ("other/net.h5", False, Path("other/net.h5")),
        ("v1.keras", False, tmp_path / "v1.keras.keras"),  # of --name v1.keras
        ("absent", False, tmp_path / "absent.keras"),
    ):
        assert saved_models.find_model(name, tmp_path, synthetic) == found
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()  # a folder that happens to have a run's name
    assert saved_models.find_model("mine", tmp_path, False) == tmp_path / "mine.keras"


def test_models_of_one_name_keep_their_results_apart(tmp_path):
    models = tmp_path / "models"
    places = ("models", "models/sample", "elsewhere", "models/old")
    for seed, place in enumerate(places):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        random_model(seed).save(tmp_path / place / "compact.keras")
    random_model(9).save(models / "compact.h5")
    paths = [tmp_path / place / "compact.keras" for place in places]
    paths += [models / "compact.h5", saved_models.SHIPPED]
    for synthetic in (False, True):
        folders = [
            saved_models.results_folder(
                Classifier(path.stem, path, None, (0.0, 255.0), None), models, tmp_path, synthetic
            )
            for path in paths
        ]
        assert len(set(folders)) == len(folders)
        own = tmp_path / "sample" / "compact" if synthetic else tmp_path / "compact"
        assert folders[int(synthetic)] == own
        assert folders[-1].name == "compact-published"


@pytest.mark.parametrize(
    "side, name, remedy", [(None, "conv", "an input size"), (48, "conv 1", "rename its layers")]
)
def test_a_model_that_fails_at_a_face_is_refused(tmp_path, side, name, remedy):
    """For it needs a larger one, or was trained where layers may have any name."""
    stack = keras.layers.MaxPooling2D(24), keras.layers.Conv2D(7, 3, name=name)
    if side:
        stack = stack[1:]
    last = keras.layers.GlobalAveragePooling2D()
    model = keras.Sequential([keras.Input((side, side, 1)), *stack, last])
    model.save(tmp_path / "x.keras")
    with pytest.raises(InputError, match=remedy):
        saved_models.load_classifier(tmp_path / "x.keras")
