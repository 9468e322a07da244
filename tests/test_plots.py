from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wholebody.evaluate.svg import PlotAxes, text, ticks


@given(st.floats(1, 1e4), st.floats(0, 1), st.booleans())
def test_numbers_lie_inside_the_field_and_in_order(x, y, log):
    axes = PlotAxes((1, 1e4), (0, 1), log=log)
    left, top, right, bottom = axes.margins
    assert left - 1e-6 <= axes.across(x) <= axes.size[0] - right + 1e-6
    assert top - 1e-6 <= axes.up(y) <= axes.size[1] - bottom + 1e-6
    assert axes.across(1) <= axes.across(x) <= axes.across(1e4) and axes.up(0) >= axes.up(y) >= axes.up(1)


def test_equal_factors_are_equal_steps_on_a_logarithmic_axis():
    axes = PlotAxes((1, 1000), (0, 1), log=True)
    assert np.diff([axes.across(value) for value in (1, 10, 100, 1000)]) == pytest.approx(np.full(3, 688 / 3))


@given(st.floats(1e-4, 1e4))
def test_ticks_are_round_and_few(most):
    found = ticks(most)
    assert found[0] == 0 and found[-1] <= most * (1 + 1e-6) and 4 <= len(found) <= 11
    assert found[-1] + found[1] > most
    assert float(f"{found[1]:.1g}") == pytest.approx(found[1])


def test_words_are_words():
    picture = PlotAxes((0, 1), (0, 1)).picture([text(1, 2, "a < b & c")])
    assert ElementTree.fromstring(picture).find("{http://www.w3.org/2000/svg}text").text == "a < b & c"
