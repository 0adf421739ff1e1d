"""The settings of `clvq assign`."""

from __future__ import annotations

from dataclasses import dataclass

from clvq.config.settings import BATCH, DEVICE, MODEL, POSITIVE, TRUST, Settings, stated


@dataclass(frozen=True)
class AssignConfig(Settings):
    """How the language model is run over the texts whose words get codes.

        print(clvq.AssignConfig().batch_tokens)

    `clvq.assign` takes them as keywords.
    """

    batch_tokens: int = stated(4096, BATCH, POSITIVE, result=False)
    model: str | None = stated(None, MODEL, result=False)
    device: str | None = stated(None, DEVICE, result=False)
    trust_remote_code: bool = stated(False, TRUST, result=False)
