"""Sentences as a model reads them: sub-words joined to words by character offsets.

This module uses only the tokenizer's outputs: ids, character offsets, and which tokens are special.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from clvq.corpus.parts import encodable
from clvq.errors import ClvqError
from clvq.language_model.input_format import InputFormat, Layout
from clvq.language_model.special_tokens import special_ids
from clvq.language_model.words import NON_SPACE, find_words

UNITS = ("word", "token")


class TokenizedSentence(NamedTuple):
    """One text as the model gets it, and which of its tokens make up which word."""

    input_ids: list[int]
    """Token ids `[T]`, special ones included, cut to the model's length; none for an empty text."""
    words: list[tuple[int, int]]
    """Spans `[start, end)` in the text of the words that have a row, in text order."""
    word_tokens: list[tuple[int, ...]]
    """For each of `words`, the positions of its sub-words in `input_ids`. Tuples, which the garbage collector soon
    leaves alone: it would go through millions of lists again and again."""
    sentence_token: int
    """Position of the sentence row: an encoder's first special token, the mask of a cloze prompt, a decoder's last
    token; -1: none."""
    first_token: int
    """Position of the token that a decoder uses as attention sink (0); -1 in an encoder or without tokens."""
    dropped_words: int
    """Words for which the tokenizer made no token of their own."""
    truncated_words: int
    """Words that the length limit cut away or cut through."""
    left_out_tokens: int
    """How many special tokens in `input_ids` have no row: all but the sentence row and those of the prompt."""
    fixed_tokens: Sequence[int] = ()
    """Positions of the prompt's tokens, those of a chat template included. A token that has characters of both the
    prompt and the text is among them."""
    token_types: Sequence[int] = ()
    """For models that are told which of two texts a token is from: 0 or 1 `[T]`; empty for others."""


