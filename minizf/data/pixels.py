"""Sets that come as arrays of pixels, idx and CIFAR-10, shown at another size or with three channels when asked."""

import numpy as np

from minizf.data.dataset import ArrayDataset, Dataset
from minizf.data.decode import resize_pixels


class Adapted(Dataset):
    """Another set's images resized (bilinear when enlarged, antialiased bicubic when shrunk) and gray repeated to 3 channels.

    Done batch by batch: 60,000 Fashion-MNIST images at 64x64 keep their 47 MB.
    """

    def __init__(self, dataset: Dataset, size: int | None, channels: int | None):
        own = dataset.image_shape
        shape = (channels or own[0], *(own[1:] if size is None else (size, size)))
        super().__init__(dataset.name, dataset.split, dataset.classes, dataset.labels, shape, dataset.mirror)
        self._dataset = dataset

    def images(self, index) -> np.ndarray:
        images = self._dataset.images(index)
        if images.shape[2:] != self.image_shape[1:]:
            images = resize_pixels(images, self.image_shape[1])
        if images.shape[1] != self.image_shape[0]:
            images = np.repeat(images, self.image_shape[0], axis=1)
        return images

    def image_name(self, i: int) -> str:
        return self._dataset.image_name(i)


def adapted(dataset: ArrayDataset, size: int | None, channels: int | None = None) -> Dataset:
    """`dataset` itself where it already is as asked."""
    wanted = (channels or dataset.image_shape[0], *((size, size) if size else dataset.image_shape[1:]))
    return dataset if wanted == dataset.image_shape else Adapted(dataset, size, channels)
