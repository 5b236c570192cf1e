"""report.py says what the records say and no more, and one line about a damaged one."""

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

import report
from toolbox.dataset.faces import CLASSES
from toolbox.reporting import p1_cnn
from toolbox.reporting.records import read_runs
from utils import InputError

PROVENANCE = {
    "command": "python x.py",
    "arguments": {},
    "machine": "Linux, 2 cores",
    "versions": {"tensorflow": "2.21.0", "keras": "3.15.1"},
    "data": {"file": "fer2013.csv", "sha256": "a" * 64, "rows": 420},
}
TRAINING = {
    **{"validation_fraction": 0.1, "batch_size": 128, "epochs": 3, "patience": 100, "seed": 0},
    **{"learning_rate": 0.1, "label_smoothing": 0.0, "dropout": 0.5},
}
AUGMENTATION = {"augment": True, "shift": 0.08, "rotation": 10.0, "zoom": 0.1, "flip": True}
MEASURED = {"accuracy": 0.671, "accuracy_interval": [0.656, 0.687], "macro_f1": 0.642}
RUNS = {"cnn": "fast", "dnn": "dnn"}
ANALYSES = ("confusion_matrix", "saliency", "visualize_filters")
SCORE = {
    **{"deletion_auc": 0.257, "insertion_auc": 0.344},
    **{"accuracy_keeping_top": 0.2, "accuracy_losing_top": 0.365},
}


def write_json(path: Path, record: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(PROVENANCE | record))


def write_run(models: Path, name: str, network: str = "", accuracy=0.613, **arguments) -> None:
    """A run of train_cnn.py, or without a network of train_dnn.py."""
    its = TRAINING | ({"network": network, **AUGMENTATION} if network else {}) | arguments
    record = {
        "command": f"python train_{'cnn' if network else 'dnn'}.py --name {name}",
        "arguments": its,
        **{"parameters": 272_767, "epochs": 3, "best_epoch": 3, "minutes": 4.04},
        **{"seconds_per_epoch": 20.2, "cpu_seconds_per_1000_images": 1.37},
        "metrics": {"training_accuracy": 0.65, "validation_accuracy": accuracy},
        "split": {
            **{"method": "stratified", "training_rows": 252, "validation_rows": [1, 2]},
            "validation_sha256": "b" * 64,
        },
    }
    write_json(models / f"{name}.json", record)
    (models / f"{name}.txt").write_text("| layer |\n|---|\n| dense |\n")
    history = {
        "epoch": [1, 2, 3],
        "accuracy": [0.3, 0.5, 0.65],
        "val_accuracy": [0.2, 0.5, accuracy],
    }
    history["cpu_seconds"] = [60.0, 60.0, 60.0] if network else [20.0, 20.0, 20.0]
    pd.DataFrame(history).to_csv(models / f"{name}.csv", index=False)


def write_filters(folder: Path, layer: str, setting: str = "", command: str = "") -> None:
    record = {
        "command": f"python visualize_filters.py {command}".strip(),
        **{"layer": layer, "split": "validation", "receptive_field": "5x5", "faces": 42},
        **{"filters": 24, "dead": 1, "climbed": 20, "ascent_above_best_face": 19},
        **{"ascent_median": 4.06, "best_face_median": 3.16, "untrained_median": 0.5},
    }
    write_json(folder / f"{layer}{setting}_filters.json", record)
    folder.joinpath(f"{layer}{setting}_filters.png").touch()


