"""What README.md says is what the records say, and the commands that it names exist."""

import json
import re
import subprocess

import pandas as pd
import pytest
from conftest import ROOT

import utils
from contenders import BFLOAT16, FAST, FAST_BFLOAT16, OURS, UNFUSED

README = (ROOT / "README.md").read_text()


def changed(*paths: str) -> bool:
    asked = ["git", "status", "--porcelain", "--", *paths]
    return bool(subprocess.run(asked, cwd=ROOT, capture_output=True, text=True).stdout)


# README tells of the repository's records; a user's own runs replace some of them.
pytestmark = pytest.mark.skipif(
    changed("models", "figures") and not changed("README.md", "models/README.md"),
    reason="the records are no longer those that README.md tells of",
)
ROWS = re.findall(
    r"^\| `(\w+)` \| `(python [^`]+)` \| (\d+) \| ([\d.]+) % \| ([\d.]+) % \| ([\d.]+) \|$",
    README,
    re.MULTILINE,
)


def per_cent(ratio: float) -> str:
    return f"{ratio * 100:.1f} %"


def test_results_are_found():
    assert len(ROWS) >= 4


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_results_are_those_of_the_records(row):
    name, command, epochs, validation, public_test, minutes = row
    record = json.loads((ROOT / "models" / f"{name}.json").read_text())
    metrics = record["metrics"]
    assert record["command"] == command
    assert record["epochs"] == int(epochs)
    assert f"{metrics['validation_accuracy'] * 100:.1f}" == validation
    assert f"{metrics['public_test_accuracy'] * 100:.1f}" == public_test
    assert f"{record['minutes']:.1f}" == minutes
    assert not record["data"]["drawn"]


def test_what_is_said_of_the_matrix_is_in_its_record():
    path = ROOT / "figures" / "compact_PublicTest_confusion.json"
    record = json.loads(path.read_text())
    text = " ".join(README.split())
    augmented = record["test_time_augmentation"]
    assert f"mean of {augmented['views']} views" in text
    assert f"the compact net is right on {augmented['accuracy'] * 100:.1f} %" in text
    assert "Disgust for Angry, Fear for Sad, Sad and Neutral for each other" in text
    for taken in (
        "Disgust is taken for Angry",
        "Fear is taken for Sad",
        "Sad is taken for Neutral",
        "Neutral is taken for Sad",
    ):
        assert any(line.startswith(taken) for line in record["observations"])


def test_the_reports_cnn_began_with_the_share_of_the_most_frequent_class():
    history = pd.read_csv(ROOT / "models" / "report.csv")
    start = history["val_accuracy"].iloc[0]
    assert (history["val_accuracy"].iloc[:5] == start).all()  # it answers with one class alone
    assert f"the {per_cent(start)} that always answering Happy" in " ".join(README.split())


def test_what_is_said_of_leaked_faces_is_in_the_judgements():
    text = " ".join(README.split())
    for name in ("report_no_augment", "dnn"):
        path = ROOT / "figures" / f"{name}_PublicTest_confusion.json"
        record = json.loads(path.read_text())
        clean, all_of_them = record["without_seen"]["accuracy"], record["accuracy"]
        assert f"{record['faces_seen_in_training']} of PublicTest's {record['faces']:,}" in text
        assert f"{per_cent(clean)} instead of {per_cent(all_of_them)}" in text


def test_what_is_said_of_the_maps_is_in_their_table():
    scores = pd.read_csv(ROOT / "figures" / "saliency_scores.csv", index_col="method")
    judged = json.loads((ROOT / "figures" / "compact_PublicTest_saliency.json").read_text())
    for name, score in judged["judged"]["scores"].items():  # the table is of the compact net
        assert scores.loc[name, "deletion_auc"] == pytest.approx(score["deletion_auc"])
    gain = scores["insertion_auc"] - scores["deletion_auc"]
    assert gain.nlargest(2).index.tolist() == ["occlusion", "grad_cam"]
    said = f"judges: {gain['occlusion']:.3f} and {gain['grad_cam']:.3f}"
    assert said in " ".join(README.split())
    assert scores["deletion_auc"].idxmin() == "integrated_gradients"
    shuffled = scores["rank_correlation_all_shuffled"]
    assert shuffled.idxmax() == "integrated_gradients" and shuffled["smooth_gradient"] < 0.1


