"""Checks that cannot fail prove nothing: each bug planted here must be caught by the check named beside it."""

import numpy as np
import projection_checks as checks
import pytest

import kernels
from minizf import deconvnet, frames, units, windows
from minizf.layers import LRN, Conv2d, Linear, MaxPool2d, ReLU, Rules
from minizf.layers import pool as pool_page
from minizf.layers.deconv_step import DeconvStep, UnpoolReLU, taken_together


@pytest.fixture(autouse=True)
def in_numpy():
    with kernels.use("numpy"):
        yield


def bias_on_the_way_down(patch):
    true = Conv2d.deconv
    patch(Conv2d, "deconv", lambda self, r, *rest: true(self, r + 0.01 * self.bias[:, None, None], *rest))


def no_rectifier(patch):
    patch(ReLU, "deconv", lambda self, r, *rest: r)


def forward_mask_instead_of_signal(patch):
    patch(ReLU, "deconv", lambda self, r, tape, rules: np.where(tape > 0, r, 0) if tape is not None else r)
    patch(ReLU, "looks_back", lambda self, rules: True)


def rectified_pixels(patch):
    true = Conv2d.deconv
    patch(Conv2d, "deconv", lambda self, *rest: np.maximum(true(self, *rest), 0))


def filter_not_flipped(patch):
    def deconv(self, r, tape, rules=None):
        turned = np.ascontiguousarray(self.weight[:, :, ::-1, ::-1])
        return kernels.conv2d_transpose(r, turned, self.reach.stride, self.reach.pad, tape.size)

    patch(Conv2d, "deconv", deconv)


def switches_of_another_image(patch):
    true = MaxPool2d.pick
    patch(MaxPool2d, "pick", lambda self, tape, images: true(self, tape, (images + 1) % len(tape.switches)))


def windows_switches_of_another_image(patch):
    true = MaxPool2d.window
    patch(MaxPool2d, "window", lambda self, tape, images, *rest: true(self, tape, (images + 1) % len(tape.switches), *rest))


def overwrite_instead_of_sum(patch):
    true = MaxPool2d.deconv
    patch(MaxPool2d, "deconv", lambda self, r, tape, rules=None: true(self, r, tape, Rules(collisions="last")))


def normalisation_not_skipped(patch):
    patch(LRN, "deconv", lambda self, r, tape, rules: self.backward(r, tape)[0])
    patch(LRN, "looks_back", lambda self, rules: True)


def fully_connected_weights_rolled(patch):
    patch(Linear, "deconv", lambda self, r, *rest: kernels.linear_input_grad(r, np.roll(self.weight, 1, axis=0)))


def seed_of_one_for_a_value(patch):
    patch(units, "activations_at", lambda activations, images, maps, at: np.ones(len(images)))


def window_off_by_one(patch):
    true = frames.window_seen
    patch(frames, "window_seen", lambda layer, frame: frames.Frame(true(layer, frame).origin + 1, true(layer, frame).size))


def neighbours_forgotten(patch):
    patch(frames, "widened", lambda layer, frame, outer, rules: frame)


def padding_can_win(patch):
    patch(MaxPool2d, "padding_value", 0.0)


def one_size_too_small(patch):
    true = pool_page.covered
    patch(pool_page, "covered", lambda size, reach: tuple(n + 1 for n in true(size, reach)))


def rectifier_left_out_of_the_step(patch):
    patch(DeconvStep, "deconv", lambda self, r, tape, rules: filtered(self, self.pool.deconv(r, tape, rules)))


def rectifier_left_out_of_the_pair(patch):
    patch(UnpoolReLU, "deconv", lambda self, r, tape, rules: self.pool.deconv(r, tape, rules))


def collisions_forgotten_in_the_step(patch):
    true = DeconvStep.deconv
    patch(DeconvStep, "deconv", lambda self, r, tape, rules: true(self, r, tape, Rules(collisions="last")))


def collisions_forgotten_in_the_pair(patch):
    true = UnpoolReLU.deconv
    patch(UnpoolReLU, "deconv", lambda self, r, tape, rules: true(self, r, tape, Rules(collisions="last")))


