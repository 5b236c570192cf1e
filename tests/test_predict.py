"""The command on pictures, folders, videos and a CSV; an astronaut smiles."""

import gzip
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import make_faces
from model_makers import brightness_model, random_model
from PIL import Image
from skimage import data

import predict
from toolbox.analysis import predictions, saved_models
from toolbox.dataset import fer2013_csv
from toolbox.photos import findings, video
from utils import CLASSES, InputError

ASTRONAUT = Image.fromarray(data.astronaut()).crop((120, 10, 330, 220))  # of NASA, public domain


@pytest.fixture
def args(tmp_path) -> predict.Args:
    """Of a small model, on a CSV."""
    random_model(0).save(tmp_path / "net.keras")
    fer2013_csv.write_csv(tmp_path / "test.csv", make_faces(30, seed=4)[0])
    return predict.Args(model=str(tmp_path / "net.keras"), out=tmp_path / "out")


def table_of(args: predict.Args) -> pd.DataFrame:
    return pd.read_csv(args.out / "faces.csv", keep_default_na=False)


def write_clip(path: Path, frames: int = 8, fps: float = 10) -> Path:
    """The astronaut on the left, and from the third frame on another on the right."""
    writer = video.Writer(path, fps)
    for number in range(frames):
        frame = Image.new("RGB", (400, 220), "grey")
        frame.paste(ASTRONAUT.resize((150, 150)), (2 * number, 20))
        if number > 1:
            frame.paste(ASTRONAUT.resize((120, 120)), (260 - 2 * number, 40))
        writer.append(frame)
    writer.close()
    return path


def test_the_shipped_model_sees_a_smile(tmp_path, capsys):
    ASTRONAUT.save(tmp_path / "é me.png")
    args = predict.Args(inputs=(tmp_path / "é me.png",), figures_dir=tmp_path / "figures")
    record = predict.main(args)
    folder = tmp_path / "figures" / "predictions" / "é me"
    names = {"faces.csv", "faces.json", "faces.png", "é me_faces.jpg"}
    assert {path.name for path in folder.iterdir()} == names
    (row,) = table_of(replace(args, out=folder)).to_dict("records")
    assert row["expression"] == "Happy" and row["Happy"] > 0.6 and row["doubt"] == ""
    assert sum(row[name] for name in CLASSES) == pytest.approx(1, abs=1e-3)
    assert row["left"] < 85 < 125 < row["left"] + row["width"]  # her eyes
    assert record["expressions"] == {"Happy": 1} and record == json.loads(
        (folder / "faces.json").read_text()
    )
    assert "Happy" in capsys.readouterr().out
    drawn = np.asarray(Image.open(folder / "é me_faces.jpg"), int)
    assert drawn.shape == (210, 210, 3) and np.abs(drawn - np.asarray(ASTRONAUT)).max() > 100


def test_a_long_name_and_a_circle_of_links_stop_nothing(args, tmp_path):
    """The one ended a whole folder, without its table, the other in a traceback."""
    long = tmp_path / f"{'é' * 124}.png"
    (tmp_path / "loop.png").symlink_to("loop.png")
    ASTRONAUT.save(long)
    predict.main(
        replace(args, inputs=(tmp_path / "loop.png", long), out=None, figures_dir=tmp_path)
    )
    (out,) = (tmp_path / "predictions").iterdir()
    assert len(list(out.glob("é*_faces.jpg"))) == 1
    predict.main(replace(args, inputs=(long,), out=None, figures_dir=tmp_path))


def test_a_folder_has_a_row_for_every_face_and_for_every_picture_without(args, tmp_path):
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    both = Image.new("RGB", (500, 220))
    both.paste(ASTRONAUT.resize((60, 60)), (20, 20))
    both.paste(ASTRONAUT, (200, 0))
    both.save(folder / "a.webp")
    Image.new("L", (60, 48)).save(folder / "b.jpg")
    (folder / "c.png").write_bytes(b"broken")
    ASTRONAUT.convert("L").resize((48, 48)).save(folder / "more" / "a.png")
    (folder / "notes.txt").write_text("no picture")
    args = replace(args, inputs=(folder,), out=folder / "out")
    record = predict.main(args)
    table = table_of(args)
    assert [Path(file).name for file in table["file"]] == ["a.webp"] * 2 + [
        "b.jpg",
        "c.png",
        "a.png",
    ]
    assert (table["expression"] == "").tolist() == [False, False, True, True, False]
    assert table["face"].tolist() == ["1", "2", "", "", "1"]
    small, large = table["size"][:2].astype(float)
    assert small < 30 and 80 < large < 120
    assert table["doubt"][2] == "no face found" and table["doubt"][3] == "not readable"
    assert (record["files"], record["faces"], record["without_face"]) == (4, 3, 1)
    assert {"a_faces.jpg", "a_2_faces.jpg"} <= {path.name for path in args.out.iterdir()}
    assert predict.main(args) == record  # what it wrote there is not read


