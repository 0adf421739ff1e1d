"""How a change of one concept changes the model's probabilities, and how the codes of a method estimate this.

For a text, its counterfactual, and the model's probabilities `p` and `p'` `[C]` of the two

    effect      p' - p, the individual causal effect of the concept on the text (arXiv 2205.14140, section 3)
    estimate    p~ - p, where in p~ the words that the counterfactual replaces are edited at the input layer:
                the concept of each is taken out (removal), and a code that stands for the new value is put in

Which codes stand for a value is learned from the words of other pairs: the pairs are split into two halves by their
originals, and each half is estimated with the codes that the other half shows. The estimate uses which words of the
text are replaced, but never the words that replace them. A word stays as it is where its code is not clearly more
frequent with the old value than with the new one (OFTEN); a word whose code was seen with neither is edited. All
words stay where no code stands for the new value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from clvq.activations.new_text import tokenize
from clvq.activations.store import ActivationStore
from clvq.concepts.directions import ConceptSpace
from clvq.config.prompts import TEXT
from clvq.errors import ClvqError
from clvq.interventions.counterfactuals import Pair
from clvq.interventions.edits import Move
from clvq.language_model.batch_rows import BatchRows
from clvq.language_model.inputs import Inputs
from clvq.language_model.rows import WORD
from clvq.language_model.tokenization import TokenizedSentence
from clvq.language_model.upper_layers import UpperLayers
from clvq.progress import Progress, Report, silent

LEAST_SPANS = 2
"""Fewest texts of a value that must hold a code for the code to stand for the value."""
OFTEN = 2.0
"""How many times as frequent a code must be in the texts of a value as in other texts to stand for the value."""


class _Replaced(NamedTuple):
    """A text, and its words that the other text of the pair does not have."""

    sentence: TokenizedSentence
    words: list[int]


class _Side(NamedTuple):
    """One text of a pair."""

    sentence: TokenizedSentence
    words: list[int]
    """Words that the other text does not have; attention sinks are left out."""
    rows: Tensor
    """[N, D] of these words at the input layer."""


@dataclass(frozen=True)
class Clean:
    """Pairs as the model reads them, with nothing edited."""

    pairs: list[Pair]
    sides: list[tuple[_Side, _Side]]
    before: np.ndarray
    """[P, C] probabilities of the texts."""
    after: np.ndarray
    """[P, C] of the counterfactuals."""
    halves: np.ndarray
    """[P] which half each pair is in, 0 or 1; pairs of one original are in the same half."""

    @property
    def effects(self) -> np.ndarray:
        """[P, C] the true effect of the change on the probabilities."""
        return self.after - self.before

    @property
    def originals(self) -> np.ndarray:
        """[P] which original each pair is of."""
        numbers: dict[str, int] = {}
        return np.array([numbers.setdefault(pair.original, len(numbers)) for pair in self.pairs])

    def mean_effects(self) -> np.ndarray:
        """Return for each pair the mean effect `[P, C]` of the same change in the other half; 0 where that has none."""
        estimates = np.zeros_like(self.before)
        for half in (0, 1):
            seen: dict[tuple[str, str, str], list[np.ndarray]] = {}
            for number in np.flatnonzero(self.halves != half):
                seen.setdefault(self.pairs[number].change, []).append(self.effects[number])
            for number in np.flatnonzero(self.halves == half):
                if (effects := seen.get(self.pairs[number].change)) is not None:
                    estimates[number] = np.mean(effects, axis=0)
        return estimates


class Estimates(NamedTuple):
    """The effects that the codes of one checkpoint estimate."""

    effects: np.ndarray
    """[P, C] estimated changes of the probabilities."""
    edited: np.ndarray
    """[P] how many words were edited."""


class PairReader:
    """A language model above a layer that reads pairs, and edits their words with the codes of any checkpoint."""

    def __init__(self, upper: UpperLayers, store: ActivationStore, batch_tokens: int) -> None:
        self.upper, self.store, self.batch_tokens = upper, store, batch_tokens

    @torch.no_grad()
    def read(self, pairs: Sequence[Pair], progress: Report = silent) -> Clean:
        """Return the pairs that the model can read, with its probabilities. ClvqError where it can read none.

        Pairs with a text that has no words, or of which the model would read only a part, are left out.
        """
        joined = self.upper.model.input_format.joined
        texts = [joined({TEXT: text}) for pair in pairs for text in (pair.text, pair.counterfactual)]
        tokenized = tokenize(self.upper.model, self.store, texts)
        kept: list[tuple[Pair, tuple[_Replaced, _Replaced]]] = []
        for pair, old, new in zip(pairs, tokenized[::2], tokenized[1::2], strict=True):
            if old.words and new.words and not old.truncated_words and not new.truncated_words:
                kept.append((pair, _replaced(pair, old, new)))
        if not kept:
            raise ClvqError(f"The model can read none of the {len(pairs)} pairs: their texts are empty or too long.")
        probabilities, sides = self._sides([side for _, replaced in kept for side in replaced], progress)
        chances = probabilities.double().cpu().numpy()
        order: dict[str, int] = {}
        halves = np.array([order.setdefault(pair.original, len(order)) % 2 for pair, _ in kept])
        both = list(zip(sides[::2], sides[1::2], strict=True))
        return Clean([pair for pair, _ in kept], both, chances[::2], chances[1::2], halves)

    def _sides(self, texts: Sequence[_Replaced], progress: Report) -> tuple[Tensor, list[_Side]]:
        """Return the probabilities `[T, C]` of texts, and for each the rows of the words that are replaced."""
        sides: dict[int, _Side] = {}
        probabilities: dict[int, Tensor] = {}
        for numbers in self.upper.model.batches([text.sentence for text in texts], self.batch_tokens):
            sentences = [texts[number].sentence for number in numbers]
            inputs = self.upper.inputs(sentences)
            states = self.upper.states(inputs)
            probabilities.update(zip(numbers, self._probabilities(states, inputs), strict=True))
            rows, row_of = self._rows(sentences, states)
            for at, number in enumerate(numbers):
                words = [word for word in texts[number].words if (at, word) in row_of]
                own = torch.tensor([row_of[at, word] for word in words], dtype=torch.long, device=rows.device)
                sides[number] = _Side(texts[number].sentence, words, rows[own])
            progress(Progress("pairs", len(sides), len(texts), "texts"))
        order = range(len(texts))
        return torch.stack([probabilities[number] for number in order]), [sides[number] for number in order]

    @torch.no_grad()
    def estimates(self, clean: Clean, space: ConceptSpace, rank: int = 1, progress: Report = silent) -> Estimates:
        """Return the effects on the pairs that edits with a checkpoint's concepts estimate."""
        codes = _codes([side.rows for sides in clean.sides for side in sides], space)
        targets: dict[int, dict[int, int]] = {}
        for half in (0, 1):
            fit = [number for number in range(len(clean.pairs)) if clean.halves[number] != half]
            shown = _shown(clean.pairs, codes, fit)
            for number in np.flatnonzero(clean.halves == half).tolist():
                pair, side = clean.pairs[number], clean.sides[number][0]
                targets[number] = _targets(pair, side, codes[2 * number], shown, space)
        estimates = np.zeros_like(clean.before)
        numbers = [number for number in targets if targets[number]]
        sentences = [clean.sides[number][0].sentence for number in numbers]
        for batch in self.upper.model.batches(sentences, self.batch_tokens):
            chosen = [numbers[place] for place in batch]
            after = self._edited([sentences[place] for place in batch], [targets[n] for n in chosen], space, rank)
            estimates[chosen] = after.double().cpu().numpy() - clean.before[chosen]
            progress(Progress("estimates", max(chosen) + 1, len(clean.pairs), "pairs"))
        return Estimates(estimates, np.array([len(targets[number]) for number in range(len(clean.pairs))]))

    def _probabilities(self, states: Tensor, inputs: Inputs) -> Tensor:
        return self.upper.target.compared(self.upper.scores(states, inputs)).exp()

    def _rows(
        self, sentences: Sequence[TokenizedSentence], states: Tensor
    ) -> tuple[Tensor, dict[tuple[int, int], int]]:
        """Return rows `[R, D]` of states, and the row of each (sentence, word) that is no attention sink."""
        rows = BatchRows.of(sentences, self.store.settings.pooling, states.device)
        stored = self.store.as_stored({self.upper.layer: rows.gather(states)})
        sinks = self.store.sinks_among(rows.flags, stored)
        words = [(index, word) for index, layout in enumerate(rows.layouts) for word in layout.words]
        able = (rows.flags & WORD != 0) & ~sinks
        return stored[self.upper.layer], {word: row for row, word in enumerate(words) if able[row]}

    def _edited(
        self,
        sentences: Sequence[TokenizedSentence],
        targets: Sequence[Mapping[int, int]],
        space: ConceptSpace,
        rank: int,
    ) -> Tensor:
        """Return the probabilities `[B, C]` with a code put in at each word that `targets` name."""
        inputs = self.upper.inputs(sentences)
        states = self.upper.states(inputs).clone()
        rows, row_of = self._rows(sentences, states)
        entries = [
            (at, token, row_of[at, word], code)
            for at, (sentence, chosen) in enumerate(zip(sentences, targets, strict=True))
            for word, code in chosen.items()
            for token in sentence.word_tokens[word]
            if token != sentence.first_token
        ]
        if entries:
            at, token, row, codes = torch.tensor(entries, device=states.device).T
            # `Move` looks its targets up by prediction. Each token gets a number here, to have a target of its own.
            edit = Move(space, dict(enumerate(codes.tolist())), rank=rank)
            before = states[at, token].float()
            after = edit.apply(before, edit.basis(rows[row]), torch.arange(len(entries)))
            states[at, token] = after.to(states.dtype)
        return self._probabilities(states, inputs)


