"""A net whose arrays belong to another library (on a GPU: CuPy) trains, evaluates, saves and projects, and stays there.

`strict_device` stands in for the GPU: it computes as the NumPy implementation does, and refuses whatever CuPy would refuse.
"""

from dataclasses import asdict

import numpy as np
import pytest
import strict_device
from test_train import RECIPE, check_same_bits, parts, stripes, trained_state, without_timing

import kernels
from minizf import train, weights, zoo
from minizf.data import Preprocess
from minizf.deconvnet import project, project_units, project_windows, trace
from minizf.experiments import top9
from minizf.layers import GUIDED, Dropout, Rules
from minizf.run import Run
from minizf.train import Progress, TrainingDiverged, evaluate, fit


@pytest.fixture
def on_device(monkeypatch):
    """Arrays belong to the strict device; the value counts how often arrays cross."""
    with strict_device.implementation(monkeypatch) as crossings:
        yield crossings


def images(count=5, size=16):
    return np.random.default_rng(6).standard_normal((count, 3, size, size), dtype=np.float32)


def test_the_stand_in_refuses_what_cupy_refuses():
    x, plain = strict_device.asarray(np.arange(6.0, dtype=np.float32)), np.arange(6.0, dtype=np.float32)
    for forbidden in (
        lambda: np.asarray(x),
        lambda: np.array(x),
        lambda: x + plain,
        lambda: plain + x,
        lambda: plain * x,
        lambda: np.exp(x),
        lambda: np.isfinite(x),
        lambda: np.zeros_like(x),
        lambda: np.concatenate([x, x]),
        lambda: np.stack([x.sum()]),
        lambda: plain.__setitem__(slice(None), x),
        lambda: x.__setitem__(slice(None), plain),
        lambda: x[np.array([1, 2])],
        lambda: kernels.relu(x),  # of an implementation on the host
    ):
        with pytest.raises(TypeError):
            forbidden()
    assert (x + x * 2).get().tolist() == (3 * plain).tolist()


def test_training_on_the_device_gives_the_bits_of_the_host(tmp_path, monkeypatch):
    run, *rest = parts(tmp_path, "host")
    with kernels.use("numpy"):
        rows = fit(run, *rest, RECIPE, show_progress=False)
    device_run, net, *others = parts(tmp_path, "device")
    with strict_device.implementation(monkeypatch):
        device_rows = fit(device_run, net, *others, RECIPE, show_progress=False)
        assert all(isinstance(array, strict_device.DeviceArray) for array in net.state().values())
        scores = evaluate(net, others[0], others[2], ten_crops=True, jitter=2)
    assert without_timing(device_rows) == without_timing(rows)
    check_same_bits(trained_state(device_run), trained_state(run))
    with kernels.use("numpy"):
        assert evaluate(run.load().net, others[0], others[2], ten_crops=True, jitter=2) == scores


def test_a_step_waits_for_the_device_once(tmp_path, on_device):
    _, net, preprocess, train_set, _ = parts(tmp_path)
    velocity = {name: kernels.zeros(array.shape, array.dtype) for name, array in net.to_device().state().items()}
    masks = sum(isinstance(layer, Dropout) for layer in net.layers.values())
    at = Progress()
    for step in range(3):
        on_device.update({"to host": 0, "to device": 0})
        train.train_step(net, velocity, preprocess, train_set, np.arange(16) + 16 * step, RECIPE, at, 6)
        assert on_device["to host"] == 1  # the loss, and how many were right, together
        assert on_device["to device"] == 3 + masks  # images, labels twice (the loss, the hits), dropout masks
    assert at.step == 3
    assert np.isfinite(at.loss_sum)


def test_training_goes_on_where_it_stopped(tmp_path, on_device):
    run, net, *rest = parts(tmp_path, "whole")
    fit(run, net, *rest, RECIPE, show_progress=False)

    half, net, preprocess, train_set, val_set = parts(tmp_path, "half")
    velocity = {name: kernels.zeros(array.shape, array.dtype) for name, array in net.to_device().state().items()}
    at = Progress()
    for step in range(4):
        batch = np.random.default_rng([RECIPE.seed, 0]).permutation(96)[16 * step : 16 * step + 16]
        train.train_step(net, velocity, preprocess, train_set, batch, RECIPE, at, 6)
    half.save_last(net, preprocess, velocity, asdict(at))
    fit(Run.open(half.path), zoo.zfnet64(3, size=16, seed=9), preprocess, train_set, val_set, RECIPE, show_progress=False)
    check_same_bits(trained_state(half), trained_state(run))


