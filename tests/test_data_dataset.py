"""minizf/data/dataset.py and summary.py: what every set answers."""

import numpy as np
import pytest

from minizf.data import ArrayDataset, DataError, Subset, describe, first_per_class, sample_per_class

CLASSES = ["cat", "hen", "fox"]
LABELS = [1, 0, 1, 1, 0, 1, 1]


def made(labels=LABELS, classes=CLASSES, n=7, names=None):
    images = np.arange(n, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 2, 3, 5), np.uint8)
    return ArrayDataset("made", "val", classes, np.array(labels), images, names)


def test_images_by_number():
    dataset = made()
    assert (len(dataset), dataset.image_shape, dataset.labels.dtype) == (7, (2, 3, 5), np.int64)
    images = dataset.images([5, 0, 5])
    assert images.shape == (3, 2, 3, 5)
    assert images.dtype == np.uint8
    assert images[:, 0, 0, 0].tolist() == [5, 0, 5]
    assert dataset.images([]).shape == (0, 2, 3, 5)
    assert [len(batch) for batch in dataset.batches(3)] == [3, 3, 1]
    assert np.concatenate(list(dataset.batches(3)))[:, 0, 0, 0].tolist() == list(range(7))
    assert repr(dataset) == "<made val: 7 images 2x3x5, 3 classes>"


@pytest.mark.parametrize("index", [[7], [-1], [0, 99]])
def test_numbers_outside_the_set(index):
    with pytest.raises(IndexError, match=rf"made val: no image {index[-1]}; it has images 0\.\.6"):
        made().images(index)


@pytest.mark.parametrize("index", [[0.5], [[0, 1]], np.ones(7, bool)])
def test_numbers_of_another_kind(index):
    with pytest.raises(TypeError, match="must be whole numbers"):
        made().images(index)


@pytest.mark.parametrize(
    ("labels", "classes", "n", "message"),
    [
        (LABELS, CLASSES, 6, "6 images but 7 labels"),
        ([0, 3], CLASSES, 2, r"image 1 has label 3, expected 0\.\.2 \(3 classes\)"),
        ([0, -1], CLASSES, 2, "image 1 has label -1"),
        ([0], [], 1, "no classes"),
        ([], CLASSES, 0, "no images"),
        ([[0]], CLASSES, 1, r"labels have shape \(1, 1\)"),
    ],
)
def test_sets_that_cannot_be(labels, classes, n, message):
    with pytest.raises(DataError, match=message):
        made(labels, classes, n)


def test_images_of_another_type():
    with pytest.raises(DataError, match=r"float64 .*expected uint8"):
        ArrayDataset("made", "val", CLASSES, np.zeros(2), np.zeros((2, 1, 3, 3)))


def test_subset_renumbers():
    subset = Subset(made(names=list("abcdefg")), [6, 1])
    assert subset.labels.tolist() == [1, 0]
    assert subset.images([1, 0])[:, 0, 0, 0].tolist() == [1, 6]
    assert subset.image_name(0) == "g"
    assert Subset(subset, [1]).image_name(0) == "b"
    assert made().image_name(2) == "made val image 2"
    with pytest.raises(DataError, match="subset of no images"):
        Subset(subset, [])


def test_first_per_class():
    subset = first_per_class(made(), 2)
    assert subset.images(np.arange(len(subset)))[:, 0, 0, 0].tolist() == [0, 1, 2, 4]
    with pytest.raises(ValueError, match="count is 0"):
        first_per_class(made(), 0)


def test_describe_counts_every_class_also_the_empty():
    summary = describe(made())
    assert summary.per_class == {"cat": 2, "hen": 5, "fox": 0}
    text = str(summary)
    assert text.startswith("made, val: 7 images, 3x5 (height x width) 2 channels, 3 classes\n  cat       2\n")


def test_sample_per_class_is_fair_and_repeatable():
    dataset = made()
    cat, hen, fox = sample_per_class(dataset, 3)
    assert cat.tolist() == [1, 4]
    assert fox.tolist() == []
    assert len(set(hen)) == 3
    assert (dataset.labels[hen] == 1).all()
    np.testing.assert_array_equal(hen, sample_per_class(made(), 3)[1])
    assert len({tuple(sample_per_class(dataset, 3, seed)[1]) for seed in range(20)}) > 3
    with pytest.raises(ValueError, match="count is 0"):
        sample_per_class(dataset, 0)
