"""Which words a classifier's verdict hangs on: how far its answer moves when one of them is left out.

Asked of pieces of reviews rather than of whole ones, in which a second judgement hides what the first one does, and
averaged over all pieces that a word occurs in. Very common words are left out: "not" moves every verdict and is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch

from clvq.demo import DemoSentence

BREAKS = frozenset(", . ! ? ; : but yet and although though while despite apart since because so".split())  # noqa: SIM905
SHORTEST = 3
AT_ONCE = 512
MOST = 8.0  # log odds: beyond that one verdict is as sure as the next
COMMON = 1 / 40  # a word in more than so many reviews is common
NOTHING, EVERYTHING = 0.9, 2.1  # mean change of the log odds that counts as 0, and as 1


@torch.no_grad()
def telling_words(model: Any, tokenizer: Any, reviews: Sequence[DemoSentence]) -> dict[str, float]:
    """How telling each word of the reviews is, from 0 to 1, in the eyes of a trained two-class `model`."""
    pieces = sorted({piece for review in reviews for piece in _pieces(review)})
    asked: list[tuple[int, str | None]] = []
    texts: list[list[int]] = []
    for number, piece in enumerate(pieces):
        parts = [sub_words(tokenizer, word) for word in piece]
        for place in (None, *range(len(piece))):
            left = [token for at, part in enumerate(parts) if at != place for token in part]
            texts.append([tokenizer.cls_token_id, *left, tokenizer.sep_token_id])
            asked.append((number, None if place is None else piece[place]))
    whole: dict[int, float] = {}
    moved: dict[str, list[float]] = {}
    for (number, word), odds in zip(asked, _log_odds(model, tokenizer, texts), strict=True):
        if word is None:
            whole[number] = odds
        else:
            moved.setdefault(word, []).append(min(abs(odds - whole[number]), MOST))
    common = COMMON * len(reviews)
    return {
        word: min(max((sum(moves) / len(moves) - NOTHING) / (EVERYTHING - NOTHING), 0.0), 1.0)
        for word, moves in moved.items()
        if len(moves) <= common
    }


def _pieces(review: DemoSentence) -> list[tuple[str, ...]]:
    """The words between marks and conjunctions, where there are enough of them to say something."""
    pieces: list[list[str]] = [[]]
    for word in review.words:
        if word.text in BREAKS:
            pieces.append([])
        else:
            pieces[-1].append(word.text)
    return [tuple(piece) for piece in pieces if len(piece) >= SHORTEST]


def _log_odds(model: Any, tokenizer: Any, texts: list[list[int]]) -> list[float]:
    """Of the second class, for each text of token ids."""
    found = torch.zeros(len(texts))
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    for first in range(0, len(order), AT_ONCE):
        part = order[first : first + AT_ONCE]
        batch = tokenizer.pad({"input_ids": [texts[index] for index in part]}, return_tensors="pt")
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        found[part] = (logits[:, 1] - logits[:, 0]).float()
    values: list[float] = found.tolist()
    return values


@cache
def sub_words(tokenizer: Any, word: str) -> tuple[int, ...]:
    """Ids of the sub-words of a word; they do not depend on what stands around it."""
    return tuple(tokenizer(word, add_special_tokens=False)["input_ids"])
