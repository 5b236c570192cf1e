"""Every distribution becomes the same CSV, the report counts right, and nothing is overwritten."""

import contextlib
import errno
import os
import re
import shutil
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import make_faces
from PIL import Image
from skimage import data

import prepare_data
import utils
from toolbox.dataset import archives, fer2013_csv, synthetic_faces
from toolbox.dataset.faces import USAGES
from toolbox.files import InputError
from toolbox.photos import face_finder

IMAGES, LABELS, USAGE = make_faces(84)
NAMES = ("angry", "disgusted", "fearful", "happy", "sad", "surprised", "neutral")


def image_folder(folder: Path, named: bool, classes=NAMES) -> Path:
    """train/<class>/ and test/<class>/ as in the distributions; `named` files tell their Usage."""
    for row, (image, label, usage) in enumerate(zip(IMAGES, LABELS, USAGE, strict=True)):
        place = folder / ("train" if usage == 0 else "test") / classes[label]
        place.mkdir(parents=True, exist_ok=True)
        name = f"{USAGES[usage]}_{row}.png" if named else f"im{row}.png"
        Image.fromarray(image).save(place / name)
    return folder


def prepare(source: Path, output: Path, **options):
    prepare_data.main(prepare_data.Args(source, output=output, **options))
    return fer2013_csv.parse_csv(output)[2:]  # from the images on


def as_table(images, labels, usage) -> list[tuple]:
    return [(i.tobytes(), int(n), int(u)) for i, n, u in zip(images, labels, usage, strict=True)]


@pytest.mark.parametrize("kind", ["folder", "zip", "folder in a zip", "Windows zip", "tar.gz"])
def test_named_images_give_usage_and_the_original_order(kind, tmp_path):
    source = image_folder(tmp_path / "archive", named=True)
    if kind == "tar.gz":
        source = Path(shutil.make_archive(str(source), "gztar", source))
    elif "zip" in kind:
        base = source.parent if "folder" in kind else source
        source = tmp_path / "archive.zip"
        with zipfile.ZipFile(source, "w") as archive:
            for path in base.rglob("*.png"):
                name = str(path.relative_to(base))
                archive.write(path, name.replace("/", "\\") if "Windows" in kind else name)
            archive.writestr("labels.csv", "name,label\n")  # neither these hide the images
            archive.writestr("__MACOSX/train/angry/._1.png", "resource")
    images, labels, usage, synthetic, *_ = prepare(source, tmp_path / "out.csv")
    order = np.argsort(USAGE, kind="stable")  # split by split, each in the order of its numbers
    expected = as_table(IMAGES[order], LABELS[order], USAGE[order])
    assert as_table(images, labels, usage) == expected
    assert not synthetic


def test_unnamed_test_images_stay_merged_and_that_is_said(tmp_path, capsys):
    source = image_folder(tmp_path / "archive", named=False)
    images, labels, usage, *_ = prepare(source, tmp_path / "out.csv")
    merged = np.where(USAGE == 0, USAGES.index("Training"), USAGES.index("Test"))
    assert sorted(as_table(images, labels, usage)) == sorted(as_table(IMAGES, LABELS, merged))
    assert "PublicTest and PrivateTest are merged" in capsys.readouterr().out


def test_classes_alone_give_no_usage(tmp_path):
    for image, label in zip(IMAGES, LABELS, strict=True):
        place = tmp_path / "archive" / NAMES[label].upper()
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{len(list(place.iterdir()))}.png")
    images, labels, usage, *_ = prepare(tmp_path / "archive", tmp_path / "out.csv")
    assert usage is None
    assert sorted(as_table(images, labels, USAGE * 0)) == sorted(
        as_table(IMAGES, LABELS, USAGE * 0)
    )


