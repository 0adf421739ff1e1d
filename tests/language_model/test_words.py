"""Words on raw text: examples by eye, and what must hold for any text at all."""

from __future__ import annotations

import random

import pytest

from clvq.errors import ClvqError
from clvq.language_model.words import NON_SPACE, WORD_METHODS, find_words, note_on_script


def words(text: str, method: str = "text") -> list[str]:
    return [text[start:end] for start, end in find_words(text, method)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\r\n\u3000", []),
        ("The film wasn't good!", ["The", "film", "wasn't", "good", "!"]),
        ("rock'n'roll, well-known; it’s", ["rock'n'roll", ",", "well-known", ";", "it’s"]),
        ("'tis a--b -", ["'", "tis", "a", "-", "-", "b", "-"]),
        ("so... 3.14", ["so", ".", ".", ".", "3", ".", "14"]),
        ("cafe\u0301 \u0301a", ["cafe\u0301", "\u0301a"]),
        ("a\0b\u200bc", ["a", "\0", "b", "\u200b", "c"]),
        ("❤️👍🏽👨‍👩‍👧🇩🇪", ["❤️", "👍🏽", "👨‍👩‍👧", "🇩🇪"]),
        ("می‌خواهم שלום", ["می‌خواهم", "שלום"]),
        ("soft\u00adhyphen", ["soft\u00adhyphen"]),
        ("世界。", ["世界", "。"]),
    ],
)
def test_words_of_text(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_whitespace_keeps_what_stands_together() -> None:
    assert words(" a  b,c\n\0 d ", "whitespace") == ["a", "b,c", "\0", "d"]


@pytest.mark.parametrize("method", WORD_METHODS)
def test_every_character_that_is_not_space_is_in_exactly_one_word(method: str) -> None:
    draw = random.Random(0)
    alphabet = [
        *"ab'’- .!\n\0\t0",
        "\u0301",
        "\u200d",
        "\u200b",
        "\ufe0f",
        "😀",
        "🇩",
        "\u0600",
        "ש",
        "世",
        "\x1c",
        "\u0d4e",
    ]
    for _ in range(2000):
        text = "".join(draw.choices(alphabet, k=draw.randrange(12)))
        spans = find_words(text, method)
        inside = [at for start, end in spans for at in range(start, end)]
        assert inside == [found.start() for found in NON_SPACE.finditer(text)], repr(text)
        assert all(start < end for start, end in spans)


def test_unknown_method_names_the_known_ones() -> None:
    with pytest.raises(ClvqError, match="text, whitespace"):
        find_words("a", "letters")


@pytest.mark.parametrize(
    ("texts", "phrase"),
    [
        (["我喜欢这部电影非常好看", "不好看"], "我喜欢这部电影非常好看"),
        (["这部电影，很好看。", "演员的表演很精彩！"], "演员的表演很精彩"),
        (["この映画はとても面白かったです。", "つまらない。"], "この映画はとても面白かったです"),
        (["หนังเรื่องนี้ดีมาก", "ฉันไม่ชอบหนังเรื่องนี้"], "หนังเรื่องนี้ดีมาก"),
        (["ភាពយន្តនេះល្អណាស់"], "ភាពយន្តនេះល្អណាស់"),
        (["我 喜欢 这 部 电影", "非常 好看"], None),
        (["ฉัน ชอบ หนัง เรื่อง นี้"], None),
        (["이 영화는 정말 재미있었습니다", "재미없는영화"], None),
        (["The film was unbelievably good", "supercalifragilistic"], None),
        (["Donaudampfschifffahrtsgesellschaftskapitän"], None),
        (["He said 我喜欢这部电影 and left the cinema for good"], None),
        (["שלום עולם", "это хороший фильм", "यह फिल्म अच्छी है"], None),
        (["", "123 !!"], None),
        ([], None),
    ],
)
def test_scripts_without_spaces_are_recognised(texts: list[str], phrase: str | None) -> None:
    note = note_on_script(texts)
    assert (note is None) == (phrase is None)
    assert phrase is None or f"{phrase!r} is one word. --unit token" in str(note)
