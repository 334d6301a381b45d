"""minizf/data/preprocess.py: mean image, scale, crops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minizf.data import ArrayDataset, Preprocess, random_crop_flip, ten_crop
from minizf.data import preprocess as module


def pixels(n, c, h, w, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, c, h, w), dtype=np.uint8)


def dataset(images):
    return ArrayDataset("made", "train", ["a", "b"], np.arange(len(images)) % 2, images)


def test_fit_is_mean_image_and_spread_around_it(monkeypatch):
    images = pixels(11, 3, 5, 7)
    images[:, 1] //= 2  # channels that differ, so that a mean over the wrong axes shows
    pre = Preprocess.fit(dataset(images), progress=False)
    mean = images.astype(np.float64).mean(axis=0)
    assert pre.mean.dtype == np.float32
    np.testing.assert_allclose(pre.mean, mean, rtol=1e-6)
    np.testing.assert_allclose(pre.scale * module.SPREAD, np.sqrt(np.mean((images - mean) ** 2)), rtol=1e-9)
    monkeypatch.setattr(module, "FIT_BYTES", 8 * 3 * 5 * 7 * 2)  # batches of two
    again = Preprocess.fit(dataset(images), progress=False)
    assert again.scale == pre.scale
    np.testing.assert_array_equal(again.mean, pre.mean)


def test_fit_asks_for_bounded_batches(monkeypatch):
    images, asked = pixels(13, 1, 3, 2), []

    class Watched(ArrayDataset):
        def images(self, index):
            asked.append(len(index))
            return super().images(index)

    monkeypatch.setattr(module, "FIT_BYTES", 8 * 6 * 5)
    Preprocess.fit(Watched("made", "train", ["a"], np.zeros(13, int), images), progress=False)
    assert asked == [5, 5, 3]


def test_equal_images_get_scale_one():
    pre = Preprocess.fit(dataset(np.full((3, 1, 2, 5), 255, np.uint8)), progress=False)
    assert pre.scale == 1.0
    np.testing.assert_array_equal(pre(np.full((1, 1, 2, 5), 255, np.uint8)), 0)


def test_call_and_undo():
    images = pixels(4, 3, 5, 7)
    pre = Preprocess(pixels(1, 3, 5, 7, seed=1)[0] + 0.25, 63.5)
    expected = (images.astype(np.float64) - pre.mean) / 63.5
    out = np.full(images.shape, np.nan, np.float32)
    result = pre(images, out=out)
    assert result is out
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, atol=1e-6)
    for kind in (np.float32, np.float64):
        np.testing.assert_array_equal(pre(images.astype(kind)), result)
    np.testing.assert_allclose(pre.undo(result), images, atol=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_not_numbers(bad):
    images = pixels(4, 3, 5, 7).astype(np.float32)
    images[2, 1, 4, 6] = bad
    with pytest.raises(ValueError, match=rf"image 2 of the batch has {bad} at channel 1, row 4, column 6 \(1 such"):
        Preprocess(np.zeros((3, 5, 7)))(images)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (pixels(2, 3, 7, 5), r"images are \(2, 3, 7, 5\), expected \(N, 3, 5, 7\)"),
        (pixels(1, 3, 5, 7)[0], r"images are \(3, 5, 7\)"),
        (pixels(2, 3, 5, 7).astype(np.int64), "int64, expected uint8 or float"),
    ],
)
def test_images_of_another_shape_or_type(images, message):
    with pytest.raises(ValueError, match=message):
        Preprocess(np.zeros((3, 5, 7)))(images)


@pytest.mark.parametrize(
    ("mean", "scale"),
    [(np.zeros((5, 7)), 1), (np.full((1, 2, 2), np.nan), 1), (np.zeros((1, 2, 2)), 0), (np.zeros((1, 2, 2)), np.nan)],
)
def test_unusable_mean_or_scale(mean, scale):
    with pytest.raises(ValueError, match="Preprocess: "):
        Preprocess(mean, scale)


@given(n=st.integers(1, 3), c=st.integers(1, 3), h=st.integers(1, 9), w=st.integers(1, 9), data=st.data())
def test_reflection_is_that_of_numpy(n, c, h, w, data):
    pad = data.draw(st.integers(0, min(h, w) - 1))
    images = pixels(n, c, h, w, seed=h * 10 + w)
    expected = np.pad(images, ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode="reflect")
    np.testing.assert_array_equal(module._reflect(images, pad), expected)


def test_random_crop_flip_gives_every_shift_and_mirror_and_nothing_else():
    image = np.arange(2 * 5 * 7, dtype=np.uint8).reshape(1, 2, 5, 7)
    jitter = 2
    padded = np.pad(image, ((0, 0), (0, 0), (2, 2), (2, 2)), mode="reflect")[0]
    allowed = {}
    for top in range(5):
        for left in range(5):
            crop = padded[:, top : top + 5, left : left + 7]
            allowed[crop.tobytes()] = (top, left, False)
            allowed[crop[:, :, ::-1].tobytes()] = (top, left, True)
    out = random_crop_flip(np.repeat(image, 2000, axis=0), np.random.default_rng(0), jitter)
    seen = [allowed[one.tobytes()] for one in out]
    assert len(allowed) == 50
    assert set(seen) == set(allowed.values())
    assert 900 < sum(mirror for _, _, mirror in seen) < 1100
    unflipped = random_crop_flip(np.repeat(image, 2000, axis=0), np.random.default_rng(0), jitter, flip=False)
    assert [allowed[one.tobytes()] for one in unflipped] == [(top, left, False) for top, left, _ in seen]


def test_random_crop_flip_depends_on_the_generator_only():
    images = pixels(9, 3, 7, 5)
    kept = images.copy()
    first = random_crop_flip(images, np.random.default_rng(3), 4)
    np.testing.assert_array_equal(first, random_crop_flip(images, np.random.default_rng(3), 4))
    assert (first != random_crop_flip(images, np.random.default_rng(4), 4)).any()
    np.testing.assert_array_equal(images, kept)
    np.testing.assert_array_equal(random_crop_flip(images, np.random.default_rng(3), 0, flip=False), images)


def test_jitter_too_large_for_the_image():
    with pytest.raises(ValueError, match=r"jitter is 5, expected 0\.\.4 for images of 7x5"):
        random_crop_flip(pixels(2, 3, 7, 5), np.random.default_rng(0), 5)


def test_ten_crop_of_the_paper():
    images = pixels(2, 3, 8, 11)
    crops = ten_crop(images, (5, 6), jitter=0)
    assert crops.shape == (2, 10, 3, 5, 6)
    corners = [images[:, :, :5, :6], images[:, :, :5, 5:], images[:, :, 3:, :6], images[:, :, 3:, 5:], images[:, :, 1:6, 2:8]]
    for k, expected in enumerate(corners):
        np.testing.assert_array_equal(crops[:, k], expected)
        np.testing.assert_array_equal(crops[:, k + 5], expected[:, :, :, ::-1])


def test_ten_crop_of_whole_images_shifts_them_by_the_jitter():
    images = pixels(3, 1, 7, 9).astype(np.float32)
    crops = ten_crop(images, jitter=2)
    assert crops.shape == (3, 10, 1, 7, 9)
    assert crops.dtype == np.float32
    np.testing.assert_array_equal(crops[:, 4], images)
    np.testing.assert_array_equal(crops[:, 0, :, 2:, 2:], images[:, :, :-2, :-2])
    np.testing.assert_array_equal(crops[:, 3, :, :-2, :-2], images[:, :, 2:, 2:])


@pytest.mark.parametrize("crop", [10, (7, 12), 0])
def test_ten_crop_that_does_not_fit(crop):
    with pytest.raises(ValueError, match="does not fit into images 7x9 reflected by 1"):
        ten_crop(pixels(1, 1, 7, 9), crop, jitter=1)
