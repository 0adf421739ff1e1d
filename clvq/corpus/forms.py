"""Forms of labels: one class a text, a number, a list of labels, or a label for each word."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any, Literal

import regex

from clvq.corpus.files import NUMBER
from clvq.errors import ClvqError

LabelForm = Literal["class", "number", "several", "words"]
"""What the label column holds. class: one class. number: a number. several: a list of the labels that a text has, or a
list with a 0 or 1 for each label. words: a list with a label for each word, where words are separated by white
space. A text may stand for a list (`listed`)."""

ListLabel = tuple[int | str | None, ...]

SEPARATORS = ("|", ";", ",")
"""What may stand between labels that are written as one text."""

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")
BETWEEN_SPACES = regex.compile(r"\S+")
"""Words between white space. To `re`, U+001C to U+001F would be space too."""
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_BETWEEN_BLANKS = re.compile(r"'[^']*'|\"[^\"]*\"|[^\s'\"]+")
_BETWEEN_COMMAS = re.compile(r"\s*'[^']*'\s*|\s*\"[^\"]*\"\s*|[^,'\"]+")
_ONE_LITERAL = re.compile(r"'([^'\\]|\\.)*'|\"([^\"\\]|\\.)*\"|[^'\"]*")
_FLAGS = {"0": 0, "0.0": 0, "false": 0, "1": 1, "1.0": 1, "true": 1}
_NO_TAG = (-1, -100)
"""Numbers that mean that a word has no label; training with transformers leaves out words with -100."""


def as_number(value: Any) -> float | None:
    """Return the number that a label is; None where there is none. ValueError where it is not a finite number."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    number = float(value)
    if isinstance(value, bool) or math.isinf(number):
        raise ValueError(value)
    return None if math.isnan(number) else number


def label_key(value: Any) -> str:
    """Return a key that all spellings of one label share: 1, "1" and "1.0"; "Good" and "good "."""
    text = str(value).strip()
    if NUMBER.fullmatch(text) and (number := Decimal(text)) % 1 == 0:
        return str(int(number))
    return text.casefold()


def written_list(text: str) -> list[Any] | None:
    """Return the list of names or numbers that a text is in the notation of JSON, Python or NumPy: "['joy', 'fear']",
    "[0 1]". None for any other text, also for a list that holds something else."""
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return None
    with suppress(ValueError, RecursionError):
        return _of_scalars(json.loads(text))
    with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
        parsed = ast.parse(text, mode="eval").body
        parts = parsed.elts if isinstance(parsed, ast.List) else []
        # NumPy writes 'joy' 'fear' side by side, which Python reads as one text.
        if parts and all(_ONE_LITERAL.fullmatch(ast.get_source_segment(text, part) or "") for part in parts):
            return _of_scalars([ast.literal_eval(part) for part in parts])
    inner = text[1:-1]
    if {"[", "]"} & {*inner}:
        return None
    entries = (_BETWEEN_COMMAS if "," in _QUOTED.sub("", inner) else _BETWEEN_BLANKS).findall(inner)
    plain = (entry.strip().strip("'\"") for entry in entries)
    return [{"True": True, "False": False}.get(entry, entry) for entry in plain if entry]


def _of_scalars(values: Any) -> list[Any] | None:
    scalars = str | int | float | None
    return values if isinstance(values, list) and all(isinstance(value, scalars) for value in values) else None


def listed(value: str, form: LabelForm, known: Collection[str]) -> list[Any] | str:
    """Return the labels that a text lists: as a list that is written out, as tags between blanks for "words", or joined
    by one of SEPARATORS. What is joined must be numbers, flags, or labels whose keys are in `known`, none of which
    holds the separator. Any other text is one label."""
    if form == "words":
        values = written_list(value)
        return value.split() if values is None else values
    if label_key(value) in known:
        return value
    if (values := written_list(value)) is not None:
        return values
    for separator in SEPARATORS:
        parts = [part.strip() for part in value.split(separator)]
        if len(parts) < 2 or any(separator in label for label in known):
            continue
        if all(part.isdecimal() or label_key(part) in known for part in parts):
            return parts
        if all(part.casefold() in _FLAGS for part in parts):
            return [_FLAGS[part.casefold()] for part in parts]
    return value


