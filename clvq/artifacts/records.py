"""The base of records: values that are JSON objects in an artifact."""

from __future__ import annotations

from dataclasses import fields
from typing import Any


class Record:
    """Base of frozen dataclasses that are JSON objects: the fields are the keys, in the same order."""

    def as_json(self) -> dict[str, Any]:
        """Return what `json.dumps` takes."""
        return {field.name: _as_json(getattr(self, field.name)) for field in fields(self)}  # type: ignore[arg-type]


def _as_json(value: Any) -> Any:
    if isinstance(value, Record):
        return value.as_json()
    return [_as_json(item) for item in value] if isinstance(value, list | tuple) else value
