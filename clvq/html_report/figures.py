"""The plots that Bokeh draws: training curves and the map of the codebook, as JSON that the page embeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from bokeh.core.properties import value
from bokeh.embed import json_item
from bokeh.models import (
    BasicTicker,
    ColumnDataSource,
    DataRange1d,
    HoverTool,
    NumeralTickFormatter,
    PanTool,
    ResetTool,
    TapTool,
    ZoomInTool,
    ZoomOutTool,
)
from bokeh.plotting import figure
from bokeh.resources import Resources

from clvq.concepts.records import Association, Concept

INK, MUTED, GRID = "#7d848d", "#a3a8ae", "rgba(128, 134, 142, 0.18)"
"""Greys that are readable on the light and on the dark page."""
CURVE, SECOND = "#2f6f8f", "#c08a3e"
LABEL_COLOURS = ("#b4513a", "#2b7a86", "#7b62a3", "#7d8a2e", "#c08a3e", "#4f6fae", "#a3557d", "#5d7f63")
"""One colour per class, in the order of the labels; the colours repeat where a task has more classes."""
NO_LABEL = "#949aa1"
FONT = "Helvetica Neue, Helvetica, Arial, sans-serif"
NAMED_ON_MAP, NAMED_ON_PHONE = 70, 18
CONCEPTS_NAME = "concepts"
"""Name of the map's data. The script that opens the catalogue at a clicked concept finds the data by this name."""


class Figure(NamedTuple):
    title: str
    caption: str
    item: Any
    """JSON for `Bokeh.embed.embed_item`."""


def bokeh_script() -> str:
    """Return the part of BokehJS that plots need, as JavaScript for the page."""
    return "\n".join(Resources(mode="inline", minified=True, components=["bokeh"], log_level="error").js_raw)


def training_figures(lines: Sequence[dict[str, Any]]) -> list[Figure]:
    """Draw curves over the training's steps from the lines of metrics.jsonl; curves without values are left out."""
    steps = [line for line in lines if line["kind"] == "step"]
    epochs = [line for line in lines if line["kind"] == "epoch"]
    made = []
    if steps or epochs:
        plot = _curves(log=True)
        _line(plot, steps or epochs, "reconstruction", CURVE)
        _line(plot, steps or epochs, "commitment", SECOND)
        codes = any(_is_number(line.get("commitment")) for line in steps or epochs)
        parts = " (blue) and distance of words to their codes (ochre)" if codes else ""
        caption = f"Error of the predicted layer{parts}, log scale."
        made.append(Figure("Loss", caption, json_item(plot)))
    if any(_is_number(line.get("selection_fvu")) for line in epochs):
        plot = _curves()
        _line(plot, epochs, "selection_fvu", CURVE, points=True)
        caption = "Variance left unexplained on held-back training sentences after each epoch; the best state is kept."
        made.append(Figure("Unexplained variance", caption, json_item(plot)))
    if any(_is_number(line.get("codebook_perplexity")) for line in steps):
        plot = _curves()
        _line(plot, steps, "codebook_perplexity", MUTED)
        _line(plot, epochs, "selection_codebook_perplexity", CURVE, points=True)
        caption = "How many codes are in even use: while training (grey) and on held-back sentences (blue)."
        made.append(Figure("Codebook perplexity", caption, json_item(plot)))
    return made


def codebook_map(concepts: Sequence[Concept], label_names: Sequence[str] | None, fdr: float) -> dict[str, Any] | None:
    """Draw concepts as discs: area by number of words, colour by associated label. None where there is no concept."""
    if not concepts:
        return None
    placed = sorted(concepts, key=lambda concept: -concept.words)
    largest = placed[0].words
    sizes = [5 + 33 * math.sqrt(concept.words / max(largest, 1)) for concept in placed]
    source = ColumnDataSource(
        {
            "x": [concept.map[0] for concept in placed],
            "y": [concept.map[1] for concept in placed],
            "size": sizes,
            "colour": [label_colour(concept.labels, fdr) for concept in placed],
            "depth": [_depth(concept.labels) for concept in placed],
            "code": [concept.code for concept in placed],
            "words": [_words(concept, 8) for concept in placed],
            "about": [_about(concept, label_names, fdr) for concept in placed],
        },
        name=CONCEPTS_NAME,
    )
    plot = figure(sizing_mode="stretch_both", tools=[], toolbar_location="below")
    calm(plot)
    plot.axis.visible = False
    plot.grid.visible = False
    discs = plot.scatter(
        "x", "y", size="size", source=source, fill_color="colour", fill_alpha="depth", line_color="colour",
        line_alpha=0.8, nonselection_fill_alpha="depth", nonselection_line_alpha=0.8,
        selection_fill_alpha=1, hover_fill_alpha=1,
    )  # fmt: skip
    named, narrow = _names(placed)
    plot.text(
        "x", "y", text="word", source=ColumnDataSource(named, name="names", tags=[narrow]), text_align="center",
        text_baseline="middle", text_font_size="11px", text_font=value(FONT), text_color="#1f2328", name="names",
    )  # fmt: skip
    plot.add_tools(
        HoverTool(renderers=[discs], tooltips=_TOOLTIP, attachment="vertical"),
        TapTool(renderers=[discs]), ZoomInTool(), ZoomOutTool(), PanTool(), ResetTool(),
    )  # fmt: skip
    plot.toolbar.active_drag = None  # so that a finger on the map scrolls the page
    return dict(json_item(plot))


