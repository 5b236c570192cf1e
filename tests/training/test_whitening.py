"""The filters of a whitening stem."""

import numpy as np
from conftest import make_faces

from toolbox.training import whitening


def test_responses_of_whitening_filters_are_uncorrelated():
    images = make_faces(300)[0]
    filters = whitening.whitening_filters(images, 12)
    np.testing.assert_array_equal(filters[..., 6:], -filters[..., :6])
    windows = np.lib.stride_tricks.sliding_window_view(images / 127.5 - 1, (5, 5), axis=(1, 2))
    responses = windows[:, ::5, ::5].reshape(-1, 25) @ filters[..., 0, :6].reshape(25, 6)
    second_moments = responses.T @ responses / len(responses)
    off_diagonal = second_moments - np.diag(second_moments.diagonal())
    assert np.abs(off_diagonal).max() < 0.01
    assert (second_moments.diagonal() <= 1).all() and second_moments[0, 0] > 0.95
