"""What an extraction takes from a corpus, as a message: the columns, three values of each, and what labels mean."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Protocol

from clvq.corpus.column_names import folded
from clvq.corpus.delimited import StoredLayout
from clvq.corpus.parts import SEPARATOR
from clvq.corpus.provenance import CorpusProvenance, HeldOut

EXAMPLES = 3
_LONGEST = 60  # characters of a text in a note


class _Sentence(Protocol):
    @property
    def text(self) -> str: ...
    @property
    def label(self) -> int | None: ...
    @property
    def answers(self) -> list[float] | None: ...


@dataclass(frozen=True)
class TakenColumns:
    """The columns of a corpus that became texts and labels."""

    text_column: str
    texts: tuple[str, ...]
    """Texts of the first sentences."""
    label_column: str | None
    label_columns: dict[str, str]
    """Where each label has a column of its own: the label of each column; else empty."""
    labels: tuple[str | None, ...]
    """Labels of the same sentences, as they stand in the corpus where that is known."""
    label_map: dict[str, str]
    """For each value in the corpus the number of its class, with its name."""
    part_columns: dict[str, str]
    """For a text of several parts, the column of each part, in their order; else empty."""
    layout: StoredLayout | None
    """How the file is read as a table; None for other files."""
    evaluation: str | None
    """A sentence on the evaluation split, where it is a part of the training split or has other columns."""

    @classmethod
    def of_sentences(
        cls, provenance: CorpusProvenance, label_names: list[str] | None, sentences: Iterable[_Sentence]
    ) -> TakenColumns:
        """Return the columns of a corpus' training split, from the `provenance` of its `Corpus` and its first
        `sentences`."""
        first = list(islice(sentences, EXAMPLES))
        numbers, form, origin = provenance.label_map, provenance.label_form, provenance.training
        values: dict[int | None, str] = dict(enumerate(label_names or []))
        values |= {number: value for value, number in reversed(numbers.items())}

        def named(number: int | None) -> str:
            if number is None:
                return "no label"
            name = label_names[number] if label_names is not None and number < len(label_names) else None
            return str(number) if name in (None, str(number)) else f"{number} ({name})"

        return cls(
            origin.text_column,
            tuple(sentence.text for sentence in first),
            origin.label_column,
            dict(zip(origin.label_columns, label_names or origin.label_columns, strict=False)),
            tuple(
                _shown(s.answers, form, label_names)
                if form is not None
                else None
                if s.label is None
                else values.get(s.label, str(s.label))
                for s in first
            ),
            {value: named(number) for value, number in numbers.items()},
            origin.part_columns,
            origin.layout,
            _evaluation(provenance),
        )

    def as_json(self) -> dict[str, Any]:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    def lines(self) -> list[str]:
        """Return the lines of the message."""
        texts = ", ".join(repr(t if len(t) <= _LONGEST else f"{t[: _LONGEST - 3]}...") for t in self.texts)
        columns = f"the column {self.text_column!r}"
        if self.part_columns:
            columns = "the columns " + f" {SEPARATOR} ".join(map(repr, self.part_columns.values()))
        lines = [f"Texts are {columns}: {texts}."]
        if self.layout is not None:
            quotes = "enclose fields" if self.layout.quoting == "quoted" else "are read as they stand"
            header = "names the columns" if self.layout.header else "is data"
            lines.append(
                f"The file is split at {self.layout.delimiter!r}, double quotes {quotes}, the first line {header}."
            )
        if self.evaluation is not None:
            lines.append(self.evaluation)
        if self.label_column is None:
            return [*lines, "Labels: none (--label-column names their column)."]
        labels = ", ".join("none" if label is None else repr(label) for label in self.labels)
        named = f"the column {self.label_column!r}"
        if len(self.label_columns) > 1:
            each = (
                repr(name) if folded(name) == folded(label) else f"{name!r} ({label})"
                for name, label in self.label_columns.items()
            )
            named = f"the columns {', '.join(each)}"
        lines.append(f"Labels are {named}: {labels}.")
        if self.label_map:
            meanings = [f"{value!r} is {meaning}" for value, meaning in islice(self.label_map.items(), 12)]
            more = f", and {len(self.label_map) - 12} more" if len(self.label_map) > 12 else ""
            lines.append(f"Labels: {', '.join(meanings)}{more}.")
        return lines


def _evaluation(provenance: CorpusProvenance) -> str | None:
    training, evaluation = provenance.training, provenance.evaluation
    if isinstance(evaluation, HeldOut):
        names = ", ".join(map(repr, evaluation.unlabelled))
        reason = f", since there are no labels in {names} (--eval-split takes it all the same)" if names else ""
        return f"For evaluation {evaluation.held_out:.0%} of the texts are held out{reason}."
    own, other = ((one.text_column, one.label_column) for one in (training, evaluation))
    if own == other:
        return None
    labels = "there are no labels" if other[1] is None else f"labels are the column {other[1]!r}"
    if evaluation.label_columns:
        labels = f"labels are the columns {', '.join(map(repr, evaluation.label_columns))}"
    return f"In the evaluation split texts are the column {other[0]!r}, and {labels}."


def _shown(answers: list[float] | None, form: str, names: list[str] | None) -> str | None:
    """Return the right answer for a text in words, where it is not one class: a number, or names of labels."""
    if answers is None:
        return None
    if form == "number":
        return f"{answers[0]:g}"
    known = list(names or ())
    if form == "several":
        return ", ".join(name for name, held in zip(known, answers, strict=False) if held) or "no label"
    tags = (known[int(number)] if 0 <= number < len(known) else "-" for number in answers)
    text = " ".join(tags)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
