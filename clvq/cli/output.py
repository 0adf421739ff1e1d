"""Output of the commands: results go to stdout (tables for people, or one JSON document), messages to stderr."""

from __future__ import annotations

import json
import math
import os
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from clvq.training.verdict import Verdict

BAR_WIDTH = 24

_HIDING = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories of characters that move the cursor, change the writing direction or are invisible."""
_HARMLESS = {"\n": "\n", "\t": " ", "\u200c": "\u200c", "\u200d": "\u200d"}
"""Characters of these categories that are still shown: line ends, tabs, and the joiners of emoji and some scripts."""


@dataclass(frozen=True)
class Result:
    """What a command returns: the same figures as `document` for machines and as `shown` for people."""

    document: dict[str, Any]
    shown: Sequence[RenderableType]
    hint: str | None = None
    """What to do next; it is written to stderr."""
    verdict: Verdict | None = None
    """What the figures mean; shown before them."""


class Bar:
    """A figure between 0 and 1 as a bar. A bar beyond 1 ends in a mark; without a figure the bar is empty."""

    def __init__(self, value: float | None, width: int = BAR_WIDTH, style: str = "cyan") -> None:
        self.value, self.width, self.style = value, width, style

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        value = 0.0 if self.value is None else max(self.value, 0.0)
        length = min(round(self.width * value), self.width)
        line, mark = ("=", ">") if options.ascii_only else ("━", "━▶")
        yield Text(line * (length - len(mark)) + mark if value > 1 else line * length, style=self.style)


class _Console(Console):
    """A console that raises BrokenPipeError for a closed pipe; Rich itself would end the process there."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def stderr_console() -> Console:
    return _Console(stderr=True, highlight=False, markup=False, emoji=False)


def launched() -> bool:
    """Return whether this is one of several processes that a launcher such as `torchrun` started."""
    return int(os.environ.get("WORLD_SIZE") or 1) > 1


def is_follower() -> bool:
    """Return whether this is such a process and not the first one. Only the first writes output."""
    return launched() and os.environ.get("RANK", "0") != "0"


def emit(result: Result, as_json: bool) -> None:
    """Write the result to stdout, and, unless `as_json`, the hint to stderr."""
    if is_follower():
        return
    if as_json:
        verdict = {} if result.verdict is None else {"verdict": result.verdict.as_json()}
        sys.stdout.write(json.dumps(_finite({**verdict, **result.document}), indent=2, allow_nan=False) + "\n")
    else:
        console = _Console(highlight=False, markup=False, emoji=False)
        if result.verdict is not None:
            _show_verdict(console, result.verdict)
        for part in result.shown:
            console.print(part)
    sys.stdout.flush()
    if result.hint is not None and not as_json:
        say(result.hint)


def _show_verdict(console: Console, verdict: Verdict) -> None:
    for sentence in verdict.sentences:
        console.print(Text(plain(sentence), style="bold"))
    for warning in verdict.warnings:
        console.print(Text("Warning: ", style="bold yellow").append(plain(warning), style="not bold"))
    console.print()


def say(message: str, label: str = "") -> None:
    """Write a message to stderr, after a label in bold red; markup and escape sequences in it are shown as text."""
    text = Text(f"{label} " if label else "", style="bold red")
    text.append(plain(message), style="not bold default")
    tell(stderr_console(), text)


def tell(console: Console, text: Text) -> None:
    """Print lines for people to read: wrapped at words on a terminal, unwrapped in a log."""
    console.print(text, soft_wrap=not console.is_terminal)


def plain(text: object) -> str:
    r"""Return text from outside in a form that is safe on a terminal: escape sequences are written out, as `\x1b`."""
    return "".join(
        _HARMLESS.get(c, c.encode("unicode_escape").decode()) if unicodedata.category(c) in _HIDING else c
        for c in str(text)
    )


def heading(text: str, detail: str = "") -> Text:
    """Return a heading line for the tables below."""
    line = Text(plain(text).replace("\n", " "), style="bold")
    return line.append(f"  {plain(detail)}", style="not bold dim") if detail else line


def table(*columns: str, title: str = "") -> Table:
    """Return a table whose first column, headed by the title, is text, and whose other columns are figures."""
    result = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    result.add_column(Text(title), overflow="fold")
    for column in columns:
        result.add_column(Text(column), justify="right", overflow="fold")
    return result


def number(value: float | int | None, digits: int = 3) -> str:
    """Return a number as text: 1234 -> 1,234; 0.26412 -> 0.264; None or a number that is not finite -> -.

    A value that rounds to 0 has no minus.
    """
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:z,.{digits}f}"


def chance(value: float | None) -> str:
    """Return a p or q as text: 0.012, or 3e-14 where it is below 0.001."""
    if value is None:
        return "-"
    return f"{value:.3f}" if value >= 0.001 else "<1e-99" if value < 1e-99 else f"{value:.0e}"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: `1 text`, `1,200 texts`."""
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def clock(seconds: float) -> str:
    """Return seconds as a time: 75 -> 1:15; 3675 -> 1:01:15."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _finite(value: Any) -> Any:
    """Replace NaN and infinities by None, since JSON has neither."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
