"""How results look in Python and in a notebook: a short `repr`, HTML that escapes every text, tables for pandas."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from clvq.errors import ClvqError

if TYPE_CHECKING:
    from pandas import DataFrame


class Shown(ABC):
    """Base of the results of the public functions. The `repr` is one line, and a notebook shows it above the HTML."""

    @abstractmethod
    def _title(self) -> str:
        """Say in a few words what this is, without the name of the class."""

    @abstractmethod
    def _html(self, caption: str) -> str:
        """Return the HTML that a notebook shows."""

    @abstractmethod
    def to_pandas(self) -> DataFrame:
        """Return the result as a pandas table."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._title()}>"

    def _repr_html_(self) -> str:
        return self._html(repr(self))


def text_html(text: str) -> str:
    """Return text from outside as HTML that shows it as it is, whatever its writing direction."""
    return f"<bdi>{escape(text)}</bdi>"


def table_html(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return an HTML table. `rows` hold HTML; caption and head hold plain text."""
    heads = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    caption = f'<caption style="text-align: left">{escape(caption)}</caption>'
    return f"<table>{caption}<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def data_frame(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] | None = None) -> DataFrame:
    """Return `rows` as a pandas table; ClvqError where pandas is not installed.

    `columns` are needed where there may be no row.
    """
    try:
        import pandas
    except ImportError as error:
        raise ClvqError("A table for pandas needs pandas, which is not installed. Run: pip install pandas") from error
    return pandas.DataFrame(list(rows), columns=columns)
