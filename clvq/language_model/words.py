"""Where the words of a text are: character spans found on the raw text, before any tokenizer sees it."""

from __future__ import annotations

from collections.abc import Iterable

import regex

from clvq.errors import ClvqError

WORD_METHODS = ("text", "whitespace")

# One meaning of "space" for words and for sub-words (language_model asks for a sub-word's first non-space
# character); `str.isspace` would differ on the separators U+001C to U+001F.
NON_SPACE = regex.compile(r"\S")

# Apostrophes and hyphens join letters from the inside. So do the invisible soft hyphen and the zero-width
# (non-)joiner, without which Persian or Indic words would fall apart.
_JOINERS = "['’\\-\u2010\u2011\u00ad\u200c\u200d]"
_NO_LETTER = regex.compile(r"[^\p{L}\p{M}]+")
_LETTERS = r"[\p{L}\p{M}\p{N}]+"
_PATTERNS = {
    # `\X` is one mark as a reader sees it: an emoji with its joiners and modifiers is one, not five. Format
    # characters go first, because some of them would take a following space with them.
    "text": regex.compile(rf"{_LETTERS}(?:{_JOINERS}{_LETTERS})*|\p{{Cf}}|(?!\s)\X"),
    "whitespace": regex.compile(r"\S+"),
}


# Scripts written without spaces, and how long a run of their letters is more than a word.
_HAN_AND_KANA = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}ー]"
_SOUTH_EAST_ASIAN = r"[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Javanese}\p{Balinese}\p{Tai_Tham}]"
_PHRASE = regex.compile(rf"{_HAN_AND_KANA}{{5,}}|{_SOUTH_EAST_ASIAN}{{13,}}")


def note_on_script(texts: Iterable[str]) -> str | None:
    """Return what to know where most letters of `texts` stand in phrases without spaces, each of them one word."""
    letters = in_phrases = 0
    example = None
    for text in texts:
        letters += len(_NO_LETTER.sub("", text))
        for match in _PHRASE.finditer(text):
            in_phrases += len(match[0])
            example = example or match[0]
    if example is None or 2 * in_phrases <= letters:
        return None
    return (
        f"Warning: the texts are in a script without spaces: {example!r} is one word. --unit token gives tokens a row."
    )


def find_words(text: str, method: str) -> list[tuple[int, int]]:
    """Spans `[start, end)` of the words of `text`, in order, apart; every non-space character is in one.

    `"text"`: runs of letters, marks and digits with inner apostrophes or hyphens; any other mark alone.
    `"whitespace"`: maximal runs without space, for text that is already split into words.
    """
    if method not in _PATTERNS:
        raise ClvqError(f"unknown way to find words: {method!r}. Use one of: {', '.join(WORD_METHODS)}.")
    return [match.span() for match in _PATTERNS[method].finditer(text)]
