"""Records of confusion_matrix.py and evaluate.py in sentences, one line per fact."""

from toolbox.analysis import crowd

MAYBE_SEEN = "  It is not known whether {} was trained on any of these faces."
SEEN = "  {} was trained on {} of these faces."


def evaluation(record: dict) -> list[str]:
    """The whole record of evaluate.py."""
    lines = measured(f"{record['model']} on {record['split']}", record)
    if "test_time_augmentation" in record:
        part = record["test_time_augmentation"]
        lines += measured(f"Mean of {part['views']} views of each face", part)
    if "ensemble" in record:
        lines += ensemble(record["ensemble"])
    of = " of one view" if "test_time_augmentation" in record else ""
    for name, scores in record["calibration"].items():
        text = ", ".join(f"{score.replace('_', ' ')} {v:.3f}" for score, v in scores.items())
        lines.append(f"Probabilities{of} {name}: {text}")
    if "versus" in record:
        lines += comparison(record["model"], record["versus"])
    if "ferplus" in record:
        lines += crowd.describe(record["ferplus"])
    return lines


def measured(name: str, part: dict) -> list[str]:
    """What `metrics.measure_unseen` found."""
    lines = [accuracy(f"{name}, {part['faces']:,} faces", part)]
    if "faces_seen_in_training" in part:
        seen = part["faces_seen_in_training"]
        lines.append(SEEN.format("It", f"{seen:,}" if seen else "none"))
    else:
        lines.append(MAYBE_SEEN.format("it"))
    if "without_seen" in part:
        lines.append(accuracy("  Without them", part["without_seen"]))
    return lines


def accuracy(name: str, part: dict) -> str:
    low, high = (100 * bound for bound in part["accuracy_interval"])
    return (
        f"{name}: accuracy {100 * part['accuracy']:.1f} % [{low:.1f}, {high:.1f}], macro-F1 "
        f"{part['macro_f1']:.3f}, balanced accuracy {100 * part['balanced_accuracy']:.1f} %"
    )


def ensemble(part: dict) -> list[str]:
    """Several models together, and of which of them nothing is known."""
    views = f", {part['views']} views of each face" if part["views"] > 1 else ""
    lines = measured(f"Mean of {' + '.join(part['models'])}{views}", part)
    if "faces_seen_in_training" in part:
        lines += [MAYBE_SEEN.format(name) for name in part["training_faces_unknown_of"]]
    return lines


def comparison(name: str, versus: dict) -> list[str]:
    """Two models on the same faces, and on those that neither has seen."""
    other = versus["model"]

    def line(title: str, part: dict) -> str:
        return (
            f"{title}: {100 * part['accuracy']:.1f} % and {100 * part['other_accuracy']:.1f} % of "
            f"{part['faces']:,} faces; only {name} is right on {part['only_this_is_right']:,}, "
            f"only {other} on {part['only_the_other_is_right']:,}; McNemar's exact p = "
            f"{part['mcnemar_p']:.2g}"
        )

    lines = [line(f"{name} and {other}", versus)]
    for key, model in (("faces_seen_by_this", name), ("faces_seen_by_the_other", other)):
        if key not in versus:
            lines.append(MAYBE_SEEN.format(model))
        elif versus[key]:
            lines.append(SEEN.format(model, f"{versus[key]:,}"))
    if "without_seen" in versus:
        lines.append(line("  Without those", versus["without_seen"]))
    return lines
