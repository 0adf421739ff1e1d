"""The two views of progress, signals between stages, and text on its way to a terminal."""

from __future__ import annotations

import io
import os
import signal
import time
from pathlib import Path

import pytest
from rich.console import Console
from running import Clvq

from clvq.cli.interruption import Interruption
from clvq.cli.output import clock, number, plain
from clvq.cli.progress import Display
from clvq.progress import Progress
from clvq.storage import size_text

STEP = {"epoch": 2, "epochs": 5, "loss": 0.123456, "rows": 1000}


def _console(**options: object) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, width=80, **options), file  # type: ignore[arg-type]


def test_lines_come_now_and_then_and_at_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    console, file = _console()
    with Display(console, live=False) as display:
        for step in range(1, 101):
            now += 0.5
            display.take(Progress("train", step, 200, "steps", STEP))
        lines = file.getvalue().splitlines()
        assert len(lines) == 5
        assert lines[0] == "train: 20/200 steps, epoch 2/5, loss 0.1235, 2,000 rows/s, 1:30 left"
        display.take(Progress("train", 100, 200, "steps", {"epoch": 2, "fvu": 0.5, "perplexity": 17.0}))
        display.take(Progress("train", note="A note."))
        display.take(Progress("evaluate", 1, 10, "sentences"))
    added = file.getvalue().splitlines()[5:]
    assert "selection FVU 0.5, codebook perplexity 17" in added[0]
    assert added[1:] == [
        "A note.",
        "train: 100/200 steps, loss 0.1235, selection FVU 0.5, codebook perplexity 17, 0:50",
    ]


def test_a_terminal_shows_the_stage_and_the_stage_leaves_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    console, file = _console(force_terminal=True, color_system=None)
    with Display(console, live=True) as display:
        for step in range(1, 51):
            now += 0.5
            display.take(Progress("train", step, 200, "steps", STEP))
        display.take(Progress("extract", note="\x1b[2Jgone?"))
        start = file.tell()
        console.print(*display.bars.get_renderables(), sep="\n")
        bar, below, *_ = file.getvalue()[start:].replace("\x1b[2K", "").replace("\x1b[1A", "").splitlines()[1:]
    assert bar.startswith("train ━━")
    assert bar.endswith(" 50/200 steps, 2,000 rows/s, 1:15 left")
    assert len(bar) == 80
    assert below == "epoch 2/5, loss 0.1235"
    assert "\\x1b[2Jgone?\n" in file.getvalue()
    assert "train: 50/200 steps, loss 0.1235, 0:24\n" in file.getvalue()
    assert file.getvalue().endswith("\x1b[2K")  # the bar is gone


def test_a_stage_of_unknown_length(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    console, file = _console()
    with Display(console, live=False) as display:
        now += 10
        display.take(Progress("extract", 7, None, "sentences", {"words/s": 1234}))
        assert file.getvalue() == "extract: 7 sentences, 1,234 words/s\n"


def test_a_signal_waits_for_the_step_and_no_other_report() -> None:
    with Interruption() as interruption:
        interruption.watch(Progress("train", 1, 9, "steps", STEP))
        os.kill(os.getpid(), signal.SIGTERM)
        interruption.watch(Progress("train", 1, 9, "steps", {"fvu": 0.5}))  # an epoch: nothing would be saved
        with pytest.raises(KeyboardInterrupt):
            interruption.watch(Progress("train", 2, 9, "steps", STEP))
        assert interruption.exit_code == 143


def test_a_second_signal_does_not_wait() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interruption() as interruption:
        interruption.watch(Progress("frozen k-means", 1, 9, "steps", STEP))
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert interruption.exit_code == 130
    assert signal.getsignal(signal.SIGINT) is before


def test_elsewhere_a_signal_ends_at_once() -> None:
    with Interruption() as interruption, pytest.raises(KeyboardInterrupt):
        interruption.watch(Progress("extract", 1, 9, "sentences"))
        os.kill(os.getpid(), signal.SIGINT)


def test_text_from_outside_cannot_act() -> None:
    assert plain("\x1b[31mred\x07\x9b1m") == "\\x1b[31mred\\x07\\x9b1m"
    assert plain("\u202eturned\u202c \u200bhidden") == "\\u202eturned\\u202c \\u200bhidden"
    assert plain("[bold]<b>&\n\tcafé 世界 👩\u200d💻") == "[bold]<b>&\n café 世界 👩\u200d💻"
    assert plain("\ud83d") == "\\ud83d"


def test_figures() -> None:
    assert [number(value) for value in (None, float("nan"), 1234567, 0.26449, 9.0)] == [
        "-", "-", "1,234,567", "0.264", "9.000",
    ]  # fmt: skip
    assert [clock(seconds) for seconds in (0.4, 59.6, 3675)] == ["0:00", "1:00", "1:01:15"]
    assert [size_text(count) for count in (999, 1234, 5.6e9)] == ["999 bytes", "1.23 kB", "5.6 GB"]


def test_of_several_processes_the_first_speaks(clvq: Clvq, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert clvq("extract", "--run", run) == (0, "", "")
    monkeypatch.setenv("RANK", "0")
    assert "is up to date" in clvq("extract", "--run", run).err
