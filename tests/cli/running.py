"""Running `clvq` in tests, in this process or in one of its own, and what it is run on."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

SMALL = ("--codebook-size", "12", "--top-k", "3", "--decoder-layers", "1")
"""Options of a training that takes a second."""


class Outcome(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """stdout as one JSON document and nothing else."""
        return json.loads(self.out)

    @property
    def message(self) -> str:
        """stderr in one line: where Typer frames and wraps a message, without the frame."""
        return " ".join(self.err.replace("│", " ").split())


Clvq = Callable[..., Outcome]


def assert_steered_as_explained(clvq: Clvq, run: Path, explained: dict[str, Any]) -> None:
    """`clvq steer` begins with the probabilities that `clvq explain` gives, of label words among themselves."""
    code = next(word["code"] for word in explained["words"] if word["code"] is not None)
    ended = clvq("steer", explained["text"], "--remove", code, "--draws", 1, "--run", run, "--json")
    assert ended.code == 0, ended.err
    (steered,) = ended.document["steered"]
    before = {answer["name"]: answer["before"] for answer in steered["answers"]}
    assert steered["prediction_before"] == explained["target"]
    assert before[explained["target"]] == pytest.approx(explained["probability"], abs=1e-5)
    assert [sum(answer[when] for answer in steered["answers"]) for when in ("before", "after", "control")] == (
        pytest.approx([1, 1, 1], abs=1e-5)
    )


def piped(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Puts bytes on standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="ascii"))


def write_corpus(path: Path, texts: list[str]) -> Path:
    lines = [json.dumps({"text": text, "label": number % 2}) for number, text in enumerate(texts)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def start(*arguments: object, driver: str | None = None, **options: Any) -> subprocess.Popen[str]:
    """Starts `clvq ARGUMENTS` as a process of its own; `driver` is Python that runs before `main` does."""
    code = f"import sys; sys.argv[0] = 'clvq'\n{driver or ''}\nfrom clvq.cli.main import main; main()"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1", "COLUMNS": "100"}
    environment.pop("CLVQ_RUN", None)
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )


def modules_after(*arguments: str, **environment: str) -> tuple[str, set[str]]:
    """What `clvq ARGUMENTS` prints in a process of its own, and the modules that it imports."""
    code = "import sys\nfrom clvq.cli.main import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True,
        env={**os.environ, **environment},
    )  # fmt: skip
    return done.stdout, set(done.stderr.split())


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its contents, locks aside."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != ".lock"
    }