def test_what_is_said_of_the_filters_is_in_their_table():
    table = pd.read_csv(ROOT / "figures" / "filters.csv")
    record = json.loads((ROOT / "figures" / "compact_filters.json").read_text())
    assert f"any of the {record['faces']:,} real faces does" in " ".join(README.split())
    table = table[table["model"] == "compact"]
    assert not table["dead"].any() and (table["ascent"] > table["best_face"]).all()
    assert table["layer"].unique().tolist() == list(record["layers"])
    plain = pd.read_csv(ROOT / "figures" / "filters_plain.csv").merge(
        table, on=["model", "layer", "filter"], suffixes=("", "_default")
    )
    assert (plain["ascent"] > plain["ascent_default"]).all()  # "climbs higher still"


METHODS = ("self_training", "clustering", "fixmatch")


def test_what_is_said_of_few_labels_is_in_their_table():
    table = pd.read_csv(ROOT / "figures" / "semi_supervised.csv")
    assert set(table["data"]) == {"fer2013"}
    text = " ".join(README.split())
    means = table.groupby(["labels_per_class", "updates", "method"])["accuracy"].mean()
    ceilings = table[table["method"] == "all_labels"].groupby("updates")["accuracy"].mean()
    many, few, longer = means[250, 3000], means[25, 3000], means[250, 12000]
    seeds = table.groupby(["labels_per_class", "updates", "method"])["seed"].nunique()
    for labels in (25, 250):
        assert seeds[labels, 3000].to_dict() == dict.fromkeys(["baseline", *METHODS], 3)
    assert seeds[250, 12000].to_dict() == dict.fromkeys(["baseline", "fixmatch"], 3)
    minutes = table[(table["method"] == "fixmatch") & (table["updates"] == 12000)]["minutes"].mean()
    for said in (
        f"alone give {per_cent(many['baseline'])}, self-training {per_cent(many['self_training'])}",
        f"clustering {per_cent(many['clustering'])} and FixMatch {per_cent(many['fixmatch'])}",
        f"all labels give {per_cent(ceilings[3000])} in as many updates",
        f"it is {per_cent(few['baseline'])} alone, {per_cent(few['self_training'])} by self-training",
        f"{per_cent(few['clustering'])} by clustering and {per_cent(few['fixmatch'])} by FixMatch",
        f"leaves the labelled faces alone at {per_cent(longer['baseline'])}",
        f"takes FixMatch to {per_cent(longer['fixmatch'])}, and all labels to "
        f"{per_cent(ceilings[12000])}",
        f"and the long one {minutes:.0f};",
    ):
        assert said in text


def test_speeds_are_those_of_the_benchmark():
    record = json.loads((ROOT / "figures" / "benchmark.json").read_text())
    csv, training, _, saliency, filters = record["results"].values()
    text = " ".join(README.split())

    def ratio(table: dict, one: str, other: str, unit: str = "wall") -> float:
        return table[one][unit] / table[other][unit]

    generator = "model.fit on ImageDataGenerator, augmented"
    cached, pandas = "load_faces, from the cache", "pandas.read_csv alone"
    for said in (
        f"takes {ratio(training, OURS, 'PyTorch', 'cpu'):.2f} of PyTorch's CPU seconds",
        f"CPU seconds ({ratio(training, OURS, 'PyTorch'):.2f} of its time)",
        f"and {ratio(training, OURS, generator):.2f} of the time of `fit`",
        f"ImageDataGenerator ({ratio(training, OURS, generator, 'cpu'):.2f} of its CPU seconds",
        f"on arrays takes {ratio(training, 'model.fit on arrays', 'ours'):.2f} times as long as ours",
        f"as long as {record['fast_recipe']['report_epochs']:.1f} epochs of the report's CNN",
        f"{record['fast_recipe']['report_epochs_in_bfloat16']:.1f} where both compute in bfloat16",
        f"{ratio(training, UNFUSED, FAST, 'cpu'):.2f} times the CPU seconds",
        f"{ratio(training, OURS, BFLOAT16):.1f} times as fast in bfloat16",
        f"the fast one, with its few channels, {ratio(training, FAST, FAST_BFLOAT16):.1f} times",
        f"{record['share_of_matrix_product']['ours'] * 100:.0f} % of the speed of bare matrix",
        f"loads {ratio(csv, pandas, cached):.0f} times as fast as pandas",
        f"{ratio(saliency, 'gradient: tf-keras-vis', 'gradient: ours'):.1f} times as fast as tf-keras-vis",
        f"{ratio(filters, 'eager loop over filters', 'ours'):.0f} times as fast as the usual loop",
    ):
        assert said in text


