"""How texts are given to a model: alone, in pairs, or in a prompt, with or without a chat template.

An `InputFormat` cuts the model's input into segments: parts of the text, whose words have rows, and literals. Literals
are the fixed pieces of the prompt, which stay whole when a long text is cut. They are found once, by filling the chat
template with markers, and are stored with the activations, because a template may insert today's date.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

from clvq.artifacts.records import Record
from clvq.config import ExtractConfig
from clvq.config.prompts import TEXT, Prompt
from clvq.corpus.parts import join_parts, split_parts
from clvq.errors import ClvqError, first_line

_MARKER = "\ue000{}\ue001"
_MARKERS = re.compile("\ue000(\\d+)\ue001")
_MASKS = ("<mask>", "[MASK]")


class Segment(NamedTuple):
    """A stretch of what the model reads."""

    text: str
    sequence: int
    """0, or 1 for the second text that a tokenizer takes."""
    start: int
    """Where the segment begins in its sequence, in characters."""
    shown_at: int
    """Where the segment begins in the text that is stored and shown, in characters."""
    has_rows: bool
    """Whether the segment's words have rows."""
    is_fixed: bool
    """Whether the segment is a literal of the prompt, which is never cut."""


class Layout(NamedTuple):
    """One text as it goes to the tokenizer."""

    sequences: list[str]
    """One text, or the two of a pair."""
    segments: list[Segment]
    """In the order of the sequences, without gaps."""


@dataclass(frozen=True)
class InputFormat(Record):
    """What stands around a text; the default is nothing."""

    parts: tuple[str, ...] = (TEXT,)
    """The columns that make up a text, in the order in which the model reads them."""
    rows_from: tuple[str, ...] = (TEXT,)
    """The parts whose words have rows."""
    literals: tuple[str, ...] | None = None
    """What is before, between and behind the parts in one sequence, chat template included; None: no prompt."""
    adds_special: bool = True
    """Whether the tokenizer adds its special tokens; a chat template brings its own."""
    stripped: tuple[tuple[bool, bool], ...] = ((False, False),)
    """For each part, whether the chat template removes white space before and behind it. Where a part is blank, the
    white space of the literals beside it stays."""
    keep_prompt: bool = False
    """Whether words of the literals have rows too."""

    @classmethod
    def of(cls, config: ExtractConfig, tokenizer: Any, model: str) -> Self:
        """Return the format that an extraction asks for. ClvqError where `model`'s chat template cannot give it."""
        plain = ((False, False),) * len(config.parts)
        if config.prompt is None:
            return cls(config.parts, config.parts_with_rows, stripped=plain)
        system, user = Prompt.parse(config.prompt, config.chat)
        shared: dict[str, Any] = {
            "parts": config.parts,
            "rows_from": config.parts_with_rows,
            "keep_prompt": config.keep_prompt,
        }
        if not config.chat:
            return cls(literals=user.literals, stripped=plain, **shared)
        chat = _Chat(tokenizer, model)
        return cls(
            literals=chat.literals(system, user), stripped=chat.stripped(system, user), adds_special=False, **shared
        )

    def refuse_mask(self, model: str) -> None:
        """Raise ClvqError where the prompt of `model`, which predicts the next token, has a mask."""
        if any(mask in literal for literal in self.literals or () for mask in _MASKS):
            raise ClvqError(
                f"--prompt has a mask, and {model} predicts the next token: it would read the mask as text. End the "
                "prompt where the label word follows, such as --prompt '{text} It was'."
            )

    def with_mask(self, tokenizer: Any, model: str) -> Self:
        """Return the format with `<mask>` or `[MASK]` in the prompt replaced by the mask token of `model`'s tokenizer.

        ClvqError where the tokenizer has no mask token, or the prompt has no mask or several.
        """
        own = tokenizer.mask_token
        if own is None:
            raise ClvqError(f"The tokenizer of {model} has no mask token: label words cannot be asked for.")
        written = re.compile("|".join(re.escape(mask) for mask in (own, *_MASKS)))
        literals = self.literals or ()
        count = sum(len(written.findall(literal)) for literal in literals)
        if count != 1:
            found = "there is no --prompt" if self.literals is None else f"--prompt has {count or 'no'} mask"
            raise ClvqError(
                f"{model} is a masked language model, whose label words stand at the one mask of a prompt, and "
                f"{found}{'s' if count else ''}. Give one, such as --prompt '{{text}} It was <mask>.'."
            )
        return replace(self, literals=tuple(written.sub(lambda _: own, literal) for literal in literals))

    @property
    def is_plain(self) -> bool:
        """Whether a text goes to the tokenizer as it is."""
        return self.literals is None and len(self.parts) == 1

    def shown(self, text: str) -> str:
        """Return a text of the corpus as it is stored: with the prompt where the prompt's words have rows."""
        if not self.keep_prompt or self.literals is None:
            return text
        parts = split_parts(text, len(self.parts))
        pieces = [self.literals[0]]
        for part, literal in zip(parts, self.literals[1:], strict=True):
            pieces += [part, literal]
        return join_parts(pieces)

    def joined(self, values: Mapping[str, str]) -> str:
        """Return one text, as it is stored, from a value for each part. ClvqError where a part is missing or
        unknown."""
        for name in self.parts:
            if name not in values:
                raise ClvqError(
                    f"The texts of these activations have the parts {', '.join(self.parts)}, and {name} is missing. "
                    f"Give it with --part {name}=VALUE; in Python, in the dictionary that is the text."
                )
        if unknown := [name for name in values if name not in self.parts]:
            raise ClvqError(f"{unknown[0]!r} is no part of these activations' texts: {', '.join(self.parts)}.")
        return self.shown(join_parts([values[name] for name in self.parts]))

    def layout(self, text: str) -> Layout:
        """Return the tokenizer's input, cut into segments, for a text that `shown` or `joined` returned."""
        if self.is_plain:
            return Layout([text], [Segment(text, 0, 0, 0, True, False)])
        segments: list[Segment] = []
        pieces = self._pieces(text)
        shown_at = 0
        starts = [0, 0]
        for number, (piece, part) in enumerate(pieces):
            is_fixed = part is None
            lead = 0
            kept = piece
            if part is not None:
                before, behind = self.stripped[part]
                kept = kept.lstrip() if before else kept
                lead = len(piece) - len(kept)
                kept = kept.rstrip() if behind else kept
            sequence = number if self.literals is None else 0
            has_rows = self.keep_prompt if part is None else self.parts[part] in self.rows_from
            segments.append(Segment(kept, sequence, starts[sequence], shown_at + lead, has_rows, is_fixed))
            starts[sequence] += len(kept)
            if not is_fixed or self.keep_prompt:
                shown_at += len(piece) + 1  # the separator
        sequences = ["".join(s.text for s in segments if s.sequence == number) for number in (0, 1)]
        return Layout(sequences if self.literals is None else sequences[:1], segments)

    def _pieces(self, text: str) -> list[tuple[str, int | None]]:
        """Return the pieces of a text in order, each with the number of its part, or None for a literal."""
        count = len(self.parts)
        if self.literals is None:
            return list(zip(split_parts(text, count), range(count), strict=True))
        parts = split_parts(text, 2 * count + 1)[1::2] if self.keep_prompt else split_parts(text, count)
        pieces: list[tuple[str, int | None]] = [(self.literals[0], None)]
        for number, (part, literal) in enumerate(zip(parts, self.literals[1:], strict=True)):
            pieces += [(part, number), (literal, None)]
        return pieces


