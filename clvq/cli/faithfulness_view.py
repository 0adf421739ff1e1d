"""The output of `clvq faithfulness`: the effect of each edit and control, and the concept's beyond its controls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from clvq.artifacts import model_title
from clvq.cli.output import chance, heading, number, plain, table
from clvq.config import FIGURES, HARD
from clvq.interventions.controls import CLASS_DIRECTION
from clvq.interventions.names import CONCEPT, SPECIFICITY_NAMES, note_on_target
from clvq.interventions.records import SPECIFICITY, DifferenceRow, EffectRow, Interval, SeedsRow, SelectivityRow
from clvq.interventions.results import EditResults, Part, is_null

NAME_WIDTH = 20
"""Smallest width of the column of names in a table."""


class Intervals:
    """A table of figures with intervals, which are never wrapped. Columns that do not fit go to a table below."""

    def __init__(self, title: str, heads: Sequence[str], rows: Sequence[tuple[str | Text, Sequence[str]]]) -> None:
        self.title, self.heads, self.rows = title, heads, rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        widths = [
            max(map(len, [*head.split(), *(cells[column] for _, cells in self.rows)]))
            for column, head in enumerate(self.heads)
        ]
        columns: list[int] = []
        for column, width in enumerate(widths):
            taken = sum(widths[other] + 2 for other in columns)
            if columns and NAME_WIDTH + taken + width + 2 > options.max_width:
                yield self._table(columns, widths)
                columns = []
            columns.append(column)
        yield self._table(columns, widths)

    def _table(self, columns: Sequence[int], widths: Sequence[int]) -> Table:
        shown = table(title=self.title)
        for column in columns:
            shown.add_column(Text(self.heads[column]), justify="right", width=widths[column])
        for name, cells in self.rows:
            shown.add_row(Text(plain(name)) if isinstance(name, str) else name, *(cells[column] for column in columns))
        return shown


def interval(figure: Interval | None, sign: str = "") -> str:
    """Return a figure and its interval as text; `sign` is "+" where the figure is a difference."""
    return "-" if figure is None else _interval(figure.value, figure.low, figure.high, sign)


def shown(results: EditResults, *, full: bool) -> list[RenderableType]:
    """Return one block per checkpoint (or group of seeds), edit and place; then classes, curves and differences.

    Without `full`, only the hard controls and the class direction are shown, and no classes.
    """
    return _View(results, full).blocks()


class _View:
    def __init__(self, results: EditResults, full: bool) -> None:
        self.results, self.names, self.full = results, results.names, full
        self.figures = FIGURES if full else FIGURES[:2]
        self.several = len(results.groups) > 1
        seeded = any(len(group.seeds) > 1 for group in results.groups)
        self._named = self.several or seeded
        self.note = note_on_target(results.target.kind, results.target.unit)

    def blocks(self) -> list[RenderableType]:
        clean = self.results.clean
        accuracy = "" if clean.accuracy is None else f", accuracy {number(clean.accuracy)}"
        of_scores = "" if clean.r2 is None else f", R² of the scores {number(clean.r2)}"
        texts = f"{number(clean.sentences)} sentences, {number(clean.distinct_texts)} distinct texts"
        detail = f"{texts}{accuracy}{of_scores}"
        blocks: list[RenderableType] = [heading(f"Edits inside {model_title(self.results.model)}", detail), ""]
        if self.note is not None:
            blocks += [Text(self.note), ""]
        for group in self.results.groups:
            if len(group.seeds) > 1:
                members = f"{self.results.called(group.name)}: {', '.join(group.checkpoints)}"
                blocks += [Text(plain(members), style="dim"), ""]
        for part, lines in self.results.parts.items():
            blocks += [*self._part(part, lines), ""]
        if self.several:
            blocks += self._side_by_side()
        blocks += [*(self._classes() if self.full else []), *self._specificity(), *self._curves(), *self._differences()]
        return blocks if self.full else [*blocks, Text("Every control, and each class: --full.", style="dim")]

    def _is_shown(self, control: str | None) -> bool:
        return self.full or control is None or control in (*HARD, CLASS_DIRECTION)

    def _title(self, part: Part) -> str:
        return self._of_group(self.results.title(part.edit, part.place), part.group)

    def _of_group(self, title: str, group: str) -> str:
        return f"{title} ({self.results.called(group)})" if self._named else title

    def _part(self, part: Part, lines: Sequence[EffectRow]) -> Iterable[RenderableType]:
        concept = lines[0]
        rank = "" if concept.rank in (None, 1) else f", rank {number(concept.rank, 1)}"
        energy = "" if concept.energy is None else f"{rank}, energy {concept.energy:.0%}"
        yield heading(
            self._title(part), f"{number(concept.sentences)} sentences, {number(concept.tokens)} tokens{energy}"
        )
        fall = "p fall" if self.results.has_choices else self.names["probability"]
        heads = (self.names["flips"], self.names["kl"], fall, "accuracy", "from chance", "distance")
        effect = table(*heads, title="What was done")
        shown = [line for line in lines if self._is_shown(line.control)]
        for line in shown:
            name = CONCEPT if line.control is None else self.names[line.control]
            figures = (line.flips, line.kl, line.probability, line.accuracy, line.from_chance)
            effect.add_row(name, *map(number, figures), number(line.distance, 2))
        yield effect
        yield from self._beyond(part, [line.control for line in shown if line.control is not None])

    def _beyond(self, part: Part, controls: Sequence[str]) -> Iterable[RenderableType]:
        """Yield the concept's effect beyond each control, its spread over seeds, and reasons where it is missing."""
        selective: list[tuple[str, list[str]]] = []
        spread: list[tuple[str, list[float], int]] = []
        reasons: dict[str, list[str]] = {}
        for control in controls:
            rows = [row for name in self.figures if (row := self.results.row(part, control, name)) is not None]
            name = self.names[control]
            if rows[0].reason is not None and (self.full or is_null(control)):
                reasons.setdefault(rows[0].reason, []).append(name)
            if rows[0].reason is not None:
                continue
            selective.append((name, [_selectivity(row) for row in rows]))
            spreads = [row.spread for row in rows if isinstance(row, SeedsRow) and row.spread is not None]
            if isinstance(rows[0], SeedsRow) and len(spreads) == len(rows):
                spread.append((name, spreads, rows[0].seeds))
        heads = [self.names[name] for name in self.figures]
        if selective:
            yield Intervals("Concept beyond", heads, selective)
        if spread:
            deviations = table(*heads, title=f"Standard deviation over {spread[0][2]} seeds")
            for name, values, _ in spread:
                deviations.add_row(name, *map(number, values))
            yield deviations
        for reason, names in reasons.items():
            yield Text(f"No selectivity against {', '.join(names)}: {reason}.", style="dim")

    def _side_by_side(self) -> list[RenderableType]:
        """Return one table per edit and place, with one line per checkpoint (or group of seeds).

        A line holds the effect of the concepts, and the effect beyond the hard controls.
        """
        blocks: list[RenderableType] = []
        for edit, place in self.results.blocks:
            rows = []
            for part, (concept, *_) in self.results.parts.items():
                if (part.edit, part.place) == (edit, place):
                    cells = [number(concept.flips), number(concept.distance, 2), number(concept.rank, 1)]
                    beyond = [_selectivity(self.results.row(part, control, "flips")) for control in HARD]
                    rows.append((self.results.called(part.group), [*cells, *beyond]))
            heads = [self.names["flips"], "distance", "rank", *self._flips_beyond()]
            blocks += [Intervals(self.results.title(edit, place), heads, rows), ""]
        return blocks

    def _flips_beyond(self) -> list[str]:
        return [f"{self.names['flips']} beyond {self.names[control]}" for control in HARD]

    def _classes(self) -> list[RenderableType]:
        """Return the flips beyond the hard controls, by the label of the sentence."""
        rows = [
            (f"{label}: {self._title(part)}", [_selectivity(by_control.get(control)) for control in HARD])
            for (part, label, _), by_control in self.results.classes.items()
        ]
        heads = self._flips_beyond()
        return [Intervals("By class", heads, rows), ""] if rows else []

    def _specificity(self) -> list[RenderableType]:
        """Return whether concepts of the predicted class, and no others, move this class.

        There is one line per group; with `full` also one per class.
        """
        lines = [line for line in self.results.specificity if self.full or line.label is None]
        if self.results.without_specificity is not None:
            return [Text(f"Not shown: {self.results.without_specificity}.", style="dim"), ""]
        if not lines:
            return [Text("No specificity: no sentence has concepts of its class and of another.", style="dim"), ""]
        rows = [
            (
                self._of_group(line.label or "all classes", line.checkpoint),
                [number(line.sentences), *(interval(getattr(line, name)) for name in SPECIFICITY)],
            )
            for line in lines
        ]
        heads = ["sentences", *(SPECIFICITY_NAMES[name] for name in SPECIFICITY)]
        return [Intervals("Concepts of the predicted class against those of others", heads, rows), ""]

    def _curves(self) -> list[RenderableType]:
        """Return the flips beyond the hard controls, over the share of the attribution that is edited and over rank."""
        blocks: list[RenderableType] = []
        heads = [self.names["flips"], *(f"beyond {self.names[control]}" for control in HARD)]
        for curve in self.results.curves:
            for (group, edit), points in curve.lines.items():
                rows = []
                for at, by_control in points.items():
                    concept = next(iter(by_control.values())).concept
                    cells = [number(concept), *(_selectivity(by_control.get(name)) for name in HARD)]
                    rows.append((curve.over.written(at), cells))
                title = f"{self._of_group(self.names[edit], group)}, {curve.over.title}"
                blocks += [Intervals(title, heads, rows), ""]
        return blocks

    def _differences(self) -> list[RenderableType]:
        """Return the selectivity of the first checkpoint minus that of each other."""
        blocks: list[RenderableType] = []
        for pair, lines in self.results.compared.items():
            first, other = (plain(self.results.called(name)) for name in pair)
            rows = []
            for (edit, place, control), by_figure in lines.items():
                if not self._is_shown(control):
                    continue
                name = f"{self.results.title(edit, place)}, beyond {self.names[control]}"
                p = [chance(by_figure[figure].p_holm) for figure in FIGURES[:2]]
                rows.append((name, [*(_difference(by_figure[figure]) for figure in self.figures), *p]))
            title = heading(f"{first} minus {other}", "paired differences of selectivity")
            heads = [*(self.names[name] for name in self.figures), *(f"p {self.names[name]}" for name in FIGURES[:2])]
            blocks += [title, Intervals("Selectivity of", heads, rows), ""]
        return blocks


def _selectivity(row: SelectivityRow | None) -> str:
    if row is None or row.selectivity is None:
        return "-"
    return _interval(row.selectivity, row.low, row.high, "+")


def _difference(row: DifferenceRow) -> str:
    return _interval(row.difference, row.low, row.high, "+")


def _interval(value: float, low: Any, high: Any, sign: str) -> str:
    return f"{value:{sign}z.3f} [{low:{sign}z.3f}, {high:{sign}z.3f}]"