def test_divergence_is_told_on_the_device_too(tmp_path, on_device):
    run, net, *rest = parts(tmp_path)
    net.layers["conv2"].weight[:] = np.nan
    with pytest.raises(TrainingDiverged, match=r"first not finite: layer conv2 \(its weight\)"):
        fit(run, net, *rest, RECIPE, show_progress=False)


@pytest.mark.parametrize("rules", [Rules(), GUIDED, Rules(rectify="mask", collisions="last")])
@pytest.mark.parametrize("seed", ["value", "one", "map", "all"])
def test_projections_are_those_of_the_host(monkeypatch, rules, seed):
    x = images()
    picked, maps = np.array([3, 0, 3]), None if seed == "all" else np.array([2, 7, 11])
    results = []
    for device in (False, True):
        net = zoo.zfnet64(3, size=16, seed=4)
        with strict_device.implementation(monkeypatch) if device else kernels.use("numpy"):
            _, tape = net.to_device().forward(x)
            many = kernels.to_host(project_units(net, tape, "relu5", picked, maps, seed=seed, rules=rules))
            one = project(net, tape, "relu2", 1, None if seed == "all" else 5, seed=seed, rules=rules)
            units = project(net, tape, "fc6", 4, None if seed == "all" else 9, seed=seed, rules=rules)
            steps = trace(net, tape, "relu1", 2, None if seed == "all" else 3, seed=seed, rules=rules)
        results.append([many, one, units, *(step.signal for step in steps)])
        assert all(type(array) is np.ndarray for array in results[-1])
    for host, device in zip(*results, strict=True):
        assert host.tobytes() == device.tobytes()


def test_a_given_position_and_wrong_numbers(on_device):
    net = zoo.zfnet64(3, size=16, seed=4).to_device()
    _, tape = net.forward(images(2), upto="relu2")
    assert project(net, tape, "relu2", 1, 5, at=(2, 3)).shape == (3, 16, 16)
    with pytest.raises(ValueError, match=r"image 2: this pass holds images 0\.\.1"):
        project(net, tape, "relu2", 2, 5)
    with pytest.raises(ValueError, match=r"map 96: relu2 has maps 0\.\.95"):
        project(net, tape, "relu2", 1, 96)
    tape.outputs["relu2"][1, 5] = np.inf
    with pytest.raises(ValueError, match="not finite"):
        project(net, tape, "relu2", 1, 5)


def test_the_scan_for_the_strongest_images(tmp_path, monkeypatch):
    data = stripes(30, 3, "val")
    preprocess = Preprocess.fit(data, progress=False)
    found = []
    for device in (False, True):
        net = zoo.zfnet64(3, size=16, seed=4)
        with strict_device.implementation(monkeypatch) if device else kernels.use("numpy"):
            state = tmp_path / f"scan-{device}"
            found.append(top9.scan(net.to_device(), preprocess, data, k=3, batch=8, state=state, progress=False))
    for layer, winners in found[0].items():
        for name in ("value", "image", "at"):
            assert np.array_equal(getattr(winners, name), getattr(found[1][layer], name))


def test_weights_go_to_disk_and_back(tmp_path, on_device):
    net = zoo.zfnet64(3, size=16, seed=4).to_device()
    weights.save(tmp_path / "net.safetensors", net, extra={"velocity": kernels.to_device(np.ones(3, np.float32))})
    loaded = weights.load(tmp_path / "net.safetensors")
    assert loaded.extra["velocity"].tolist() == [1, 1, 1]
    check_same_bits(loaded.net.state(), zoo.zfnet64(3, size=16, seed=4).state())
    other = zoo.zfnet64(3, size=16, seed=5).to_device()
    other.load_state(loaded.net.state())
    check_same_bits(other.to_host().state(), loaded.net.state())
    assert other.to_host() is other


def test_a_net_left_on_the_host_is_refused_in_words(on_device):
    with pytest.raises(TypeError, match=r"the strict-device implementation takes .* arrays"):
        zoo.zfnet64(3, size=16, seed=4).forward(images())


def test_windows_are_refused_in_words(on_device):
    net = zoo.zfnet64(3, size=16, seed=4).to_device()
    with pytest.raises(ValueError, match=r"net\.to_host\(\) and kernels\.use\('numba'\)"):
        project_windows(net, images(), "relu2", [0], [1])


def test_on_the_host_nothing_moves():
    net = zoo.zfnet64(3, size=16, seed=4)
    before = net.state()
    assert net.to_device() is net
    assert all(array is before[name] for name, array in net.state().items())
