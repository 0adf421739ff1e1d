"""Which concepts of another codebook hold the words of each concept: the page draws them as links of two columns."""

from __future__ import annotations

from typing import Any, NamedTuple

from clvq.concepts.codebook import Codebook
from clvq.concepts.pairs import Arrow, Flow, flow
from clvq.concepts.records import Concept
from clvq.html_report.payload import short

STRONGEST = 60
"""Number of links that are drawn at first: those with the most bits."""
EACH = 3
"""Number of links that are kept for every concept on either side, for readers who open one concept."""
TOP_WORDS = 6


class Linked(NamedTuple):
    """A codebook, another codebook, and the links between their concepts."""

    book: Codebook
    other: Codebook
    result: Flow

    def data(self) -> dict[str, Any]:
        """Return the links that the page keeps, the strongest first, and the other codebook's concepts by code."""
        arrows = kept(self.result.arrows)
        there = {arrow.other for arrow in arrows}
        return {
            "strongest": min(STRONGEST, len(arrows)),
            "links": [
                [arrow.code, arrow.other, arrow.words, short(arrow.share), short(arrow.other_share), short(arrow.lift)]
                for arrow in arrows
            ],
            "others": {
                concept.code: [self._named(concept), [top.word for top in concept.top_words[:TOP_WORDS]]]
                for concept in self.other.concepts
                if concept.code in there
            },
        }

    def _named(self, concept: Concept) -> str:
        """Return a concept's name on the other side where its words do not stand for it: the page joins these."""
        made_of_words = concept.top_words and concept.code not in self.other.given_names
        return "" if made_of_words else self.other.name(concept.code)


def linked(book: Codebook, other: Codebook) -> Linked:
    """Return which concepts of another codebook hold the words of each concept. MismatchError if they share no rows."""
    return Linked(book, other, flow(book, other))


def kept(arrows: list[Arrow]) -> list[Arrow]:
    """Return the strongest links overall and of every concept on either side, in the order of `arrows`."""
    here: dict[int, int] = {}
    there: dict[int, int] = {}
    chosen = []
    for number, arrow in enumerate(arrows):
        here[arrow.code] = here.get(arrow.code, 0) + 1
        there[arrow.other] = there.get(arrow.other, 0) + 1
        if number < STRONGEST or here[arrow.code] <= EACH or there[arrow.other] <= EACH:
            chosen.append(arrow)
    return chosen
