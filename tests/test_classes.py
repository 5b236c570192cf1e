"""Every script works for other classes than FER2013's seven."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import make_faces
from model_makers import brightness_model

import confusion_matrix
import evaluate
import report
import saliency
import semi_supervised
import train_cnn
import train_dnn
import utils
import visualize_filters
from toolbox.dataset import fer2013_csv
from toolbox.dataset.classes import class_name, in_lines, in_order
from utils import CLASSES, InputError

NAMES = {
    2: ("joy", "anger"),
    8: ("neutral", "contempt", "happiness", "sad", "Fearful", "DISGUST", "anger", "surprise"),
}


def test_names_of_figures_are_wrapped_and_cut_off_where_they_are_too_long():
    assert in_lines("Happy", 12) == "Happy"
    assert in_lines("Contemptuously amused", 12, 1) == "Contemptuou…"
    assert in_lines("悲しみと怒り", 8).split() == ["悲しみと", "怒り"]
    assert "".join(in_lines("x" * 40, 16).split()) == "x" * 40


def write(path, count: int, classes, missing: int | None = None):
    """A CSV with names for labels; PublicTest lacks the class at `missing`."""
    images, sevenths, usage = make_faces(count)
    labels = np.arange(count) % len(classes)
    brighter = 20 * (labels - sevenths.astype(int))[:, None, None]
    images = np.minimum(images + brighter, 255).astype(np.uint8)
    keep = ~((usage > 0) & (labels == missing))
    votes = 0.9 * np.eye(len(classes))[labels] + 0.1 / len(classes)
    columns = images[keep], labels[keep], usage[keep], None, classes, votes[keep]
    fer2013_csv.write_csv(path, *columns)
    return path


def test_names_in_any_spelling_have_one_order():
    assert in_order(map(class_name, NAMES[8])) == in_order((*CLASSES, "Contempt"))
    assert in_order(map(class_name, NAMES[2])) == ("Angry", "Joy")
    for word in ("SİNİRLİ", "दुखी", "มีความสุข", "wu\u0308tend"):  # what is written can be read
        assert class_name(class_name(word)) == class_name(word)
    assert class_name("wu\u0308tend") == class_name("w\u00fctend")
    for wrong in ("", "3", "a,b", "nan", "x" * 41):
        with pytest.raises(ValueError, match="no name of a class"):
            class_name(wrong)


@pytest.mark.parametrize("count", [2, 8])
def test_every_script(count, tmp_path, monkeypatch, capsys):
    data = write(tmp_path / "others.csv", 168, NAMES[count], missing=1)
    classes = in_order(map(class_name, NAMES[count]))
    for faces in (utils.load_faces(data), utils.load_faces(data)):  # parsed, then from the cache
        assert faces.classes == classes
        np.testing.assert_array_equal(faces.votes.argmax(axis=1), faces.labels)
    monkeypatch.setattr(semi_supervised, "METHODS", ("fixmatch",))
    folders = {"models_dir": tmp_path / "models", "figures_dir": tmp_path / "figures"}
    common = {"data": data, **folders}
    small = {"epochs": 1, "batch_size": 32, "width": 4}
    record = train_cnn.main(train_cnn.Args(**common, **small, targets="votes"))
    assert record["classes"] == list(classes)
    common |= {"model": "fast", "split": "PublicTest"}
    record = confusion_matrix.main(confusion_matrix.Args(**common))
    missing = record["classes"][class_name(NAMES[count][1])]
    assert list(record["classes"]) == list(classes) and missing["support"] == 0
    absent = class_name(NAMES[count][1])
    told = [line for line in capsys.readouterr().out.splitlines() if "Note" in line]
    assert told == [f"Note: no PublicTest face of others.csv is {absent}"]
    if count == 2:
        return
    train_dnn.main(train_dnn.Args(data, **folders, **small))
    record = evaluate.main(evaluate.Args(**common, versus="dnn", ensemble=("dnn",)))
    assert "classes_left_out" not in record and record["faces_seen_in_training"] == 0
    few = {"faces": 8, "steps": 1, "samples": 1, "patch": 24}
    saliency.main(saliency.Args(**common, **few))
    [means] = (tmp_path / "figures" / "fast").glob("*saliency*_classes.csv")
    assert set(pd.read_csv(means).columns[1:]) == set(classes) - {class_name(NAMES[count][1])}
    visualize_filters.main(visualize_filters.Args(**common, layer=("conv_1a",), steps=1))
    learned = semi_supervised.main(semi_supervised.Args(
        data, labels_per_class=2, updates=6, width=4, batch_size=4, simclr_updates=0, **folders
    ))  # fmt: skip
    assert len(learned["fixmatch"]["metrics"]["f1"]) == count
    text = report.main(report.Args(data, **folders))["text"]
    assert all(f"| {name} | " in text for name in classes)


def test_models_and_data_meet_on_the_classes_that_they_share(tmp_path, capsys):
    """Eight classes in the data; a model of eight, one of FER2013's seven by the alphabet."""
    eight = in_order(map(class_name, NAMES[8]))
    data = write(tmp_path / "fer2013.csv", 168, eight)
    models = tmp_path / "models"
    models.mkdir()
    for name, classes in (("a", eight[::-1]), ("b", sorted(CLASSES)), ("c", ("joy", "sad"))):
        order = [eight.index(each) if each in eight else 4 for each in map(class_name, classes)]
        brightness_model(order, scale=1.0).save(models / f"{name}.keras")
        (models / f"{name}.json").write_text(json.dumps({"classes": list(classes)}))
    args = evaluate.Args(data, split="all", model="a", models_dir=models, figures_dir=tmp_path)
    record = evaluate.main(args)
    assert record["faces"] == 168 and record["accuracy"] > 0.9
    assert "classes_left_out" not in record and "share" not in capsys.readouterr().out
    record = evaluate.main(replace(args, versus="b"))
    assert record["classes_left_out"] == ["Contempt"] and record["faces"] == 147
    assert record["accuracy"] > 0.9 and record["versus"]["other_accuracy"] > 0.9
    told = f"a, b and fer2013.csv share 7 classes ({', '.join(CLASSES)}), those of 147 of 168 faces"
    assert f"{told}; left out: Contempt\n" in capsys.readouterr().out
    assert len(list((tmp_path / "a").glob("all_*_7classes_reliability.png"))) == 1
    with pytest.raises(InputError, match=r"at least two classes must be shared .*c: Sad, Joy"):
        evaluate.main(replace(args, model="c"))
