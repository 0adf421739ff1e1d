"""Texts that are too long to be shown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clvq.concepts.excerpts import AROUND, LONGEST_WORD, Excerpt, shortened

LENGTHS = st.one_of(st.integers(0, 5), st.integers(AROUND - 2, 2 * AROUND + 4))


@given(st.lists(st.tuples(LENGTHS, st.integers(1, 2 * LONGEST_WORD)), max_size=5), LENGTHS)
def test_an_excerpt_keeps_words_and_what_stands_around_them(words: list[tuple[int, int]], rest: int) -> None:
    """`words` are the lengths of a gap and of the word behind it."""
    text, spans = "", []
    for gap, length in words:
        text += "".join(chr(0x4E00 + (len(text) + i) % 5000) for i in range(gap))
        spans.append((len(text), len(text) + length))
        text += "".join(chr(ord("a") + i % 26) for i in range(length))
    text += "".join(chr(0x3041 + i % 80) for i in range(rest))
    shown = Excerpt(text, spans)
    for start, end in spans:
        assert shown.text[shown.at(start) : shown.at(end)] == shortened(text[start:end])
        before = text[max(start - AROUND, 0) : start]
        assert shown.text[: shown.at(start)].endswith(before[-AROUND:]) or any(
            end > start - AROUND for _, end in spans if end <= start
        )
    assert len(shown.text) <= len(text) + len(shown.text) - len(shown.text.replace("…", ""))
    assert len(shown.text) <= (len(spans) + 1) * (2 * AROUND + LONGEST_WORD + 3)
    if len(text) <= AROUND and all(end - start <= LONGEST_WORD for start, end in spans):
        assert shown.text == text


def test_a_long_text_without_words_is_its_beginning() -> None:
    assert Excerpt("a" * 5000, []).text == "a" * (2 * AROUND) + "…"
