"""Figures of minizf.view that follow one image through a net: `look`, `trace`, and what is known of scenes."""

import numpy as np
import pytest
from synthetic_plates import CLASSES, images, small_net

from minizf import deconvnet
from minizf.data import Preprocess, scenes
from minizf.layers import Rules, softmax
from minizf.view.gallery import ink_pictures
from minizf.view.look import draw_look, strongest_maps
from minizf.view.mosaic import enlarge
from minizf.view.normalise import BY_PICTURE, photograph
from minizf.view.samples import chosen, draw_truth, part_colours
from minizf.view.style import png
from minizf.view.trace import draw_trace, energy, percent


def texts(figure) -> list[str]:
    return [t.get_text() for t in figure.texts]


def pictures(figure) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def shows(picture: np.ndarray, pixels: np.ndarray) -> bool:
    """Whether a picture is these pixels, each enlarged to a square."""
    zoom = picture.shape[0] // pixels.shape[0]
    return np.array_equal(picture, enlarge(pixels, zoom))


@pytest.fixture(scope="module", params=[1, 3])
def passed(request):
    net = small_net(channels=request.param)
    data = images(net)
    image = data.images([7])[0]
    logits, tape = net.forward(Preprocess.fit(data)(image[None]))
    return net, image, logits, tape


def test_strongest_maps_come_first():
    maps = np.zeros((4, 3, 2))
    maps[2, 1, 1], maps[0, 2, 0], maps[3, 0, 1] = 5, 4, 4
    assert strongest_maps(maps, 3) == [2, 0, 3]
    assert strongest_maps(np.array([1.0, 9.0, -3.0]), 2) == [1, 0]


def test_look_shows_activations_projection_and_place(passed):
    net, image, _, tape = passed
    figure = draw_look(net, tape, image, "relu2", CLASSES, 3, label=3, name="noise 7")
    shown = pictures(figure)
    best = strongest_maps(tape.outputs["relu2"][0], 3)
    assert shows(shown[0], photograph(image))
    for i, number in enumerate(best):
        activations, projection, photo = shown[1 + 3 * i : 4 + 3 * i]
        assert shows(activations, ink_pictures(tape.outputs["relu2"][0, [number]])[0])
        expected = deconvnet.project(net, tape, "relu2", 0, number)
        assert shows(projection, BY_PICTURE(expected[None, None])[0, 0])
        assert shows(photo, photograph(image))
    said = texts(figure)
    assert [t for t in said if t.startswith("map ")] == [f"map {n}" for n in best]
    assert all(f"{tape.outputs['relu2'][0, n].max():.3g}" in said for n in best)
    assert BY_PICTURE.caption in " ".join(said)
    assert any("noise 7" in t for t in said)


def test_look_gives_probabilities_in_order(passed):
    net, image, logits, tape = passed
    said = texts(draw_look(net, tape, image, "relu1", None, [4]))
    p = softmax(logits)[0]
    order = np.argsort(-p)
    assert said[0] == f"{order[0]}, {100 * p.max():.0f} % sure"
    first = said.index("Probability (%)") + 1
    assert said[first : first + 8 : 2] == [str(i) for i in order]
    assert said[first + 1 : first + 9 : 2] == [f"{100 * p[i]:.1f}" for i in order]


def test_look_at_class_scores_names_the_classes(passed):
    net, image, logits, tape = passed
    figure = draw_look(net, tape, image, "fc3", ["a", "b", "c", "d"], 2)
    best = np.argsort(-logits[0])[:2]
    for number, projection in zip(best, pictures(figure)[1:], strict=True):
        expected = deconvnet.project(net, tape, "fc3", 0, int(number))
        assert shows(projection, BY_PICTURE(expected[None, None])[0, 0])
    assert "abcd"[best[0]] in texts(figure)


def test_look_follows_the_rules(passed):
    net, image, _, tape = passed
    usual, gradient = (
        pictures(draw_look(net, tape, image, "relu2", maps=1, rules=Rules(rectify=rectify)))[2]
        for rectify in ("signal", "mask")
    )
    assert not np.array_equal(usual, gradient)
    with pytest.raises(ValueError, match="no layer 'relu7'"):
        draw_look(net, tape, image, "relu7")
    with pytest.raises(ValueError, match="relu2 has maps"):
        draw_look(net, tape, image, "relu2", maps=[7])


@pytest.mark.parametrize("layer", ["relu2", "fc3"])
def test_trace_shows_every_step(passed, layer):
    net, image, _, tape = passed
    steps = deconvnet.trace(net, tape, layer, 0, 2)
    figure = draw_trace(steps, image)
    shown, said = pictures(figure), texts(figure)
    assert len(shown) == len(steps) + 1
    for step, picture in zip(steps[:-1], shown, strict=False):
        assert shows(picture, ink_pictures(energy(step.signal)[None])[0])
    assert shows(shown[-2], BY_PICTURE(steps[-1].signal[None, None])[0, 0])
    assert shows(shown[-1], photograph(image))
    for step in steps:
        assert " × ".join(map(str, step.signal.shape)) in said
        assert f"{percent(step.zeros)} zero" in said
    assert [t for t in said if t in ("seed", "unpool", "rectify", "filter")] == [
        s.operation for s in steps if s.operation not in ("skip", "pass", "reshape")
    ]


def test_energy_adds_up_over_maps():
    assert energy(np.array([[[3.0, 0]], [[-4.0, 2]]])).tolist() == [[5, 2]]
    assert energy(np.array([1.0, -2, 3, 4, 5])).tolist() == [[1, 2, 3], [4, 5, 0]]


def test_percent_never_rounds_up_to_all():
    assert [percent(s) for s in (0, 0.5, 0.9999999, 1)] == ["0.0%", "50.0%", "99.99%", "100%"]


def test_truth_fades_all_but_the_object():
    data = scenes.Scenes("val", size=48)
    figure = draw_truth(data, 3, seed=1)
    numbers = chosen(data, 3, 1)
    for picture, scene in zip(pictures(figure), data.truths(numbers), strict=True):
        zoom = len(picture) // 48
        small = picture[::zoom, ::zoom]
        assert np.array_equal(small[scene.mask], photograph(scene.image)[scene.mask])
        assert (small[~scene.mask] >= 178).all()
    for axes, scene in zip(figure.axes, data.truths(numbers), strict=True):
        boxes = [p.get_bbox().bounds for p in axes.patches[::2]]
        assert boxes == [((x0 * zoom) - 0.5, (y0 * zoom) - 0.5, (x1 - x0) * zoom, (y1 - y0) * zoom)
                         for y0, x0, y1, x1 in scene.parts.values()]  # fmt: skip
    assert all(str(n) in texts(figure) for n in numbers)
    assert png(figure)


def test_pairs_of_parts_share_a_colour():
    colours = part_colours(["left eye", "nose", "right eye"])
    assert colours[0] == colours[2] != colours[1]
