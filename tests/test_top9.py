"""The scan finds what looking at everything finds, stops and goes on, and the plates show each winner in its place."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from oracle.random_nets import draw_net, small_zfnet

import kernels
from minizf import deconvnet
from minizf.data.dataset import ArrayDataset, Dataset
from minizf.data.preprocess import Preprocess
from minizf.experiments import top9
from minizf.experiments.top9 import StateError, Winners, each_plate, plate_bytes, plates, plates_of, scan
from minizf.layers import GUIDED
from minizf.net import Net

FLOAT32 = [name for name in ("numba", "numpy") if kernels.available()[name] is None]


@pytest.fixture(autouse=True)
def in_numpy():
    with kernels.use("numpy"):
        yield


def case(images=23, net=None) -> tuple[Net, Preprocess, ArrayDataset]:
    rng = np.random.default_rng(0)
    net = net or small_zfnet(rng)
    pictures = rng.integers(0, 256, (images, *net.input_shape), dtype=np.uint8)
    preprocess = Preprocess(np.full(net.input_shape, 120, np.float32), 60.0)
    return net, preprocess, ArrayDataset("noise", "val", ["a", "b", "c"], rng.integers(3, size=images), pictures)


def same(one: dict[str, Winners], two: dict[str, Winners]) -> bool:
    return one.keys() == two.keys() and all(
        np.array_equal(getattr(one[name], part), getattr(two[name], part)) for name in one for part in ("value", "image", "at")
    )


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_finds_what_sorting_everything_finds(batch):
    net, preprocess, images = case()
    found = scan(net, preprocess, images, layers=["relu1", "relu5", "fc8"], k=4, batch=batch)
    _, tape = net.forward(preprocess(images.images(np.arange(len(images)))))
    for layer, winners in found.items():
        activations = tape.outputs[layer].reshape(len(images), net.shapes[layer][0], -1)
        strongest, place = activations.max(axis=2), activations.argmax(axis=2)
        for map in range(net.shapes[layer][0]):
            order = [i for i in np.argsort(-strongest[:, map], kind="stable") if strongest[i, map] != 0][:4]
            none = 4 - len(order)
            assert winners.image[map].tolist() == [*order, *[-1] * none]
            assert np.allclose(winners.value[map], [*strongest[order, map], *[0] * none], rtol=1e-5)
            size = net.shapes[layer][1:] or (1, 1)
            assert [tuple(at) for at in winners.at[map][: len(order)]] == [np.unravel_index(p, size) for p in place[order, map]]


def test_equal_values_go_to_the_lower_image():
    net, preprocess, images = case(6)
    pictures = images.images([2, 4, 2, 4, 2, 2])
    twins = ArrayDataset("twins", "val", ["a"], np.zeros(6, int), pictures)
    winners = scan(net, preprocess, twins, layers=["relu1"], k=3, batch=1)["relu1"]
    for map in range(len(winners.image)):
        assert winners.image[map].tolist() in ([0, 2, 4], [1, 3, 0])


def test_a_silent_map_wins_nothing():
    net, preprocess, images = case(5)
    net.layers["conv1"].bias[2] = -1e6
    winners = scan(net, preprocess, images, layers=["relu1"])["relu1"]
    assert (winners.image[2] == -1).all()
    assert (winners.value[2] == 0).all()
    plate = plates(net, preprocess, images, "relu1", winners)
    assert not plate.projections[2].any()
    assert not plate.inside[2].any()
    assert (plate.labels[2] == -1).all()


def test_fewer_images_than_places():
    net, preprocess, images = case(4)
    winners = scan(net, preprocess, images, layers=["relu1"])["relu1"]
    assert winners.image.shape == (6, 9)
    assert (winners.image[:, 4:] == -1).all()
    assert (np.sort(winners.image[0, :4]) == np.arange(4)).all()


@pytest.mark.parametrize("implementation", FLOAT32)
@pytest.mark.parametrize("seed", [None, 3, 4])
def test_plates_show_each_winner(implementation, seed):
    """On small_zfnet, and on random nets with larger strides: pixels of `project`, the picture's own patch, padding outside."""
    net = None if seed is None else draw_net(np.random.default_rng(seed), seed, "3x3", normalised=True)
    net, preprocess, images = case(12, net)
    with kernels.use(implementation):
        check_plates(net, preprocess, images)


