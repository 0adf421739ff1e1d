"""What faithfulness figures mean, in one to three sentences, and reasons to doubt them.

The sentences depend only on the figures, so that screen, report and `--json` say the same. An effect counts as shown
where the 95% interval of its selectivity against each hard control lies above 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from clvq.config import HARD, SCORES
from clvq.interventions.controls import CLASS_DIRECTION
from clvq.interventions.intervals import LEAST_TEXTS
from clvq.interventions.mode_records import ConceptEffects, ControlledEffect, ProbeResult, ProbeRow, SpliceResult
from clvq.interventions.names import EDIT_NAMES, control_name
from clvq.interventions.records import Interval, SelectivityRow
from clvq.interventions.results import EditResults, Part, Results
from clvq.training.verdict import Verdict, joined

FEW_EDITED = 0.5
"""Share of sentences with something to edit at a place, below which a warning is given."""
SURE = 0.05
"""Largest p or q, corrected for the number of comparisons, at which an effect counts as shown."""
MOST_NAMED = 4
"""How many edits and places a sentence names; further ones are counted."""


PUBLISHED = (
    "This is the published protocol (arXiv 2506.20040), and its number is an artefact: the concept is chosen with the "
    "predicted class, so the direction that is projected out depends on the class, and a fixed probe reacts to that."
)


def verdict(results: Results) -> Verdict:
    """Return what the results of any measurement mean."""
    if isinstance(results, EditResults):
        return _of_edits(results)
    if isinstance(results, ConceptEffects):
        return _of_concepts(results)
    return _of_splice(results) if isinstance(results, SpliceResult) else _of_probe(results)


def _of_edits(results: EditResults) -> Verdict:
    """Say for which edits and places an effect on flips is shown against the hard controls.

    Where checkpoints are compared, only the first edit and place of each is judged.
    """
    parts = [part for part in results.parts if len(results.groups) == 1 or (part.edit, part.place) == results.blocks[0]]
    if results.clean.distinct_texts < LEAST_TEXTS:
        return Verdict([f"No effect can be shown: {_few(results.clean.distinct_texts)}"], list(_doubts(results, parts)))
    shown: list[str] = []
    half: list[str] = []
    unshown: list[str] = []
    fewer: list[str] = []
    for part in parts:
        rows = [row for control in HARD if (row := results.row(part, control, "flips")) is not None]
        if compared := [row for row in rows if row.selectivity is not None]:
            above = shown if len(compared) == len(HARD) else half
            kind = above if min(map(_low, compared)) > 0 else fewer if min(map(_high, compared)) < 0 else unshown
            kind.append(_outcome(results, part, min(compared, key=_high if kind is fewer else _low)))
    verb, what = ("flip", "predictions") if results.has_choices else ("move", "scores by over 1 SD")
    sentences = [
        f"{start}: {_named(outcomes)}."
        for start, outcomes in (
            (f"Concepts {verb} more {what} than their controls", shown),
            (f"Concepts {verb} more {what} than the one control that could be matched", half),
            ("No effect shown, the interval contains 0", unshown),
            (f"Concepts {verb} fewer {what} than a control", fewer),
        )
        if outcomes
    ]
    return Verdict(sentences + _differences(results), list(_doubts(results, parts)))


def _outcome(results: EditResults, part: Part, row: SelectivityRow) -> str:
    """Say what an edit does, and by how much it exceeds the control of `row`."""
    moved = "flipped" if results.has_choices else "moved"
    value, low, high = (100 * (end or 0.0) for end in (row.selectivity, row.low, row.high))
    beyond = f"{value:+.1f} points [{low:+.1f}, {high:+.1f}] beyond {results.names[row.control]}"
    return f"{_called(results, part)} ({results.parts[part][0].flips:.1%} {moved}, {beyond})"


def _differences(results: EditResults) -> list[str]:
    """Say for the first edit and place how much more selective the first group is than each other."""
    sentences = []
    for (first, other), lines in results.compared.items():
        rows = [lines[key]["flips"] for control in HARD if (key := (*results.blocks[0], control)) in lines]
        if rows:
            sure = all(row.p_holm is not None and row.p_holm <= SURE for row in rows)
            more = "more" if min(row.difference for row in rows) > 0 else "less"
            names = results.called(first), results.called(other)
            alone = "" if len(rows) == len(HARD) else ", against the one control that could be matched"
            sentences.append(
                f"{names[0]} is {more} selective than {names[1]} in {results.names['flips']}{alone}."
                if sure and len({row.difference > 0 for row in rows}) == 1
                else f"No difference shown between {names[0]} and {names[1]} in {results.names['flips']}."
            )
    return sentences


def _doubts(results: EditResults, parts: Sequence[Part]) -> Iterable[str]:
    """Yield warnings: of unmatched controls, of the class direction, of places where little or nothing was edited."""
    unmatched = [
        f"{_called(results, part)}, against {results.names[row.control]} (which {row.reason})"
        for part in parts
        for control in HARD
        if (row := results.row(part, control, "flips")) is not None and row.selectivity is None
    ]
    if unmatched:
        yield f"Not compared, because the control could not be matched: {_named(unmatched)}."
    for part in parts:
        concept, *controls = results.parts[part]
        along = next((line for line in controls if line.control == CLASS_DIRECTION), None)
        if along is not None and along.flips > concept.flips:
            yield (
                f"A step of the same length along the class direction flips {along.flips:.1%}, "
                f"{_called(results, part)} {concept.flips:.1%}. "
                "The removal without the class shows what does not depend on that direction."
            )
        share = concept.sentences / results.clean.sentences
        if concept.distance == 0:
            yield f"Nothing was edited by {_called(results, part)}: its concepts have no direction at the input layer."
        elif share < FEW_EDITED:
            yield f"{_called(results, part)} has something to edit in only {share:.0%} of the sentences."


def _called(results: EditResults, part: Part) -> str:
    title = results.title(part.edit, part.place)
    several = len(results.groups) > 1 or len(results.groups[0].seeds) > 1
    return f"{title} of {results.called(part.group)}" if several else title


def _named(entries: Sequence[str]) -> str:
    more = len(entries) - MOST_NAMED
    return "; ".join(entries[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _low(row: SelectivityRow) -> float:
    return 0.0 if row.low is None else row.low


def _high(row: SelectivityRow) -> float:
    return 0.0 if row.high is None else row.high


_TO_SHOW_ONE = "An earlier input layer, fewer codes or more evaluation texts may show one: docs/choosing.md."


def _of_concepts(results: ConceptEffects) -> Verdict:
    tested = [row for row in results.concepts if row.coherent.q is not None]
    driving = [row for row in tested if is_sure(row.coherent)]
    is_score = results.target in SCORES
    what = "the score" if is_score else "what is predicted" if results.class_ is None else results.class_
    warnings = []
    if few := len(results.concepts) - len(tested):
        are_not_tested = "concept is not tested: it occurs" if few == 1 else "concepts are not tested: they occur"
        warnings.append(f"{few:,} {are_not_tested} in too few texts, or the control could not be matched.")
    if not driving:
        sentence = f"No effect shown: none of {len(tested):,} concepts drives {what} beyond a coherent random step."
        return Verdict([sentence, _TO_SHOW_ONE], warnings)
    named = _named([f"{row.code} ({_signed(row.coherent.value)})" for row in driving])
    largest = max(tested, key=lambda row: abs(row.coherent.value))
    if largest not in driving and abs(largest.coherent.value) > abs(driving[0].coherent.value):
        effect, q = _signed(largest.coherent.value), largest.coherent.q
        warnings.append(f"Concept {largest.code} has a larger effect ({effect}), which is not shown (q {q:.2g}).")
    also = sum(is_sure(row.own) for row in driving)
    drive = "drives" if len(driving) == 1 else "drive"
    them = "it" if len(driving) == 1 else "them"
    falls = "it moves otherwise than" if is_score else "its probability falls more than"
    also_falls = "it also moves otherwise than" if is_score else "the fall is also larger than"
    sentences = [
        f"{len(driving):,} of {len(tested):,} concepts {drive} {what}: without {them} {falls} under a coherent random "
        f"step (q <= {SURE:g}). The largest effects: {named}.",
        f"For {also:,} of them {also_falls} under the words' own deviations.",
    ]
    return Verdict(sentences, warnings)


def _signed(effect: float) -> str:
    """Return an effect with three decimals, or the first digit of a smaller one."""
    return f"{effect:+.3f}" if abs(effect) >= 0.0005 else f"{effect:+.1g}"


def is_sure(effect: ControlledEffect) -> bool:
    """Return whether an effect is shown: with a share of false discoveries of at most SURE."""
    return effect.q is not None and effect.q <= SURE


def _of_splice(result: SpliceResult) -> Verdict:
    clean = result.others["clean"]
    answer = "prediction" if result.target == "class" else result.target
    same = "score changes by less than 1 SD" if result.target in SCORES else f"{answer} stays the same"
    asked = f"{result.sentences:,} sentences"
    if result.positions is not None:
        same, asked = "likeliest next token stays the same", f"{result.positions:,} places in {asked}"
    sentences = [
        f"With the reconstruction in place of layer {result.layer}, the model's {same} in "
        f"{_percent(clean.spliced.agreement)} of {asked}; with the mean in its place, in "
        f"{clean.ablated.agreement.value:.1%}."
    ]
    warnings = []
    share = clean.share_recovered
    if share is None:
        warnings.append(
            "It is not shown that the mean in place of every row costs any loss, so no share of it can be recovered."
        )
    elif result.distinct_texts < LEAST_TEXTS:
        pass  # the warning below says why nothing is claimed
    elif share.low <= 0:
        warnings.append(f"No recovery shown: of the loss that the mean costs, {_percent(share)} is recovered.")
    else:
        sentences.append(f"Of the loss that the mean costs, {_percent(share)} is recovered.")
    if result.only_sentence_row:
        warnings.append("The answer depends on the sentence rows alone: the figures say nothing of the words.")
    if result.left_out:
        warnings.append(f"{result.left_out:,} sentences without a row are left out.")
    if result.distinct_texts < LEAST_TEXTS:
        warnings.append(_few(result.distinct_texts).replace("the", "The", 1))
    return Verdict(sentences, warnings)


def _of_probe(result: ProbeResult) -> Verdict:
    before = result.before.accuracy.value
    sentences, warnings = [], []
    if result.mode == "paper":
        sentences.append(PUBLISHED)
    for edit, group in groupby(result.table, key=lambda line: line.edit):
        concept, *controls = list(group)
        beyond = "" if result.distinct_texts < LEAST_TEXTS else f"; {_probed(controls)}"
        sentences.append(
            f"{EDIT_NAMES[edit].capitalize()}: a probe gives the label of {concept.figures.accuracy.value:.1%} of the "
            f"sentences ({before:.1%} before the edit){beyond}."
        )
    if before - result.chance < 0.02:
        warnings.append(f"The probe is hardly better than chance ({result.chance:.1%}) before any edit.")
    if result.distinct_texts < LEAST_TEXTS:
        warnings.append(_few(result.distinct_texts).replace("the", "The", 1))
    return Verdict(sentences, warnings)


def _probed(controls: Sequence[ProbeRow]) -> str:
    """Say which controls the edit's fall in accuracy exceeds."""
    compared = [(line, line.selectivity) for line in controls if line.selectivity is not None]
    beyond = [control_name(line.control) for line, interval in compared if interval.low > 0]
    others = [control_name(line.control) for line, interval in compared if interval.low <= 0]
    if not compared:
        return "no control could be matched"
    if not others:
        every = "every control" if len(compared) == len(controls) else "every control that could be matched"
        return f"its accuracy falls more than under {every}"
    return f"no effect shown beyond {joined(others) if beyond else 'any control'}"


def _few(texts: int) -> str:
    """Say that intervals over fewer than LEAST_TEXTS distinct texts are not to be believed."""
    over = "one distinct text" if texts == 1 else f"{texts} distinct texts"
    return f"the intervals are over {over}, too few to say how sure a figure is."


def _percent(interval: Interval) -> str:
    return f"{interval.value:.1%} [{interval.low:.1%}, {interval.high:.1%}]"
