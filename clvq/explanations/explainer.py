"""Explain predictions one by one: which words speak for a prediction, and the concept of each word."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from clvq.activations.description import Description
from clvq.activations.new_text import new_rows, tokenize
from clvq.config import ExplainConfig
from clvq.device import Processes, Runtime
from clvq.explanations.attribution import Attribution, IntegratedAttribution
from clvq.explanations.records import ExplainedWord, Explanation
from clvq.language_model.tokenization import TokenizedSentence
from clvq.language_model.upper_layers import UpperLayers
from clvq.progress import Report, silent
from clvq.training.checkpoint import Checkpoint
from clvq.training.source import language_model_of


class Labels(NamedTuple):
    """The correct answer for a text: its class, or answers of another form."""

    label: int | None = None
    answers: list[float] | None = None


class _Text(NamedTuple):
    """A text to explain."""

    number: int
    text: str
    label: int | None
    part: int


class Explainer:
    """The language model and the codes of a checkpoint, loaded to explain predictions."""

    def __init__(
        self, checkpoint: Checkpoint, store: Description, config: ExplainConfig, progress: Report = silent
    ) -> None:
        self.checkpoint, self.store, self.config = checkpoint, store, config
        runtime = Runtime.of_settings(config)
        self.model = language_model_of(checkpoint, store, runtime, progress)
        self._batch_tokens = runtime.batch_tokens
        upper = UpperLayers(self.model, checkpoint.input_layer)
        self.target = upper.target
        self._attribution = IntegratedAttribution(
            upper,
            baseline=config.baseline,
            steps=config.steps,
            max_steps=config.max_steps,
            completeness=config.completeness,
            batch_tokens=runtime.batch_tokens,
        )
        self._vae = checkpoint.load().to(self.model.device)

    def tokenize(self, texts: Sequence[str]) -> list[TokenizedSentence]:
        return tokenize(self.model, self.store, texts)

    def explained(
        self,
        texts: Sequence[str],
        tokenized: Sequence[TokenizedSentence],
        labels: Sequence[Labels],
        done: Collection[tuple[int, int]] = (),
    ) -> Iterator[list[Explanation]]:
        """Yield the explanations of the texts that have words, batch by batch; an explanation's id is the text's index.

        For a target with parts, there is one explanation for each part. The batches are formed from all texts; a batch
        is left out if all its keys (see `Explanation.key`) are in `done`. Several processes take the batches in turn.
        """
        asked = self.asked(texts, tokenized, labels)
        done_before = {position for position, key in enumerate(asked) if key in done}
        sentences = [tokenized[number] for number, _ in asked]
        parts = [part for _, part in asked]

        def explain(batch: list[int]) -> list[Explanation]:
            keys = [asked[position] for position in batch]
            codes = self._codes([tokenized[number] for number, _ in keys])
            given = [
                _Text(number, texts[number], self._label(labels[number], texts[number], tokenized[number], part), part)
                for number, part in keys
            ]
            return [
                self._explanation(text, tokenized[text.number], attribution, word_codes)
                for text, attribution, word_codes in zip(
                    given, self._attribution.of_batch(sentences, batch, parts), codes, strict=True
                )
            ]

        batches = self._attribution.batches(sentences, done_before)
        yield from Processes.current().by_turns(batches, explain)

    def asked(
        self, texts: Sequence[str], tokenized: Sequence[TokenizedSentence], labels: Sequence[Labels]
    ) -> list[tuple[int, int]]:
        """Return the keys (text, part) of all explanations: the parts that the target asks for, of texts with words."""
        return [
            (number, part)
            for number, (text, sentence, label) in enumerate(zip(texts, tokenized, labels, strict=True))
            if sentence.words
            for part in self.target.asked(sentence, self.target.aligned(text, sentence, label.answers))
        ]

    def _label(self, labels: Labels, text: str, sentence: TokenizedSentence, part: int) -> int | None:
        """Return the label of a part; None where the part has no label."""
        if not self.target.has_parts:
            return labels.label
        right = self.target.truth(None, self.target.aligned(text, sentence, labels.answers), part)
        return None if right < 0 else int(right)

    def with_own_codes(
        self, explanations: Sequence[Explanation], tokenized: Sequence[TokenizedSentence]
    ) -> Iterator[Explanation]:
        """Yield the explanations of another checkpoint with the same input layer, with this checkpoint's codes."""
        sentences = [tokenized[one.id] for one in explanations]
        for positions in self.model.batches(sentences, self._batch_tokens):
            batch = [explanations[position] for position in positions]
            for one, codes in zip(batch, self._codes([sentences[position] for position in positions]), strict=True):
                yield replace(one, words=[replace(w, code=code) for w, code in zip(one.words, codes, strict=True)])

    def _explanation(
        self, given: _Text, sentence: TokenizedSentence, attribution: Attribution, codes: list[int | None]
    ) -> Explanation:
        values = [sum(attribution.tokens[token] for token in tokens) for tokens in sentence.word_tokens]
        word_tokens = {token for tokens in sentence.word_tokens for token in tokens}
        special = sum(abs(value) for token, value in enumerate(attribution.tokens) if token not in word_tokens)
        total = special + sum(map(abs, values))
        salient = salient_words(values, self.config.mass)
        return Explanation(
            id=given.number,
            text=given.text,
            label=given.label,
            prediction=attribution.target,
            target=self.target.name(attribution.target, given.part),
            probability=attribution.confidence if self.target.is_choice else None,
            difference=attribution.difference,
            completeness_error=attribution.completeness_error,
            steps=attribution.steps,
            special_share=special / total if total else 0.0,
            words=[
                ExplainedWord(start, end, given.text[start:end], value, code, index in salient)
                for index, ((start, end), value, code) in enumerate(zip(sentence.words, values, codes, strict=True))
            ],
            score=None if self.target.is_choice else attribution.confidence,
            part=given.part if self.target.has_parts else None,
            part_name=self.target.part_name(given.part, given.text, sentence),
            left_out=sentence.truncated_words,
        )

    def _codes(self, sentences: list[TokenizedSentence]) -> list[list[int | None]]:
        """Return for each sentence the codes of its words, from rows that are made as in the store; None for an
        attention sink."""
        layers = (self.checkpoint.input_layer, self.checkpoint.output_layer)
        rows = new_rows(self.model, self.store, sentences, layers)
        return rows.of_words(self._vae.assign(rows.states[layers[0]][None])[0].tolist())


def salient_words(values: Sequence[float], mass: float | None) -> set[int]:
    """Return the indices of the salient words: the word with the largest attribution, or, with `mass`, the fewest words
    that together have this share of all positive attribution. Where no attribution is positive, return the word with
    the largest absolute attribution."""
    if not values:
        return set()
    order = sorted(range(len(values)), key=lambda at: -values[at])
    if values[order[0]] <= 0:
        return {max(order, key=lambda at: abs(values[at]))}
    if mass is None:
        return {order[0]}
    mass_needed = mass * sum(value for value in values if value > 0)
    salient: set[int] = set()
    held = 0.0
    for at in order:
        if salient and (held >= mass_needed or values[at] <= 0):
            break
        salient.add(at)
        held += values[at]
    return salient