def write_analyses(folder: Path) -> None:
    """What confusion_matrix.py, saliency.py and visualize_filters.py write of one model."""
    counts = pd.DataFrame(np.full((7, 7), 2), pd.Index(CLASSES, name="true"), CLASSES)
    classes = {"precision": 0.57, "recall": 0.9876, "f1-score": 0.6, "support": 14.0}
    record = {"split": "validation", "faces": 98, "classes": dict.fromkeys(CLASSES, classes)}
    record |= MEASURED | {"observations": ["Fear is taken for Sad 20 % of the time."]}
    write_json(folder / "validation_confusion.json", record)
    counts.to_csv(folder / "validation_confusion.csv")
    folder.joinpath("validation_confusion.png").touch()
    scores = {"occlusion": SCORE | {"rank_correlation_all_shuffled": 0.07}, "random": SCORE}
    evaluation = {"faces": 98, "accuracy": 0.715, "scores": scores, "verdict": "Trust occlusion."}
    record = {"split": "validation", "evaluation": evaluation}
    record["arguments"] = {"keep": 0.2, "method": "occlusion"}
    write_json(folder / "validation_saliency.json", record)
    write_json(folder / "me_saliency.json", {"faces": ["Happy, 91 %"]})  # of one picture
    means = pd.DataFrame({"Happy": np.r_[np.zeros(1536), np.ones(768)], "Sad": np.ones(2304)})
    means.rename_axis("pixel").to_csv(folder / "validation_saliency_classes.csv")
    write_filters(folder, "conv_0")
    write_filters(folder, "conv_1a", command="--layer conv_1a")


def write_few_labels(folder: Path) -> None:
    """By hand: FixMatch gains 4 and 6 points on seeds 0 and 1; the baseline has a third seed. In a
    longer run it gains 11.
    """
    rows = [
        *(("baseline", 25, 0, 3000, 0.40), ("baseline", 25, 1, 3000, 0.50)),
        *(("baseline", 25, 2, 3000, 0.10), ("all_labels", 300, 0, 3000, 0.70)),
        *(("fixmatch", 25, 0, 3000, 0.44), ("fixmatch", 25, 1, 3000, 0.56)),
        *(("baseline", 25, 0, 9000, 0.40), ("fixmatch", 25, 0, 9000, 0.51)),
    ]
    columns = ["method", "labels_per_class", "seed", "updates", "accuracy"]
    table = pd.DataFrame(rows, columns=columns).assign(macro_f1=0.3, minutes=1.0, width=16)
    folder.mkdir(parents=True)
    table = table.assign(name="default", settings="", start=None, start_minutes=None)
    table.loc[2:, ["start", "start_minutes"]] = "simclr_width16", 7.25
    table.to_csv(folder / "semi_supervised.csv", index=False)


@pytest.fixture
def args(tmp_path) -> report.Args:
    """Arguments for a report on a model `fast` and a DNN, on real faces, with all records."""
    models, figures = tmp_path / "models", tmp_path / "figures"
    write_run(models, "fast", "residual")
    write_run(models, "dnn", accuracy=0.423)
    write_analyses(figures / "fast")
    write_few_labels(figures / "semi_supervised")
    return report.Args(models_dir=models, figures_dir=figures)


@pytest.fixture(autouse=True)
def real_faces(monkeypatch):
    """As if data/fer2013.csv were there; it is not read."""
    monkeypatch.setattr(report.utils, "FER2013", Path(__file__))


def text_of(args: report.Args, synthetic: bool = False) -> str:
    """The report without its figure, which takes longer than all else."""
    return report.render(report.document(report.open_records(args, synthetic), ""))


def edit(path: Path, change) -> None:
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def test_numbers_come_from_the_records(args):
    text = text_of(args)
    assert "| `fast` | 3 | 65.0 % | 61.3 % |  | 20 | 4.0 | 1.37 |" in text
    assert "0.34 / **0.99**" in text  # Fear's recall, the homework's beside ours
    assert "[65.6 %, 68.7 %]" in text and "Fear is taken for Sad 20 % of the time." in text
    assert "Fear as Sad 25.0 % and 14.3 %" in text
    assert "| occlusion | 0.257 | 0.344 | 20.0 % | 36.5 % | 0.07 |" in text
    assert "Happy: mouth and chin 100.0 % of the mean map, " in text
    assert "38 of 40 images" in text
    assert "The CNN has the higher validation accuracy in 1 of 3 epochs." in text
    assert "takes 3.0 times the DNN's CPU time" in text
    edit(args.models_dir / "fast.json", lambda it: it["metrics"].update(validation_accuracy=0.4321))
    assert "43.2 %" in text_of(args)