def check_plates(net, preprocess, images, rules=deconvnet.DECONVNET):
    layers = [*net.feature_layers, list(net.layers)[-1]]
    winners = scan(net, preprocess, images, layers, k=3)
    together = plates_of(net, preprocess, images, winners, rules, batch=5)
    _, tape = net.forward(preprocess(images.images(np.arange(len(images)))))
    for layer in layers:
        plate = together[layer]
        alone = plates(net, preprocess, images, layer, winners[layer], rules, batch=100)
        assert np.allclose(plate.projections, alone.projections, atol=1e-5 * np.abs(alone.projections).max())
        for map, rank in np.argwhere(winners[layer].image >= 0):
            image, at = winners[layer].image[map, rank], tuple(winners[layer].at[map, rank])
            flat = len(net.shapes[layer]) == 1
            true = deconvnet.project(net, tape, layer, image, map, None if flat else at, rules=rules)
            top, left, bottom, right = plate.boxes[map, rank]
            if not flat:
                assert (top, left, bottom, right) == net.receptive_field(layer).box(*at)
            rows, cols = np.arange(top, bottom), np.arange(left, right)
            inside = ((rows >= 0) & (rows < true.shape[1]))[:, None] & ((cols >= 0) & (cols < true.shape[2]))
            assert np.array_equal(plate.inside[map, rank], inside)
            rows, cols = rows.clip(0, true.shape[1] - 1), cols.clip(0, true.shape[2] - 1)
            error = np.abs(plate.projections[map, rank] - true[:, rows][:, :, cols] * inside).max()
            assert error <= 1e-5 * np.abs(true).max()
            picture = images.images([image])[0]
            assert np.array_equal(plate.patches[map, rank], picture[:, rows][:, :, cols] * inside)
            assert plate.labels[map, rank] == images.labels[image]


def test_plates_one_after_the_other_are_the_same_and_never_too_many(monkeypatch):
    net, preprocess, images = case(12)
    layers = list(reversed(net.feature_layers))
    winners = scan(net, preprocess, images, layers, k=3)
    sizes = [plate_bytes(net, layer, 3) for layer in layers]
    monkeypatch.setattr(top9, "GROUP_BYTES", sizes[0] + sizes[1])
    groups = []
    whole = top9.plates_of
    monkeypatch.setattr(top9, "plates_of", lambda *a: groups.append(list(a[3])) or whole(*a))
    together = whole(net, preprocess, images, winners)
    made = list(each_plate(net, preprocess, images, winners))
    assert [plate.layer for plate in made] == layers
    assert groups[0] == layers[:2]
    assert [layer for group in groups for layer in group] == layers
    for plate, size in zip(made, sizes, strict=True):
        assert plate.projections.nbytes + plate.patches.nbytes + plate.inside.nbytes == size
        other = together[plate.layer]
        assert np.allclose(plate.projections, other.projections, atol=1e-5 * np.abs(other.projections).max())
        assert np.array_equal(plate.patches, other.patches)
    monkeypatch.setattr(top9, "GROUP_BYTES", 1)
    groups.clear()
    assert len(list(each_plate(net, preprocess, images, winners))) == len(groups) == len(layers)


def test_a_layer_of_too_many_units_is_refused():
    net = case(1)[0]
    last = list(net.layers)[-1]
    top9.require_room(net, [*net.feature_layers, last])
    k = top9.LAYER_BYTES // plate_bytes(net, last, 1) + 1
    with pytest.raises(ValueError, match=rf"{last}: {k} pictures .* Choose layers further down"):
        top9.require_room(net, [last], k)


def test_plates_by_other_rules():
    check_plates(*case(7), rules=GUIDED)


def origin_off_by_one(patch):
    true = top9.project_windows
    patch(top9, "project_windows", lambda *a: deconvnet.Windows((w := true(*a)).pixels, w.boxes + 1))


def labels_of_the_batch(patch):
    true = top9.fill
    patch(
        top9,
        "fill",
        lambda plate, net, source, pictures, labels, *rest: true(plate, net, source, pictures, labels[::-1], *rest),
    )


def switches_of_the_next_image(patch):
    true = top9.shared_pass
    patch(top9, "shared_pass", lambda net, x, *rest: true(net, np.roll(x, 1, axis=0), *rest))


@pytest.mark.parametrize("bug", [origin_off_by_one, labels_of_the_batch, switches_of_the_next_image])
def test_planted_bug_is_caught(monkeypatch, bug):
    bug(monkeypatch.setattr)
    with pytest.raises(AssertionError):
        check_plates(*case(12))


class Stopping(ArrayDataset):
    """Raises after some images have been read, as Ctrl-C would."""

    left = 12

    def images(self, index):
        self.left -= len(np.atleast_1d(index))
        if self.left < 0:
            raise KeyboardInterrupt
        return super().images(index)


