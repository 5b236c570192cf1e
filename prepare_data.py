"""Turn any distribution of FER2013 into data/fer2013.csv, and tell what is in it.

    python prepare_data.py ~/Downloads/icml_face_data.csv       # or a .gz or .zip of a CSV
    python prepare_data.py ~/Downloads/archive.zip              # an image folder, zipped or not
    python prepare_data.py --kaggle msambare/fer2013            # needs kagglehub and a network
    python prepare_data.py data/fer2013.csv --report-only       # change nothing, just print

An image folder is train/<class>/*.png, test/<class>/*.png or <class>/*.png (or .jpg). Files named
Training_123.jpg, PublicTest_... or PrivateTest_... say which split they are of; without such names
the two test splits stay merged, as Usage Test. Expect 10 seconds for a CSV, a minute for images.
"""

import itertools
import re
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tyro
from PIL import Image, UnidentifiedImageError

import utils
import fer2013_csv
import splits
from utils import CLASSES, USAGES, Faces, InputError


@dataclass
class Args:
    source: tyro.conf.Positional[Path | None] = None
    """CSV (plain, .gz or .zip), image folder, or zip of an image folder"""
    kaggle: str = ""
    """instead of a source, the OWNER/NAME of a data set to download with kagglehub"""
    output: Path = utils.FER2013
    """CSV to write"""
    overwrite: bool = False
    """replace the output if it exists"""
    report_only: bool = False
    """write nothing"""
    drop_leaks: bool = False
    """leave out the Training rows whose picture also stands in a test split"""


CLASS_FOLDERS = (
    ("0", "angry", "anger"),
    ("1", "disgust", "disgusted"),
    ("2", "fear", "fearful"),
    ("3", "happy", "happiness"),
    ("4", "sad", "sadness"),
    ("5", "surprise", "surprised"),
    ("6", "neutral"),
)
SPLIT_FOLDERS = {
    "train": "Training",
    "training": "Training",
    "test": "Test",
    "publictest": "PublicTest",
    "privatetest": "PrivateTest",
}
IMAGES = (".png", ".jpg", ".jpeg", ".bmp")


def find(source: Path, scratch: Path) -> Path:
    """The CSV or image folder to read, `source` itself or in it; a zip is unpacked to `scratch`.

    Raises InputError for a folder that holds neither images nor exactly one known CSV.
    """
    if source.is_file() and zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            names = [n.lower() for n in archive.namelist() if not fer2013_csv.is_hidden(n)]
            images = any(name.endswith(IMAGES) for name in names)
            if not images and sum(name.endswith(".csv") for name in names) == 1:
                return source  # read as it is
            try:
                archive.extractall(scratch)
            except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
                raise InputError(f"{source}: cannot unpack it ({error}); fetch it again") from None
        source = scratch
    if not source.is_dir():
        return source
    visible = [path for path in source.rglob("*") if not is_hidden(path, source)]
    if any(path.suffix.lower() in IMAGES for path in visible):
        return source
    tables = sorted(path for path in visible if path.suffix.lower() == ".csv")
    for name in ("fer2013.csv", "icml_face_data.csv"):
        named = [table for table in tables if table.name == name]
        if len(named) == 1:
            return named[0]
    if len(tables) == 1:
        return tables[0]
    if tables:
        names = ", ".join(table.name for table in tables)
        raise InputError(f"{source} holds several CSVs ({names}); name one of them")
    return source


def is_hidden(path: Path, folder: Path) -> bool:
    return fer2013_csv.is_hidden(str(path.relative_to(folder)))


def read_image_folder(folder: Path) -> Faces:
    """Read [<split>/]<class>/<image> below `folder`, in the order of the numbers in file names.

    Raises InputError for a folder or a file whose class cannot be told, or that is no image.
    """
    classes = {name: label for label, names in enumerate(CLASS_FOLDERS) for name in names}
    found = []
    for path in folder.rglob("*"):
        if path.is_dir() or is_hidden(path, folder) or path.name in ("Thumbs.db", "desktop.ini"):
            continue
        label = classes.get(path.parent.name.lower())
        if path.suffix.lower() not in IMAGES:
            if label is None:
                continue  # a README or the like
            raise InputError(f"{path} is none of {', '.join(IMAGES)}; convert it or move it away")
        if label is None:
            known = ", ".join(names[-1] for names in CLASS_FOLDERS)
            raise InputError(
                f"{path}: folder `{path.parent.name}` is not a class; rename it to one of {known}"
            )
        named = re.match(r"(Training|PublicTest|PrivateTest)_", path.name)
        usage = named[1] if named else SPLIT_FOLDERS.get(path.parent.parent.name.lower(), "")
        number = [int(part) for part in re.findall(r"\d+", path.stem)]
        found.append((USAGES.index(usage) if usage else -1, number, path.as_posix(), path, label))
    if not found:
        raise InputError(f"{folder} holds no images {IMAGES}; name the folder that holds train/")
    found.sort(key=lambda item: item[:3])
    usage = np.array([item[0] for item in found])
    if (usage < 0).any() and (usage >= 0).any():
        stray = found[0][3]
        raise InputError(f"{stray} stands outside of train/ and test/, where others stand; move it")
    return Faces(
        path=folder,
        sha256="",
        images=np.array([read_image(item[3]) for item in found]),
        labels=np.array([item[4] for item in found], np.uint8),
        usage=None if (usage < 0).all() else usage.astype(np.uint8),
        drawn=False,
    )


