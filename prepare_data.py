"""Turn any distribution of FER2013 into data/fer2013.csv, and say what is in it.

    python prepare_data.py ~/Downloads/icml_face_data.csv       # or a .gz, .xz, .zip, .tar.gz of it
    python prepare_data.py ~/Downloads/archive.zip              # an image folder, zipped or not
    python prepare_data.py rafdb/ --numbering rafdb             # classes that are numbers
    python prepare_data.py --kaggle msambare/fer2013            # needs kagglehub and a network
    python prepare_data.py data/fer2013.csv --report-only       # change nothing, just print
    python prepare_data.py --ferplus fer2013new.csv             # FER+'s labels: data/ferplus.csv
    python prepare_data.py --synthetic                          # no FER2013 yet: draw faces

Which tables and folders it reads: data/README.md. Expect half a minute for a CSV, one more for
images. Beside the CSV it writes NAME_issues.csv: toolbox/dataset/issues.py says what is in it.

Synthetic faces (data/synthetic_faces.csv, figures/sample/synthetic_faces.png) take ten seconds. On
held-out ones expect about 80 % from a small CNN and 40 % from an MLP; 8 % of the labels are wrong
on purpose, so nothing honest passes 92 %. That says that the code works, and nothing about people.
"""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from PIL import Image

import utils
from toolbox.dataset import (
    archives,
    class_folders,
    fer2013_csv,
    ferplus,
    image_folder,
    issues,
    splits,
    synthetic_faces,
)
from toolbox.dataset.pictures import PICTURES
from toolbox.files import is_special
from toolbox.photos import face_finder
from utils import USAGES, Faces, InputError

LIMITS = {"count": (1, 1_000_000), "seed": (0, 2**32 - 1)}


@dataclass
class Args:
    source: tyro.conf.Positional[Path | None] = None
    """CSV (plain, compressed or in an archive), image folder, or archive of an image folder"""
    kaggle: str = ""
    """instead of a source, the OWNER/NAME of a data set to download with kagglehub"""
    numbering: Literal["fer2013", "affectnet", "rafdb", "ferplus", "ckplus"] = "fer2013"
    """whose numbers an image folder's classes have, if they are not names"""
    find_faces: bool = False
    """cut the largest face out of each image, for images that a face does not fill"""
    ferplus: Path | None = None
    """FER+'s fer2013new.csv, whose votes become the labels of the source, or of data/fer2013.csv"""
    synthetic: bool = False
    """instead of a source, draw faces"""
    count: int = 4000
    """number of synthetic faces"""
    seed: int = 0
    """of the synthetic faces; the same seed draws the same faces"""
    drop_leaks: bool = False
    """leave out the Training rows whose picture is in a test split too"""

    output: Path | None = None
    """CSV to write; without it data/fer2013.csv, data/ferplus.csv or data/synthetic_faces.csv"""
    overwrite: bool = False
    """replace the output if it exists; synthetic faces are replaced in any case"""
    report_only: bool = False
    """write nothing"""
    figures_dir: Path = utils.FIGURES
    """folder of the figures"""


def find(source: Path, scratch: Path) -> Path:
    """The CSV or image folder to read: `source`, what is in it, or what is unpacked to `scratch`.

    Raises InputError for a folder without images that holds several CSVs, unless exactly one of
    them has a known name.
    """
    if source.is_file():
        content = archives.read_file(source)
        names = archives.members(source, content)
        if not any(_is_image(name) and not archives.is_hidden(name) for name in names):
            return source
        archives.extract(source, content, scratch)
        source = scratch
    if not source.is_dir():
        return source
    files = [str(path.relative_to(source)) for path in image_folder.files_below(source)]
    if any(map(_is_image, files)) or not any(name.lower().endswith(".csv") for name in files):
        return source
    return source / archives.choose_table(source, files)


def _is_image(name: str) -> bool:
    return name.lower().endswith(PICTURES)


def find_by_yunet() -> image_folder.Find:
    """A function that cuts the largest face out of a picture. Raises InputError without OpenCV."""
    detector = face_finder.load_detector()

    def largest_face(picture: Image.Image) -> np.ndarray | None:
        found = face_finder.find_faces(detector, np.asarray(picture.convert("RGB")))
        return face_finder.cut_out_largest(picture.convert("L"), found)[1] if found else None

    return largest_face


