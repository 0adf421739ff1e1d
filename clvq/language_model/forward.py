"""One forward of a language model over sentences that share a batch: states at layers, and answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from clvq.language_model.advice import model_code
from clvq.language_model.answers import Target
from clvq.language_model.batch_rows import BatchRows
from clvq.language_model.continuations import ALONE
from clvq.language_model.rows import row_layout
from clvq.language_model.sites import capturing, no_cache
from clvq.language_model.tokenization import TokenizedSentence

if TYPE_CHECKING:
    from clvq.language_model.model import LanguageModel


class BatchResult(NamedTuple):
    """What `LanguageModel.run` returns, on the model's device. R is the number of rows of all sentences, C that of
    answers."""

    hidden: dict[int, Tensor]
    """For each layer `[R, D]`, the rows of one sentence after another, in the model's dtype."""
    row_counts: list[int]
    """Number of rows of each sentence; 0 for a sentence without tokens."""
    scores: Tensor | None
    """`[B, C]` of the model's target in 32 bits (`Target.overview`), NaN for a sentence without tokens; None when no
    scores were asked for."""


def run_together(
    model: LanguageModel,
    sentences: Sequence[TokenizedSentence],
    layers: Sequence[int],
    pooling: str,
    predict: bool,
    pad: int,
) -> BatchResult:
    """Return what `LanguageModel.run` returns, for sentences that share a forward; `pad` is the id to pad with."""
    target = model.target if predict else None
    layouts = [row_layout(sentence, pooling) for sentence in sentences]
    place: dict[str, Any] = {"dtype": model.dtype, "device": model.device}
    hidden = {layer: torch.empty(0, model.width(layer), **place) for layer in layers}
    scores: Tensor | None = None
    if target is not None:
        scores = torch.full((len(sentences), target.stored_width), torch.nan, device=model.device)
    present = [index for index, sentence in enumerate(sentences) if sentence.input_ids]
    if present and (layers or predict):
        chosen = [sentences[index] for index in present]
        inputs = model.tensors.of(chosen, pad)
        rows = BatchRows([layouts[index] for index in present], model.device)
        captured: dict[int, Tensor] = {}
        # States are always those of the texts alone. Texts with continuations are another batch, so they run apart.
        apart = target is not None and target.forwards != ALONE
        stop = apart or target is None
        watching = capturing(model.sites, layers, rows.gather, captured, device=model.device, stop=stop)
        with torch.inference_mode(), model_code(model.model_id), watching:
            if target is None or apart:
                model.base(**inputs, **no_cache(model.base))
            else:
                answered = _answered(model, target, chosen, inputs, pad if len(present) > 1 else None)
        if target is not None and apart:
            with torch.inference_mode(), model_code(model.model_id):
                answered = _answered(model, target, chosen, inputs, pad)
        # Copies made here, outside inference mode, may take part in a later autograd graph.
        hidden = {layer: captured[layer].clone() for layer in layers}
        if scores is not None and target is not None:
            scores[present] = target.overview(answered)
    return BatchResult(hidden, [len(layout.flags) for layout in layouts], scores)


def _answered(
    model: LanguageModel,
    target: Target,
    sentences: Sequence[TokenizedSentence],
    inputs: dict[str, Tensor],
    pad: int | None,
) -> Tensor:
    masks = None
    if target.reads_mask:
        masks = torch.tensor([sentence.sentence_token for sentence in sentences], device=model.device)
    return model.head.output(target, inputs, pad, masks)
