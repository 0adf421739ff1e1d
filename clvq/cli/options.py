"""Options are made from the settings classes, so that defaults, meanings and choices are stated only once, there.

`command` turns a function into a Typer command. An option that is not given is None, so that the sources of settings
can be merged: the command line wins over the --config file, and the function decides on options that neither gives.
"""

from __future__ import annotations

import inspect
import os
import re
import types
import typing
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from clvq.cli.config_file import Several, read_config
from clvq.cli.errors import UsageError, ended_well
from clvq.cli.output import Result, emit, is_follower, launched
from clvq.cli.progress import reporting
from clvq.config import Settings
from clvq.config.paths import expanded
from clvq.progress import Progress

_BARE = "bare_"
"""Prefix of the name of an argument that stands for an option."""


@dataclass(frozen=True)
class Option:
    """One option of a command, from a settings class or from the command's own signature."""

    name: str
    kind: Any
    """bool, int, float, str, Path, a Literal, tuple (a list of layers), list (several texts), or Several."""
    default: Any
    meaning: str
    variable: str | None = None
    """Environment variable that can also give the value."""
    panel: str | None = None
    positional: bool = False
    """Whether it is given by its position on the command line, without a flag."""

    @property
    def flag(self) -> str:
        return "--" + self.name.rstrip("_").replace("_", "-")

    @property
    def required(self) -> bool:
        """Whether it must be given: a setting without a default, or an argument without one."""
        return self.default in (MISSING, inspect.Parameter.empty)

    @property
    def negation(self) -> str | None:
        """The flag for no, such as --no-header, where yes, no and not given are three different answers; else None."""
        return "--no-" + self.flag.removeprefix("--") if self.kind is bool and self.default is None else None

    def parameters(self) -> list[inspect.Parameter]:
        """Return the option as parameters for Typer. A flag also has a hidden --no- form, which overrides --config."""
        kind = list[str] if self.kind is list else self.kind
        if self.positional:
            word = self.name.removeprefix(_BARE).upper()
            argument = typer.Argument(help=self._help(), metavar=word, show_default=False)
            return [_parameter(self.name, kind, argument)]
        given: dict[str, Any] = {
            "envvar": self.variable,
            "show_envvar": True,
            "rich_help_panel": self.panel,
            "show_default": False,
        }
        if self.kind is tuple:
            layers = typer.Option(self.flag, help=self._help(), parser=_layers, metavar="LAYERS", **given)
            return [_parameter(self.name, tuple, layers)]
        if isinstance(self.kind, Several):
            values = typer.Option(self.flag, help=self._help(), parser=self._values, metavar="VALUES", **given)
            return [_parameter(self.name, list, values)]
        if self.negation is not None:
            both = typer.Option(f"{self.flag}/{self.negation}", help=self._help(), **given)
            return [_parameter(self.name, bool, both)]
        metavar = "" if self.kind is bool else "CHOICE" if self._choices() else None
        option = typer.Option(self.flag, help=self._help(), metavar=metavar, **given)
        shown = [_parameter(self.name, kind, option)]
        if self.kind is bool:
            off = typer.Option("--no-" + self.flag.removeprefix("--"), hidden=True)
            shown.append(_parameter("no_" + self.name, bool, off))
        return shown

    def _help(self) -> str:
        text = self.meaning.replace("[", "\\[")
        if self.required:
            return f"{text} [dim red]\\[required][/]"
        if self.default is None or self.default is False or self.default == ():
            return text
        others = [choice for choice in self._choices() if choice != self.default]
        also = f"; also {', '.join(others)}" if others else ""
        return f"{text} [dim]\\[default: {self.default}{also}][/]"

    def _choices(self) -> tuple[Any, ...]:
        kind = self.kind.of if isinstance(self.kind, Several) else self.kind
        return typing.get_args(kind) if typing.get_origin(kind) is Literal else ()

    def _values(self, text: str) -> list[Any]:
        """Return the values of a text such as `100,400`; BadParameter where a value does not fit."""
        try:
            return [self._value(part) for part in re.split(r"[,\s]+", text.strip()) if part]
        except ValueError as error:
            wanted = ", ".join(map(str, self._choices())) or {int: "whole numbers"}.get(self.kind.of, "numbers")
            raise typer.BadParameter(f"{text!r} has a value that is none of: {wanted}.") from error

    def _value(self, text: str) -> Any:
        choices = self._choices()
        if choices and text not in choices:
            raise ValueError(text)
        return text if choices else self.kind.of(text)


def options_of(settings: type[Settings], panel: str | None = None) -> list[Option]:
    """Return the options for the fields of a settings class."""
    hints = typing.get_type_hints(settings)
    return [
        Option(item.name, _kind(hints[item.name]), item.default, item.metadata["meaning"], panel=panel)
        for item in fields(settings)  # type: ignore[arg-type]
        if item.metadata["option"]
    ]