class WordTokenizer:
    """A fast Hugging Face tokenizer with a length limit, whose tokens are joined to words."""

    def __init__(
        self,
        tokenizer: Any,
        *,
        max_length: int,
        is_decoder: bool,
        input_format: InputFormat | None = None,
        has_mask: bool = False,
    ) -> None:
        """Take a tokenizer. With `has_mask`, the prompt of `input_format` has a mask, whose state is the sentence
        row."""
        self.tokenizer = tokenizer
        self.has_mask = has_mask
        self.max_length = max_length
        self.is_decoder = is_decoder
        self.format = input_format or InputFormat()
        self.special_ids = special_ids(tokenizer)
        # SentencePiece-like tokenizers put a "▁" before the text and give it the first letter's offsets.
        vocabulary = tokenizer.get_vocab()
        self._blank_ids = {number for token, number in vocabulary.items() if token and not token.strip("▁")}

    def __call__(self, texts: Sequence[str], unit: str, words: str) -> list[TokenizedSentence]:
        """Return tokens and words of each text; `words` names how words are found when `unit` is "word"."""
        if unit not in UNITS:
            raise ClvqError(f"unknown unit: {unit!r}. Use one of: {', '.join(UNITS)}.")
        if not texts:
            return []
        # Half of a surrogate pair cannot be encoded; a replacement of the same length keeps every offset.
        layouts = [self.format.layout(encodable(text)) for text in texts]
        sequences = zip(*(layout.sequences for layout in layouts), strict=True)
        encoded = self.tokenizer(
            *map(list, sequences),
            add_special_tokens=self.format.adds_special,
            padding=False,
            truncation=False,  # cut below, to know which words are lost
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            return_attention_mask=False,
            return_token_type_ids=self._has_types,
            verbose=False,
        )
        sentences = []
        for number, layout in enumerate(layouts):
            tokens = _Tokens(
                encoded["input_ids"][number],
                encoded["offset_mapping"][number],
                encoded["special_tokens_mask"][number],
                encoded.sequence_ids(number) if len(layout.sequences) > 1 else None,
                encoded["token_type_ids"][number] if self._has_types else None,
            )
            sentences.append(self._sentence(layout, tokens, None if unit == "token" else words))
        return sentences

    @property
    def _has_types(self) -> bool:
        """Whether the model is told which of two texts a token is from."""
        two_texts = self.format.literals is None and len(self.format.parts) > 1
        return two_texts and "token_type_ids" in self.tokenizer.model_input_names

    def _sentence(self, layout: Layout, tokens: _Tokens, method: str | None) -> TokenizedSentence:
        """Return one text with its tokens joined to words; `method` None makes every token a word."""
        ids, added = tokens.ids, tokens.added
        starts = [self._start(text, token, span) for text, token, span in tokens.read(layout.sequences)]
        segments = _segments_of_tokens(layout, tokens, starts)
        owners: dict[int, list[int]] = {}  # word -> positions of its tokens, in the uncut sentence
        words = _Words(layout, tokens, starts, segments, method)
        for at, start in enumerate(starts):
            number = segments[at]
            if start is not None and not added[at] and number >= 0 and layout.segments[number].has_rows:
                owners.setdefault(words.owner(at, start, number), []).append(at)
        dropped = 0 if method is None else len(words.spans) - len(owners)
        kept = self._kept(added, segments, layout)
        uncut = len(kept) == len(ids)
        new_position = range(len(ids)) if uncut else {old: new for new, old in enumerate(kept)}
        whole = [word for word in sorted(owners) if uncut or all(at in new_position for at in owners[word])]
        input_ids = [ids[at] for at in kept]
        special = [bool(added[at]) or ids[at] in self.special_ids for at in kept]
        fixed = [new for new, old in enumerate(kept) if not added[old] and _is_fixed(layout, segments[old])]
        word_tokens = [tuple([new_position[at] for at in owners[word]]) for word in whole]
        if self.has_mask:
            sentence_token = self._mask_of_prompt(kept, tokens, layout)
        elif not self.is_decoder:
            sentence_token = next((new for new, old in enumerate(kept) if added[old]), -1)
        elif fixed and not self.format.keep_prompt:
            # Only tokens of the prompt follow the last token of the last word.
            sentence_token = max((positions[-1] for positions in word_tokens), default=-1)
        else:
            sentence_token = len(kept) - 1
        without_row = set(fixed) if not self.format.keep_prompt else set()
        left_out = {new for new, is_special in enumerate(special) if is_special} - {sentence_token} - without_row
        return TokenizedSentence(
            input_ids=input_ids,
            words=[words.spans[word] for word in whole],
            word_tokens=word_tokens,
            sentence_token=sentence_token,
            first_token=0 if self.is_decoder and kept else -1,
            dropped_words=dropped,
            truncated_words=len(owners) - len(whole),
            left_out_tokens=len(left_out),
            fixed_tokens=fixed,
            token_types=[] if tokens.types is None else [tokens.types[at] for at in kept],
        )

    def _mask_of_prompt(self, kept: list[int], tokens: _Tokens, layout: Layout) -> int:
        """Return the position of the mask that ends in a literal of the prompt; a text may have masks of its own."""
        for new, old in enumerate(kept):
            if tokens.ids[old] == self.tokenizer.mask_token_id:
                end = tokens.spans[old][1]
                if next(part for part in reversed(layout.segments) if part.start < end).is_fixed:
                    return new
        raise AssertionError("the mask of a prompt is never cut")

    def _start(self, text: str, token: int, span: tuple[int, int]) -> int | None:
        """Return where a token's first non-space character is; None for a special, blank or zero-width token."""
        if token in self.special_ids or (token in self._blank_ids and "▁" not in text[slice(*span)]):
            return None
        start, end = span
        if start < end and text[start].isalnum():  # nearly always
            return start
        found = NON_SPACE.search(text, start, end)
        return found.start() if found else None

    def _kept(self, added: list[int], segments: list[int], layout: Layout) -> list[int]:
        """Return the positions that stay: special tokens that the tokenizer added, tokens of the prompt, and what fits
        of the text. The text's end is cut, or its beginning where the tokenizer truncates on the left. Of several
        parts, the longest is cut.
        """
        excess = max(0, len(added) - self.max_length)
        if not excess:
            return list(range(len(added)))
        own: dict[int, list[int]] = {}
        for at, is_added in enumerate(added):
            if not is_added and not _is_fixed(layout, segments[at]):
                own.setdefault(segments[at], []).append(at)
        cut: set[int] = set()
        for number, length in _lengths_cut({part: len(at) for part, at in own.items()}, excess).items():
            positions = own[number]
            lost = len(positions) - length
            from_left = self.tokenizer.truncation_side == "left"
            cut.update(positions[:lost] if from_left else positions[length:])
        return [at for at in range(len(added)) if at not in cut]


