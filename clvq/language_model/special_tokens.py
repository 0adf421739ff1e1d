"""Which token ids are special, and which can stand for padding."""

from __future__ import annotations

from typing import Any


def special_ids(tokenizer: Any) -> set[int]:
    """Return the ids that never stand for text. The unknown token stands for text, unless it has a second role."""
    tokens = tokenizer.added_tokens_decoder
    special = {number for number, token in tokens.items() if token.special} | set(tokenizer.all_special_ids)
    return special - {unknown_token(tokenizer)}


def unknown_token(tokenizer: Any) -> int | None:
    """Return the id that stands for any text that a tokenizer does not know; None without one, or where it has a second
    role."""
    roles = ("bos", "eos", "sep", "cls", "pad", "mask")
    others = {getattr(tokenizer, f"{role}_token_id", None) for role in roles}
    return None if tokenizer.unk_token_id in others else tokenizer.unk_token_id


def filler_ids(tokenizer: Any, configured: int | None, vocabulary_size: int) -> list[int]:
    """Return the ids that may be used as padding, the best first: the padding id, then others that can replace it.

    `configured` is the padding id of the model's config. All ids returned are below `vocabulary_size`, because a
    tokenizer may have ids that the model's embeddings lack.
    """
    roles = ("pad", "eos", "bos", "unk")
    candidates = [configured, *(getattr(tokenizer, f"{role}_token_id", None) for role in roles)]
    known = [number for number in candidates if number is not None and 0 <= number < vocabulary_size]
    return list(dict.fromkeys(known)) or [0]
