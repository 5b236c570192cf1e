"""What goes into predict.py and what comes out: the files to read, the table of their faces."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from toolbox.dataset.image_folder import files_below
from toolbox.dataset.pictures import PICTURES
from toolbox.files import InputError, as_text, real_path, stem_of
from toolbox.photos.readings import Reading, as_row
from toolbox.photos.video import VIDEOS

TABLES = (".csv", ".csv.gz", ".csv.zip")
SHEET = ("faces.csv", "faces.png", "faces.json")  # what every run writes
UNREADABLE = "not readable"


def list_files(inputs: tuple[Path, ...], out: Path) -> list[Path]:
    """The files that are named, and the pictures and videos in folders, but none of `out`.

    Each file once.
    """
    files = []
    for path in inputs:
        if path.is_dir() and path.resolve() == real_path(out):
            raise InputError(f"--out {as_text(out)} is the folder to read; name another")
        if not path.is_dir() and path.name.lower().endswith(TABLES):
            raise InputError(f"{as_text(path)} is a table; read it with --data {as_text(path)}")
        if path.is_dir():
            known = [f for f in files_below(path) if f.suffix.lower() in PICTURES + VIDEOS]
            files += [file for file in known if not _is_made_there(file, path, out)]
        else:
            files.append(path)
    if not files:
        named = " ".join(map(str, inputs))
        raise InputError(f"{named} holds no picture or video; name one, or a folder of them")
    once = {}
    for path in files:
        once.setdefault(real_path(path), path)
    return list(once.values())


def _is_made_there(file: Path, folder: Path, out: Path) -> bool:
    """Whether a file found in `folder` is in `out`; never if `out` contains the folder."""
    out, around = real_path(out), folder.resolve().parents
    return out in real_path(file).parents and out not in around


class Findings(NamedTuple):
    """What one run found, in order. It grows, so that an interrupted run has what it found."""

    names: tuple[str, ...]  # of the classes
    rows: list[dict]  # of faces.csv
    faces: list[tuple[int, Reading]]  # row, the first is 1, and what was read
    files: dict[tuple[str, str], str]  # names of what is written, by input and ending

    def add(self, path: Path, found: list[Reading], when: tuple[int, float] | None = None) -> None:
        """Take in the faces of a picture, or of a video's frame. when: its number, seconds."""
        frame, seconds = when or (None, None)
        place = {"file": as_text(path), "frame": frame, "seconds": seconds}
        rows = [as_row(reading, self.names) for reading in found] or [{"doubt": "no face found"}]
        self.faces.extend(enumerate(found, len(self.rows) + 1))
        self.rows.extend(place | row for row in rows)

    def new_file(self, path: Path, ending: str) -> str:
        """The name of what is made from `path`, unlike those of other inputs."""
        key, stem = (as_text(path), ending), stem_of(path)
        name, number = stem + ending, 1
        while key not in self.files and name in self.files.values():
            number += 1
            name = f"{stem}_{number}{ending}"
        return self.files.setdefault(key, name)

    def outputs(self, files: list[Path]) -> list[str]:
        """The names of all that may be written of `files`."""
        names = list(SHEET)
        for path in files:
            is_video = path.suffix.lower() in VIDEOS
            endings = ("_faces.mp4", "_timeline.png") if is_video else ("_faces.jpg",)
            names += [self.new_file(path, ending) for ending in endings]
        return names

    def add_unreadable(self, path: Path) -> None:
        """Take in that a file cannot be read."""
        self.rows.append({"file": as_text(path), "doubt": UNREADABLE})

    def has_read(self) -> bool:
        """Whether anything at all was read."""
        return any(row["doubt"] != UNREADABLE for row in self.rows)

    def table(self) -> pd.DataFrame:
        """faces.csv. Lengths are in pixels, the roll in degrees."""
        place = ["file", "frame", "seconds", "face", "left", "top", "width", "height"]
        columns = [*place, "score", "roll", "size", "expression", *self.names, "doubt"]
        table = pd.DataFrame(self.rows, columns=columns)
        return table.astype({"frame": "Int64", "face": "Int64"}).round({"seconds": 3})

    def summary(self) -> dict:
        """Counts for the record."""
        table = self.table()
        faces = table.dropna(subset="expression")
        return {
            "files": int(table["file"].nunique()),
            "faces": len(faces),
            "without_face": int((table["doubt"] == "no face found").sum()),
            "unreadable": int((table["doubt"] == UNREADABLE).sum()),
            "doubtful": int((faces["doubt"] != "").sum()),
            "expressions": faces["expression"].value_counts().to_dict(),
        }
