"""The matrix is the right way round, the numbers are scikit-learn's, and no training row is a test."""

import gzip
import json
import re
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import make_faces
from scipy.stats import binom
from sklearn import metrics

import utils
import calibration
import classifier as classifiers
import confusion_matrix
import fer2013_csv
import ferplus
import scores
import train_cnn
from utils import CLASSES, InputError

# The report's P3: support, and the ratios it names. Disgust's row in full, others on the diagonal.
SUPPORT = (413, 52, 421, 683, 480, 327, 495)


def test_true_is_on_rows_and_predicted_on_columns():
    labels = np.array([0, 0, 0, 1, 4, 4])
    predicted = np.array([0, 1, 1, 1, 2, 4])
    counts = scores.confusion_counts(labels, predicted)
    expected = np.zeros((7, 7), int)
    for true, taken_for in zip(labels, predicted, strict=True):
        expected[true, taken_for] += 1
    np.testing.assert_array_equal(counts, expected)
    assert counts[0, 1] == 2 and counts[1, 0] == 0  # a transposed matrix fails here
    ratio = scores.ratios(counts)
    assert ratio[0, 1] == pytest.approx(2 / 3)
    np.testing.assert_allclose(ratio.sum(axis=1), [1, 1, 0, 0, 1, 0, 0])  # absent classes stay


def test_the_figure_has_ratio_and_count_of_true_rows_in_each_cell():
    counts = np.arange(49).reshape(7, 7)
    axes = confusion_matrix.plot_matrix(counts, "title").axes[0]
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    assert len(texts) == 49
    for i in range(7):
        for j in range(7):  # x counts columns
            assert texts[(j, i)] == f"{counts[i, j] / counts[i].sum():.2f}\n{counts[i, j]}"
    assert axes.get_xlabel() == "predicted" and axes.get_ylabel() == "true"
    assert [label.get_text() for label in axes.get_xticklabels()] == list(CLASSES)
    assert axes.get_yticklabels()[2].get_text() == f"Fear ({counts[2].sum()})"


def answers(seed: int = 0, count: int = 500) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 7, count)
    return labels, np.where(rng.random(count) < 0.6, labels, rng.integers(0, 7, count))


def test_measures_are_scikit_learns():
    labels, predicted = answers()
    measured = scores.measure(labels, predicted)
    assert measured["accuracy"] == metrics.accuracy_score(labels, predicted)
    assert measured["macro_f1"] == pytest.approx(
        metrics.f1_score(labels, predicted, average="macro")
    )
    assert measured["balanced_accuracy"] == pytest.approx(
        metrics.balanced_accuracy_score(labels, predicted)
    )
    report = confusion_matrix.class_report(labels, predicted, as_text=False)
    expected = metrics.precision_recall_fscore_support(labels, predicted)
    for i, name in enumerate(CLASSES):
        row = report[name]
        found = [row["precision"], row["recall"], row["f1-score"], row["support"]]
        np.testing.assert_allclose(found, [column[i] for column in expected])


def test_wilson_interval():
    k, n, z = 82, 100, 1.959964
    p = k / n
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    np.testing.assert_allclose(scores.interval(k, n), [centre - half, centre + half], atol=1e-6)
    assert scores.interval(0, 0) == [0, 1]


def test_absent_classes_do_not_break_the_measures():
    labels = np.array([3, 3, 6, 6])
    measured = scores.measure(labels, np.array([3, 0, 6, 6]))
    assert measured["accuracy"] == 0.75
    assert measured["balanced_accuracy"] == 0.75
    assert len(confusion_matrix.class_report(labels, labels, as_text=False)) >= 7


