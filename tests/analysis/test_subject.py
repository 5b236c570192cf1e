"""What a script is asked about, and where its results go."""

import shutil

import pytest
from matplotlib.figure import Figure
from model_makers import brightness_model, save_run

import utils
from toolbox.analysis.saved_models import load_classifier
from toolbox.analysis.subject import open_subject
from toolbox.dataset import fer2013_csv


def test_a_model_of_synthetic_faces_does_not_make_real_faces_synthetic(faces_csv, tmp_path, capsys):
    faces = utils.load_faces(faces_csv)
    models = tmp_path / "models"
    path = save_run(models / "sample" / "m.keras", brightness_model(), faces, synthetic=True)
    subject = open_subject(faces, "all", load_classifier(path), models, tmp_path / "figures")
    assert subject.synthetic and not subject.faces.synthetic
    assert subject.folder == tmp_path / "figures" / "sample" / "m"
    assert "model trained on SYNTHETIC FACES" in subject.headline("title")
    assert "m was trained on SYNTHETIC FACES" in capsys.readouterr().out
    figure = Figure()
    figure.suptitle(subject.headline("$a_{ and $"))  # a name, not a formula
    figure.savefig(tmp_path / "figure.png")


def test_results_of_other_settings_have_another_label(faces_csv, tmp_path):
    brightness_model(scale=255).save(tmp_path / "m.keras")

    def label(data, split, *flags) -> str:
        classifier = load_classifier(tmp_path / "m.keras", *flags)
        return open_subject(utils.load_faces(data), split, classifier, tmp_path, tmp_path).label

    usual = tmp_path / "fer2013.csv"
    shutil.copy(faces_csv, usual)
    assert label(usual, "PublicTest", (0, 1)) == "PublicTest_input0to1"
    assert label(usual, "PublicTest") == "PublicTest"
    assert label(faces_csv, "all", (0, 1), ("alphabetical",)) == (
        "faces_all_input0to1_alphabetical"
    )


def test_faces_without_labels_have_no_validation(faces_csv, tmp_path):
    images = fer2013_csv.parse_csv(faces_csv).images
    path = save_run(tmp_path / "m.keras", brightness_model(), utils.load_faces(faces_csv))
    fer2013_csv.write_csv(tmp_path / "bare.csv", images)
    faces = utils.load_faces(tmp_path / "bare.csv")
    classifier = load_classifier(path)
    with pytest.raises(utils.InputError, match=r"bare\.csv has no labels; use --split all"):
        open_subject(faces, "validation", classifier, tmp_path, tmp_path)
    assert len(open_subject(faces, "all", classifier, tmp_path, tmp_path).rows) == len(images)


def test_a_file_for_the_folder_of_figures_is_refused_before_the_work(faces_csv, tmp_path):
    path = tmp_path / "net.keras"
    brightness_model().save(path)
    faces = utils.load_faces(faces_csv)
    with pytest.raises(utils.InputError, match="is not a folder"):
        open_subject(faces, "all", load_classifier(path), tmp_path, faces_csv)
