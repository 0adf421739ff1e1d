"""The page of several checkpoints: a table that compares them, and a short section on each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from clvq.artifacts import model_title, short_name
from clvq.concepts.names import made_name
from clvq.concepts.sweep_records import Sweep, Swept
from clvq.html_report.figures import Figure, training_figures
from clvq.html_report.gathered import Material, command
from clvq.html_report.headline import Headline, headline, story
from clvq.html_report.page import embedded, filled
from clvq.html_report.sweep import columns, plot_scripts
from clvq.training.verdict import Verdict, training_verdict

CONCEPTS = 20
"""Number of concepts, the largest ones, that are listed for each checkpoint."""
PARTS = ("training", "concepts", "activations")
"""The parts whose gaps a section names; other gaps are named only in a checkpoint's own report."""


class Line(NamedTuple):
    """A line of the list of concepts."""

    code: int
    name: str
    words: int
    top: str


class Section(NamedTuple):
    """The section on one checkpoint."""

    name: str
    about: list[tuple[str, str]]
    """Model, corpus and time of training, each with its heading."""
    story: str
    verdict: Verdict
    headline: list[Headline]
    curves: list[Figure]
    concepts: list[Line]
    gaps: list[str]
    report: str
    """The command that writes the checkpoint's own report."""


def render_several(materials: Sequence[Material]) -> str:
    """Return the whole page as HTML."""
    names = _names([material.checkpoint.path for material in materials])
    rows = [Swept.of(material.checkpoint) for material in materials]
    rows = [Swept(name, row.checkpoint, row.settings, row.figures) for name, row in zip(names, rows, strict=True)]
    table = Sweep(materials[0].checkpoint.path.parent, rows, [], [])
    sections = [_section(name, material) for name, material in zip(names, materials, strict=True)]
    drawn: dict[str, Any] = {
        f"curve-{number}-{index}": made.item
        for number, section in enumerate(sections)
        for index, made in enumerate(section.curves)
    }
    corpora = {material.checkpoint.config.provenance.rows for material in materials}
    return filled(
        "several.html.jinja",
        plot_scripts(),
        plots=embedded(drawn),
        sweep=table,
        columns=columns(table),
        sections=sections,
        same_rows=len(corpora) == 1,
    )  # fmt: skip


def _section(name: str, material: Material) -> Section:
    provenance = material.checkpoint.config.provenance
    largest = sorted(material.concepts, key=lambda concept: (-concept.words, concept.code))[:CONCEPTS]
    return Section(
        name=name,
        about=[
            ("Model", model_title(provenance.model)),
            ("Corpus", short_name(provenance.corpus.dataset)),
            ("Made", provenance.created),
        ],
        story=story(material),
        verdict=training_verdict(material.checkpoint),
        headline=headline(material),
        curves=training_figures(material.metrics),
        concepts=[
            Line(
                concept.code, material.names.get(concept.code) or made_name(concept), concept.words,
                ", ".join(word.word for word in concept.top_words[:8]),
            )
            for concept in largest
        ],
        gaps=[gap.sentence for gap in material.gaps if gap.part in PARTS],
        report=command("report", material.checkpoint),
    )  # fmt: skip


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the names of folders; folders with the same name get their paths."""
    counts = Counter(path.name for path in paths)
    return [path.name if counts[path.name] == 1 else str(path) for path in paths]
