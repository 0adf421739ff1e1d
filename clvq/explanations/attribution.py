"""Attribution of a prediction to the states of the tokens at a layer, by integrated gradients in batches.

    a_t = sum_d (x_td - b_td) * integral_0^1 dF/dx_td (b + s (x - b)) ds      (Sundararajan et al., arXiv 1703.01365)

`x` are the states at the layer, and `b` is a baseline. `F` is the number that is explained. It depends on the model's
target: the logit of the predicted class or next token, the log-probability of a label word, or the logit of a token
that is asked for. The exact sum over all tokens is `F(x) - F(b)` (completeness); the distance from this value shows
whether the integral has enough steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from captum.attr import IntegratedGradients
from torch import Tensor

from clvq.language_model.batching import Sharing
from clvq.language_model.inputs import Inputs
from clvq.language_model.special_tokens import special_ids
from clvq.language_model.tokenization import TokenizedSentence
from clvq.language_model.upper_layers import UpperLayers

_NO_DIFFERENCE = 1e-9
"""Differences of a logit below this count as zero: the completeness error is taken relative to at least this value."""


class Attribution(NamedTuple):
    """The prediction for one sentence, and the attributions of its tokens."""

    tokens: list[float]
    """`[T]` attribution of each token's state; positive in favour of the prediction."""
    target: int
    """The answer: the predicted class or next token; 0 for a score."""
    confidence: float
    """Probability of the answer, or the score itself where the answer is a score."""
    difference: float
    """`F(x) - F(b)`, which the attributions explain."""
    completeness_error: float
    """`|sum of tokens - difference| / |difference|`."""
    steps: int
    """Number of steps of the integral."""


class IntegratedAttribution:
    """Integrated gradients at a layer, by Gauss-Legendre quadrature with as many steps as a sentence needs.

    For sentences whose completeness error is above `completeness`, the integral is computed again with twice the steps,
    up to `max_steps`.
    """

    def __init__(
        self,
        upper: UpperLayers,
        *,
        baseline: str,
        steps: int,
        max_steps: int,
        completeness: float,
        batch_tokens: int,
    ) -> None:
        self.upper, self.baseline = upper, baseline
        self._target = upper.target
        self.steps, self.max_steps, self.completeness = steps, max_steps, completeness
        self.batch_tokens = batch_tokens
        self._sharing = upper.model.sharing
        special = special_ids(upper.model.tokenizer)
        self._special = torch.tensor(sorted(special), device=upper.model.device)
        self._filler = _filler(upper)
        self._gradients = IntegratedGradients(self._targets)

    def batches(
        self, sentences: Sequence[TokenizedSentence], done: set[int] | frozenset[int] = frozenset()
    ) -> Iterator[list[int]]:
        """Yield the indices of sentences of like length that may share a forward, batch by batch.

        With the first number of steps a batch is at most `batch_tokens` tokens, or one sentence. Sentences without
        tokens are left out, and so are batches of which all sentences are in `done`.
        """
        for batch in self._groups([len(sentence.input_ids) for sentence in sentences]):
            if not done.issuperset(batch):
                yield batch

    def _groups(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        batch: list[int] = []
        for index in sorted((i for i, length in enumerate(lengths) if length), key=lengths.__getitem__):
            is_full = (len(batch) + 1) * lengths[index] * self.steps > self.batch_tokens
            if batch and (is_full or not self._sharing.allows(lengths[batch[0]], lengths[index])):
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    def of_batch(
        self, sentences: Sequence[TokenizedSentence], batch: list[int], parts: Sequence[int] | None = None
    ) -> list[Attribution]:
        """Return the attributions of the sentences at the indices of `batch`, in its order. Of a target with parts,
        `parts` says which of them each of all the sentences is asked."""
        own_parts = None if parts is None else [parts[index] for index in batch]
        inputs = self.upper.inputs([sentences[index] for index in batch], own_parts)
        states = self.upper.states(inputs)
        baselines = self._baselines(states, inputs)
        with torch.no_grad():
            scores = self.upper.scores(states, inputs)
            targets = self._target.answers(scores)
            reached, confidences = self._target.explained(scores, targets), self._target.confidence(scores, targets)
            differences = reached - self._targets(baselines, *inputs, targets)
        done: dict[int, Attribution] = {}
        left, steps = torch.arange(len(batch)), self.steps
        while len(left):
            kept = left.to(states.device)
            part = inputs.at(kept)
            tokens = self._integrate(states[kept], baselines[kept], part, targets[kept], steps)
            explained = differences[kept]
            errors = (tokens.sum(dim=1) - explained).abs() / explained.abs().clamp_min(_NO_DIFFERENCE)
            enough = (errors <= self.completeness).cpu() | (2 * steps > self.max_steps)
            for row in enough.nonzero().flatten().tolist():
                at = int(left[row])
                done[at] = Attribution(
                    tokens[row, : len(sentences[batch[at]].input_ids)].tolist(),
                    int(targets[at]),
                    float(confidences[at]),
                    float(differences[at]),
                    float(errors[row]),
                    steps,
                )
            left, steps = left[~enough], 2 * steps
        return [done[at] for at in range(len(batch))]

    def _integrate(self, states: Tensor, baselines: Tensor, inputs: Inputs, targets: Tensor, steps: int) -> Tensor:
        """Return the attributions `[B, T]` of tokens; 0 for padding."""
        alone = self._sharing is Sharing.ALONE
        at_once = 1 if alone else max(len(states), self.batch_tokens // states.shape[1])
        values: Tensor = self._gradients.attribute(
            states,
            baselines,
            additional_forward_args=(*inputs, targets),
            n_steps=steps,
            internal_batch_size=at_once,
        )
        return values.float().sum(dim=2) * inputs.attention_mask

    def _targets(self, states: Tensor, *inputs_and_targets: Any) -> Tensor:
        """Return the numbers `[B]` to explain; captum passes the fields of `Inputs` and the targets one by one."""
        *inputs, targets = inputs_and_targets
        return self._target.explained(self.upper.scores(states, Inputs(*inputs)), targets)

    def _baselines(self, states: Tensor, inputs: Inputs) -> Tensor:
        """Return the states `[B, T, D]` at which the integral starts: zeros, or the states of a text of the same length
        in which all tokens but the special ones and those of the prompt are replaced by a filler token."""
        if self.baseline == "zero":
            return torch.zeros_like(states)
        stays = torch.isin(inputs.input_ids, self._special)
        if inputs.fixed is not None:
            stays |= inputs.fixed
        return self.upper.states(inputs._replace(input_ids=inputs.input_ids.where(stays, self._filler)))


def _filler(upper: UpperLayers) -> int:
    """Return the first of the model's filler tokens whose state at the layer is finite and not 0.

    If a model normalises states before use, a state of 0 is a singular point, where no number of steps is enough. A
    token may have the state 0 at the layer, for example if its embedding was never trained. Such a token is used only
    if there is no other.
    """
    fillers = upper.model.tensors.filler_ids
    for number in fillers:
        state = upper.states(Inputs(**upper.model.tensors.ids([[number]]), pad=0))
        if state.isfinite().all() and state.any():
            return number
    return fillers[0]