def test_observations_are_the_reports_own():
    recall = np.array([0.50, 0.27, 0.34, 0.85, 0.55, 0.73, 0.68])
    counts = np.diag(np.round(SUPPORT * recall).astype(int))
    counts[1] = [19, 14, 4, 5, 4, 2, 4]  # Disgust: 37 % Angry, 27 % right
    counts[2, 4], counts[4, 6] = (
        round(0.25 * 421),
        round(0.25 * 480),
    )  # Fear for Sad, Sad for Neutral
    for i in (0, 2, 3, 4, 5, 6):  # the others share what is left
        free = np.flatnonzero(counts[i] == 0)
        counts[i, free] = np.array_split(np.ones(SUPPORT[i] - counts[i].sum()), len(free))[0].sum()
    lines = confusion_matrix.observe(counts)
    assert "Disgust is taken for Angry 37% of the time, more than the 27% it gets right." in lines
    assert lines[0] == "In 6 of 7 classes the right answer is the most frequent one."
    assert lines[1].startswith("Happy is found best (")
    assert "Disgust worst (27% of 52)" in lines[1]
    fear = next(line for line in lines if line.startswith("Fear is taken for Sad"))
    assert "more than" not in fear
    assert not any("Sad is taken for Fear" in line for line in lines)


def test_mcnemars_exact_test():
    labels = np.zeros(40, int)
    ours, theirs = np.zeros(40, int), np.zeros(40, int)
    theirs[:9] = 1  # only ours is right
    ours[9:11] = 2  # only theirs is right
    ours[20:25] = theirs[20:25] = 3  # both wrong
    compared = scores.compare_models(labels, ours, theirs)
    assert (compared["only_this_is_right"], compared["only_the_other_is_right"]) == (9, 2)
    assert compared["mcnemar_p"] == pytest.approx(2 * binom.cdf(2, 11, 0.5))
    assert scores.compare_models(labels, ours, ours)["mcnemar_p"] == 1


# Calibration


