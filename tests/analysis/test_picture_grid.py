import textwrap

import pytest

from toolbox.analysis.picture_grid import even_lines

TITLE = "compact conv_3a: gradient ascent from noise, one row per filter, with its activation"


@pytest.mark.parametrize("letters", [30, 45, 79, 84, 200])
def test_a_title_has_as_few_lines_as_can_be_and_no_word_alone(letters):
    lines = even_lines(TITLE, letters).split("\n")
    assert " ".join(lines) == TITLE and len(lines) == len(textwrap.wrap(TITLE, letters))
    assert max(map(len, lines)) <= letters and len(lines[-1]) > 0.6 * len(lines[0])


@pytest.mark.parametrize("text", ["", "a", "unbroken" * 9])
def test_short_and_unbroken_titles_are_kept(text):
    assert even_lines(text, 20).replace("\n", "") == text