def test_the_epochs_are_counted_in_which_training_is_behind_validation(args):
    behind = {"accuracy": [0.1, 0.4, 0.8], "val_accuracy": [0.2, 0.4, 0.7]}
    history = pd.read_csv(args.models_dir / "fast.csv").assign(**behind)
    history.to_csv(args.models_dir / "fast.csv", index=False)
    assert "in 1 of 3 epochs" in text_of(args)


def test_gains_are_of_the_same_seeds(args):
    text = text_of(args)
    assert "| 25 | FixMatch | 16 | 3,000 |  | 0, 1 | 50.0 ± 8.5 | +5.0 | 0.300 | 1.0 |" in text
    assert text.count("`simclr_width16` (7.25 minutes)") == 1
    assert "| 25 | FixMatch | 16 | 9,000 |  | 0 | 51.0 | +11.0 | 0.300 | 1.0 |" in text
    assert "| all | all labels | 16 | 3,000 |  | 0 | 70.0 |  | 0.300 | 1.0 |" in text


def test_what_is_missing_is_named_with_its_command(args, tmp_path, capsys):
    result = report.main(args)
    folders = f"--models-dir {args.models_dir} --figures-dir {args.figures_dir}"
    missing = ["homework", "homework --no-augment --epochs 100"]
    assert result["missing"] == [f"python train_cnn.py {it} {folders}" for it in missing]
    printed = capsys.readouterr().out
    assert result["missing"][0] in printed
    nothing = report.Args(models_dir=tmp_path / "m", figures_dir=tmp_path / "f")
    result = report.main(nothing)
    scripts = [command.split()[1] for command in result["missing"]]
    assert scripts == [
        *("train_cnn.py", "train_cnn.py", "train_dnn.py", "confusion_matrix.py", "saliency.py"),
        *("visualize_filters.py", "semi_supervised.py"),
    ]
    assert result["text"] == (tmp_path / "f" / "REPORT.md").read_text()
    assert [path.name for path in (tmp_path / "f").iterdir()] == ["REPORT.md"]


def test_the_homework_is_not_beside_synthetic_faces(args):
    for folder in (args.models_dir, args.figures_dir):
        parts = list(folder.iterdir())
        (folder / "sample").mkdir()
        for part in parts:
            part.rename(folder / "sample" / part.name)
    result = report.main(replace(args, synthetic=True))
    assert result["missing"] == []
    assert (
        "SYNTHETIC FACES" in result["text"]
        and "| Fear | 0.57 | 0.99 | 0.60 | 14 |" in result["text"]
    )
    for told in ("62.0 %", "27.0 %", "37.0 %", "the homework |"):
        assert told not in result["text"]
    histories = {name: run.history for name, run in read_runs(args.models_dir / "sample").items()}
    for synthetic, lines in ((True, 1), (False, 2)):
        how = synthetic, not synthetic
        axes = p1_cnn.plot_accuracy_by_time({"fast": histories["fast"]}, *how).axes
        assert [len(it.lines) for it in axes] == [lines, lines]
        assert axes[0].get_xscale() == "linear"
    assert p1_cnn.plot_accuracy_by_time(histories, True, False).axes[0].get_xscale() == "log"


def test_cpu_minutes_of_a_run_on_a_gpu_are_not_held_against_a_processor_s(args):
    write_run(args.models_dir, "quick", "vgg")
    edit(args.models_dir / "quick.json", lambda it: it.update(device="NVIDIA H200"))
    text = text_of(args)
    report.main(args)
    drawn = pd.read_csv(args.figures_dir / "accuracy_by_time.csv").set_index("run")["cpu_seconds"]
    assert drawn["fast"].tolist() == [60, 60, 60] and drawn["quick"].isna().all()
    assert "| 4.0, NVIDIA H200 |  |" in text
    assert "times the DNN's CPU time" in text  # of `fast`, which was on a processor
    edit(args.models_dir / "dnn.json", lambda it: it.update(device="NVIDIA H200"))
    assert "times the DNN's CPU time" not in text_of(args)


