"""What is said of faithfulness figures: each sentence where its figures bear it out, and not where they do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from clvq.artifacts.records import ModelName
from clvq.interventions.mode_records import (
    Answer,
    ConceptEffect,
    ConceptEffects,
    ControlledEffect,
    ProbeFigures,
    ProbeResult,
    ProbeRow,
    Spliced,
    SpliceResult,
)
from clvq.interventions.records import Clean, DifferenceRow, EffectRow, Interval, Seeds, SelectivityRow, Tables
from clvq.interventions.results import EditResults
from clvq.interventions.verdict import verdict
from clvq.language_model.records import StoredTarget

NAMES = {
    "removal": "centred removal", "salient": "most salient word", "sentence": "sentence row",
    "coherent": "coherent random", "own": "own deviation", "flips": "flips",
}  # fmt: skip
Bounds = tuple[float, float]


def effect(name: str, place: str, control: str | None, **changed: Any) -> EffectRow:
    values = {
        "sentences": 100, "tokens": 100, "accuracy": 0.9, "from_chance": 0.4, "flips": 0.25, "kl": 0.1,
        "probability": 0.1, "distance": 3.0, "rank": 1.0, "energy": 0.1,
    }  # fmt: skip
    return EffectRow(name, "removal", place, None, control, **{**values, **changed})


def row(name: str, place: str, control: str, bounds: Bounds | str) -> SelectivityRow:
    figures: tuple[Any, ...] = (None, None, None, bounds)
    if not isinstance(bounds, str):
        figures = (sum(bounds) / 2, *bounds, None)
    return SelectivityRow(name, "removal", place, None, None, "flips", control, 0.25, 0.1, *figures)


def results(
    places: dict[str, tuple[Bounds | str, Bounds | str]], names: tuple[str, ...] = ("a",), **changed: Any
) -> EditResults:
    """Edits with these bounds against the two hard controls, of as many checkpoints."""
    tables = Tables(
        [effect(name, place, None, **changed) for name in names for place in places],
        [
            row(name, place, control, bounds)
            for name in names
            for place, both in places.items()
            for control, bounds in zip(("coherent", "own"), both, strict=True)
        ],
        [],
        [],
    )
    groups = [Seeds(name, "clvq", [name], [0]) for name in names]
    differences = [
        DifferenceRow("a", name, "removal", "salient", "flips", control, 0.05, 0.01, 0.09, 3.0, 3.0, 100, 0.01, 0.02)
        for name in names[1:]
        for control in ("coherent", "own")
    ]
    clean, target = Clean(100, 90, 0.9, 0.5), StoredTarget("class", None)
    model, none = ModelName("model", "1"), Tables([], [], [], [])
    return EditResults(model, [], groups, clean, target, NAMES, tables, none, [], [], None, differences)


def test_edits_are_sorted_by_what_is_shown() -> None:
    said = verdict(results({"salient": ((0.02, 0.10), (0.01, 0.05)), "sentence": ((0.02, 0.10), (-0.01, 0.05))}))
    assert said.sentences == [
        "Concepts flip more predictions than their controls: centred removal, most salient word (25.0% flipped, "
        "+3.0 points [+1.0, +5.0] beyond own deviation).",
        "No effect shown, the interval contains 0: centred removal, sentence row (25.0% flipped, "
        "+2.0 points [-1.0, +5.0] beyond own deviation).",
    ]
    assert said.warnings == []
    less = verdict(results({"salient": ((-0.10, -0.02), (0.01, 0.05))}))
    assert less.sentences == [
        "Concepts flip fewer predictions than a control: centred removal, most salient word (25.0% flipped, "
        "-6.0 points [-10.0, -2.0] beyond coherent random)."
    ]


def test_a_few_texts_show_no_effect() -> None:
    few = replace(results({"salient": ((0.6, 0.6), (0.6, 0.6))}), clean=Clean(6, 4, 0.9, 0.5))
    assert verdict(few).sentences == [
        "No effect can be shown: the intervals are over 4 distinct texts, too few to say how sure a figure is."
    ]
    told = "The intervals are over one distinct text, too few to say how sure a figure is."
    said = verdict(spliced(Interval(0.297, 0.297, 0.297), distinct_texts=1))
    assert said.warnings[-1] == told and "recovered" not in " ".join([*said.sentences, *said.warnings])
    said = verdict(replace(probed("probe", (0.1, 0.1), (0.1, 0.1)), distinct_texts=1))
    assert said.warnings == [told]
    assert said.sentences[0].endswith("80.0% of the sentences (90.0% before the edit).")


def test_an_interval_that_ends_at_0_shows_no_effect() -> None:
    for bounds in ((0.0, 0.1), (-0.1, 0.0)):
        said = verdict(results({"salient": (bounds, (0.01, 0.05))}))
        assert said.sentences[0].startswith("No effect shown")


def test_controls_that_could_not_be_matched_and_places_with_nothing_to_edit() -> None:
    said = verdict(results({"salient": ((0.02, 0.10), "moves a word by 1 on average, and the edit by 3")}))
    assert said.sentences == [
        "Concepts flip more predictions than the one control that could be matched: centred removal, most salient word "
        "(25.0% flipped, +6.0 points [+2.0, +10.0] beyond coherent random)."
    ]
    assert said.warnings == [
        "Not compared, because the control could not be matched: centred removal, most salient word, against own "
        "deviation (which moves a word by 1 on average, and the edit by 3)."
    ]
    few = verdict(results({"salient": ((0.02, 0.10), (0.01, 0.05))}, sentences=12))
    assert few.warnings == ["centred removal, most salient word has something to edit in only 12% of the sentences."]
    nothing = verdict(results({"salient": ((0.0, 0.0), (0.0, 0.0))}, distance=0.0))
    assert nothing.sentences[0].startswith("No effect shown")
    assert nothing.warnings == [
        "Nothing was edited by centred removal, most salient word: its concepts have no direction at the input layer."
    ]


def test_a_step_along_the_class_that_does_more_is_a_warning() -> None:
    plain = results({"salient": ((0.02, 0.10), (0.01, 0.05))})
    for flips, warned in ((0.5, True), (0.25, False)):
        along = effect("a", "salient", "class_direction", flips=flips)
        tables = Tables([*plain.tables.figures, along], plain.tables.rows, [], [])
        said = verdict(replace(plain, tables=tables))
        assert [
            warning.startswith("A step of the same length along the class direction flips 50.0%")
            for warning in said.warnings
        ] == ([True] if warned else [])


def test_of_checkpoints_side_by_side_the_first_edit_is_told_and_the_difference() -> None:
    places = {"salient": ((0.02, 0.10), (0.01, 0.05)), "sentence": ((-0.02, 0.10), (-0.01, 0.05))}
    said = verdict(results(places, ("a", "b")))
    assert len(said.sentences) == 2
    assert "most salient word of a (" in said.sentences[0]
    assert "most salient word of b (" in said.sentences[0]
    assert said.sentences[1] == "a is more selective than b in flips."
    both = results(places, ("a", "b"))
    for changed, sentence in (
        ({"p_holm": 0.2}, "No difference shown between a and b in flips."),
        ({"difference": -0.05}, "a is less selective than b in flips."),
    ):
        lines = [replace(line, **changed) for line in both.differences]  # type: ignore[arg-type]
        assert verdict(replace(both, differences=lines)).sentences[1] == sentence
    one = [replace(both.differences[0], difference=-0.05), both.differences[1]]
    assert verdict(replace(both, differences=one)).sentences[1].startswith("No difference shown")


def spliced(share: Interval | None, **changed: Any) -> SpliceResult:
    answer = Answer(*(Interval(value, value - 0.05, value + 0.05) for value in (0.9, 0.1, 0.2)), None)
    others = {name: Spliced(share, None, 0.1, answer, answer) for name in ("clean", "ablated")}
    values = {
        "input_layer": 4, "layer": 8, "target": "class", "sentences": 80, "left_out": 0, "only_sentence_row": False,
        "distinct_texts": 80, "tokens": 900, "tokens_of_rows": 800, "accuracy": None, "unit": None, "positions": None,
        "others": others,
    }  # fmt: skip
    return SpliceResult(**{**values, **changed})


def test_a_spliced_reconstruction() -> None:
    said = verdict(spliced(Interval(0.8, 0.7, 0.9)))
    assert said.sentences == [
        "With the reconstruction in place of layer 8, the model's prediction stays the same in 90.0% [85.0%, 95.0%] "
        "of 80 sentences; with the mean in its place, in 90.0%.",
        "Of the loss that the mean costs, 80.0% [70.0%, 90.0%] is recovered.",
    ]
    assert said.warnings == []
    for share, warning in (
        (Interval(0.1, -0.1, 0.3), "No recovery shown"),
        (None, "It is not shown that the mean in place of every row costs"),
    ):
        without = verdict(spliced(share))
        assert len(without.sentences) == 1
        assert without.warnings[0].startswith(warning)
    alone = verdict(spliced(Interval(0.8, 0.7, 0.9), only_sentence_row=True, left_out=3))
    assert [warning.split(":")[0] for warning in alone.warnings] == [
        "The answer depends on the sentence rows alone", "3 sentences without a row are left out."
    ]  # fmt: skip


def probed(mode: str, *selectivities: Bounds | None, before: float = 0.9) -> ProbeResult:
    def figures(value: float) -> ProbeFigures:
        return ProbeFigures(Interval(value, value, value), 0.1, None)

    drop = Interval(0.1, 0.0, 0.2)
    lines = [ProbeRow("removal", None, figures(0.8), drop, 3.0, None)]
    for control, bounds in zip(("random", "same"), selectivities, strict=True):
        interval = None if bounds is None else Interval(sum(bounds) / 2, *bounds)
        lines.append(ProbeRow("removal", control, figures(0.85), drop, 3.0, interval))
    return ProbeResult(mode, 4, "sentence", 90, 0.5, {"evaluation": 100}, 1.0, figures(before), lines)


def test_a_probe() -> None:
    start = "Centred removal: a probe gives the label of 80.0% of the sentences (90.0% before the edit); "
    ends = {
        ((0.01, 0.1), (0.01, 0.1)): "its accuracy falls more than under every control.",
        ((0.01, 0.1), (-0.01, 0.1)): "no effect shown beyond concept, same prediction.",
        ((-0.01, 0.1), (-0.01, 0.1)): "no effect shown beyond any control.",
        (None, None): "no control could be matched.",
    }
    for selectivities, end in ends.items():
        said = verdict(probed("probe", *selectivities))
        assert (said.sentences, said.warnings) == ([start + end], [])
    assert "its number is an artefact" in verdict(probed("paper", None, None)).sentences[0]
    assert "hardly better than chance" in verdict(probed("probe", None, None, before=0.51)).warnings[0]


def concept(code: int, value: float, q: float | None, own_q: float | None = 0.5) -> ConceptEffect:
    beyond = Interval(value, value - 0.01, value + 0.01)
    tests = [ControlledEffect(beyond.value, beyond.low, beyond.high, one, one) for one in (q, own_q)]
    return ConceptEffect(code, 9, 9, 0.1, 0.1, 0.1, *tests, [])


def test_concepts_that_drive_a_class() -> None:
    said = verdict(
        ConceptEffects(
            "toxic", "class", None, 80, [concept(7, 0.2, 0.01, 0.01), concept(3, 0.1, 0.05), concept(1, 0.1, 0.06)]
        )
    )
    assert said.sentences == [
        "2 of 3 concepts drive toxic: without them its probability falls more than under a coherent random step "
        "(q <= 0.05). The largest effects: 7 (+0.200); 3 (+0.100).",
        "For 1 of them the fall is also larger than under the words' own deviations.",
    ]
    assert said.warnings == []
    none = verdict(ConceptEffects(None, "class", None, 80, [concept(1, 0.1, 0.06), concept(2, 0.3, None)]))
    assert none.sentences == [
        "No effect shown: none of 1 concepts drives what is predicted beyond a coherent random step.",
        "An earlier input layer, fewer codes or more evaluation texts may show one: docs/choosing.md.",
    ]
    one = verdict(ConceptEffects("toxic", "class", None, 80, [concept(7, 0.2, 0.01), concept(3, 0.1, 0.5)]))
    assert one.sentences[0].startswith("1 of 2 concepts drives toxic: without it its probability falls more than")
    larger = ConceptEffects("toxic", "class", None, 80, [concept(8, 0.072, 0.08), concept(3, 0.00032, 0.001)])
    assert verdict(larger).sentences[0].endswith("The largest effects: 3 (+0.0003).")
    assert verdict(larger).warnings == ["Concept 8 has a larger effect (+0.072), which is not shown (q 0.08)."]
    assert none.warnings == [
        "1 concept is not tested: it occurs in too few texts, or the control could not be matched."
    ]
