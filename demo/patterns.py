"""The patterns of a review: a critic and a sign make one or two sentences."""

from __future__ import annotations

from collections.abc import Callable

from demo import phrases
from demo.clauses import Critic
from demo.lexicon import Facet
from demo.pieces import Piece, inflect, judging, mark
from demo.reviewer import GENERAL


def _two(by: Critic, need: Callable[[Facet], bool] = lambda facet: True) -> tuple[Facet, Facet]:
    """Two facets with different aspects; the first satisfies `need`."""
    first = by.rng.choice([facet for facet in by.facets if need(facet)])
    return first, by.rng.choice([facet for facet in by.facets if facet.aspect != first.aspect])


def _own_facet(by: Critic) -> Facet:
    """A facet of the item itself: nobody loves a coat because its seller was polite."""
    return by.rng.choice([facet for facet in by.facets if facet.domain is not None or facet.nouns[0].item])


def _attributable(facet: Facet) -> bool:
    return not facet.nouns[0].item


def _praisable(facet: Facet) -> bool:
    return "bare" not in facet.flags


def _verdict(by: Critic, sign: int, chance: float) -> list[Piece]:
    """A closing verdict in a sentence of its own, or nothing."""
    if by.rng.random() >= chance:
        return []
    group = "any" if by.rng.random() < 0.65 else "goods" if by.goods else "venue"
    verdict = by.rng.choice(phrases.VERDICTS[group][sign].split(";"))
    return by.fill(verdict, sign) + mark("!" if by.rng.random() < 0.15 else ".")


def _start(by: Critic, chance: float = 0.25) -> list[Piece]:
    """A neutral opening, or nothing."""
    if by.rng.random() >= chance:
        return []
    by_kind = phrases.STARTS[by.goods]
    if by.rng.random() < 0.5:
        return mark(by.rng.choice(phrases.REMARKS) + " ,")
    return by.fill(by.rng.choice([start for start in by_kind if "{it}" not in start or not by.named])) + mark(",")


def _one_point(by: Critic, sign: int) -> list[Piece]:
    facet = by.rng.choice(by.facets)
    start = _start(by, 0.35)
    return start + by.clause(facet, sign) + mark(".") + _verdict(by, sign, 0.5)


def _two_points(by: Critic, sign: int) -> list[Piece]:
    one, two = _two(by)
    joint = by.rng.choice(("and", "and", ", and", ";", ".", ", plus"))
    return _start(by) + by.clause(one, sign) + mark(joint.replace("plus", "and")) + by.clause(two, sign) + mark(".")


def _contrast(by: Critic, sign: int) -> list[Piece]:
    one, two = _two(by)
    joint = by.rng.choice((", but", "but", ", yet"))
    return by.clause(one, -sign) + mark(joint) + by.clause(two, sign) + mark(".") + _verdict(by, sign, 0.25)


def _concession(by: Critic, sign: int) -> list[Piece]:
    one, two = _two(by)
    although = by.rng.choice(("although", "even though", "while"))
    if by.rng.random() < 0.5:
        return (
            mark(although)
            + by.clause(one, -sign)
            + mark(",")
            + by.clause(two, sign)
            + mark(".")
            + _verdict(by, sign, 0.2)
        )
    although = "although" if although == "while" else although
    return by.clause(two, sign) + mark(f", {although}") + by.clause(one, -sign) + mark(".") + _verdict(by, sign, 0.2)


def _despite(by: Critic, sign: int) -> list[Piece]:
    one, two = _two(by, _attributable)
    weak = by.described(one, by.rng.choice(one.nouns), -sign, "the")
    if by.rng.random() < 0.5:
        head = mark(by.rng.choice(("despite", "apart from"))) + weak
        return head + mark(",") + by.clause(two, sign) + mark(".") + _verdict(by, sign, 0.3)
    return by.clause(two, sign) + mark("despite") + weak + mark(".") + _verdict(by, sign, 0.3)


def _fact_first(by: Critic, sign: int) -> list[Piece]:
    facts = phrases.FACTS[by.domain].split(";")
    fact = by.fill(by.rng.choice(facts))
    joint = mark(by.rng.choice((", and", "and", ".", ".")))
    return fact + joint + by.clause(_own_facet(by), sign) + mark(".") + _verdict(by, sign, 0.15)


