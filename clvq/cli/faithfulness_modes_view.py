"""The output of the other modes of `clvq faithfulness`: the spliced reconstruction, the probes, single concepts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import RenderableType
from rich.text import Text

from clvq.cli.codebook_tables import words_of
from clvq.cli.faithfulness_view import Intervals, interval
from clvq.cli.output import chance, heading, number, table
from clvq.concepts.codebook import Codebook
from clvq.config import SCORES
from clvq.interventions.mode_records import ConceptEffects, ProbeFigures, ProbeResult, SpliceResult
from clvq.interventions.names import EDIT_NAMES, SPLICED, STAND_INS, control_name, figure_names, note_on_target


def spliced(result: SpliceResult, model: str) -> list[RenderableType]:
    """Return how far the model's answers survive the reconstruction, for both stand-ins for tokens without a row."""
    others = [result.others[name] for name in STAND_INS]
    left_out = f", {number(result.left_out)} without a row left out" if result.left_out else ""
    places = "" if result.positions is None else f", next token at {number(result.positions)} tokens"
    names = figure_names(result.target)
    rows = [
        (names[name], [interval(getattr(entry, name)) for entry in others])
        for name in ("share_recovered", "share_recovered_labels")
    ]
    is_score = result.target in SCORES
    # The loss of a score is its squared change, and a score is not right or wrong.
    figures = ("agreement", "kl") if is_score else ("agreement", "kl", "loss", "accuracy")
    for state, called in SPLICED.items():
        for name in figures:
            answers = [getattr(entry, state) for entry in others]
            rows.append((f"{names[name]}, {called}", [interval(getattr(answer, name)) for answer in answers]))
    if is_score:
        rows.append(("R² of the scores, as it is", [number(result.r2)] * len(others)))
    else:
        rows.append(("loss, as it is", [number(entry.loss_clean) for entry in others]))
        rows.append(("accuracy, as it is", [interval(result.accuracy)] * len(others)))
    reads = "the sentence rows alone" if result.only_sentence_row else "all rows"
    return [
        heading(
            f"Reconstruction inside {model}, layer {result.layer} from {result.input_layer}",
            f"{number(result.sentences)} sentences{places}{left_out}",
        ),
        "",
        Intervals("Spliced", list(STAND_INS.values()), rows),
        "",
        Text(
            f"The answer depends on {reads}; {number(result.tokens_of_rows)} of {number(result.tokens)} tokens "
            "have a row. Loss recovered: 1 is a perfect decoder, 0 one that always gives the mean."
        ),
        *_note(result.target, result.unit),
    ]


def probed(result: ProbeResult, model: str) -> list[RenderableType]:
    """Return one block per edit: what probes read from edited rows, and the concept's effect beyond its controls."""
    row = "sentence rows" if result.rows == "sentence" else "means of words"
    parts: list[RenderableType] = [
        heading(
            f"Probe of the {row} of {model}, layer {result.layer}",
            f"{number(result.sentences['evaluation'])} sentences, {number(result.distinct_texts)} distinct texts, "
            f"chance {number(result.chance)}",
        ),
        "",
    ]
    for edit, group in groupby(result.table, key=lambda line: line.edit):
        lines = list(group)
        effect = table("accuracy", "from chance", "fitted again", "distance", title="What a probe reads")
        effect.add_row("as it is", *_figures(result.before), "-")
        for line in lines:
            effect.add_row(control_name(line.control), *_figures(line.figures), number(line.distance, 2))
        beyond = [
            (control_name(line.control), [interval(line.selectivity, "+")])
            for line in lines
            if line.selectivity is not None
        ]
        parts += [heading(EDIT_NAMES[edit]), effect]
        parts += [Intervals("Concept beyond", ["accuracy"], beyond)] if beyond else []
        if unlike := [control_name(line.control) for line in lines if line.control and line.selectivity is None]:
            parts.append(
                Text(f"No selectivity against {', '.join(unlike)}, whose steps have another length.", style="dim")
            )
        parts.append("")
    return parts


SCREENFUL = 20
"""Number of concepts that are shown without --full."""


def by_concept_shown(result: ConceptEffects, codebook: Codebook, model: str, *, full: bool) -> list[RenderableType]:
    """Return one line per concept, the concepts with the largest effects first."""
    what = "what is predicted" if result.class_ is None else result.class_
    rows = result.concepts if full else result.concepts[:SCREENFUL]
    names = figure_names(result.target)
    fall = "p fall" if result.unit is None else names["probability"]
    # The most important come first: on a narrow terminal the last columns are moved to a table below.
    heads = ["sentences", fall, "beyond coherent", "q", names["flips"], "beyond own"]
    lines = []
    for row in rows:
        tests = (interval(row.coherent, "+"), chance(row.coherent.q), number(row.flips), f"{row.own.value:+z.3f}")
        concept = Text(f"{row.code:<5}", no_wrap=True, overflow="ellipsis").append_text(words_of(codebook, row.code))
        lines.append((concept, [number(row.sentences), number(row.probability), *tests]))
    parts: list[RenderableType] = [
        heading(f"Concepts that drive {what}, {model}", f"{number(result.sentences)} sentences"),
        "",
        Intervals("code and words", heads, lines),
        "",
        *_note(result.target, result.unit),
    ]
    if len(rows) < len(result.concepts):
        parts.append(
            Text(f"The first {len(rows)} of {number(len(result.concepts))} concepts; all: --full.", style="dim")
        )
    return parts


def _note(target: str, unit: float | None) -> list[RenderableType]:
    note = note_on_target(target, unit)
    return [] if note is None else [Text(note)]


def _figures(figures: ProbeFigures) -> Sequence[str]:
    refitted = None if figures.refitted is None else figures.refitted.value
    return [number(figures.accuracy.value), number(figures.chance_distance), number(refitted)]
