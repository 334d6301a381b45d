"""Figures of minizf.view: the right numbers and pixels stand in the right places, and every figure explains itself."""

import io
import math

import numpy as np
import pytest
from PIL import Image
from synthetic_plates import CLASSES, images, plate, small_net

from minizf.view.curves import draw_curves, rate_drops
from minizf.view.filters import RULES, draw_filters, filter_pictures, full_rows
from minizf.view.mosaic import PADDING, enlarge, hatch, mosaic
from minizf.view.normalise import BY_LAYER, PERCENTILE, photograph
from minizf.view.plates import choose_maps, draw_plate
from minizf.view.samples import choose_samples, draw_samples
from minizf.view.style import DARK, png, printable, save, text_width, wrap


def texts(figure) -> list[str]:
    return [t.get_text() for t in figure.texts]


def pictures(figure) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def log(epochs=7, rates=None) -> list[dict]:
    return [
        {
            "epoch": e + 1,
            "train_loss": 2 - 0.1 * e,
            "val_loss": 2.1 - 0.07 * e,
            "train_accuracy": 0.1 + 0.03 * e,
            "val_accuracy": 0.2 + 0.05 * e - 0.02 * e * e,
            "learning_rate": 0.01 if rates is None else rates[e],
            "seconds": 3 + e % 2,
        }
        for e in range(epochs)
    ]


def test_curves_show_the_log():
    rows = log()
    figure = draw_curves(rows, "A run")
    loss, accuracy, rate, seconds = figure.axes
    assert [line.get_ydata().tolist() for line in loss.lines] == [[r[k] for r in rows] for k in ("train_loss", "val_loss")]
    assert accuracy.lines[1].get_ydata() == pytest.approx([100 * r["val_accuracy"] for r in rows])
    assert rate.lines[0].get_ydata().tolist() == [0.01] * 7
    assert [bar.get_height() for bar in seconds.patches] == [r["seconds"] for r in rows]
    assert any("23.0 %, came in epoch 2" in t for t in texts(figure))
    assert {"Loss (nats)", "Accuracy (%)", "Learning rate"} <= set(texts(figure))


def test_curves_of_one_epoch_and_in_the_dark():
    assert png(draw_curves(log(1), "One", theme=DARK))
    with pytest.raises(ValueError, match="log is empty"):
        draw_curves([], "None")


def test_falls_of_the_rate_are_marked_only_when_it_falls_in_steps():
    steps = [0.01] * 3 + [0.001] * 3 + [0.0001]
    assert rate_drops(log(7, steps)) == [4, 7]
    assert rate_drops(log(7, np.geomspace(1, 0.1, 7).tolist())) == []
    dotted = [line for line in draw_curves(log(7, steps), "x").axes[0].lines if len(set(line.get_xdata())) == 1]
    assert [line.get_xdata()[0] for line in dotted] == [3.5, 6.5]


