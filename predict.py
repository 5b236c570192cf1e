"""Which expression does a model name in my photo, my folder, my video, at my webcam?

    python predict.py me.jpg photos/ clip.mp4    # needs: pip install -r requirements-photos.txt
    python predict.py --webcam 0
    python predict.py --data test.csv --submission submission.csv    # the homework's answers

Finds the faces (toolbox/photos/face_finder.py), cuts them out as FER2013 frames them, and names the
expression of each, the mean of six views. Writes to figures/predictions/INPUT/: the pictures and
videos, annotated; faces.csv, one row per face with its probabilities, and one without an expression
for a picture without a face; faces.png, the faces as the model sees them; faces.json, the record;
and of a video the probabilities over time. Ctrl-C leaves all of it up to there.

What to expect of the shipped model: two of three faces that are found are named as FER2013 labels
them. Small ones are often missed: in benchmarks/README.md 93 % are found at 96 pixels, 60 % at 48,
19 % at 32. An answer that is doubtful has a question mark, and its reason is in faces.csv.
It names the expression that a stranger would name, not what a person feels.
"""

import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tyro

import utils
from toolbox.analysis import frozen, predictions, saved_models
from toolbox.analysis.saved_models import Classifier
from toolbox.dataset import fer2013_csv
from toolbox.dataset.pictures import open_picture
from toolbox.files import as_text, real_path
from toolbox.photos import drawing, face_finder, moving, readings
from toolbox.photos.findings import Findings, list_files
from toolbox.photos.moving import Pace
from toolbox.photos.readings import Reader
from toolbox.photos.video import VIDEOS
from toolbox.training import precision
from utils import InputError

LIMITS = {"every": (1, 10**6), "smooth": (0, 3600), "webcam": (0, 99)}
NOTE = "An expression is what a stranger would name, not what a person feels."


@dataclass
class Args:
    # data
    inputs: tyro.conf.Positional[tuple[Path, ...]] = ()
    """pictures, videos, and folders of them"""
    webcam: int | None = None
    """number of a webcam to watch instead, such as 0"""
    data: Path | None = None
    """CSV of faces, labelled or not, to read instead"""
    every: int = 1
    """of a video: read every N-th frame"""
    seconds: tuple[float, float] = (0.0, math.inf)
    """of a video: from when to when"""
    smooth: float = 0.0
    """of a video: half-life of the running mean of each face's probabilities, seconds"""
    detector: Path | None = None
    """ONNX file of another YuNet"""

    # model
    model: str = ""
    """saved Keras model, or the name of a run; without it the shipped compact"""
    input_range: tuple[float, float] = saved_models.PIXEL_RANGE
    """input range of an external model that does not rescale inside, such as 0 1"""
    classes: tuple[str, ...] = ()
    """what the outputs of such a model stand for: the names in order, or alphabetical"""

    # output
    out: Path | None = None
    """folder to write to; without it figures/predictions/INPUT"""
    submission: Path | None = None
    """write `id,label` for every row of --data to this file, and nothing else; the label is
    FER2013's number, or of a model of other classes the name"""
    seed: int = 0
    """recorded; nothing here is random"""
    models_dir: Path = utils.MODELS
    """folder of your models"""
    figures_dir: Path = utils.FIGURES
    """folder of the figures and their numbers"""


def read_picture(path: Path, out: Path, reader: Reader, findings: Findings) -> None:
    """Name the faces of a picture, and write it annotated."""
    photo = open_picture(path)
    found = reader.read(photo)
    target = out / findings.new_file(path, "_faces.jpg")
    picture = drawing.annotate(photo, found, findings.names)
    utils.atomic_write(target, lambda temporary: picture.save(temporary, quality=90))
    findings.add(path, found)
    labels = ", ".join(drawing.label(reading, findings.names) for reading in found)
    print(f"{as_text(path)}: {labels or 'no face found'}; wrote {target.name}")


def read_all(args: Args, files: list[Path], out: Path, reader: Reader, findings: Findings) -> None:
    """Every file in turn. What is unreadable is an error alone, and a row among others."""
    pace = Pace(args.every, *args.seconds, args.smooth)
    if args.webcam is not None:
        moving.watch_webcam(args.webcam, pace, reader, findings)
    for path in files:
        try:
            if path.suffix.lower() in VIDEOS:
                moving.read_video(path, out, pace, reader, findings)
            else:
                read_picture(path, out, reader, findings)
        except InputError as error:
            if len(files) == 1:
                raise
            print(error)
            findings.add_unreadable(path)
    if not findings.has_read():
        if not files:
            raise InputError(f"webcam {args.webcam} gives no picture; name another")
        raise InputError(f"none of the {len(files)} files could be read; name others")


