"""The plots of the faithfulness section: the effect of concepts beyond their controls, by group and along the curve."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

from bokeh.embed import json_item
from bokeh.models import (
    BasicTicker,
    ColumnDataSource,
    FixedTicker,
    HoverTool,
    NumeralTickFormatter,
    PlainText,
    Range1d,
)
from bokeh.plotting import figure

from clvq.config import HARD, RANKS
from clvq.html_report.figures import CURVE, LABEL_COLOURS, MUTED, SECOND, calm
from clvq.interventions.records import SelectivityRow
from clvq.interventions.results import Curve, EditResults, Over

Rows = Sequence[SelectivityRow]

COLOURS = {"coherent": CURVE, "own": SECOND}
MARKERS = {"coherent": "circle", "own": "square"}
GROUP_COLOURS = (CURVE, SECOND, *(colour for colour in LABEL_COLOURS if colour != SECOND))
DASHES = ("solid", "dashed", "dotted")
"""Dash patterns of the groups' lines, for readers who cannot tell the colours apart."""
NAME_WIDTH = 18
"""Width of a name in letters. Longer names would leave no room for the plot on a phone; the table has them in full."""
_TOOLTIPS = [("", "@name"), ("beyond", "@control"), ("selectivity", "@value{0.000} [@low{0.000}, @high{0.000}]")]


class Mark(NamedTuple):
    """An entry of a legend."""

    name: str
    colour: str
    dash: str | None = None
    """Dash pattern of a line; None for points."""
    square: bool = False


class Panel(NamedTuple):
    title: str
    item: Any
    """JSON for `Bokeh.embed.embed_item`."""
    height: int
    """In pixels."""


class Panels(NamedTuple):
    """Plots that share a scale and form one figure."""

    panels: list[Panel]
    legend: list[Mark]


def interval_panels(results: EditResults) -> Panels:
    """Draw the selectivity in flips against the hard controls.

    There is one panel per edit and place, with one line per group. If there is only one group, there is one panel per
    edit, with one line per place.
    """
    wanted = [row for row in results.shown.rows if row.figure == "flips" and row.control in HARD]
    reach = _range(wanted)
    several = len(results.groups) > 1
    parts: dict[str, list[tuple[str, list[SelectivityRow]]]] = {}
    for edit, place in results.blocks:
        rows = [row for row in wanted if (row.edit, row.place) == (edit, place)]
        if several:
            names = [group.name for group in results.groups]
            lines = [(name, [row for row in rows if row.checkpoint == name]) for name in names]
            parts[results.title(edit, place)] = lines
        else:
            parts.setdefault(results.names[edit], []).append((results.names[place], rows))
    panels = [
        Panel(title, json_item(_intervals(lines, reach, results)), 62 + 38 * len(lines))
        for title, lines in parts.items()
    ]
    legend = [Mark(f"beyond {results.names[name]}", COLOURS[name], square=name == "own") for name in HARD]
    return Panels(panels, legend)


def curve_panels(curve: Curve, results: EditResults) -> Panels:
    """Draw the selectivity in flips along a curve.

    There is one panel per edit and hard control, with one line per group. If there is only one group, there is one
    panel per edit, with one line per control.
    """
    points = curve.rows
    reach = _range(points)
    panels = []
    if len(results.groups) > 1:
        legend = [
            Mark(group.name, GROUP_COLOURS[number % len(GROUP_COLOURS)], DASHES[number % len(DASHES)])
            for number, group in enumerate(results.groups)
        ]
        for edit in curve.edits:
            for control in HARD:
                of_panel = [row for row in points if (row.edit, row.control) == (edit, control)]
                lines = [(mark, [row for row in of_panel if row.checkpoint == mark.name]) for mark in legend]
                title = f"{results.names[edit]}, beyond {results.names[control]}"
                panels.append(Panel(title, json_item(_curve(curve.over, lines, reach, results)), 250))
    else:
        legend = [
            Mark(f"beyond {results.names[control]}", COLOURS[control], dash)
            for control, dash in zip(HARD, DASHES, strict=False)
        ]
        for edit in curve.edits:
            of_panel = [row for row in points if row.edit == edit]
            lines = [
                (mark, [row for row in of_panel if row.control == control])
                for mark, control in zip(legend, HARD, strict=True)
            ]
            drawn = _curve(curve.over, lines, reach, results)
            panels.append(Panel(results.names[edit], json_item(drawn), 250))
    return Panels(panels, legend)


