"""The signatures of the public functions. Like the options of the command line, they are made from the settings
classes."""

from __future__ import annotations

import functools
import inspect
import textwrap
import typing
from collections.abc import Callable, Collection, Sequence
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from clvq.config.settings import Settings, refuse_unknown
from clvq.progress import Report, shown

Function = TypeVar("Function", bound=Callable[..., Any])

PROGRESS = """\
progress: True shows bars on stderr; a function is called with each `clvq.progress.Progress`."""


def takes(
    settings: type[Settings] | None = None, *, several: Collection[str] = (), leave_out: Collection[str] = ()
) -> Callable[[Function], Function]:
    """Make a public function of `function(..., *, progress, **settings)`.

    The fields of the settings class become keyword parameters, with types, defaults and meanings. They are added to the
    signature, and to the end of the docstring, which must end with its section "Args:". A name that is no parameter
    raises ClvqError with similar names. The caller's `progress` is passed on as a function. The settings in `several`
    take a value or a list of values, and those in `leave_out` are no parameters.
    """

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function, eval_str=True)
        own = [item for item in signature.parameters.values() if item.kind is not inspect.Parameter.VAR_KEYWORD]
        parameters = [_progress() if item.name == "progress" else item for item in own]
        parameters += parameters_of(settings, several, leave_out) if settings else []
        names = [item.name for item in parameters]

        @functools.wraps(function)
        def call(*arguments: Any, progress: Report | bool | None = None, **named: Any) -> Any:
            refuse_unknown(named, names)
            with shown(progress) as report:
                return function(*arguments, progress=report, **named)

        call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        lines = [PROGRESS, *meanings(settings, leave_out)] if settings else [PROGRESS]
        call.__doc__ = "\n".join([inspect.cleandoc(function.__doc__ or ""), *_indented(lines), ""])
        return typing.cast(Function, call)

    return decorate


def parameters_of(
    settings: type[Settings], several: Collection[str] = (), leave_out: Collection[str] = ()
) -> list[inspect.Parameter]:
    """Return the fields of a settings class as keyword parameters."""
    hints = typing.get_type_hints(settings)
    return [
        inspect.Parameter(
            item.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if item.default is MISSING else item.default,
            annotation=_annotation(hints[item.name], item.name in several),
        )
        for item in fields(settings)  # type: ignore[arg-type]
        if item.name not in leave_out
    ]


def _annotation(hint: Any, several: bool) -> Any:
    if typing.get_origin(hint) is tuple:
        return int | Sequence[int]
    return hint | Sequence[hint] if several else hint


def meanings(settings: type[Settings], leave_out: Collection[str] = ()) -> list[str]:
    """Return a line for each field, with its name and its meaning."""
    return [
        f"{item.name}: {item.metadata['meaning']}"
        for item in fields(settings)  # type: ignore[arg-type]
        if item.name not in leave_out
    ]


def _progress() -> inspect.Parameter:
    return inspect.Parameter("progress", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Report | bool | None)


def _indented(lines: Sequence[str]) -> list[str]:
    wrap = functools.partial(textwrap.fill, width=100, initial_indent="    ", subsequent_indent="        ")
    return [wrap(line) for line in lines]
