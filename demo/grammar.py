"""Short reviews whose every word carries classes that are known, because this grammar planted them.

The classes, fixed by the grammar and by nothing measured:

- `label` of a sentence: 1 if it praises, 0 if it blames. Where two judgements meet, the main one decides:
  what follows "but", and what is not under "although", "even though", "while", "despite" or "apart from".
- `aspect` of a word: what a clause judges (`ASPECTS`), for all content words of that clause which speak of it: in
  "the bread tasted stale" three words have the aspect taste. None elsewhere: facts, verdicts, names of the item, and
  words that fit anything ("good", "love", "disappointed").
- `domain` of a word: the kind of thing reviewed (`DOMAINS`), for the item's name and for all content words of a facet
  or fact that only this domain has. Words that fit anything, or a facet of several domains ("price tag"), have None.
  Many words ("crisp", "table", "handle") serve several domains; then the sentence holds a noun that settles it.
- `polarity` of a word *in its context*: "negative" or "positive" for words that judge, turned over by
  denial ("not good", "hardly comfortable", "nobody liked"), by comparison ("less noisy", "not as fast"), by
  wish ("could be brighter") and by excess ("too sweet"); "neutral" for all others. Its message counts, not
  the word alone: "cheap" is positive for a hotel and negative for a hinge.
- `function`: a closed list of articles, pronouns, prepositions, auxiliaries and other verbs that only link ("seem",
  "find"), conjunctions, denials, degrees, and all punctuation marks (`phrases.FUNCTION`). Function words have no
  aspect, no domain, and are neutral. (A word of the list that judges in some phrase is no function word there: "like"
  in "i like it".)

All texts are lower-case. Only `random.Random(seed)` is drawn from, so a seed gives the same reviews
everywhere.
"""

from __future__ import annotations

import random

from clvq.demo import DemoSentence, DemoWord
from demo.clauses import Critic
from demo.lexicon import ASPECTS, DOMAINS, KINDS, telling_nouns
from demo.patterns import PATTERNS
from demo.pieces import Piece

__all__ = ["ASPECTS", "DOMAINS", "generate"]

WORDS = range(6, 22)  # lengths of a review, punctuation marks included


def generate(count: int, seed: int) -> list[DemoSentence]:
    """`count` reviews with distinct texts; labels and domains are dealt evenly, block by block."""
    rng = random.Random(seed)
    seen: set[str] = set()
    reviews: list[DemoSentence] = []
    while len(reviews) < count:
        block = [(domain, label) for domain in DOMAINS for label in (0, 1)]
        rng.shuffle(block)
        for domain, label in block:
            review = _review(rng, domain, label)
            while review.text in seen:
                review = _review(rng, domain, label)
            seen.add(review.text)
            reviews.append(review)
    return reviews[:count]


def _review(rng: random.Random, domain: str, label: int) -> DemoSentence:
    """One review of a usable length that names something only its domain has."""
    telling = telling_nouns()
    weights, patterns = zip(*PATTERNS, strict=True)
    while True:
        critic = Critic(rng, rng.choice(list(KINDS[domain])))
        pieces = rng.choices(patterns, weights)[0](critic, 1 if label else -1)
        known = any(piece.domain and telling.get(piece.text) == domain for piece in pieces)
        if len(pieces) in WORDS and known:
            return placed(pieces, label)


def placed(pieces: list[Piece], label: int) -> DemoSentence:
    """Pieces joined into a text; "a" becomes "an" where it must."""
    text = ""
    words = []
    for i, piece in enumerate(pieces):
        word = piece.text
        if word == "a" and _sounds_like_vowel(pieces[i + 1].text):
            word = "an"
        if text and word not in {".", ",", "!", "?", ";", ":"}:
            text += " "
        words.append(DemoWord(word, len(text), len(text) + len(word), *piece[1:]))
        text += word
    return DemoSentence(text, label, tuple(words))


def _sounds_like_vowel(word: str) -> bool:
    if word.startswith(("one", "uni", "use", "euro")):
        return False
    return word[0] in "aeiou" or word.startswith(("hour", "honest"))
