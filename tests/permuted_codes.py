"""A copy of a checkpoint whose codes stand in another order: all that is said of it must be the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file

from clvq.checkpoint import CONFIG_NAME, FORMAT, FORMAT_VERSION, read_checkpoint
from clvq.storage import file_checksum, write_signed, write_tensors


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
    config = {**read_checkpoint(source).config, "weights_checksum": file_checksum(path / "model.safetensors")}
    write_signed(path / CONFIG_NAME, FORMAT, FORMAT_VERSION, config)
    return path
