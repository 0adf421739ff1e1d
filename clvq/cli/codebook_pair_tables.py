"""The output of `clvq codebook` for two codebooks: --against and --flow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderableType
from rich.text import Text

from clvq.cli.codebook_tables import WIDE, fitted, title, words_of
from clvq.cli.output import number, percent, plain, table

if TYPE_CHECKING:
    from clvq.concepts.codebook import Codebook
    from clvq.concepts.pairs import Comparison, Flow


class PairTable:
    """One line per pair of codes: figures, then the words of both codes; narrow terminals get those of the first."""

    def __init__(
        self,
        codebook: Codebook,
        other: Codebook,
        heads: Sequence[str],
        lines: Sequence[tuple[int, int, Sequence[str]]],
    ) -> None:
        self.codebook, self.other, self.heads, self.lines = codebook, other, heads, lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        listing = table("other", *self.heads, title="code")
        fitted(listing, "words of the code")
        if options.max_width >= WIDE:
            fitted(listing, "words of the other")
        for code, match, figures in self.lines:
            words = [words_of(self.codebook, code), words_of(self.other, match)]
            listing.add_row(str(code), str(match), *figures, *words[: 2 if options.max_width >= WIDE else 1])
        yield listing


def against(codebook: Codebook, other: Codebook, result: Comparison, lines: int) -> list[RenderableType]:
    figures = table("", title="Both say the same")
    figures.add_row("words in matched codes", percent(result.shared_words))
    figures.add_row("mean Jaccard index of matched codes", number(result.mean_jaccard))
    figures.add_row("adjusted mutual information", number(result.adjusted_mutual_information))
    figures.add_row("mean cosine of matched codes, centred", number(result.mean_cosine))
    pairs = [
        (pair.code, pair.other, (number(pair.words), number(pair.shared), number(pair.jaccard, 2)))
        for pair in result.pairs[:lines]
    ]
    shown = PairTable(codebook, other, ("words", "shared", "Jaccard"), pairs)
    return [*_heads(codebook, other, result, "Concepts of", "against"), "", figures, "", shown]


def flow(codebook: Codebook, other: Codebook, result: Flow, lines: int) -> list[RenderableType]:
    entropy, left = result.entropy, result.conditional_entropy
    figures = table("bits", title="Code in the other checkpoint")
    figures.add_row("entropy", number(entropy, 2))
    figures.add_row("entropy when the code in this one is known", number(left, 2))
    figures.add_row("share that the code in this one explains", percent(1 - left / entropy if entropy else None))
    arrows = [
        (
            arrow.code,
            arrow.other,
            (number(arrow.words), percent(arrow.share), percent(arrow.other_share)),
        )
        for arrow in result.arrows[:lines]
    ]
    shown = PairTable(codebook, other, ("words", "of code", "of other"), arrows)
    return [*_heads(codebook, other, result, "Flow from", "into"), "", figures, "", shown]


def _heads(codebook: Codebook, other: Codebook, result: Comparison | Flow, start: str, between: str) -> list[Text]:
    about = (
        f"{between} {other.checkpoint.path}, layers {other.checkpoint.input_layer} -> {other.checkpoint.output_layer}"
    )
    return [
        title(codebook, start), Text(plain(f"{about}; {number(result.words)} words in both"), style="dim"),
    ]  # fmt: skip