_TOOLTIP = (
    f'<div style="max-width: 17rem; font: 13px/1.45 {FONT}; padding: 2px 4px">'
    '<div style="color: #6b7078">concept @code</div>'
    '<div style="font-weight: 600">@words</div><div>@about</div></div>'
)
"""Bokeh inserts the values of a column as text, not as markup."""


def label_colour(labels: Association | None, fdr: float) -> str:
    """Return the colour of a concept: that of the associated label, NO_LABEL for none, CURVE without labels."""
    if labels is None:
        return CURVE
    return LABEL_COLOURS[labels.label % len(LABEL_COLOURS)] if labels.is_significant(fdr) else NO_LABEL


def _depth(labels: Association | None) -> float:
    """Return the opacity of a disc: smallest where the label's share is its share of all sentences, greatest at 1."""
    if labels is None:
        return 0.5
    overall = labels.share / labels.lift if labels.lift else 1.0
    return 0.15 + 0.55 * max(0.0, min(1.0, (labels.share - overall) / max(1 - overall, 1e-9)))


def _words(concept: Concept, limit: int) -> str:
    words = " · ".join(word.word for word in concept.top_words[:limit])
    return words or "sentence rows"


def _about(concept: Concept, label_names: Sequence[str] | None, fdr: float) -> str:
    about = f"{concept.words:,} words in {concept.sentences:,} sentences"
    labels = concept.labels
    if labels is None or not labels.is_significant(fdr):
        return about
    name = label_names[labels.label] if label_names else str(labels.label)
    return f"{about}; {labels.share:.0%} {name}"


def _names(placed: Sequence[Concept]) -> tuple[dict[str, list[Any]], int]:
    """Return positions and first words of the largest concepts whose names do not overlap, and how many fit a phone.

    No name is drawn twice, nor one of fewer than three letters, so that the map does not show many commas.
    """
    across, down = ([concept.map[axis] for concept in placed] for axis in (0, 1))
    width, height = max(across) - min(across) or 1.0, max(down) - min(down) or 1.0
    kept: list[tuple[float, float, float, str]] = []
    named: set[str] = set()
    narrow = 0
    for letter, limit in (
        (0.011, NAMED_ON_PHONE),
        (0.0045, NAMED_ON_MAP),
    ):  # half a letter, in units of the map's width
        for concept in placed:
            if len(kept) == limit or not concept.top_words:
                continue
            x, y, word = concept.map[0] / width, concept.map[1] / height, concept.top_words[0].word
            if len(word) < 3 or word in named:
                continue
            half = letter * min(len(word), 16)
            if all(abs(x - other) > half + wide or abs(y - level) > 0.035 for other, level, wide, _ in kept):
                kept.append((x, y, half, word if len(word) <= 16 else word[:15] + "…"))
                named.add(word)
        narrow = narrow or len(kept)
    columns: dict[str, list[Any]] = {
        "x": [x * width for x, *_ in kept],
        "y": [y * height for _, y, *_ in kept],
        "word": [word for *_, word in kept],
    }
    return columns, narrow


def _curves(log: bool = False) -> figure:
    """Return an empty plot over steps; the vertical axis starts at 0 unless it is logarithmic."""
    plot = figure(
        sizing_mode="stretch_both",
        tools=[],
        toolbar_location=None,
        y_axis_type="log" if log else "linear",
        y_range=DataRange1d() if log else DataRange1d(start=0),
    )
    calm(plot)
    plot.xaxis.axis_label = "step"
    plot.xaxis.formatter = NumeralTickFormatter(format="0,0")
    plot.xgrid.visible = False
    plot.xaxis.ticker = BasicTicker(desired_num_ticks=4)
    return plot


def _line(plot: figure, lines: Sequence[dict[str, Any]], name: str, colour: str, points: bool = False) -> None:
    kept = [line for line in lines if _is_number(line.get(name))]
    source = ColumnDataSource({"step": [line["step"] for line in kept], "value": [line[name] for line in kept]})
    plot.line("step", "value", source=source, line_color=colour, line_width=1.6)
    if points:
        dots = plot.scatter("step", "value", source=source, color=colour, size=6)
        plot.add_tools(HoverTool(renderers=[dots], tooltips=[("step", "@step{0,0}"), ("value", "@value{0.0000}")]))


def calm(plot: figure) -> None:
    """Style a plot: no frame, no background, thin grey lines, the page's font."""
    plot.background_fill_color = plot.border_fill_color = None
    plot.outline_line_color = None
    plot.grid.grid_line_color = GRID
    plot.toolbar.logo = None
    plot.min_border = 4
    for axis in plot.axis:
        axis.axis_line_color = axis.major_tick_line_color = MUTED
        axis.minor_tick_line_color = None
        axis.major_label_text_color = axis.axis_label_text_color = INK
        axis.major_label_text_font = axis.axis_label_text_font = FONT
        axis.major_label_text_font_size = axis.axis_label_text_font_size = "12px"
        axis.axis_label_text_font_style = "normal"


def _is_number(found: Any) -> bool:
    return isinstance(found, int | float) and math.isfinite(found)
