"""P4: what each model looks at, and which map of it can be believed."""

import pandas as pd

from toolbox.analysis.faithfulness import method_name
from toolbox.dataset.faces import SIDE
from toolbox.reporting.checked_files import read_table
from toolbox.reporting.markdown import Missing, bullets, percent, table
from toolbox.reporting.records import SALIENCY, Records

THIRDS = ("upper third of the image", "middle third", "lower third")


def section(records: Records, subject: str) -> list[str | Missing]:
    """P4 of one model as Markdown blocks."""
    found = next(iter(records.analyses(subject, "saliency", SALIENCY, "evaluation")), None)
    if found is None:
        return [records.missing_analysis("the saliency maps", "saliency.py", subject)]
    record, evaluation = found.record, found.record["evaluation"]
    method = method_name(record["arguments"]["method"])
    header = [
        *("method", "deletion (lower is better)", "insertion (higher is better)"),
        f"accuracy with the top {100 * record['arguments']['keep']:g} % of the pixels alone",
        f"accuracy without them (with all: {percent(evaluation['accuracy'])})",
        "rank correlation after shuffling all weights (0 is best)",
    ]
    caption = f"{subject}: mean face and mean map of each class, by {method}"
    return [
        f"**{subject}**, {evaluation['faces']:,} faces ({record['split']}): "
        f"`{record['command']}`. Rows without a rank correlation are controls, which know nothing "
        "of the model.",
        table(header, [format_row(*row) for row in evaluation["scores"].items()]),
        evaluation["verdict"],
        records.picture(found.beside("_classes.png"), caption),
        bullets(where_it_looks(read_table(found.beside("_classes.csv"), rows=SIDE * SIDE))),
    ]


def format_row(method: str, score: dict) -> list:
    """A row of the table of methods."""
    check = score.get("rank_correlation_all_shuffled")
    return [
        method_name(method),
        f"{score['deletion_auc']:.3f}",
        f"{score['insertion_auc']:.3f}",
        percent(score["accuracy_keeping_top"]),
        percent(score["accuracy_losing_top"]),
        "" if check is None else f"{check:.2f}",
    ]


def where_it_looks(means: pd.DataFrame) -> list[str]:
    """For each class, the third of the image that has most of its mean map.

    means: one row per pixel; one column per class, after the column `pixel`.
    """
    lines = []
    for name in means.columns[1:]:
        heat = means[name].abs().groupby(means.index // (SIDE * SIDE // 3)).sum()
        if heat.sum() > 0:
            most = percent(heat.max() / heat.sum())
            lines.append(f"{name}: {most} of the mean map is in the {THIRDS[heat.argmax()]}.")
    return lines
