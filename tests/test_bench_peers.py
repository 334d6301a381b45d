"""Peers compute what the contract says, at the same values; where they are installed."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from kernels.bench import peers
from kernels.bench.case import Case
from kernels.bench.contestants import Ours
from kernels.bench.costs import cost
from kernels.bench.peers import PeerMissing
from kernels.bench.problems import Pool, choose

PROBLEMS = {problem.name: problem for problem in choose(["tiny", "awkward"], batch=2)}
DENSE = [
    name
    for name, problem in PROBLEMS.items()
    if problem.operation in ("conv2d", "linear", "linear_input_grad", "linear_weight_grad")
]


def check(peer, problem):
    """None where the peer is right (checked as before a timed run), else why it was refused."""
    case = Case(problem, [Ours("numpy"), peer])
    for one in case.contestants:
        case.check_first(one)
    for _ in range(2):
        case.refresh()
        for one in case.contestants:
            with one.active():
                case.warm(one)
                case.check(one, case.call(one)())
    for one in case.contestants:
        case.check_last(one)
    return case.refused.get(peer.name)


@pytest.mark.torch
@pytest.mark.parametrize("name", PROBLEMS)
def test_pytorch_is_right(name):
    problem = PROBLEMS[name]
    refused = check(peers.find("torch", False, 1), problem)
    assert refused == (None if problem.rule == "sum" else f"PyTorch has no unpooling with the rule {problem.rule!r}")


@pytest.mark.torch
def test_pytorch_gets_the_faster_of_its_ways(monkeypatch):
    peer = peers.find("torch", False, 1)
    problem = PROBLEMS["awkward/one-image/conv2d_transpose"]
    took = iter([2.0, 1.0])
    monkeypatch.setattr(peer, "seconds", lambda way: next(took))
    check(peer, problem)
    assert peer.best[problem.name] == 1


@pytest.mark.torch
def test_a_gpu_peer_on_a_machine_without_one_is_missing():
    if importlib.import_module("torch").cuda.is_available():
        assert peers.find("torch", True, 1).gpu
    else:
        with pytest.raises(PeerMissing, match="finds no CUDA device"):
            peers.find("torch", True, 1)


@pytest.mark.parametrize("name", DENSE)
def test_scipy_is_right(name):
    if importlib.util.find_spec("scipy") is None:
        with pytest.raises(PeerMissing, match="pip install scipy, or --peer none"):
            peers.find("scipy", False, 1)
        return
    refused = check(peers.find("scipy", False, 1), PROBLEMS[name])
    assert (refused is None) == (cost(PROBLEMS[name]).flop <= peers.SCIPY_MOST_FLOP)


def test_pytorchs_indices_and_our_switches_are_the_same_places():
    shape = Pool((1, 1, 5, 7), (3, 2), (2, 3), (1, 0))
    flat = np.array([[[[1, 4], [15, 25], [29, 32]]]])  # in a map of 5 x 7
    places = peers.switches(shape, flat)
    p, q = np.indices((3, 2))
    i, j = p * 2 - 1 + places[0, 0] // 2, q * 3 + places[0, 0] % 2
    assert np.array_equal(i * 7 + j, flat[0, 0])


def test_what_is_not_installed_says_how_to_get_it():
    """In a process that cannot see torch, so that the test says the same where it is installed."""
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from kernels.bench import peers\n"
        "try: peers.find('torch', False, 1)\n"
        "except peers.PeerMissing as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install torch, or --peer none" in done.stdout