def test_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    net, preprocess, images = case()
    whole = scan(net, preprocess, images, batch=4)
    monkeypatch.setattr(top9, "SAVE_EVERY_S", 0.0)
    broken = Stopping("noise", "val", images.classes, images.labels, images.images(np.arange(len(images))))
    state = tmp_path / "scan.npz"
    with pytest.raises(KeyboardInterrupt):
        scan(net, preprocess, broken, batch=4, state=state)
    assert np.load(state)["seen"] == 8  # two images were read for the set's identity
    read = []
    count = Dataset.__repr__  # the set's name counts in its identity, so the class of the set may differ
    assert count(broken) == count(images)
    true = ArrayDataset.images
    monkeypatch.setattr(ArrayDataset, "images", lambda self, index: read.extend(np.atleast_1d(index)) or true(self, index))
    assert same(scan(net, preprocess, images, batch=4, state=state), whole)
    assert read[2:] == list(range(8, 23))
    read.clear()
    assert same(scan(net, preprocess, images, batch=4, state=state), whole)
    assert len(read) == 2, "a finished scan reads nothing again"


def test_survives_a_kill(tmp_path):
    """kill -9 in the middle; the next start goes on and ends with the same winners."""
    program = textwrap.dedent(f"""
        import sys, time
        sys.path[:0] = {[p for p in sys.path if p]!r}
        import kernels, test_top9
        from minizf.experiments import top9
        kernels.use("numpy")
        net, preprocess, images = test_top9.case(60)
        top9.SAVE_EVERY_S = 0.0
        true = top9.save_state
        def slowly(*a):
            true(*a); print(a[2], flush=True); time.sleep(0.05)
        top9.save_state = slowly
        top9.scan(net, preprocess, images, batch=2, state={str(tmp_path / "scan.npz")!r})
    """)
    running = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    while int(running.stdout.readline()) < 10:
        pass
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    running.stdout.close()
    seen = int(np.load(tmp_path / "scan.npz")["seen"])
    assert 10 <= seen < 60
    net, preprocess, images = case(60)
    assert same(scan(net, preprocess, images, batch=2, state=tmp_path / "scan.npz"), scan(net, preprocess, images, batch=2))


def test_refuses_the_state_of_another_scan(tmp_path):
    net, preprocess, images = case()
    state = tmp_path / "scan.npz"
    scan(net, preprocess, images, layers=["relu1"], k=4, state=state)
    again = dict(layers=["relu1"], k=4, state=state)
    with pytest.raises(StateError, match="another k; name another file, or delete it"):
        scan(net, preprocess, images, **again | {"k": 9})
    with pytest.raises(StateError, match="another layers"):
        scan(net, preprocess, images, **again | {"layers": ["relu2"]})
    with pytest.raises(StateError, match="another data set"):
        scan(net, preprocess, case(22)[2], **again)
    with pytest.raises(StateError, match="another net and preprocessing"):
        scan(net, Preprocess(preprocess.mean, 61.0), images, **again)
    net.layers["conv1"].weight[0, 0, 0, 0] += 1
    with pytest.raises(StateError, match="another net and preprocessing"):
        scan(net, preprocess, images, **again)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"not a state"])
def test_refuses_a_file_that_is_no_state(tmp_path, content):
    net, preprocess, images = case(3)
    (tmp_path / "scan.npz").write_bytes(content)
    with pytest.raises(StateError, match=r"scan.npz: not the state of a scan"):
        scan(net, preprocess, images, state=tmp_path / "scan.npz")


def test_names_the_image_that_gives_no_numbers():
    net, preprocess, images = case(9)
    net.layers["conv1"].bias[0] = np.inf
    with pytest.raises(ValueError, match="image 0 gives activations of relu1 that are NaN or infinite"):
        scan(net, preprocess, images, layers=["relu1"])


def test_unknown_layer():
    net, preprocess, images = case(3)
    with pytest.raises(ValueError, match="no layer 'relu9'"):
        scan(net, preprocess, images, layers=["relu9"])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_set():
    """50,000 images under 1 GiB, the interpreter and everything included."""
    program = textwrap.dedent(f"""
        import resource, sys
        sys.path[:0] = {[p for p in sys.path if p]!r}
        import numpy as np
        from minizf import zoo
        from minizf.data.dataset import Dataset
        from minizf.data.preprocess import Preprocess
        from minizf.experiments.top9 import scan
        class Drawn(Dataset):
            def images(self, index):
                values = np.arange(3 * 64 * 64, dtype=np.uint32) * (index[:, None] + 7) % 251
                return values.astype(np.uint8).reshape(-1, 3, 64, 64)
        images = Drawn("drawn", "train", ["a"], np.zeros(50_000, int), (3, 64, 64))
        scan(zoo.zfnet64(10), Preprocess(np.zeros((3, 64, 64), np.float32), 64.0), images, progress=False)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    """)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 1 << 20, f"{int(run.stdout) >> 10} MiB"
