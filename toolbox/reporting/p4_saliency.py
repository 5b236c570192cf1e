"""P4: what each model looks at, and which map of it can be believed."""

import pandas as pd

from toolbox.analysis.faithfulness import method_name
from toolbox.dataset.faces import SIDE
from toolbox.reporting.checked_files import read_table
from toolbox.reporting.markdown import Missing, bullets, percent, table
from toolbox.reporting.records import SALIENCY, Records

# What is in each third of an image that is framed as in FER2013.
THIRDS = ("forehead and brows", "eyes and nose", "mouth and chin")


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
    """For each class, the share of its mean map in each third of the image, largest first.

    means: one row per pixel; one column per class, after the column `pixel`.
    """
    lines = []
    for name in means.columns[1:]:
        heat = means[name].abs().groupby(means.index // (SIDE * SIDE // 3)).sum()
        if heat.sum() > 0:
            shares = (heat / heat.sum()).set_axis(THIRDS).sort_values(ascending=False)
            first, *rest = (f"{part} {percent(share)}" for part, share in shares.items())
            lines.append(f"{name}: {first} of the mean map, {', '.join(rest)}.")
    return lines
