"""minizf.view.normalise: zero is always the same grey, scales are shared exactly as each rule says."""

import numpy as np
import pytest

from minizf.view.normalise import BY_LAYER, BY_MAP, BY_PICTURE, GREY, RULES, paint, percentile, photograph, rule


def projections(maps=3, k=5, c=3, h=7, w=4, seed=0):
    """Maps and pictures of very different strength, so that a wrongly shared scale shows."""
    rng = np.random.default_rng(seed)
    strength = 10.0 ** rng.uniform(-3, 3, (maps, k, 1, 1, 1))
    return (rng.standard_normal((maps, k, c, h, w)) * strength).astype(np.float32)


@pytest.mark.parametrize(("chosen", "axes"), [(BY_MAP, (1, 2, 3, 4)), (BY_PICTURE, (2, 3, 4)), (BY_LAYER, (0, 1, 2, 3, 4))])
def test_each_rule_divides_by_the_largest_magnitude_it_names(chosen, axes):
    p = projections()
    expected = np.rint(p / np.abs(p).max(axis=axes, keepdims=True) * 127) + 128
    assert np.array_equal(chosen(p), np.moveaxis(expected, 2, -1).astype(np.uint8))


def test_percentile_cuts_off_by_map():
    p = projections()
    scale = np.percentile(np.abs(p).reshape(3, -1), 90, axis=1)[:, None, None, None, None]
    expected = np.rint(np.clip(p / scale, -1, 1) * 127) + 128
    # one level of slack: the scale is rounded to the projections' precision
    assert np.abs(percentile(90)(p).astype(int) - np.moveaxis(expected, 2, -1)).max() <= 1
    assert (percentile(90)(p) == 255).any()
    assert (percentile(90)(p) == 1).any()
    assert "90th" in percentile(90).caption


@pytest.mark.parametrize("name", RULES)
def test_zero_is_mid_grey_under_every_rule(name):
    p = projections()
    p[1] = 0
    p[0, 2] = 0
    p[2, :, :, 3] = 0
    pictures = RULES[name](p)
    assert (pictures[1] == GREY).all()
    assert (pictures[0, 2] == GREY).all()
    assert (pictures[2, :, 3] == GREY).all()


@pytest.mark.parametrize("name", RULES)
def test_all_zero_gives_grey_without_a_warning(name):
    assert (RULES[name](np.zeros((2, 1, 1, 5, 3), np.float32)) == GREY).all()


@pytest.mark.parametrize("name", RULES)
def test_sign_flips_about_grey(name):
    p = projections(seed=1)
    up, down = RULES[name](p).astype(int), RULES[name](-p).astype(int)
    assert (up + down == 2 * GREY).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", RULES)
def test_what_is_not_a_number_is_named(name, bad):
    p = projections()
    p[2, 4, 1, 6, 3] = bad
    with pytest.raises(ValueError, match="projection 4 of map 2 holds NaN"):
        RULES[name](p)


def test_grey_projections_become_three_equal_channels():
    p = projections(c=1)
    pictures = BY_MAP(p)
    assert pictures.shape == (3, 5, 7, 4, 3)
    assert (pictures == pictures[..., :1]).all()


def test_other_channel_counts_are_refused():
    with pytest.raises(ValueError, match="with 2 channels"):
        paint(np.zeros((2, 5, 5)), np.ones(()))
    with pytest.raises(ValueError, match="expected \\(maps, pictures"):
        BY_MAP(np.zeros((3, 5, 5), np.float32))
    with pytest.raises(ValueError, match="uint8 with 4"):
        photograph(np.zeros((4, 5, 5), np.uint8))


def test_rules_by_name():
    assert rule("map") is BY_MAP
    assert all(rule(name).name == name for name in RULES)
    assert len({r.caption for r in RULES.values()}) == len(RULES)
    with pytest.raises(ValueError, match="choose one of map, picture, layer, percentile"):
        rule("bright")
    with pytest.raises(ValueError, match="share is 0"):
        percentile(0)


def test_tiny_and_huge_strengths_keep_their_sign():
    p = np.array([1e-44, -1e-44, 0, 3e38], np.float32).reshape(4, 1, 1, 1, 1)
    assert BY_PICTURE(p)[:, 0, 0, 0, 0].tolist() == [255, 1, 128, 255]
