"""The windowed path: equal to the full one in every implementation and chunking, with the right boxes."""

import re

import numpy as np
import pytest
from projection_checks import check_windows, close, laid_back, sample_net, sample_units

import kernels
from minizf import deconvnet, windows, zoo
from minizf.frames import Frame, on_map, overlap, reframe

FLOAT32 = [name for name in ("numba", "numpy") if kernels.available()[name] is None]


@pytest.fixture(autouse=True)
def in_numpy():
    with kernels.use("numpy"):
        yield


@pytest.mark.parametrize("implementation", FLOAT32)
def test_equals_full_in_float32(implementation):
    with kernels.use(implementation):
        check_windows(np.float32, 1e-6, seeds=range(2))


@pytest.mark.parametrize("implementation", FLOAT32)
def test_equals_full_on_the_zoo(implementation):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 64, 64), dtype=np.float32)
    with kernels.use(implementation):
        for net in (zoo.zfnet64(10), zoo.alexnet64(10)):
            _, tape = net.forward(x)
            for layer in [*net.feature_layers, "pool5", "fc8"]:
                images, maps, at = sample_units(net, layer, len(x))
                full = deconvnet.project_units(net, tape, layer, images, maps, at)
                for source in (tape, x):
                    found = deconvnet.project_windows(net, source, layer, images, maps, at)
                    close(layer, laid_back(found, full.shape), full, 1e-6)


@pytest.mark.parametrize("chunk_bytes", [1, 20_000, 1 << 30])
def test_chunks_do_not_show(monkeypatch, chunk_bytes):
    net, x = sample_net(3)
    _, tape = net.forward(x)
    images, maps, at = sample_units(net, "relu2", len(x), count=11)
    whole = deconvnet.project_windows(net, tape, "relu2", images, maps, at)
    monkeypatch.setattr(windows, "CHUNK_BYTES", chunk_bytes)
    for source in (tape, x):
        for place in (at, None):
            found = deconvnet.project_windows(net, source, "relu2", images, maps, place)
            true = whole if place is not None else deconvnet.project_windows(net, tape, "relu2", images, maps)
            close("pixels", found.pixels, true.pixels, 1e-12)
            assert np.array_equal(found.boxes, true.boxes)


def test_boxes_are_receptive_fields():
    net, x = sample_net(2, stride=4)
    for layer in net.feature_layers:
        images, maps, at = sample_units(net, layer, len(x))
        found = deconvnet.project_windows(net, x, layer, images, maps, at)
        assert [tuple(box) for box in found.boxes] == [net.receptive_field(layer).box(*place) for place in at]
        assert found.pixels.shape == (len(at), net.input_shape[0], *net.receptive_field(layer).size)


def test_known_values_as_seeds():
    """Values that are known already need no forward pass above the topmost pool, and scale the picture."""
    net, x = sample_net(3)
    _, tape = net.forward(x)
    layer = net.feature_layers[-1]
    images, maps, at = sample_units(net, layer, len(x))
    values = tape.outputs[layer][images, maps, *at.T]
    true = deconvnet.project_windows(net, tape, layer, images, maps, at)
    for source in (tape, x):
        close("values", deconvnet.project_windows(net, source, layer, images, maps, at, values).pixels, true.pixels, 1e-12)
        twice = deconvnet.project_windows(net, source, layer, images, maps, at, 2 * values).pixels
        close("twice the values", twice, 2 * true.pixels, 1e-12)


def test_forward_pass_goes_no_higher_than_needed(monkeypatch):
    net, x = sample_net(3)
    layer = net.feature_layers[-1]
    images, maps, at = sample_units(net, layer, len(x))
    passed = []
    for name, own in net.layers.items():
        forward = type(own).forward
        monkeypatch.setattr(own, "forward", lambda x, rng=None, n=name, o=own, f=forward: passed.append(n) or f(o, x, rng))
    monkeypatch.setattr(windows, "window_pass_pays", lambda *a: False)
    deconvnet.project_windows(net, x, layer, images, maps, at, np.ones(len(maps)))
    assert passed[-1].startswith("pool")


def test_no_units_at_all():
    net, x = sample_net(3)
    found = deconvnet.project_windows(net, x, "relu2", [], [], np.zeros((0, 2), int))
    assert found.pixels.shape[0] == 0
    assert found.boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(layer="relu9"), "no layer 'relu9'"),
        (dict(maps=[0, 44]), "map 44: relu2 has maps 0.."),
        (dict(images=[0, 9]), "image 9: this pass holds images 0..2"),
        (dict(images=[0]), "expected one of each for every unit"),
        (dict(at=[(0, 0), (0, 99)]), "position (0, 99)"),
        (dict(at=[(0, 0)]), "expected (row, column) for each unit"),
        (dict(seed="map"), "use `project` or `project_units`"),
        (dict(seed="most"), "is not a seed"),
        (dict(seed=[1.0]), "seed values (1,); expected one for every unit"),
    ],
)
def test_says_what_it_does_not_know(wrong, message):
    net, x = sample_net(0)
    _, tape = net.forward(x)
    for source in (tape, x):
        asked = {"layer": "relu2", "images": [0, 1], "maps": [0, 1]} | wrong
        with pytest.raises(ValueError, match=re.escape(message)):
            deconvnet.project_windows(net, source, **asked)


def test_images_of_another_size():
    net, x = sample_net(0)
    with pytest.raises(ValueError, match="resize or crop them first"):
        deconvnet.project_windows(net, x[:, :, 1:], "relu2", [0], [0])


def test_reframe_moves_and_fills():
    maps = np.arange(24.0).reshape(1, 2, 3, 4)
    here, there = Frame(np.array([[5, 5]]), (3, 4)), Frame(np.array([[4, 7]]), (3, 3))
    moved = reframe(maps, here, there, -1.0)
    assert moved[0, 0].tolist() == [[-1, -1, -1], [2, 3, -1], [6, 7, -1]]
    far = Frame(np.array([[40, -40]]), (2, 2))
    assert not reframe(maps, here, far).any()


def test_a_window_stays_on_its_map():
    frame = on_map(Frame(np.array([[-2, 9], [3, 0]]), (3, 5)), (4, 11))
    assert frame.size == (3, 5)
    assert frame.origin.tolist() == [[0, 6], [1, 0]]
    assert on_map(frame, (2, 3)).size == (2, 3)


def test_overlap_of_shifted_axes():
    assert overlap(2, 5, 4) == (slice(0, 3), slice(2, 5))
    assert overlap(-2, 5, 4) == (slice(2, 4), slice(0, 2))


@pytest.mark.parametrize("wrong", [{"maps": [1.9]}, {"images": [0.0]}, {"at": [[1.5, 2.0]]}])
def test_numbers_that_are_not_whole_are_refused(wrong):
    net = zoo.zfnet64(3, size=16)
    x = np.ones((1, 3, 16, 16), np.float32)
    with pytest.raises(TypeError, match=rf"^{next(iter(wrong))} are float64; expected whole numbers"):
        windows.project_windows(net, x, "relu2", **{"images": [0], "maps": [1], **wrong})
