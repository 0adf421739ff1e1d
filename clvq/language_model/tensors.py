"""Sentences as the tensors that a model takes: ids, attention mask, padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from clvq.language_model.placement import device_of
from clvq.language_model.special_tokens import filler_ids
from clvq.language_model.tokenization import TokenizedSentence


class Tensors:
    """Makes the input tensors of one model, padded on the right."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.device: torch.device = device_of(model)
        self.vocabulary_size: int = model.base_model.get_input_embeddings().weight.shape[0]
        self._text_config = model.config.get_text_config()
        pad = getattr(self._text_config, "pad_token_id", None)
        self._configured_pad = pad if pad is not None and 0 <= pad < self.vocabulary_size else None
        self.filler_ids = filler_ids(tokenizer, self._configured_pad, self.vocabulary_size)
        """Ids that may be used as padding, the best first."""

    def ids(self, rows: list[list[int]], pad: int = 0) -> dict[str, Tensor]:
        """Return input ids and attention mask `[B, T]`, padded on the right.

        With padding on the right, a token's position is the same whether the model counts indices, the mask, or ids
        that are not padding. So no position ids are needed.
        """
        longest = max(map(len, rows))
        ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        return {"input_ids": ids.to(self.device), "attention_mask": mask.to(self.device)}

    def of(self, sentences: Sequence[TokenizedSentence], pad: int = 0) -> dict[str, Tensor]:
        """Return the model's inputs `[B, T]` for sentences: those of `ids` and, if the model is told, which of two
        texts each token is from."""
        inputs = self.ids([sentence.input_ids for sentence in sentences], pad)
        if any(sentence.token_types for sentence in sentences):
            longest = inputs["input_ids"].shape[1]
            types = [[*sentence.token_types, *[0] * (longest - len(sentence.token_types))] for sentence in sentences]
            inputs["token_type_ids"] = torch.tensor(types, device=self.device)
        return inputs

    def padding_id(self, sentences: Sequence[TokenizedSentence], predict: bool) -> int | None:
        """Return the id to pad with; None where predictions are right only for one sentence at a time.

        A decoder's head reads the last token that is not `pad_token_id`. If the model has that id, a text padded with
        it is read at the same token as without padding. If the model has none, the batch is padded with an id that is
        in none of its texts.
        """
        if self._configured_pad is not None or not predict or len(sentences) == 1:
            return self.filler_ids[0]
        used = {number for sentence in sentences for number in sentence.input_ids}
        return next((id_ for id_ in chain(self.filler_ids, range(self.vocabulary_size)) if id_ not in used), None)

    @contextmanager
    def named(self, pad: int | None) -> Iterator[None]:
        """Set `pad` as the config's padding id while the context lasts, where the config has none. Without a padding
        id, a decoder's head refuses a batch."""
        configured = getattr(self._text_config, "pad_token_id", None)
        if pad is not None and self._configured_pad is None:
            self._text_config.pad_token_id = pad
        try:
            yield
        finally:
            self._text_config.pad_token_id = configured