def command(
    *panels: tuple[type[Settings], str],
    several: Collection[str] = (),
    leave_out: Collection[str] = (),
    in_all_processes: Callable[[Mapping[str, Any]], bool] = lambda _: False,
) -> Callable[[Callable[..., Result]], Callable[..., None]]:
    """Make a Typer command of `function(report, arguments, *, own options, **settings) -> Result`.

    The options are the function's own, those of the settings classes (an option that two classes share appears once),
    and those of every command: --config, --json and --debug. They are kept in `.options`, for the reference page.
    Options whose names are in `several` take several values; the command does not have options named in `leave_out`.
    A command without arguments of its own also takes the value of --checkpoint as an argument.
    If a launcher started several processes, only the first runs the command, unless `in_all_processes` is true of
    what is given.
    """

    def decorate(function: Callable[..., Result]) -> Callable[..., None]:
        options = {option.name: option for option in _own_options(function)}
        for settings, panel in panels:
            for option in options_of(settings, panel):
                if option.name in several and option.kind is not bool:
                    option = replace(option, kind=Several(option.kind))
                if option.name not in leave_out:
                    options.setdefault(option.name, option)
        bare = [] if any(option.positional for option in options.values()) else _bare(options.get("checkpoint"))

        def run(config: Path | None, debug: bool, **typed: Any) -> None:
            with ended_well(debug) as interruption:
                given = {name: value for name, value in typed.items() if value is not None}
                for name in [name for name in given if name.startswith("no_")]:
                    given[name.removeprefix("no_")] = not given.pop(name)
                _take_bare(given)
                kinds = {name: option.kind for name, option in options.items() if not option.positional}
                given = {**read_config(config, kinds), **given}
                given = {name: expanded(v) if isinstance(v, Path) else v for name, v in given.items()}
                if lacking := [
                    o.name.upper() for o in options.values() if o.positional and o.required and o.name not in given
                ]:
                    raise UsageError(f"{' and '.join(lacking)} must be given.")
                as_json = given.pop("json", False)
                # Work that processes can share is written as it goes on; other work is done again.
                interruption.continues = in_all_processes(given)
                with reporting(interruption, debug) as report:
                    if launched() and not in_all_processes(given):
                        if is_follower():
                            return
                        os.environ["WORLD_SIZE"] = "1"  # no other process takes part in what the library would share
                        report(Progress(function.__name__, note=f"clvq {function.__name__} runs in one process."))
                    result = function(report, **given)
                emit(result, as_json)

        options["json"] = Option("json", bool, False, "Write one JSON document to stdout instead of tables.")
        run.options = tuple(options.values())  # type: ignore[attr-defined]
        run.__name__ = function.__name__
        run.__doc__ = re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.cleandoc(function.__doc__ or ""))  # a paragraph is a line
        run.__annotations__ = {}
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [*bare, *(p for option in options.values() for p in option.parameters()), *_EVERYWHERE]
        )
        return run

    return decorate


def _bare(option: Option | None) -> list[inspect.Parameter]:
    """Return the argument that stands for an option; an empty list where the option is None."""
    if option is None:
        return []
    argument = replace(option, name=_BARE + option.name, meaning=f"The same as {option.flag}.", positional=True)
    return argument.parameters()


def _take_bare(given: dict[str, Any]) -> None:
    """Move a value given as an argument to the name of its option; UsageError where both are given."""
    for name in [name for name in given if name.startswith(_BARE)]:
        value, option = given.pop(name), name.removeprefix(_BARE)
        if option in given:
            raise UsageError(f"The {option} is given twice: by itself and with --{option}. Give it once.")
        given[option] = value


def _own_options(function: Callable[..., Result]) -> list[Option]:
    """Return the options in the signature of a command's function, each Annotated[kind, meaning, environment variable].

    Keyword-only parameters are options. The parameters between `report` and these are arguments.
    """
    options = []
    _, *parameters = inspect.signature(function, eval_str=True).parameters.values()
    for parameter in parameters:
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            kind, meaning, *variable = typing.get_args(parameter.annotation)
            positional = parameter.kind is not inspect.Parameter.KEYWORD_ONLY
            option = Option(parameter.name, _kind(kind), parameter.default, meaning, *variable)
            options.append(replace(option, positional=positional))
    return options


def _kind(hint: Any) -> Any:
    """Return the type of a value, without the None that stands for no value."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        (hint,) = (part for part in typing.get_args(hint) if part is not type(None))
    origin = typing.get_origin(hint)
    return origin if origin in (tuple, list) else hint


def _parameter(name: str, kind: Any, option: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def _layers(text: str) -> tuple[int, ...]:
    """Return the layers of a text such as `4,8` or `4 8`; BadParameter where it is no list of numbers."""
    try:
        return tuple(int(part) for part in re.split(r"[,\s]+", text.strip()) if part)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no list of layers such as 4,8.") from error


_EVERYWHERE = [
    _parameter(
        "config",
        Path,
        typer.Option(
            "--config",
            metavar="FILE.toml",
            help="Options by their names, one a line: input_layer = 4. The command line wins; --no-FLAG turns off a "
            "flag that the file turns on.",
        ),
    ),
    inspect.Parameter(
        "debug",
        inspect.Parameter.KEYWORD_ONLY,
        default=False,
        annotation=Annotated[
            bool, typer.Option("--debug", metavar="", help="Show tracebacks and other libraries' warnings.")
        ],
    ),
]
