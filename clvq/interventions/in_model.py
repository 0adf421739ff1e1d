"""Edits of words inside the language model: the layers below run once, those above for every edit and control.

All sub-words of an edited word are edited: each sub-word's own state, with the concept of the word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from clvq.activations.store import ActivationStore
from clvq.concepts.directions import ConceptSpace
from clvq.config import FaithfulnessConfig
from clvq.device import Processes, Runtime
from clvq.interventions.controls import CLASS_DIRECTION, UNDRAWN, Draws, Owner, Pools, controlled
from clvq.interventions.edits import EDITS, Edit, Step
from clvq.interventions.effects import Change, Effects, Record
from clvq.interventions.places import SENTENCE_ROW, Place, Subject
from clvq.language_model.answers import Target
from clvq.language_model.batch_rows import BatchRows, as_stored
from clvq.language_model.inputs import Inputs
from clvq.language_model.rows import SENTENCE
from clvq.language_model.upper_layers import UpperLayers
from clvq.progress import Progress, Report, silent


@dataclass(frozen=True)
class Plan:
    """What is done to the sentences."""

    edits: tuple[str, ...]
    places: dict[Place, tuple[str, ...]]
    """The places, each with its controls."""
    pools: dict[Place, Pools]
    targets: dict[int, int]
    """For each predicted class (see `Owner.prediction`), the concept that `move` puts in."""
    strength: float
    draws: int
    seed: int
    rank: int = 1

    def changes(self) -> list[Change]:
        return [
            Change(edit, place, control)
            for edit in self.edits
            for place in self.places
            if place.rank is None or EDITS[edit].has_rank
            for control in (None, *self.controls(edit, place))
        ]

    def edits_at(self, place: Place, space: ConceptSpace) -> list[Edit]:
        """Return the edits at a place, with the rank of the place if it is on the curve over ranks."""
        rank = self.rank if place.rank is None else place.rank
        return [
            EDITS[name](space, self.targets, self.strength, rank)
            for name in self.edits
            if place.rank is None or EDITS[name].has_rank
        ]

    def controls(self, edit: str, place: Place) -> list[str]:
        """Return the controls of an edit at a place; `classless` has no control along the class direction."""
        return [name for name in self.places[place] if (edit, name) != ("classless", CLASS_DIRECTION)]


class _Tokens(NamedTuple):
    """The tokens `[N]` that are changed at a place in a batch, and their words."""

    sentence: Tensor
    position: Tensor
    word: Tensor
    """Index into the rows of the batch."""
    owner: Tensor
    """Index into `owners`."""
    owners: list[Owner]

    @property
    def predictions(self) -> Tensor:
        """[N] what is predicted for the sentence of each token, as `Owner.prediction`."""
        return torch.tensor([owner.prediction for owner in self.owners], device=self.owner.device)[self.owner]


class _Batch(NamedTuple):
    """Some sentences on their way through the model."""

    numbers: list[int]
    """Indices of the subjects."""
    subjects: list[Subject]
    inputs: Inputs
    states: Tensor
    """[B, T, D] at the layer."""


class Interventions:
    """A language model above a layer, with the concepts of its words there."""

    def __init__(self, upper: UpperLayers, space: ConceptSpace, *, pooling: str, dtype: str, batch_tokens: int) -> None:
        """Take the `pooling` and `dtype` of the stored rows; a batch has at most `batch_tokens` tokens."""
        self.upper, self.space = upper, space
        self.pooling, self.dtype, self.batch_tokens = pooling, dtype, batch_tokens

    @torch.no_grad()
    def effects(
        self,
        subjects: Sequence[Subject],
        plan: Plan,
        record: Record,
        progress: Report = silent,
        unit: str = "sentences",
    ) -> None:
        """Measure what each edit and each control does to each sentence that `record` lacks, and add it there.

        `record` was made for the plan's changes. `unit` is what the progress calls a subject.
        """
        edits_at = {place: plan.edits_at(place, self.space) for place in plan.places}
        batches = self._batches(subjects, record.left)

        def measure(numbers: list[int]) -> Tensor:
            return self._effects(self._batch(subjects, numbers), plan, edits_at, record.changes).float().cpu()

        for numbers, figures in zip(batches, Processes.current().by_turns(batches, measure), strict=True):
            record.add(numbers, figures)
            progress(Progress("faithfulness", len(subjects) - len(record.left), len(subjects), unit))

    def _effects(
        self, batch: _Batch, plan: Plan, edits_at: Mapping[Place, Sequence[Edit]], changes: Sequence[Change]
    ) -> Tensor:
        """Return the figures `[C, F, B]` of each change of the sentences of a batch."""
        bases_of = {(edit.raw, edit.rank): edit for edits in edits_at.values() for edit in edits}
        clean = self._answers(batch.states, batch.inputs)
        rows, number_of = self._rows(batch)
        bases = {key: edit.basis(rows) for key, edit in bases_of.items()}
        nothing = clean.new_zeros(len(Effects._fields), len(batch.numbers), dtype=torch.float64)
        outcomes = dict.fromkeys(changes, nothing)
        for place in plan.places:
            tokens = _tokens(batch, place, number_of, self.upper.target)
            if tokens is None:
                continue
            before = batch.states[tokens.sentence, tokens.position].float()
            draws = Draws(self.space, tokens.owners)
            of_place = (draws, tokens.owner, tokens.sentence, plan.pools[place])
            for edit in edits_at[place]:
                predictions = tokens.predictions
                basis = edit.allowed(bases[edit.raw, edit.rank][tokens.word], predictions)
                step = Step(edit, before, basis, edit.apply(before, basis, predictions), predictions)
                taken = edit.taken(before, basis)
                outcomes[Change(edit.name, place, None)] = self._outcomes(batch, clean, tokens, [step.after], taken)
                for control in plan.controls(edit.name, place):
                    moved = (
                        controlled(control, step, *of_place, (plan.seed, draw))
                        for draw in range(1 if control in UNDRAWN else plan.draws)
                    )
                    outcomes[Change(edit.name, place, control)] = self._outcomes(batch, clean, tokens, moved)
        return torch.stack([outcomes[change] for change in changes])

    @torch.no_grad()
    def answers(self, subjects: Sequence[Subject], place: Place, rank: int = 1) -> tuple[Tensor, Tensor]:
        """Return the model's answers `[S, C]` without an edit, and with the concepts at a place removed; both as the
        target compares answers."""
        edit = EDITS["removal"](self.space, rank=rank)
        found: list[tuple[Tensor, Tensor] | None] = [None] * len(subjects)

        def measure(numbers: list[int]) -> tuple[Tensor, Tensor]:
            batch = self._batch(subjects, numbers)
            clean = self._answers(batch.states, batch.inputs)
            rows, number_of = self._rows(batch)
            tokens, states = _tokens(batch, place, number_of, self.upper.target), batch.states.clone()
            if tokens is not None:
                before = states[tokens.sentence, tokens.position].float()
                after = edit.apply(before, edit.basis(rows)[tokens.word], tokens.predictions)
                states[tokens.sentence, tokens.position] = after.to(states.dtype)
            return clean.cpu(), self._answers(states, batch.inputs).cpu()

        batches = self._batches(subjects, list(range(len(subjects))))
        for numbers, answers in zip(batches, Processes.current().by_turns(batches, measure), strict=True):
            for number, *both in zip(numbers, *answers, strict=True):
                found[number] = (both[0], both[1])
        before_all, after_all = zip(*(pair for pair in found if pair is not None), strict=True)
        return torch.stack(before_all), torch.stack(after_all)

    def _batches(self, subjects: Sequence[Subject], left: list[int]) -> list[list[int]]:
        """Return the numbers of the subjects that are left, those of like length together."""
        sentences = [subjects[number].sentence for number in left]
        return [[left[place] for place in places] for places in self.upper.model.batches(sentences, self.batch_tokens)]

    def _batch(self, subjects: Sequence[Subject], numbers: list[int]) -> _Batch:
        chosen = [subjects[number] for number in numbers]
        inputs = self.upper.inputs([one.sentence for one in chosen], [one.part for one in chosen])
        return _Batch(numbers, chosen, inputs, self.upper.states(inputs))

    def _answers(self, states: Tensor, inputs: Inputs) -> Tensor:
        """Return the answers `[B, C]` as the target compares them."""
        return self.upper.target.compared(self.upper.scores(states, inputs))

    def _rows(self, batch: _Batch) -> tuple[Tensor, dict[tuple[int, int], int]]:
        """Return the rows `[W, D]` of the words and the sentence rows, as they are stored; and the index of the row of
        each (place in the batch, word)."""
        rows = BatchRows.of([subject.sentence for subject in batch.subjects], self.pooling, batch.states.device)
        words = [(index, word) for index, layout in enumerate(rows.layouts) for word in layout.words]
        row_of = {word: row for row, word in enumerate(words)}
        for row, ((index, _), flag) in enumerate(zip(words, rows.flags, strict=True)):
            if flag & SENTENCE:  # in a decoder, it may also be the row of the last word
                row_of[index, SENTENCE_ROW] = row
        return as_stored(rows.gather(batch.states), self.dtype), row_of

    def _outcomes(
        self, batch: _Batch, clean: Tensor, tokens: _Tokens, draws: Iterable[Tensor], taken: Tensor | None = None
    ) -> Tensor:
        """Return the figures `[F, B]` of `Effects` where each of the new states `[N, D]` is put in, as means over the
        draws; `taken` `[2, N]` is what the edit takes out of each token."""
        outcome = torch.stack([self._outcome(batch, clean, tokens, after) for after in draws]).mean(dim=0)
        of_edit = outcome.new_zeros(2, len(batch.numbers))
        if taken is not None:
            of_edit.index_add_(1, tokens.sentence, taken.double())
        return torch.cat([outcome, of_edit])

    def _outcome(self, batch: _Batch, clean: Tensor, tokens: _Tokens, after: Tensor) -> Tensor:
        """Return the figures `[F - 2, B]` of `Effects`, without those of what an edit takes out."""
        before = batch.states[tokens.sentence, tokens.position]
        after = after.to(before.dtype)
        states = batch.states.clone()
        states[tokens.sentence, tokens.position] = after
        changed = self._answers(states, batch.inputs)
        labels = torch.tensor(
            [-1 if subject.label is None else subject.label for subject in batch.subjects], device=clean.device
        )
        lengths = torch.linalg.vector_norm((after - before).float(), dim=1)
        per_sentence = lengths.new_zeros(2, len(batch.numbers))
        per_sentence[0].index_add_(0, tokens.sentence, lengths)
        per_sentence[1].index_add_(0, tokens.sentence, torch.ones_like(lengths))
        target = self.upper.target
        figures = (
            target.flipped(clean, changed), target.divergence(clean, changed), target.fall(clean, changed),
            target.correct(changed, labels),
        )  # fmt: skip
        return torch.stack([figure.double() for figure in (*figures, *per_sentence)])


def interventions_of(
    store: ActivationStore, upper: UpperLayers, space: ConceptSpace, config: FaithfulnessConfig
) -> Interventions:
    """Return the language model above a layer, with the concepts of words whose rows are in a store."""
    return Interventions(
        upper, space, pooling=store.settings.pooling, dtype=store.settings.dtype,
        batch_tokens=Runtime.of_settings(config).batch_tokens,
    )  # fmt: skip


def _tokens(batch: _Batch, place: Place, number_of: dict[tuple[int, int], int], target: Target) -> _Tokens | None:
    """Return the tokens that are changed at a place; None where there are none."""
    entries: list[tuple[int, int, int, int]] = []
    owners: dict[Owner, int] = {}
    for at, subject in enumerate(batch.subjects):
        for word in place.words(subject):
            answer = target.numbered(subject.prediction, subject.part)
            owner = Owner(subject.number, subject.code(word), answer)
            number = owners.setdefault(owner, len(owners))
            entries += [(at, token, number_of[at, word], number) for token in subject.tokens(word)]
    if not entries:
        return None
    columns = torch.tensor(entries, device=batch.states.device).T
    return _Tokens(columns[0], columns[1], columns[2], columns[3], list(owners))
