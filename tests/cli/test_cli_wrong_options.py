"""Every option of every command with values that nobody means: an exit code of 1 or 2 and a message, never a bug.

Every other value an option, over 1,000 cases; `pytest --full tests/cli/test_cli_wrong_options.py` tries each value.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from running import Clvq

from clvq.cli.main import SUMMARIES
from clvq.cli.options import Option

VALUES = (
    "", " ", "-1", "0", "nan", "-inf", "1e400", "99999999999999999999", "1.5", "twelve", "1,,2", "../..",
    "\u202e\u2028", "a" * 5000, "[bold]x[/]", "=1+1", "{}",
)  # fmt: skip
ENDING = {
    "extract": ("--model", "nowhere/at all", "--dataset", "nothing.csv", "--layers", "1"),
    "train": ("--model", "nowhere/at all", "--dataset", "nothing.csv", "--input-layer", "1", "--output-layer", "2"),
    "sweep": ("--model", "nowhere/at all", "--dataset", "nothing.csv", "--layers", "1-2"),
    "explain": ("a text",), "assign": ("a text",), "steer": ("a text", "--remove", "1"),
    "push": ("no checkpoint", "user/name"), "pull": ("no/such/name",),
}  # fmt: skip
"""What each command is given besides, so that it ends for want of a model or a run, whatever the option says."""


def options(command: str) -> list[Option]:
    function: Any = getattr(import_module(f"clvq.cli.{command}"), command)
    return [option for option in function.options if not option.positional and option.kind is not bool]


def cases(command: str, full: bool) -> list[tuple[Option, str]]:
    """Options with values. Not in full, options take the values in turns."""
    step = 1 if full else 2
    return [
        (option, value) for number, option in enumerate(options(command)) for value in VALUES[number % step :: step]
    ]


def test_there_are_a_thousand_cases() -> None:
    assert sum(len(cases(command, full=False)) for command in SUMMARIES) >= 1000


@pytest.mark.slow
@pytest.mark.parametrize("command", list(SUMMARIES))
def test_a_value_that_nobody_means_is_a_message(
    clvq: Clvq, tmp_path: Path, command: str, full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for option, value in cases(command, full):
        run = () if option.flag == "--run" else ("--run", tmp_path / "no run")
        ended = clvq(command, *ENDING.get(command, ()), *run, option.flag, value)
        said = (command, option.flag, value[:20], ended.code, ended.err[-300:])
        assert ended.code in (1, 2), said
        assert ended.message.strip(), said
        assert "bug in clvq" not in ended.err and "Traceback" not in ended.err, said
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if not path.name.startswith(".")]  # a lock may be left