CARD = (ROOT / "models" / "README.md").read_text()


def test_the_card_is_of_the_model_that_is_shipped():
    record = json.loads((ROOT / "models" / "compact.json").read_text())
    assert record["model_sha256"] == utils.sha256_of_file(ROOT / "models" / "compact.keras")
    assert record["model_sha256"][:12] in CARD
    assert f"{record['parameters']:,} parameters" in CARD
    assert f"{record['split']['training_rows']:,} training faces" in CARD
    assert f"epoch {record['best_epoch']} of {record['epochs']}" in CARD
    assert (ROOT / "models" / "compact.keras").stat().st_size < 8e6
    assert record["parameters"] <= 2_000_000


def test_the_card_says_what_the_judgement_says():
    path = ROOT / "figures" / "compact_PublicTest_confusion.json"
    record = json.loads(path.read_text())
    assert record["faces_seen_in_training"] == 0 and "without_seen" not in record
    for name, part in (
        ("plain", record),
        ("18 views", record["test_time_augmentation"]),
    ):
        low, high = part["accuracy_interval"]
        bounds = f"[{low * 100:.1f}, {high * 100:.1f}]"
        row = f"| {name} | {per_cent(part['accuracy'])} {bounds} | {part['macro_f1']:.3f} | {per_cent(part['balanced_accuracy'])} |"
        assert row in CARD
    assert record["test_time_augmentation"]["views"] == 18
    for name, part in record["classes"].items():
        row = f"| {name} | {part['precision']:.2f} | {part['recall']:.2f} | {part['f1-score']:.2f} | {part['support']:.0f} |"
        assert row in CARD


def test_what_is_said_of_the_ensemble_is_in_its_record():
    path = ROOT / "figures" / "compact_and_deep_PublicTest_confusion.json"
    record = json.loads(path.read_text())
    part, alone = record["ensemble"], record["test_time_augmentation"]
    low, high = part["accuracy_interval"]
    text = " ".join(CARD.split())
    assert f"{per_cent(part['accuracy'])} [{low * 100:.1f}, {high * 100:.1f}] (" in text
    assert f"where `compact` alone is on {per_cent(alone['accuracy'])}" in text


def test_the_tries_are_those_of_the_table():
    tries = pd.read_csv(ROOT / "models" / "tries.csv")
    rows = [
        line.strip("| ").split(" | ")
        for line in CARD.split("## Every serious try")[1].splitlines()
        if line.startswith("| ")
    ]
    found = {row[0]: row[2:6] for row in rows[1:]}
    assert set(found) == set(tries["what"])
    for what, (seeds, mean, seconds, validation) in found.items():
        runs = tries[tries["what"] == what]
        assert seeds == ", ".join(map(str, sorted(runs["seed"])))
        accuracies = runs["public_test_accuracy"] * 100
        spread = f" ± {accuracies.std(ddof=1):.1f}" if len(runs) > 1 else ""
        assert mean == f"{accuracies.mean():.1f}{spread}"
        cpu = (runs["cpu_seconds_per_1000_images"] * runs["epochs"]).mean()
        assert seconds == f"{cpu:.1f}"
        assert validation == f"{runs['validation_accuracy'].mean() * 100:.1f}"


def test_each_picture_of_the_gallery_leads_to_its_command():
    links = re.findall(r'\[<img src="([^"]+)"[^>]*>\]\(#([\w-]+)\)', README)
    assert len(links) == 6
    sections = {
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-"): text
        for title, text in re.findall(r"^### (.+)\n\n([^\n]+)", README, re.MULTILINE)
    }
    for picture, section in links:
        assert (ROOT / picture).exists(), picture
        assert sections[section].startswith("`python "), section


def test_named_files_exist():
    for folder, text in ((ROOT, README), (ROOT / "models", CARD)):
        for path in re.findall(r"\]\((?!http|#)([^)]+)\)", text):
            assert (folder / path).exists(), path
    for script in re.findall(r"python (\w+\.py)", README):
        assert (ROOT / script).exists(), script
