"""Explanations as a separate HTML page that needs no network, with the same content as `clvq explain` prints."""

from __future__ import annotations

from html import escape

from clvq.artifacts import model_title
from clvq.explanations.notebook import explanation_html
from clvq.explanations.records import Explanation
from clvq.explanations.results import Explanations
from clvq.explanations.shades import AGAINST, FOR, strongest
from clvq.notebook import table_html, text_html

MOST_SENTENCES = 500
LEGEND = (
    "Attribution is what a word adds to the logit of the prediction, or to the score: blue words speak for it, orange "
    "ones against it, and the salient ones are bold. A concept is a code of the codebook, with the words that are "
    "typical of it."
)
_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b;
background: white; }}
table {{ border-collapse: collapse; margin-bottom: 2rem; }}
th, td {{ text-align: left; padding: .1rem .8rem .1rem 0; }}
.bar {{ height: .8em; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{legend}</p>
"""


def explanations_page(explanations: Explanations) -> str:
    """Return the page: each sentence shaded, and below it one line per word with the word's concept."""
    title = escape(f"Why {model_title(explanations.summary.model)} {explanations.summary.asked}")
    shown = explanations.sentences[:MOST_SENTENCES]
    rest = len(explanations.sentences) - len(shown)
    parts = [sentence_html(sentence, explanations) for sentence in shown]
    end = f"<p>{rest:,} more sentences are not shown.</p>\n" if rest else ""
    return _HEAD.format(title=title, legend=escape(LEGEND)) + "\n".join(parts) + f"\n{end}</body>\n</html>\n"


def sentence_html(sentence: Explanation, explanations: Explanations) -> str:
    """Return a shaded sentence, and below it one line per word with the word's concept; every text is escaped."""
    return explanation_html(sentence) + _words_html(sentence, explanations)


def _words_html(sentence: Explanation, explanations: Explanations) -> str:
    most = strongest(sentence.words)
    rows = []
    for word in sentence.words:
        colour = (FOR if word.attribution > 0 else AGAINST)[-1]
        width = 8 * abs(word.attribution) / most
        rows.append(
            [
                f"<b>{text_html(word.text)}</b>" if word.salient else text_html(word.text),
                f"{word.attribution:+.2f}",
                f'<div class="bar" style="width: {width:.2f}rem; background: {colour}"></div>',
                "-" if word.code is None else str(word.code),
                text_html(explanations.meaning(word)),
            ]
        )
    return table_html("", ["word", "attribution", "", "concept", "its words"], rows)
