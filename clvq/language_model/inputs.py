"""Some sentences as the tensors that the part of a model above a layer takes."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Inputs(NamedTuple):
    """Some sentences as the model takes them, padded on the right."""

    input_ids: Tensor
    """`[B, T]`"""
    attention_mask: Tensor
    """`[B, T]` 1 for a token, 0 for padding."""
    pad: int
    """The id in `input_ids` at padding; a decoder's classification head finds the last token by this id."""
    token_type_ids: Tensor | None = None
    """`[B, T]` which of two texts a token is from, for a model that is told."""
    fixed: Tensor | None = None
    """`[B, T]` bool: the prompt's tokens; None where there are none."""
    behind: Tensor | None = None
    """`[B, M, K, D]` the model's own states, at the layer, of the tokens that are appended to the texts to ask for
    words of several tokens (`continuations`); None where none are appended."""
    places: Tensor | None = None
    """`[B]` the `Target.place` of the part that each text is asked; None for a target without places."""

    @property
    def arguments(self) -> dict[str, Tensor]:
        """The arguments that the model is called with."""
        arguments = {"input_ids": self.input_ids, "attention_mask": self.attention_mask}
        return arguments if self.token_type_ids is None else {**arguments, "token_type_ids": self.token_type_ids}

    def at(self, indices: Tensor) -> Inputs:
        """Return the inputs of some of the sentences, with their padding unchanged."""
        others = (self.token_type_ids, self.fixed, self.behind, self.places)
        kept = (None if other is None else other[indices] for other in others)
        return Inputs(self.input_ids[indices], self.attention_mask[indices], self.pad, *kept)
