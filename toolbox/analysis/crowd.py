"""How a model's answers, FER2013's labels and the votes of FER+'s ten taggers agree."""

import numpy as np
import pandas as pd


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
        f"{100 * comparison['crowd_agrees_with_label'] / answered:.1f} %, with the model on "
        f"{100 * comparison['crowd_agrees_with_model'] / answered:.1f} %.",
        f"On the {errs['faces']:,} faces where the model contradicts the label, the crowd sides "
        f"with the model {errs['crowd_sides_with_model']:,} times, with the label "
        f"{errs['crowd_sides_with_label']:,} times.",
        *(
            f"{level} of 10 taggers agree: right on {100 * part['accuracy']:.1f} % of "
            f"{part['faces']:,} faces"
            for level, part in comparison["by_agreement"].items()
        ),
    ]
