"""Checkpoints by hand: a copy whose codes stand in another order, of which all that is said must be the same; and one
with weights of its own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from clvq.artifacts import CHECKPOINT
from clvq.models.clvq_vae import ClvqVae
from clvq.storage import file_checksum, write_tensors
from clvq.training.checkpoint import Checkpoint, read_checkpoint


def permuted(source: Path, path: Path, *, code_away: int | None = None) -> Path:
    """`code_away` moves that code so far away that no row is nearest to it."""
    shutil.copytree(source, path, ignore=shutil.ignore_patterns("codebook.json"))
    weights = load_file(source / "model.safetensors")
    order = torch.randperm(len(weights["quantizer.codebook"]), generator=torch.Generator().manual_seed(0))
    for name in ("codebook", "ema_count", "ema_sum", "batches_unused"):
        weights[f"quantizer.{name}"] = weights[f"quantizer.{name}"][order]
    if code_away is not None:
        weights["quantizer.codebook"][code_away] = 1e4
    write_tensors(path / "model.safetensors", weights)
    config = {**read_checkpoint(source).config.as_json(), "weights_checksum": file_checksum(path / "model.safetensors")}
    CHECKPOINT.write(path, config)
    return path


def rewritten(source: Checkpoint, model: ClvqVae, **architecture: Any) -> Checkpoint:
    """The checkpoint with another model, in place of its own; `architecture` is what of it differs."""
    write_tensors(source.path / "model.safetensors", model.state_dict())
    checksum = file_checksum(source.path / "model.safetensors")
    config = {**source.config.as_json(), **architecture, "weights_checksum": checksum}
    CHECKPOINT.write(source.path, config)
    return read_checkpoint(source.path)