class _Tokens(NamedTuple):
    """What the tokenizer gives for one text `[T]`."""

    ids: list[int]
    spans: list[tuple[int, int]]
    """Characters `[start, end)` in the token's sequence."""
    added: list[int]
    """1 for a special token that is not from the text."""
    sequences: list[int | None] | None
    """Which of two sequences a token is from; None where there is only one."""
    types: list[int] | None

    def sequence(self, at: int) -> int:
        return 0 if self.sequences is None else self.sequences[at] or 0

    def read(self, sequences: list[str]) -> Iterator[tuple[str, int, tuple[int, int]]]:
        """Yield each token's sequence, id and span."""
        for at, (token, span) in enumerate(zip(self.ids, self.spans, strict=True)):
            yield sequences[self.sequence(at)], token, span


class _Words:
    """Where words are: in the tokenizer's sequences, and in the text that is shown."""

    def __init__(
        self, layout: Layout, tokens: _Tokens, starts: list[int | None], segments: list[int], method: str | None
    ) -> None:
        self.spans: list[tuple[int, int]] = []
        """`[start, end)` in the text that is shown. With `method` None: of every token; (0, 0) for one without a
        row."""
        self._by_token = method is None
        self._segments = layout.segments
        self._firsts: dict[int, list[int]] = {}
        self._offset: dict[int, int] = {}
        if method is None:
            for start, (_, end), number in zip(starts, tokens.spans, segments, strict=True):
                self.spans.append((0, 0) if start is None or number < 0 else self._shown(start, end, number))
            return
        for number, segment in enumerate(layout.segments):
            if segment.has_rows:
                found = find_words(segment.text, method)
                self._firsts[number] = [segment.start + first for first, _ in found]
                self._offset[number] = len(self.spans)
                self.spans += [(segment.shown_at + first, segment.shown_at + end) for first, end in found]

    def owner(self, at: int, start: int, segment: int) -> int:
        """Return the index of the word of a token, whose first visible character `start` is in that segment."""
        if self._by_token:
            return at
        # Every non-space character of a segment is in a word.
        return self._offset[segment] + bisect_right(self._firsts[segment], start) - 1

    def _shown(self, start: int, end: int, number: int) -> tuple[int, int]:
        segment = self._segments[number]
        end = min(max(start, end), segment.start + len(segment.text))
        return segment.shown_at + start - segment.start, segment.shown_at + end - segment.start


_MIXED = -1
"""In place of a segment, for a token with characters of both the prompt and the text; it counts as the prompt's."""


def _segments_of_tokens(layout: Layout, tokens: _Tokens, starts: list[int | None]) -> list[int]:
    """Return the segment of each token `[T]`, or _MIXED: for a token with visible characters of a literal besides
    others, and, if it has no visible character, for one with any character of a literal besides others."""
    if len(layout.segments) == 1:
        return [0] * len(tokens.ids)
    numbers = [[n for n, segment in enumerate(layout.segments) if segment.sequence == s] for s in (0, 1)]
    firsts = [[layout.segments[n].start for n in of_sequence] for of_sequence in numbers]
    found = []
    for at, (start, (begin, end)) in enumerate(zip(starts, tokens.spans, strict=True)):
        if tokens.added[at]:
            found.append(_MIXED)
            continue
        sequence = tokens.sequence(at)
        first = begin if start is None else start
        owner = numbers[sequence][max(0, bisect_right(firsts[sequence], first) - 1)]
        last = numbers[sequence][max(0, bisect_right(firsts[sequence], max(first, end - 1)) - 1)]
        for number in range(owner + 1, last + 1):
            segment = layout.segments[number]
            inside = segment.text[: max(0, end - segment.start)]
            if segment.is_fixed and inside and (start is None or NON_SPACE.search(inside)):
                owner = _MIXED
                break
        else:
            # White space that begins in a literal and ends in the text counts as the literal's.
            owner = _MIXED if layout.segments[owner].is_fixed and last != owner else owner
        found.append(owner)
    return found


def _is_fixed(layout: Layout, segment: int) -> bool:
    return segment == _MIXED or layout.segments[segment].is_fixed


def _lengths_cut(lengths: dict[int, int], excess: int) -> dict[int, int]:
    """Return how many tokens of each part stay. Each token is taken from the longest part; of equally long parts, from
    the one that was shorter at first, as in the tokenizers library."""
    left = dict(lengths)
    for _ in range(min(excess, sum(lengths.values()))):
        longest = max(left, key=lambda part: (left[part], -lengths[part], -part))
        left[longest] -= 1
    return left