def read_image(path: Path) -> np.ndarray:
    """One image as grey pixels, uint8 (48, 48). Raises InputError for another size or format."""
    try:
        with Image.open(path) as image:
            if image.size != (48, 48):
                width, height = image.size
                raise InputError(f"{path} is {width} x {height}, not 48 x 48; crop and resize it")
            if image.mode[0] in "IF":  # converting would clip them
                raise InputError(f"{path} has more than 8 bits a pixel; convert it to 8 bits")
            return np.asarray(image.convert("L"))
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise InputError(f"{path} is not a readable image ({error}); replace it") from None


def describe(faces: Faces) -> str:
    """Rows by split and class, copies in and across by_split, conflicting labels, blank images."""
    if faces.usage is None:
        by_split = {"the file": np.arange(len(faces.images))}
    else:
        by_split = {name: splits.rows_of_usage(faces, name) for name in USAGES}
        by_split = {name: rows for name, rows in by_split.items() if len(rows)}
    lines = []
    if faces.labels is not None:
        counts = [np.bincount(faces.labels[r], minlength=len(CLASSES)) for r in by_split.values()]
        lines.append(pd.DataFrame(counts, list(by_split), CLASSES).to_string())
    lines.append(f"{len(faces.images):,} rows")
    group = splits.first_copy(faces.images)

    def conflicts(*parts: np.ndarray) -> str:
        if faces.labels is None:
            return ""
        rows = np.concatenate(parts)
        pictures = pd.Series(faces.labels[rows]).groupby(group[rows]).nunique()
        return f"; {np.sum(pictures > 1):,} pictures with conflicting labels"

    for name, rows in by_split.items():
        copies = len(rows) - len(np.unique(group[rows]))
        lines.append(f"{name}: {copies:,} rows are copies of another{conflicts(rows)}")
    for (name, rows), (other, other_rows) in itertools.combinations(by_split.items(), 2):
        shared = np.isin(group[other_rows], group[rows])
        also = other_rows[shared], rows[np.isin(group[rows], group[other_rows])]
        lines.append(f"{other}: {shared.sum():,} rows also stand in {name}{conflicts(*also)}")
    blank = int((faces.images.std(axis=(1, 2)) < 1).sum())
    lines.append(f"blank images (standard deviation below 1): {blank:,}")
    if "Test" in by_split:
        lines.append("Usage Test: PublicTest and PrivateTest are merged and cannot be told apart")
    return "\n".join(lines)


def drop_leaks(faces: Faces) -> Faces:
    """Without the Training rows whose picture also stands in another split."""
    if faces.usage is None:
        raise InputError(f"{faces.path} has no Usage, so no test rows to leak; drop --drop-leaks")
    group = splits.first_copy(faces.images)
    training = faces.usage == USAGES.index("Training")
    keep = ~(training & np.isin(group, group[~training]))
    labels = None if faces.labels is None else faces.labels[keep]
    return faces._replace(images=faces.images[keep], labels=labels, usage=faces.usage[keep])


def download(handle: str) -> Path:
    """The local folder of a Kaggle data set. Raises InputError if it cannot be had."""
    try:
        import kagglehub
    except ImportError:
        raise InputError("--kaggle needs kagglehub: pip install kagglehub") from None
    try:
        return Path(kagglehub.dataset_download(handle))
    except Exception as error:  # kagglehub names no base class: no network, no such data set, ...
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"cannot download {handle} from Kaggle: {reason}") from None


def main(args: Args) -> dict:
    """Read, report and write as `args` say; returns the number of rows read and written."""
    if bool(args.source) == bool(args.kaggle):
        raise InputError("name a file or folder, or --kaggle OWNER/NAME; --help shows examples")
    if args.output.exists() and not (args.overwrite or args.report_only):
        raise InputError(f"{args.output} exists; add --overwrite to replace it, or --report-only")
    source = download(args.kaggle) if args.kaggle else args.source
    with tempfile.TemporaryDirectory() as scratch:
        try:
            found = find(source, Path(scratch))
            if found.is_dir():
                faces = read_image_folder(found)
            else:
                faces = Faces(found, "", *fer2013_csv.parse_csv(found))  # leaves no cache beside it
        except InputError as error:
            raise InputError(str(error).replace(scratch, str(source))) from None
    if faces.drawn:
        raise InputError(f"{source} holds drawn faces; pass it to the scripts with --data as it is")
    print(describe(faces))
    rows = len(faces.images)
    if args.drop_leaks:
        faces = drop_leaks(faces)
        print(
            f"left out {rows - len(faces.images):,} Training rows that also stand in a test split"
        )
    if not args.report_only:
        # What was unpacked from a zip is gone by now, and is no file of the user's.
        if args.output.exists() and found.exists() and args.output.samefile(found):
            raise InputError(f"{args.output} is what is read; name another --output")
        utils.write_whole(args.output, lambda path: fer2013_csv.write_csv(path, *faces[2:5]))
        print(f"wrote {args.output}, {len(faces.images):,} rows")
    return {"rows_read": rows, "rows_written": 0 if args.report_only else len(faces.images)}


if __name__ == "__main__":
    utils.run(main, tyro.cli(Args, description=__doc__))