def save(args: Args, out: Path, classifier: Classifier, findings: Findings, how: dict) -> dict:
    """Write the table, the contact sheet, the timelines and the record; returns the record."""
    table = findings.table()
    utils.write_text(out / "faces.csv", table.to_csv(index=False))
    title = classifier.headline(f"What {classifier.name} sees")
    if findings.faces:
        sheet = drawing.plot_sheet(findings.faces, findings.names, title)
        utils.save_figure(sheet, out / "faces.png")
    faces = table.dropna(subset="expression")
    for file, rows in faces.dropna(subset="seconds").groupby("file", sort=False):
        title = classifier.headline(f"{classifier.name} on {Path(file).name}")
        figure = drawing.plot_timeline(rows, findings.names, title)
        utils.save_figure(figure, out / findings.new_file(Path(file), "_timeline.png"))
    counts = findings.summary()
    record = utils.provenance(args) | {"model": classifier.name, "note": NOTE} | how | counts
    record["arguments"]["seconds"] = [s if math.isfinite(s) else None for s in args.seconds]
    utils.write_json(out / "faces.json", record)
    print(
        f"wrote {out / 'faces.csv'}: {len(faces):,} faces, {counts['doubtful']:,} doubtful. {NOTE}"
    )
    return record


def choose_folder(args: Args, first: Path, classifier: Classifier, synthetic: bool = False) -> Path:
    """The folder to write to: --out, or one named after what is read, and how."""
    synthetic = synthetic or classifier.synthetic
    more = f"_and_{len(args.inputs) - 1}_more" if len(args.inputs) > 1 else ""
    model = f"_{saved_models.unique_name(classifier, args.models_dir, False)}" if args.model else ""
    settings = utils.changed(args, "every", "seconds", "smooth", "detector")
    real = real_path(first)  # the name of a folder has no ending
    name = utils.stem_of(real.parent / f"{real.name}.folder" if real.is_dir() else real)
    name += f"{more}{model}{classifier.settings}{settings}"
    out = args.out or utils.output_folder(args.figures_dir, synthetic) / "predictions" / name
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is not a folder; name another with --out")
    return out


def predict_csv(args: Args) -> dict:
    """Answers for every row of a CSV: its probabilities, or the homework's `id,label`."""
    faces = utils.load_faces(args.data)
    classifier = saved_models.open_model(args, faces.synthetic)
    target = args.submission
    target = target or choose_folder(args, faces.path, classifier, faces.synthetic) / "faces.csv"
    utils.refuse_overwriting([faces.path, classifier.path], [target])
    probabilities = predictions.predict(classifier, faces.images)
    best = probabilities.argmax(axis=1)
    table = pd.DataFrame({"id": fer2013_csv.read_ids(faces.path) or np.arange(len(best))})
    names = np.array(classifier.classes)[best]
    if args.submission:  # the numbers are FER2013's alone
        table["label"] = best if classifier.classes == utils.CLASSES else names
    else:
        table["expression"] = names
        table[list(classifier.classes)] = probabilities.round(4)
        table["doubt"] = np.where(face_finder.is_too_even(faces.images), "blank", "")
    utils.write_text(target, table.to_csv(index=False))
    print(f"wrote {target}, {len(best):,} predictions of {classifier.name}")
    return {"rows": len(best)}


def read_arguments() -> Args:
    """The command line. Raises InputError for an empty name, which `Path` takes for the folder."""
    args = tyro.cli(Args, description=__doc__)
    if Path() in args.inputs and "" in sys.argv[1:]:
        raise InputError('one of the names is empty, ""; name a file, or . for this folder')
    return args


def main(args: Args) -> dict:
    """Name the expressions as `args` say; returns the record, of --data the number of rows."""
    utils.check_limits(args, {k: v for k, v in LIMITS.items() if getattr(args, k) is not None})
    if not 0 <= args.seconds[0] < args.seconds[1]:
        raise InputError("--seconds needs two times, the second after the first, as 10 20")
    if (args.inputs != ()) + (args.webcam is not None) + bool(args.data or args.submission) != 1:
        raise InputError(
            "name pictures, videos or folders, or --webcam 0, or --data FILE, to which alone "
            "--submission belongs"
        )
    saved_models.require_tensorflow()
    if not args.inputs and args.webcam is None:
        return predict_csv(args)
    detector = face_finder.load_detector(args.detector)
    classifier = saved_models.open_model(args, synthetic=False)
    first = Path(f"webcam{args.webcam}") if args.webcam is not None else args.inputs[0]
    out = choose_folder(args, first, classifier)
    files = list_files(args.inputs, out) if args.inputs else []
    computed_in = frozen.computed_in(classifier.model, precision.choose("auto"))
    classify = readings.compile_classifier(classifier, computed_in)
    reader = Reader(detector, classify)
    findings, stopped = Findings(classifier.classes, [], [], {}), False
    outputs = [out / name for name in findings.outputs(files)]
    utils.refuse_overwriting([*files, args.detector, classifier.path], outputs)
    try:
        read_all(args, files, out, reader, findings)
    except KeyboardInterrupt:
        if not findings.has_read():  # an earlier run's table stays
            raise
        stopped = True
    record = save(args, out, classifier, findings, {"computed_in": computed_in, "stopped": stopped})
    if stopped:
        raise KeyboardInterrupt
    return record


if __name__ == "__main__":
    utils.run(main, read_arguments)
