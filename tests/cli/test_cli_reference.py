"""docs/commands.md says what the commands take: made from the same settings, and compared here.

python tests/cli/test_cli_reference.py     writes it anew
"""

from __future__ import annotations

import inspect
from dataclasses import MISSING
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from clvq.cli import extract, train
from clvq.cli.options import Option, options_of
from clvq.config import PAPER, ExtractConfig, TrainConfig

REFERENCE = Path(__file__).parents[2] / "docs" / "commands.md"
INTRODUCTION = """\
# Commands

Every command takes `--run FOLDER` (or `$CLVQ_RUN`; `clvq-run` by default), `--config FILE.toml` with any option by its
name, `--json`, `--overwrite` and `--debug`. What is given on the command line wins over the file, the file over a
preset, a preset over the defaults. A default in square brackets inside the meaning is found out when it is needed.

Exit codes: 0 done; 1 an error that the message tells how to mend; 2 wrong usage; 130 and 143 interrupted, with what was
done kept; 141 the reader of stdout went away.

This page is made from the settings themselves (`python tests/cli/test_cli_reference.py`).
"""


def rows(settings: type[Any]) -> list[str]:
    return [f"| `{option.flag}` | {default(option)} | {meaning(option)} |" for option in options_of(settings)]


def default(option: Option) -> str:
    if option.default is MISSING:
        return "required"
    return "" if option.default in (None, False, ()) else f"`{option.default}`"


def meaning(option: Option) -> str:
    choices = get_args(option.kind) if get_origin(option.kind) is Literal else ()
    return option.meaning + (f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else "")


def reference() -> str:
    head = ["", "| option | default | meaning |", "|---|---|---|"]
    paper = [f"- {name.replace('_', ' ')}: {value}" for name, value in sorted(PAPER.items())]
    parts = [
        INTRODUCTION,
        "## clvq extract\n",
        about(extract.extract),
        *head,
        *rows(ExtractConfig),
        "\n## clvq train\n",
        about(train.train),
        *head,
        "| `--name` | `L4-L8` for layers 4 and 8 | Folder of the checkpoint in the run folder. |",
        *rows(TrainConfig),
        "\nand the options of `clvq extract`, for activations that are missing.\n",
        "`--preset paper` sets, where nothing else is named:\n",
        *paper,
    ]
    return "\n".join(parts) + "\n"


def about(command: Any) -> str:
    return inspect.cleandoc(command.__doc__).replace("\n\n", "\n")


def test_the_command_reference_is_up_to_date() -> None:
    assert REFERENCE.read_text(encoding="utf-8") == reference()


if __name__ == "__main__":
    REFERENCE.write_text(reference(), encoding="utf-8")
