"""From pixels to what a net reads, and the crops it is trained and judged on (paper, section 3).

    images uint8 (N, C, H, W)  --random_crop_flip-->  uint8 (N, C, H, W)  --Preprocess-->  float32 (x - mean) / scale
    images uint8 (N, C, H, W)  --ten_crop-->  (N, 10, C, h, w)

The paper subtracts the mean image of the training set. We also divide by one number, so that sets of any contrast come with
the same spread, SPREAD; being one number it keeps the colours' balance. The spread is larger than 1 on purpose, as that of the
paper's inputs in [-128, 128] is: the first layer's gradient grows with its input, so its filters soon outgrow the noise they
began with.
"""

import numpy as np

from minizf.data.dataset import Dataset
from minizf.data.progress import bar

SPREAD = 4.0  # root mean square of what a net reads
FIT_BYTES = 1 << 25  # float64 held at a time while the mean is taken


class Preprocess:
    """Subtract the mean image, divide by the scale.

    mean   float32 (C, H, W), in pixel values 0..255
    scale  positive float, in pixel values
    """

    def __init__(self, mean: np.ndarray, scale: float = 1.0):
        mean = np.ascontiguousarray(mean, dtype=np.float32)
        if mean.ndim != 3 or not np.isfinite(mean).all():
            raise ValueError(f"Preprocess: mean {mean.shape} must be (C, H, W) with finite values")
        if not (np.isfinite(scale) and scale > 0):
            raise ValueError(f"Preprocess: scale is {scale}, expected a positive number")
        self.mean, self.scale = mean, float(scale)

    @classmethod
    def fit(cls, dataset: Dataset, progress: bool = True) -> "Preprocess":
        """Mean image of a set, and the scale that gives its pixels the spread SPREAD around it, in one pass.

        Sums of whole numbers in float64 are exact, so the result does not depend on the batches. A set of equal images, whose
        spread is 0, gets scale 1. Memory: FIT_BYTES and one batch.
        """
        values = int(np.prod(dataset.image_shape))
        sums, squares = np.zeros(values), 0.0
        with bar(len(dataset), f"{dataset.name} {dataset.split}: mean image", progress) as shown:
            for images in dataset.batches(max(1, FIT_BYTES // (8 * values))):
                batch = images.reshape(len(images), values).astype(np.float64)
                sums += batch.sum(axis=0)
                squares += float(np.vdot(batch, batch))
                shown.update(len(images))
        mean = sums / len(dataset)
        variance = squares / (len(dataset) * values) - float(np.mean(mean * mean))
        scale = float(np.sqrt(max(variance, 0.0)))
        return cls(mean.reshape(dataset.image_shape), scale / SPREAD if scale > 1e-6 else 1.0)

    def __call__(self, images: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """uint8 or float images (N, C, H, W), values 0..255 -> float32 (N, C, H, W), into `out` if given.

        Another image shape or type, NaN or infinite pixels: ValueError.
        """
        if images.ndim != 4 or images.shape[1:] != self.mean.shape:
            raise ValueError(f"images are {images.shape}, expected (N, {', '.join(map(str, self.mean.shape))}) as in training")
        if images.dtype.kind == "f":
            _require_finite(images)
        elif images.dtype != np.uint8:
            raise ValueError(f"images are {images.dtype}, expected uint8 or float with values 0..255")
        out = np.subtract(images, self.mean, out=out, dtype=np.float32, casting="same_kind")
        out *= np.float32(1 / self.scale)
        return out

    def undo(self, x: np.ndarray) -> np.ndarray:
        """float32 (N, C, H, W) as a net reads it -> pixel values, float32, 0..255 up to rounding, not clipped."""
        return x * np.float32(self.scale) + self.mean


def _require_finite(images: np.ndarray) -> None:
    finite = np.isfinite(images)
    if not finite.all():
        n, c, h, w = (int(place) for place in np.argwhere(~finite)[0])
        count = int(finite.size - finite.sum())
        raise ValueError(
            f"pixels that are not numbers: image {n} of the batch has {images[n, c, h, w]} at channel {c}, row {h}, column {w} "
            f"({count} such values in all); repair or leave out the image"
        )


def random_crop_flip(images: np.ndarray, rng: np.random.Generator, jitter: int = 6, flip: bool = True) -> np.ndarray:
    """Each image shifted by up to `jitter` pixels each way and, with `flip`, mirrored left-right half of the time.

    images (N, C, H, W) -> the same shape and type. What a shift uncovers is filled by reflection: a random H x W crop of the
    image reflected outwards by `jitter` on all sides. The paper crops 224 from 256; at 64 pixels reflecting wastes none.
    The generator is used the same way whatever `flip` is.
    """
    n, _, h, w = images.shape
    padded = _reflect(images, jitter)
    corners = rng.integers(0, 2 * jitter + 1, size=(n, 2)).tolist()
    coins = rng.random((n,))
    out = np.empty_like(images)
    for i, (top, left) in enumerate(corners):
        crop = padded[i, :, top : top + h, left : left + w]
        out[i] = crop[:, :, ::-1] if flip and coins[i] < 0.5 else crop
    return out


def ten_crop(images: np.ndarray, crop: int | tuple[int, int] | None = None, jitter: int = 6) -> np.ndarray:
    """The four corners and the centre, then the same five mirrored left-right (paper, section 3).

    images (N, C, H, W) -> (N, 10, C, h, w), same type. Crops are cut from the images reflected outwards by `jitter` pixels, as
    `random_crop_flip` does, and are as large as the images unless `crop` (side, or (h, w)) says otherwise; the paper's own ten
    crops are ten_crop(images256, 224, jitter=0). A crop that does not fit: ValueError.
    """
    n, c, height, width = images.shape
    h, w = (height, width) if crop is None else (crop, crop) if isinstance(crop, int) else crop
    padded = _reflect(images, jitter)
    down, right = height + 2 * jitter - h, width + 2 * jitter - w
    if h < 1 or w < 1 or down < 0 or right < 0:
        raise ValueError(f"ten_crop: crop {h}x{w} does not fit into images {height}x{width} reflected by {jitter}")
    corners = [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]
    out = np.empty((n, 10, c, h, w), images.dtype)
    for k, (top, left) in enumerate(corners):
        out[:, k] = padded[:, :, top : top + h, left : left + w]
    out[:, 5:] = out[:, :5, :, :, ::-1]
    return out


def _reflect(images: np.ndarray, pad: int) -> np.ndarray:
    """(N, C, H, W) -> (N, C, H + 2 pad, W + 2 pad), mirrored at the edge pixels without repeating them.

    The same as np.pad(mode="reflect"), several times faster.
    """
    n, c, h, w = images.shape
    if not 0 <= pad < min(h, w):
        raise ValueError(f"jitter is {pad}, expected 0..{min(h, w) - 1} for images of {h}x{w}")
    if pad == 0:
        return images
    padded = np.empty((n, c, h + 2 * pad, w + 2 * pad), images.dtype)
    padded[:, :, pad:-pad, pad:-pad] = images
    padded[:, :, pad:-pad, :pad] = images[:, :, :, pad:0:-1]
    padded[:, :, pad:-pad, -pad:] = images[:, :, :, w - 2 : w - 2 - pad : -1] if pad < w - 1 else images[:, :, :, w - 2 :: -1]
    padded[:, :, :pad] = padded[:, :, 2 * pad : pad : -1]
    padded[:, :, -pad:] = padded[:, :, -pad - 2 : -2 * pad - 2 : -1]
    return padded
