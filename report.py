"""All results in one document: the homework's five questions and its bonus, answered by your runs.

    python report.py              # from models/ and figures/ to figures/REPORT.md
    python report.py --synthetic  # from the folders named sample to figures/sample/REPORT.md
    python report.py --published  # for maintainers: from the folders named published to REPORT.md

Reads the records that the other scripts wrote, and trains nothing. On real faces the homework's
numbers are beside ours. What no run has made yet is named with the command that makes it. Draws one
figure, accuracy_by_time.png: validation accuracy by epoch and by CPU time. Takes seconds.
"""

import shlex
from dataclasses import dataclass, fields, replace
from pathlib import Path

import pandas as pd
import tyro

import utils
from toolbox.reporting import (
    bonus_few_labels,
    p1_cnn,
    p2_dnn,
    p3_confusion,
    p4_saliency,
    p5_filters,
)
from toolbox.reporting.markdown import Missing
from toolbox.reporting.records import DEFAULT, Records, Run, free_name, read_runs
from utils import InputError

ANALYZED = ("confusion", "saliency", "filters")  # in the names of records


@dataclass
class Args:
    data: Path | None = None
    """CSV of faces that the runs should be of; it also decides whether they are synthetic"""
    synthetic: bool = False
    """report on synthetic faces; the default without --data and data/fer2013.csv"""
    published: bool = False
    """report on what this project ships"""
    models_dir: Path = utils.MODELS
    """folder of the training records"""
    figures_dir: Path = utils.FIGURES
    """folder of the figures and their numbers"""
    output: Path | None = None
    """file to write; without it REPORT.md in the folder of the figures, or the shipped one"""


def open_records(args: Args, synthetic: bool, faces: utils.Faces | None = None) -> Records:
    """All training runs, and where the rest is. faces: those of --data.

    Raises InputError for a damaged record.
    """
    if args.published:
        folders = {"models_dir": args.models_dir, "figures_dir": args.figures_dir}
        args = replace(args, **{name: folder / "published" for name, folder in folders.items()})
    elif args.synthetic:
        args = replace(args, data=args.data or utils.SYNTHETIC)
    models, figures = (
        utils.output_folder(folder, synthetic) for folder in (args.models_dir, args.figures_dir)
    )
    runs = read_runs(models)
    cnn = p1_cnn.main_cnn(runs)
    classes = faces.classes if faces else cnn.classes if cnn else utils.CLASSES
    others = tuple(name for name, run in runs.items() if run.classes != classes)
    runs = {name: run for name, run in runs.items() if name not in others}
    output = args.output or (utils.ROOT if args.published else figures) / "REPORT.md"
    if args.published:
        subjects = (cnn.name if cnn else DEFAULT, "compact")
    else:
        subjects = find_subjects(figures, runs, others) or (free_name(DEFAULT, others, classes),)
    expected = synthetic, faces, classes, flags_of(args)
    return Records(models, figures, output, *expected, runs, subjects, others)


def flags_of(args: Args) -> str:
    """What commands need for the same data and folders as this one; paths here are relative."""
    flags = []
    for field in fields(args):
        value = getattr(args, field.name)
        if field.name in ("data", "models_dir", "figures_dir") and value != field.default:
            path = value.relative_to(utils.ROOT) if value.is_relative_to(utils.ROOT) else value
            flags += [f"--{field.name.replace('_', '-')}", str(path)]
    return shlex.join(flags)


