"""Edits of words inside the language model: the layers below once, those above for every edit and control.

All sub-words of an edited word are edited, each by its own state, with the word's concept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from clvq.concepts.directions import ConceptSpace
from clvq.interventions import edits
from clvq.interventions.controls import INJECTIONS, UNDRAWN, Owner, Pools, control_basis
from clvq.interventions.effects import Change, Effects, Record
from clvq.interventions.places import SENTENCE_ROW, Place, Subject
from clvq.language_model.rows import SENTENCE, BatchRows, as_stored, batches_by_length
from clvq.language_model.upper_layers import Inputs, UpperLayers
from clvq.progress import Progress, Report, silent


@dataclass(frozen=True)
class Plan:
    """What is done to the sentences."""

    edits: tuple[str, ...]
    places: dict[Place, tuple[str, ...]]
    """With the controls of each."""
    pools: dict[Place, Pools]
    targets: dict[int, int]
    """For each predicted class the concept that `move` puts in."""
    strength: float
    draws: int
    seed: int

    def changes(self) -> list[Change]:
        return [
            Change(edit, place, control)
            for edit in self.edits
            for place, controls in self.places.items()
            for control in (None, *controls)
        ]


class _Tokens(NamedTuple):
    """The tokens `[N]` that are changed at a place in a batch, and the words that they are of."""

    sentence: Tensor
    position: Tensor
    word: Tensor
    """Index into the rows of the batch."""
    owner: Tensor
    """Index into `owners`."""
    owners: list[Owner]


class _Batch(NamedTuple):
    """Some sentences on their way through the model."""

    numbers: list[int]
    """Of the subjects."""
    subjects: list[Subject]
    inputs: Inputs
    states: Tensor
    """[B, T, D] at the layer."""


class Interventions:
    """A language model above a layer, with the concepts of its words there."""

    def __init__(self, upper: UpperLayers, space: ConceptSpace, *, pooling: str, dtype: str, batch_tokens: int) -> None:
        """`pooling` and `dtype` are those of the stored rows; a batch is at most `batch_tokens` tokens."""
        self.upper, self.space = upper, space
        self.pooling, self.dtype, self.batch_tokens = pooling, dtype, batch_tokens

    @torch.no_grad()
    def effects(self, subjects: Sequence[Subject], plan: Plan, record: Record, progress: Report = silent) -> None:
        """Puts into `record`, made for the plan's changes, what each edit and each control does to each sentence that
        is not there yet."""
        for batch in self._batches(subjects, record.left):
            clean = self._log_probabilities(batch.states, batch.inputs)
            rows, number_of = self._rows(batch)
            bases = {raw: self.space.raw_basis(rows) if raw else self.space.basis(rows) for raw in _kinds(plan.edits)}
            nothing = clean.new_zeros(len(Effects._fields), len(batch.numbers), dtype=torch.float64)
            found = dict.fromkeys(plan.changes(), nothing)
            for place, controls in plan.places.items():
                tokens = _tokens(batch, place, number_of)
                if tokens is None:
                    continue
                before = batch.states[tokens.sentence, tokens.position].float()
                for edit in plan.edits:
                    basis = bases[edit == "projection"][tokens.word]
                    after = self._edited(edit, before, basis, tokens, plan)
                    distances = torch.linalg.vector_norm(after - before, dim=1)
                    taken = self._taken(edit, before, basis)
                    found[Change(edit, place, None)] = self._outcomes(batch, clean, tokens, [after], taken)
                    for control in controls:
                        moved = self._moved(control, edit, place, before, basis, distances, tokens, plan)
                        found[Change(edit, place, control)] = self._outcomes(batch, clean, tokens, moved)
            record.add(batch.numbers, torch.stack([found[change] for change in record.changes]))
            progress(Progress("faithfulness", len(subjects) - len(record.left), len(subjects), "sentences"))

    def _batches(self, subjects: Sequence[Subject], left: list[int]) -> Iterator[_Batch]:
        """The subjects that are left, those of like length together."""
        for places in batches_by_length(
            [len(subjects[number].sentence.input_ids) for number in left], self.batch_tokens
        ):
            numbers = [left[place] for place in places]
            chosen = [subjects[number] for number in numbers]
            inputs = self.upper.inputs([subject.sentence for subject in chosen])
            yield _Batch(numbers, chosen, inputs, self.upper.states(inputs))

    def _log_probabilities(self, states: Tensor, inputs: Inputs) -> Tensor:
        return self.upper.logits(states, inputs).log_softmax(dim=1)

    def _rows(self, batch: _Batch) -> tuple[Tensor, dict[tuple[int, int], int]]:
        """Rows `[W, D]` of the words and the sentence rows, as they are stored; and which (place in the batch, word)
        is which."""
        rows = BatchRows.of([subject.sentence for subject in batch.subjects], self.pooling, batch.states.device)
        words = [(index, word) for index, layout in enumerate(rows.layouts) for word in layout.words]
        row_of = {word: row for row, word in enumerate(words)}
        for row, ((index, _), flag) in enumerate(zip(words, rows.flags, strict=True)):
            if flag & SENTENCE:  # a decoder's may be the row of its last word too
                row_of[index, SENTENCE_ROW] = row
        return as_stored(rows.gather(batch.states), self.dtype), row_of

    def _edited(self, edit: str, states: Tensor, basis: Tensor, tokens: _Tokens, plan: Plan) -> Tensor:
        mean = self.space.mean
        if edit == "projection":
            return edits.raw_projection(states, basis)
        if edit == "mean":
            return edits.replacement_by_mean(states, mean)
        if edit == "move":
            targets = torch.tensor([plan.targets[owner.prediction] for owner in tokens.owners], device=mean.device)
            deviations = self.space.deviations(targets)[tokens.owner]
            return edits.move(states, basis, mean, deviations, plan.strength)
        return edits.centred_removal(states, basis, mean)

    def _moved(
        self,
        control: str,
        edit: str,
        place: Place,
        states: Tensor,
        basis: Tensor,
        distances: Tensor,
        tokens: _Tokens,
        plan: Plan,
    ) -> Iterator[Tensor]:
        """The states after each draw of a control."""
        mean, raw = self.space.mean, edit == "projection"
        if control in UNDRAWN:
            yield edits.towards_mean(states, mean, distances)
            return
        origin = torch.zeros_like(mean) if raw else mean
        used = basis.any(dim=1)[:, None, :]  # [N, 1, r] as many columns as the word's own concept has
        for draw in range(plan.draws):
            columns = control_basis(
                control, self.space, tokens.owners, plan.pools[place], rank=basis.shape[2], raw=raw,
                key=(plan.seed, draw),
            )[tokens.owner]  # fmt: skip
            columns = columns if control in INJECTIONS else columns * used
            yield edits.matched_step(states, columns, origin, distances)

    def _taken(self, edit: str, states: Tensor, basis: Tensor) -> Tensor:
        """[2, N] of each token: how many directions the edit takes out, and the share of its squared length along
        them; zeros of a replacement, which takes out all."""
        if edit == "mean":
            return states.new_zeros(2, len(states))
        about = states if edit == "projection" else states - self.space.mean
        inside = edits.projected(about, basis).square().sum(dim=1)
        whole = about.square().sum(dim=1).clamp_min(torch.finfo(about.dtype).tiny)
        return torch.stack([basis.any(dim=1).sum(dim=1).to(inside), inside / whole])

    def _outcomes(
        self, batch: _Batch, clean: Tensor, tokens: _Tokens, draws: Iterable[Tensor], taken: Tensor | None = None
    ) -> Tensor:
        """[F, B] what the model run on with each of the new states `[N, D]` does, as means over the draws; `taken`
        `[2, N]` is what the edit takes out of each token."""
        outcome = torch.stack([self._outcome(batch, clean, tokens, after) for after in draws]).mean(dim=0)
        of_edit = outcome.new_zeros(2, len(batch.numbers))
        if taken is not None:
            of_edit.index_add_(1, tokens.sentence, taken.double())
        return torch.cat([outcome, of_edit])

    def _outcome(self, batch: _Batch, clean: Tensor, tokens: _Tokens, after: Tensor) -> Tensor:
        """[F - 2, B] the figures of `Effects`, but for what an edit takes out."""
        before = batch.states[tokens.sentence, tokens.position]
        after = after.to(before.dtype)
        states = batch.states.clone()
        states[tokens.sentence, tokens.position] = after
        changed = self._log_probabilities(states, batch.inputs)
        predicted, now = clean.argmax(dim=1), changed.argmax(dim=1)
        chances = clean.exp()
        # Where a chance is 0 its logarithm has no weight.
        kl = torch.where(chances > 0, chances * (clean - changed), 0).sum(dim=1)
        fall = (chances - changed.exp()).gather(1, predicted[:, None]).squeeze(1)
        labels = torch.tensor(
            [-1 if subject.label is None else subject.label for subject in batch.subjects], device=now.device
        )
        correct = torch.where(labels >= 0, (now == labels).float(), torch.nan)
        lengths = torch.linalg.vector_norm((after - before).float(), dim=1)
        per_sentence = lengths.new_zeros(2, len(batch.numbers))
        per_sentence[0].index_add_(0, tokens.sentence, lengths)
        per_sentence[1].index_add_(0, tokens.sentence, torch.ones_like(lengths))
        return torch.stack([(now != predicted).float(), kl, fall, correct, *per_sentence]).double()


def _kinds(chosen: Sequence[str]) -> set[bool]:
    """Whether the edits need the concepts raw, about the mean, or both."""
    return {edit == "projection" for edit in chosen}


def _tokens(batch: _Batch, place: Place, number_of: dict[tuple[int, int], int]) -> _Tokens | None:
    """What is changed at a place; None where that is nothing."""
    entries: list[tuple[int, int, int, int]] = []
    owners: dict[Owner, int] = {}
    for at, subject in enumerate(batch.subjects):
        for word in place.words(subject):
            owner = Owner(subject.number, subject.code(word), subject.prediction)
            number = owners.setdefault(owner, len(owners))
            entries += [(at, token, number_of[at, word], number) for token in subject.tokens(word)]
    if not entries:
        return None
    columns = torch.tensor(entries, device=batch.states.device).T
    return _Tokens(columns[0], columns[1], columns[2], columns[3], list(owners))
