"""A run is a folder. Everything in it is written whole and then renamed, so a kill at any moment leaves a run that goes on.

runs/first/
  run.json                              what was asked for: net, data, recipe, versions
  log.jsonl                             one line an epoch
  last.safetensors                      weights, momentum and place of the training, for --resume
  checkpoints/epoch-0005.safetensors    weights after chosen epochs
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

import kernels
from minizf import weights
from minizf.data import Preprocess
from minizf.files import write_atomic
from minizf.net import Net


class RunError(ValueError):
    """A run folder that cannot be used as asked; the message names it and the way out."""


class Run:
    """A run folder. `Run.create` begins one, `Run.open` finds one again."""

    def __init__(self, path: Path, config: dict[str, Any]):
        self.path, self.config = path, config

    @classmethod
    def create(cls, path: str | Path, config: dict[str, Any]) -> "Run":
        """Begins a run; RunError when there is already something at that path."""
        path = Path(path)
        require_free(path)
        (path / "checkpoints").mkdir(parents=True, exist_ok=True)
        write_atomic(path / "run.json", (json.dumps(config, indent=2) + "\n").encode())
        return cls(path, config)

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        """Finds a run again; RunError when the folder holds none."""
        path = Path(path)
        if not (path / "run.json").is_file():
            raise RunError(f"{path} holds no run (no run.json in it); `minizf train` begins one")
        try:
            config = json.loads((path / "run.json").read_text())
        except ValueError as error:
            raise RunError(f"{path / 'run.json'} is not valid JSON ({error}); was it edited by hand?") from error
        (path / "checkpoints").mkdir(exist_ok=True)
        return cls(path, config)

    @property
    def last_path(self) -> Path:
        return self.path / "last.safetensors"

    def epoch_path(self, epoch: int) -> Path:
        return self.path / "checkpoints" / f"epoch-{epoch:04d}.safetensors"

    def checkpoints(self) -> dict[int, Path]:
        """Kept weights, by epoch."""
        found = sorted((self.path / "checkpoints").glob("epoch-*.safetensors"))
        return {int(path.stem.removeprefix("epoch-")): path for path in found}

    def load(self, epoch: int | None = None) -> weights.Checkpoint:
        """The weights after an epoch (default: as last saved). RunError lists the epochs that were kept."""
        if epoch is None:
            if not self.last_path.is_file():
                raise RunError(
                    f"{self.path} has not been trained for an epoch yet; go on with `minizf train --resume {self.path}`"
                )
            return self.load_last()
        kept = self.checkpoints()
        if epoch not in kept:
            listing = ", ".join(map(str, kept)) or "none"
            raise RunError(
                f"{self.path} keeps no weights of epoch {epoch}; kept: {listing} (choose with `train --checkpoints`)"
            )
        return weights.load(kept[epoch])

    def load_last(self) -> weights.Checkpoint:
        """What was saved last; RunError for a damaged file says which kept weights are still good."""
        try:
            return weights.load(self.last_path)
        except weights.WeightsError as error:
            good = [epoch for epoch, path in self.checkpoints().items() if is_intact(path)]
            way_out = (
                f"intact are the weights after epoch {', '.join(map(str, good))}: `minizf look` and `atlas` show them with "
                f"--epoch {good[-1]}. They hold no momentum, so training"
                if good
                else "no weights in its checkpoints folder are intact either. Training"
            )
            raise RunError(f"{error}. Of this run {way_out} cannot go on; begin another run (--out)") from error

    def rows(self) -> list[dict[str, Any]]:
        """The log, one row an epoch; RunError when it is damaged."""
        path = self.path / "log.jsonl"
        try:
            return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
        except ValueError as error:
            raise RunError(f"{path} is not valid JSON, line by line ({error}); was it edited by hand?") from error

    def write_log(self, rows: list[dict[str, Any]]) -> None:
        write_atomic(self.path / "log.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())

    def save_epoch(self, net: Net, preprocess: Preprocess, epoch: int, row: dict[str, Any]) -> None:
        """Keeps the weights of this epoch, without the momentum."""
        self.write(self.epoch_path(epoch), net, preprocess, {"epoch": epoch, "row": row})

    def save_last(self, net: Net, preprocess: Preprocess, velocity: dict[str, np.ndarray], progress: dict[str, Any]) -> None:
        """Keeps all that training needs to go on with the same bits."""
        self.write(self.last_path, net, preprocess, {"epoch": progress["epoch"], "progress": progress}, velocity)

    def write(self, path: Path, net: Net, preprocess: Preprocess, metadata: dict[str, Any], extra=None) -> None:
        metadata = {"net": self.config.get("net"), "data": self.config.get("data"), **metadata}
        weights.save(path, net, preprocess, self.config.get("classes"), metadata, extra)

    def restore(self, net: Net, velocity: dict[str, np.ndarray]) -> dict[str, Any]:
        """Fills net and velocity from the last save, if there is one; returns the saved progress (empty: a fresh run)."""
        if not self.last_path.is_file():
            return {}
        saved = self.load_last()
        net.load_state(saved.net.state())
        for name, array in velocity.items():
            kernels.assign(array, saved.extra[name])
        return saved.metadata["progress"]


def require_free(path: Path) -> None:
    """RunError when there is already something where a run is to begin."""
    if (path / "run.json").exists():
        raise RunError(f"{path} already holds a run; go on with it (--resume {path}) or choose another folder (--out)")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunError(f"{path} exists and is not an empty folder; choose another folder (--out)")


def is_intact(path: Path) -> bool:
    """Whether a weights file can be used."""
    try:
        weights.load(path)
    except weights.WeightsError:
        return False
    return True
