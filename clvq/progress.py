"""How library functions say how far they are: a callback that takes `Progress`. They print nothing themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


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
