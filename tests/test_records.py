"""Records: JSON objects read into dataclasses, with what is missing or of another type named."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from clvq.artifacts.records import Record


@dataclass(frozen=True)
class Part(Record):
    name: str
    share: float | None = None


@dataclass(frozen=True, kw_only=True)
class Whole(Record):
    count: int
    kind: Literal["a", "b"] = "a"
    first: Part
    others: list[Part] = field(default_factory=list)
    by_layer: dict[int, tuple[float, ...]]
    other: Part | None = None
    anything: Any = None


BODY: dict[str, Any] = {
    "count": 3, "kind": "b", "first": {"name": "x", "share": 1}, "others": [{"name": "y", "share": None}],
    "by_layer": {"4": [1.5, 2], "12": []}, "other": {"name": "z", "share": 0.5}, "anything": [{"k": None}],
}  # fmt: skip


def test_a_record_is_what_it_was_read_from() -> None:
    whole = Whole.from_json({**BODY, "format": "another key"})
    assert whole.as_json() == BODY and list(whole.as_json()) == list(BODY)
    assert whole.by_layer == {4: (1.5, 2), 12: ()} and whole.others == [Part("y")]
    assert whole.other == Part("z", 0.5) and whole.first.share == 1


def test_what_is_missing_has_its_default() -> None:
    body = {name: BODY[name] for name in ("count", "by_layer")}
    assert Whole.from_json({**body, "first": Part("read already")}) == Whole(
        count=3, first=Part("read already"), by_layer={4: (1.5, 2), 12: ()}
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"count": "3"}, "count is '3'"),
        ({"count": True}, "count is True"),
        ({"count": None}, "count is None"),
        ({"count": 3.0}, "count is 3.0"),
        ({"kind": "c"}, "kind is 'c'"),
        ({"first": None}, "first is None"),
        ({"first": [1]}, r"first is \[1\]"),
        ({"first": {}}, "name is missing"),
        ({"first": {"name": "x", "share": True}}, "share is True"),
        ({"others": "y"}, "others is 'y'"),
        ({"others": {"name": "y"}}, "others is {'name': 'y'}"),
        ({"others": [{"name": 1}]}, "name is 1"),
        ({"by_layer": [1]}, r"by_layer is \[1\]"),
        ({"by_layer": {"4": "no"}}, "by_layer, 4 is 'no'"),
        ({"by_layer": {"four": []}}, "four"),
        ({"other": "z"}, "other is 'z'"),
    ],
)
def test_a_value_of_another_type_is_named(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Whole.from_json({**BODY, **change})


@pytest.mark.parametrize("name", ["count", "first", "by_layer"])
def test_what_has_no_default_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} is missing$"):
        Whole.from_json({key: value for key, value in BODY.items() if key != name})
