"""The page of a sweep: one HTML file with the figures, the table of all trainings, and the flow of concepts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markupsafe import Markup

from clvq.concepts.sweep_records import Sweep
from clvq.html_report.figures import bokeh_script
from clvq.html_report.page import embedded, filled, script_text
from clvq.html_report.sweep_figures import MOST_CHAINS, flow_figures, number_axis, settings_figures
from clvq.storage import write_text

_COLUMNS = {
    "target_layer": "predicted layer",
    "fvu": "FVU",
    "fvu_codes_shuffled": "codes shuffled",
    "ridge": "ridge map",
    "mean_per_code": "mean per k-means code",
    "codebook_perplexity": "perplexity",
    "active_codes": "active codes or latents",
}
"""The figures of the page's table, each with the head of its column."""
_DRAW = """"use strict";
const plots = JSON.parse(document.getElementById("plots").textContent);
Promise.all(Object.entries(plots).map(([id, item]) => Bokeh.embed.embed_item(item, document.getElementById(id))))
  .then(() => { document.documentElement.dataset.drawn = "yes"; });
"""


def sweep_page(sweep: Sweep, path: str | Path) -> Path:
    """Write the page of a sweep to one HTML file that needs no network, and return its path.

        clvq.sweep_page(clvq.sweep("run/activations", layers="2-4,4-6", seed=[0, 1]), "run/sweep.html")

    ClvqError where the file cannot be written.
    """
    write_text(Path(path), _render(sweep))
    return Path(path)


def _render(sweep: Sweep) -> str:
    curves, flows = settings_figures(sweep), flow_figures(sweep)
    drawn: dict[str, Any] = {f"curve-{number}": made.item for number, made in enumerate(curves)}
    drawn |= {f"flow-{number}": made.item for number, made in enumerate(flows)}
    return filled(
        "sweep.html.jinja",
        plot_scripts(),
        plots=embedded(drawn),
        sweep=sweep,
        columns=columns(sweep),
        curves=curves,
        has_lines=number_axis(sweep) is not None,
        flows=flows,
        undrawn=max(len(sweep.chains) - MOST_CHAINS, 0),
    )


def plot_scripts() -> list[Markup]:
    """Return the scripts of a page that draws the plots in its block `plots`, each at the element with its id."""
    return [Markup(script_text(text)) for text in (bokeh_script(), _DRAW)]


def columns(sweep: Sweep) -> dict[str, str]:
    """Return the figures that at least one training has, each with the head of its column. The predicted layer is among
    them where it differs between trainings."""
    shown = {name for name in _COLUMNS if any(row.figures[name] is not None for row in sweep.rows)}
    left_out = set() if sweep.of_several_layers else {"target_layer"}
    return {name: head for name, head in _COLUMNS.items() if name in shown - left_out}