def test_mosaic_places_every_cell():
    rng = np.random.default_rng(0)
    cells = rng.integers(0, 256, (5, 3, 4, 3), dtype=np.uint8)
    block = mosaic(cells, columns=3, zoom=2, gap=1, paper=(9, 8, 7))
    assert block.shape == (2 * 6 + 1, 3 * 8 + 2, 3)
    for i, cell in enumerate(cells):
        top, left = (i // 3) * 7, (i % 3) * 9
        assert np.array_equal(block[top : top + 6 : 2, left : left + 8 : 2], cell)
        assert np.array_equal(block[top + 1 : top + 6 : 2, left + 1 : left + 8 : 2], cell)
    assert (block[6] == (9, 8, 7)).all()
    assert (block[7:, 18:] == (9, 8, 7)).all()


def test_hatch_covers_exactly_the_padding():
    rng = np.random.default_rng(1)
    shown = rng.integers(0, 200, (2, 9, 7, 3), dtype=np.uint8)
    inside = rng.random((2, 9, 7)) < 0.5
    hatched = hatch(shown, inside)
    assert np.array_equal(hatched[inside], shown[inside])
    assert {tuple(p) for p in hatched[~inside]} == {tuple(p) for p in PADDING}


def test_plate_shows_projections_left_and_patches_right():
    net = small_net()
    data = images(net)
    drawn = plate(net, data, "relu2")
    chosen = [5, 0]
    figure = draw_plate(drawn, "23 images of noise", chosen)
    assert len(pictures(figure)) == 4
    assert [axes.get_position().x0 for axes in figure.axes] == sorted(axes.get_position().x0 for axes in figure.axes)
    high, wide = net.receptive_field("relu2").size
    zoom = pictures(figure)[0].shape[0] // (3 * high)
    for number, left, right in zip(chosen, pictures(figure)[::2], pictures(figure)[1::2], strict=True):
        expected = PERCENTILE(drawn.projections)[number]
        for rank in range(9):
            top, column = (rank // 3) * (high * zoom + 2), (rank % 3) * (wide * zoom + 2)
            cell = (slice(top, top + high * zoom, zoom), slice(column, column + wide * zoom, zoom))
            inside = drawn.inside[number, rank]
            assert np.array_equal(left[cell], expected[rank])
            assert np.array_equal(right[cell][inside], photograph(drawn.patches[number, rank])[inside])
            assert (right[cell][~inside] >= PADDING.min()).all()
    said = " ".join(texts(figure))
    assert PERCENTILE.caption in said
    assert "23 images of noise" in said
    assert f"sees {high}x{wide} pixels" in said
    assert "5" in texts(figure)
    assert "0" in texts(figure)


def test_plate_by_layer_shares_the_scale_of_all_maps():
    net = small_net()
    drawn = plate(net, images(net), "relu1")
    high, wide = net.receptive_field("relu1").size
    block = pictures(draw_plate(drawn, "noise", [3], rule=BY_LAYER))[0]
    zoom = block.shape[0] // (3 * high)
    assert np.array_equal(block[: high * zoom : zoom, : wide * zoom : zoom], BY_LAYER(drawn.projections)[3, 0])


def test_plate_with_silent_and_short_maps():
    net = small_net()
    drawn = plate(net, images(net), "relu2", silent=(2, 4), short=(1,))
    assert choose_maps(drawn, 99) == [0, 1, 3, 5, 6]
    assert choose_maps(drawn, 3, seed=4) == choose_maps(drawn, 3, seed=4)
    assert {tuple(choose_maps(drawn, 2, seed=s)) for s in range(9)} != {tuple(choose_maps(drawn, 2))}
    figure = draw_plate(drawn, "noise", [1, 2])
    assert any("silent" in t for t in texts(figure))
    assert len(pictures(figure)) == 2  # the silent map has none
    with pytest.raises(ValueError, match=r"relu2 has no map 7; its maps are 0\.\.6"):
        draw_plate(drawn, "noise", [7])
    with pytest.raises(ValueError, match="no map of relu2"):
        draw_plate(drawn, "noise", [])


def test_plate_of_a_grey_net():
    net = small_net(channels=1)
    block = pictures(draw_plate(plate(net, images(net), "relu1"), "noise", [0]))[0]
    assert (block == block[..., :1]).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("rule", RULES)
def test_filters_in_order(channels, rule):
    net = small_net(channels)
    weight = net.layers["conv1"].weight
    shown = filter_pictures(weight, rule)
    scale = np.abs(weight).max(axis=(1, 2, 3), keepdims=True) if rule == "filter" else np.abs(weight).max()
    assert np.array_equal(shown[..., -1], (np.rint(weight / scale * 127) + 128).astype(np.uint8)[:, -1])
    figure = draw_filters(net, rule)
    zoom = pictures(figure)[0].shape[0] // 3
    assert all(np.array_equal(a, enlarge(b, zoom)) for a, b in zip(pictures(figure), shown, strict=True))
    assert RULES[rule] in " ".join(texts(figure))


def test_filters_of_a_net_without_pictures_to_show():
    with pytest.raises(ValueError, match="'conv1', is not a convolution over grey or colour"):
        draw_filters(small_net(channels=2))
    with pytest.raises(ValueError, match="choose one of filter, layer"):
        filter_pictures(np.zeros((1, 3, 2, 2)), "loud")


@pytest.mark.parametrize("count", [1, 2, 5, 16, 48, 96])
def test_filter_columns_hold_them_all(count):
    columns = full_rows(count)
    assert 1 <= columns <= count
    assert columns >= count / columns
    if count in (16, 48, 96):
        assert count % columns == 0


def test_samples_show_each_image_over_its_label():
    net = small_net()
    data = images(net)
    index = [22, 3, 8]
    figure = draw_samples(data, index)
    zoom = pictures(figure)[0].shape[0] // 22
    for number, shown in zip(index, pictures(figure), strict=True):
        assert np.array_equal(shown[::zoom, ::zoom], photograph(data.images([number]))[0])
    places = [texts(figure).index(str(n)) for n in index]
    assert all(texts(figure)[p - 1][:2] == CLASSES[data.labels[n]][:2] for p, n in zip(places, index, strict=True))
    with pytest.raises(ValueError, match="no images of noise"):
        draw_samples(data, [])


def test_samples_take_the_classes_in_turn():
    data = images(small_net())
    assert sorted(data.labels[choose_samples(data, 4)]) == [0, 1, 2, 3]
    assert len(set(choose_samples(data, 23))) == 23
    assert not np.array_equal(choose_samples(data, 23, seed=1), choose_samples(data, 23, seed=2))


def test_a_figure_is_a_whole_png_and_always_the_same(tmp_path):
    path = tmp_path / "curves.png"
    save(draw_curves(log(), "Ünïcode <b>$x_1$</b> 蝶"), path)
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        image.load()
        assert image.width > 1000
    assert path.read_bytes() == png(draw_curves(log(), "Ünïcode <b>$x_1$</b> 蝶"))


def test_text_is_kept_to_what_the_type_has():
    assert printable("a\n b\t🦋c") == "a b □c"
    assert all(text_width(line) <= 2.5 for line in wrap("some words that go on for a while " * 5, 2.5))
    assert math.isclose(text_width("ab", 20), 2 * text_width("ab", 10), rel_tol=0.05)


@pytest.mark.parametrize("name", ["look.jpg", "look", "look.pdf"])
def test_a_name_that_promises_another_format_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match=rf"{name}: pictures are written as PNG"):
        save(draw_curves(log(), "curves"), tmp_path / name)
    assert not any(tmp_path.iterdir())