def _intervals(
    lines: Sequence[tuple[str, Sequence[SelectivityRow]]], reach: tuple[float, float], results: EditResults
) -> figure:
    """Draw points with intervals, one line below the other; each line has both hard controls, slightly shifted."""
    plot = figure(
        sizing_mode="stretch_both", tools=[], toolbar_location=None, x_range=_range1d(reach),
        y_range=_range1d((-len(lines) + 0.4, 0.6)),
    )  # fmt: skip
    calm(plot)
    plot.vspan(x=[0], line_color=MUTED)
    for control, shift in zip(HARD, (0.15, -0.15), strict=True):
        known = [
            (number, name, row)
            for number, (name, rows) in enumerate(lines)
            for row in rows
            if row.control == control and row.selectivity is not None
        ]
        source = ColumnDataSource(
            {
                "y": [shift - number for number, _, _ in known],
                "name": [name for _, name, _ in known],
                "control": [results.names[control]] * len(known),
                **_values([row for _, _, row in known]),
            }
        )
        plot.segment("low", "y", "high", "y", source=source, line_color=COLOURS[control], line_width=2)
        dots = plot.scatter("value", "y", source=source, color=COLOURS[control], size=8, marker=MARKERS[control])
        plot.add_tools(HoverTool(renderers=[dots], tooltips=_TOOLTIPS))
    plot.yaxis.ticker = FixedTicker(ticks=[-number for number in range(len(lines))])
    plot.yaxis.major_label_overrides = {-number: _label(name) for number, (name, _) in enumerate(lines)}
    plot.yaxis.major_tick_line_color = plot.yaxis.axis_line_color = None
    plot.ygrid.visible = False
    plot.xaxis.ticker = BasicTicker(desired_num_ticks=4)
    plot.xaxis.axis_label = f"selectivity in {results.names['flips']}"
    return plot


def _curve(
    over: Over,
    lines: Sequence[tuple[Mark, Sequence[SelectivityRow]]],
    reach: tuple[float, float],
    results: EditResults,
) -> figure:
    """Draw lines with bands, interrupted where there is no selectivity. Ranks double from one point to the next."""
    is_mass = over.field == "mass"
    plot = figure(
        sizing_mode="stretch_both",
        tools=[],
        toolbar_location=None,
        x_axis_type="linear" if is_mass else "log",
        x_range=_range1d((0.05, 1.05) if is_mass else (0.85, 38)),
        y_range=_range1d(reach),
    )
    calm(plot)
    plot.hspan(y=[0], line_color=MUTED)
    for mark, points in lines:
        for known, run in groupby(points, key=lambda row: row.selectivity is not None):
            if not known:
                continue
            rows = list(run)
            source = ColumnDataSource(
                {
                    "at": [over.at(row) for row in rows],
                    "point": [over.written(over.at(row)) for row in rows],
                    "name": [row.checkpoint for row in rows],
                    "control": [results.names[row.control] for row in rows],
                    **_values(rows),
                }
            )
            plot.varea("at", "low", "high", source=source, fill_color=mark.colour, fill_alpha=0.14)
            plot.line(
                "at", "value", source=source, line_color=mark.colour, line_width=2, line_dash=mark.dash or "solid"
            )
            dots = plot.scatter("at", "value", source=source, color=mark.colour, size=6)
            plot.add_tools(HoverTool(renderers=[dots], tooltips=[*_TOOLTIPS, (over.field, "@point")]))
    plot.xgrid.visible = False
    plot.xaxis.ticker = FixedTicker(ticks=[0.2, 0.4, 0.6, 0.8, 1.0] if is_mass else list(RANKS), minor_ticks=[])
    plot.xaxis.formatter = NumeralTickFormatter(format="0%" if is_mass else "0")
    plot.xaxis.axis_label = over.axis
    plot.yaxis.ticker = BasicTicker(desired_num_ticks=5)
    return plot


def _values(rows: Rows) -> dict[str, list[float | None]]:
    names = {"value": "selectivity", "low": "low", "high": "high"}
    return {column: [getattr(row, name) for row in rows] for column, name in names.items()}


def _range(rows: Rows) -> tuple[float, float]:
    """Return the range of the axis for all panels; it contains 0 and every interval."""
    ends = [0.0, *(end for row in rows for end in (row.low, row.high) if end is not None)]
    margin = 0.06 * ((max(ends) - min(ends)) or 1.0)
    return min(ends) - margin, max(ends) + margin


def _range1d(ends: tuple[float, float]) -> Range1d:
    return Range1d(start=ends[0], end=ends[1])


def _label(name: str) -> PlainText:
    """Return a name as plain text: Bokeh would take dollar signs for a formula, and load MathJax from the network."""
    return PlainText(text="\n".join(textwrap.wrap(name, NAME_WIDTH, max_lines=2, placeholder="…")))