def _telegram(by: Critic, sign: int) -> list[Piece]:
    """Adjectives and nouns without a verb: "gorgeous screen, sturdy case." """
    pool = [facet for facet in by.facets if _attributable(facet) and _praisable(facet)]
    one, two = by.rng.sample(pool, 2)
    first = by.described(one, by.rng.choice(one.nouns), sign, "")
    second = by.described(two, by.rng.choice(two.nouns), sign, "")
    if one.aspect == two.aspect or by.rng.random() < 0.4:
        weak = [facet for facet in pool if facet.aspect != two.aspect]
        three = by.rng.choice(weak)
        first = by.described(three, by.rng.choice(three.nouns), -sign, "")
        return first + mark("but") + second + mark(".") + _verdict(by, sign, 0.9)
    return first + mark(by.rng.choice((",", "and", "and"))) + second + mark(".") + _verdict(by, sign, 0.9)


def _because(by: Critic, sign: int) -> list[Piece]:
    heads = {
        1: "i love* {this}; i recommend* {this}; my {relative} loves* {this}; i really like* {this}; i enjoyed* {this}",
        -1: "i hate* {this}; i cannot recommend* {this}; my {relative} dislikes* {this}; i do not like* {this}",
    }
    head = by.fill(by.rng.choice(heads[sign].split(";")[: 5 if not by.goods else 4]), sign)
    because = mark(by.rng.choice(("because", "because", ", since", ":")))
    return head + because + by.clause(_own_facet(by), sign) + mark(".")


def _not_only(by: Critic, sign: int) -> list[Piece]:
    """ "not only" denies nothing, and its "but" turns nothing over."""
    one, two = _two(by, lambda facet: _attributable(facet) and "past" not in facet.flags)
    noun = by.rng.choice(one.nouns)
    be = inflect("be", noun.plural, not by.goods)
    words = by.described(one, noun, sign, "the")
    size = len(noun.text.split())
    head = mark(f"not only {be}") + words[:1] + words[-size:] + words[1:-size]
    return head + mark(", but") + by.plain(two, sign) + mark(by.rng.choice(("as well .", "too .")))


def _advice(by: Critic, sign: int) -> list[Piece]:
    """ "if you want a quiet room, look elsewhere": the praise that is missing blames."""
    one = by.rng.choice([facet for facet in by.facets if "own" in facet.flags])
    noun = by.rng.choice(one.nouns)
    if sign > 0:
        tail = by.fill(
            by.rng.choice(("this is the one for you", "choose* {this}", "look no further* than {this}")), sign
        )
        wanted = by.described(one, noun, 1)
    else:
        tail = by.fill(by.rng.choice(("look elsewhere*", "avoid* {this}", "this is not the one for you")), sign)
        wanted = by.described(one, noun, 1)
        wanted = [piece._replace(polarity="negative") if piece.polarity == "positive" else piece for piece in wanted]
    return mark("if you want") + wanted + mark(",") + tail + mark(".") + _verdict(by, sign, 0.3)


def _outcry(by: Critic, sign: int) -> list[Piece]:
    one, two = _two(by, lambda facet: _attributable(facet) and _praisable(facet))
    noun = by.rng.choice(one.nouns)
    phrase = by.described(one, noun, sign, "a")
    if sign < 0 and by.rng.random() < 0.5:
        be = inflect("be", noun.plural, not by.goods)
        entry = by.choose(one, sign, attributive=True)
        while entry.extreme:
            entry = by.choose(one, sign, attributive=True)
        thing = mark(noun.text, 0, one.aspect, one.domain)
        so = by.say(one, judging(entry.text), sign, entry in GENERAL)
        cry = mark(f"why {be} the") + thing + mark("so") + so + mark("?")
    else:
        cry = mark("what") + phrase + mark("!")
    return cry + by.clause(two, sign) + mark(".")


def _whole(by: Critic, sign: int) -> list[Piece]:
    """A verdict on the item, then a point in support."""
    better = {1: "better", -1: "worse"}[sign]
    be = inflect("be", by.item.plural, not by.goods)
    one = _own_facet(by)
    old = by.rng.choice((("my old" if by.goods else "the last") + (" pair" if by.item.plural else " one"), "expected"))
    head = by.this_item() + mark(f"{be} {by.rng.choice(('much', 'far', 'a lot'))} {better}* than {old}", sign)
    return _start(by, 0.2) + head + mark(by.rng.choice((":", "because", "."))) + by.clause(one, sign) + mark(".")


PATTERNS: tuple[tuple[float, Callable[[Critic, int], list[Piece]]], ...] = (
    (26, _one_point),
    (16, _two_points),
    (15, _contrast),
    (8, _concession),
    (6, _despite),
    (14, _fact_first),
    (5, _telegram),
    (5, _because),
    (3, _not_only),
    (3, _advice),
    (4, _outcry),
    (4, _whole),
)