def overconfident(count: int = 20_000, factor: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from softmax(logits), and probabilities softmax(factor · logits)."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 1, (count, 7))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (true.cumsum(axis=1) > rng.random((count, 1))).argmax(axis=1)
    sharp = np.exp(factor * logits)
    return sharp / sharp.sum(axis=1, keepdims=True), labels


def test_temperature_is_recovered_and_calibrates():
    probabilities, labels = overconfident()
    assert calibration.fit_temperature(probabilities, labels) == pytest.approx(3, rel=0.05)
    before = calibration.scores(probabilities, labels)
    rows = np.arange(len(labels))
    after = calibration.scores(calibration.cross_fitted(probabilities, labels, rows, 0), labels)
    assert before["expected_calibration_error"] > 0.2 > 0.02 > after["expected_calibration_error"]
    assert after["negative_log_likelihood"] < before["negative_log_likelihood"]
    assert after["brier_score"] < before["brier_score"]
    np.testing.assert_allclose(calibration.at_temperature(probabilities, 1.0), probabilities)


def test_no_row_is_judged_at_a_temperature_fitted_on_it():
    probabilities, labels = overconfident(2000)
    group = np.minimum(np.arange(2000), 1500)  # the last 500 show the same picture
    scaled = calibration.cross_fitted(probabilities, labels, group, 0)
    half = (np.random.default_rng(0).permutation(2000) % 2 == 0)[group]
    changed = np.where(half, (labels + 1) % 7, labels)
    again = calibration.cross_fitted(probabilities, changed, group, 0)
    np.testing.assert_array_equal(again[half], scaled[half])
    assert not np.allclose(again[~half], scaled[~half])


def test_reliability_by_hand():
    probabilities = np.zeros((4, 7))
    probabilities[:, 0] = [0.9, 0.9, 0.5, 1.0]
    probabilities[:, 1] = [0.1, 0.1, 0.5 - 1e-9, 0.0]
    labels = np.array([0, 1, 0, 0])
    bins = calibration.reliability(probabilities, labels)
    assert bins["count"].sum() == 4
    assert bins["count"][[7, 13, 14]].tolist() == [1, 2, 1]
    assert bins["accuracy"][13] == 0.5 and bins["confidence"][13] == pytest.approx(0.9)
    found = calibration.scores(probabilities, labels)
    assert found["expected_calibration_error"] == pytest.approx((0.5 + 2 * 0.4 + 0) / 4)
    assert found["negative_log_likelihood"] == pytest.approx(
        -np.log([0.9, 0.1, 0.5, 1]).mean(), rel=1e-6
    )
    assert found["brier_score"] == pytest.approx((0.02 + 2 * 0.81 + 0.5 + 0) / 4)


# FER+


def test_ferplus_by_hand(tmp_path):
    votes = np.zeros((4, 10), int)
    votes[0, 3] = 10  # all say Happy
    votes[1, [0, 4]] = 5, 5  # no majority
    votes[2, 6], votes[2, 0] = 7, 3  # Neutral
    votes[3, 9] = 10  # no face
    labels, predicted = np.array([3, 0, 0, 1]), np.array([3, 4, 6, 2])
    found = ferplus.compare(votes, labels, predicted)
    assert found["crowd_has_an_answer"] == 3
    assert found["crowd_agrees_with_label"] == 1
    assert found["crowd_agrees_with_model"] == 2
    assert found["by_agreement"]["10"] == {"faces": 2, "accuracy": 0.5}
    assert found["by_agreement"]["7"] == {"faces": 1, "accuracy": 0.0}
    assert found["where_the_model_errs"] == {
        "faces": 3, "crowd_sides_with_model": 1, "crowd_sides_with_label": 0}  # fmt: skip


def ferplus_file(path: Path, usage) -> Path:
    table = pd.DataFrame({"Usage": usage, "Image name": "x.png"})
    for i, name in enumerate(("neutral", "happiness", "surprise", "sadness", "anger", "disgust",
                              "fear", "contempt", "unknown", "NF")):  # fmt: skip
        table[name] = 10 if i == 1 else 0
    table.to_csv(path, index=False)
    return path


def test_ferplus_must_have_the_same_rows(faces_csv, tmp_path):
    faces = utils.load_faces(faces_csv)
    usage = np.array(utils.USAGES)[faces.usage]
    votes = ferplus.read_votes(ferplus_file(tmp_path / "votes.csv", usage), faces)
    np.testing.assert_array_equal(votes.argmax(axis=1), 3)  # happiness is Happy
    for wrong in (usage[:-1], usage[::-1]):
        with pytest.raises(InputError, match="has other rows"):
            ferplus.read_votes(ferplus_file(tmp_path / "votes.csv", wrong), faces)
    table = pd.read_csv(ferplus_file(tmp_path / "votes.csv", usage))
    for wrong in (-1, 2.5, 11, None):
        table["fear"] = [0.0] * 9 + [wrong] + [0.0] * (len(table) - 10)
        table.to_csv(tmp_path / "votes.csv", index=False)
        with pytest.raises(InputError, match="row 10: votes are whole numbers"):
            ferplus.read_votes(tmp_path / "votes.csv", faces)
    with pytest.raises(InputError, match=r"is not FER\+'s"):
        ferplus.read_votes(faces_csv, faces)
    with pytest.raises(InputError, match=r"is not FER\+'s"):
        ferplus.read_votes(tmp_path / "absent.csv", faces)


# Models


def classifier_of(shape: tuple, *more, output=7, input_range=(0.0, 255.0)):
    stack = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(output), *more]
    return classifiers.Classifier("x", keras.Sequential(stack), input_range, None)


def test_faces_are_resized_repeated_and_rescaled_as_the_model_expects():
    images = make_faces(3)[0]
    plain = classifiers.prepare(classifier_of((48, 48, 1)), images).numpy()
    np.testing.assert_array_equal(plain[..., 0], images)
    other = classifiers.prepare(classifier_of((64, 64, 3), input_range=(-1.0, 1.0)), images).numpy()
    assert other.shape == (3, 64, 64, 3)
    np.testing.assert_array_equal(other[..., 0], other[..., 2])
    assert -1 <= other.min() < other.max() <= 1
    np.testing.assert_allclose(other.mean() * 127.5 + 127.5, images.mean(), rtol=0.01)
    flat = np.full((1, 48, 48), 51, np.uint8)
    unit = classifiers.prepare(classifier_of((96, 96, 1), input_range=(0.0, 1.0)), flat).numpy()
    np.testing.assert_allclose(unit, 0.2, rtol=1e-6)


