"""FER+: ten taggers' votes on each face of FER2013, against its label and a model's answer.

E. Barsoum et al., "Training deep networks for facial expression recognition with crowd-sourced
label distribution" (2016). Its fer2013new.csv has the rows of fer2013.csv, in the same order.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from utils import USAGES, Faces, InputError

# FER+'s names for CLASSES, in their order; contempt, unknown and NF (no face) are none of them.
EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
OTHERS = ("contempt", "unknown", "NF")


def read_votes(path: Path, faces: Faces) -> np.ndarray:
    """Votes, int64 (n, 10): for the 7 classes, then for contempt, unknown and NF.

    Raises InputError unless the file has the rows of `faces`.
    """
    try:
        table = pd.read_csv(path)
        votes = table[[*EMOTIONS, *OTHERS]].to_numpy(np.float64)
        usage = table["Usage"]
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"{path} is not FER+'s fer2013new.csv: {reason}") from None
    wrong = ~((votes >= 0) & (votes <= 10) & (votes == np.round(votes))).all(axis=1)
    if wrong.any():
        raise InputError(f"{path}, row {wrong.argmax() + 1}: votes are whole numbers in 0..10")
    if faces.usage is None or not np.array_equal(usage, np.array(USAGES)[faces.usage]):
        raise InputError(
            f"{path} has other rows than {faces.path} (compared by number and Usage); "
            "name the fer2013.csv in its original order"
        )
    return votes.astype(np.int64)


def compare(votes: np.ndarray, labels: np.ndarray, predicted: np.ndarray) -> dict:
    """How model, label and crowd agree; votes (n, 10), labels and predicted (n,).

    The crowd's answer is what more taggers said than anything else; where two answers tie it has
    none. `by_agreement`: accuracy against the label by the number of taggers who agree.
    """
    agreement = votes.max(axis=1)
    clear = (votes == agreement[:, None]).sum(axis=1) == 1
    crowd = np.where(clear, votes.argmax(axis=1), -1)
    correct = predicted == labels
    table = pd.DataFrame({"agreement": agreement, "correct": correct})
    by_agreement = table.groupby("agreement")["correct"].agg(["size", "mean"])
    return {
        "faces": len(labels),
        "crowd_has_an_answer": int(clear.sum()),
        "crowd_agrees_with_label": int(np.sum(crowd == labels)),
        "crowd_agrees_with_model": int(np.sum(crowd == predicted)),
        "by_agreement": {
            str(level): {"faces": int(row["size"]), "accuracy": float(row["mean"])}
            for level, row in by_agreement.iterrows()
        },
        "where_the_model_errs": {
            "faces": int(np.sum(~correct)),
            "crowd_sides_with_model": int(np.sum(~correct & (crowd == predicted))),
            "crowd_sides_with_label": int(np.sum(~correct & (crowd == labels))),
        },
    }


def describe(comparison: dict) -> list[str]:
    """What `compare` found, in words."""
    errs, answered = comparison["where_the_model_errs"], max(comparison["crowd_has_an_answer"], 1)
    return [
        f"FER+'s crowd has one answer for {comparison['crowd_has_an_answer']:,} of "
        f"{comparison['faces']:,} faces, and there agrees with the label on "
        f"{comparison['crowd_agrees_with_label'] / answered:.1%}, with the model on "
        f"{comparison['crowd_agrees_with_model'] / answered:.1%}.",
        f"On the {errs['faces']:,} faces where the model contradicts the label, the crowd sides "
        f"with the model {errs['crowd_sides_with_model']:,} times, with the label "
        f"{errs['crowd_sides_with_label']:,} times.",
        *(
            f"{level} of 10 taggers agree: {part['accuracy']:.1%} of {part['faces']:,} faces right"
            for level, part in comparison["by_agreement"].items()
        ),
    ]
