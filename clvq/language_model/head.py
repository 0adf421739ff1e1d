"""The head of a model: its logits for a batch, at the positions that a target reads."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from clvq.language_model.advice import model_code
from clvq.language_model.answers import Target
from clvq.language_model.continuations import ALONE, Continuation, extended, joined, longest
from clvq.language_model.sites import no_cache
from clvq.language_model.tensors import Tensors


class Head:
    """The logits of a model with a head for the tensors of a batch."""

    def __init__(self, model: Any, model_id: str, tensors: Tensors, predicts_next_token: bool) -> None:
        self._model, self._model_id, self._tensors = model, model_id, tensors
        self._keeps_last = predicts_next_token and "logits_to_keep" in inspect.signature(model.forward).parameters

    def output(
        self, target: Target, inputs: Mapping[str, Tensor], pad: int | None, masks: Tensor | None = None
    ) -> Tensor:
        """Return the logits that `target` takes scores from, in 32 bits: of a classification head, of the next token,
        or at the mask.

        `inputs` are what `Tensors.of` gives, padded on the right. `pad` is the id at padding, for a head that looks for
        it although the config names none. `masks` `[B]` are the positions of the prompt's mask, for a target that reads
        it.
        """
        if target.forwards != ALONE:
            return joined([self.logits_behind(inputs, some, pad or 0) for some in target.forwards])
        if target.reads_mask:
            assert masks is not None, "where the masks are must be said"
            return self._logits_at(inputs, masks)
        arguments: dict[str, Any] = no_cache(self._model)
        last = inputs["attention_mask"].sum(dim=1) - 1
        if self._keeps_last:
            places, last = last.unique(return_inverse=True)  # [P]: few, as lengths in a batch are similar
            arguments["logits_to_keep"] = places
        with model_code(self._model_id), self._tensors.named(pad if target.reads_padding else None):
            output: Tensor = self._model(**inputs, **arguments).logits
        if target.reads_next_token:
            output = output[torch.arange(len(output), device=output.device), last]
        return output.float()

    def next_tokens(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the logits `[B, T, V]` of the next token at every token, in 32 bits, of a causal language model."""
        with model_code(self._model_id):
            output: Tensor = self._model(**inputs, **no_cache(self._model)).logits
        return output.float()

    def logits_behind(self, inputs: Mapping[str, Tensor], continuations: Sequence[Continuation], pad: int) -> Tensor:
        """Return the logits `[B, M, K + 1, V]` of one forward, in 32 bits, at the last token of each text and at the
        tokens that are appended to it."""
        arguments: dict[str, Any] = no_cache(self._model)
        last = inputs["attention_mask"].sum(dim=1) - 1
        inputs = extended(inputs, continuations, pad)
        steps = last[:, None] + torch.arange(longest(continuations) + 1, device=last.device)  # [B, K + 1]
        if self._keeps_last:
            arguments["logits_to_keep"], steps = steps.unique(return_inverse=True)
        with model_code(self._model_id):
            output: Tensor = self._model(**inputs, **arguments).logits
        by_text = output.reshape(len(continuations), len(last), *output.shape[1:]).transpose(0, 1)
        text = torch.arange(len(last), device=last.device)
        return by_text.transpose(1, 2)[text[:, None], steps].transpose(1, 2).float()

    def _logits_at(self, inputs: Mapping[str, Tensor], tokens: Tensor) -> Tensor:
        """Return the logits `[B, V]` over the vocabulary at one token `[B]` of each text, in 32 bits.

        The step to the vocabulary takes most of a small model's time. Where the model has a module for this step, it is
        computed at these tokens alone.
        """
        text = torch.arange(len(tokens), device=tokens.device)

        def only(_module: Any, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
            states = given[0]
            if states.dim() != 3:
                return None
            return states[text.to(states.device), tokens.to(states.device)][:, None], *given[1:]

        head = self._model.get_output_embeddings()
        handle = None if head is None else head.register_forward_pre_hook(only)
        try:
            with model_code(self._model_id):
                output: Tensor = self._model(**inputs).logits
        finally:
            if handle is not None:
                handle.remove()
        return (output[:, 0] if output.shape[1] == 1 else output[text, tokens]).float()
