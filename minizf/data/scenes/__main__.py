"""Measure the drawing of scenes, and show a page of them: python -m minizf.data.scenes --sheet page.png"""

import argparse
import time

import numpy as np
from PIL import Image

from . import Scenes


def page(images: np.ndarray, columns: int) -> np.ndarray:
    """Images uint8 (n, 3, S, S) side by side with two white pixels between: uint8 (height, width, 3)."""
    count, _, size, _ = images.shape
    rows, step = -(-count // columns), size + 2
    sheet = np.full((rows * step - 2, columns * step - 2, 3), 255, np.uint8)
    for k, image in enumerate(images):
        top, left = k // columns * step, k % columns * step
        sheet[top : top + size, left : left + size] = image.transpose(1, 2, 0)
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m minizf.data.scenes", description=__doc__)
    parser.add_argument("--size", type=int, default=64, help="pixels (default 64)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, default=4096, help="how many to draw for the measurement (default 4096)")
    parser.add_argument("--sheet", metavar="PNG", help="write a page of 100 images, one kind a row, twice enlarged")
    options = parser.parse_args()

    scenes = Scenes(size=options.size, seed=options.seed, images=max(options.images, 100))
    start = time.perf_counter()
    scenes.images([0])
    print(f"first image (loads or compiles the renderer): {time.perf_counter() - start:.1f} s")
    start = time.perf_counter()
    scenes.images(np.arange(options.images))
    elapsed = time.perf_counter() - start
    print(f"{options.images:,} images of {options.size} x {options.size}: {options.images / elapsed:,.0f} a second")
    if options.sheet:
        first = np.argsort(scenes.labels[:100], kind="stable")
        sheet = Image.fromarray(page(scenes.images(first), columns=10))
        sheet.resize((2 * sheet.width, 2 * sheet.height), Image.Resampling.NEAREST).save(options.sheet)
        print(f"wrote {options.sheet}")


if __name__ == "__main__":
    main()
