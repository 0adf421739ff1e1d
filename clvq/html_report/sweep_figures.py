"""The plots of a sweep: FVU and perplexity against the settings, and the flow of concepts between layer pairs."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from bokeh.embed import json_item
from bokeh.models import ColumnDataSource, DataRange1d, FactorRange, FixedTicker, HoverTool, Range1d
from bokeh.models.annotations import Legend, LegendItem
from bokeh.plotting import figure

from clvq.concepts.sweep_records import Sweep, Swept, SweptFlow
from clvq.html_report.figures import CURVE, FONT, INK, LABEL_COLOURS, Figure, calm

MEASURED = (
    ("fvu", "Unexplained variance", "FVU over the words of the evaluation split: 0 is perfect, 1 is the mean."),
    ("codebook_perplexity", "Codebook perplexity", "How many codes are in even use on the evaluation split."),
)
"""Name, title and meaning of the figures that are plotted."""
LAYERS = ("input_layer", "output_layer")
ARROWS = 18
"""Number of arrows that are drawn from each layer pair to the next."""
MOST_CHAINS = 12
"""Number of chains of layer pairs that are drawn; the table has all chains."""


def settings_figures(sweep: Sweep) -> list[Figure]:
    """Draw each of MEASURED against a varied setting that is a number, one line per combination of the other settings.

    If no such setting was varied, the figures are drawn against the combinations. A dot is a training; a line goes
    through the means of the dots.
    """
    axis = number_axis(sweep)
    made = []
    for name, title, meaning in MEASURED:
        rows = [row for row in sweep.rows if row.figures[name] is not None]
        if rows:
            plot = _by_combination(sweep, rows, name) if axis is None else _by_number(sweep, rows, name, axis)
            across = "combination of settings" if axis is None else axis.replace("_", " ")
            made.append(Figure(f"{title} by {across}", meaning, json_item(plot)))
    return made


def flow_figures(sweep: Sweep) -> list[Figure]:
    """Draw the strongest arrows of each chain of layer pairs: one column per pair, one dot per concept."""
    flows = {(flow.name, flow.other): flow for flow in sweep.flows}
    made = []
    for chain in sweep.chains[:MOST_CHAINS]:
        steps = [flows[step] for step in pairwise(chain)]
        told = ", ".join("none" if step.told is None else f"{step.told:.0%}" for step in steps)
        caption = (
            f"The {ARROWS} groups of words that say the most from one pair to the next; thickness by words. A "
            f"word's code at one pair explains this share of the entropy of its code at the next pair: {told}."
        )
        made.append(Figure(" → ".join(chain), caption, json_item(_flow(sweep, chain, steps))))
    return made


def combination(sweep: Sweep, row: Swept, without: Sequence[str] = ()) -> str:
    """Return the values of the varied settings of a training as text, apart from the seed and those in `without`."""
    parts = []
    if any(name in sweep.varied for name in LAYERS):
        parts.append(f"{row.settings['input_layer']} → {row.settings['output_layer']}")
    for name in sweep.varied:
        value = row.settings[name]
        if name not in (*LAYERS, "seed", *without) and value is not None:
            parts.append(str(value) if isinstance(value, str) else f"{name.replace('_', ' ')} {value}")
    return ", ".join(parts)


def number_axis(sweep: Sweep) -> str | None:
    """Return the varied setting, a number in all trainings, that has the most values; the first of equal ones."""
    values = {
        name: {row.settings[name] for row in sweep.rows} for name in sweep.varied if name not in (*LAYERS, "seed")
    }
    numbers = [name for name, found in values.items() if all(type(value) in (int, float) for value in found)]
    return max(numbers, key=lambda name: len(values[name]), default=None)


def _by_number(sweep: Sweep, rows: Sequence[Swept], name: str, axis: str) -> figure:
    values = sorted({row.settings[axis] for row in rows})
    wide = values[0] > 0 and values[-1] / values[0] > 8
    plot = figure(
        sizing_mode="stretch_both", tools=[], toolbar_location=None, x_axis_type="log" if wide else "linear",
        y_range=DataRange1d(),
    )  # fmt: skip
    _labelled(plot, axis)
    plot.xaxis.ticker = FixedTicker(ticks=values)
    plot.xaxis.major_label_overrides = {value: f"{value:,}" for value in values}
    drawn: dict[str, list[Any]] = {}
    for row in rows:
        drawn.setdefault(combination(sweep, row, (axis,)) or "all", []).append(row)
    items: list[LegendItem] = []
    for number, (label, series) in enumerate(drawn.items()):
        colour = LABEL_COLOURS[number % len(LABEL_COLOURS)] if len(drawn) > 1 else CURVE
        at = {value: [r.figures[name] for r in series if r.settings[axis] == value] for value in values}
        means = [(value, sum(found) / len(found)) for value, found in at.items() if found]
        line: Any = plot.line([x for x, _ in means], [y for _, y in means], line_color=colour, line_width=1.6)
        items.append(LegendItem(label=label, renderers=[line]))
        _dots(plot, [row.settings[axis] for row in series], series, name, colour)
    if len(drawn) > 1:
        _legend(plot, items)
    return plot


def _by_combination(sweep: Sweep, rows: Sequence[Swept], name: str) -> figure:
    labels = [combination(sweep, row) or "all" for row in rows]
    factors = FactorRange(factors=list(dict.fromkeys(labels)))
    plot = figure(sizing_mode="stretch_both", tools=[], toolbar_location=None, x_range=factors, y_range=DataRange1d())
    _labelled(plot, "")
    plot.xaxis.major_label_orientation = 0.6
    _dots(plot, labels, rows, name, CURVE)
    return plot


def _labelled(plot: figure, axis: str) -> None:
    calm(plot)
    plot.xaxis.axis_label = axis.replace("_", " ")
    plot.xgrid.visible = False


def _dots(plot: figure, places: Sequence[Any], rows: Sequence[Swept], name: str, colour: str) -> None:
    values = [row.figures[name] for row in rows]
    source = ColumnDataSource({"x": list(places), "value": values, "name": [row.name for row in rows]})
    dots = plot.scatter("x", "value", source=source, color=colour, size=7, fill_alpha=0.6)
    plot.add_tools(HoverTool(renderers=[dots], tooltips=[("checkpoint", "@name"), ("value", "@value{0.0000}")]))


def _legend(plot: figure, items: list[LegendItem]) -> None:
    legend = Legend(items=items, orientation="horizontal", ncols=2, label_text_font=FONT, label_text_color=INK)
    legend.background_fill_color = legend.border_line_color = None
    legend.label_text_font_size = "12px"
    plot.add_layout(legend, "below")


def _flow(sweep: Sweep, chain: Sequence[str], steps: Sequence[SweptFlow]) -> figure:
    strongest = [step.arrows[:ARROWS] for step in steps]
    levels, names = _levels(strongest)
    plot = figure(
        sizing_mode="stretch_both", tools=[], toolbar_location=None,
        x_range=Range1d(start=-0.55, end=len(chain) - 0.45), y_range=Range1d(start=-1.08, end=0.08),
    )  # fmt: skip
    calm(plot)
    plot.grid.visible = False
    plot.yaxis.visible = False
    settings = {row.name: row.settings for row in sweep.rows}
    plot.xaxis.ticker = FixedTicker(ticks=list(range(len(chain))))
    plot.xaxis.major_label_overrides = {
        i: f"{settings[name]['input_layer']} → {settings[name]['output_layer']}" for i, name in enumerate(chain)
    }
    most = max(arrow.words for arrows in strongest for arrow in arrows)
    edges = [(column, arrow) for column, arrows in enumerate(strongest) for arrow in arrows]
    source = ColumnDataSource(
        {
            "x0": [column for column, _ in edges],
            "x1": [column + 1 for column, _ in edges],
            "y0": [levels[column][arrow.code] for column, arrow in edges],
            "y1": [levels[column + 1][arrow.other] for column, arrow in edges],
            "width": [1 + 9 * math.sqrt(arrow.words / most) for _, arrow in edges],
            "about": [
                f"{arrow.code} {visible(arrow.name)} → {arrow.other} {visible(arrow.other_name)}" for _, arrow in edges
            ],
            "words": [
                f"{arrow.words:,}: {arrow.share:.0%} of the one, {arrow.other_share:.0%} of the other"
                for _, arrow in edges
            ],
        }
    )
    lines = plot.segment("x0", "y0", "x1", "y1", line_width="width", source=source, line_color=CURVE, line_alpha=0.4)
    plot.add_tools(HoverTool(renderers=[lines], tooltips=[("concepts", "@about"), ("words", "@words")]))
    for column, level in enumerate(levels):
        last = column == len(levels) - 1
        labels = ColumnDataSource(
            {"x": [column] * len(level), "y": list(level.values()),
             "label": [f"{code} {visible(names[column][code])[:24]}" for code in level]}
        )  # fmt: skip
        plot.scatter("x", "y", source=labels, size=5, color=CURVE)
        plot.text(
            "x", "y", text="label", source=labels, text_align="left" if last else "right", text_baseline="middle",
            x_offset=8 if last else -8, text_font_size="11px", text_font={"value": FONT}, text_color=INK,
        )  # fmt: skip
    return plot


def _levels(strongest: Sequence[Sequence[Any]]) -> tuple[list[dict[int, float]], list[dict[int, str]]]:
    """Return the height, 0 to -1, and the name of each concept of each column. A column is ordered by the heights of
    the concepts that its words come from, so that few lines cross."""
    names: list[dict[int, str]] = [{} for _ in range(len(strongest) + 1)]
    words: list[dict[int, int]] = [{} for _ in names]
    for column, arrows in enumerate(strongest):
        for arrow in arrows:
            for place, code, name in ((column, arrow.code, arrow.name), (column + 1, arrow.other, arrow.other_name)):
                names[place][code] = name
                words[place][code] = words[place].get(code, 0) + arrow.words
    levels: list[dict[int, float]] = []
    for column, found in enumerate(words):
        order = {code: float(-count) for code, count in found.items()}
        if column:
            before = levels[column - 1]
            for code in order:
                into = [(before[a.code], a.words) for a in strongest[column - 1] if a.other == code]
                order[code] = -sum(y * n for y, n in into) / sum(n for _, n in into) if into else 1.0
        ranked = sorted(order, key=lambda code: (order[code], code))
        levels.append({code: -rank / max(len(ranked) - 1, 1) for rank, code in enumerate(ranked)})
    return levels, names


def visible(text: str) -> str:
    """Replace characters that are invisible or change the writing direction by dots, for corpus text on a canvas."""
    return "".join("·" if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") else c for c in text)
