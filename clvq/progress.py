"""How library functions say how far they are: a callback that takes `Progress`. They print nothing themselves.

The bars of `progress=True` are the command line's. `shown` is the one place where the library asks for them.
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
    """The default report of every library function."""


@contextmanager
def shown(progress: Report | bool | None) -> Iterator[Report]:
    """Give the report that a caller's `progress` stands for. True shows bars on stderr; None and False show nothing."""
    if progress is True:
        with import_module("clvq.cli.progress").bars() as report:
            yield report
    elif progress is None or progress is False:
        yield silent
    elif callable(progress):
        yield progress
    else:
        raise ClvqError(f"progress must be True or a function of a clvq.progress.Progress; it is {progress!r}.")
