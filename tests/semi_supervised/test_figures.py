import numpy as np
import pandas as pd

from toolbox.semi_supervised import figures


def make_table() -> pd.DataFrame:
    """Four methods at 10 and 25 labels; at 25 also a wider net, and two temperatures."""
    rows = [
        (method, labels, 16, 3000, "", seed)
        for labels in (10, 25)
        for method in ("baseline", "self_training", "clustering", "fixmatch")
        for seed in (0, 1)
    ]
    rows += [("all_labels", 400, 16, 3000, "", 0), ("all_labels", 400, 24, 9000, "", 0)]
    rows += [("baseline", 25, 24, 9000, "", 0), ("fixmatch", 25, 24, 9000, "temperature0.5", 0)]
    rows += [("fixmatch", 25, 16, 3000, "temperature0.5", 0)]
    names = ["method", "labels_per_class", "width", "updates", "settings", "seed"]
    table = pd.DataFrame(rows, columns=names).assign(name="default")
    accuracy = 0.2 + 0.1 * table["labels_per_class"] / 400 + 0.01 * table["seed"]
    return table.assign(accuracy=accuracy, macro_f1=accuracy - 0.05)


def test_settings_are_told_apart_and_the_most_frequent_is_first():
    table = make_table()
    settings = figures.by_setting(table.replace({"settings": {"": np.nan}}))  # as read_csv does
    assert {label: len(runs) for label, runs in settings.items()} == {
        "width 16, 3,000 updates": 17,
        "width 24, 9,000 updates, FixMatch temperature0.5": 3,
        "width 16, 3,000 updates, FixMatch temperature0.5": 1,
    }
    assert sorted(i for runs in settings.values() for i in runs.index) == [*table.index]


def test_no_setting_is_too_long_for_the_legend():
    table = make_table()
    own = table["settings"].mask(table["method"] == "fixmatch", "uratio3_temperature0.7_wu2.5")
    own = own.mask(table["method"] == "clustering", "clusters40")
    own = own.mask(table["method"] == "self_training", "threshold0.7_rounds3")
    name = "batch-size32_simclr-updates20_learning-rate0.02"
    figure = figures.plot_accuracy(table.assign(settings=own, name=name), True, "t")
    figure.draw_without_rendering()
    around = figure.legends[0].get_window_extent()
    assert around.x0 >= 0 and around.x1 <= figure.bbox.width


def test_one_line_per_method_and_the_mean_of_the_seeds():
    figure = figures.plot_accuracy(make_table(), published=True, title="t")
    axes = figure.axes[0]
    lines = [
        line
        for line in axes.lines
        if line.get_marker() == "o" and line.get_linestyle() == "-" and len(line.get_xdata()) == 2
    ]
    assert len(lines) == 4
    for line in lines:
        expected = [0.2 + 0.1 * 10 / 400 + 0.005, 0.2 + 0.1 * 25 / 400 + 0.005]
        np.testing.assert_allclose(np.array(line.get_ydata(), float), expected)
    figure.draw_without_rendering()


def record(method: str, f1: float, updates: list, settings: str = "") -> dict:
    precision = [None, *[0.5] * (len(updates) - 1)] if updates else []
    return {
        "configuration": {"method": method, "updates": 100},
        "settings": settings,
        "metrics": {"f1": [f1] * 7},
        "pseudo_labels": {
            "updates": updates,
            "coverage": [0.1] * len(updates),
            "precision": precision,
        },
    }


def test_pseudo_labels_of_every_method_that_has_some():
    records = [
        record("all_labels", 0.9, []),
        record("baseline", 0.4, []),
        record("fixmatch", 0.5, [0, 50, 100], "temperature0.5"),
        record("self_training", 0.3, [0, 50]),
    ]
    figure = figures.plot_pseudo_labels(records, "t")
    *_, gains = figure.axes
    told = [text.get_text() for text in figure.legends[0].texts]
    assert told == ["self-training", "FixMatch, temperature0.5"]
    heights = [bar.get_height() for bar in gains.patches]
    np.testing.assert_allclose(heights, [-0.1] * 7 + [0.1] * 7)
    figures.plot_pseudo_labels(records[:2], "t").draw_without_rendering()