def test_only_layers_with_default_settings_are_listed(args):
    """After `visualize_filters.py --layer conv_2a --steps 64` the report claimed all layers."""
    folder = args.figures_dir / "fast"
    write_filters(folder, "conv_2a", "_steps64", "--layer conv_2a --steps 64")
    text = text_of(args)
    assert "conv_2a" not in text and text.count("| `conv_") == 2
    assert "| `conv_0` |" in text and "`python visualize_filters.py --layer conv_1a`" in text
    for path in folder.glob("conv_[01]*"):
        path.unlink()
    text = text_of(args)  # now that is all there is, with its own command
    assert text.count("| `conv_") == 1
    assert "`python visualize_filters.py --layer conv_2a --steps 64`" in text


def test_layers_of_one_command_have_it_once_and_the_pictures_of_two(args):
    folder = args.figures_dir / "fast"
    for path in folder.glob("conv_*"):
        path.unlink()
    command = "--layer conv_0 conv_1b conv_3b"
    for layer in ("conv_0", "conv_1b", "conv_3b"):
        write_filters(folder, layer, command=command)
        (folder / f"{layer}_filters.png").touch()
    text = text_of(args)
    assert text.count(f"`python visualize_filters.py {command}`") == 1
    shown = [layer for layer in ("conv_0", "conv_1b", "conv_3b") if f"{layer}_filters.png" in text]
    assert shown == ["conv_0", "conv_3b"]


def test_public_test_is_reported_before_other_splits(args):
    folder = args.figures_dir / "fast"
    whole = json.loads((folder / "validation_confusion.json").read_text())
    for name, accuracy in (("PublicTest", 0.5), ("validation_input0to1", 0.25)):
        record = whole | {"split": name, "accuracy": accuracy}
        write_json(folder / f"{name}_confusion.json", record)
        for ending in (".csv", ".png"):
            content = (folder / f"validation_confusion{ending}").read_bytes()
            (folder / f"{name}_confusion{ending}").write_bytes(content)
    assert "faces (PublicTest): accuracy 50.0 %" in text_of(args)
    (folder / "PublicTest_confusion.json").unlink()
    assert "faces (validation): accuracy 67.1 %" in text_of(args)


def test_p2_says_what_it_compares(args):
    assert "This CNN is not the homework's" in text_of(args)
    write_run(args.models_dir, "homework_no_augment", "homework", augment=False)
    edit(args.models_dir / "dnn.json", lambda it: it["split"].update(validation_sha256="c"))
    text = text_of(args)
    assert "This CNN is not the homework's" not in text
    assert text.count("was trained for 3 epochs without augmentation") == 2
    assert "They held out different faces." in text


def test_runs_of_other_data_are_named(args):
    edit(args.models_dir / "dnn.json", lambda it: it["data"].update(sha256="c" * 64))
    assert "Trained on other data: `dnn`.**" in text_of(args)
    records = report.open_records(args, synthetic=False)
    assert "other data: `dnn`, `fast`.**" in report.introduce(records, "d" * 64)


def test_runs_of_other_classes_are_left_out(args):
    write_run(args.models_dir, "others", "residual")
    edit(args.models_dir / "others.json", lambda it: it.update(classes=["Happy", "Sad"]))
    text = text_of(args)
    assert "of other classes: `others`" in text and text.count("others`") == 1


def test_commands_fit_the_data(args, tmp_path, capsys):
    """They asked a CSV without a Usage for PublicTest, of a model of other classes, trained over the
    runs of those classes, and stood beside the homework's numbers.
    """
    data = tmp_path / "eight.csv"
    pixels = " ".join(["7"] * 48**2)
    rows = "".join(f"class {i % 8},{i} {pixels[2:]}\n" for i in range(80))
    data.write_text("emotion,pixels\n" + rows)
    (args.figures_dir / "semi_supervised" / "semi_supervised.csv").unlink()
    result = report.main(replace(args, data=data))
    flags = f"--data {data} --models-dir {args.models_dir} --figures-dir {args.figures_dir}"
    assert result["missing"] == [
        f"python {command} {flags}"
        for command in (
            *(f"train_{kind}.py --name {name}_8_classes" for kind, name in RUNS.items()),
            *(f"{script}.py --model fast_8_classes" for script in ANALYSES),
            "semi_supervised.py --validation-fraction 0.1 --labels-per-class 2",
        )
    ]
    assert "homework" not in result["text"]
    edit(args.models_dir / "fast.json", lambda it: it["arguments"].update(data="my own.csv"))
    for path in args.figures_dir.glob("fast/*"):
        path.unlink()
    (missing,) = {c for c in report.main(args)["missing"] if "saliency" in c}
    assert "--model fast --data 'my own.csv' --models-dir" in missing and "--split" not in missing
    data.write_text("pixels\n" + pixels)
    with pytest.raises(InputError, match="labels"):
        report.main(replace(args, data=data))


