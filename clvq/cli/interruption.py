"""Ctrl-C and SIGTERM end a command at once, except in training, which first finishes its step and saves its state."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any, Self

from clvq.progress import Progress

STEPWISE = ("train", "frozen k-means")
"""Stages that save their state when the progress report of a step raises KeyboardInterrupt."""


class Interruption:
    """Catches the two signals while a command runs. A second signal ends any stage at once."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.continues = False
        """Whether the same command continues where this one was interrupted."""
        self._stage = ""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # keep it ignored: nohup, background jobs
                self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        return 128 + (self.signal or signal.SIGINT)

    def watch(self, progress: Progress) -> None:
        """Raise KeyboardInterrupt where a signal is waiting and may end the work now; called with every report."""
        self._stage = progress.stage
        if progress.stage not in STEPWISE or "loss" in progress.details:  # the report of an epoch saves nothing
            self.raise_if_pending()

    def raise_if_pending(self) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt

    def _take(self, number: int, _frame: FrameType | None) -> None:
        first = self.signal is None
        self.signal = number
        if not first or self._stage not in STEPWISE:
            raise KeyboardInterrupt
