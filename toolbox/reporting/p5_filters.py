"""P5: what the filters of each model look for."""

from collections import defaultdict

from toolbox.reporting.markdown import Missing, bullets, table
from toolbox.reporting.records import FILTERS, SPLITS, Analysis, Records

HEADER = [
    *("layer", "filters", "receptive field", "optimized", "ascent, median", "best face, median"),
    *("untrained, median", "ascent above the best face", "dead"),
]


def section(records: Records, subject: str) -> list[str | Missing]:
    """P5 of one model as Markdown blocks."""
    found = layers_of_one_setting(records.analyses(subject, "filters", FILTERS, "climbed"))
    if not found:
        return [records.missing_analysis("the filters", "visualize_filters.py", subject)]
    layers = [it.record for it in found]
    above, climbed = (
        sum(it[name] for it in layers) for name in ("ascent_above_best_face", "climbed")
    )
    commands = ", ".join(dict.fromkeys(f"`{it['command']}`" for it in layers))
    first_and_a_deep_one = found[:: max(len(found) * 2 // 3, 1)][:2]
    return [
        f"**{subject}**, {layers[0]['faces']:,} faces ({layers[0]['split']}): {commands}. Images "
        "that maximally activate the filters, by gradient ascent from noise.",
        table(HEADER, [format_row(it) for it in layers]),
        *[
            records.picture(it.beside(".png"), f"{subject}, filters of {it.record['layer']}")
            for it in first_and_a_deep_one
        ],
        bullets(
            [f"{above:,} of {climbed:,} images activate their filter more than any face does."]
        ),
    ]


def layers_of_one_setting(found: list[Analysis]) -> list[Analysis]:
    """Those with the default settings on one split; if there are none, those of one other setting.

    Only what differs from the defaults is in a file's name, so equal rests of the names mean equal
    settings.
    """
    by_setting = defaultdict(list)
    for it in sorted(found, key=lambda it: it.record["layer"]):
        layer = it.record["layer"].replace("/", "_")
        by_setting[it.path.name.removeprefix(layer).removesuffix("_filters")].append(it)
    usual = ["", *(f"_{split}" for split in SPLITS)]
    rank = {name: (name not in usual, -len(its), name) for name, its in by_setting.items()}
    return by_setting[min(rank, key=rank.get)] if rank else []


def format_row(layer: dict) -> list:
    """A row of the table of layers."""
    medians = [f"{layer[f'{name}_median']:.2f}" for name in ("ascent", "best_face", "untrained")]
    counts = [layer["filters"], layer["receptive_field"], layer["climbed"]]
    ends = [layer["ascent_above_best_face"], layer["dead"]]
    return [f"`{layer['layer']}`", *counts, *medians, *ends]
