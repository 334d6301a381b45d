"""The real image sets, against the counts and measurements published with them."""

import numpy as np
import pytest

from minizf import data

pytestmark = pytest.mark.data


@pytest.mark.parametrize(
    ("spec", "split", "shape", "per_class"),
    [
        ("fashion-mnist:fashion-mnist", "train", (1, 28, 28), [6000] * 10),
        ("fashion-mnist:fashion-mnist", "val", (1, 28, 28), [1000] * 10),
        (
            "cifar10:cifar-10-binary-subset.tar.gz",
            "train",
            (3, 32, 32),
            [1005, 974, 1032, 1016, 999, 937, 1030, 1001, 1025, 981],
        ),
        ("cifar10:cifar-10-binary-subset.tar.gz", "val", (3, 32, 32), [103, 89, 100, 103, 90, 86, 112, 102, 106, 109]),
        ("tiny-imagenet:tiny-imagenet-200-subset25.zip", "train", (3, 64, 64), [500] * 25),
        ("tiny-imagenet:tiny-imagenet-200-subset25.zip", "val", (3, 64, 64), [50] * 25),
        ("folder:imagenette2-224-subset.tgz", "train", (3, 64, 64), [250] * 10),
        ("folder:imagenette2-224-subset.tgz", "val", (3, 64, 64), [50] * 10),
        ("folder:101_ObjectCategories-subset20.tar.gz", "train", (3, 64, 64), [48] * 20),
        ("folder:101_ObjectCategories-subset20.tar.gz", "val", (3, 64, 64), [12] * 20),
        ("folder:imagenet-sample-images-subset.zip", "train", (3, 64, 64), [40]),
    ],
)
def test_counts(data_folder, spec, split, shape, per_class):
    name, _, file = spec.partition(":")
    dataset = data.load(f"{name}:{data_folder / file}", split, progress=False)
    assert dataset.image_shape == shape
    assert list(data.describe(dataset).per_class.values()) == per_class
    pixels = dataset.images(np.arange(0, len(dataset), 97))
    assert pixels.std() > 30


def test_cifar_mean_is_as_published(data_folder):
    dataset = data.load(f"cifar10:{data_folder / 'cifar-10-binary-subset.tar.gz'}", progress=False)
    mean = data.Preprocess.fit(dataset, progress=False).mean.mean(axis=(1, 2)) / 255
    np.testing.assert_allclose(mean, [0.4914, 0.4822, 0.4465], atol=0.005)


def test_tiny_imagenet_labels(data_folder):
    """Class names come in the order of wnids.txt, and oranges and bananas are yellow to red, alps bluish."""
    dataset = data.load(f"tiny-imagenet:{data_folder / 'tiny-imagenet-200-subset25.zip'}", "val", progress=False)
    colours = {
        name: dataset.images(np.flatnonzero(dataset.labels == label)).mean(axis=(0, 2, 3))
        for label, name in enumerate(dataset.classes)
    }
    assert {"lifeboat", "orange", "banana", "alp", "goldfish"} <= set(colours)
    for name in ("orange", "banana", "goldfish"):
        assert colours[name][0] > colours[name][2] + 40
    assert colours["alp"][2] > colours["alp"][0]


def test_photos_smaller_than_asked_are_named(data_folder):
    with pytest.raises(data.DataError, match=r"101_ObjectCategories/.*\.jpg: \d+x\d+ pixels .* 224x224 are needed"):
        data.load(f"folder:{data_folder / '101_ObjectCategories-subset20.tar.gz'}", size=224, progress=False)
