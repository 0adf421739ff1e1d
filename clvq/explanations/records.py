"""Explanations as values: a class for each kind of JSON object in explanations.json and explanations.jsonl."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from clvq.artifacts.records import ModelName, Record
from clvq.concepts.excerpts import Excerpt
from clvq.config import LABEL, SCORES, ExplainConfig

Span = tuple[int, int]
"""Characters `[start, end)` of a text."""

TOP_WORDS = 6
"""Number of words that stand for a concept in an explanation."""


@dataclass(frozen=True)
class ExplainedWord(Record):
    """A word of an explained sentence."""

    start: int
    end: int
    """Characters `start` to `end` of the sentence are the word."""
    text: str
    attribution: float
    """What the word adds to the logit of the prediction, or to the score; negative where the word speaks against it."""
    code: int | None
    """Code of the word's concept; None for an attention sink."""
    salient: bool
    """Whether the word is among those that speak most for the prediction."""


@dataclass(frozen=True)
class Explanation(Record):
    """Why a language model predicts what it does for one sentence."""

    id: int
    """Index of the sentence among the given texts, or in the evaluation split."""
    text: str
    label: int | None
    prediction: int
    """The predicted class, or the next token."""
    target: str
    """Name of the prediction."""
    probability: float | None
    """Probability of the prediction; None where the answer is a number, the `score`."""
    difference: float
    """Logit, or score, minus that at the baseline. The attributions of all tokens should add up to this difference."""
    completeness_error: float
    """Distance of the sum of the attributions from `difference`, as a share of `difference`."""
    steps: int
    """Number of steps of the integral."""
    special_share: float
    """Share of the attribution that falls on tokens outside words: special tokens, and those of a prompt."""
    words: list[ExplainedWord]
    rationale: list[Span] | None = None
    """The parts of the text that people marked; None without a rationale column."""
    score: float | None = None
    """The answer, where it is a number rather than one of several choices."""
    part: int | None = None
    """The label, or the word, for which the model is asked; None for a target without parts."""
    part_name: str | None = None
    """Name of the part."""
    left_out: int = 0
    """Number of words beyond the model's maximum length."""

    omitted = ("rationale", "score", "part", "part_name", "left_out")

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Explanation:
        """Return the explanation in a line of explanations.jsonl; words in such a line have offsets, but no text."""
        text, rationale = line["text"], line.get("rationale")
        words = [ExplainedWord(**{**word, "text": text[word["start"] : word["end"]]}) for word in line["words"]]
        spans = None if rationale is None else [(start, end) for start, end in rationale]
        return cls(**{**line, "words": words, "rationale": spans})

    def as_line(self) -> dict[str, Any]:
        """Return the line for explanations.jsonl. Words have no text there, since their offsets determine it."""
        record = self.as_json()
        for word in record["words"]:
            del word["text"]
        return record

    def excerpt(self) -> Explanation:
        """Return the explanation to be shown: without the parts of the text that are too long for that."""
        shown = Excerpt(self.text, [(word.start, word.end) for word in self.words])
        words = []
        for word in self.words:
            start, end = shown.at(word.start), shown.at(word.end)
            words.append(replace(word, start=start, end=end, text=shown.text[start:end]))
        spans = self.rationale and [(shown.at(start), shown.at(end)) for start, end in self.rationale]
        return replace(self, text=shown.text, words=words, rationale=spans)

    @property
    def salient(self) -> list[ExplainedWord]:
        """The salient words, which speak most for the prediction."""
        return [word for word in self.words if word.salient]

    @property
    def key(self) -> tuple[int, int]:
        """The sentence and the part, which together identify an explanation."""
        return self.id, self.part or 0

    @property
    def cut(self) -> str:
        """What is not explained, as text; empty where all words are."""
        return f"{self.left_out:,} words beyond the model's length are left out" if self.left_out else ""

    @property
    def certainty(self) -> str:
        """The probability of the prediction, or the score, as text."""
        return f"score {self.score:.3f}" if self.probability is None else f"{self.probability:.1%}"

    def __repr__(self) -> str:
        text = self.text if len(self.text) <= 60 else f"{self.text[:59]}…"
        reasons = ", ".join(f"{word.text!r} {word.attribution:+.2f}" for word in self.salient)
        return f"<Explanation of {text!r}: {self.target} {self.certainty}, from {reasons}>"

    def _repr_html_(self) -> str:
        from clvq.explanations.notebook import explanation_html

        return explanation_html(self)


@dataclass(frozen=True)
class Agreement(Record):
    """How well attributions find the words that people marked, compared with the rarity of words and random scores."""

    column: str
    """Column of the corpus that marks the words."""
    sentences: int
    """Number of distinct texts with marked and unmarked words; the figures are means over these."""
    left_out: int
    """Number of texts without a marked word, or without an unmarked one."""
    auprc: dict[str, float]
    """Average precision of `attribution`, `random` and `frequency`."""
    token_f1: dict[str, float]


@dataclass(frozen=True)
class ExplanationFigures(Record):
    """Figures over all explained sentences; None for a figure that is not defined."""

    sentences: int
    left_out: dict[str, int]
    """Number of sentences that are not explained, by reason."""
    truncated: int
    """Number of sentences that are explained only up to the model's maximum length."""
    median_completeness_error: float | None
    share_over_bound: float | None
    """Share of the sentences whose completeness error is above the bound of the settings."""
    median_steps: float | None
    median_special_share: float | None
    accuracy: float | None
    """Accuracy of the model's predictions, where sentences have labels."""
    r2: float | None = None
    """R² of the model's scores, where sentences have numbers as labels (`clvq.activations.summary`). None also in files
    of an earlier clvq."""


@dataclass(frozen=True, kw_only=True)
class ExplanationsSummary(Record):
    """The content of explanations.json: what was explained, how, and figures over all sentences."""

    checkpoint: str
    """Fingerprint of the weights."""
    rows: str
    codebook: str
    """Checksum of the concepts."""
    model: ModelName
    settings: ExplainConfig
    """Settings that do not decide the result have their defaults."""
    target: str
    """What is explained: "class", "next token" or another `Target.kind`."""
    label_names: list[str] | None
    figures: ExplanationFigures
    rationales: Agreement | None
    versions: dict[str, str]
    created: str
    explanations_checksum: str = ""
    """Checksum of explanations.jsonl; empty for given texts, which are not stored."""

    omitted = ("explanations_checksum",)

    @property
    def has_classes(self) -> bool:
        """Whether predictions are indices of `label_names`."""
        return bool(self.label_names) and self.target != LABEL

    def label_name(self, sentence: Explanation) -> str | None:
        """Return the name of a sentence's label, for the part that is asked; None without a label."""
        label, names = sentence.label, self.label_names
        if label is None or names is None:
            return None
        if self.target == LABEL:
            return f"{'' if label else 'not '}{sentence.part_name}"
        return names[label] if 0 <= label < len(names) else str(label)

    @property
    def has_choices(self) -> bool:
        """Whether the answer is one of several choices, rather than a number."""
        return self.target not in SCORES

    @property
    def asked(self) -> str:
        """What the model does, as the end of a sentence."""
        if self.target == LABEL:
            return "gives its labels"
        return f"predicts its {self.target}" if self.has_choices else f"gives its {self.target}"

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Return the body of explanations.json as a value. KeyError where there are no figures."""
        return super().from_json({**body, "figures": body["summary"]})

    def as_json(self) -> dict[str, Any]:
        """Return the body of explanations.json."""
        return {"summary" if name == "figures" else name: value for name, value in super().as_json().items()}