@pytest.mark.parametrize("kind", ["", "zip", "gztar"])
def test_a_csv_of_another_dialect_becomes_fer2013s(kind, tmp_path):
    plain, source = tmp_path / "plain.csv", tmp_path / "data" / "icml_face_data.csv"
    fer2013_csv.write_csv(plain, IMAGES, LABELS, USAGE)
    utils.write_text(source, plain.read_text().replace(",", ", "))
    (tmp_path / "data" / "train.csv").write_text("emotion,pixels\n")
    if kind:
        source = Path(shutil.make_archive(str(tmp_path / "archive"), kind, tmp_path / "data"))
    prepare(source, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == plain.read_bytes()


def test_report_counts_copies_leaks_conflicts_and_blanks(tmp_path, capsys):
    images, labels, usage = IMAGES.copy(), LABELS.copy(), USAGE.copy()
    train, public, private = (np.flatnonzero(usage == position) for position in range(3))
    images[train[1]] = images[train[0]]  # a copy in Training, with another label
    images[train[3]] = images[train[2]] = images[train[3]]  # and one with the same label
    labels[train[3]] = labels[train[2]]
    images[public[0]] = images[train[5]]  # leaks into two test splits
    labels[public[0]] = (labels[train[5]] + 1) % 7
    images[private[:2]] = images[train[6]]
    labels[private[:2]] = labels[train[6]]
    images[train[9]] = 7  # blank
    path = tmp_path / "faces.csv"
    fer2013_csv.write_csv(path, images, labels, usage)
    report = prepare_data.main(prepare_data.Args(path, report_only=True))
    lines = capsys.readouterr().out.splitlines()
    assert report == {"rows_read": 84, "rows_written": 0}
    assert list(tmp_path.iterdir()) == [path]
    counts = {line.split()[0]: line.split()[1:] for line in lines[1:4]}
    for position in range(3):
        expected = np.bincount(labels[usage == position], minlength=7)
        assert counts[USAGES[position]] == [str(count) for count in expected]
    assert "Training: 2 rows are copies of another; 1 pictures with conflicting labels" in lines
    assert "PublicTest: 0 rows are copies of another; 0 pictures with conflicting labels" in lines
    assert "PrivateTest: 1 rows are copies of another; 0 pictures with conflicting labels" in lines
    assert "PublicTest: 1 rows are in Training too; 1 pictures with conflicting labels" in lines
    assert "PrivateTest: 2 rows are in Training too; 0 pictures with conflicting labels" in lines
    assert "PrivateTest: 0 rows are in PublicTest too; 0 pictures with conflicting labels" in lines
    assert "blank images (standard deviation below 1): 1" in lines
    kept, kept_labels, kept_usage, *_ = prepare(path, tmp_path / "out.csv", drop_leaks=True)
    keep = np.setdiff1d(np.arange(84), train[5:7])
    assert as_table(kept, kept_labels, kept_usage) == as_table(
        images[keep], labels[keep], usage[keep]
    )


def test_unlabelled_faces_are_reported_too(tmp_path, capsys):
    path = tmp_path / "test.csv"
    fer2013_csv.write_csv(path, IMAGES)
    prepare_data.main(prepare_data.Args(path, report_only=True))
    assert "the file: 0 rows are copies of another\n" in capsys.readouterr().out


def test_nothing_is_overwritten_unasked(tmp_path):
    source, output = tmp_path / "faces.csv", tmp_path / "out.csv"
    fer2013_csv.write_csv(source, IMAGES, LABELS, USAGE)
    output.write_text("precious")
    with pytest.raises(InputError, match="add --overwrite"):
        prepare(source, output)
    assert output.read_text() == "precious"
    with pytest.raises(InputError, match="is an input"):
        prepare(source, source, overwrite=True)
    prepare(source, output, overwrite=True)
    assert output.read_bytes() == source.read_bytes()
    image_folder(tmp_path / "folder", named=True)  # which must be unpacked from a zip
    archive = shutil.make_archive(str(tmp_path / "folder"), "zip", tmp_path / "folder")
    prepare(Path(archive), output, overwrite=True)
    assert output.read_bytes() != source.read_bytes()


def broken_folder(folder: Path, kind: str) -> None:
    image_folder(folder, named=False)
    face = Image.fromarray(IMAGES[0])
    if kind == "split":
        face.save(folder / "train" / "1.png")
    elif kind == "images":  # as AffectNet has them
        (folder / "train" / "sad").rename(folder / "train" / "images")
    elif kind == "damaged":
        (folder / "train" / "sad" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    elif kind == "pipe":
        os.mkfifo(folder / "train" / "sad" / "pipe.png")
    elif kind == "eighth number":
        (folder / "train" / "7").mkdir()
        face.save(folder / "train" / "7" / "1.png")
    elif kind == "sequence":
        (folder / "train" / "001").mkdir()
        face.save(folder / "train" / "001" / "S005_001_00000011.png")
    elif kind == "many":
        for i in range(101):
            (folder / "train" / f"x{i}").mkdir()
            face.save(folder / "train" / f"x{i}" / "1.png")
    elif kind == "stray":
        (folder / "sad").mkdir()
        face.save(folder / "sad" / "1.png")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("split", "folder `train` names no class; rename it, or move it away"),
        ("eighth number", "`7` is none of the numbers 0..6 of fer2013; give --numbering affectnet"),
        ("pipe", "pipe.png is not a regular file"),
        ("damaged", "bad.png is not a readable picture (unknown format)"),
        ("stray", "is outside of train/ and test/"),
        ("images", "folder `images` names no class; sort its images"),
        ("sequence", "folder `001` is no class, but a sequence of CK+"),
        ("many", "has 108 classes"),
    ],
)
def test_bad_image_folder_ends_in_one_clear_line(kind, expected, tmp_path):
    broken_folder(tmp_path / "archive", kind)
    with pytest.raises(InputError, match=re.escape(expected)):
        prepare(tmp_path / "archive", tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_empty_folder_several_csvs_and_no_source_end_in_one_line(tmp_path):
    with pytest.raises(InputError, match="holds no images"):
        prepare(tmp_path, tmp_path / "out.csv")
    for name in ("a.csv", "b.csv"):
        fer2013_csv.write_csv(tmp_path / name, IMAGES)
    with pytest.raises(InputError, match=r"several CSVs \(a\.csv, b\.csv\)"):
        prepare(tmp_path, tmp_path / "out.csv")
    for source in (tmp_path / "a.csv", None):
        with pytest.raises(InputError, match="is a folder"):
            prepare_data.main(prepare_data.Args(source, synthetic=not source, output=Path()))
    with pytest.raises(InputError, match="name a file or folder"):
        prepare_data.main(prepare_data.Args(output=tmp_path / "out.csv"))


def test_synthetic_faces_do_not_become_fer2013(tmp_path):
    path = tmp_path / "synthetic.csv"
    fer2013_csv.write_csv(path, IMAGES, LABELS, USAGE, ["0"] * 84)
    with pytest.raises(InputError, match="synthetic faces"):
        prepare(path, tmp_path / "out.csv")


@pytest.mark.parametrize("held_out", ["validation", "val", "valid", "test"])
def test_one_held_out_folder_under_any_name_is_merged_test(held_out, tmp_path):
    source = image_folder(tmp_path / "archive", named=False)
    (source / "test").rename(source / held_out)
    _, _, usage, *_ = prepare(source, tmp_path / "out.csv")
    np.testing.assert_array_equal(np.bincount(usage), [(USAGE == 0).sum(), 0, 0, (USAGE > 0).sum()])


def test_validation_beside_test_is_publictest_beside_privatetest(tmp_path):
    source = image_folder(tmp_path / "archive", named=False)
    for folder in (source / "train").iterdir():
        other = source / "valid" / folder.name
        other.mkdir(parents=True)
        next(folder.iterdir()).rename(other / "first.png")
    _, _, usage, *_ = prepare(source, tmp_path / "out.csv")
    assert np.bincount(usage).tolist() == [(USAGE == 0).sum() - 7, 7, (USAGE > 0).sum()]


def test_links_are_followed_but_not_in_circles(tmp_path):
    source = image_folder(tmp_path / "archive", named=True)
    (source / "train" / "sad").rename(tmp_path / "elsewhere")
    (source / "train" / "sad").symlink_to(tmp_path / "elsewhere")
    (source / "train" / "happy" / "up").symlink_to(source)
    images, *_ = prepare(source, tmp_path / "out.csv")
    assert len(images) == 84


@pytest.mark.parametrize(
    ("numbering", "numbers", "said"),
    [
        ("fer2013", "0123456", "in the order of fer2013: 0 Angry, 1 Disgust, 2 Fear, 3 Happy"),
        ("affectnet", "6541230", "of affectnet: 0 Neutral, 1 Happy, 2 Sad, 3 Surprise, 4 Fear"),
        ("rafdb", "6324517", "of rafdb: 1 Surprise, 2 Fear, 3 Disgust, 4 Happy, 5 Sad, 6 Angry"),
        ("ferplus", "4561320", "of ferplus: 0 Neutral, 1 Happy, 2 Surprise, 3 Sad, 4 Angry"),
    ],
)
def test_numbered_folders_in_the_order_of_their_data_set(
    numbering, numbers, said, tmp_path, capsys
):
    source = image_folder(tmp_path / "archive", named=True, classes=numbers)
    faces = prepare(source, tmp_path / "out.csv", numbering=numbering)
    order = np.argsort(USAGE, kind="stable")
    expected = as_table(IMAGES[order], LABELS[order], USAGE[order])
    assert as_table(*faces[:3]) == expected
    assert said in capsys.readouterr().out


def test_a_numbering_does_not_hide_what_cannot_be_read(tmp_path):
    source = image_folder(tmp_path / "archive", named=True, classes="6541238")
    with pytest.raises(InputError, match=r"`8` is none of the numbers 0\.\.7 of affectnet"):
        prepare(source, tmp_path / "out.csv", numbering="affectnet")
    fer2013_csv.write_csv(tmp_path / "faces.csv", IMAGES, LABELS, USAGE)
    with pytest.raises(InputError, match="--numbering is for image folders"):
        prepare(tmp_path / "faces.csv", tmp_path / "out.csv", numbering="rafdb")


def test_any_set_of_classes_sizes_and_colours(tmp_path, capsys):
    """CK+48's contempt, colour and other sizes, and JAFFE's file names."""
    source = tmp_path / "others"
    for name, size, colour in (
        *((f"{folder}/1.png", 48, "L") for folder in ("contempt", "anger", "happy")),
        *(
            ("contempt/2.jpg", 100, "RGB"),
            ("KA.AN1.39.tiff", 256, "L"),
            ("YM.NE12.3.tiff", 256, "L"),
        ),
    ):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        face = Image.fromarray(IMAGES[0]).resize((size, size), Image.NEAREST).convert(colour)
        face.save(source / name)
    (source / "LICENSE").write_text("text")
    images, labels, usage, _, classes, _ = prepare(source, tmp_path / "out.csv")
    assert classes == ("Angry", "Happy", "Neutral", "Contempt") and usage is None
    assert sorted(labels) == [0, 0, 1, 2, 3, 3] and len(images) == 6
    told = "converted: 3 of 6 images that are not 48 x 48, most of them of 256 x 256"
    assert told in capsys.readouterr().out
    face.save(source / "1.png")
    with pytest.raises(InputError, match=r"1\.png: it is in no folder that names its class"):
        prepare(source, tmp_path / "out.csv", overwrite=True)


def test_the_largest_face_is_cut_out_of_a_photo(tmp_path, capsys):
    for name, picture in (("happy/1.png", data.astronaut()), ("sad/2.png", data.page())):
        (tmp_path / "photos" / name).parent.mkdir(parents=True)
        Image.fromarray(picture).save(tmp_path / "photos" / name)
    images, *_ = prepare(tmp_path / "photos", tmp_path / "out.csv", find_faces=True)
    expected = face_finder.read_face(tmp_path / "photos" / "happy" / "1.png").image
    np.testing.assert_array_equal(images[0], expected)
    assert "found a face in 1 of 2 images" in capsys.readouterr().out
    with pytest.raises(InputError, match="--find-faces is for image folders"):
        prepare(tmp_path / "out.csv", tmp_path / "b.csv", find_faces=True)


def test_issues_are_listed_row_by_row(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (8, 6, 6)).repeat(8, axis=1).repeat(8, axis=2).astype(np.uint8)
    images[[2, 5]] = images[0]
    images[3] = 7
    images[6] = np.clip(images[1] * 0.8 + rng.normal(10, 5, (48, 48)), 0, 255)  # darker, noisy
    labels, usage = np.array([0, 1, 0, 2, 3, 4, 1, 5]), np.array([0, 0, 0, 0, 0, 1, 1, 1])
    fer2013_csv.write_csv(tmp_path / "in.csv", images, labels, usage)
    prepare(tmp_path / "in.csv", tmp_path / "out.csv")
    found = pd.read_csv(tmp_path / "out_issues.csv", keep_default_na=False)
    assert found.drop(columns=["usage", "other_usage"]).to_numpy().tolist() == [
        [0, "conflicting label", 5], [0, "in another split", 5],
        [2, "conflicting label", 5], [2, "copy", 0], [2, "in another split", 5], [3, "blank", -1],
        [5, "conflicting label", 0], [5, "in another split", 0], [6, "near-copy", 1],
    ]  # fmt: skip
    assert found["other_usage"].tolist()[4:7] == ["PublicTest", "", "Training"]
    (tmp_path / "out.csv").unlink()
    with pytest.raises(InputError, match=r"out_issues\.csv exists; add --overwrite"):
        prepare(tmp_path / "in.csv", tmp_path / "out.csv")
    fer2013_csv.write_csv(tmp_path / "in.csv", images[[3, 3]], labels[:2])  # nothing but blanks
    prepare(tmp_path / "in.csv", tmp_path / "out.csv", overwrite=True)
    assert "near-copy" not in (tmp_path / "out_issues.csv").read_text()


def test_archives_that_unpack_to_too_much_or_are_damaged_end_in_one_line(tmp_path, monkeypatch):
    source = image_folder(tmp_path / "archive", named=True)
    path = Path(shutil.make_archive(str(source), "zip", source))
    content = path.read_bytes()
    monkeypatch.setattr(archives, "LARGEST_UNPACKED", 10_000)
    with pytest.raises(InputError, match="unpacks to more than"):
        prepare(path, tmp_path / "out.csv")
    monkeypatch.undo()

    def fill_disk(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(zipfile.ZipFile, "extract", fill_disk)
        with pytest.raises(InputError, match="no space left"):
            prepare(path, tmp_path / "out.csv")
    for at in (-10, -100, -1000, 40, 4000):
        path.write_bytes(content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :])
        with contextlib.suppress(InputError):
            prepare(path, tmp_path / "out.csv", report_only=True)


def test_a_device_is_written_to_and_stays(tmp_path):
    source = tmp_path / "faces.csv"
    fer2013_csv.write_csv(source, IMAGES, LABELS, USAGE)
    prepare_data.main(prepare_data.Args(source, output=Path("/dev/null")))
    assert Path("/dev/null").is_char_device()
    assert not Path("/dev/null_issues.csv").exists()


def test_synthetic_faces_say_that_they_are(tmp_path):
    args = prepare_data.Args(
        synthetic=True, count=300, output=tmp_path / "faces.csv", figures_dir=tmp_path
    )
    assert prepare_data.main(args) == {"rows_read": 300, "rows_written": 300}
    faces, (images, labels, *_) = (
        fer2013_csv.parse_csv(args.output),
        synthetic_faces.draw_faces(300),
    )
    assert faces.synthetic
    assert np.array_equal(faces.images, images)
    assert np.array_equal(faces.labels, labels)
    assert np.array_equal(np.bincount(faces.usage), [240, 30, 30])
    assert (tmp_path / "sample" / "synthetic_faces.png").exists()


def test_what_synthetic_faces_cannot_be_is_refused(tmp_path):
    for wrong, told in (
        ({"count": 0}, "give"),
        ({"seed": -1}, "give"),
        ({"drop_leaks": True}, "--synthetic takes no --drop-leaks"),
        ({"find_faces": True}, "--synthetic takes no --drop-leaks, --find-faces"),
        ({"numbering": "rafdb"}, "--synthetic takes no --drop-leaks, --find-faces or --numbering"),
    ):
        args = prepare_data.Args(synthetic=True, **wrong, output=tmp_path / "faces.csv")
        with pytest.raises(InputError, match=told):
            prepare_data.main(args)
    assert not list(tmp_path.iterdir())


def test_real_faces_are_not_overwritten_by_synthetic_ones(tmp_path):
    args = prepare_data.Args(
        synthetic=True, count=7, output=tmp_path / "faces.csv", figures_dir=tmp_path
    )
    args.output.write_text("emotion,pixels,Usage\n")
    with pytest.raises(InputError, match="not synthetic"):
        prepare_data.main(args)
    assert args.output.read_text() == "emotion,pixels,Usage\n"
    args.output.unlink()
    prepare_data.main(args)
    prepare_data.main(args)  # synthetic faces may be drawn again


def test_kaggle_download(tmp_path, monkeypatch):
    """Against a stand-in for kagglehub: the real one needs a network and an account."""
    folder = image_folder(tmp_path / "cache" / "versions" / "1", named=True)
    asked = []

    def dataset_download(handle):
        asked.append(handle)
        if handle != "msambare/fer2013":
            raise RuntimeError("404 Client Error.\n\nResource not found")
        return str(folder)

    stand_in = types.ModuleType("kagglehub")
    stand_in.dataset_download = dataset_download
    monkeypatch.setitem(sys.modules, "kagglehub", stand_in)
    output = tmp_path / "out.csv"
    prepare_data.main(prepare_data.Args(kaggle="msambare/fer2013", output=output))
    assert asked == ["msambare/fer2013"]
    assert len(fer2013_csv.parse_csv(output).images) == 84
    with pytest.raises(InputError, match="cannot download a/b"):
        prepare_data.main(prepare_data.Args(kaggle="a/b", output=tmp_path / "other.csv"))
    monkeypatch.setitem(sys.modules, "kagglehub", None)  # as where it is not installed
    with pytest.raises(InputError, match="pip install kagglehub"):
        prepare_data.main(prepare_data.Args(kaggle="a/b", output=tmp_path / "other.csv"))
