"""The output of `clvq explain`: sentences shaded by attribution, and the typical words of the concepts in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from clvq.artifacts import model_title
from clvq.cli.output import Bar, heading, number, percent, plain, table
from clvq.config import TAG
from clvq.explanations.records import Agreement, ExplainedWord, Explanation, ExplanationsSummary
from clvq.explanations.shades import AGAINST, FOR, pieces, shade, strongest

if TYPE_CHECKING:
    from clvq.explanations.results import Explanations

FIRST_SENTENCES = 3
"""Number of sentences of the evaluation split that are shown."""
WORD_BAR = 12
"""Width, in terminal cells, of the bar of the word with the largest absolute attribution."""
LEGEND = (
    "attribution: what a word adds to the logit of the prediction, or to the score (+ for it, - against it); "
    "the bar shows its size; "
    "* salient; concept: the code of the word and the words that are typical of it"
)

_SIXTEEN_COLOURS = ("bright_cyan",), ("bright_yellow",)
"""Colours of words for and against the prediction, for a terminal of sixteen colours, which has no shades."""


def shown(explanations: Explanations, *, stored: bool) -> Sequence[RenderableType]:
    """Return all texts; of a stored evaluation split, return its figures and the first few sentences."""
    sentences = explanations.sentences[:FIRST_SENTENCES] if stored else explanations.sentences
    parts: list[RenderableType] = _figures(explanations.summary) if stored else []
    for sentence in sentences:
        parts += [*_sentence(sentence.excerpt(), explanations), ""]
    legend = Text(LEGEND, style="dim")
    if not stored:
        return [*parts, legend]
    rest = len(explanations.sentences) - len(sentences)
    ending = f"{number(rest)} more in " if rest else ""
    path = explanations.codebook.checkpoint.path
    return [*parts, legend, "", Text(f"{ending}{plain(path)}/explanations.jsonl", overflow="fold")]


def _figures(summary: ExplanationsSummary) -> list[RenderableType]:
    figures = summary.figures
    listing = table("", title="Evaluation split")
    listing.add_row("sentences", number(figures.sentences))
    for reason, count in figures.left_out.items():
        if count:
            listing.add_row(f"left out: {reason}", number(count))
    if figures.truncated:
        listing.add_row("explained up to the model's length", number(figures.truncated))
    if figures.accuracy is not None:
        listing.add_row("accuracy of the model", percent(figures.accuracy))
    if figures.r2 is not None:
        listing.add_row("R² of the scores", number(figures.r2))
    listing.add_row("share on tokens that are no words, median", percent(figures.median_special_share))
    listing.add_row("steps, median", number(figures.median_steps, 0))
    listing.add_row("completeness error, median", percent(figures.median_completeness_error))
    bound, most = percent(summary.settings.completeness), summary.settings.max_steps
    listing.add_row(f"sentences with an error over {bound} at {most} steps", percent(figures.share_over_bound))
    title = f"Why {model_title(summary.model)} {summary.asked}"
    parts: list[RenderableType] = [heading(title, _baseline(summary)), "", listing, ""]
    return parts if summary.rationales is None else parts + _agreement(summary.rationales)


def _agreement(rationales: Agreement) -> list[RenderableType]:
    listing = table("AUPRC", "token F1", title=f"Agreement with {rationales.column}")
    names = {"attribution": "attribution", "frequency": "rarer words first", "random": "at random"}
    for name, meaning in names.items():
        listing.add_row(meaning, number(rationales.auprc[name]), number(rationales.token_f1[name]))
    over = f"Over {number(rationales.sentences)} distinct texts with marked and unmarked words"
    return [listing, Text(f"{over}; {number(rationales.left_out)} others are left out.", style="dim"), ""]


def _sentence(sentence: Explanation, explanations: Explanations) -> list[RenderableType]:
    """Return one text with its prediction, its shaded words, and the concepts of the salient ones."""
    summary = explanations.summary
    target, detail = plain(sentence.target), sentence.certainty
    if summary.label_names is None and summary.target != target:
        target = f"{summary.target} {repr(sentence.target) if sentence.score is None else target}"
    if summary.target == TAG:
        target = f"{plain(sentence.part_name or '')}: {target}"
    labelled = summary.label_name(sentence)
    if labelled is not None and sentence.label != sentence.prediction:
        detail += f", labelled {plain(labelled)}"
    if sentence.cut:
        detail += f"; {sentence.cut}"
    explained = f"{sentence.difference:+.2f} explained, {percent(sentence.special_share)} on tokens that are no words"
    trust = f"completeness error {percent(sentence.completeness_error)}, {sentence.steps} steps"
    return [
        heading(target, detail),
        Shaded(sentence.text, sentence.words),
        _words(sentence, explanations),
        Text(f"{explained}; {trust}, {_baseline(explanations.summary)}", style="dim"),
    ]


def _words(sentence: Explanation, explanations: Explanations) -> Table:
    """Return one line per word: its attribution as a figure and as a bar, and its concept with typical words."""
    lines = table("attribution", title="Word")
    lines.add_column(width=WORD_BAR)
    lines.add_column(Text("concept"), justify="right")
    lines.add_column(Text("its words"), overflow="fold")
    most = strongest(sentence.words)
    for word in sentence.words:
        mark, code = "*" if word.salient else "", "-" if word.code is None else str(word.code)
        colour = "cyan" if word.attribution > 0 else "yellow"
        lines.add_row(
            Text(f"{plain(word.text)}{mark}"), f"{word.attribution:+z.2f}",
            Bar(abs(word.attribution) / most if most else 0, WORD_BAR, colour), code,
            Text(plain(explanations.meaning(word))), style="bold" if word.salient else "",
        )  # fmt: skip
    return lines


def _baseline(summary: ExplanationsSummary) -> str:
    return f"baseline {summary.settings.baseline}"


class Shaded:
    """A text whose words have background colours by attribution. Without colours, asterisks mark the salient words."""

    def __init__(self, text: str, words: Sequence[ExplainedWord]) -> None:
        self.text, self.words = text, words

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        colours = console.color_system is not None and not console.no_color
        shades = (FOR, AGAINST) if console.color_system in ("truecolor", "256") else _SIXTEEN_COLOURS
        most = strongest(self.words)
        line = Text()
        for shown, word in pieces(self.text, self.words):
            if word is None:
                line.append(plain(shown))
            elif colours:
                line.append(plain(shown), style=_style(word, shade(word, most, *shades)))
            else:
                line.append(f"*{plain(shown)}*" if word.salient else plain(shown))
        yield line


def _style(word: ExplainedWord, colour: str) -> str:
    emphasis = "bold underline" if word.salient else ""
    return f"black on {colour} {emphasis}".strip() if colour else emphasis
