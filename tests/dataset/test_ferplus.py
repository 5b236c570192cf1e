"""FER+'s votes are read for the right classes, and only for the rows of the CSV."""

import contextlib
import gzip
import os
import random

import numpy as np
import pandas as pd
import pytest
from conftest import make_faces, write_votes

import utils
from toolbox.dataset import fer2013_csv, ferplus
from toolbox.dataset.faces import Faces
from utils import InputError


def test_ferplus_must_have_the_same_rows(faces_csv, tmp_path):
    faces = utils.load_faces(faces_csv)
    usage = np.array(utils.USAGES)[faces.usage]
    votes = ferplus.read_votes(write_votes(tmp_path / "votes.csv", usage), faces)
    np.testing.assert_array_equal(votes.argmax(axis=1), 3)  # happiness is Happy
    for wrong in (usage[:-1], usage[::-1]):
        with pytest.raises(InputError, match="has other rows"):
            ferplus.read_votes(write_votes(tmp_path / "votes.csv", wrong), faces)
    table = pd.read_csv(write_votes(tmp_path / "votes.csv", usage))
    for wrong in (-1, 2.5, 11, None):
        table["fear"] = [0.0] * 9 + [wrong] + [0.0] * (len(table) - 10)
        table.to_csv(tmp_path / "votes.csv", index=False)
        with pytest.raises(InputError, match="line 11: votes are whole numbers"):
            ferplus.read_votes(tmp_path / "votes.csv", faces)
    with pytest.raises(InputError, match=r"is not FER\+'s"):
        ferplus.read_votes(faces_csv, faces)
    with pytest.raises(InputError, match="does not exist"):
        ferplus.read_votes(tmp_path / "absent.csv", faces)


def test_faces_get_the_label_that_most_taggers_agree_on(tmp_path):
    votes = np.array([  # of FER2013's seven, contempt, unknown, NF
        [6, 0, 0, 0, 4, 0, 0, 0, 0, 0],
        [5, 0, 0, 0, 5, 0, 0, 0, 0, 0],  # a tie
        [5, 1, 1, 1, 0, 0, 0, 1, 1, 0],  # single votes are slips
        [0, 0, 0, 0, 3, 0, 0, 7, 0, 0],
        [2, 0, 0, 0, 2, 0, 0, 0, 6, 0],  # unknown
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 9],  # no face
        [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    ])  # fmt: skip
    images, labels, usage = make_faces(7)
    faces = ferplus.label_faces(Faces(tmp_path / "x.csv", "", images, labels, usage, False), votes)
    assert faces.labels.tolist() == [0, 0, 7] and faces.classes[7] == "Contempt"
    np.testing.assert_array_equal(faces.images, images[[0, 2, 3]])
    np.testing.assert_allclose(faces.votes[:, [0, 4, 7]], [[0.6, 0.4, 0], [1, 0, 0], [0, 0.3, 0.7]])
    fer2013_csv.write_csv(faces.path, *faces[2:5], None, *faces[6:])
    again = utils.load_faces(faces.path)
    np.testing.assert_allclose(again.votes, faces.votes)
    faces.path.write_text(faces.path.read_text().replace("votes_Angry", "votes_Joy"))
    with pytest.raises(InputError, match=r"votes for Joy, .* but labels of Angry"):
        utils.load_faces(faces.path)


def test_votes_without_a_majority_or_for_other_classes_are_refused(tmp_path):
    faces = Faces(tmp_path / "x.csv", "", *make_faces(3), False)
    with pytest.raises(InputError, match=r"no row of .* has a majority"):
        ferplus.label_faces(faces, np.zeros((3, 10), int))
    with pytest.raises(InputError, match="other classes than FER2013"):
        ferplus.label_faces(faces._replace(classes=("No", "Yes")), np.full((3, 10), 9))


def test_damaged_files_end_in_one_line(faces_csv, tmp_path):
    faces = utils.load_faces(faces_csv)
    path = write_votes(tmp_path / "votes.csv", np.array(utils.USAGES)[faces.usage])
    content, rng = path.read_bytes(), random.Random(0)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="not a regular file"):
        ferplus.read_votes(tmp_path / "pipe", faces)
    for _ in range(200):
        at = rng.choice((rng.randrange(len(content)), rng.randrange(100)))
        path.write_bytes(content[:at] + rng.randbytes(2) + content[at + 2 :])
        with contextlib.suppress(InputError):
            ferplus.read_votes(path, faces)
    compressed = gzip.compress(content)
    path.write_bytes(compressed)
    assert len(ferplus.read_votes(path, faces)) == 420
    path.write_bytes(compressed[:-9])
    with pytest.raises(InputError, match="cannot unpack"):
        ferplus.read_votes(path, faces)
