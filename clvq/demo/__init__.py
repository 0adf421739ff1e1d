"""The bundled demo: a small classifier of reviews, and a corpus whose truth is known.

`reviews.jsonl.xz` holds the corpus, `pairs.jsonl.xz` reviews that differ in one thing, and `model/` the classifier.
`demo/` at the root of the repository, which is not installed, has the grammar that gave the reviews and the script that
trained the classifier.
"""

from __future__ import annotations

import json
import lzma
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

__all__ = [
    "EVAL_SIZE", "LABELS", "MODEL_PATH", "PAIRS_PATH", "REVIEWS_PATH", "TRAIN_SIZE", "DemoPair", "DemoSentence",
    "DemoWord", "corpus", "pairs",
]  # fmt: skip

MODEL_PATH = Path(__file__).parent / "model"
REVIEWS_PATH = Path(__file__).parent / "reviews.jsonl.xz"
PAIRS_PATH = Path(__file__).parent / "pairs.jsonl.xz"
TRAIN_SIZE = 3200
EVAL_SIZE = 800
LABELS = ("negative", "positive")


class DemoWord(NamedTuple):
    """A word or punctuation mark of a review, `text[start:end]` of it, and the classes that the grammar planted."""

    text: str
    start: int
    end: int
    aspect: str | None
    """What its clause judges, such as "taste"; None where the word does not speak of it."""
    domain: str | None
    """The kind of thing reviewed, such as "kitchen"; None for a word that fits several."""
    polarity: str
    """What the word says in its context: "negative", "neutral" or "positive"."""
    function: bool
    """Whether it is a function word or a mark; those have no aspect, no domain and are neutral."""


class DemoSentence(NamedTuple):
    """A review with its label (an index into `LABELS`) and all its words in order."""

    text: str
    label: int
    words: tuple[DemoWord, ...]


class DemoPair(NamedTuple):
    """Two reviews that differ in one thing, made of the same draws of the grammar."""

    kind: str
    """What differs: "polarity" or "aspect" of a clause, or the "domain" of the review."""
    concept: str
    """What takes another value: of a polarity the aspect that is judged, else the same as `kind`."""
    before: str
    """The value in the first review, such as "negative", "taste" or "kitchen"."""
    after: str
    text: str
    """The first review."""
    counterfactual: str
    """The second review."""
    label: int
    """Of the first review, an index into `LABELS`."""
    counterfactual_label: int


def corpus(split: Literal["train", "eval"]) -> list[DemoSentence]:
    """Return the reviews of a split; no text is in both.

    >>> corpus("train")[0].text
    'if you want sleek cabin lighting, avoid this domestic flight. what a letdown.'
    """
    if split not in ("train", "eval"):
        raise ValueError(f"unknown split {split!r} of the demo corpus: choose train or eval")
    reviews = _reviews()
    return list(reviews[:TRAIN_SIZE] if split == "train" else reviews[TRAIN_SIZE:])


@lru_cache(maxsize=1)
def pairs() -> tuple[DemoPair, ...]:
    """Return the pairs of reviews that differ in one thing; none of their texts is in the corpus.

    >>> pairs()[0].kind
    'polarity'
    """
    with lzma.open(PAIRS_PATH, "rt", encoding="utf-8") as lines:
        return tuple(DemoPair(**json.loads(line)) for line in lines)


@lru_cache(maxsize=1)
def _reviews() -> tuple[DemoSentence, ...]:
    with lzma.open(REVIEWS_PATH, "rt", encoding="utf-8") as lines:
        return tuple(_review(**json.loads(line)) for line in lines)


def _review(text: str, label: int, words: list[list[int | str | bool | None]]) -> DemoSentence:
    """Return a review from a line of the file, whose words are `[start, end, aspect, domain, polarity, function]`."""
    return DemoSentence(text, label, tuple(DemoWord(text[slice(*word[:2])], *word) for word in words))  # type: ignore[arg-type]
