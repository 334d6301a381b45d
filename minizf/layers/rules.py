"""The choices on which published deconvnets disagree, each by its name.

The defaults are the paper's where the paper speaks (Zeiler & Fergus 2014, section 2.1), and the adjoint where it is silent.
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Rules:
    """How the signal passes each kind of layer on its way down to pixels.

    rectify     "signal"   r -> max(r, 0), whatever the forward pass did (the paper; the deconvnet)
                "mask"     r -> r where the forward activation was positive (backpropagation; the gradient)
                "both"     the two together (guided backpropagation, Springenberg et al. 2015)
    collisions  what happens where two pooling windows name one position: "sum" (the adjoint), "max", "mean", "last"
    lrn         contrast normalisation on the way down: "skip" (the paper) or "jacobian" (its true gradient)
    """

    rectify: str = "signal"
    collisions: str = "sum"
    lrn: str = "skip"

    KNOWN: ClassVar[dict[str, tuple[str, ...]]] = {
        "rectify": ("signal", "mask", "both"),
        "collisions": ("sum", "max", "mean", "last"),
        "lrn": ("skip", "jacobian"),
    }

    def __post_init__(self):
        for question, answers in self.KNOWN.items():
            given = getattr(self, question)
            if given not in answers:
                raise ValueError(f"Rules: {question}={given!r} is not a rule; choose one of {', '.join(answers)}")


DECONVNET = Rules()
GUIDED = Rules(rectify="both", lrn="jacobian")
GRADIENT = Rules(rectify="mask", lrn="jacobian")