def test_logits_and_probabilities_give_the_same_answer():
    images = make_faces(30)[0]
    logits = classifier_of((48, 48, 1), input_range=(0.0, 1.0))
    softmax = keras.Sequential([logits.model, keras.layers.Softmax()])
    found = classifiers.predict(logits, images)
    np.testing.assert_allclose(
        found, classifiers.predict(logits._replace(model=softmax), images), atol=1e-6
    )
    np.testing.assert_allclose(found.sum(axis=1), 1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small model and its record, the CSV it was trained on, and their folder."""
    folder = tmp_path_factory.mktemp("trained")
    data = folder / "faces.csv"
    images, labels, usage = make_faces(420)
    public = np.flatnonzero(usage == 1)
    images[public[:5]] = images[np.flatnonzero(usage == 0)[:5]]  # leaks, unless held out
    fer2013_csv.write_csv(data, images, labels, usage)
    args = train_cnn.Args(data, width=4, batch_size=32, epochs=6, name="compact")
    train_cnn.main(replace(args, models_dir=folder / "models", figures_dir=folder / "figures"))
    return folder


def args_for(trained: Path, output: Path, **changes) -> confusion_matrix.Args:
    args = confusion_matrix.Args(trained / "faces.csv", models_dir=trained / "models")
    return replace(args, figures_dir=output, **changes)


def test_views_are_the_shifted_and_the_mirrored_faces():
    layers = [keras.Input((48, 48, 1)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    model = keras.Sequential([*layers, keras.layers.Dense(7, "softmax")])
    classifier = classifiers.Classifier("linear", model, (0.0, 255.0), None)
    images = np.full((5, 48, 48), 90, np.uint8)  # a border of one grey: a shift is a roll
    images[:, 4:-4, 4:-4] = np.random.default_rng(0).integers(0, 256, (5, 40, 40))
    views = [np.roll(images, (y, x), (1, 2)) for y in (-3, 0, 3) for x in (-3, 0, 3)]
    views += [view[:, :, ::-1] for view in views]
    expected = np.mean([classifiers.predict(classifier, view) for view in views], axis=0)
    mean, count = classifiers.predict_views(classifier, images, shift=3, flip=True)
    assert count == 18
    np.testing.assert_allclose(mean, expected, rtol=1e-6)
    alone, count = classifiers.predict_views(classifier, images, shift=0, flip=False)
    assert count == 1
    np.testing.assert_array_equal(alone, classifiers.predict(classifier, images))


def test_the_command_judges_the_rows_that_were_held_out(trained, tmp_path, capsys):
    record = confusion_matrix.main(args_for(trained, tmp_path, flip=True, shift=2))
    training_record = json.loads((trained / "models" / "compact.json").read_text())
    assert record["accuracy"] == pytest.approx(
        training_record["metrics"]["validation_accuracy"], abs=1e-6
    )
    assert record["faces"] == len(training_record["split"]["validation_rows"])
    assert record["faces_seen_in_training"] == 0
    assert record["test_time_augmentation"]["views"] == 18
    assert 0 <= record["test_time_augmentation"]["accuracy"] <= 1
    names = {path.name for path in tmp_path.iterdir()}
    base = "compact_validation"
    assert names == {f"{base}_{kind}" for kind in (
        "confusion.png", "confusion.csv", "confusion.json", "classes.csv", "mistakes.png",
        "mistakes.csv", "reliability.png", "reliability.csv")}  # fmt: skip
    counts = pd.read_csv(tmp_path / f"{base}_confusion.csv", index_col="true").to_numpy()
    assert counts.sum() == record["faces"]
    assert counts.diagonal().sum() == round(record["accuracy"] * record["faces"])
    printed = capsys.readouterr().out
    assert all(line in printed for line in record["observations"])
    assert re.search(r"Angry +\d\.\d\d +\d\.\d\d", printed)
    written = json.loads((tmp_path / f"{base}_confusion.json").read_text())
    assert written == json.loads(json.dumps(record))


def test_an_ensemble_is_judged_by_the_mean_of_its_probabilities(trained, tmp_path):
    keras.utils.set_random_seed(0)
    scale = keras.layers.Rescaling(1 / 25)  # about as sure of itself as the trained one
    stack = [keras.Input((48, 48, 1)), scale, keras.layers.Flatten()]
    other = keras.Sequential([*stack, keras.layers.Dense(7, "softmax")])
    other.save(tmp_path / "other.keras")
    members = (tmp_path / "other.keras", tmp_path / "other.keras")
    args = args_for(trained, tmp_path, split="PublicTest", flip=True, ensemble=members)
    record = confusion_matrix.main(args)
    faces = utils.load_faces(args.data)
    images = faces.images[faces.usage == 1]
    model = keras.saving.load_model(trained / "models" / "compact.keras")
    sums = sum(
        net.predict(view[..., np.newaxis], verbose=0) * weight
        for net, weight in ((model, 1), (other, 2))
        for view in (images, images[:, :, ::-1])
    )
    found = record["ensemble"]
    assert found["models"] == ["compact", "other", "other"] and found["views"] == 2
    assert found["accuracy"] == (sums.argmax(axis=1) == faces.labels[faces.usage == 1]).mean()
    assert found["accuracy"] != record["test_time_augmentation"]["accuracy"]
    with pytest.raises(InputError, match="what other held out"):
        confusion_matrix.main(replace(args, split="validation"))


def test_public_test_is_judged_with_and_without_the_leaks(trained, tmp_path):
    record = confusion_matrix.main(args_for(trained, tmp_path, split="PublicTest"))
    faces = utils.load_faces(trained / "faces.csv")
    training_record = json.loads((trained / "models" / "compact.json").read_text())
    held_out = set(training_record["split"]["validation_rows"])
    leaked = sum(row not in held_out for row in np.flatnonzero(faces.usage == 0)[:5])
    assert record["faces_seen_in_training"] == leaked > 0
    assert record["without_seen"]["faces"] == record["faces"] - leaked
    assert list(record["calibration"])[1:] == ["at a temperature fitted on the other half"]
    private = confusion_matrix.main(args_for(trained, tmp_path, split="PrivateTest"))
    assert list(private["calibration"])[1:] == ["at a temperature fitted on validation"]
    everything = confusion_matrix.main(args_for(trained, tmp_path, split="all"))
    assert list(everything["calibration"]) == ["as it is"]


def test_mistakes_are_mistakes_and_the_surest_of_their_pair(trained, tmp_path):
    confusion_matrix.main(args_for(trained, tmp_path, split="all"))
    mistakes = pd.read_csv(tmp_path / "compact_all_mistakes.csv")
    faces = utils.load_faces(trained / "faces.csv")
    model = classifiers.load_classifier(trained / "models" / "compact.keras")
    probabilities = classifiers.predict(model, faces.images)
    assert len(mistakes) > 3
    for _, mistake in mistakes.iterrows():
        row, wrong = int(mistake["row"]), int(mistake["predicted"])
        assert faces.labels[row] == mistake["true"] != wrong
        assert probabilities[row].argmax() == wrong
        assert mistake["probability"] == pytest.approx(probabilities[row, wrong], abs=1e-6)
    for _, pair in mistakes.groupby(["true", "predicted"], sort=False):
        assert pair["probability"].is_monotonic_decreasing


def test_record_of_another_model_is_not_believed(trained, tmp_path):
    """As after a crash between NAME.keras and NAME.json: nothing is known then."""
    other = copy_model(trained, tmp_path, record=True)
    assert classifiers.load_classifier(other).record is not None
    train_cnn.main(
        train_cnn.Args(trained / "faces.csv", width=2, epochs=1, seed=1, name="new",
                       models_dir=tmp_path, figures_dir=tmp_path)
    )  # fmt: skip
    other.write_bytes((tmp_path / "new.keras").read_bytes())
    with pytest.raises(InputError, match=r"is the record of another other\.keras"):
        confusion_matrix.main(args_for(trained, tmp_path, model=other))
    for damage in ("", "{", "[1]", "{}", '{"split": {}, "data": {}}', "\xff"):
        other.with_suffix(".json").write_text(damage, encoding="latin-1")
        with pytest.raises(InputError, match="is damaged"):
            confusion_matrix.main(args_for(trained, tmp_path, model=other))
        assert classifiers.load_classifier(other).record is None


def test_training_rows_are_known_by_content_not_by_usage(trained, tmp_path):
    images, labels, usage, _ = fer2013_csv.parse_csv(trained / "faces.csv")
    fer2013_csv.write_csv(tmp_path / "no_usage.csv", images, labels)
    train_cnn.main(
        train_cnn.Args(tmp_path / "no_usage.csv", width=2, epochs=1, name="all",
                       models_dir=tmp_path, figures_dir=tmp_path)
    )  # fmt: skip
    model = tmp_path / "all.keras"
    record = confusion_matrix.main(args_for(trained, tmp_path, model=model, split="PublicTest"))
    held_out = json.loads((tmp_path / "all.json").read_text())["split"]["validation_rows"]
    expected = np.setdiff1d(np.flatnonzero(usage == 1), held_out)
    assert record["faces_seen_in_training"] >= len(expected) > 30


def test_a_model_of_drawn_faces_does_not_write_over_real_results(trained, tmp_path, capsys):
    images, labels, usage, _ = fer2013_csv.parse_csv(trained / "faces.csv")
    fer2013_csv.write_csv(tmp_path / "drawn.csv", images, labels, usage, ["0"] * len(labels))
    train_cnn.main(
        train_cnn.Args(tmp_path / "drawn.csv", width=2, epochs=1,
                       models_dir=tmp_path / "m", figures_dir=tmp_path / "m")
    )  # fmt: skip
    model = tmp_path / "m" / "sample" / "fast.keras"
    confusion_matrix.main(args_for(trained, tmp_path / "f", model=model, split="PublicTest"))
    assert "was trained on DRAWN FACES" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "f").iterdir()] == ["sample"]


def copy_model(trained: Path, folder: Path, record: bool) -> Path:
    for suffix in (".keras", ".json") if record else (".keras",):
        (folder / f"other{suffix}").write_bytes(
            (trained / "models" / f"compact{suffix}").read_bytes()
        )
    return folder / "other.keras"


def test_training_rows_are_never_presented_as_validation(trained, tmp_path, capsys):
    bare = copy_model(trained, tmp_path, record=False)
    with pytest.raises(InputError, match=r"other\.json does not lie beside"):
        confusion_matrix.main(args_for(trained, tmp_path, model=bare))
    with pytest.raises(InputError, match="not known"):
        confusion_matrix.main(args_for(trained, tmp_path, versus=bare))
    train_cnn.main(
        train_cnn.Args(
            trained / "faces.csv", width=2, epochs=1, seed=9, name="seed_9",
            models_dir=tmp_path, figures_dir=tmp_path,
        )
    )  # fmt: skip
    with pytest.raises(InputError, match="seed_9 was trained on"):
        confusion_matrix.main(args_for(trained, tmp_path, versus=tmp_path / "seed_9.keras"))
    record = confusion_matrix.main(args_for(trained, tmp_path, model=bare, split="PublicTest"))
    assert "faces_seen_in_training" not in record
    assert "What it was trained on is not known" in capsys.readouterr().out
    elsewhere = tmp_path / "others.csv"
    fer2013_csv.write_csv(elsewhere, *make_faces(420, seed=8))
    with pytest.raises(InputError, match="trained on other faces"):
        confusion_matrix.main(args_for(trained, tmp_path, data=elsewhere))


def test_models_are_compared_on_what_neither_was_trained_on(trained, tmp_path):
    """The other holds out rows of its own; on all rows only what both held out is fair."""
    train_cnn.main(
        train_cnn.Args(
            trained / "faces.csv", width=2, epochs=1, seed=9, name="seed_9",
            models_dir=tmp_path, figures_dir=tmp_path,
        )
    )  # fmt: skip
    other = tmp_path / "seed_9.keras"
    record = confusion_matrix.main(args_for(trained, tmp_path, versus=other, split="all"))
    faces, seen = utils.load_faces(trained / "faces.csv"), set()
    for path in (tmp_path / "seed_9.json", trained / "models" / "compact.json"):
        held_out = json.loads(path.read_text())["split"]["validation_rows"]
        trained_on = np.setdiff1d(np.flatnonzero(faces.usage == 0), held_out)
        seen |= {faces.images[row].tobytes() for row in trained_on}
    fair = sum(image.tobytes() not in seen for image in faces.images)
    assert 0 < record["versus"]["faces"] == fair < record["faces"] == 420
    named = args_for(trained, tmp_path, versus=other, split="validation")
    with pytest.raises(InputError, match="seed_9 was trained on"):
        confusion_matrix.main(named)


def test_a_folder_without_compact_gives_its_fast_net(trained, tmp_path):
    args = train_cnn.Args(trained / "faces.csv", width=2, epochs=1, models_dir=tmp_path)
    train_cnn.main(replace(args, figures_dir=tmp_path))
    record = confusion_matrix.main(args_for(trained, tmp_path, models_dir=tmp_path))
    assert record["model"] == "fast"


def test_where_compact_held_nothing_out_the_fast_net_of_that_file_is_judged(trained, tmp_path):
    elsewhere = tmp_path / "others.csv"
    fer2013_csv.write_csv(elsewhere, *make_faces(420, seed=8))
    for suffix in (".keras", ".json"):
        content = (trained / "models" / f"compact{suffix}").read_bytes()
        (tmp_path / f"compact{suffix}").write_bytes(content)
    fast = train_cnn.Args(elsewhere, width=2, epochs=1, models_dir=tmp_path, figures_dir=tmp_path)
    train_cnn.main(fast)

    def model_of(**changes) -> str:
        args = args_for(trained, tmp_path, models_dir=tmp_path, **changes)
        return confusion_matrix.main(args)["model"]

    assert model_of(data=elsewhere) == "fast"
    assert model_of() == "compact"
    assert model_of(data=elsewhere, split="PublicTest") == "compact"
    fer2013_csv.write_csv(tmp_path / "test.csv", make_faces(30, seed=4)[0])
    args = args_for(trained, tmp_path, models_dir=tmp_path, data=tmp_path / "test.csv")
    faces, model = classifiers.open_data_and_model(args)
    assert (model.name, faces.labels) == ("compact", None)  # nothing to judge, all to answer
    with pytest.raises(InputError, match="trained on other faces"):
        model_of(data=elsewhere, model=tmp_path / "compact.keras")


def test_held_out_rows_are_known_again_in_another_dialect(trained, tmp_path):
    spaced = tmp_path / "icml_face_data.csv"
    spaced.write_text((trained / "faces.csv").read_text().replace(",", ", "))
    here = confusion_matrix.main(args_for(trained, tmp_path))
    assert (
        confusion_matrix.main(args_for(trained, tmp_path, data=spaced))["accuracy"]
        == here["accuracy"]
    )


def test_versus_ferplus_and_the_difference(trained, tmp_path):
    other = copy_model(trained, tmp_path, record=True)
    faces = utils.load_faces(trained / "faces.csv")
    votes = ferplus_file(tmp_path / "votes.csv", np.array(utils.USAGES)[faces.usage])
    record = confusion_matrix.main(args_for(trained, tmp_path, versus=other, ferplus=votes))
    assert record["versus"]["accuracy"] == record["versus"]["other_accuracy"]
    assert record["versus"]["mcnemar_p"] == 1
    difference = pd.read_csv(tmp_path / "compact_validation_versus_other.csv", index_col="true")
    assert (difference.to_numpy() == 0).all()
    happy = (
        faces.labels[json.loads(other.with_suffix(".json").read_text())["split"]["validation_rows"]]
        == 3
    )
    assert record["ferplus"]["crowd_agrees_with_label"] == happy.sum()


@pytest.mark.parametrize("ids", [True, False])
def test_submission(ids, trained, tmp_path):
    images = make_faces(30, seed=4)[0]
    path = tmp_path / "test.csv"
    fer2013_csv.write_csv(path, images)
    if ids:
        lines = path.read_text().replace("pixels", "feature").splitlines()
        numbers = [" ID ", *range(100, 130)]
        text = "".join(f"{n},{line}\n" for n, line in zip(numbers, lines, strict=True))
        path.write_bytes(gzip.compress(text.encode()))  # under a name that does not say so
    args = args_for(trained, tmp_path, data=path, submission=tmp_path / "out.csv")
    confusion_matrix.main(args)
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table.columns) == ["id", "label"]
    assert table["id"].tolist() == list(range(100, 130) if ids else range(30))
    model = classifiers.load_classifier(trained / "models" / "compact.keras")
    np.testing.assert_array_equal(table["label"], classifiers.predict(model, images).argmax(axis=1))
    with pytest.raises(InputError, match="has no labels"):
        confusion_matrix.main(replace(args, submission=None))
    content = path.read_bytes()
    with pytest.raises(InputError, match="would be overwritten"):
        confusion_matrix.main(replace(args, submission=path))
    assert path.read_bytes() == content


def test_rows_without_an_id_are_refused(tmp_path):
    path = tmp_path / "test.csv"
    pixels = " ".join(["7"] * 2304)
    path.write_text(f"id,feature\n0,{pixels}\n,{pixels}\n")
    with pytest.raises(InputError, match="row 2: no id"):
        fer2013_csv.read_ids(path)
    path.write_bytes(b"id,feature\nM\xfcller," + pixels.encode() + b"\n")
    assert fer2013_csv.read_ids(path) == ["M\N{REPLACEMENT CHARACTER}ller"]  # Latin-1, not UTF-8


def layers_of(inputs):
    return keras.layers.Dense(7)(keras.layers.Flatten()(inputs))


def test_what_is_no_classifier_ends_in_one_line(trained, tmp_path):
    inputs = keras.Input((48, 48, 1))
    named = keras.Model(inputs, {"a": layers_of(inputs)})
    named.save(tmp_path / "named.keras")
    with pytest.raises(InputError, match="gives a dict"):
        confusion_matrix.main(
            args_for(trained, tmp_path, model=tmp_path / "named.keras", split="all")
        )
    absent, text, unsafe, wrong = (
        tmp_path / f"{n}.keras" for n in ("absent", "text", "unsafe", "wrong")
    )
    text.write_text("no model")
    layers = keras.layers
    keras.Sequential(
        [keras.Input((48, 48, 1)), layers.Flatten(), layers.Lambda(lambda x: x[:, :7])]
    ).save(unsafe)
    classifier_of((48, 48, 1), output=10).model.save(wrong)
    for path, expected in ((absent, "does not exist"), (text, "is not a Keras model that loads safely"),
                           (unsafe, "is not a Keras model that loads safely"), (wrong, "and gives")):  # fmt: skip
        with pytest.raises(InputError, match=expected) as caught:
            confusion_matrix.main(args_for(trained, tmp_path, model=path))
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
