"""Progress on stderr, also that of `progress=True`: a bar on a terminal, elsewhere a plain line now and then."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, ProgressColumn, Task
from rich.progress import Progress as RichProgress
from rich.table import Column
from rich.text import Text

from clvq.cli.interruption import Interruption
from clvq.cli.output import clock, is_follower, plain, stderr_console, tell
from clvq.progress import Progress, Report, silent

LINE_SECONDS = 10.0
"""Without a terminal, a stage writes a line at most this often, and one at its end."""
WORTH_A_LINE_SECONDS = 5.0
"""A stage that took less time leaves no line behind."""
_NAMES = {"fvu": "selection FVU", "perplexity": "codebook perplexity"}
_VERBOSITY = ("TRANSFORMERS_VERBOSITY", "DATASETS_VERBOSITY", "HF_HUB_VERBOSITY")
_TOLD_APART = ("rows", "epoch", "epochs", "words/s")


@contextmanager
def bars() -> Iterator[Report]:
    """Yield a report that shows progress. If a launcher started several processes, only the first shows any."""
    if is_follower():
        yield silent
        return
    console = stderr_console()
    in_notebook = console.is_jupyter and importlib.util.find_spec("ipywidgets") is not None
    with Display(console, live=in_notebook or (sys.stderr.isatty() and console.is_interactive)) as display:
        yield display.take


@contextmanager
def reporting(interruption: Interruption, debug: bool) -> Iterator[Report]:
    """Yield a report for library functions. While it is open, everything that is printed to stdout goes to stderr.

    Warnings of other libraries are hidden unless `debug`. Some libraries read their verbosity from an environment
    variable when they are imported; they are not imported yet.
    """
    if not debug:
        for name in _VERBOSITY:
            os.environ.setdefault(name, "error")
    with bars() as show, contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        if not debug:
            warnings.simplefilter("ignore")

        def report(progress: Progress) -> None:
            interruption.watch(progress)
            show(progress)

        yield report


class Display:
    """Shows the stage that is running, and notes as they arrive. A stage that took a while leaves a line behind."""

    def __init__(self, console: Console, *, live: bool) -> None:
        """Prepare a bar where `live`; else lines, at most one every LINE_SECONDS and one per epoch."""
        self.console = console
        self.bars = _Bars(
            _TextColumn(lambda task: task.description, style="bold"),
            BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=8)),
            _TextColumn(lambda task: _joined(task, _count, _speed, _left)),
            console=console, disable=not live, transient=True, expand=True, redirect_stdout=False,
            speed_estimate_period=20, get_time=time.monotonic,
        )  # fmt: skip
        self._written = time.monotonic()

    def take(self, progress: Progress) -> None:
        if progress.note is not None:
            self._write(progress.note)
            return
        stage = self.bars.stage
        if stage is None or stage.description != progress.stage:
            self._leave()
            stage = self.bars.begin(progress.stage)
        self.bars.count(stage, progress)
        if self.bars.disable and (time.monotonic() - self._written >= LINE_SECONDS or "fvu" in progress.details):
            self._written = time.monotonic()
            self._write(f"{stage.description}: {_joined(stage, _count, _epoch, _figures, _speed, _left)}")

    def _leave(self) -> None:
        stage, self.bars.stage = self.bars.stage, None
        if stage is not None and (stage.elapsed or 0) >= WORTH_A_LINE_SECONDS:
            self._write(f"{stage.description}: {_joined(stage, _count, _figures, _time)}")

    def _write(self, line: str) -> None:
        text = Text(plain(line))
        text.highlight_regex("^Warning:", "bold yellow")
        tell(self.console, text)

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._leave()
        finally:
            self.bars.stop()


class _Bars(RichProgress):
    """The bar of one stage, with its latest figures below."""

    stage: Task | None = None

    def begin(self, name: str) -> Task:
        """Replace the stage by a new one. A second task, without a bar, counts the rows to measure their speed."""
        for task in self.tasks:
            self.remove_task(task.id)
        self.add_task("rows", total=None, visible=False)
        (rows,) = self.tasks
        self.add_task(name, total=None, unit="", details={}, rows=rows)
        self.stage = self.tasks[-1]
        return self.stage

    def count(self, stage: Task, progress: Progress) -> None:
        self.advance(stage.fields["rows"].id, float(progress.details.get("rows", 0)))
        details = {**stage.fields["details"], **progress.details}
        self.update(stage.id, completed=progress.done, total=progress.total, unit=progress.unit, details=details)

    def get_renderables(self) -> Iterable[RenderableType]:
        stage = self.stage
        if stage is None:
            yield Text("working ...", style="dim")
            return
        yield self.make_tasks_table([stage])
        if below := _joined(stage, _epoch, _figures):
            yield Text(below, style="dim")


class _TextColumn(ProgressColumn):
    """A column that shows the text that a function returns for a task, without markup."""

    def __init__(self, text: Callable[[Task], str], style: str = "") -> None:
        super().__init__(Column(no_wrap=True, style=style))
        self._text = text

    def render(self, task: Task) -> Text:
        return Text(self._text(task))


def _joined(stage: Task, *parts: Callable[[Task], str]) -> str:
    return ", ".join(text for part in parts if (text := part(stage)))


def _count(stage: Task) -> str:
    total = "" if stage.total is None else f"/{stage.total:,.0f}"
    return f"{stage.completed:,.0f}{total} {stage.fields['unit']}".rstrip()


def _speed(stage: Task) -> str:
    if "words/s" in stage.fields["details"]:
        return f"{stage.fields['details']['words/s']:,} words/s"
    speed = stage.fields["rows"].speed
    return f"{speed:,.0f} rows/s" if speed else ""


def _left(stage: Task) -> str:
    seconds = None if stage.total is None else stage.time_remaining
    return "" if not seconds else f"{clock(seconds)} left"


def _time(stage: Task) -> str:
    return clock(stage.elapsed or 0)


def _epoch(stage: Task) -> str:
    details = stage.fields["details"]
    if "epoch" not in details:
        return ""
    total = f"/{details['epochs']}" if "epochs" in details else ""
    return f"epoch {details['epoch']}{total}"


def _figures(stage: Task) -> str:
    figures = {name: value for name, value in stage.fields["details"].items() if name not in _TOLD_APART}
    return ", ".join(f"{_NAMES.get(name, name)} {_figure(value)}" for name, value in figures.items())


def _figure(value: float | int | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
