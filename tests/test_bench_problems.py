"""What is timed and what it costs: the list, and the formulas against numbers worked out elsewhere."""

import pytest

from kernels import backends
from kernels.bench import problems
from kernels.bench.costs import cost, reach, taps_inside
from kernels.bench.problems import Conv, Linear, Lrn, Pool, Problem, choose

# GFLOP and megabytes at batch 128, or the set's own: from the tables of the published notes on these layers
CONVOLUTIONS = {
    "zfnet/conv1": (43.7, 671.9),
    "zfnet/conv2": (106.3, 239.7),
    "zfnet/conv3": (38.3, 58.9),
    "zfnet/conv4": (57.4, 71.8),
    "alexnet/conv1": (18.0, 176.3),
    "alexnet/conv2": (57.3, 96.8),
    "alexnet/conv5": (25.5, 46.7),
    "convnet-benchmarks/L1": (124.2, 709.7),
    "convnet-benchmarks/L2": (532.7, 342.4),
    "convnet-benchmarks/L3": (195.7, 110.2),
    "convnet-benchmarks/L4": (20.6, 26.5),
    "convnet-benchmarks/L5": (41.1, 62.3),
    "deepbench/DB1": (29.6, 154.4),
    "deepbench/DB4": (14.8, 22.3),
    "deepbench/DB6": (3.8, 61.1),
    "deepbench/DB9": (1.6, 64.3),
}
MEMORY_BOUND = {
    "zfnet/pool1/maxpool2d": 780.6,
    "zfnet/pool2/maxpool2d": 116.3,
    "zfnet/pool5/maxpool2d": 28.0,
    "zfnet/pool1/unpool2d": 780.6,
    "zfnet/norm1/lrn": 1.5 * 297.4,  # the table counts x and y; the contract writes scale too
}
SEVEN = [  # name, N, C, H, K, R, stride, pad
    ("zf1", 16, 3, 224, 96, 7, 2, 1),
    ("zf2", 16, 96, 55, 256, 5, 2, 0),
    ("zf3", 16, 256, 13, 384, 3, 1, 1),
    ("zf4", 16, 384, 13, 384, 3, 1, 1),
    ("les1", 64, 3, 32, 32, 5, 1, 2),
    ("les2", 64, 32, 16, 64, 3, 1, 1),
    ("les3", 64, 64, 8, 128, 3, 1, 1),
]


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_cost_what_the_tables_say(name):
    gflop, megabytes = CONVOLUTIONS[name]
    set_name, layer = name.split("/")
    found = [problem for problem in choose([set_name]) if problem.layer == layer and problem.operation.startswith("conv2d")]
    assert {"conv2d", "conv2d_transpose", "conv2d_weight_grad"} <= {problem.operation for problem in found}
    for problem in found:
        assert round(cost(problem).flop / 1e9, 1) == gflop
        assert round(cost(problem).bytes / 1e6, 1) == megabytes


@pytest.mark.parametrize("name", MEMORY_BOUND)
def test_memory_bound_layers_cost_what_the_tables_say(name):
    problem = next(problem for problem in choose(["zfnet"]) if problem.name == name)
    assert cost(problem).bytes / 1e6 == pytest.approx(MEMORY_BOUND[name], rel=2e-3)
    assert cost(problem).flop == 0


def test_fully_connected_layers_cost_what_the_tables_say():
    for problem in choose(["zfnet"], ["linear", "linear_input_grad", "linear_weight_grad"]):
        gflop, megabytes = {"fc6": (9.7, 157.8), "fc7": (4.3, 71.3), "fc8": (1.0, 19.0)}[problem.layer]
        assert (round(cost(problem).flop / 1e9, 1), round(cost(problem).bytes / 1e6, 1)) == (gflop, megabytes)


def test_seven_are_the_seven():
    shapes = {problem.layer: problem.shape for problem in choose(["seven"])}
    expected = {
        name: Conv((n, c, side, side), k, (r, r), (stride, stride), (pad, pad)) for name, n, c, side, k, r, stride, pad in SEVEN
    }
    assert shapes == expected
    assert len(choose(["seven"])) == 21


