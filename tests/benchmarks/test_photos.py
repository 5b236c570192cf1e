"""Faces are pasted into canvases as they are, at the size and the tilt that the benchmark names."""

import numpy as np
from conftest import make_faces

from benchmarks import photos


def test_a_pasted_face_is_whole_and_nothing_else_is_changed():
    face = make_faces(1)[0][0]
    canvas = photos.paste(face, 48, 0, np.random.default_rng(0))
    assert canvas.shape == (photos.HEIGHT, photos.WIDTH, 3)
    windows = np.lib.stride_tricks.sliding_window_view(canvas[..., 0], (48, 48))
    assert (windows == face).all(axis=(2, 3)).sum() == 1
    rows, columns = np.nonzero(canvas[..., 0] != photos.GREY)
    assert np.ptp(rows) <= 47 and np.ptp(columns) <= 47
    tilted = photos.paste(np.zeros((48, 48), np.uint8), 100, 45, np.random.default_rng(0))
    assert 139 <= np.ptp(np.nonzero(tilted[..., 0] == 0)[0]) <= 143  # the diagonal