class _Chat:
    """A tokenizer's chat template."""

    def __init__(self, tokenizer: Any, model: str) -> None:
        self.tokenizer, self.model = tokenizer, model
        if tokenizer.chat_template is None:
            raise ClvqError(f"The tokenizer of {model} has no chat template: leave out --chat.")

    def literals(self, system: Prompt | None, user: Prompt) -> tuple[str, ...]:
        """Return what the template puts before, between and behind the placeholders."""
        messages = [message for message in (system, user) if message is not None]
        count = sum(len(message.fields) for message in messages)
        numbers = iter(range(count))
        filled = [message.filled([_MARKER.format(next(numbers)) for _ in message.fields]) for message in messages]
        pieces = _MARKERS.split(self._render(filled))
        if pieces[1::2] != [str(number) for number in range(count)]:
            raise ClvqError(
                f"The chat template of {self.model} must hold each part of the prompt exactly once, in order, and "
                "does not."
            )
        return tuple(pieces[::2])

    def stripped(self, system: Prompt | None, user: Prompt) -> tuple[tuple[bool, bool], ...]:
        """Return for each placeholder whether white space before and behind its text is lost."""
        probe = [] if system is None else [_MARKER.format(0)]
        plain = self._render([*probe, _MARKER.format(1)])
        before = self._render([*probe, " " + _MARKER.format(1)]) == plain
        behind = self._render([*probe, _MARKER.format(1) + " "]) == plain
        flags: list[tuple[bool, bool]] = []
        for message in (system, user):
            last = len(message.fields) - 1 if message is not None else -1
            flags += [
                (
                    before and number == 0 and not message.literals[0].strip(),
                    behind and number == last and not message.literals[-1].strip(),
                )
                for number in range(last + 1)
                if message is not None
            ]
        return tuple(flags)

    def _render(self, contents: list[str]) -> str:
        roles = ("system", "user")[-len(contents) :]
        messages = [{"role": role, "content": content} for role, content in zip(roles, contents, strict=True)]
        try:
            return str(self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        except Exception as error:  # a template is a program, and may raise any error
            system = " Some templates take no system message." if len(contents) > 1 else ""
            raise ClvqError(
                f"The chat template of {self.model} refuses the prompt: {first_line(error).rstrip('.')}.{system}"
            ) from error
