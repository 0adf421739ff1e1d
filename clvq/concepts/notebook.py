"""Concepts in a notebook: a table with one line per concept."""

from __future__ import annotations

from collections.abc import Sequence

from clvq.concepts.records import CodebookSummary, Concept
from clvq.notebook import table_html, text_html

MOST_ROWS = 50
TOP_WORDS = 12
"""Number of words of a concept in a line of the table."""


def concepts_html(caption: str, concepts: Sequence[Concept], summary: CodebookSummary) -> str:
    """Return a table with one line per concept, the concepts with the most words first; MOST_ROWS lines at most."""
    largest = sorted(concepts, key=lambda concept: (-concept.words, concept.code))[:MOST_ROWS]
    if len(largest) < len(concepts):
        caption += f", the {len(largest)} with most words"
    rows = [
        [
            str(concept.code),
            f"{concept.words:,}",
            f"{concept.sentences:,}",
            text_html(" ".join(word.word for word in concept.top_words[:TOP_WORDS]) or "sentence rows"),
            _label(concept, summary),
        ]
        for concept in largest
    ]
    return table_html(caption, ["code", "words", "sentences", "typical words", "label"], rows)


def _label(concept: Concept, summary: CodebookSummary) -> str:
    """Return the label that is significantly over-represented, with its share; "" where there is none."""
    labels = concept.labels
    if labels is None or not labels.is_significant(summary.fdr):
        return ""
    name = summary.label_names[labels.label] if summary.label_names else f"class {labels.label}"
    return f"{text_html(name)} {labels.share:.0%}"