def test_a_video_gets_a_row_per_face_and_frame_and_a_timeline(args, tmp_path):
    args = replace(args, inputs=(write_clip(tmp_path / "clip.mp4"),))
    predict.main(args)
    table = table_of(args).astype({"face": int, "frame": int, "seconds": float})
    assert table["frame"].tolist() == [0, 1] + [n for n in range(2, 8) for _ in range(2)]
    assert (table["face"][table["left"] < 100] == 1).all() and set(table["face"]) == {1, 2}
    np.testing.assert_allclose(table["seconds"], table["frame"] / 10, atol=1e-3)
    assert (args.out / "clip_timeline.png").exists()
    again = video.open_video(args.out / "clip_faces.mp4")
    assert (video.frames_per_second(again), len(list(video.read_frames(again)))) == (10, 8)
    predict.main(replace(args, every=2, seconds=(0.25, 0.65), smooth=5.0))
    smooth = table_of(args).astype({"frame": int})
    assert sorted(set(smooth["frame"])) == [3, 5]
    keep = 0.5 ** (0.2 / 5.0)  # frames 3 and 5 are 0.2 s apart
    for face in (1, 2):
        third, fifth, mean = (
            its[(its["frame"] == frame) & (its["face"].astype(int) == face)][[*CLASSES]].astype(
                float
            )
            for its, frame in ((table, 3), (table, 5), (smooth, 5))
        )
        expected = keep * third.to_numpy() + (1 - keep) * fifth.to_numpy()
        np.testing.assert_allclose(mean, expected, atol=1e-3)


def test_a_video_that_is_stopped_leaves_what_it_has(args, tmp_path, monkeypatch):
    def stopped_at_the_fifth(stream, *span, **live):
        for frame in read_frames(stream, *span, **live):
            if frame.number == 4:
                raise KeyboardInterrupt
            yield frame

    read_frames = video.read_frames
    monkeypatch.setattr(video, "read_frames", stopped_at_the_fifth)
    args = replace(args, inputs=(write_clip(tmp_path / "clip.mp4"),))
    with pytest.raises(KeyboardInterrupt):
        predict.main(args)
    assert set(table_of(args)["frame"].astype(int)) == {0, 1, 2, 3}
    assert len(list(read_frames(video.open_video(args.out / "clip_faces.mp4")))) == 4
    assert not [path for path in args.out.iterdir() if path.name.startswith(".")]


def test_without_tk_there_is_no_window(monkeypatch):
    monkeypatch.setitem(sys.modules, "tkinter", None)
    assert video.open_window("me") is None


def test_without_a_screen_the_webcam_gives_the_table(args, tmp_path, monkeypatch, capsys):
    clip = write_clip(tmp_path / "clip.mp4")
    monkeypatch.setattr(video, "open_webcam", lambda number: video.open_video(clip))
    monkeypatch.setattr(video, "open_window", lambda title: None)
    assert predict.main(replace(args, webcam=0))["faces"] == 14
    assert "No screen" in capsys.readouterr().out
    shown = []
    window = lambda picture: shown.append(picture) or len(shown) < 3  # noqa: E731
    monkeypatch.setattr(video, "open_window", lambda title: window)
    assert predict.main(replace(args, webcam=0))["faces"] == 4 and len(shown) == 3


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "name pictures, videos or folders, or --webcam 0"),
        ({"inputs": (Path("no.jpg"),)}, "no.jpg does not exist"),
        ({"inputs": (Path("no.mp4"),)}, "no.mp4 does not exist"),
        ({"inputs": (Path("tests/photos"),)}, "holds no picture or video"),
        ({"webcam": 0, "inputs": (Path("no.jpg"),)}, "name pictures"),
        ({"webcam": 97}, "there is no webcam 97"),
        ({"inputs": (Path("no.mp4"),), "seconds": (3, 2)}, "--seconds"),
        ({"inputs": (Path("no.mp4"),), "every": 0}, "--every is 0"),
        ({"inputs": (Path("faces.csv"),)}, "read it with --data faces.csv"),
    ],
)
def test_bad_input_ends_in_one_line_and_writes_nothing(change, expected, args):
    with pytest.raises(InputError, match=expected) as caught:
        predict.main(replace(args, **change))
    assert "\n" not in str(caught.value) and not args.out.exists()


