"""How to train: the numbers of a recipe, and what they may be. Light to import, for the command line names the defaults."""

import math
from dataclasses import dataclass

CHECKPOINTS = (1, 2, 5, 10, 20, 30, 40, 64)  # epochs after which weights are kept, those of the paper's figure 4
SCHEDULES = ("cosine", "plateau", "constant")


@dataclass(frozen=True)
class Recipe:
    """How to train. Defaults follow the paper; where they do not, the field says so."""

    epochs: int = 24
    batch: int = 64  # paper: 128
    learning_rate: float = 2e-2  # paper: 1e-2, with batches twice as large
    momentum: float = 0.9
    weight_decay: float = 5e-4  # Krizhevsky et al. 2012; the paper does not say
    schedule: str = "cosine"  # "plateau" is the paper's: divide when validation stalls
    patience: int = 3  # plateau: epochs without a better validation accuracy before the rate falls
    anneal: float = 0.1  # plateau: what the rate is then multiplied by
    filter_rms: float = 0.1  # a convolution filter whose RMS exceeds this is scaled back to it; 0 turns it off
    jitter: int = 6  # random crops move the image by up to this many pixels, its border reflected
    flip: bool = True  # mirrored left to right, half of the time
    seed: int = 0

    def __post_init__(self):
        least = {"epochs": 1, "batch": 1, "patience": 1, "weight_decay": 0, "filter_rms": 0, "jitter": 0, "seed": 0}
        for name, bound in least.items():
            if not getattr(self, name) >= bound:
                raise ValueError(f"recipe: {name} is {getattr(self, name)}, expected at least {bound}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"recipe: momentum is {self.momentum}, expected at least 0 and below 1")
        if self.schedule not in SCHEDULES:
            raise ValueError(f"recipe: schedule {self.schedule!r} is unknown; choose one of {', '.join(SCHEDULES)}")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"recipe: learning rate {self.learning_rate}, expected a positive number")
