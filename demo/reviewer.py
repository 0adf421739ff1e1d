"""One reviewer of one item: how the item and its parts are named, and with which adjectives."""

from __future__ import annotations

import random

from demo import phrases
from demo.lexicon import (
    DOMAIN_OF,
    GOODS_DOMAINS,
    Adjective,
    Facet,
    Noun,
    adjective,
    facets,
    items,
    modifiers,
)
from demo.pieces import Piece, inflect, judging, mark

ANY_ADJECTIVE = {
    sign: tuple(adjective(entry.strip()) for entry in text.split(",")) for sign, text in phrases.ANY_ADJECTIVE.items()
}

GENERAL = frozenset(ANY_ADJECTIVE[1] + ANY_ADJECTIVE[-1])


class Reviewer:
    """One reviewer of one item: keeps the item, the tense and the person through a sentence."""

    def __init__(self, rng: random.Random, kind: str) -> None:
        self.rng = rng
        self.kind = kind
        self.domain = DOMAIN_OF[kind]
        self.goods = self.domain in GOODS_DOMAINS
        self.item = rng.choice(items(kind))
        self.modifier = rng.choice(modifiers(kind)) if rng.random() < 0.35 else ""
        self.person = "i" if self.goods or rng.random() < 0.3 else "we"
        self.named = False
        self.facets = facets()[kind]

    # --- naming things -------------------------------------------------------------------------------------------

    def this_item(self, determiner: str = "") -> list[Piece]:
        """The item by its name; from now on "it" is understood."""
        determiner = determiner or ("these" if self.item.plural else "this")
        modifier = "" if self.named else self.modifier
        self.named = True
        return mark(determiner) + mark(f"{modifier} {self.item.text}", domain=self.domain)

    def subject(self, facet: Facet, noun: Noun) -> tuple[list[Piece], bool]:
        """A noun phrase for the start of a clause, and whether it is plural."""
        if noun.item:
            if self.named:
                return mark("they" if self.item.plural else "it"), self.item.plural
            return self.this_item("the" if self.rng.random() < 0.3 else ""), self.item.plural
        phrase = mark("the") + mark(noun.text, 0, facet.aspect, facet.domain)
        if not self.named and self.rng.random() < (0.6 if facet.domain is None else 0.25):
            phrase += mark(self.preposition(facet)) + self.this_item()
        return phrase, noun.plural

    def preposition(self, facet: Facet) -> str:
        """The one that ties a part to the item: "the bed at this inn", "the price of this coat"."""
        if facet.domain is None and self.goods:
            return "of" if facet.aspect == "price" else "for"
        if self.goods and facet.aspect == "taste":
            return "from"
        return "at" if self.domain in ("restaurant", "hotel") else "on"

    def fill(self, text: str, sign: int = 0) -> list[Piece]:
        """A phrase of `phrases` in full."""
        out: list[Piece] = []
        lists = {
            "{relative}": phrases.RELATIVES,
            "{month}": phrases.MONTHS,
            "{days}": phrases.DAYS,
            "{city}": phrases.CITIES,
        }
        for raw in text.split():
            name, suffix = (raw[: raw.index("}") + 1], raw[raw.index("}") + 1 :]) if raw.startswith("{") else (raw, "")
            if name in ("{this}", "{it}", "{they}") and not self.named:
                out += self.this_item()
            elif name in ("{this}", "{it}", "{they}"):
                plural = "they" if name == "{they}" else "them"
                out += mark(plural if self.item.plural else "it")
            elif name in lists:
                out += mark(" ".join(self.rng.choice(lists[name]).split()) + suffix)
            else:
                verb = inflect(raw[1:].rstrip("*"), self.item.plural, not self.goods) if raw.startswith("~") else ""
                word = verb + "*" * raw.endswith("*") if verb else raw
                out += mark(word.rstrip("#"), sign, domain=self.domain if word.endswith("#") else None)
        return out

    # --- judging them --------------------------------------------------------------------------------------------

    def choose(self, facet: Facet, sign: int, attributive: bool = False, comparative: bool = False) -> Adjective:
        """An adjective that praises (sign 1) or blames (-1) this facet."""
        pool = facet.adjectives[sign]
        if "bare" not in facet.flags and self.rng.random() < 0.1:
            pool = ANY_ADJECTIVE[sign]
        fitting = [
            entry
            for entry in pool
            if not (attributive and entry.phrase)
            and (entry.comparative or not comparative)
            and entry.text != "tasty" * (facet.link == "taste" and not attributive)
        ]
        return self.rng.choice(fitting)

    def degree(self, entry: Adjective, sign: int) -> str:
        """The adjective, now and then with a degree before it."""
        if self.rng.random() < 0.6 or entry.text.startswith(("worth", "good ", "well ")):
            return judging(entry.text)
        if entry.extreme:
            pool = phrases.DEGREES_OF_EXTREME
        else:
            pool = phrases.DEGREES_OF_PRAISE if sign > 0 else phrases.DEGREES_OF_BLAME
        return f"{self.rng.choice(pool)} {judging(entry.text)}"

    def denied(self, sign: int, entry: Adjective, plural: bool, past: bool) -> str:
        """A denial of `entry`, an adjective against `sign`: "isn't exactly", "is far from"."""
        if entry.extreme:
            pool = phrases.DENIALS_OF_EXTREME
        else:
            pool = phrases.DENIALS_OF_ANY * 2 + (phrases.DENIALS_OF_BLAME if sign > 0 else phrases.DENIALS_OF_PRAISE)
        be = inflect("be", plural, past)
        return self.rng.choice(pool).replace("{be}", be).replace("{isnt}", be + "n't")

    def described(self, facet: Facet, noun: Noun, sign: int, article: str = "a") -> list[Piece]:
        """Adjective and noun: "a gorgeous screen", "stale bread"."""
        entry = self.choose(facet, sign, attributive=True)
        article = "" if article == "a" and (noun.plural or noun.mass) else article
        words = self.say(facet, judging(entry.text), sign, entry in GENERAL)
        return mark(article) + words + mark(noun.text, 0, facet.aspect, facet.domain)

    @staticmethod
    def say(facet: Facet, text: str, sign: int, general: bool = False) -> list[Piece]:
        """Words about a facet; if the judging word is `general`, it fits anything and has no aspect and no domain."""
        pieces = mark(text, sign, facet.aspect, facet.domain)
        if not general:
            return pieces
        return [
            piece if piece.polarity == "neutral" else Piece(piece.text, polarity=piece.polarity) for piece in pieces
        ]