@pytest.mark.parametrize("ids", [True, False])
def test_submission(ids, args, tmp_path):
    images, path = make_faces(30, seed=4)[0], tmp_path / "test.csv"
    if ids:
        lines = path.read_text().replace("pixels", "feature").splitlines()
        numbers = [" ID ", *range(100, 130)]
        text = "".join(f"{n},{line}\n" for n, line in zip(numbers, lines, strict=True))
        path.write_bytes(gzip.compress(text.encode()))  # under a name that does not say so
    args = replace(args, data=path, submission=tmp_path / "out.csv")
    predict.main(args)
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table.columns) == ["id", "label"] and not args.out.exists()
    assert table["id"].tolist() == list(range(100, 130) if ids else range(30))
    model = saved_models.load_classifier(tmp_path / "net.keras")
    expected = predictions.predict(model, images).argmax(axis=1)
    np.testing.assert_array_equal(table["label"], expected)
    predict.main(replace(args, submission=None))
    assert (table_of(args)["expression"] == np.array(CLASSES)[expected]).all()
    content = path.read_bytes()
    with pytest.raises(InputError, match="would be overwritten"):
        predict.main(replace(args, submission=path))
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "names", [("faces.png",), ("me.jpg", "me_faces.jpg"), ("faces.png", "b.jpg")]
)
def test_no_input_is_overwritten(names, args, tmp_path):
    for name in names:
        ASTRONAUT.save(tmp_path / name)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    args = replace(args, inputs=tuple(tmp_path / name for name in names), out=tmp_path)
    with pytest.raises(InputError, match="would be overwritten"):
        predict.main(args)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_names_that_are_no_utf8_are_written_so_that_they_can_be_read(args, tmp_path):
    (tmp_path / "photos").mkdir()
    with open(os.fsencode(tmp_path / "photos") + b"/caf\xe9.png", "wb") as file:
        ASTRONAUT.save(file)
    with open(os.fsencode(tmp_path / "photos") + b"/caf\xe9.mp4", "wb") as file:
        file.write(write_clip(tmp_path / "clip.mp4", 2).read_bytes())
    record = predict.main(replace(args, inputs=(tmp_path / "photos",)))
    table = table_of(args)
    assert [Path(file).name for file in table["file"]] == ["caf\\udce9.mp4", "caf\\udce9.png"]
    assert (record["unreadable"], record["faces"]) == (1, 1)


def test_nothing_readable_is_an_error_and_leaves_the_earlier_table(args, tmp_path, monkeypatch):
    for name in ("a.jpg", "b.mp4"):
        (tmp_path / name).write_bytes(b"broken")
    args.out.mkdir()
    (args.out / "faces.csv").write_text("earlier")
    args = replace(args, inputs=(tmp_path / "a.jpg", tmp_path / "b.mp4"))
    with pytest.raises(InputError, match="none of the 2 files could be read"):
        predict.main(args)

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(predict, "read_picture", stop)
    with pytest.raises(KeyboardInterrupt):
        predict.main(args)
    assert [path.read_text() for path in args.out.iterdir()] == ["earlier"]


def test_each_file_is_read_once_in_the_order_of_their_names(tmp_path):
    a, b = tmp_path / "a.png", tmp_path / "b.png"
    for path in (a, b):
        path.write_bytes(b"")
    inputs = (a, b, tmp_path, tmp_path / ".." / tmp_path.name / "a.png")
    assert findings.list_files(inputs, tmp_path / "out") == [a, b]


def test_a_folder_inside_of_the_output_folder_is_read(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"")
    folder = tmp_path / "photos"
    assert findings.list_files((folder,), tmp_path) == [folder / "a.png"]
    with pytest.raises(InputError, match="is the folder to read"):
        findings.list_files((folder,), folder)
    circle = folder / "circle.png"
    circle.symlink_to(circle)
    assert findings.list_files((folder,), circle) == [folder / "a.png", circle]


def test_an_empty_name_is_not_this_folder(monkeypatch):
    monkeypatch.setattr("sys.argv", ["predict.py", ""])
    with pytest.raises(InputError, match="names is empty"):
        predict.read_arguments()
    monkeypatch.setattr("sys.argv", ["predict.py", "."])
    assert predict.read_arguments().inputs == (Path(),)


@pytest.mark.parametrize(("told", "warns"), [(8, False), (12, True)])
def test_a_video_that_is_cut_off_gets_a_line(told, warns, args, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(video, "count_frames", lambda stream: told)
    clip = write_clip(tmp_path / "clip.mp4")
    args = replace(args, inputs=(clip,), every=3)
    predict.main(args)
    assert ("it may be cut off" in capsys.readouterr().out) == warns
    predict.main(replace(args, seconds=(0.0, 0.5)))
    assert "it may be cut off" not in capsys.readouterr().out


def test_a_submission_of_other_classes_has_their_names(args, tmp_path):
    model = brightness_model(range(3))
    model.save(tmp_path / "three.keras")
    classes = ("happy", "contempt", "sad")
    path = tmp_path / "sub.csv"
    args = replace(args, model=str(tmp_path / "three.keras"), classes=classes)
    predict.main(replace(args, data=tmp_path / "test.csv", submission=path))
    assert set(pd.read_csv(path)["label"]) == {"Happy", "Contempt", "Sad"}


def test_a_model_of_any_name_can_be_in_the_figures(args, tmp_path):
    random_model(0).save(tmp_path / "$x^$.keras")
    ASTRONAUT.save(tmp_path / "a.png")
    args = replace(args, model=str(tmp_path / "$x^$.keras"), inputs=(tmp_path / "a.png",))
    assert predict.main(args)["model"] == "$x^$" and (args.out / "faces.png").exists()
