"""A state comes back as it was saved; anything else is refused in one line."""

import json
import os

import numpy as np
import pytest

from toolbox.files import InputError
from toolbox.training import checkpoint

CONFIGURATION = {"seed": 0, "width": 4}
ARRAYS = {"a": np.arange(5.0, dtype=np.float32), "b": np.zeros((2, 3), np.uint8)}


def refused(path, configuration=CONFIGURATION) -> str:
    with pytest.raises(InputError) as caught:
        checkpoint.load(path, configuration)
    assert "--fresh" in str(caught.value)
    return str(caught.value)


@pytest.fixture
def state(tmp_path):
    path = tmp_path / "net.state.npz"
    checkpoint.save(path, CONFIGURATION, [{"epoch": 1, "loss": 0.1 + 0.2}], ARRAYS)
    return path


def test_a_state_comes_back(state):
    history, arrays = checkpoint.load(state, CONFIGURATION)
    assert history == [{"epoch": 1, "loss": 0.1 + 0.2}]
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array, strict=True)
    assert checkpoint.configuration_of(state) == CONFIGURATION


def test_another_configuration_is_named(state):
    assert "seed is 0 there, 1 here" in refused(state, CONFIGURATION | {"seed": 1})
    assert "more is None there, 2 here" in refused(state, CONFIGURATION | {"more": 2})


def test_a_state_of_another_format_is_refused(tmp_path):
    path = tmp_path / "net.state.npz"
    old = json.dumps({"configuration": CONFIGURATION, "history": []})  # of before formats
    np.savez(path, state=old, **ARRAYS)
    assert "another version" in refused(path)
    for content in ({"format": checkpoint.FORMAT}, [], {"configuration": [], "history": []}):
        np.savez(path, state=json.dumps(content))
        assert "is damaged" in refused(path)
    np.savez(path, state="[" * 100_000)
    assert "is damaged" in refused(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a state", b"\x93NUMPY\x01\x00"])
def test_what_is_no_state_is_refused(content, state):
    state.write_bytes(content)
    assert "is damaged" in refused(state)


def test_a_state_cut_short_or_with_one_bit_flipped_is_refused_or_whole(state):
    content = state.read_bytes()
    history, arrays = checkpoint.load(state, CONFIGURATION)
    for at in range(0, len(content), 3):
        state.write_bytes(content[:at])
        refused(state)
        flipped = bytearray(content)
        flipped[at] ^= 1 << at % 8
        state.write_bytes(flipped)
        try:  # a date in the archive may change, the content may not
            again, arrays_again = checkpoint.load(state, CONFIGURATION)
        except InputError:
            pass
        else:
            assert again == history
            for name, array in arrays_again.items():
                np.testing.assert_array_equal(array, arrays[name])


def test_a_pipe_is_no_state_and_does_not_hang(tmp_path):
    path = tmp_path / "net.state.npz"
    os.mkfifo(path)
    assert "not a regular file" in refused(path)