def test_contradictory_and_overwriting_arguments_are_refused(args, faces_csv):
    with pytest.raises(InputError, match="neither"):
        report.main(replace(args, published=True, synthetic=True))
    with pytest.raises(InputError, match="holds no synthetic faces"):
        report.main(replace(args, data=faces_csv, synthetic=True))
    with pytest.raises(InputError, match="overwritten"):
        report.main(replace(args, data=faces_csv, output=faces_csv))


def test_the_published_report_is_that_of_the_published_records():
    text = text_of(report.Args(published=True))
    assert text == (ROOT / "REPORT.md").read_text(encoding="utf-8")


DEEP = "[" * 100_000 + "]" * 100_000


def damage(path: Path, rng: random.Random) -> None:
    """Change a file at random: its text, or one value of a record or a table."""
    text = path.read_text()
    kind = rng.randrange(4)
    if kind == 0:
        path.write_bytes(rng.choice([b"", b"\xff\xfe\x00", text[: len(text) // 2].encode(), b"{}"]))
    elif path.suffix == ".json":
        record = part = json.loads(text)
        keys = []
        while isinstance(part, (dict, list)) and part and (not keys or rng.random() < 0.7):
            parent, key = (
                part,
                rng.choice(list(part) if isinstance(part, dict) else range(len(part))),
            )
            keys, part = [*keys, key], part[key]
        parent[key] = "HERE"
        values = [
            "null",
            "NaN",
            "-Infinity",
            "1e999",
            '"x"',
            "[]",
            "{}",
            "true",
            "-1",
            DEEP,
            "9" * 5000,
        ]
        path.write_text(json.dumps(record).replace('"HERE"', rng.choice(values)))
    else:
        lines = text.splitlines()
        line = rng.randrange(len(lines))
        cells = lines[line].split(",")
        cells[rng.randrange(len(cells))] = rng.choice(
            ["", "nan", "inf", "x", "-1", '"', "1e999", "0"]
        )
        lines[line] = ",".join(cells)
        path.write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("fast.json", '"minutes": 4.04', '"minutes": -4.04'),
        ("fast.json", '"validation_accuracy": 0.613', '"validation_accuracy": 7.5'),
        ("fast.csv", "0.613", "7.5"),
        ("validation_confusion.json", '"recall": 0.9876', '"recall": 98.76'),
        ("validation_confusion.csv", "Sad,2", "Sad,-2"),
        ("semi_supervised.csv", "0.44", "44"),
    ],
)
def test_impossible_numbers_are_refused(file, old, new, args):
    (path,) = [path for path in args.models_dir.parent.rglob(file)]
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=f"{file} is damaged"):
        text_of(args)


@pytest.mark.parametrize("seed", range(6))
def test_damaged_records_are_one_line(args, seed):
    """Each of many mutations either makes no difference that matters, or is told with its file."""
    rng = random.Random(seed)
    write_run(args.models_dir, "homework", "homework")
    folders = (args.models_dir, args.figures_dir)
    paths = sorted(p for f in folders for p in f.rglob("*") if p.suffix in (".json", ".csv"))
    refused = 0
    for _ in range(25):
        path = rng.choice(paths)
        whole = path.read_bytes()
        damage(path, rng)
        try:
            text_of(args, synthetic=rng.random() < 0.2)
        except InputError as error:
            assert path.name in str(error) and "\n" not in str(error) and len(str(error)) < 500
            refused += 1
        path.write_bytes(whole)
    assert refused > 8