class _Shown(NamedTuple):
    """How many texts have each value of a concept, and how many of these hold each code."""

    texts: dict[str, int]
    codes: dict[str, dict[int, int]]

    def share(self, value: str, code: int) -> float:
        """Return the share of a value's texts whose words hold the code."""
        return self.codes[value].get(code, 0) / self.texts[value] if value in self.texts else 0.0

    def standing(self, value: str) -> list[int]:
        """Return the codes that stand for a value, in ascending order."""
        others = [other for other in self.texts if other != value]
        rest = sum(self.texts[other] for other in others)
        found = []
        for code, count in sorted(self.codes.get(value, {}).items()):
            beside = sum(self.codes[other].get(code, 0) for other in others) / rest if rest else 0.0
            if count >= LEAST_SPANS and self.share(value, code) >= OFTEN * beside:
                found.append(code)
        return found


def _replaced(pair: Pair, old: TokenizedSentence, new: TokenizedSentence) -> tuple[_Replaced, _Replaced]:
    ours, theirs = (
        [text[start:end] for start, end in sentence.words]
        for text, sentence in ((pair.text, old), (pair.counterfactual, new))
    )
    both = _Replaced(old, []), _Replaced(new, [])
    for kind, *ends in SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        if kind != "equal":
            both[0].words.extend(range(ends[0], ends[1]))
            both[1].words.extend(range(ends[2], ends[3]))
    return both


