"""How `clvq faithfulness` looks: what each edit and control does, and what the concept does beyond its controls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from clvq.cli.output import heading, number, plain, table

FIGURES = ("flips", "kl", "probability")
HARD = ("covariance", "own")
"""The controls that count, where there is room for no others."""

Lines = Sequence[dict[str, Any]]


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
    selective = table(*(names[name] for name in FIGURES), title="Concept beyond")
    reasons: dict[str, list[str]] = {}
    for control, group in groupby(rows, key=lambda row: row["control"]):
        lines = list(group)
        if lines[0]["reason"] is None:
            selective.add_row(names[control], *map(_interval, lines))
        else:
            reasons.setdefault(lines[0]["reason"], []).append(names[control])
    if selective.row_count:
        yield selective
    for reason, controls in reasons.items():
        yield Text(f"No selectivity against {', '.join(controls)}: {reason}.", style="dim")


def _interval(line: dict[str, Any], name: str = "selectivity") -> str:
    if line[name] is None:
        return "-"
    return f"{line[name]:+.3f} [{line['low']:+.3f}, {line['high']:+.3f}]"


def _by_class(lines: Lines, names: dict[str, str], many: bool) -> list[RenderableType]:
    """Flips beyond the hard controls, by the class that a sentence is labelled with."""
    if not lines:
        return []
    made = table(*(f"flips beyond {names[control]}" for control in HARD), title="By class")
    by_block: dict[tuple[str, ...], dict[str, str]] = {}
    for line in lines:
        if line["figure"] == "flips" and line["control"] in HARD:
            by_block.setdefault((line["label"], *_block_of(line)), {})[line["control"]] = _interval(line)
    for (label, *block), values in by_block.items():
        checkpoint, edit, place = block
        title = f"{label}: {_title((checkpoint, edit, place), names, many)}"
        made.add_row(Text(plain(title)), *(values.get(control, "-") for control in HARD))
    return [made, ""]


def _curve(lines: Lines, names: dict[str, str], many: bool) -> list[RenderableType]:
    """Flips beyond the hard controls, by the share of the attribution that the edited words have."""
    parts: list[RenderableType] = []
    flips = [line for line in lines if line["figure"] == "flips"]
    for (checkpoint, edit), group in groupby(flips, key=lambda line: (line["checkpoint"], line["edit"])):
        title = names[edit] + (f" ({checkpoint})" if many else "")
        made = table("flips", *(f"beyond {names[control]}" for control in HARD), title=f"{title}, by mass")
        for mass, points in groupby(group, key=lambda line: line["mass"]):
            by_control = {point["control"]: point for point in points}
            concept = next(iter(by_control.values()))["concept"]
            made.add_row(f"{mass:.0%}", number(concept), *(_interval(by_control[control]) for control in HARD))
        parts += [made, ""]
    return parts


def _differences(lines: Lines, names: dict[str, str]) -> list[RenderableType]:
    """Selectivity of the first checkpoint minus that of each other."""
    parts: list[RenderableType] = []
    for pair, group in groupby(lines, key=lambda line: (line["checkpoint"], line["other"])):
        title = heading(f"{plain(pair[0])} more selective than {plain(pair[1])}", "paired differences of selectivity")
        made = table(*(names[name] for name in FIGURES), title="Selectivity of")
        by_row: dict[str, list[str]] = {}
        for line in group:
            name = f"{names[line['edit']]}, {names[line['place']]}, beyond {names[line['control']]}"
            by_row.setdefault(name, []).append(_interval(line, "difference"))
        for name, values in by_row.items():
            made.add_row(name, *values)
        parts += [title, made, ""]
    return parts
