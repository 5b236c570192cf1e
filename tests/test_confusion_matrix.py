"""The figure and the words say what the matrix holds, and the command evaluates the right rows."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import make_faces
from model_makers import brightness_model, random_model, save_run
from sklearn import metrics as oracle

import confusion_matrix
import utils
from toolbox.analysis.predictions import predict
from toolbox.analysis.saved_models import load_classifier
from toolbox.dataset import fer2013_csv, splits
from utils import CLASSES, InputError

# The homework's P3: support of each class.
SUPPORT = (413, 52, 421, 683, 480, 327, 495)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with faces.csv and models/compact.keras, as if trained on it."""
    folder = tmp_path_factory.mktemp("made")
    fer2013_csv.write_csv(folder / "faces.csv", *make_faces(420))
    faces = utils.load_faces(folder / "faces.csv")
    save_run(folder / "models" / "compact.keras", random_model(0), faces)
    return folder


def args_for(folder: Path, output: Path, **changes) -> confusion_matrix.Args:
    """Of the faces and models in `folder`."""
    named = {"models_dir": folder / "models", "figures_dir": output, "model": "compact"}
    return confusion_matrix.Args(**({"data": folder / "faces.csv"} | named | changes))


def test_the_figure_has_ratio_and_count_of_true_rows_in_each_cell():
    counts = np.arange(49).reshape(7, 7)
    axes = confusion_matrix.plot_matrix(counts, CLASSES, "title").axes[0]
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    assert len(texts) == 49
    for i in range(7):
        for j in range(7):  # x counts columns
            assert texts[(j, i)] == f"{counts[i, j] / counts[i].sum():.2f}\n{counts[i, j]}"
    assert axes.get_xlabel() == "predicted" and axes.get_ylabel() == "true"
    assert [label.get_text() for label in axes.get_xticklabels()] == list(CLASSES)
    assert axes.get_yticklabels()[2].get_text() == f"Fear ({counts[2].sum()})"


def test_long_and_chinese_names_do_not_overlap_and_warn_of_nothing(tmp_path, recwarn):
    letters = (
        "Contemptuously amused and a bit surprise",
        "悲しみと怒りの混ざった表情です" * 2,
        "x" * 40,
    )
    names = tuple(f"{letters[i % 3][:-1]}{i}" for i in range(7))
    matrix = confusion_matrix.plot_matrix(np.eye(7, dtype=int), names, "title")
    utils.save_figure(matrix, tmp_path / "matrix.png")
    assert not [str(warning.message) for warning in recwarn]
    matrix.draw_without_rendering()
    for ticks in (matrix.axes[0].get_xticklabels(), matrix.axes[0].get_yticklabels()):
        boxes = [tick.get_window_extent() for tick in ticks]
        assert not any(a.overlaps(b) for a, b in itertools.pairwise(boxes))
        assert all(matrix.bbox.contains(*box.min) for box in boxes)


def test_classes_are_measured_as_scikit_learn_does():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 7, 500)
    predicted = np.where(rng.random(500) < 0.6, labels, rng.integers(0, 7, 500))
    classes = confusion_matrix.measure_classes(labels, predicted, CLASSES)
    expected = oracle.precision_recall_fscore_support(labels, predicted)
    for i, name in enumerate(CLASSES):
        row = classes[name]
        found = [row["precision"], row["recall"], row["f1-score"], row["support"]]
        np.testing.assert_allclose(found, [column[i] for column in expected])
        low, high = row["recall_interval"]
        assert low < row["recall"] < high
    few = confusion_matrix.measure_classes(labels[:3], labels[:3], CLASSES)
    assert list(few) == list(CLASSES)


def test_observations_are_the_homeworks_own():
    recall = np.array([0.50, 0.27, 0.34, 0.85, 0.55, 0.73, 0.68])
    counts = np.diag(np.round(SUPPORT * recall).astype(int))
    counts[1] = [19, 14, 4, 5, 4, 2, 4]  # Disgust: 37 % Angry, 27 % right
    counts[2, 4], counts[4, 6] = round(0.25 * 421), round(0.25 * 480)  # Fear, Sad
    for i in (0, 2, 3, 4, 5, 6):  # the others share what is left
        free = np.flatnonzero(counts[i] == 0)
        counts[i, free] = (SUPPORT[i] - counts[i].sum()) // len(free)
    lines = confusion_matrix.observe(counts, CLASSES)
    most = "Disgust is misclassified as Angry 37 % of the time, more than the 27 % it gets right."
    assert most in lines
    assert lines[0] == "In 6 of 7 classes the right answer is the most frequent one."
    assert lines[1].startswith("Happy has the highest recall (")
    assert "Disgust the lowest (27 % of 52)" in lines[1]
    fear = next(line for line in lines if line.startswith("Fear is misclassified as Sad"))
    assert "more than" not in fear
    assert not any("Sad is misclassified as Fear" in line for line in lines)


def test_observations_never_compare_equal_percentages():
    counts = np.zeros((7, 7), int)
    counts[0, [3, 4]] = 496, 1  # Angry: 0.2 % Sad, and none right
    counts[1, [0, 1, 3]] = 301, 300, 399  # 30 % and 30 %
    counts[6, 6] = 9
    lines = confusion_matrix.observe(counts, CLASSES)
    most = "Angry is misclassified as Happy 100 % of the time, more than the 0 % it gets right."
    assert most in lines
    for pair in ("Angry is misclassified as Sad", "Disgust is misclassified as Angry"):
        assert not any(pair in line for line in lines)


