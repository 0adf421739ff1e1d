"""How `clvq faithfulness` looks: what each edit and control does, and what the concept does beyond its controls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from clvq.cli.output import heading, number, plain, table
from clvq.config import FIGURES, HARD

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
    """One block a checkpoint (or the seeds of one), edit and place; then classes, the curve, and differences."""
    names, clean, groups = document["names"], document["clean"], document["groups"]
    accuracy = f", accuracy {number(clean['accuracy'])}" if clean["accuracy"] is not None else ""
    detail = f"{number(clean['sentences'])} sentences, {number(clean['distinct_texts'])} distinct texts{accuracy}"
    parts: list[RenderableType] = [heading(f"Edits inside {document['model']['id']}", detail), ""]
    for group in groups:
        if len(group["seeds"]) > 1:
            parts += [Text(plain(f"{_called(group)}: {', '.join(group['checkpoints'])}"), style="dim"), ""]
    called = {group["name"]: _called(group) if len(groups) > 1 or len(group["seeds"]) > 1 else "" for group in groups}
    rows = _blocks(_of_groups(document, "rows"))
    for block, figures in _blocks(_of_groups(document, "figures")).items():
        parts += [*_block(block, figures, rows[block], names, called), ""]
    if len(groups) > 1:
        parts += _side_by_side(_of_groups(document, "figures"), rows, names, called)
    parts += _by_class(document["by_class"], names, called)
    parts += _curve(_of_groups(document, "curve"), names, called)
    parts += _differences(document["differences"], names, called)
    parts.append(Text(plain(document["path"]), overflow="fold"))
    return parts


def _called(group: dict[str, Any]) -> str:
    """Name of a checkpoint, or of the mean over seeds."""
    seeds = len(group["seeds"])
    return str(group["name"]) if seeds == 1 else f"{group['name']}, mean of {seeds} seeds"


def _of_groups(document: dict[str, Any], kind: str) -> Lines:
    """The lines of each group: a checkpoint's own, or the mean over its seeds."""
    found = []
    for group in document["groups"]:
        lines = document[kind] if len(group["seeds"]) == 1 else document["seeds"][kind]
        found += [line for line in lines if line["checkpoint"] == group["name"]]
    return found


def _blocks(lines: Lines) -> dict[tuple[str, str, str], Lines]:
    """Lines by checkpoint, edit and place, in their order."""
    return {block: list(group) for block, group in groupby(lines, key=_block_of)}


def _block_of(line: dict[str, Any]) -> tuple[str, str, str]:
    return line["checkpoint"], line["edit"], line["place"]


def _title(block: tuple[str, str, str], names: dict[str, str], called: dict[str, str]) -> str:
    checkpoint, edit, place = block
    return _with(f"{names[edit]}, {names[place]}", called[checkpoint])


def _with(title: str, called: str) -> str:
    return f"{title} ({called})" if called else title


def _block(
    block: tuple[str, str, str], figures: Lines, rows: Lines, names: dict[str, str], called: dict[str, str]
) -> Iterable[RenderableType]:
    first = figures[0]
    rank = f", rank {number(first['rank'], 1)}" if first["rank"] is not None and first["rank"] != 1 else ""
    energy = f"{rank}, energy {first['energy']:.0%}" if first["energy"] is not None else ""
    yield heading(
        _title(block, names, called),
        f"{number(first['sentences'])} sentences, {number(first['tokens'])} tokens{energy}",
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
    if "spread" in rows[0]:
        spread = table(*(names[name] for name in FIGURES), title=f"Standard deviation over {rows[0]['seeds']} seeds")
        for control, group in groupby(rows, key=lambda row: row["control"]):
            values = [row["spread"] for row in group]
            if None not in values:
                spread.add_row(names[control], *map(number, values))
        yield spread
    for reason, controls in reasons.items():
        yield Text(f"No selectivity against {', '.join(controls)}: {reason}.", style="dim")


def _side_by_side(
    figures: Lines, rows: dict[tuple[str, str, str], Lines], names: dict[str, str], called: dict[str, str]
) -> list[RenderableType]:
    """A table an edit and place with a line a checkpoint: what its concepts do, and do beyond the hard controls."""
    parts: list[RenderableType] = []
    concepts = {_block_of(line): line for line in figures if line["control"] is None}
    for edit, place in dict.fromkeys((edit, place) for _, edit, place in concepts):
        lines = []
        for block in (block for block in concepts if block[1:] == (edit, place)):
            found = {row["control"]: row for row in rows[block] if row["figure"] == "flips"}
            concept = concepts[block]
            cells = [number(concept["flips"]), number(concept["distance"], 2), number(concept["rank"], 1)]
            beyond = [interval(found.get(control), "selectivity", "+") for control in HARD]
            lines.append((called[block[0]], [*cells, *beyond]))
        heads = ["flips", "distance", "rank", *(f"flips beyond {names[control]}" for control in HARD)]
        parts += [Intervals(f"{names[edit]}, {names[place]}", heads, lines), ""]
    return parts


def _by_class(lines: Lines, names: dict[str, str], called: dict[str, str]) -> list[RenderableType]:
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
        title = f"{label}: {_title((checkpoint, edit, place), names, called)}"
        rows.append((title, [values.get(control, "-") for control in HARD]))
    return [Intervals("By class", [f"flips beyond {names[control]}" for control in HARD], rows), ""]


def _curve(lines: Lines, names: dict[str, str], called: dict[str, str]) -> list[RenderableType]:
    """Flips beyond the hard controls, by the share of the attribution that the edited words have."""
    parts: list[RenderableType] = []
    flips = [line for line in lines if line["figure"] == "flips"]
    for (checkpoint, edit), group in groupby(flips, key=lambda line: (line["checkpoint"], line["edit"])):
        title = _with(names[edit], called[checkpoint])
        rows = []
        for mass, points in groupby(group, key=lambda line: line["mass"]):
            by_control = {point["control"]: point for point in points}
            concept = next(iter(by_control.values()))["concept"]
            beyond = [interval(by_control[control], "selectivity", "+") for control in HARD]
            rows.append((f"{mass:.0%}", [number(concept), *beyond]))
        heads = ["flips", *(f"beyond {names[control]}" for control in HARD)]
        parts += [Intervals(f"{title}, by mass", heads, rows), ""]
    return parts


def _differences(lines: Lines, names: dict[str, str], called: dict[str, str]) -> list[RenderableType]:
    """Selectivity of the first checkpoint minus that of each other."""
    parts: list[RenderableType] = []
    for pair, group in groupby(lines, key=lambda line: (line["checkpoint"], line["other"])):
        first, other = (plain(called[name]) for name in pair)
        title = heading(f"{first} less {other}", "paired differences of selectivity")
        by_row: dict[str, list[str]] = {}
        for line in group:
            name = f"{names[line['edit']]}, {names[line['place']]}, beyond {names[line['control']]}"
            by_row.setdefault(name, []).append(interval(line, "difference", "+"))
        heads = [names[name] for name in FIGURES]
        parts += [title, Intervals("Selectivity of", heads, list(by_row.items())), ""]
    return parts
