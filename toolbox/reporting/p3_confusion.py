"""P3: how each model errs."""

from toolbox.dataset.faces import CLASSES
from toolbox.reporting import homework
from toolbox.reporting.checked_files import read_table
from toolbox.reporting.markdown import Missing, bullets, percent, table
from toolbox.reporting.records import CONFUSION, Records

MEASURES = ("precision", "recall", "f1-score")


def section(records: Records, subject: str) -> list[str | Missing]:
    """P3 of one model as Markdown blocks."""
    found = next(iter(records.analyses(subject, "confusion", CONFUSION, "classes")), None)
    if found is None:
        return [records.missing_analysis("the confusion matrix", "confusion_matrix.py", subject)]
    record, lines = found.record, list(found.record["observations"])
    as_homework = not records.synthetic and tuple(record["classes"]) == CLASSES
    low, high = record["accuracy_interval"]
    text = (
        f"**{subject}**, {record['faces']:,} faces ({record['split']}): accuracy "
        f"{percent(record['accuracy'])} [{percent(low)}, {percent(high)}], macro-F1 "
        f"{record['macro_f1']:.3f}; `{record['command']}`."
    )
    if record.get("without_seen"):
        text += (
            f" {record.get('faces_seen_in_training', 0):,} of these faces are also among its "
            f"training faces; without them {percent(record['without_seen']['accuracy'])}."
        )
    if as_homework:
        text += (
            f" Each cell has the homework's value, of {homework.VALIDATION_FACES:,} validation "
            "faces of FER2013, then **ours**."
        )
        lines.append(compare(read_table(found.beside(".csv"), CLASSES, rows=7)))
    caption = f"Confusion matrix of {subject} on {record['split']}"
    return [
        text,
        table(
            ["class", "precision", "recall", "F1", "faces"],
            [class_row(name, its, as_homework) for name, its in record["classes"].items()],
        ),
        records.picture(found.beside(".png"), caption),
        bullets(lines),
    ]


def class_row(name: str, measured: dict, beside_the_homework: bool) -> list:
    """Precision, recall and F1 of a class, or each after the homework's."""
    told = [f"{measured[key]:.2f}" for key in MEASURES]
    if beside_the_homework:
        told = [f"{a:.2f} / **{b}**" for a, b in zip(homework.CLASSES[name], told, strict=True)]
    return [name, *told, f"{measured['support']:.0f}"]


def compare(counts) -> str:
    """The confusions that the homework names, there and here.

    counts: table (7, 7), rows are true classes.
    """
    told = []
    for (true, predicted), fraction in homework.CONFUSIONS.items():
        row = counts[list(CLASSES)].iloc[CLASSES.index(true)]
        ours = row[predicted] / max(row.sum(), 1)
        told.append(f"{true} as {predicted} {percent(fraction)} and {percent(ours)}")
    return f"Misclassified, in the homework and here: {', '.join(told)}."