def test_a_model_that_is_right_on_no_face(tmp_path):
    images, labels, usage = make_faces(84)
    wrong = labels != 3  # it says Happy to all of them
    fer2013_csv.write_csv(tmp_path / "faces.csv", images[wrong], labels[wrong], usage[wrong])
    (tmp_path / "models").mkdir()
    model = brightness_model()
    model.layers[-1].set_weights([np.zeros((1, 7)), np.eye(7)[3] * 900])
    model.save(tmp_path / "models" / "compact.keras")
    record = confusion_matrix.main(args_for(tmp_path, tmp_path / "figures", split="all"))
    assert record["accuracy"] == 0 and "No face is right." in record["observations"]
    assert "100 % of all answers are Happy." in record["observations"]


def test_a_model_that_is_always_right_has_no_errors_to_show(tmp_path):
    figure = confusion_matrix.plot_errors(
        confusion_matrix.find_errors(np.arange(7), np.eye(7)), make_faces(7)[0], CLASSES, "title"
    )
    assert "no errors" in figure.get_suptitle()


def test_the_command_evaluates_the_rows_that_were_held_out(made, tmp_path, capsys):
    record = confusion_matrix.main(args_for(made, tmp_path))
    faces = utils.load_faces(made / "faces.csv")
    rows = splits.split(faces, 0.25, 0)[1]
    model = load_classifier(made / "models" / "compact.keras")
    right = predict(model, faces.images[rows]).argmax(axis=1) == faces.labels[rows]
    assert record["accuracy"] == right.mean() and record["faces"] == len(rows)
    assert record["faces_seen_in_training"] == 0
    assert record["model_trained_on_synthetic"] is False
    base = tmp_path / "compact" / "faces_validation"
    assert {path.name for path in base.parent.iterdir()} == {
        f"faces_validation_{kind}"
        for kind in ("confusion.png", "confusion.csv", "confusion.json", "classes.csv",
                     "errors.png", "errors.csv")
    }  # fmt: skip
    counts = pd.read_csv(f"{base}_confusion.csv", index_col="true").to_numpy()
    assert counts.sum() == record["faces"]
    assert counts.diagonal().sum() == round(record["accuracy"] * record["faces"])
    printed = capsys.readouterr().out
    assert all(line in printed for line in record["observations"])
    assert re.search(r"Angry +\d\.\d\d +\d\.\d\d", printed)
    written = json.loads(Path(f"{base}_confusion.json").read_text())
    assert written == json.loads(json.dumps(record))


def test_errors_are_errors_and_the_most_confident_of_their_pair(made, tmp_path):
    confusion_matrix.main(args_for(made, tmp_path, split="all"))
    errors = pd.read_csv(tmp_path / "compact" / "faces_all_errors.csv")
    faces = utils.load_faces(made / "faces.csv")
    model = load_classifier(made / "models" / "compact.keras")
    probabilities = predict(model, faces.images)
    assert len(errors) > 3
    for _, error in errors.iterrows():
        row, wrong = int(error["row"]), int(error["predicted"])
        assert faces.labels[row] == error["true"] != wrong
        assert probabilities[row].argmax() == wrong
        assert error["probability"] == pytest.approx(probabilities[row, wrong], abs=1e-6)
    for _, pair in errors.groupby(["true", "predicted"], sort=False):
        assert pair["probability"].is_monotonic_decreasing


def test_a_model_of_synthetic_faces_is_marked_and_the_real_faces_are_not(made, tmp_path):
    faces = utils.load_faces(made / "faces.csv")
    models = tmp_path / "models"
    path = save_run(models / "sample" / "m.keras", random_model(1), faces, synthetic=True)
    args = args_for(made, tmp_path / "f", model=str(path), models_dir=models, split="PublicTest")
    record = confusion_matrix.main(args)
    assert record["data"]["synthetic"] is False and record["model_trained_on_synthetic"] is True
    assert (tmp_path / "f" / "sample" / "m" / "faces_PublicTest_confusion.json").exists()
    assert [path.name for path in (tmp_path / "f").iterdir()] == ["sample"]


@pytest.mark.parametrize("synthetic", [True, False])
def test_errors_of_synthetic_faces_are_shown_with_the_share_of_wrong_labels(
    synthetic, made, tmp_path, monkeypatch
):
    faces = utils.load_faces(made / "faces.csv")._replace(synthetic=synthetic)
    monkeypatch.setattr(utils, "load_faces", lambda path: faces)
    titles = {}

    def keep_title(figure, path) -> None:
        titles[Path(path).name] = figure.get_suptitle()

    monkeypatch.setattr(utils, "save_figure", keep_title)
    confusion_matrix.main(args_for(made, tmp_path, split="all"))
    told = "8 % of the labels are wrong on purpose" in titles["faces_all_errors.png"]
    assert told == synthetic


def test_rows_without_an_id_are_refused(tmp_path):
    path = tmp_path / "test.csv"
    pixels = " ".join(["7"] * 2304)
    path.write_text(f"id,feature\n0,{pixels}\n,{pixels}\n")
    with pytest.raises(InputError, match="line 3: no id"):
        fer2013_csv.read_ids(path)
    path.write_bytes(b"id,feature\nM\xfcller," + pixels.encode() + b"\n")
    assert fer2013_csv.read_ids(path) == ["M\N{REPLACEMENT CHARACTER}ller"]  # Latin-1, not UTF-8
