"""What is wrong with a data set, in sum and row by row: copies, conflicting labels, blanks."""

import itertools

import numpy as np
import pandas as pd

from toolbox.dataset import splits
from toolbox.dataset.faces import USAGES, Faces

COLUMNS = ["row", "usage", "issue", "other_row", "other_usage"]
COARSE, FINE = 0.97, 0.9  # least correlations of near-copies: of 4x4 means, and of all pixels
MOST_PICTURES = 60_000  # the comparison of all pairs takes 10 s for 30,000


def is_blank(images: np.ndarray) -> np.ndarray:
    """bool (n,): images whose standard deviation is below 1."""
    return images.std(axis=(1, 2)) < 1


def describe(faces: Faces) -> str:
    """Rows by split and class, copies in and across splits, conflicting labels, blank images."""
    by_split = {"the file": np.arange(len(faces.images))}
    if faces.usage is not None:
        by_split = {name: splits.rows_of_usage(faces, name) for name in USAGES}
        by_split = {name: rows for name, rows in by_split.items() if len(rows)}
    group, labels, lines = splits.first_copy(faces.images), faces.labels, []

    def conflicts(rows: np.ndarray) -> str:
        if labels is None:
            return ""
        differ = pd.Series(labels[rows]).groupby(group[rows]).nunique() > 1
        return f"; {differ.sum():,} pictures with conflicting labels"

    if labels is not None:
        k = len(faces.classes)
        counts = [np.bincount(labels[rows], minlength=k) for rows in by_split.values()]
        lines.append(pd.DataFrame(counts, list(by_split), faces.classes).to_string())
    lines.append(f"{len(faces.images):,} rows")
    for name, rows in by_split.items():
        copies = len(rows) - len(np.unique(group[rows]))
        lines.append(f"{name}: {copies:,} rows are copies of another{conflicts(rows)}")
    for (name, rows), (other, others) in itertools.combinations(by_split.items(), 2):
        theirs = others[np.isin(group[others], group[rows])]
        ours = rows[np.isin(group[rows], group[others])]
        both = np.append(theirs, ours)
        lines.append(f"{other}: {len(theirs):,} rows are in {name} too{conflicts(both)}")
    blank = is_blank(faces.images).sum()
    lines.append(f"blank images (standard deviation below 1): {blank:,}")
    if "Test" in by_split:
        lines.append("Usage Test: PublicTest and PrivateTest are merged and cannot be told apart")
    return "\n".join(lines)


def find_issues(faces: Faces) -> pd.DataFrame:
    """One line per row and issue, of `near-copy` one per pair.

    Rows are counted from 0; `other_row` is -1 if there is none.

    issue: `copy` of an earlier image in its split; `in another split`, a copy; `conflicting label`,
    a copy that is labelled differently; `near-copy` of another image, the same photograph cropped,
    scaled or compressed otherwise, whose exact copies are not listed again; `blank`.
    """
    count = len(faces.images)
    first = splits.first_copy(faces.images)
    usage = np.zeros(count, int) if faces.usage is None else faces.usage.astype(int)
    table = pd.DataFrame({"row": np.arange(count), "first": first, "usage": usage})
    table["label"] = 0 if faces.labels is None else faces.labels
    blank = is_blank(faces.images)
    found = {"blank": [(row, -1) for row in np.flatnonzero(blank)]}
    copied = table[table.groupby("first")["row"].transform("size") > 1]
    for issue, column in (("in another split", "usage"), ("conflicting label", "label")):
        found[issue] = []
        for _, group in copied.groupby("first"):
            for value in group[column].unique() if group[column].nunique() > 1 else ():
                other = group.loc[group[column] != value, "row"].iloc[0]
                found[issue] += [(row, other) for row in group.loc[group[column] == value, "row"]]
    in_split = copied.groupby(["first", "usage"])["row"].transform("first")
    again = in_split != copied["row"]
    found["copy"] = list(zip(copied.loc[again, "row"], in_split[again], strict=True))
    found["near-copy"] = near_copies(faces.images, np.unique(first[~blank]))
    lines = pd.DataFrame(
        [(row, issue, other) for issue, pairs in found.items() for row, other in pairs],
        columns=["row", "issue", "other_row"],
    ).astype({"row": int, "other_row": int})
    names = np.array(["" if faces.usage is None else name for name in USAGES])[usage]
    lines["usage"] = names[lines["row"]]
    lines["other_usage"] = np.append(names, "")[lines["other_row"]]
    return lines.sort_values(["row", "issue", "other_row"], ignore_index=True)[COLUMNS]


def near_copies(images: np.ndarray, rows: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of those rows, the later one first, that show one photograph.

    Two correlations must be high. Of 144 such pairs of FER2013 that were looked at, 72 of them
    among the least alike, all were the same photograph. rows: sorted, of different images that are
    not blank.
    """
    if len(rows) < 2:
        return []
    if len(rows) > MOST_PICTURES:
        print(f"no near-copies are looked for among more than {MOST_PICTURES:,} pictures")
        return []
    coarse = standardized(images[rows].reshape(-1, 12, 4, 12, 4).mean(axis=(2, 4)))
    found = []
    for start in range(0, len(rows), 1024):
        alike = np.triu(coarse[start : start + 1024] @ coarse[start:].T > COARSE, 1)
        pairs = rows[start + np.argwhere(alike)]
        for i in range(0, len(pairs), 4096):  # frames of a video are many
            ours, theirs = pairs[i : i + 4096].T
            near = (standardized(images[ours]) * standardized(images[theirs])).sum(axis=1) > FINE
            found += zip(theirs[near], ours[near], strict=True)
    return found


def standardized(images: np.ndarray) -> np.ndarray:
    """float32 (n, pixels) of mean 0 and length 1: their products are correlations."""
    flat = images.reshape(len(images), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
