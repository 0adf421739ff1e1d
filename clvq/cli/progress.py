"""Progress on stderr: a live view on a terminal, elsewhere a plain line now and then."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import warnings
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from clvq.cli.interruption import Interruption
from clvq.cli.output import clock, is_follower, plain, stderr_console, tell
from clvq.progress import Progress, Report

LINE_SECONDS = 10.0
"""Without a terminal a stage writes a line at most this often, and one at its end."""
WORTH_A_LINE_SECONDS = 5.0
"""A stage that took less leaves no line behind."""
_RECENT_SECONDS = 20.0
_NAMES = {"fvu": "selection FVU", "perplexity": "codebook perplexity"}
_VERBOSITY = ("TRANSFORMERS_VERBOSITY", "DATASETS_VERBOSITY", "HF_HUB_VERBOSITY")
_TOLD_APART = ("rows", "epoch", "epochs", "words/s")


@contextmanager
def reporting(interruption: Interruption, debug: bool) -> Iterator[Report]:
    """A report for library functions. While it is open, whatever else prints to stdout goes to stderr.

    Other libraries keep their warnings to themselves unless `debug`; those that read a variable are not imported yet.
    """
    live = not is_follower() and sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    view = LiveView(stderr_console()) if live else PlainView(stderr_console())

    def report(progress: Progress) -> None:
        interruption.watch(progress)
        if not is_follower():
            view.take(progress)

    if not debug:
        for name in _VERBOSITY:
            os.environ.setdefault(name, "error")
    with view, contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        if not debug:
            warnings.simplefilter("ignore")
        yield report


class Stage:
    """One stage of the work so far, and how fast it goes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.started = time.monotonic()
        self.done: float = 0
        self.total: float | None = None
        self.unit = ""
        self.details: dict[str, float | int | str] = {}
        self._rows = 0.0
        self._recent: deque[tuple[float, float, float]] = deque()

    def take(self, progress: Progress) -> None:
        now = time.monotonic()
        self.done, self.total, self.unit = progress.done, progress.total, progress.unit
        self.details.update(progress.details)
        self._rows += float(progress.details.get("rows", 0))
        self._recent.append((now, self.done, self._rows))
        while now - self._recent[0][0] > _RECENT_SECONDS and len(self._recent) > 2:
            self._recent.popleft()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def count(self) -> str:
        if self.total is None:
            return f"{self.done:,.0f} {self.unit}"
        return f"{self.done:,.0f}/{self.total:,.0f} {self.unit}"

    def speed(self) -> str:
        if "words/s" in self.details:
            return f"{self.details['words/s']:,} words/s"
        rate = self._rate(2)
        return f"{rate:,.0f} rows/s" if rate else ""

    def left(self) -> str:
        rate = self._rate(1)
        return f"{clock((self.total - self.done) / rate)} left" if rate and self.total is not None else ""

    def epoch(self) -> str:
        if "epoch" not in self.details:
            return ""
        total = f"/{self.details['epochs']}" if "epochs" in self.details else ""
        return f"epoch {self.details['epoch']}{total}"

    def figures(self) -> str:
        return ", ".join(
            f"{_NAMES.get(name, name)} {_figure(value)}"
            for name, value in self.details.items()
            if name not in _TOLD_APART
        )

    def line(self) -> str:
        parts = (self.count(), self.epoch(), self.figures(), self.speed(), self.left())
        return f"{self.name}: {', '.join(part for part in parts if part)}"

    def last_line(self) -> str:
        """What is left to read of a stage that is over."""
        parts = (self.count(), self.figures(), clock(self.seconds))
        return f"{self.name}: {', '.join(part for part in parts if part)}"

    def _rate(self, column: int) -> float:
        if len(self._recent) < 2:
            return 0.0
        first, last = self._recent[0], self._recent[-1]
        return (last[column] - first[column]) / max(last[0] - first[0], 1e-6)


class View(ABC):
    """What both views share: stages follow one another, and a note is shown at once."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.stage: Stage | None = None

    def take(self, progress: Progress) -> None:
        if progress.note is not None:
            self.write(progress.note)
            return
        if self.stage is None or self.stage.name != progress.stage:
            self.leave()
            self.stage = Stage(progress.stage)
        self.stage.take(progress)
        self.show(self.stage, progress)

    def leave(self) -> None:
        if self.stage is not None and self.stage.seconds >= WORTH_A_LINE_SECONDS:
            self.write(self.stage.last_line())
        self.stage = None

    def write(self, line: str) -> None:
        text = Text(plain(line))
        text.highlight_regex("^Warning:", "bold yellow")
        tell(self.console, text)

    @abstractmethod
    def show(self, stage: Stage, progress: Progress) -> None:
        """Tells where the stage is now."""

    def __enter__(self) -> View:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.leave()


class PlainView(View):
    """Whole lines: one at most every LINE_SECONDS, one an epoch, one at the end of a stage."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._written = time.monotonic()

    def show(self, stage: Stage, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._written >= LINE_SECONDS or _ends_epoch(progress.details):
            self._written = now
            self.write(stage.line())


class LiveView(View):
    """A bar and the latest figures, drawn over themselves; each stage leaves one line behind."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._live = Live(
            console=console, get_renderable=self._draw, transient=True, refresh_per_second=8, redirect_stdout=False
        )

    def __enter__(self) -> View:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            super().__exit__(kind, *rest)
            self.stage = None
        finally:
            self._live.stop()

    def show(self, stage: Stage, progress: Progress) -> None:
        pass  # Live draws by itself

    def _draw(self) -> RenderableType:
        stage = self.stage
        if stage is None:
            return Text("working ...", style="dim")
        bar = Table.grid(padding=(0, 2, 0, 0), expand=True)
        bar.add_column(style="bold", no_wrap=True)
        bar.add_column(ratio=1, min_width=8)
        cells: list[RenderableType] = [Text(stage.name), ProgressBar(stage.total, stage.done, pulse=not stage.total)]
        for part in (stage.count(), stage.speed(), stage.left()):
            if part:
                bar.add_column(justify="right", no_wrap=True)
                cells.append(Text(part))
        bar.add_row(*cells)
        below = ", ".join(part for part in (stage.epoch(), stage.figures()) if part)
        return Group(bar, Text(below, style="dim")) if below else bar


def _ends_epoch(details: Mapping[str, object]) -> bool:
    return "fvu" in details


def _figure(value: float | int | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
