"""Files are whole or absent, and nothing but a regular file is ever replaced."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from toolbox import late
from toolbox.files import (
    InputError,
    atomic_write,
    plain,
    refuse_overwriting,
    save_figure,
    stem_of,
    write_json,
    write_text,
)


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "text.txt"
    write_text(path, "first")

    def fail(temporary):
        temporary.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        atomic_write(path, fail)
    assert caught.value.filename == str(path)
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path]


def test_what_killed_runs_left_is_removed_and_nothing_else(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    path = tmp_path / "a [model].v2.keras"
    others = (
        f".a [model].v2.{os.getppid()}.keras",  # of a run that goes on
        f".a [model].{gone.pid}.keras",  # of another file
        f".a [model].v2.{gone.pid}.csv",
        ".a [model].v2.notes.keras",
    )
    for name in (*others, f".a [model].v2.{gone.pid}.keras", f".a [model].v2.{10**30}.keras"):
        (tmp_path / name).write_text("half")
    write_text(path, "whole")
    assert {old.name for old in tmp_path.iterdir()} == {path.name, *others}


def test_a_pipe_is_written_to_and_stays(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    received = []
    reader = threading.Thread(target=lambda: received.append(path.read_text()), daemon=True)
    reader.start()
    write_text(path, "through")
    reader.join(10)
    assert received == ["through"]
    assert path.is_fifo()
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    target, link = tmp_path / "far" / "target.txt", tmp_path / "link.txt"
    write_text(target, "old")
    link.symlink_to(target)
    write_text(link, "new")
    assert link.is_symlink() and target.read_text() == "new"


def test_a_circle_of_links_is_named_and_stays(tmp_path):
    link, other = tmp_path / "a.csv", tmp_path / "b.csv"
    link.symlink_to(other)
    other.symlink_to(link)
    refuse_overwriting([link, None], [tmp_path / "c.csv"])
    for path in (link, link / "inside.csv"):
        with pytest.raises(OSError) as caught:
            write_text(path, "text")
        assert caught.value.filename == str(path)
    assert link.is_symlink() and other.is_symlink()


def test_a_folder_in_the_way_is_named(tmp_path):
    (tmp_path / "out.csv").mkdir()
    for folder in (tmp_path / "out.csv", Path()):  # the latter has no name
        with pytest.raises(OSError) as caught:
            write_text(folder, "text")
        assert caught.value.filename == str(folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        write_text(tmp_path / "file" / "out.csv", "text")


def test_lists_of_numbers_take_one_line_and_nan_is_refused(tmp_path):
    record = {"rows": [[1, 2], [3.5, -4e-9]], "name": "x [1,  2]"}
    write_json(tmp_path / "a.json", record)
    text = (tmp_path / "a.json").read_text()
    assert "[ 1, 2 ],\n" in text and json.loads(text) == record
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "b.json", {"accuracy": float("nan")})
    assert not (tmp_path / "b.json").exists()


def test_an_input_is_not_overwritten(tmp_path):
    path = tmp_path / "faces.csv"
    (tmp_path / "folder").mkdir()
    refuse_overwriting([path, None], [tmp_path / "other.csv"])
    with pytest.raises(InputError, match="is an input and would be overwritten"):
        refuse_overwriting([path, None], [tmp_path / "folder" / ".." / "faces.csv"])


@pytest.mark.parametrize("name", [r"$\frac{$", "a$b$^$", "\udcff\x1b", "模型", "50 %", "_a_^{}"])
def test_any_name_can_be_in_a_figure(name, tmp_path, recwarn):
    figure = Figure()
    axes = figure.add_subplot(title=plain(name))
    axes.bar([plain(name)], [1], label=plain(name))
    assert len(axes.legend().get_texts()) == 1
    save_figure(figure, tmp_path / "figure.png")
    assert not recwarn.list


def test_all_figures_have_one_palette():
    [line] = late.Figure().add_subplot().plot([0, 1])
    assert line.get_color() == late.PALETTE[0]


def test_stems_of_long_names_differ_and_leave_room():
    """Of two names that began alike the second overwrote what was made of the first."""
    long = ["\u611f" * 80 + end for end in ("a", "b")]
    stems = [stem_of(Path(f"x/{name}.jpg")) for name in (*long, "short")]
    assert len(set(stems)) == 3 and stems[2] == "short"
    assert all(len(stem.encode()) <= 150 and stem.startswith("\u611f" * 46) for stem in stems[:2])