def read(source: Path, numbering: str, find_faces: bool = False) -> Faces:
    """The faces of a CSV, an image folder or an archive; leaves no cache beside it."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            found = find(source, Path(scratch))
            if found.is_dir():
                find_face = find_by_yunet() if find_faces else None
                faces = image_folder.read_image_folder(found, numbering, find_face)
                return faces._replace(path=source)  # not the folder that is gone
            if numbering != class_folders.USUAL or find_faces:
                flag = "--find-faces" if find_faces else "--numbering"
                raise InputError(f"{flag} is for image folders; {source} is a table")
            return fer2013_csv.parse_csv(found)
        except InputError as error:
            raise InputError(str(error).replace(scratch, str(source))) from None


def drop_leaks(faces: Faces) -> Faces:
    """Without the Training rows whose picture is in another split too."""
    if faces.usage is None:
        raise InputError(f"{faces.path} has no Usage, so no test rows to leak; drop --drop-leaks")
    others = np.flatnonzero(faces.usage != USAGES.index("Training"))
    training = splits.without_pictures_of(faces, splits.rows_of_usage(faces, "Training"), others)
    return faces.take(np.sort(np.append(training, others)))


def write_issues(faces: Faces, path: Path) -> None:
    """List what is wrong with the faces, row by row."""
    found = issues.find_issues(faces)
    utils.write_text(path, found.to_csv(index=False))
    counts = found["issue"].value_counts()
    told = ", ".join(f"{count:,} {issue}" for issue, count in counts.items()) or "none"
    print(f"wrote {path}, issues row by row: {told}")


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


def draw(args: Args) -> dict:
    """Write synthetic faces, and a contact sheet of them."""
    output = args.output or utils.SYNTHETIC
    if output.is_file() and b"action_units" not in output.open("rb").readline(1 << 16):
        raise InputError(f"{output} holds faces that are not synthetic; name another --output")
    images, labels, usage, units = synthetic_faces.draw_sample(args.count, args.seed)
    print(issues.describe(Faces(output, "", images, labels, usage, True)))
    if not args.report_only:
        write = fer2013_csv.write_csv
        utils.atomic_write(output, lambda path: write(path, images, labels, usage, units))
        print(f"wrote {output}, {args.count:,} synthetic faces")
        sheet = synthetic_faces.plot_contact_sheet(images, labels, units)
        figures = utils.output_folder(args.figures_dir, synthetic=True)
        utils.save_figure(sheet, figures / "synthetic_faces.png")
    return {"rows_read": args.count, "rows_written": 0 if args.report_only else args.count}


def main(args: Args) -> dict:
    """Read or draw, report and write as `args` say; returns the numbers of rows."""
    if args.ferplus and not args.kaggle:
        args = replace(args, source=args.source or utils.FER2013)
    if bool(args.source) + bool(args.kaggle) + args.synthetic != 1:
        raise InputError("name a file or folder, --kaggle OWNER/NAME, or --synthetic; see --help")
    utils.check_limits(args, LIMITS)
    if args.output and args.output.is_dir():
        raise InputError(f"--output {args.output} is a folder; name a CSV in it")
    if args.synthetic:
        if args.drop_leaks or args.find_faces or args.numbering != class_folders.USUAL:
            raise InputError("--synthetic takes no --drop-leaks, --find-faces or --numbering")
        return draw(args)
    default = utils.FER2013.with_name("ferplus.csv") if args.ferplus else utils.FER2013
    output = args.output or default
    listed = output.with_name(f"{output.stem}_issues.csv")
    for path in (output, listed):
        if path.is_file() and not (args.overwrite or args.report_only):
            raise InputError(f"{path} exists; add --overwrite to replace it, or --report-only")
    source = download(args.kaggle) if args.kaggle else args.source
    faces = read(source, args.numbering, args.find_faces)
    if faces.synthetic:
        raise InputError(f"{source} holds synthetic faces; give it to the scripts with --data")
    rows = len(faces.images)
    if args.ferplus:
        faces = ferplus.label_faces(faces, ferplus.read_votes(args.ferplus, faces))
        print(f"FER+: {rows - len(faces.images):,} of {rows:,} rows have no majority for a class")
    print(issues.describe(faces))
    if args.drop_leaks:
        kept, faces = len(faces.images), drop_leaks(faces)
        dropped = kept - len(faces.images)
        print(f"left out {dropped:,} Training rows that are in a test split too")
    if not args.report_only:
        utils.refuse_overwriting([source, faces.path, args.ferplus], [output, listed])
        columns = faces.images, faces.labels, faces.usage, None, faces.classes, faces.votes
        utils.atomic_write(output, lambda path: fer2013_csv.write_csv(path, *columns))
        print(f"wrote {output}, {len(faces.images):,} rows")
        if not is_special(output):  # nothing is beside a device
            write_issues(faces, listed)
    return {"rows_read": rows, "rows_written": 0 if args.report_only else len(faces.images)}


if __name__ == "__main__":
    utils.run(main, lambda: tyro.cli(Args, description=__doc__))