def _codes(rows: Sequence[Tensor], space: ConceptSpace) -> list[list[int]]:
    """Return the codes of each of several tensors of rows `[N, D]`."""
    joined = torch.cat(list(rows))
    codes = space.codes(joined) if len(joined) else torch.zeros(0, dtype=torch.long)
    return [part.tolist() for part in codes.split([len(part) for part in rows])]


def _shown(pairs: Sequence[Pair], codes: Sequence[list[int]], fit: Sequence[int]) -> dict[str, _Shown]:
    """Count for each concept the texts of the pairs `fit` by value, and the codes that they hold."""
    shown: dict[str, _Shown] = {}
    counted = set[tuple[str, str, str]]()
    for number in fit:
        pair = pairs[number]
        of_concept = shown.setdefault(pair.concept, _Shown({}, {}))
        for value, text, held in (
            (pair.before, pair.text, codes[2 * number]),
            (pair.after, pair.counterfactual, codes[2 * number + 1]),
        ):
            if (pair.concept, value, text) in counted:  # a text may be in several pairs
                continue
            counted.add((pair.concept, value, text))
            of_concept.texts[value] = of_concept.texts.get(value, 0) + 1
            counts = of_concept.codes.setdefault(value, {})
            for code in set(held):
                counts[code] = counts.get(code, 0) + 1
    return shown


def _targets(
    pair: Pair, side: _Side, codes: Sequence[int], shown: Mapping[str, _Shown], space: ConceptSpace
) -> dict[int, int]:
    """Return the code that is put in at each edited word of the text: of the codes that stand for the new value, the
    one whose direction is nearest to the word's deviation from the mean."""
    of_concept = shown.get(pair.concept, _Shown({}, {}))
    standing = torch.tensor(of_concept.standing(pair.after), dtype=torch.long, device=side.rows.device)
    if not len(standing) or not side.words:
        return {}
    likeness = functional.normalize(side.rows - space.mean, dim=1) @ space.directions(standing).T  # [N, codes]
    nearest = standing[likeness.argmax(dim=1)].tolist()
    return {
        word: target
        for word, code, target in zip(side.words, codes, nearest, strict=True)
        if of_concept.share(pair.before, code) >= OFTEN * of_concept.share(pair.after, code)
    }
