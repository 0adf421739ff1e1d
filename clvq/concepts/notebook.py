"""How results look in a notebook: HTML that escapes every text and brings colours that can be read on any page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from clvq.concepts.records import CodebookSummary, Concept

MOST_ROWS = 50
TOP_WORDS = 12
"""Words of a concept in a line of the table."""


def text_html(text: str) -> str:
    """Return text from outside as HTML that shows it as it is, whatever its writing direction."""
    return f"<bdi>{escape(text)}</bdi>"


def table_html(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; `rows` hold HTML, caption and head hold text."""
    heads = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    caption = f'<caption style="text-align: left">{escape(caption)}</caption>'
    return f"<table>{caption}<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def concepts_html(caption: str, concepts: Sequence[Concept], summary: CodebookSummary) -> str:
    """Return a table with a line a concept, those with most words first; of many concepts the first."""
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
    """Return the label that stands out, with its share; nothing where none does."""
    labels = concept.labels
    if labels is None or not labels.is_significant(summary.fdr):
        return ""
    name = summary.label_names[labels.label] if summary.label_names else f"class {labels.label}"
    return f"{text_html(name)} {labels.share:.0%}"
