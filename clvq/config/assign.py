"""The settings of `clvq assign`."""

from __future__ import annotations

from dataclasses import dataclass

from clvq.config.settings import DEVICE, POSITIVE, Settings, stated


@dataclass(frozen=True)
class AssignConfig(Settings):
    """How the language model is run over the texts whose words get codes."""

    batch_tokens: int = stated(
        4096, "Number of tokens in a batch of the language model, padding included.", POSITIVE, result=False
    )
    model: str | None = stated(
        None,
        "Folder or hub id where the language model is now, if it was moved. It must be the model that the checkpoint "
        "was made from [where it was].",
        result=False,
    )
    device: str | None = stated(None, DEVICE, result=False)
    trust_remote_code: bool = stated(False, "Allow Python code that comes with a hub model to run.", result=False)
