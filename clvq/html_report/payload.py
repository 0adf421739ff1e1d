"""The data from which the scripts build the catalogue and the explanations: the artifacts' records, shortened."""

from __future__ import annotations

from typing import Any

from clvq.concepts.excerpts import Excerpt
from clvq.concepts.names import made_name
from clvq.concepts.records import Concept, Example
from clvq.config import TAG
from clvq.explanations.records import Explanation, ExplanationsSummary
from clvq.html_report.figures import LABEL_COLOURS
from clvq.html_report.gathered import Material
from clvq.html_report.histograms import Histogram, histogram
from clvq.interventions.mode_records import ConceptEffect, ConceptEffects
from clvq.interventions.records import Interval

CONTEXT = 240
"""Number of characters of an example that are kept on each side of its word; twice as many for a sentence row."""
_CONCEPT = ("code", "words", "sentence_rows", "of_sentence_rows", "types", "sentences", "share", "spread")
_EXPLANATION = (
    "id", "text", "label", "prediction", "target", "probability", "difference", "completeness_error", "steps",
    "special_share",
)  # fmt: skip


def page_data(material: Material, label_names: list[str] | None, fdr: float) -> dict[str, Any]:
    """Return the data block of the page, as a value for `json.dumps`."""
    explained, effects = material.explained, material.modes.get("by-concept")
    by_code = {}
    if isinstance(effects, ConceptEffects):
        by_code = {row.code: _effect(row, rank, effects.class_) for rank, row in enumerate(effects.concepts)}
    return {
        "fingerprint": material.checkpoint.fingerprint,
        "labels": label_names,
        "unit": "sentence" if material.codebook is None else material.codebook.label_unit,
        "colours": LABEL_COLOURS,
        "fdr": fdr,
        "classes": explained is not None and explained.has_classes,
        "concepts": [_concept(concept, by_code.get(concept.code), material) for concept in material.concepts],
        "explanations": [_explanation(one, number, explained) for number, one in enumerate(material.explanations)],
    }


def _concept(concept: Concept, effect: dict[str, Any] | None, material: Material) -> dict[str, Any]:
    labels = concept.labels
    quantiles = None if material.quantiles is None or concept.of_sentence_rows else material.quantiles[concept.code]
    return {
        **{name: short(getattr(concept, name)) for name in _CONCEPT},
        "name": material.names.get(concept.code),
        "note": material.notes.get(concept.code),
        "made": made_name(concept),
        "top": [[top.word, top.count, short(top.share), short(top.recall)] for top in concept.top_words],
        "examples": [_example(example) for example in concept.examples],
        "range": [_example(example) for example in concept.range_examples],
        "distances": _distances(None if quantiles is None else histogram(quantiles)),
        "labels": None if labels is None else {name: short(value) for name, value in labels.as_json().items()},
        "near": [[neighbour.code, short(neighbour.cosine)] for neighbour in concept.neighbours],
        "effect": effect,
    }


def _distances(found: Histogram | None) -> dict[str, Any] | None:
    if found is None:
        return None
    ends = {name: short(getattr(found, name)) for name in ("low", "median", "high")}
    return {**ends, "shares": [round(share, 4) for share in found.shares]}


def _example(example: Example) -> list[Any]:
    """Return the text around the word, the start and end of the word in this text, the label and the distance."""
    start, end = example.start, example.end
    shown = Excerpt(example.text, [(start, end)] if end > start else [], CONTEXT)
    return [shown.text, shown.at(start), shown.at(end), example.label, short(example.distance)]


def _effect(effect: ConceptEffect, rank: int, asked: str | None) -> dict[str, Any]:
    """Return the effect of a concept, and its rank among all concepts, from 0; `asked` is the class that was measured,
    None for all."""
    return {
        "rank": rank,
        "asked": asked,
        "sentences": effect.sentences,
        "flips": short(effect.flips),
        "probability": short(effect.probability),
        "coherent": [*_interval(effect.coherent), short(effect.coherent.q)],
        "own": [*_interval(effect.own), short(effect.own.q)],
        "classes": [
            [line.label, line.name, line.sentences, short(line.flips), *_interval(line.coherent)]
            for line in effect.classes
        ],
    }


def _interval(interval: Interval) -> list[float]:
    """Return an interval in the three decimals that the page shows: rounded twice, some would be others there."""
    return [round(value, 3) for value in (interval.value, interval.low, interval.high)]


def _explanation(explanation: Explanation, number: int, explained: ExplanationsSummary | None) -> dict[str, Any]:
    explanation = explanation.excerpt()
    words = [
        [word.start, word.end, short(word.attribution), word.code, int(word.salient)] for word in explanation.words
    ]
    return {
        **{name: short(getattr(explanation, name)) for name in _EXPLANATION},
        **({} if explanation.score is None else {"score": short(explanation.score)}),
        **(
            {}
            if explanation.part is None or explained is None
            else {
                "id": number,
                "labelled": explained.label_name(explanation),
                "target": f"{explanation.part_name}: {explanation.target}"
                if explained.target == TAG
                else explanation.target,
            }
        ),
        "words": words,
        "rationale": explanation.rationale,
    }


def short(value: Any) -> Any:
    """Round floats to four significant digits, to keep the file small: the page shows three digits."""
    return float(f"{value:.4g}") if isinstance(value, float) else value
