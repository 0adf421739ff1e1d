"""How options about prompts are read: the prompt with its placeholders, and the words for labels."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass

from clvq.config.paths import expanded
from clvq.errors import ClvqError

TEXT, TEXT_PAIR = "text", "text_pair"
"""Placeholders that stand for the text column and for the column of the second text, whatever their names."""

_SYSTEM_END = re.compile(r"^---[ \t]*\r?\n", re.MULTILINE)
_WORD = re.compile(r'\s*([^=,"]+?)\s*=(?:"((?:[^"\\]|\\.)*)"\s*|([^,"]*))(?:,|$)', re.DOTALL)


@dataclass(frozen=True)
class Prompt:
    """A prompt cut at its placeholders."""

    literals: tuple[str, ...]
    """The text before the first placeholder, between neighbouring ones, and after the last: one more than
    placeholders."""
    fields: tuple[str, ...]
    """The placeholders in their order: columns, or TEXT and TEXT_PAIR."""

    @classmethod
    def parse(cls, prompt: str, chat: bool = False) -> tuple[Prompt | None, Prompt]:
        """Return the system message, where there is one, and the prompt.

            Prompt.parse("{text}\\nReview:")[1].literals     # ("", "\\nReview:")

        With `chat`, the text above a line of three hyphens is the system message. Braces that belong to no placeholder
        are doubled, as in `str.format`. ClvqError where there is no {text}, a placeholder twice, or a single brace.
        """
        system, user = None, prompt
        if chat and (end := _SYSTEM_END.search(prompt)):
            system, user = prompt[: end.start()].removesuffix("\n").removesuffix("\r"), prompt[end.end() :]
        parts = [cls._cut(part) for part in (system, user) if part is not None]
        names = [name for part in parts for name in part.fields]
        for name in names:
            if names.count(name) > 1:
                raise ClvqError(f"--prompt has {{{name}}} twice. Each placeholder can stand once.")
        if TEXT not in names:
            others = f", only {', '.join(f'{{{name}}}' for name in names)}" if names else ""
            raise ClvqError(f"--prompt has no {{text}}{others}: it must say where the text goes, as in {{text}} It was")
        return (parts[0] if system is not None else None), parts[-1]

    @classmethod
    def _cut(cls, text: str) -> Prompt:
        try:
            parts = list(string.Formatter().parse(text))
        except ValueError as error:
            raise ClvqError(
                f"--prompt: {error}. A brace that belongs to no placeholder is written twice: {{{{ or }}}}."
            ) from error
        literals, fields = [""], list[str]()
        for literal, name, form, conversion in parts:
            literals[-1] += literal
            if name is None:
                continue
            if not name.strip() or form or conversion:
                raise ClvqError(
                    "--prompt: a placeholder is the name of a column in braces, such as {text}, and nothing else. "
                    "A brace that belongs to no placeholder is written twice: {{ or }}."
                )
            fields.append(name)
            literals.append("")
        return cls(tuple(literals), tuple(fields))

    def filled(self, values: Sequence[str]) -> str:
        """Return the prompt with a value for each placeholder, in their order."""
        pieces = [self.literals[0]]
        for value, literal in zip(values, self.literals[1:], strict=True):
            pieces += [value, literal]
        return "".join(pieces)


def read_prompt(value: str) -> str:
    """Return the prompt: `value` itself, or the content of the file of this name, without the line end at its end.

    A value without a brace has no placeholder, so it must be the name of a file. ClvqError where there is no such file.
    """
    if "{" in value:
        return value
    path = expanded(value)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = "which is not UTF-8" if isinstance(error, UnicodeDecodeError) else "and there is no such file to read"
        raise ClvqError(
            f"--prompt {value!r} has no {{text}}, {reason}. Give a prompt with {{text}}, or its file."
        ) from (error)
    if "{" not in text:
        raise ClvqError(f"--prompt: the file {value} has no {{text}}: it must say where the text goes.")
    return text.removesuffix("\n").removesuffix("\r")


def parse_label_words(text: str) -> dict[str, str]:
    """Return the word of each label, in their order, from `negative=" bad",positive=" good"`.

    A word in quotes can have a comma. A shell removes the quotes; without them a word ends at the next comma. Leading
    spaces are kept in both cases. ClvqError where the text has another form, a label or a word occurs twice, a word is
    empty, or there are fewer than two.
    """
    words: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _WORD.match(text, at)
        if match is None or match.end() == at:
            break
        quoted = match[2]
        word = match[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)
        if match[1] in words:
            raise ClvqError(f"--label-words names the label {match[1]!r} twice.")
        if not word.strip():
            raise ClvqError(f"--label-words: the word of {match[1]!r} is empty.")
        if word in words.values():
            other = next(label for label, known in words.items() if known == word)
            raise ClvqError(
                f"--label-words: {other!r} and {match[1]!r} have the same word, {word!r}. Give each its own."
            )
        words[match[1]] = word
        at = match.end()
    if at < len(text) or len(words) < 2:
        raise ClvqError(
            '--label-words is LABEL="WORD", separated by commas, two or more, such as negative=" bad",positive=" good"'
            f"; it is {text!r}."
        )
    return words


def written_label_words(words: dict[str, str]) -> str:
    """Return label words as one text, in the form in which they are stored."""
    quoted = ((label, re.sub(r'(["\\])', r"\\\1", word)) for label, word in words.items())
    return ",".join(f'{label}="{word}"' for label, word in quoted)
