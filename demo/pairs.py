"""Write the pairs of reviews that `clvq.demo.pairs` reads: `python -m demo.pairs`.

The two reviews of a pair come from the same draws of the grammar and differ in one thing:

    polarity   one clause praises instead of blaming, or the other way round; the label follows the main clause
    aspect     one clause judges another part of the same item, with the same polarity; the label stays
    domain     the same is said of another kind of thing: all that names it changes; the label stays

Where two clauses meet, the second is the main one: "and" joins clauses of one mind, ", but" those that disagree. No
text is in the corpus, so that no pair was seen in training. The same grammar gives the same bytes.
"""

from __future__ import annotations

import json
import lzma
import random
from typing import NamedTuple

from clvq.demo import PAIRS_PATH, DemoPair, DemoSentence, corpus
from clvq.storage import atomic_path
from demo.clauses import Critic
from demo.grammar import WORDS, placed
from demo.lexicon import DOMAIN_OF, DOMAINS, KINDS, Facet, facets, telling_nouns
from demo.pieces import POLARITY, Piece, mark

SEED = 71
PER_KIND = 300


class _Plan(NamedTuple):
    """What decides a review. A change of one field leaves the draws of all else as they are."""

    key: str
    """Of the draws."""
    kind: str
    """Of item, a key of `KINDS`."""
    aspects: tuple[str, ...]
    """Of the clauses, the main one last."""
    signs: tuple[int, ...]


def generate(per_kind: int = PER_KIND, seed: int = SEED) -> list[DemoPair]:
    """Return `per_kind` pairs of each kind, with texts that all differ from one another and from the corpus."""
    rng = random.Random(seed)
    seen = {review.text for split in ("train", "eval") for review in corpus(split)}
    pairs: list[DemoPair] = []
    for kind, change in (("polarity", _other_polarity), ("aspect", _other_aspect), ("domain", _other_domain)):
        count = 0
        while count < per_kind:
            before = _plan(rng, f"{seed} {rng.random()}")
            after = change(rng, before)
            old, new = _review(before), _review(after)
            if old is None or new is None or old.text == new.text or seen & {old.text, new.text}:
                continue
            seen |= {old.text, new.text}
            pairs.append(_pair(kind, before, after, old, new))
            count += 1
    return pairs


def _pair(kind: str, before: _Plan, after: _Plan, old: DemoSentence, new: DemoSentence) -> DemoPair:
    place = next((i for i, sides in enumerate(zip(before.signs, after.signs, strict=True)) if len({*sides}) > 1), 0)
    values = {
        "polarity": lambda plan: POLARITY[plan.signs[place]],
        "aspect": lambda plan: plan.aspects[0],
        "domain": lambda plan: DOMAIN_OF[plan.kind],
    }[kind]
    concept = before.aspects[place] if kind == "polarity" else kind
    return DemoPair(kind, concept, values(before), values(after), old.text, new.text, old.label, new.label)


def _plan(rng: random.Random, key: str) -> _Plan:
    kind = rng.choice(list(KINDS[rng.choice(DOMAINS)]))
    known = sorted({facet.aspect for facet in _facets(kind)})
    aspects = tuple(rng.sample(known, rng.choice((1, 2))))
    return _Plan(key, kind, aspects, tuple(rng.choice((1, -1)) for _ in aspects))


def _other_polarity(rng: random.Random, plan: _Plan) -> _Plan:
    place = rng.randrange(len(plan.signs))
    return plan._replace(signs=tuple(-sign if i == place else sign for i, sign in enumerate(plan.signs)))


def _other_aspect(rng: random.Random, plan: _Plan) -> _Plan:
    known = sorted({facet.aspect for facet in _facets(plan.kind)} - set(plan.aspects))
    return plan._replace(aspects=(rng.choice(known), *plan.aspects[1:]))


def _other_domain(rng: random.Random, plan: _Plan) -> _Plan:
    kinds = [kind for domain in DOMAINS if domain != DOMAIN_OF[plan.kind] for kind in KINDS[domain]]
    able = [kind for kind in kinds if set(plan.aspects) <= {facet.aspect for facet in _facets(kind)}]
    return plan._replace(kind=rng.choice(able)) if able else plan


def _review(plan: _Plan) -> DemoSentence | None:
    """Return a review; None where it is no review that the grammar would give."""
    critic = Critic(random.Random(plan.key), plan.kind)
    clauses = [_clause(critic, plan, place) for place in range(len(plan.aspects))]
    joint = [] if len(clauses) == 1 else mark("and" if len({*plan.signs}) == 1 else ", but")
    pieces = [*clauses[0], *joint, *(clauses[1] if joint else []), *mark(".")]
    known = any(piece.domain and telling_nouns().get(piece.text) == critic.domain for piece in pieces)
    if len(pieces) not in WORDS or not known:
        return None
    return placed(pieces, int(plan.signs[-1] > 0))


def _clause(critic: Critic, plan: _Plan, place: int) -> list[Piece]:
    """Return a clause whose draws depend on its own place alone, so that what changes in one leaves the other."""
    critic.rng = random.Random(f"{plan.key} {place}")
    facet = critic.rng.choice([facet for facet in _facets(plan.kind) if facet.aspect == plan.aspects[place]])
    return critic.clause(facet, plan.signs[place])


def _facets(kind: str) -> tuple[Facet, ...]:
    return facets()[kind]


def lines() -> bytes:
    """Return a JSON line for each pair."""
    return "".join(json.dumps(pair._asdict(), separators=(",", ":")) + "\n" for pair in generate()).encode()


if __name__ == "__main__":
    with atomic_path(PAIRS_PATH) as path:
        path.write_bytes(lzma.compress(lines(), preset=9 | lzma.PRESET_EXTREME))
    print(f"{PAIRS_PATH}: {PAIRS_PATH.stat().st_size} bytes")
