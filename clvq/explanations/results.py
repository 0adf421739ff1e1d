"""The result of `explain`: explained sentences, their figures, and the concepts of their words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from clvq.activations.summary import fit_of
from clvq.artifacts import stamp
from clvq.artifacts.records import ModelName
from clvq.concepts.codebook import Codebook
from clvq.concepts.records import Concept
from clvq.explanations.records import TOP_WORDS, ExplainedWord, Explanation, ExplanationFigures, ExplanationsSummary
from clvq.notebook import Shown, data_frame

if TYPE_CHECKING:
    from pandas import DataFrame

    from clvq.explanations.explainer import Explainer


@dataclass(frozen=True, repr=False)
class Explanations(Shown):
    """Explained sentences, and the concepts of their words; made by `explain`.

        explanations = clvq.explain("run/L4-L8", "a slow , lifeless film")
        print([explanations.meaning(word) for word in explanations.sentences[0].words])

    `to_pandas` gives one row per word.
    """

    codebook: Codebook
    """The codebook whose concepts the words' codes stand for."""
    summary: ExplanationsSummary
    sentences: list[Explanation]

    @property
    def figures(self) -> ExplanationFigures:
        return self.summary.figures

    def _title(self) -> str:
        return f"of {len(self.sentences):,} sentences by {self.codebook.checkpoint.path}"

    def _html(self, caption: str) -> str:
        from clvq.explanations.notebook import explanations_html

        return explanations_html(caption, self.sentences)

    def to_pandas(self) -> DataFrame:
        """Return a table with one row per word."""
        rows = [
            {
                "sentence": sentence.id, "label": sentence.label, "target": sentence.target,
                "probability": sentence.probability, "word": word.text, "start": word.start, "end": word.end,
                "attribution": word.attribution, "code": word.code, "salient": word.salient,
                **({} if sentence.score is None else {"score": sentence.score}),
                **({} if sentence.part_name is None else {"part": sentence.part_name}),
            }
            for sentence in self.sentences
            for word in sentence.words
        ]  # fmt: skip
        return data_frame(rows).astype({"label": "Int64", "code": "Int64"})

    def first(self, limit: int | None) -> list[Explanation]:
        """Return the explanations of the first `limit` sentences, with all parts."""
        ids = set(list(dict.fromkeys(sentence.id for sentence in self.sentences))[:limit])
        return [sentence for sentence in self.sentences if sentence.id in ids]

    def concept(self, code: int | None) -> Concept | None:
        """Return the concept of a word's code; None for a word without a code, or a code that no training row has."""
        return None if code is None else self.codebook.by_code.get(code)

    def meaning(self, word: ExplainedWord) -> str:
        """Return the top words of a word's concept, or why there are none."""
        if word.code is None:
            return "none: an attention sink"
        concept = self.concept(word.code)
        if concept is None:
            return "no word of the training split"
        words = " ".join(top.word for top in concept.top_words[:TOP_WORDS])
        name = self.codebook.given_names.get(word.code)
        return words if name is None else f"{name}: {words}"


def summarize(
    explainer: Explainer,
    sentences: Sequence[Explanation],
    concepts: Codebook,
    *,
    left_out: dict[str, int] | None = None,
    truncated: int = 0,
    numbers: Mapping[int, float] | None = None,
) -> ExplanationsSummary:
    """Return the content of explanations.json, except for the checksum of the sentences and rationales. `numbers` are
    the right scores of sentences, by `Explanation.id`."""
    config, model = explainer.config, explainer.model
    hits = [sentence.prediction == sentence.label for sentence in sentences if sentence.label is not None]

    right = numbers or {}
    scores = [(one.score, right[one.id]) for one in sentences if one.score is not None and one.id in right]

    def middle(name: str) -> float | None:
        return median(getattr(sentence, name) for sentence in sentences) if sentences else None

    over = [sentence.completeness_error > config.completeness for sentence in sentences]
    figures = ExplanationFigures(
        sentences=len({sentence.id for sentence in sentences}),
        left_out=left_out or {},
        truncated=truncated,
        median_completeness_error=middle("completeness_error"),
        share_over_bound=sum(over) / len(over) if over else None,
        median_steps=middle("steps"),
        median_special_share=middle("special_share"),
        accuracy=sum(hits) / len(hits) if hits and model.label_names is not None else None,
        r2=fit_of(scores).r2 if scores else None,
    )
    return ExplanationsSummary(
        checkpoint=explainer.checkpoint.fingerprint,
        rows=explainer.store.fingerprint,
        codebook=concepts.summary.concepts_checksum,
        model=ModelName(explainer.checkpoint.config.provenance.model.id, model.fingerprint),
        settings=config,
        target=explainer.target.kind,
        label_names=model.label_names,
        figures=figures,
        rationales=None,
        **stamp(),
    )
