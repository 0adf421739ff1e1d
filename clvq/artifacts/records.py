"""The base of records: values that are JSON objects in an artifact."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields
from functools import cache
from typing import Any, ClassVar, Literal, Protocol, Self, Union, get_args, get_origin, get_type_hints

from clvq.config.settings import Settings


class Record:
    """Base of frozen dataclasses that are JSON objects.

        ModelName.from_json({"id": "demo", "fingerprint": "12ab"}).as_json()

    The fields are the keys, in the same order.
    """

    omitted: ClassVar[tuple[str, ...]] = ()
    """Fields that the JSON leaves out where they have their defaults."""

    def as_json(self) -> dict[str, Any]:
        """Return what `json.dumps` takes. Of settings it holds those that decide the result."""
        known: tuple[Field[Any], ...] = fields(self)  # type: ignore[arg-type]
        values = {field.name: getattr(self, field.name) for field in known}
        return {
            field.name: _as_json(values[field.name])
            for field in known
            if field.name not in self.omitted or values[field.name] != _default(field)
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Return the record whose fields are in `body`, other keys aside. A field that is missing has its default.
        Values that are records already stay as they are.

        ValueError, which names the field, where one without a default is missing or a value has another type.
        """
        kinds = _kinds(cls)  # type: ignore[arg-type]
        known: tuple[Field[Any], ...] = fields(cls)  # type: ignore[arg-type]
        for field in known:
            if field.name not in body and field.default is MISSING and field.default_factory is MISSING:
                raise ValueError(f"{field.name} is missing")
        return cls(**{f.name: _read(kinds[f.name], body[f.name], f.name) for f in known if f.name in body})


class NamedModel(Protocol):
    """What names a language model in an artifact."""

    @property
    def id(self) -> str:
        """The folder as it was given, a hub id, or `demo`."""
        ...

    @property
    def fingerprint(self) -> str:
        """A hash of the model's files."""
        ...


@dataclass(frozen=True)
class ModelName(Record):
    """The language model that a result is about."""

    id: str
    fingerprint: str


@cache
def _kinds(record: type) -> dict[str, Any]:
    return get_type_hints(record)


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _as_json(value: Any) -> Any:
    if isinstance(value, Record):
        return value.as_json()
    if isinstance(value, Settings):
        return value.deciding()
    if isinstance(value, Mapping):
        return {str(key): _as_json(item) for key, item in value.items()}
    return [_as_json(item) for item in value] if isinstance(value, list | tuple) else value


def _read(kind: Any, value: Any, name: str) -> Any:
    """Return a JSON value as a value of the type `kind`. ValueError where it has another type."""
    outer, inner = get_origin(kind), get_args(kind)
    if outer in (Union, types.UnionType) and value is not None:
        kind = next(one for one in inner if one is not type(None))
        return _read(kind, value, name)
    if outer in (list, tuple) and isinstance(value, list):
        return outer(_read(inner[0], item, name) for item in value)
    if outer in (dict, Mapping) and isinstance(value, Mapping):
        return {inner[0](key): _read(inner[1], item, f"{name}, {key}") for key, item in value.items()}
    if hasattr(kind, "from_json") and isinstance(value, Mapping):
        return kind.from_json(value)
    if not _fits(kind, value):
        raise ValueError(f"{name} is {value!r:.60}")
    return value


def _fits(kind: Any, value: Any) -> bool:
    """Return whether a value that is neither a list nor an object has a type. A record always has."""
    if kind is Any or isinstance(value, Record):
        return True
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if value is None:
        return type(None) in (kind, *get_args(kind))
    return type(value) is kind or (kind is float and type(value) is int)
