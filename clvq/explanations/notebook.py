"""Explanations in a notebook: sentences whose words are shaded by attribution."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from clvq.explanations.records import ExplainedWord, Explanation
from clvq.explanations.shades import pieces, shade, strongest
from clvq.notebook import text_html

MOST_SENTENCES = 20


def explanations_html(caption: str, sentences: Sequence[Explanation]) -> str:
    """Return the first sentences, shaded, below the caption."""
    shown = sentences[:MOST_SENTENCES]
    if len(shown) < len(sentences):
        caption += f", the first {len(shown)}"
    return f"<p>{escape(caption)}</p>{''.join(map(explanation_html, shown))}"


def explanation_html(explanation: Explanation) -> str:
    """Return a sentence with its prediction: blue words speak for it, orange ones against it, salient ones are bold."""
    explanation = explanation.excerpt()
    most = strongest(explanation.words)
    parts = [
        escape(shown) if word is None else _word_html(word, shown, shade(word, most))
        for shown, word in pieces(explanation.text, explanation.words)
    ]
    cut = f" ({escape(explanation.cut)})" if explanation.cut else ""
    head = f"<b>{text_html(explanation.target)}</b> {explanation.certainty}{cut}"
    return f'<p style="line-height: 1.8">{head}: <bdi>{"".join(parts)}</bdi></p>'


def _word_html(word: ExplainedWord, shown: str, colour: str) -> str:
    style = f"background: {colour}; color: black; border-radius: 3px; padding: 1px 2px;" if colour else ""
    if word.salient:
        style += " font-weight: bold; text-decoration: underline;"
    concept = "no concept: an attention sink" if word.code is None else f"concept {word.code}"
    return f'<span style="{style}" title="{word.attribution:+.2f}, {concept}">{escape(shown)}</span>'
