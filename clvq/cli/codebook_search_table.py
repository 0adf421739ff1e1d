"""The output of `clvq codebook --search`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from clvq.cli.codebook_tables import fitted, given_name, one_line, title
from clvq.cli.output import counted, number, percent, plain, table

if TYPE_CHECKING:
    from clvq.concepts.codebook import Codebook
    from clvq.concepts.search import SearchResult


def matches(codebook: Codebook, result: SearchResult, lines: int) -> list[RenderableType]:
    """Return the concepts of a search, the best first, below those whose given name matches."""
    words, concepts = counted(result.types, "word type"), result.concepts
    found = f"{counted(result.occurrences, 'occurrence')} in {counted(len(concepts), 'concept')}"
    about = f"{words} {'matches' if result.types == 1 else 'match'}, {found}"
    parts: list[RenderableType] = [
        title(codebook, "Concepts of"), Text(plain(f"{one_line(result.pattern)}: ")).append(about, style="dim"),
    ]  # fmt: skip
    if result.named:
        named = ", ".join(f"{one_line(entry.name)} ({entry.code})" for entry in result.named[:lines])
        more = f" and {number(len(result.named) - lines)} more" if len(result.named) > lines else ""
        parts.append(Text(f"Given names that match, with their codes: {named}{more}"))
    if not concepts:
        return parts
    listing = fitted(table("matches", "precision", "recall", title="code"), "matching words")
    for entry in concepts[:lines]:
        words = " ".join(one_line(word.word) for word in entry.matching_words)
        listing.add_row(
            str(entry.code), number(entry.matches), percent(entry.precision), percent(entry.recall),
            given_name(codebook, entry.code).append(words),
        )  # fmt: skip
    return [*parts, "", listing]
