"""`clvq steer`: a prediction with concepts removed or added, compared with random steps of the same length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from rich.console import RenderableType
from rich.text import Text

from clvq.artifacts import DEFAULT_RUN
from clvq.cli.errors import UsageError
from clvq.cli.options import command
from clvq.cli.output import Bar, Result, counted, heading, number, percent, plain, table
from clvq.cli.run_folder import Named, Run, named_checkpoint
from clvq.cli.texts import GivenTexts
from clvq.concepts.excerpts import Excerpt
from clvq.config import SteerConfig
from clvq.corpus.parts import text_parts
from clvq.errors import ClvqError
from clvq.progress import Progress, Report

if TYPE_CHECKING:
    from clvq.concepts.codebook import Codebook
    from clvq.interventions.steered import Answer, Steered

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
CONTROL = "control: the mean over {draws} random steps of the same length at the same tokens"
LEGEND = (
    f"{CONTROL}, and the range of the middle 90% of them; an answer that many of them change as much shows no effect"
)


@command((SteerConfig, "Steering"))
def steer(
    report: Report,
    text: Annotated[str, "The text, or - for standard input."],
    *,
    run: Run = DEFAULT_RUN,
    checkpoint: Named = None,
    remove: Annotated[list[str] | None, "Codes of concepts to take out, such as 12 or 12,40."] = None,
    add: Annotated[list[str] | None, "Codes of concepts to put in."] = None,
    sweep_strength: Annotated[bool, "Show the prediction at strengths from 0 to 4."] = False,
    part: Annotated[
        list[str] | None,
        "Another part that the model reads beside the text, as NAME=VALUE: text_pair=... for a model of sentence "
        "pairs, and any other column of the prompt; once for each part.",
    ] = None,
    **given: Any,
) -> Result:
    """Show what the model predicts with concepts taken out of a text and others put in.

    The activations that the checkpoint was trained on need not be there.
    """
    from clvq.interventions.steer import SteeredText

    removed, added = _codes(remove, "--remove"), _codes(add, "--add")
    if not removed and not added:
        raise UsageError("No concept is named. Give --remove, --add, or both, with codes that `clvq codebook` shows.")
    if sweep_strength and "strength" in given:
        raise UsageError("--strength and --sweep-strength do not go together: a sweep has its own strengths.")
    texts = GivenTexts([text], part=part)
    config = SteerConfig.resolve(**given)
    found = named_checkpoint(run, checkpoint, report)
    filled = list(texts.filled(found, report).values())
    if len(filled) > 1:
        raise ClvqError(f"Standard input holds {number(len(filled))} texts, one a line, and steer takes one. Give one.")
    steered = SteeredText.read(found, text_parts(filled[0]), config, removed, added, report)
    strengths = STRENGTHS if sweep_strength else (config.strength,)
    results = []
    for done, strength in enumerate(strengths):
        results.append(steered.at(strength))
        report(Progress("steer", done + 1, len(strengths), "strengths"))
    document = {"path": str(steered.book.checkpoint.path), "steered": [result.as_json() for result in results]}
    shown = _curve(results) if sweep_strength else _answers(results[0])
    shows_range = not sweep_strength or results[0].flipped is None
    legend = (LEGEND if shows_range else CONTROL).format(draws=number(config.draws))
    return Result(document, [*_head(steered.book, results), *shown, Text(legend, style="dim")])


def _codes(given: list[str] | None, option: str) -> tuple[int, ...]:
    """Return the codes that an option lists, without repeats; UsageError where the value is no list of codes."""
    parts = [part.strip() for entry in given or () for part in entry.split(",")]
    if wrong := [part for part in parts if not part.isdecimal() or not part.isascii()]:
        raise UsageError(f"{option} takes codes, such as 12 or 12,40; {wrong[0]!r} is not a code.")
    return tuple(dict.fromkeys(map(int, parts)))


def _head(book: Codebook, results: list[Steered]) -> list[RenderableType]:
    result = results[0]
    named = [
        f"{verb} {code} ({book.name(code)})"
        for verb, codes in (("without", result.remove), ("with", result.add))
        for code in codes
    ]
    low, high = (number(edge(one.distance for one in results), 2) for edge in (min, max))
    step = low if low == high else f"{low} to {high}"
    left_out = f"{number(result.left_out)} words beyond the model's length are left out" if result.left_out else ""
    about = f"{_edited(result)}, step {step}"
    return [
        heading(Excerpt(result.text, []).text, left_out),
        Text(plain(", ".join(named)), overflow="fold"),
        Text(about, style="dim"),
        "",
    ]


def _edited(result: Steered) -> str:
    if result.at != "all":
        return f"{counted(result.edited_words, 'word')} edited"
    generated = "" if result.continuation_after is None else ", generated ones too"
    return f"all {counted(result.edited_tokens, 'token')} edited{generated}"


def _answers(result: Steered) -> list[RenderableType]:
    listing = table("before", "after", "control", "", title="Answer")
    for answer in result.answers:
        listing.add_row(
            Text(plain(answer.name)), number(answer.before), number(answer.after), number(answer.control), _band(answer)
        )
    if result.flipped is None:
        after, figures = _change_of_score(result)
    else:
        verb = "flips to" if result.flipped else "stays"
        after = f"the prediction {verb} {result.prediction_after}; the control flips {percent(result.control_flips)}"
        figures = f"divergence {number(result.divergence)}, control {number(result.control_divergence)}"
    parts: list[RenderableType] = [listing, "", Text(plain(after)), Text(figures, style="dim"), ""]
    for when, continuation in (("before", result.continuation_before), ("after", result.continuation_after)):
        if continuation is not None:
            parts += [heading(f"continuation {when}"), Text(plain(continuation), overflow="fold"), ""]
    return parts


def _band(answer: Answer) -> str:
    return f"{number(answer.control_low)} to {number(answer.control_high)}"


def _change_of_score(result: Steered) -> tuple[str, str]:
    """Return by how much a score changes, in its own units and in standard deviations."""
    (answer,) = result.answers
    after = (
        f"{answer.name} changes by {answer.after - answer.before:+z.3f}; "
        f"the control changes it by {answer.control - answer.before:+z.3f} on average"
    )
    figures = (
        f"squared change {number(result.divergence)} SD², control {number(result.control_divergence)} SD²; "
        f"SD is the standard deviation of the clean scores of the evaluation split ({result.unit:.4g})"
    )
    return after, figures


def _curve(results: list[Steered]) -> list[RenderableType]:
    """Return one line per strength: the value, as a figure and as a bar, of the likeliest answer before the edit, and
    the control; then what is predicted, or by how much a score changes."""
    first = max(results[0].answers, key=lambda answer: answer.before).name
    curve = table(plain(first), title="strength")
    curve.add_column(width=24)
    is_score = results[0].flipped is None
    for head in ("control", "", "change") if is_score else ("control", "prediction", "control flips"):
        curve.add_column(Text(head), justify="right")
    values = [next(answer for answer in result.answers if answer.name == first) for result in results]
    most = max((abs(answer.after) for answer in values), default=1.0) or 1.0
    scale = 1.0 if all(0 <= answer.after <= 1 for answer in values) else most
    for result, answer in zip(results, values, strict=True):
        last = (
            (_band(answer), f"{answer.after - answer.before:+z.3f}")
            if is_score
            else (Text(plain(result.prediction_after)), percent(result.control_flips))
        )
        bar = Bar(max(answer.after, 0) / scale)
        curve.add_row(f"{result.strength:g}", number(answer.after), bar, number(answer.control), *last)
    return [curve, ""]
