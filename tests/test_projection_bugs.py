"""Checks that cannot fail prove nothing: each bug planted here must be caught by the check named beside it."""

import numpy as np
import projection_checks as checks
import pytest

import kernels
from minizf import frames, units
from minizf.layers import LRN, Conv2d, Linear, MaxPool2d, ReLU, Rules
from minizf.layers import pool as pool_page


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
}


@pytest.mark.parametrize(
    ("bug", "check"), [pytest.param(b, c, id=f"{b.__name__}-{c.__name__}") for b, cs in BUGS.items() for c in cs]
)
def test_bug_is_caught(monkeypatch, bug, check):
    bug(monkeypatch.setattr)
    with pytest.raises((AssertionError, ValueError)):
        check()
