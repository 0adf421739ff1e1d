"""What the settings classes share: fields with a meaning and bounds, checks, and the part that decides a result.

It uses the standard library only, so that `clvq --help` stays fast (docs/lab-notes.md has the comparison with
pydantic).
"""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from typing import Any, Literal, Self

from clvq.errors import ClvqError

MODEL = (
    "Folder or hub id where the language model is now, if it was moved. It must be the model that made the activations "
    "[where it was]."
)
CORPUS = (
    "The corpus that the checkpoint was trained on, where its activations are not beside it: they are extracted again "
    "[none: the activations beside it are used]."
)
EVAL_CORPUS = (
    "With --dataset: corpus of the evaluation split, where it was another one [the one that was named at extraction]."
)
EVAL_ALONE = "--eval-dataset can only be used with --dataset."
BATCH = "Number of tokens in a batch of the language model, padding included."
TRUST = "Allow Python code that comes with a hub model to run."
"""Meanings of settings that several commands have."""


@dataclass(frozen=True)
class Bounds:
    """The range of a number; None leaves an end open."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    reason: str = ""
    """Added to the message about a number outside the range."""

    def hold(self, value: float) -> bool:
        """Return whether `value` lies in the range. NaN never does."""
        return (
            (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        """Return what must hold, for a message, such as "be above 0 and at most 1"."""
        if self == Bounds(at_least=0):
            return "not be negative"
        lower = f"above {self.above}" if self.above is not None else f"{self.at_least} or more"
        upper = f" and at most {self.at_most}" if self.at_most is not None else ""
        upper = f" and below {self.below}" if self.below is not None else upper
        return f"be {lower}{upper}" + (f": {self.reason}" if self.reason else "")


POSITIVE = Bounds(at_least=1)
NOT_NEGATIVE = Bounds(at_least=0)
SEED = Bounds(at_least=0, at_most=2**63 - 1)
ABOVE_ZERO = Bounds(above=0)
SHARE = Bounds(above=0, at_most=1)

DEVICE = "Where to compute: cpu, cuda, cuda:1 and so on [a GPU if there is one]."


def stated(
    default: Any, meaning: str, bounds: Bounds | None = None, *, result: bool = True, option: bool = True
) -> Any:
    """Declare a field with its meaning and the bounds of its number.

    `result`: whether the setting changes the result. `option`: whether the command line has the setting.
    """
    metadata = {"meaning": meaning, "bounds": bounds, "result": result, "option": option}
    return field(default=default, metadata=metadata)


class Settings:
    """The base of the settings classes. Each is a frozen dataclass whose fields are made by `stated`."""

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for item in fields(self):  # type: ignore[arg-type]
            if typing.get_origin(hints[item.name]) is tuple:
                object.__setattr__(self, item.name, _as_tuple(getattr(self, item.name)))
            _check_type(item, hints[item.name], getattr(self, item.name))
        for item in fields(self):  # type: ignore[arg-type]
            value, bounds = getattr(self, item.name), item.metadata["bounds"]
            if bounds is not None and value is not None:
                self.require(bounds.hold(value), f"{flag(item.name)} must {bounds}; it is {value!r}.")

    @classmethod
    def resolve(cls, **named: Any) -> Self:
        """Return the settings that are named, completed by those of the preset, and then by the defaults.

        A setting that `unused` names keeps its default, so that the same options can be given for all methods and
        modes. ClvqError for an unknown name and for a required setting that is missing.
        """
        refuse_unknown(named, [item.name for item in fields(cls)])  # type: ignore[arg-type]
        unused = cls.unused(**named)
        named = {**cls.preset_values(**named), **{name: value for name, value in named.items() if name not in unused}}
        missing = [i.name for i in fields(cls) if i.default is MISSING and i.name not in named]  # type: ignore[arg-type]
        if missing:
            raise ClvqError(f"{' and '.join(map(flag, missing))} must be given.")
        return cls(**named)

    @classmethod
    def unused(cls, **named: Any) -> list[str]:
        """Return those of the named settings that have no effect beside the other ones."""
        return []

    @classmethod
    def preset_values(cls, **named: Any) -> dict[str, Any]:
        """Return the values that the preset among those named gives to the other settings."""
        return {}

    def as_options(self) -> list[str]:
        """Return the options of the command line that give these settings, without those that have their default."""
        words: list[str] = []
        for item in fields(self):  # type: ignore[arg-type]
            value = getattr(self, item.name)
            if value == item.default or not item.metadata["option"]:
                continue
            if isinstance(value, bool):
                words.append(flag(item.name) if value else flag(f"no_{item.name}"))
            else:
                words += [flag(item.name), ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
        return words

    def deciding(self) -> dict[str, Any]:
        """Return the settings that decide the result, JSON-ready."""
        values = self.as_json()
        return {item.name: values[item.name] for item in fields(self) if item.metadata["result"]}  # type: ignore[arg-type]

    def as_json(self) -> dict[str, Any]:
        """Return all settings, JSON-ready."""
        values = asdict(self)  # type: ignore[call-overload]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Return the settings that an artifact holds. ClvqError where they are those of another class."""
        try:
            return cls(**values)
        except TypeError as error:
            raise ClvqError(f"{cls.__name__}: {error}") from error

    def require(self, holds: bool, message: str) -> None:
        """Raise ClvqError with the message unless `holds`."""
        if not holds:
            raise ClvqError(message)


