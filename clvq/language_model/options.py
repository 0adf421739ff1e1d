"""How a language model is loaded, and what is asked of it."""

from __future__ import annotations

from dataclasses import dataclass

from clvq.language_model.placement import USUAL, Placement
from clvq.language_model.targets import NOTHING, Asked


@dataclass(frozen=True)
class ModelOptions:
    """What `LanguageModel.load` needs to know besides the model's name."""

    revision: str | None = None
    """A branch, tag or commit of the hub."""
    device: str | None = None
    """None: CUDA where available, else the CPU."""
    trust_remote_code: bool = False
    max_length: int | None = None
    """The most tokens of a text, special ones included. It may exceed the tokenizer's limit, but not the model's."""
    next_token: bool = False
    """Whether a causal language model keeps the head that predicts its next token. Hidden states and fingerprint are
    the same without the head."""
    randomized: bool = False
    """Whether the values of each weight are put into a random order; the fingerprint then says so."""
    asked: Asked = NOTHING
    placement: Placement = USUAL

    @property
    def keeps_token_head(self) -> bool:
        """Whether a causal language model keeps its head: with `next_token`, or where something is asked of the
        model."""
        return self.next_token or bool(self.asked)

    @property
    def keeps_mask_head(self) -> bool:
        """Whether a masked language model keeps its head, which only label words use."""
        return bool(self.asked.label_words)


USUAL_OPTIONS = ModelOptions()
"""The newest revision, in the usual dtype on the best device, with its classification head."""
