"""Small arrays as pictures: what is written, tinted and outlined."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import Circle, Rectangle

from minizf.view.grids import Grid, draw_grids, overlap, tint
from minizf.view.style import LIGHT


def test_every_value_is_written_in_its_cell():
    values = np.array([[1.5, -2, 0], [np.nan, 1000, 7]])
    axes = draw_grids([[Grid(values, "x")]], "title").axes[0]
    written = {(int(t.get_position()[1]), int(t.get_position()[0])): t.get_text() for t in axes.texts}
    assert written == {(0, 0): "1.5", (0, 1): "−2", (0, 2): "0", (1, 1): "1e+03", (1, 2): "7"}


def test_tints_follow_sign_and_size():
    assert tint(0.0, LIGHT) == tint(float("nan"), LIGHT) == to_rgb(LIGHT.paper)
    red, _, blue = range(3)
    assert tint(1.0, LIGHT)[blue] > tint(1.0, LIGHT)[red]
    assert tint(-1.0, LIGHT)[red] > tint(-1.0, LIGHT)[blue]
    assert tint(1.0, LIGHT)[red] < tint(0.5, LIGHT)[red] < 1


def test_names_are_not_tinted():
    values = np.array([[3, 1]])
    for tinted in (True, False):
        cells = [p for p in draw_grids([[Grid(values, "x", tinted=tinted)]], "t").axes[0].patches if isinstance(p, Rectangle)]
        assert (cells[0].get_facecolor()[:3] == to_rgb(LIGHT.paper)) is not tinted


def test_windows_and_marks_lie_where_they_belong():
    marks = np.zeros((4, 5), bool)
    marks[2, 3] = True
    axes = draw_grids([[Grid(np.ones((4, 5)), "x", windows=[(-1, 2, 2, 4)], marks=marks)]], "t").axes[0]
    (ring,) = [p for p in axes.patches if isinstance(p, Circle)]
    assert ring.center == (3.5, 2.5)
    window = axes.patches[-1]
    assert window.get_xy() == pytest.approx((2, -1), abs=0.1)
    assert (window.get_width(), window.get_height()) == pytest.approx((2, 3), abs=0.2)
    assert axes.get_ylim()[1] <= -1, "a window in the padding is inside the picture"


@pytest.mark.parametrize(
    ("a", "b", "shared"),
    [((0, 0, 2, 2), (0, 2, 2, 4), False), ((0, 0, 3, 3), (2, 2, 5, 5), True), ((0, 0, 2, 2), (2, 0, 4, 2), False)],
)
def test_overlap(a, b, shared):
    assert overlap(a, b) is overlap(b, a) is shared


def test_a_step_draws_an_arrow_with_its_word():
    figure = draw_grids([[Grid(np.eye(2), "x"), Grid(np.eye(3), "y", "pool")], [Grid(np.eye(2), "z", "unpool")]], "t")
    words = [text.get_text() for text in figure.texts]
    assert {"x", "y", "z", "pool", "unpool"} <= set(words)
    left, _, width, _ = figure.axes[-1].get_position().bounds
    assert 0 < left < left + width < 1, "nothing is cut off"
