"""How library functions report their progress: they call a function with a `Progress`, and print nothing themselves.

With `progress=True`, the bars of the command line are shown. Only `shown` imports them into the library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module

from clvq.errors import ClvqError


@dataclass(frozen=True)
class Progress:
    """One report. `stage` names the work; `total` None is unknown; `note` is a line for the user to read once."""

    stage: str
    done: float = 0
    total: float | None = None
    unit: str = ""
    details: Mapping[str, float | int | str] = field(default_factory=dict)
    note: str | None = None


Report = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """Ignore a report. Library functions report to this function by default."""


@contextmanager
def shown(progress: Report | bool | None) -> Iterator[Report]:
    """Yield the report function for a caller's `progress`. True shows bars on stderr; None and False show nothing."""
    if progress is True:
        with import_module("clvq.cli.progress").bars() as report:
            yield report
    elif progress is None or progress is False:
        yield silent
    elif callable(progress):
        yield progress
    else:
        raise ClvqError(f"progress must be True or a function of a clvq.progress.Progress; it is {progress!r}.")
