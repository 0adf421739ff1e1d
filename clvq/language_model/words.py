"""Where the words of a text are: character spans found on the raw text, before any tokenizer sees it."""

from __future__ import annotations

from collections.abc import Iterable

import regex

from clvq.corpus.forms import BETWEEN_SPACES
from clvq.errors import ClvqError

WORD_METHODS = ("text", "whitespace")

# "Space" means the same for words and for sub-words: `tokenization` looks for a sub-word's first non-space character by
# this pattern. `str.isspace` would differ on the separators U+001C to U+001F.
NON_SPACE = regex.compile(r"\S")

# Apostrophes and hyphens inside a word join its letters. So do the invisible soft hyphen and the zero-width
# (non-)joiner; without them, Persian or Indic words would be cut into pieces.
_JOINERS = "['’\\-\u2010\u2011\u00ad\u200c\u200d]"
_NO_LETTER = regex.compile(r"[^\p{L}\p{M}]+")
_LETTERS = r"[\p{L}\p{M}\p{N}]+"
_PATTERNS = {
    # `\X` is one mark as a reader sees it: an emoji with its joiners and modifiers is one mark, not five. Format
    # characters come before `\X`, because with some of them `\X` would also match the space that follows.
    "text": regex.compile(rf"{_LETTERS}(?:{_JOINERS}{_LETTERS})*|\p{{Cf}}|(?!\s)\X"),
    "whitespace": BETWEEN_SPACES,
}


# Scripts written without spaces. A run of at least so many of their letters is more than one word.
_HAN_AND_KANA = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}ー]"
_SOUTH_EAST_ASIAN = r"[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Javanese}\p{Balinese}\p{Tai_Tham}]"
_PHRASE = regex.compile(rf"{_HAN_AND_KANA}{{5,}}|{_SOUTH_EAST_ASIAN}{{13,}}")


def note_on_script(texts: Iterable[str]) -> str | None:
    """Return a warning where most letters of `texts` are in phrases without spaces, which count as one word each; else
    None."""
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
        f"Warning: the texts are in a script without spaces: {example!r} is one word. --unit token gives each "
        "token its own row."
    )


def find_words(text: str, method: str) -> list[tuple[int, int]]:
    """Return the spans `[start, end)` of the words of `text`, in order. Spans do not overlap, and every non-space
    character is in one.

    `"text"`: runs of letters, marks and digits with inner apostrophes or hyphens; any other mark alone.
    `"whitespace"`: maximal runs without space, for text that is already split into words.
    """
    if method not in _PATTERNS:
        raise ClvqError(f"unknown way to find words: {method!r}. Use one of: {', '.join(WORD_METHODS)}.")
    return [match.span() for match in _PATTERNS[method].finditer(text)]
