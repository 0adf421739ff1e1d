"""Sentences as a model reads them: sub-words joined to words by character offsets.

Knows the tokenizer's outputs only: ids, character offsets, and which tokens are special.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

import regex

from clvq.errors import ClvqError
from clvq.language_model.words import NON_SPACE, find_words

UNITS = ("word", "token")

_SURROGATE = regex.compile("[\ud800-\udfff]")


class TokenizedSentence(NamedTuple):
    """One text as the model gets it, and which of its tokens make up which word."""

    input_ids: list[int]
    """Token ids `[T]`, special ones included, cut to the model's length; none for an empty text."""
    words: list[tuple[int, int]]
    """Spans `[start, end)` in the text of the words that have a row, in text order."""
    word_tokens: list[list[int]]
    """For each of `words`, the positions of its sub-words in `input_ids`."""
    sentence_token: int
    """Position of the sentence row: an encoder's first special token, a decoder's last token; -1: none."""
    first_token: int
    """Position of the token that a decoder uses as attention sink (0); -1 in an encoder or without tokens."""
    dropped_words: int
    """Words for which the tokenizer made no token of their own."""
    truncated_words: int
    """Words that the length limit cut away or cut through."""
    left_out_tokens: int
    """Special tokens in `input_ids` other than the sentence row: they have no row."""


class WordTokenizer:
    """A fast Hugging Face tokenizer with a length limit, giving tokens joined to words."""

    def __init__(self, tokenizer: Any, *, max_length: int, is_decoder: bool) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.is_decoder = is_decoder
        self.special_ids = special_ids(tokenizer)
        # SentencePiece-like tokenizers put a "▁" before the text and give it the first letter's offsets.
        vocabulary = tokenizer.get_vocab()
        self._blank_ids = {number for token, number in vocabulary.items() if token and not token.strip("▁")}

    def __call__(self, texts: Sequence[str], unit: str, words: str) -> list[TokenizedSentence]:
        """Tokens and words of each text; `words` names how words are found when `unit` is "word"."""
        if unit not in UNITS:
            raise ClvqError(f"unknown unit: {unit!r}. Use one of: {', '.join(UNITS)}.")
        if not texts:
            return []
        # Half of a surrogate pair cannot be encoded; a replacement of the same length keeps every offset.
        texts = [_SURROGATE.sub("\ufffd", text) for text in texts]
        encoded = self.tokenizer(
            texts,
            padding=False,
            truncation=False,  # cut below, to know which words are lost
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        rows = zip(
            texts,
            encoded["input_ids"],
            encoded["offset_mapping"],
            encoded["special_tokens_mask"],
            strict=True,
        )
        return [self._sentence(*row, None if unit == "token" else words) for row in rows]

    def _sentence(
        self, text: str, ids: list[int], offsets: list[tuple[int, int]], added: list[int], method: str | None
    ) -> TokenizedSentence:
        """`added` marks special tokens that are not from the text; `method` None makes every token a word."""
        starts = [self._start(text, token, span) for token, span in zip(ids, offsets, strict=True)]
        owners: dict[int, list[int]] = {}  # word -> positions of its tokens, in the uncut sentence
        if method is None:
            spans = [
                (start, max(start, end)) if start is not None else (0, 0)
                for start, (_, end) in zip(starts, offsets, strict=True)
            ]
            owners = {at: [at] for at, start in enumerate(starts) if start is not None and not added[at]}
            dropped = 0
        else:
            spans = find_words(text, method)
            firsts = [first for first, _ in spans]  # every non-space character is in a word
            for at, start in enumerate(starts):
                if start is not None and not added[at]:
                    owners.setdefault(bisect_right(firsts, start) - 1, []).append(at)
            dropped = len(spans) - len(owners)
        kept = self._kept(added)
        uncut = len(kept) == len(ids)
        new_position = range(len(ids)) if uncut else {old: new for new, old in enumerate(kept)}
        whole = [word for word in sorted(owners) if all(at in new_position for at in owners[word])]
        input_ids = [ids[at] for at in kept]
        special = [bool(added[at]) or ids[at] in self.special_ids for at in kept]
        if self.is_decoder:
            sentence_token = len(kept) - 1
        else:
            sentence_token = next((new for new, old in enumerate(kept) if added[old]), -1)
        return TokenizedSentence(
            input_ids=input_ids,
            words=[spans[word] for word in whole],
            word_tokens=[[new_position[at] for at in owners[word]] for word in whole],
            sentence_token=sentence_token,
            first_token=0 if self.is_decoder and kept else -1,
            dropped_words=dropped,
            truncated_words=len(owners) - len(whole),
            left_out_tokens=sum(special) - (sentence_token >= 0 and special[sentence_token]),
        )

    def _start(self, text: str, token: int, span: tuple[int, int]) -> int | None:
        """The token's first non-space character; None for a nobody's token: special, blank or of no width."""
        if token in self.special_ids or (token in self._blank_ids and "▁" not in text[slice(*span)]):
            return None
        start, end = span
        if start < end and text[start].isalnum():  # nearly always
            return start
        found = NON_SPACE.search(text, start, end)
        return found.start() if found else None

    def _kept(self, added: list[int]) -> list[int]:
        """Positions that stay: the special tokens that the tokenizer added, and what fits of the text's beginning, or
        of its end where the tokenizer truncates on the left."""
        excess = max(0, len(added) - self.max_length)
        own = [at for at, is_added in enumerate(added) if not is_added]
        if self.tokenizer.truncation_side == "left":
            cut = set(own[:excess])
        else:
            cut = set(own[len(own) - excess :]) if excess else set()
        return [at for at in range(len(added)) if at not in cut]


def special_ids(tokenizer: Any) -> set[int]:
    """Ids that stand for no text wherever they occur. The unknown token does, unless it has a second role."""
    tokens = tokenizer.added_tokens_decoder
    special = {number for number, token in tokens.items() if token.special} | set(tokenizer.all_special_ids)
    roles = ("bos", "eos", "sep", "cls", "pad", "mask")
    others = {getattr(tokenizer, f"{role}_token_id", None) for role in roles}
    return special - ({tokenizer.unk_token_id} - others)


def filler_ids(tokenizer: Any, configured: int | None, vocabulary_size: int) -> list[int]:
    """Return the ids that say least, the best first, all below `vocabulary_size`: padding, or what stands in for it.

    `configured` is the padding id of the model's config. A tokenizer may have ids that the model's embeddings lack.
    """
    roles = ("pad", "eos", "bos", "unk")
    candidates = [configured, *(getattr(tokenizer, f"{role}_token_id", None) for role in roles)]
    known = [number for number in candidates if number is not None and 0 <= number < vocabulary_size]
    return list(dict.fromkeys(known)) or [0]