def strides_of_the_step_swapped(patch):
    def deconv(self, r, tape, rules):
        filters = self.conv.weight, self.conv.reach.stride[::-1], self.conv.reach.pad
        return kernels.deconv_step(r, tape.switches, *self.pool.reach, *filters, self.size, rules.collisions)

    patch(DeconvStep, "deconv", deconv)


def step_reads_a_size_too_small(patch):
    """Where the stride leaves rows over at the edge, this size gives as many outputs and no error."""
    true = DeconvStep.__init__

    def shrunk(self, pool, conv, size):
        (high, wide), (down, right), (top, left) = conv.reach
        rest = (size[0] + 2 * top - high) % down, (size[1] + 2 * left - wide) % right
        true(self, pool, conv, (size[0] - rest[0], size[1] - rest[1]))

    patch(DeconvStep, "__init__", shrunk)


def step_takes_switches_of_another_image(patch):
    true = UnpoolReLU.pick
    patch(UnpoolReLU, "pick", lambda self, tape, images: true(self, tape, (images + 1) % len(tape.switches)))


def step_taken_against_the_rules(patch):
    patch(deconvnet, "taken_together", lambda layers, rules: taken_together(layers, Rules()))


def windows_step_taken_against_the_rules(patch):
    patch(windows, "taken_together", lambda layers, rules: taken_together(layers, Rules()))


def windows_joined_at_the_edge(patch):
    """A convolution's window that was moved onto its map is taken to lie where the pooling's does."""
    patch(windows, "same", lambda here, there: here.size == there.size)


def windows_padded_twice(patch):
    patch(Conv2d, "unpadded", lambda self: self)


def filtered(step, r):
    return kernels.conv2d_transpose(r, step.conv.weight, step.conv.reach.stride, step.conv.reach.pad, step.size)


BUGS = {
    bias_on_the_way_down: (checks.check_captum, checks.check_homogeneous, checks.check_support),
    no_rectifier: (checks.check_captum,),
    forward_mask_instead_of_signal: (checks.check_captum,),
    rectified_pixels: (checks.check_captum, checks.check_pixels_keep_their_sign),
    filter_not_flipped: (checks.check_captum, checks.check_pixels_keep_their_sign),
    switches_of_another_image: (checks.check_captum, checks.check_images_apart),
    windows_switches_of_another_image: (checks.check_windows,),
    overwrite_instead_of_sum: (checks.check_captum, checks.check_collision_case),
    normalisation_not_skipped: (checks.check_captum,),
    fully_connected_weights_rolled: (checks.check_captum,),
    seed_of_one_for_a_value: (checks.check_captum, checks.check_homogeneous),
    window_off_by_one: (checks.check_windows,),
    neighbours_forgotten: (checks.check_windows,),
    padding_can_win: (checks.check_windows,),
    one_size_too_small: (checks.check_windows,),
    rectifier_left_out_of_the_step: (checks.check_captum, checks.check_few_steps),
    rectifier_left_out_of_the_pair: (checks.check_windows, checks.check_few_steps),
    collisions_forgotten_in_the_step: (checks.check_captum, checks.check_few_steps),
    collisions_forgotten_in_the_pair: (checks.check_windows, checks.check_few_steps),
    strides_of_the_step_swapped: (checks.check_captum, checks.check_few_steps),
    step_reads_a_size_too_small: (checks.check_captum, checks.check_few_steps),
    step_takes_switches_of_another_image: (checks.check_captum, checks.check_images_apart, checks.check_few_steps),
    step_taken_against_the_rules: (checks.check_captum, checks.check_mask_is_gradient, checks.check_few_steps),
    windows_step_taken_against_the_rules: (checks.check_windows,),
    windows_joined_at_the_edge: (checks.check_windows, checks.check_few_steps),
    windows_padded_twice: (checks.check_windows, checks.check_few_steps),
}


@pytest.mark.parametrize(
    ("bug", "check"), [pytest.param(b, c, id=f"{b.__name__}-{c.__name__}") for b, cs in BUGS.items() for c in cs]
)
def test_bug_is_caught(monkeypatch, bug, check):
    bug(monkeypatch.setattr)
    with pytest.raises((AssertionError, ValueError)):
        check()
