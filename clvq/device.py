"""Which device computes, and the choices that a command passes on to the language model."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from clvq.config import AssignConfig, BenchConfig, ExplainConfig, FaithfulnessConfig
from clvq.errors import ClvqError, first_line

EDITS_ON_CPU = 1024
"""Tokens in a batch of edited texts on a CPU: less padding, and states that stay in its caches."""


@dataclass(frozen=True)
class Runtime:
    """How a language model is run: where, how much at once, and whether code of its own is allowed."""

    device: str | None = None
    """None is a GPU where there is one, else the CPU."""
    batch_tokens: int = 4096
    """Tokens in a batch, padding included."""
    trust_remote_code: bool = False
    model: str | None = None
    """Where the model is, if it is not where it was."""

    @classmethod
    def of_settings(cls, settings: AssignConfig | BenchConfig | ExplainConfig | FaithfulnessConfig) -> Runtime:
        """Return the part of a command's settings that says how the language model is run."""
        tokens = settings.batch_tokens
        if tokens is None:
            tokens = EDITS_ON_CPU if pick_device(settings.device).type == "cpu" else cls.batch_tokens
        return cls(settings.device, tokens, settings.trust_remote_code, settings.model)


def pick_device(name: str | None) -> torch.device:
    """Return the device `name`; without a name a GPU where there is one (each process its own), else the CPU.

    ClvqError where there is no such device.
    """
    if name is None:
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except Exception as error:  # torch raises RuntimeError, AssertionError and more for a device that is not there
        raise ClvqError(f"--device {name} cannot be used: {first_line(error)} Use cpu, cuda or mps.") from error
    return device
