"""Weights on disk: safetensors, with the architecture and the preprocessing in the header. Nothing is ever unpickled.

One file is enough to use a net again: `load(path)` builds it, fills it, and says how images are to be prepared for it.
"""

import hashlib
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

import kernels
from minizf.data.preprocess import Preprocess
from minizf.files import write_atomic
from minizf.layers import KINDS, Layer
from minizf.net import Net

log = logging.getLogger("minizf")
FORMAT = "minizf-1"
MEAN = "preprocess.mean"


@dataclass
class Checkpoint:
    """What a weights file holds."""

    net: Net
    preprocess: Preprocess | None = None
    classes: list[str] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)  # whatever the writer added: epoch, data set, accuracy ...
    extra: dict[str, np.ndarray] = field(default_factory=dict)  # further arrays: the momentum of a run that goes on


class WeightsError(ValueError):
    """A weights file that cannot be used; the message names the file and the reason."""


def save(
    path: str | Path,
    net: Net,
    preprocess: Preprocess | None = None,
    classes: list[str] | None = None,
    metadata: dict[str, Any] | None = None,
    extra: dict[str, np.ndarray] | None = None,
) -> None:
    """Writes the file whole or not at all: a full disk or a kill leaves an older file of that name as it was."""
    tensors = {f"net.{name}": np.ascontiguousarray(kernels.to_host(array)) for name, array in net.state().items()}
    tensors |= {f"extra.{name}": np.ascontiguousarray(kernels.to_host(array)) for name, array in (extra or {}).items()}
    header: dict[str, Any] = {
        "format": FORMAT,
        "input_shape": list(net.input_shape),
        "layers": [{"name": n, "kind": type(layer).__name__, "options": layer.options} for n, layer in net.layers.items()],
        "classes": classes,
        "metadata": metadata or {},
    }
    if preprocess is not None:
        tensors[MEAN] = np.ascontiguousarray(preprocess.mean)
        header["scale"] = preprocess.scale
    header["sha256"] = checksum(tensors)
    write_atomic(path, to_bytes(tensors, metadata={"minizf": json.dumps(header)}))


def load(path: str | Path) -> Checkpoint:
    """Builds the net a file describes. WeightsError: not a safetensors file, cut short, damaged, or not one of ours."""
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file")
    try:
        with safe_open(path, framework="numpy") as file:
            header = (file.metadata() or {}).get("minizf")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file ({error}); was it cut short while copying?") from error
    if header is None:
        raise WeightsError(f"{path}: holds no minizf architecture in its header; only files written by minizf can be opened so")
    try:
        described = json.loads(header)
        checkpoint = from_header(path, described, tensors)
    except WeightsError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else f"makes no sense: {error}"
        raise WeightsError(f"{path}: its header {what}; it was damaged or changed, use another copy of it") from error
    if "sha256" not in described:  # files of before this sum was written
        log.warning(
            "%s carries no checksum, so a damaged number would go unnoticed; save it anew with minizf.weights.save", path
        )
    elif described["sha256"] != checksum(tensors):
        raise WeightsError(f"{path}: its numbers are not those that were saved (SHA-256 differs); use another copy of it")
    return checkpoint


def checksum(tensors: dict[str, np.ndarray]) -> str:
    """SHA-256 over names, types, shapes and numbers: a flipped bit is still a number, and would pass for a weight."""
    total = hashlib.sha256()
    for name, array in sorted(tensors.items()):
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def from_header(path: Path, header: dict[str, Any], tensors: dict[str, np.ndarray]) -> Checkpoint:
    """The net of a parsed header and its tensors."""
    if header["format"] != FORMAT:
        raise WeightsError(
            f"{path}: format {header['format']!r}, this version reads {FORMAT!r}; use the minizf it was written with"
        )
    layers: list[tuple[str, Layer]] = []
    for entry in header["layers"]:
        kind, name = entry["kind"], entry["name"]
        if kind not in KINDS:
            raise WeightsError(f"{path}: layer {name!r} is of the unknown kind {kind!r}; known: {', '.join(KINDS)}")
        arrays: dict[str, Any] = {key: tensors.get(f"net.{name}.{key}") for key in KINDS[kind].array_names}
        if "weight" in arrays and arrays["weight"] is None:
            raise WeightsError(f"{path}: {name}.weight is missing; the file is incomplete")
        layers.append((name, KINDS[kind](**arrays, **entry["options"])))
    preprocess = Preprocess(tensors[MEAN], header["scale"]) if MEAN in tensors else None
    extra = {name.removeprefix("extra."): array for name, array in tensors.items() if name.startswith("extra.")}
    return Checkpoint(Net(layers, tuple(header["input_shape"])), preprocess, header["classes"], header["metadata"], extra)
