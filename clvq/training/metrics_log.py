"""metrics.jsonl: a log that grows by whole lines, and is cut back to the saved step when a training is resumed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clvq.storage import write_text


def cut_back(path: Path, step: int, epoch: int, seconds: float) -> None:
    """Drop the lines of steps after `step` (and of epochs after `epoch`), which will be repeated. Add a line of kind
    "resume" with the seconds of work that were lost."""
    kept, lost = [], 0.0
    for line in whole_lines(path):
        if line["step"] <= step and not (line["kind"] == "epoch" and line["epoch"] > epoch):
            kept.append(line)
        else:
            lost = max(lost, line["seconds"] - seconds)
    resumed = {"kind": "resume", "step": step, "epoch": epoch, "seconds": round(seconds, 3)}
    kept.append({**resumed, "seconds_redone": round(lost, 3)})
    write_text(path, "".join(json.dumps(line) + "\n" for line in kept))


def whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of the log, without a last line that a kill cut short."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and {"kind", "step", "epoch", "seconds"} <= set(value):
            yield value
