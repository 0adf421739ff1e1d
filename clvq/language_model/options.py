"""How a language model is loaded, and what is asked of it."""

from __future__ import annotations

from dataclasses import dataclass

from clvq.language_model.placement import USUAL, Placement
from clvq.language_model.targets import NOTHING, Asked


@dataclass(frozen=True)
class ModelOptions:
    """What `LanguageModel.load` is told beside the model's name."""

    revision: str | None = None
    """A branch, tag or commit of the hub."""
    device: str | None = None
    """None is CUDA where there is one, else the CPU."""
    trust_remote_code: bool = False
    max_length: int | None = None
    """Tokens, special ones included. It may go beyond what the tokenizer says, not beyond what the model takes."""
    next_token: bool = False
    """A causal language model keeps the head that predicts its next token. Hidden states and fingerprint are the same
    without."""
    randomized: bool = False
    """The values of each weight are in a random order, and the fingerprint says so."""
    asked: Asked = NOTHING
    placement: Placement = USUAL

    @property
    def keeps_token_head(self) -> bool:
        """Whether a causal language model keeps its head: it does too where something is asked of it."""
        return self.next_token or bool(self.asked)

    @property
    def keeps_mask_head(self) -> bool:
        """Whether a masked language model keeps its head, which answers with label words alone."""
        return bool(self.asked.label_words)


USUAL_OPTIONS = ModelOptions()
"""The newest revision, in the usual type on the best device, with its classification head."""
