"""Weights files: what is saved comes back, and what cannot be used is refused by name."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from minizf import weights, zoo
from minizf.data import Preprocess
from minizf.weights import WeightsError


@pytest.fixture
def saved(tmp_path):
    net = zoo.alexnet64(4, channels=1, size=32, seed=3)
    preprocess = Preprocess(np.random.default_rng(0).uniform(0, 255, (1, 32, 32)), 51.5)
    path = tmp_path / "weights.safetensors"
    weights.save(path, net, preprocess, ["a", "b", "ü", "<d>"], {"epoch": 7}, {"velocity": np.arange(6.0).reshape(2, 3)})
    return path, net, preprocess


def test_everything_comes_back(saved):
    path, net, preprocess = saved
    loaded = weights.load(path)
    assert repr(loaded.net) == repr(net)
    for name, array in net.state().items():
        assert np.array_equal(loaded.net.state()[name], array)
    assert np.array_equal(loaded.preprocess.mean, preprocess.mean)
    assert (loaded.preprocess.scale, loaded.classes, loaded.metadata) == (51.5, ["a", "b", "ü", "<d>"], {"epoch": 7})
    assert np.array_equal(loaded.extra["velocity"], np.arange(6.0).reshape(2, 3))


def test_a_loaded_net_can_be_trained_further(saved):
    weight = weights.load(saved[0]).net.layers["conv1"].weight
    weight *= 2
    assert weight.flags.writeable


def test_the_same_content_gives_the_same_bytes(saved, tmp_path):
    path, net, preprocess = saved
    again = tmp_path / "again.safetensors"
    weights.save(again, net, preprocess, ["a", "b", "ü", "<d>"], {"epoch": 7}, {"velocity": np.arange(6.0).reshape(2, 3)})
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("keep", [0, 5, 300, -1])
def test_a_file_cut_short_is_named(saved, keep):
    path = saved[0]
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(WeightsError, match=r"weights.safetensors: not a readable safetensors file"):
        weights.load(path)


def test_files_of_others_are_refused(saved, tmp_path):
    foreign = tmp_path / "foreign.safetensors"
    save_file({"w": np.zeros(3)}, foreign)
    with pytest.raises(WeightsError, match="no minizf architecture"):
        weights.load(foreign)
    with pytest.raises(WeightsError, match="no such weights file"):
        weights.load(tmp_path / "nowhere.safetensors")


def rewrite(path, change):
    """The file again with its header changed."""
    tensors = load_file(path)
    size = int.from_bytes(path.read_bytes()[:8], "little")
    header = json.loads(json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]["minizf"])
    change(header, tensors)
    save_file(tensors, path, metadata={"minizf": json.dumps(header)})


def test_unknown_layers_formats_and_missing_arrays_are_named(saved):
    path = saved[0]
    original = path.read_bytes()
    rewrite(path, lambda header, tensors: header["layers"][0].update(kind="Conv3d"))
    with pytest.raises(WeightsError, match="layer 'conv1' is of the unknown kind 'Conv3d'"):
        weights.load(path)
    path.write_bytes(original)
    rewrite(path, lambda header, tensors: header.update(format="minizf-99"))
    with pytest.raises(WeightsError, match="format 'minizf-99'"):
        weights.load(path)
    path.write_bytes(original)
    rewrite(path, lambda header, tensors: tensors.pop("net.fc6.weight"))
    with pytest.raises(WeightsError, match=r"fc6\.weight is missing"):
        weights.load(path)


def test_a_flipped_bit_among_the_numbers_is_seen(saved):
    path = saved[0]
    data = bytearray(path.read_bytes())
    data[len(data) * 2 // 3] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"weights.safetensors: its numbers are not those that were saved"):
        weights.load(path)


def test_a_file_without_a_checksum_is_read_but_said_to_be_unchecked(saved, caplog):
    path = saved[0]
    weights.load(path)
    assert not caplog.records
    rewrite(path, lambda header, tensors: header.pop("sha256"))
    weights.load(path)
    assert f"{path} carries no checksum, so a damaged number would go unnoticed" in caplog.text


@pytest.mark.parametrize("key", ["format", "layers", "input_shape", "classes", "metadata", "scale"])
def test_a_header_that_lacks_something_is_named(saved, key):
    rewrite(saved[0], lambda header, tensors: header.pop(key))
    with pytest.raises(WeightsError, match=rf"weights.safetensors: its header lacks '{key}'"):
        weights.load(saved[0])


def test_a_header_that_makes_no_sense_is_named(saved, tmp_path):
    path = tmp_path / "strange.safetensors"
    for header in ("{", "7", '{"format": "minizf-1", "layers": 3}'):
        save_file({"w": np.zeros(3)}, path, metadata={"minizf": header})
        with pytest.raises(WeightsError, match=r"strange.safetensors: its header makes no sense"):
            weights.load(path)
    rewrite(saved[0], lambda header, tensors: header["layers"][0].update(options={"hope": 1}))
    with pytest.raises(WeightsError, match=r"weights.safetensors: its header makes no sense: .*hope"):
        weights.load(saved[0])


def test_weights_of_another_architecture_change_nothing():
    zf, alex = zoo.zfnet64(4), zoo.alexnet64(4)
    before = {name: array.copy() for name, array in alex.state().items()}
    with pytest.raises(
        ValueError, match=r"another architecture: conv1\.weight is \(48, 3, 7, 7\), the net's is \(48, 3, 11, 11\)"
    ):
        alex.load_state(zf.state())
    for name, array in alex.state().items():
        assert np.array_equal(array, before[name])
