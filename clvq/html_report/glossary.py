"""The glossary of figures and pages: at the end of the report, and in docs/glossary.md (scripts/glossary.py)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Term:
    """A word, its meaning as plain text, and the page of the documentation that says more."""

    name: str
    meaning: str
    page: str

    @property
    def anchor(self) -> str:
        """The id of the term on the report's page. `term` of cells.html.jinja and of common.js link to it."""
        return f"word-{self.name.lower().replace(' ', '-')}"


@dataclass(frozen=True)
class Group:
    """Terms of one subject. A term comes after the terms that its meaning uses."""

    title: str
    terms: tuple[Term, ...]


def glossary() -> tuple[Group, ...]:
    """Return the groups of glossary.toml, in its order."""
    read = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return tuple(Group(one["title"], tuple(Term(**term) for term in one["terms"])) for one in read["groups"])
