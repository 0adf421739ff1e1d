"""Write docs/commands.md: what the commands take, from the settings themselves.

    python scripts/command_reference.py

tests/cli/test_cli_reference.py checks that the page is up to date.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from clvq.cli import assign, bench, codebook, explain, extract, faithfulness, pull, push, report, steer, sweep, train
from clvq.cli.options import Option, options_of
from clvq.config import PAPER, ExtractConfig, TrainConfig

EVERYWHERE = {"run", "json", "overwrite"}
REFERENCE = Path(__file__).parents[1] / "docs" / "commands.md"
INTRODUCTION = """\
# Commands

Every command takes these options:

- `--run FOLDER` names the run folder. Without it the variable `CLVQ_RUN` names the folder, or else it is `clvq-run`.
- `--config FILE.toml` names a file with options, each by its name. Options on the command line have priority over the
  file, the file over a preset, and a preset over the defaults.
- `--json` prints the result as one JSON document.
- `--debug` shows tracebacks and the warnings of other libraries.

Commands that store a result take `--overwrite`, which replaces it; `clvq report` always writes its page anew. Commands
that read a checkpoint of the run folder take `--checkpoint`. Of these, `clvq explain`, `assign` and `steer` take texts
as their arguments, and the others the name alone too: `clvq codebook L4-L8`.

The words of the figures, such as code, FVU, q and selectivity, are explained in the [glossary](glossary.md).

In the tables, square brackets at the end of a meaning describe the value that is used where the option is not given.

Exit codes: 0 means done. 1 means an error; the message says what to do. 2 means wrong usage. 130 and 143 mean
interrupted; the finished part of the work is kept. 141 means that the reader of stdout has closed it.

This page is generated from the settings classes by `python scripts/command_reference.py`.
"""


def rows(command: Any) -> list[str]:
    """A line an option of the command's own; those that every command has stand in the introduction."""
    return [
        f"| `{name(option)}` | {default(option)} | {meaning(option)} |"
        for option in command.options
        if option.name not in EVERYWHERE
    ]


def name(option: Option) -> str:
    if option.positional:
        return option.name.upper()
    return option.flag if option.negation is None else f"{option.flag}` or `{option.negation}"


def default(option: Option) -> str:
    if option.required:
        return "required"
    is_empty = option.default is None or option.default is False or option.default == ()
    return "" if is_empty else f"`{option.default}`"


def meaning(option: Option) -> str:
    choices = get_args(option.kind) if get_origin(option.kind) is Literal else ()
    return option.meaning + (f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else "")


def section(command: Any, leave_out: Collection[str] = ()) -> str:
    head = [f"## clvq {command.__name__}\n", about(command), "", "| option | default | meaning |", "|---|---|---|"]
    return "\n".join([*head, *(row for row in rows(command) if row.split("`")[1] not in leave_out)]) + "\n"


def reference() -> str:
    paper = [f"- {name.replace('_', ' ')}: {value}" for name, value in sorted(PAPER.items())]
    shared = {option.flag for option in options_of(ExtractConfig)} - {option.flag for option in options_of(TrainConfig)}
    parts = [
        INTRODUCTION,
        section(extract.extract),
        section(train.train, leave_out=shared)
        + "\n`clvq train` also takes the options of `clvq extract`, for activations that are missing.\n\n"
        + "`--preset paper` gives these values to settings that are not given:\n\n"
        + "\n".join(paper)
        + "\n",
        section(sweep.sweep, leave_out=(shared | {option.flag for option in options_of(TrainConfig)}) - {"--layers"})
        + "\n`clvq sweep` also takes the options of `clvq train` but for the two layers, and those of `clvq extract`. "
        + "Options that change a result take several values: `--method clvq,kmeans --seed 0,1,2`.\n",
        section(codebook.codebook),
        section(explain.explain),
        section(assign.assign),
        section(steer.steer),
        section(faithfulness.faithfulness),
        section(bench.bench),
        section(report.report),
        section(push.push),
        section(pull.pull),
    ]
    return "\n".join(parts)


def about(command: Any) -> str:
    return inspect.cleandoc(command.__doc__).replace("\n\n", "\n")


if __name__ == "__main__":
    REFERENCE.write_text(reference(), encoding="utf-8")
