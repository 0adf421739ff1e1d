"""`--config FILE.toml`: a flat list of options by their names, with the types that they have on the command line."""

from __future__ import annotations

import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from clvq.config.settings import advice
from clvq.errors import ClvqError


@dataclass(frozen=True)
class Several:
    """The kind of an option that takes one value, or several values separated by commas."""

    of: Any
    """Kind of each value."""


def read_config(path: Path | None, kinds: Mapping[str, Any], option: str = "--config") -> dict[str, Any]:
    """Return the options in the file that `option` names, by their Python names; empty without a file.

    `kinds` holds the kind of every option that exists. ClvqError where the file cannot be read, or has a name or value
    that does not fit.
    """
    if path is None:
        return {}
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ClvqError(f"{option} {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:  # TOML that does not parse, and text that is not UTF-8
        raise ClvqError(f"{option} {path} is not TOML: {error}.") from error
    given: dict[str, Any] = {}
    for key, value in document.items():
        name = key.replace("-", "_")
        name = f"{name}_" if f"{name}_" in kinds else name  # --class is `class_` in Python
        if name not in kinds:
            raise ClvqError(f"{option} {path} gives {key!r}, which is no option here. {advice(name, kinds, 'options')}")
        if name in given:
            raise ClvqError(f"{option} {path} gives {key!r} twice, once with - and once with _.")
        given[name] = _checked(f"{option} {path}", key, value, kinds[name])
    return given


def _checked(file: str, key: str, value: Any, kind: Any) -> Any:
    """Return the value converted to the option's kind; ClvqError for another type. The settings check the range."""
    if isinstance(kind, Several):
        values = value if isinstance(value, list) else [value]
        return [_checked(file, key, entry, kind.of) for entry in values]
    if typing.get_origin(kind) is Literal:
        wanted, fits = f"one of {', '.join(typing.get_args(kind))}", value in typing.get_args(kind)
    elif kind is tuple:
        wanted = "a list of layers such as [4, 8]"
        fits = isinstance(value, list) and all(type(entry) is int for entry in value)
    elif kind is list:
        value = [value] if isinstance(value, str) else value
        wanted, fits = "a text or a list of texts", isinstance(value, list) and all(type(part) is str for part in value)
    elif kind is float:
        wanted, fits = "a number", type(value) in (int, float)
    else:
        wanted = {bool: "true or false", int: "a whole number"}.get(kind, "a text")
        fits = type(value) is (str if kind is Path else kind)
    if not fits:
        raise ClvqError(f"{file}: {key} must be {wanted}; it is {value!r}.")
    return kind(value) if kind in (tuple, Path, float) else value
