"""The crowd's answers, counted by hand."""

import numpy as np

from toolbox.analysis import crowd


def test_agreement_by_hand():
    votes = np.zeros((4, 10), int)
    votes[0, 3] = 10  # all say Happy
    votes[1, [0, 4]] = 5, 5  # no majority
    votes[2, 6], votes[2, 0] = 7, 3  # Neutral
    votes[3, 9] = 10  # no face
    labels, predicted = np.array([3, 0, 0, 1]), np.array([3, 4, 6, 2])
    found = crowd.compare(votes, labels, predicted)
    assert found["crowd_has_an_answer"] == 3
    assert found["crowd_agrees_with_label"] == 1
    assert found["crowd_agrees_with_model"] == 2
    assert found["by_agreement"]["10"] == {"faces": 2, "accuracy": 0.5}
    assert found["by_agreement"]["7"] == {"faces": 1, "accuracy": 0.0}
    assert found["where_the_model_errs"] == {
        "faces": 3, "crowd_sides_with_model": 1, "crowd_sides_with_label": 0}  # fmt: skip
    lines = crowd.describe(found)
    assert "for 3 of 4 faces" in lines[0] and "with the label on 33.3 %" in lines[0]
    assert lines[-1] == "10 of 10 taggers agree: right on 50.0 % of 2 faces"
