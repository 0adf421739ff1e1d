"""The demo grammar's own vocabulary: what is reviewed, and what can be said about each part of it.

`FACETS` is a small language, read once by `facets()`. A facet is one kind of thing that reviews talk about:

    @ kinds aspect link flags     the kinds of item that have it (a domain's name stands for all its kinds), the planted
                                  aspect, the linking verb that fits ("the bread tasted stale"; - for none), and flags:
                                  own   "it has a bright screen" is natural
                                  bare  nobody "loves the queue": no liking, no "great queue"
                                  past  always told in the past
    n:  nouns            (`/p` plural, `/m` without an article; `@item` is the reviewed thing itself)
    +:  -:  adjectives   that praise and blame *here*: "loud" is praise for a loudspeaker, blame for a street.
                         `light/lighter` gives the comparative, `!perfect` does not take "very".
    v+: v-: what the noun does, verb first. `~hold/held` is a verb to inflect, `*` marks the words that carry the
            judgement, a leading `!` allows negation ("does not last all day")
    t:  adjectives that blame after "too", whatever they are worth alone

A `@kind` behind an entry keeps it to that kind of item. A word belongs to a domain if its facet does; a
facet that several domains share gives its words no domain.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from demo.facets_goods import GOODS
from demo.facets_venues import VENUES

ASPECTS = (
    "price",
    "quality",
    "service",
    "comfort",
    "appearance",
    "sound",
    "taste",
    "speed",
    "size",
    "cleanliness",
)

# domain -> kind -> (items, neutral words that may stand before them)
KINDS: dict[str, dict[str, tuple[str, str]]] = {
    "electronics": {
        "headphone": ("headphones/p, earbuds/p, headset", "wireless, bluetooth, black, gaming, refurbished"),
        "speaker": ("speaker, radio, portable speaker", "bluetooth, wireless, retro, waterproof, red"),
        "computer": (
            "laptop, tablet, phone, smartphone, notebook",
            "silver, refurbished, entry-level, gray, new",
        ),
        "camera": ("camera, camcorder, video camera", "digital, pocket-size, silver, black, used"),
    },
    "kitchen": {
        "brewer": (
            "coffee maker, espresso machine, coffee machine",
            "automatic, italian, steel, countertop, red",
        ),
        "cooker": ("air fryer, toaster oven, mini oven", "digital, family-size, white, countertop, black"),
        "blender": ("blender, food processor, juicer", "electric, glass, countertop, cordless, green"),
        "pan": ("frying pan, skillet, wok, griddle", "cast-iron, ceramic, steel, nonstick, copper"),
    },
    "clothing": {
        "top": (
            "jacket, coat, sweater, hoodie, cardigan, blouse, raincoat",
            "wool, cotton, navy, denim, linen, red",
        ),
        "shoe": (
            "shoes/p, boots/p, sneakers/p, sandals/p, loafers/p",
            "leather, suede, canvas, brown, black, white",
        ),
        "bottom": (
            "jeans/p, trousers/p, leggings/p, shorts/p, chinos/p",
            "denim, cotton, black, gray, linen, khaki",
        ),
    },
    "restaurant": {
        "restaurant": (
            "restaurant, bistro, diner, pizzeria, steakhouse, noodle bar, tavern, cafe, trattoria, taqueria, brasserie",
            "corner, neighborhood, downtown, riverside, family-run, vegetarian",
        ),
    },
    "hotel": {
        "hotel": (
            "hotel, inn, hostel, resort, guesthouse, motel, lodge",
            "airport, downtown, lakeside, roadside, four-star, mountain, seaside",
        ),
    },
    "airline": {
        "airline": (
            "flight, overnight flight, morning flight, connecting flight, charter flight, domestic flight",
            "transatlantic, long-haul, nonstop, short-haul, economy, six-hour",
        ),
    },
}
DOMAINS = tuple(KINDS)
GOODS_DOMAINS = ("electronics", "kitchen", "clothing")
DOMAIN_OF = {kind: domain for domain, kinds in KINDS.items() for kind in kinds}


class Noun(NamedTuple):
    """A noun of a facet, or a reviewed item. `mass` nouns take no "a"; `item` stands for the reviewed thing."""

    text: str
    plural: bool
    mass: bool

    @property
    def item(self) -> bool:
        return self.text == "@item"


class Adjective(NamedTuple):
    """An adjective with its comparative (None: there is none); `extreme` ones do not take "very"."""

    text: str
    comparative: str | None
    extreme: bool

    @property
    def phrase(self) -> bool:
        """Several words, such as "easy to clean": only ever after a verb."""
        return " " in self.text


class Facet(NamedTuple):
    """What can be said about one part of one kind of item; see the module's docstring for the source form."""

    kind: str
    domain: str | None
    aspect: str
    link: str | None
    flags: frozenset[str]
    nouns: tuple[Noun, ...]
    adjectives: dict[int, tuple[Adjective, ...]]  # by sign: +1 praises, -1 blames
    deeds: dict[int, tuple[str, ...]]
    too: tuple[Adjective, ...]


