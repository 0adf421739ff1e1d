"""A training's state: weights, optimiser and position in one file. Resuming from it changes no bit of the result."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from clvq.errors import ArtifactError, MismatchError
from clvq.storage import read_tensors, write_tensors

STATE_NAME = "state.safetensors"


@dataclass
class Position:
    """The position of a training: its state without the tensors."""

    epoch: int = 0
    batch: int = 0
    """Number of the next batch of the epoch."""
    step: int = 0
    seconds: float = 0.0
    best_fvu: float = math.inf
    best_epoch: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    """Sums over the epoch so far: rows, and losses weighted by rows."""
    plateau: dict[str, Any] | None = None
    finished: bool = False


def save_state(
    folder: Path,
    identity: str,
    position: Position,
    recent: Mapping[str, float],
    model: nn.Module,
    optimizer: Optimizer,
    kept: Mapping[str, Tensor],
) -> None:
    """Save everything in one file, so that its parts cannot disagree. `recent` are sums since the log's last line,
    `kept` tensors of the loop itself."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()} | dict(kept)
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": value for name, value in state.items()}
    body = {"identity": identity, "position": asdict(position), "recent": recent}
    write_tensors(folder / STATE_NAME, tensors, {"clvq": json.dumps(body)})


def load_state(
    folder: Path, identity: str, model: nn.Module, optimizer: Optimizer, kept: Mapping[str, Tensor]
) -> tuple[Position, dict[str, float]] | None:
    """Restore a saved state, and return position and `recent`; None where nothing was saved.

    MismatchError where the state is of another identity, ArtifactError where it does not fit.
    """
    path = folder / STATE_NAME
    if not path.exists():
        return None
    tensors, metadata = read_tensors(path)
    try:
        body = json.loads(metadata["clvq"])
        if body["identity"] != identity:
            raise MismatchError(
                f"{folder.parent} holds an unfinished training with other settings or activations. Finish it with the "
                "same command, or use another --name, or start again with --overwrite."
            )
        model.load_state_dict(_below(tensors, "model."))
        states: dict[int, dict[str, Tensor]] = {}
        for name, value in _below(tensors, "optimizer.").items():
            number, key = name.split(".", 1)
            states.setdefault(int(number), {})[key] = value.clone()
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": states, "param_groups": groups})
        for name, tensor in kept.items():
            tensor.copy_(tensors[name])
        return Position(**body["position"]), body["recent"]
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ArtifactError(
            f"{path} is not a training state that fits: {error}. Start again with --overwrite."
        ) from error


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
