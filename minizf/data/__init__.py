"""Image sets: `load` names them all one way; `Preprocess` and the crops make them what a net reads."""

from minizf.data.dataset import ArrayDataset, DataError, Dataset, Subset, first_per_class
from minizf.data.decode import decode_file
from minizf.data.preprocess import Preprocess, random_crop_flip, ten_crop
from minizf.data.spec import FORMS, absolute, brief, known_forms, load
from minizf.data.summary import Summary, describe, sample_per_class

__all__ = [
    "FORMS",
    "ArrayDataset",
    "DataError",
    "Dataset",
    "Preprocess",
    "Subset",
    "Summary",
    "absolute",
    "brief",
    "decode_file",
    "describe",
    "first_per_class",
    "known_forms",
    "load",
    "random_crop_flip",
    "sample_per_class",
    "ten_crop",
]