def find_subjects(figures: Path, runs: dict[str, Run], others: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the models that P3 to P5 are about: whichever have been analyzed, one's own runs
    first, else that of P1. others: runs that have no part in it.
    """
    folders = {path.parent.name for kind in ANALYZED for path in figures.glob(f"*/*_{kind}*.json")}
    cnn = p1_cnn.main_cnn(runs)
    analyzed = sorted(folders.difference(others), key=lambda name: (name not in runs, name))
    return tuple(analyzed) or ((cnn.name,) if cnn else ())


def write_accuracy_by_time(records: Records) -> None:
    """Draw the accuracy of all CNNs by epoch and time, and write its numbers beside it."""
    cnns = [run for run in records.runs.values() if run.network]
    some_on_cpu = any(run.on_cpu for run in cnns)
    histories = {
        run.name: run.history.assign(cpu_seconds=float("nan"))
        if some_on_cpu and not run.on_cpu
        else run.history
        for run in cnns
    }
    if histories:
        path = records.figures / "accuracy_by_time.png"
        how = records.synthetic, records.beside_homework
        utils.save_figure(p1_cnn.plot_accuracy_by_time(histories, *how), path)
        table = pd.concat(histories, names=["run"]).reset_index("run")
        columns = ["run", "epoch", "val_accuracy", "cpu_seconds"]
        utils.write_text(path.with_suffix(".csv"), table[columns].to_csv(index=False))


def introduce(records: Records, sha256: str) -> str:
    """Faces, machines and versions of the runs. sha256: of the faces that are expected, or ""."""
    runs = sorted(records.runs.values(), key=lambda run: run.record["data"]["sha256"] != sha256)
    if not runs:
        return "There is no training run yet."
    data = (runs[0] if sha256 else p1_cnn.main_cnn(records.runs) or runs[0]).record["data"]
    sha256 = sha256 or data["sha256"]
    others = [f"`{run.name}`" for run in runs if run.record["data"]["sha256"] != sha256]
    warning = f" **Trained on other data: {', '.join(others)}.**" if others else ""
    if records.left_out:
        warning += f" Left out, being of other classes: `{'`, `'.join(records.left_out)}`."
    kind = "synthetic faces, which say nothing about people" if records.synthetic else "real faces"
    machines = dict.fromkeys(run.machine for run in runs)
    engines = dict.fromkeys(run.engine for run in runs)
    return (
        f"Faces: {data['rows']:,} rows of `{data['file']}` ({kind}), SHA-256 "
        f"`{data['sha256'][:12]}…`.{warning} Machines: {'; '.join(machines)}. "
        f"{'; '.join(engines)}. `report.py` wrote this from the records of the runs, which have "
        "command, seed and commit."
    )


def document(records: Records, sha256: str) -> list[str | Missing]:
    """The whole report, as blocks of Markdown."""
    blocks = [
        "# Seven expressions" + (" on SYNTHETIC FACES" if records.synthetic else ""),
        introduce(records, sha256),
        "## P1. A CNN, and how it was trained",
        *p1_cnn.section(records),
        "## P2. A DNN beside it",
        *p2_dnn.section(records),
    ]
    for title, section in {
        "## P3. How the model errs": p3_confusion.section,
        "## P4. What the model looks at": p4_saliency.section,
        "## P5. What the filters look for": p5_filters.section,
    }.items():
        blocks.append(title)
        for subject in records.subjects:
            blocks += section(records, subject)
    blocks += ["## Bonus. Few labels", *bonus_few_labels.section(records)]
    return [block for block in blocks if block]


def render(blocks: list[str | Missing]) -> str:
    return "\n\n".join(str(block) for block in blocks) + "\n"


def main(args: Args) -> dict:
    """Write the report and its figure; returns its text, and the commands for what is missing."""
    if args.published and (args.data or args.synthetic):
        raise InputError("--published goes with neither --data nor --synthetic")
    faces = utils.load_faces(args.data) if args.data else None
    if faces and faces.labels is None:
        raise InputError(f"{args.data} has no labels; name a CSV with `emotion` or `label`")
    if faces and args.synthetic and not faces.synthetic:
        raise InputError(f"{args.data} holds no synthetic faces; drop --synthetic")
    synthetic = args.synthetic or not (args.published or utils.FER2013.exists())
    records = open_records(args, faces.synthetic if faces else synthetic, faces)
    utils.refuse_overwriting([args.data], [records.output])
    write_accuracy_by_time(records)
    blocks = document(records, faces.sha256 if faces else "")
    text = render(blocks)
    utils.write_text(records.output, text)
    print(f"wrote {records.output}")
    missing = list(dict.fromkeys(b.command for b in blocks if isinstance(b, Missing)))
    if missing:
        print("Some sections are missing. If you want them, run:")
        print("\n".join(f"  {command}" for command in missing))
    return {"text": text, "missing": missing}


if __name__ == "__main__":
    utils.run(main, lambda: tyro.cli(Args, description=__doc__))