def as_list(value: Any, form: LabelForm, text: str | None, known: Collection[str] = ()) -> ListLabel | None:
    """Return the labels of a text, or of its words; None where there are none. `known` are the keys of labels.

    ValueError, with what is wrong: no list, entries of different kinds, or not as many labels as words.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, str):
        if not value.strip():
            return None
        value = listed(value, form, known)
    if not isinstance(value, list | tuple):
        if form == "words":
            raise ValueError("is not a list with a label for each word")
        value = [value]
    entries = tuple(_entry(entry, form) for entry in value)
    kinds = {type(entry) for entry in entries if entry is not None}
    if len(kinds) > 1:
        raise ValueError("holds both names and numbers")
    if form == "words" and text is not None and (words := len(BETWEEN_SPACES.findall(text))) != len(entries):
        raise ValueError(f"holds {len(entries)} labels for {words} words, counted at white space")
    return entries


def _entry(value: Any, form: LabelForm) -> int | str | None:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, str) and value.strip():
        return value.strip()
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float) and value % 1 == 0:
        if value >= 0:
            return int(value)
        if form == "words" and value in _NO_TAG:
            return None
    raise ValueError("holds an entry that is neither a name nor a whole number from 0")


def as_flags(values: list[Any]) -> ListLabel | None:
    """Return a 0 or 1 for each label from the columns of a row; None where all are blank or -1, which means unknown.

    ValueError, with what is wrong: another value, or only some that are known.
    """
    flags = [None if _is_blank(value) else _FLAGS.get(str(value).strip().casefold(), value) for value in values]
    if any(flag not in (0, 1, None) for flag in flags):
        raise ValueError("holds another value than 0 and 1, or true and false, one for each label")
    if all(flag is None for flag in flags):
        return None
    if None in flags:
        raise ValueError("has a value for some labels alone")
    return tuple(flags)


def _is_blank(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip() in ("", "-1", "-1.0")
    return value is None or value == -1 or (isinstance(value, float) and math.isnan(value))


def is_one_hot(entries: Collection[int | str | None], lengths: Collection[int], of_one_label: bool) -> bool:
    """Return whether lists with these entries and lengths hold a 0 or 1 for each label, rather than labels. A single
    entry does so where the head has one label."""
    return set(entries) <= {0, 1} and len(set(lengths)) == 1 and (of_one_label or max(lengths) > 1)


def refuse_unlike(lengths: Collection[int], head: list[str], where: str, columns: bool) -> None:
    """Raise ClvqError where lists, or `columns`, with a 0 or 1 for each label are not as many as the head's labels."""
    if (length := next(iter(lengths))) != len(head):
        if columns:
            raise ClvqError(
                f"{where}: {length} columns, but the model's head has {len(head)} labels ({', '.join(head)}). Name one "
                "column for each, in this order; or none for a corpus without labels."
            )
        raise ClvqError(
            f"{where}: lists of {length} values, a 0 or 1 each, but the model's head has {len(head)} labels "
            f"({', '.join(head)}). Give a list with a value for each, or the names of the labels that a text has; or "
            "name another column with --label-column (none: no labels)."
        )


def answers_of(
    label: ListLabel | float | None, form: LabelForm, ids: Mapping[Any, int | None], labels: int, one_hot: bool
) -> list[float] | None:
    """Return the right answer for a text: its number; a 0 or 1 for each of `labels` labels; or a label for each word,
    -1 for none. None where the text has no label."""
    if label is None:
        return None
    if not isinstance(label, tuple):
        return [float(label)]
    if form == "words":
        return [-1.0 if (number := ids[entry]) is None else float(number) for entry in label]
    if one_hot:
        return [float(entry or 0) for entry in label]
    held = {ids[entry] for entry in label}
    return [float(number in held) for number in range(labels)]
