"""How `clvq faithfulness` looks: what each edit and control does, and what the concept does beyond its controls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from clvq.cli.output import heading, number, plain, table

FIGURES = ("flips", "kl", "probability")
HARD = ("covariance", "own")
"""The controls that count, where there is room for no others."""
NAME_WIDTH = 20
"""What the names of a table have at least."""

Lines = Sequence[dict[str, Any]]


class Intervals:
    """A table of figures with intervals, which are never wrapped: the last columns are left out where names would
    have too little room."""

    def __init__(self, title: str, heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> None:
        self.title, self.heads, self.rows = title, heads, rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        made, left = table(title=self.title), options.max_width - NAME_WIDTH
        for column, head in enumerate(self.heads):
            width = max(map(len, [*head.split(), *(cells[column] for _, cells in self.rows)]))
            left -= width + 2
            if left >= 0 or column == 0:
                made.add_column(Text(head), justify="right", width=width)
        for name, cells in self.rows:
            made.add_row(Text(plain(name)), *cells[: len(made.columns) - 1])
        yield made


def interval(figure: Mapping[str, Any] | None, name: str = "value", sign: str = "") -> str:
    """A figure and its interval; `sign` "+" where the figure is a difference."""
    if figure is None or figure[name] is None:
        return "-"
    return f"{figure[name]:{sign}.3f} [{figure['low']:{sign}.3f}, {figure['high']:{sign}.3f}]"


def shown(document: dict[str, Any]) -> Sequence[RenderableType]:
    """One block a checkpoint, edit and place; then classes, the curve, and the checkpoints' differences."""
    names, clean = document["names"], document["clean"]
    accuracy = f", accuracy {number(clean['accuracy'])}" if clean["accuracy"] is not None else ""
    detail = f"{number(clean['sentences'])} sentences, {number(clean['distinct_texts'])} distinct texts{accuracy}"
    parts: list[RenderableType] = [heading(f"Edits inside {document['model']['id']}", detail), ""]
    many = len(document["checkpoints"]) > 1
    rows = _blocks(document["rows"])
    for block, figures in _blocks(document["figures"]).items():
        parts += [*_block(block, figures, rows[block], names, many), ""]
    parts += _by_class(document["by_class"], names, many)
    parts += _curve(document["curve"], names, many)
    parts += _differences(document["differences"], names)
    parts.append(Text(plain(document["path"]), overflow="fold"))
    return parts


def _blocks(lines: Lines) -> dict[tuple[str, str, str], Lines]:
    """Lines by checkpoint, edit and place, in their order."""
    return {block: list(group) for block, group in groupby(lines, key=_block_of)}


def _block_of(line: dict[str, Any]) -> tuple[str, str, str]:
    return line["checkpoint"], line["edit"], line["place"]


def _title(block: tuple[str, str, str], names: dict[str, str], many: bool) -> str:
    checkpoint, edit, place = block
    return f"{names[edit]}, {names[place]}" + (f" ({checkpoint})" if many else "")


def _block(
    block: tuple[str, str, str], figures: Lines, rows: Lines, names: dict[str, str], many: bool
) -> Iterable[RenderableType]:
    first = figures[0]
    yield heading(
        _title(block, names, many), f"{number(first['sentences'])} sentences, {number(first['tokens'])} tokens"
    )
    effect = table("flips", "KL", "prob. fall", "accuracy", "from chance", "distance", title="What was done")
    for line in figures:
        values = [line[name] for name in (*FIGURES, "accuracy", "from_chance")]
        name = "the concept" if line["control"] is None else names[line["control"]]
        effect.add_row(name, *map(number, values), number(line["distance"], 2))
    yield effect
    selective = []
    reasons: dict[str, list[str]] = {}
    for control, group in groupby(rows, key=lambda row: row["control"]):
        lines = list(group)
        if lines[0]["reason"] is None:
            selective.append((names[control], [interval(line, "selectivity", "+") for line in lines]))
        else:
            reasons.setdefault(lines[0]["reason"], []).append(names[control])
    if selective:
        yield Intervals("Concept beyond", [names[name] for name in FIGURES], selective)
    for reason, controls in reasons.items():
        yield Text(f"No selectivity against {', '.join(controls)}: {reason}.", style="dim")


def _by_class(lines: Lines, names: dict[str, str], many: bool) -> list[RenderableType]:
    """Flips beyond the hard controls, by the class that a sentence is labelled with."""
    if not lines:
        return []
    rows = []
    by_block: dict[tuple[str, ...], dict[str, str]] = {}
    for line in lines:
        if line["figure"] == "flips" and line["control"] in HARD:
            by_block.setdefault((line["label"], *_block_of(line)), {})[line["control"]] = interval(
                line, "selectivity", "+"
            )
    for (label, *block), values in by_block.items():
        checkpoint, edit, place = block
        title = f"{label}: {_title((checkpoint, edit, place), names, many)}"
        rows.append((title, [values.get(control, "-") for control in HARD]))
    return [Intervals("By class", [f"flips beyond {names[control]}" for control in HARD], rows), ""]


def _curve(lines: Lines, names: dict[str, str], many: bool) -> list[RenderableType]:
    """Flips beyond the hard controls, by the share of the attribution that the edited words have."""
    parts: list[RenderableType] = []
    flips = [line for line in lines if line["figure"] == "flips"]
    for (checkpoint, edit), group in groupby(flips, key=lambda line: (line["checkpoint"], line["edit"])):
        title = names[edit] + (f" ({checkpoint})" if many else "")
        rows = []
        for mass, points in groupby(group, key=lambda line: line["mass"]):
            by_control = {point["control"]: point for point in points}
            concept = next(iter(by_control.values()))["concept"]
            beyond = [interval(by_control[control], "selectivity", "+") for control in HARD]
            rows.append((f"{mass:.0%}", [number(concept), *beyond]))
        heads = ["flips", *(f"beyond {names[control]}" for control in HARD)]
        parts += [Intervals(f"{title}, by mass", heads, rows), ""]
    return parts


def _differences(lines: Lines, names: dict[str, str]) -> list[RenderableType]:
    """Selectivity of the first checkpoint minus that of each other."""
    parts: list[RenderableType] = []
    for pair, group in groupby(lines, key=lambda line: (line["checkpoint"], line["other"])):
        title = heading(f"{plain(pair[0])} more selective than {plain(pair[1])}", "paired differences of selectivity")
        by_row: dict[str, list[str]] = {}
        for line in group:
            name = f"{names[line['edit']]}, {names[line['place']]}, beyond {names[line['control']]}"
            by_row.setdefault(name, []).append(interval(line, "difference", "+"))
        heads = [names[name] for name in FIGURES]
        parts += [title, Intervals("Selectivity of", heads, list(by_row.items())), ""]
    return parts
