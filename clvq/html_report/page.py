"""The page of one checkpoint, and the two ways in which text from outside gets into a page.

One way is Jinja, which escapes. The other is JSON in a data block, in which every character that could end the block is
escaped; the scripts insert its values as text. A script runs only if its digest is in the page's content policy.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from clvq.artifacts import model_title, short_name
from clvq.config import EVERY_TOKEN
from clvq.explanations.page import sentence_html
from clvq.explanations.results import Explanations
from clvq.html_report.bench import bench_view
from clvq.html_report.faithfulness import Section
from clvq.html_report.faithfulness_figures import curve_panels, interval_panels
from clvq.html_report.figures import LABEL_COLOURS, bokeh_script, codebook_map, training_figures
from clvq.html_report.flow import Linked
from clvq.html_report.gathered import MODES, Material, options_of
from clvq.html_report.glossary import glossary
from clvq.html_report.headline import headline, ladders, provenance, story
from clvq.html_report.modes import mode_view
from clvq.html_report.payload import page_data
from clvq.interventions.verdict import verdict
from clvq.training.verdict import training_verdict

_ESCAPES = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}
SCRIPTS = ("common", "search", "names", "panel", "flow", "concepts", "card", "explanations", "ways", "plots")
_FOLDER = Path(__file__).parent


def render(material: Material, explained: Explanations | None = None, links: Linked | None = None) -> str:
    """Return the whole page as HTML."""
    settings = material.checkpoint.settings
    label_names = _label_names(material)
    fdr = 0.05 if material.codebook is None else material.codebook.fdr
    curves = training_figures(material.metrics)
    layout = codebook_map(material.concepts, label_names, fdr)
    results = material.faithfulness
    beyond = None if results is None else interval_panels(results)
    selective = [] if results is None else [(curve, curve_panels(curve, results)) for curve in results.curves]
    drawn = {f"curve-{number}": made.item for number, made in enumerate(curves)}
    for kind, found in (("beyond", beyond), *((curve.over.field, panels) for curve, panels in selective)):
        drawn |= {f"{kind}-{number}": panel.item for number, panel in enumerate(found.panels if found else [])}
    scripts = [Markup(script_text(text)) for text in (bokeh_script(), _own_script())]
    provenance_ = material.checkpoint.config.provenance
    return filled(
        "report.html.jinja",
        scripts,
        data=embedded({**page_data(material, label_names, fdr), "flow": None if links is None else links.data()}),
        plots=embedded({"figures": drawn, "map": layout}),
        model=model_title(provenance_.model),
        corpus=short_name(provenance_.corpus.dataset),
        material=material,
        settings=settings,
        label_names=label_names,
        label_colours=LABEL_COLOURS,
        fdr=fdr,
        curves=curves,
        has_map=layout is not None,
        story=story(material),
        own_texts=[] if explained is None else [Markup(sentence_html(one, explained)) for one in explained.sentences],
        verdict=training_verdict(material.checkpoint),
        faithfulness_verdict=None if results is None else verdict(results),
        headline=headline(material),
        ladders=ladders(material.checkpoint),
        provenance=provenance(material),
        faithfulness=None if results is None else Section(results),
        bench=None if material.bench is None else bench_view(material.bench),
        flow=links,
        beyond=beyond,
        selective=selective,
        modes={mode: mode_view(result, material.concepts) for mode, result in material.modes.items()},
        glossary=glossary(),
        unasked=[" ".join(options_of(mode)) for mode in MODES if _is_unasked(material, mode)],
    )


def filled(template: str, scripts: list[Markup], **values: Any) -> str:
    """Return a page: a template filled with values, style, scripts, and the policy that allows only these scripts."""
    environment = Environment(
        loader=PackageLoader("clvq.html_report", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"figure": figure, "percent": percent, "signed": signed, "chance": chance}
    style = Markup((_FOLDER / "style.css").read_text(encoding="utf-8"))
    return environment.get_template(template).render(
        style=style, scripts=scripts, policy=content_policy(scripts), **values
    )


def _is_unasked(material: Material, mode: str) -> bool:
    """Return whether a measurement is possible, but was not run."""
    kind = None if material.manifest is None else material.manifest.target_kind
    is_able = mode != EVERY_TOKEN or kind == "next token"
    return is_able and mode not in material.modes and material.gap(mode) is None


def embedded(value: Any) -> Markup:
    """Return a value as JSON that no content can make leave its <script type="application/json">."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.translate(_ESCAPES))


def figure(value: float | None, digits: int = 3) -> str:
    """Return a figure as text: 1234 -> 1,234; 0.26412 -> 0.264; None -> an en dash. A value that rounds to 0 has
    no minus."""
    if value is None:
        return "–"
    return (f"{value:,}" if isinstance(value, int) else f"{value:z,.{digits}f}").replace("-", "−")


def chance(value: float | None) -> str:
    """Return a p or q as text: 0.012, or 3e-14 where it is below 0.001."""
    return figure(value) if value is None or value >= 0.001 else f"{value:.0e}"


def percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}%}"


def signed(value: float, digits: int = 3) -> str:
    """Return a difference as text: 0.26412 -> +0.264; -0.05 -> −0.050. A value that rounds to 0 has no sign."""
    rounded = round(value, digits) or 0.0
    return f"{rounded:{'+' if rounded else ''}.{digits}f}".replace("-", "−")


def _own_script() -> str:
    """Return the report's scripts as one script that defines no global names."""
    parts = ((_FOLDER / "scripts" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    return '"use strict";\n(() => {\n' + "\n".join(parts) + "})();"


def script_text(text: str) -> str:
    """Return JavaScript that is safe in a script element: an end tag in one of its strings would end the element."""
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def content_policy(scripts: list[Markup]) -> str:
    """Return the content policy: no network, only these scripts, and inline styles, which Bokeh's plots need."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:"


def _label_names(material: Material) -> list[str] | None:
    """Return the class names of the first artifact that has any; else the classes' numbers, or None for no classes."""
    named = [summary.label_names for summary in (material.codebook, material.explained) if summary is not None]
    if material.manifest is not None:
        named.append(material.manifest.label_names)
    for names in named:
        if names:
            return [str(name) for name in names]
    if material.codebook is not None and material.codebook.label_totals:
        return [str(number) for number in range(len(material.codebook.label_totals))]
    return None