def flag(name: str) -> str:
    """Return the name of a setting as an option of the command line."""
    return "--" + name.rstrip("_").replace("_", "-")


def listed(text: str) -> tuple[str, ...]:
    """Return the entries of a list that is separated by commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def differences(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return a message for each setting whose value in an artifact differs from the one in `wanted`, with both
    values."""
    return [
        f"{flag(name)[2:]} ({stored.get(name)!r} there, {value!r} here)"
        for name, value in wanted.items()
        if stored.get(name) != value
    ]


def refuse_unknown(named: Iterable[str], known: Iterable[str]) -> None:
    """Raise ClvqError for the first name that is not known, and suggest similar names."""
    known = list(known)
    for name in named:
        if name not in known:
            raise ClvqError(f"There is no setting {name!r}. {advice(name, known, 'settings')}")


def advice(name: str, known: Iterable[str], kind: str) -> str:
    """Return "Did you mean ...?", or the list of all names of this kind where none is close to `name`."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=3)
    return f"Did you mean {' or '.join(close)}?" if close else f"The {kind} are: {', '.join(known)}."


def _as_tuple(value: Any) -> Any:
    """Return one whole number, or a list of them, as a tuple; anything else as it is."""
    if type(value) is int:
        return (value,)
    return tuple(value) if isinstance(value, list | range) else value


_KINDS = {
    type(None): "nothing", int: "a whole number", float: "a number", str: "a text", bool: "true or false",
    tuple: "a whole number or a list of them, such as (4, 8)",
}  # fmt: skip


def _check_type(item: Field[Any], hint: Any, value: Any) -> None:
    """Raise ClvqError for a value of another type. Options have the right type; settings from Python or a file may
    not."""
    name = flag(item.name)
    alternatives = typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)
    if value is None and type(None) in alternatives:
        return
    for alternative in alternatives:
        if typing.get_origin(alternative) is Literal:
            choices = typing.get_args(alternative)
            if value in choices:
                return
            raise ClvqError(f"{name} must be one of {', '.join(map(str, choices))}; it is {value!r}.")
        if typing.get_origin(alternative) is tuple:
            if isinstance(value, tuple) and all(type(entry) is int for entry in value):
                return
        elif alternative is float:
            if type(value) in (int, float):
                return
        elif type(value) is alternative:
            return
    wanted = " or ".join(_KINDS.get(typing.get_origin(kind) or kind, str(kind)) for kind in alternatives)
    raise ClvqError(f"{name} must be {wanted}; it is {value!r}.")