def test_a_deconv_step_is_held_to_what_unpooling_leaves():
    """Unpooled by 2x2 windows, a quarter of the positions hold a value and half of those are positive."""
    conv = Conv((2, 3, 8, 8), 5, (3, 3), (1, 1), (1, 1), Pool((2, 5, 8, 8), (2, 2), (2, 2), (0, 0)))
    dense, step = (cost(Problem("s", "l", operation, conv)) for operation in ("conv2d_transpose", "deconv_step"))
    assert step.flop == dense.flop
    assert 0.4 / 4 < step.least_flop / dense.least_flop < 0.5 / 4
    assert step.bytes == 5 * 2 * 5 * 16 + 4 * (5 * 3 * 9 + 2 * 3 * 64)


def test_padding_and_unread_rows_cost_nothing():
    assert taps_inside(5, 3, 1, 1, 5) == 13  # 2 + 3 + 3 + 3 + 2
    assert reach(9, 1, 2, 0, 5) == 5
    assert reach(5, 3, 2, 1, 3) == 5
    wide = cost(Problem("s", "l", "conv2d", Conv((1, 1, 1, 1), 1, (3, 3), (1, 1), (3, 3))))
    assert (wide.flop, wide.least_flop) == (2 * 25 * 9, 2 * 9)  # nine outputs see the only pixel, each with one tap


def test_terms_are_those_of_the_longest_sum():
    conv = Conv((4, 3, 9, 9), 5, (3, 2), (2, 1), (0, 0))
    terms = {operation: cost(Problem("s", "l", operation, conv)).terms for operation in problems.OPERATIONS_OF["conv"][:4]}
    assert terms == {"conv2d": 18, "conv2d_relu": 18, "conv2d_transpose": 5 * 2 * 2, "conv2d_weight_grad": 4 * 4 * 8}
    assert cost(Problem("s", "l", "linear", Linear(2, 30, 7))).terms == 30
    assert cost(Problem("s", "l", "lrn", Lrn((1, 9, 2, 2), 5))).terms == 5


def test_every_set_reads_and_every_operation_is_of_the_contract():
    for name in problems.sets():
        found = choose([name])
        assert len({problem.name for problem in found}) == len(found)
        for problem in found:
            if problem.operation != "training_step":
                assert problem.operation in backends.OPERATIONS
                assert cost(problem).bytes > 0


def test_the_awkward_set_is_awkward():
    shapes = {problem.layer: problem.shape for problem in choose(["awkward"])}
    assert shapes["one-by-one"].window == (1, 1)
    assert shapes["one-image"].x[0] == 1
    assert shapes["odd-stride"].stride == (2, 2)
    assert shapes["odd-stride"].x[3] % 2 == 1
    assert shapes["wide-padding"].pad[0] > shapes["wide-padding"].window[0] - 1
    assert shapes["long"].x[2] != shapes["long"].x[3]
    assert {problem.rule for problem in choose(["awkward"], ["unpool2d"])} == {"sum", "max", "mean", "last"}


def test_batch_and_operations_choose():
    chosen = choose(["zfnet", "seven"], ["conv2d"], batch=3)
    assert {problem.operation for problem in chosen} == {"conv2d"}
    assert {problem.shape.x[0] for problem in chosen} == {3}
    assert [problem.set for problem in chosen] == ["zfnet"] * 5 + ["seven"] * 7


@pytest.mark.parametrize(
    ("names", "operations", "words"),
    [
        (["sevn"], [], r"no set 'sevn'; there are: seven, zfnet64"),
        (["seven"], ["conv"], r"no operation 'conv' is timed; there are: conv2d, conv2d_relu"),
        (["seven"], ["lrn"], r"nothing to time: seven have no layer for lrn"),
    ],
)
def test_unknown_names_are_refused_in_words(names, operations, words):
    with pytest.raises(ValueError, match=words):
        choose(names, operations)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ('{ name = "a", conv = { x = [3, 4, 4], filters = 2 } }', "layer a: not a layer .*window"),
        ('{ name = "a", dense = { x = [3, 4, 4] } }', "layer a: not a layer"),
        (
            '{ name = "a", conv = { x = [3, 4, 4], filters = 2, window = 9, pooled = { size = 2 } } }',
            "larger than the padded input",
        ),
        ('{ name = "a", pool = { x = [3, 4, 4], size = 2, rules = ["median"] } }', "no rule 'median'"),
        ('{ name = "a", conv = { x = [3, 4', "not readable as TOML"),
    ],
)
def test_a_list_that_is_wrong_says_where(tmp_path, layer, words):
    path = tmp_path / "list.toml"
    path.write_text(f'[mine]\nabout = "-"\nbatch = 2\nlayers = [{layer}]\n')
    with pytest.raises(ValueError, match=words):
        choose(["mine"], path=path)
