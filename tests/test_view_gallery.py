"""Pictures side by side: their pixels, their boxes, and how maps become ink."""

import numpy as np
import pytest

from minizf.view.gallery import Picture, draw_gallery, ink_pictures, signed_pictures


def test_ink_is_white_at_zero_and_darkest_at_each_maps_largest():
    maps = np.zeros((2, 3, 5))
    maps[0, 1, 2], maps[0, 0, 0], maps[1, 2, 4] = 8, 4, 0.1
    pictures = ink_pictures(maps)
    assert pictures.shape == (2, 3, 5, 3)
    assert pictures.dtype == np.uint8
    assert (pictures[0, 2, 2] == 255).all()
    assert (pictures[0, 1, 2] == pictures[1, 2, 4]).all(), "each map has its own scale"
    assert (pictures[0, 1, 2] < pictures[0, 0, 0]).all()
    assert (ink_pictures(np.zeros((1, 2, 3))) == 255).all()


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_ink_refuses_what_it_cannot_show(bad):
    with pytest.raises(ValueError, match="signed_pictures"):
        ink_pictures(np.array([[[0.0, bad]]]))


def test_signed_pictures_are_grey_at_zero():
    pictures = signed_pictures(np.array([[[0.0, 2, -4]]]))
    assert pictures[0, 0, :, 0].tolist() == [128, 192, 1]
    assert signed_pictures(np.zeros((2, 3, 4, 5))).shape == (2, 4, 5, 3)


def test_pictures_keep_their_shape_and_order():
    pixels = np.zeros((6, 12, 3), np.uint8)
    figure = draw_gallery([Picture(pixels, "a"), Picture(pixels, "b", "note"), Picture(pixels, "c")], "title", columns=2)
    first, second, third = (axes.get_position() for axes in figure.axes)
    wide, high = figure.get_size_inches()
    assert first.width * wide == pytest.approx(2 * first.height * high)
    assert first.x0 < second.x0
    assert first.y0 == pytest.approx(second.y0)
    assert third.y1 < first.y0
    assert third.x0 == pytest.approx(first.x0)


def test_a_box_is_drawn_around_its_pixels():
    pixels = np.zeros((10, 10, 3), np.uint8)
    axes = draw_gallery([Picture(pixels, box=(2, 3, 5, 10))], "title", side=1.0).axes[0]
    zoom = axes.get_images()[0].get_array().shape[0] // 10
    left, top = axes.patches[-1].get_xy()
    assert (left + 0.5, top + 0.5) == (3 * zoom, 2 * zoom)
    assert (axes.patches[-1].get_width(), axes.patches[-1].get_height()) == (7 * zoom, 3 * zoom)