def noun(entry: str) -> Noun:
    """`entry` is a noun with its number mark."""
    text, _, mark = entry.partition("/")
    return Noun(text, mark == "p", mark == "m")


def adjective(entry: str) -> Adjective:
    """`entry` is an adjective; without a comparative of its own it takes "more"."""
    text, _, comparative = entry.lstrip("!").partition("/")
    extreme = entry.startswith("!")
    if not comparative and not extreme and " " not in text:
        comparative = f"more {text}"
    return Adjective(text, comparative or None, extreme)


def items(kind: str) -> tuple[Noun, ...]:
    """The reviewed things of one kind."""
    return tuple(noun(entry) for entry in _entries(KINDS[DOMAIN_OF[kind]][kind][0], ",", kind))


def modifiers(kind: str) -> list[str]:
    """Neutral words that may stand before an item of this kind."""
    return _entries(KINDS[DOMAIN_OF[kind]][kind][1], ",", kind)


@lru_cache(maxsize=1)
def facets() -> dict[str, tuple[Facet, ...]]:
    """The facets of every kind of item, in the order in which they are written."""
    found: dict[str, list[Facet]] = {kind: [] for kind in DOMAIN_OF}
    for block in (GOODS + VENUES).replace("\n    ", " ").split("@ ")[1:]:
        header, *lines = block.strip().splitlines()
        where, aspect, link, *flags = header.split()
        kinds = [kind for name in where.split(",") for kind in KINDS.get(name, (name,))]
        domains = {DOMAIN_OF[kind] for kind in kinds}
        fields = {key.strip(): value for key, _, value in (line.partition(": ") for line in lines)}
        for kind in kinds:
            facet = Facet(
                kind=kind,
                domain=domains.copy().pop() if len(domains) == 1 else None,
                aspect=aspect,
                link=None if link == "-" else link,
                flags=frozenset(flags),
                nouns=tuple(noun(entry) for entry in _entries(fields["n"], ",", kind)),
                adjectives={
                    sign: tuple(adjective(entry) for entry in _entries(fields[mark], ",", kind))
                    for sign, mark in ((1, "+"), (-1, "-"))
                },
                deeds={
                    sign: tuple(_entries(fields.get(mark, ""), ";", kind)) for sign, mark in ((1, "v+"), (-1, "v-"))
                },
                too=tuple(adjective(entry) for entry in _entries(fields.get("t", ""), ",", kind)),
            )
            if facet.nouns:
                found[kind].append(facet)
    return {kind: tuple(group) for kind, group in found.items()}


@lru_cache(maxsize=1)
def telling_nouns() -> dict[str, str]:
    """Every word of a noun or an item that only one domain uses, with that domain.

    A sentence holds at least one of them, so that the domain of its other words can be known.
    """
    users: dict[str, set[str]] = {}
    for kind, group in facets().items():
        nouns = [entry for facet in group for entry in facet.nouns if not entry.item]
        for entry in (*nouns, *items(kind)):
            for word in entry.text.split():
                users.setdefault(word, set()).add(DOMAIN_OF[kind])
    return {word: min(domains) for word, domains in users.items() if len(domains) == 1}


def _entries(text: str, separator: str, kind: str) -> list[str]:
    """The entries of a list that serve `kind`, without their kind marks."""
    kept = []
    for entry in (part.strip() for part in text.split(separator)):
        body, at, only = entry.rpartition("@")
        if not at or entry == "@item":
            body, only = entry, kind
        if body and kind in only.split("|"):
            kept.append(body)
    return kept
