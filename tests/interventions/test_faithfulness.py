"""Faithfulness: a planted concept against its controls, edits and intervals written out, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from torch import Tensor

from clvq.concepts.directions import ConceptSpace
from clvq.interventions.controls import (
    CONTROLS,
    NULLS,
    Draws,
    Owner,
    Pools,
    controlled,
    donor_basis,
    like_usage,
    random_basis,
)
from clvq.interventions.edits import ClasslessRemoval, Edit, Move, RawProjection, ReplacementByMean, Step
from clvq.interventions.effects import Change, Effects, Record
from clvq.interventions.in_model import Interventions, Plan
from clvq.interventions.intervals import paired_intervals
from clvq.interventions.places import SENTENCE_ROW, Place, Subject
from clvq.interventions.selectivity import table
from clvq.language_model.model import LanguageModel
from clvq.language_model.options import ModelOptions
from clvq.language_model.upper_layers import UpperLayers
from clvq.models.spans import orthonormal

pytestmark = pytest.mark.slow

Load = Callable[[str], LanguageModel]

TEXTS = [
    "The film wasn't good!",
    "My uncle's script felt unbelievably slow, but charming",
    "boring",
    "A director remains rather wonderful? not at all lifeless...",
]
EVERY_MODEL = pytest.mark.parametrize("name", sorted(tiny_models.BUILDERS))
SALIENT, EVERY_WORD = Place("salient", 1), Place("all")


class Planted(ConceptSpace):
    """Directions that a test chooses: code k is along axis k, as long as told."""

    def __init__(self, mean: Tensor, deviations: Tensor) -> None:
        self.mean, self._deviations = mean, deviations
        self.covariance = torch.eye(len(mean))
        self.usage = torch.arange(1, len(deviations) + 1)
        self.class_directions = torch.zeros(2, len(mean))

    def codes(self, rows: Tensor) -> Tensor:
        return (rows - self.mean) @ self._deviations.T

    def basis(self, rows: Tensor, rank: int = 1) -> Tensor:
        return self.directions(self.codes(rows).abs().argmax(dim=1))[:, :, None]

    def raw_basis(self, rows: Tensor, rank: int = 1) -> Tensor:
        return self.basis(rows)

    def deviations(self, codes: Tensor) -> Tensor:
        return self._deviations[codes]

    def raw_directions(self, codes: Tensor) -> Tensor:
        return self.directions(codes)


def zero_space(width: int) -> Planted:
    return Planted(torch.zeros(width), torch.zeros(3, width))


def subjects_of(model: LanguageModel, texts: list[str] = TEXTS) -> list[Subject]:
    """Every word has code 0 and speaks for the prediction the more the later it comes."""
    return [
        Subject(index, sentence, [float(word) for word in range(len(sentence.words))], [0] * len(sentence.words),
                sentence_code=0, prediction=0, label=index % 2)
        for index, sentence in enumerate(model.tokenize(texts))
    ]  # fmt: skip


def plan_of(places: dict[Place, tuple[str, ...]], **given: Any) -> Plan:
    pools = {place: Pools(np.array([0, 1, 2]), {0: np.array([1, 2])}, {0: np.array([1])}) for place in places}
    values = {"edits": ("removal",), "targets": {0: 1}, "strength": 1.0, "draws": 2, "seed": 0, **given}
    return Plan(places=places, pools=pools, **values)


def run(model: LanguageModel, layer: int, space: ConceptSpace, plan: Plan, **given: Any) -> dict[Change, Effects]:
    interventions = Interventions(
        UpperLayers(model, layer), space, pooling="last", dtype="float32", **{"batch_tokens": 4096, **given}
    )
    return effects_of(interventions, subjects_of(model), plan)


def effects_of(interventions: Interventions, subjects: list[Subject], plan: Plan) -> dict[Change, Effects]:
    record = Record(plan.changes(), len(subjects))
    interventions.effects(subjects, plan, record)
    return record.effects()


@EVERY_MODEL
def test_an_edit_that_moves_nothing_gives_the_clean_logits_to_the_last_bit(name: str, language_model: Load) -> None:
    model = language_model(name)
    upper = UpperLayers(model, 1)
    space = zero_space(model.width(1))
    seen: list[Tensor] = []
    original = upper.scores
    upper.scores = lambda states, inputs: seen.append(original(states, inputs)) or seen[-1]  # type: ignore[method-assign]
    interventions = Interventions(upper, space, pooling="last", dtype="float32", batch_tokens=4096)
    plan = plan_of({EVERY_WORD: CONTROLS, Place("sentence"): ("own",)}, edits=("removal", "projection"))
    effects = effects_of(interventions, subjects_of(model), plan)
    own = model.run(sorted(model.tokenize(TEXTS), key=lambda s: -len(s.input_ids)), [], predict=True).scores
    assert len(seen) == 1 + 2 * (1 + 2 + 6 * 2) + 2 * 2
    assert all(torch.equal(logits, seen[0]) for logits in seen)
    assert own is not None and torch.allclose(seen[0], own, rtol=1e-4, atol=1e-6)
    assert all(
        not effect.flips.any() and not effect.kl.any() and not effect.distance.any() for effect in effects.values()
    )


@pytest.mark.parametrize("name", sorted({**tiny_models.BUILDERS, **tiny_models.PADDING_READERS}))
def test_batches_and_padding_change_nothing(name: str, language_model: Load) -> None:
    model = language_model(name)
    torch.manual_seed(1)
    space = Planted(torch.randn(32), torch.randn(3, 32))
    plan = plan_of({EVERY_WORD: CONTROLS}, edits=("projection", "move"), draws=1)
    together, alone = (run(model, 1, space, plan, batch_tokens=tokens) for tokens in (4096, 1))
    assert set(together) == set(plan.changes())
    for change, effects in together.items():
        for one, other in zip(effects, alone[change], strict=True):
            assert np.allclose(one, other, atol=1e-4, equal_nan=True), change
        assert (effects.tokens > 0).any(), change


@EVERY_MODEL
def test_a_removal_is_what_the_whole_model_gives_with_the_same_edit(name: str, language_model: Load) -> None:
    """Naively: one text at a time, its states edited one by one with the formula of the method."""
    model = language_model(name)
    torch.manual_seed(2)
    space = Planted(torch.randn(32), torch.randn(3, 32))
    upper = UpperLayers(model, 1)
    found = run(model, 1, space, plan_of({SALIENT: ("own",)}))
    for number, sentence in enumerate(model.tokenize(TEXTS)):
        inputs = upper.inputs([sentence])
        states = upper.states(inputs)
        clean = upper.scores(states, inputs)[0].softmax(0)
        last = sentence.word_tokens[-1]
        unit = space.basis(states[:1, last[-1]])[0, :, 0]
        for control in (None, "own"):
            edited, moved = states.clone(), 0.0
            tokens = [token for token in last if token != sentence.first_token]
            for token in tokens:
                state = states[0, token]
                step = ((state - space.mean) @ unit) * unit
                if control:
                    step = step.norm() * (state - space.mean) / (state - space.mean).norm()
                edited[0, token] = state - step
                moved += float(step.norm())
            changed = upper.scores(edited, inputs)[0].softmax(0)
            effects = found[Change("removal", SALIENT, control)]
            assert effects.tokens[number] == len(tokens)
            assert effects.distance[number] == pytest.approx(moved, rel=1e-4, abs=1e-5)
            assert effects.flips[number] == float(changed.argmax() != clean.argmax())
            assert effects.kl[number] == pytest.approx(float((clean * (clean / changed).log()).sum()), abs=1e-4)
            fall = clean.max() - changed[clean.argmax()]
            assert effects.probability[number] == pytest.approx(float(fall), abs=1e-5)
            assert effects.correct[number] == float(changed.argmax() == number % 2)
            if control is None:
                deviations = states[0, tokens] - space.mean
                energy = (deviations @ unit).square() / deviations.square().sum(dim=1)
                assert effects.rank[number] == len(tokens)
                assert effects.energy[number] == pytest.approx(float(energy.sum()), rel=1e-4)
            else:
                assert not effects.rank[number]


class OnAxis(Planted):
    """Every word has the concept along axis 0."""

    def basis(self, rows: Tensor, rank: int = 1) -> Tensor:
        return torch.eye(rows.shape[1], 1).expand(len(rows), -1, -1)


def test_removing_the_planted_concept_flips_what_it_must_and_no_control_does(tmp_path: Path) -> None:
    """The head sees the sign of coordinate 0 of the last token, and nothing else. At the mean it is just above 0."""
    model = LanguageModel.load(str(tiny_models.tiny_gpt2(tmp_path)), ModelOptions(device="cpu"))
    with torch.no_grad():
        model.model.score.weight.zero_()[0, 0] = 1.0
    texts = [f"{text} {word}" for text in TEXTS for word in ("good", "boring", "slow", "truly", "film", "very")]
    subjects = subjects_of(model, texts)
    upper = UpperLayers(model, model.num_layers)
    signs = [float(upper.states(upper.inputs([subject.sentence]))[0, -1, 0]) for subject in subjects]
    must = np.array([float(value < 0) for value in signs])
    assert 0 < must.sum() < len(must)
    space = OnAxis(torch.eye(32)[0] * 1e-3, torch.eye(3, 32))
    interventions = Interventions(upper, space, pooling="last", dtype="float32", batch_tokens=64)
    sentence = Place("sentence")
    effects = effects_of(interventions, subjects, plan_of({sentence: NULLS}, draws=5))
    removed = effects[Change("removal", sentence, None)]
    assert np.array_equal(removed.flips, must)
    for control in NULLS:
        other = effects[Change("removal", sentence, control)]
        assert not other.flips.any(), control
        assert np.allclose(other.distance, removed.distance, rtol=1e-4)
    everything = np.ones(len(texts), bool)
    _, rows = table([effects], np.arange(len(texts)), everything, None, 0)
    flips = [row for row in rows if row.figure == "flips"]
    assert [row.control for row in flips] == list(NULLS)
    for row in flips:
        assert row.selectivity == pytest.approx(must.mean())
        assert row.low > 0


def test_edits_are_their_formulas() -> None:
    torch.manual_seed(0)
    states, mean, deviation = torch.randn(6, 8), torch.randn(8), torch.randn(8)
    basis = torch.linalg.qr(torch.randn(6, 8, 2)).Q
    basis[2, :, 1] = 0
    basis[3] = 0
    space = Planted(mean, torch.stack([torch.zeros(8), deviation]))
    predictions = torch.zeros(len(states), dtype=torch.int64)
    removed = Edit(space).apply(states, basis, predictions)
    for state, own, after in zip(states, basis, removed, strict=True):
        assert torch.allclose(after, state - own @ own.T @ (state - mean), atol=1e-6)
        assert torch.allclose(own.T @ after, own.T @ mean, atol=1e-6)
    assert torch.equal(removed[3], states[3])
    projected = RawProjection(space).apply(states, basis, predictions)
    assert torch.allclose(torch.einsum("ndr,nd->nr", basis, projected), torch.zeros(6, 2), atol=1e-6)
    assert torch.equal(ReplacementByMean(space).apply(states, basis, predictions), mean.expand(6, 8))
    moved = Move(space, {0: 1}, 0.5).apply(states, basis, predictions)
    assert torch.allclose(moved - removed, 0.5 * deviation.expand(6, 8), atol=1e-6)
    assert torch.equal(Move(space, {0: 1}, 0.0).apply(states, basis, predictions), removed)


def test_the_removal_without_the_class_never_moves_along_the_class_direction() -> None:
    """Neither does any of its controls; concepts that are the class direction are left alone."""
    torch.manual_seed(0)
    states, mean = torch.randn(6, 8), torch.randn(8)
    space = Planted(mean, torch.randn(3, 8))
    space.class_directions = torch.nn.functional.normalize(torch.randn(2, 8), dim=1)
    predictions = torch.tensor([0, 1, 0, 1, 0, 1])
    along = space.class_directions[predictions]
    basis = torch.linalg.qr(torch.randn(6, 8, 2)).Q
    basis[4, :, :] = 0
    basis[4, :, 0] = along[4]
    edit = ClasslessRemoval(space)
    allowed = edit.allowed(basis, predictions)
    after = edit.apply(states, allowed, predictions)
    for number in range(4):
        w, q = along[number], basis[number]
        free = torch.linalg.qr((torch.eye(8) - torch.outer(w, w)) @ q).Q
        expected = states[number] - free @ free.T @ (states[number] - mean)
        assert torch.allclose(after[number], expected, atol=1e-5)
    assert torch.allclose(after[4], states[4], atol=1e-6)
    step = Step(edit, states, allowed, after, predictions)
    draws = Draws(space, [Owner(number, 0, int(predictions[number])) for number in range(6)])
    pools = Pools(np.zeros(0), {}, {})
    for control in NULLS:
        moved = controlled(control, step, draws, torch.arange(6), torch.arange(6), pools, (0, 0)) - states
        assert torch.allclose((moved * along).sum(dim=1), torch.zeros(6), atol=1e-5), control
        if control != "own":
            assert torch.allclose(moved.norm(dim=1), step.distances, atol=1e-5), control


def test_a_coherent_step_is_one_direction_a_sentence_and_that_along_the_class_leaves_the_prediction() -> None:
    torch.manual_seed(0)
    space = Planted(torch.zeros(16), torch.randn(5, 16))
    space.covariance = torch.diag(torch.tensor([25.0, *[0.01] * 15]))
    space.class_directions = torch.nn.functional.normalize(torch.randn(2, 16), dim=1)
    edit, states = Edit(space), torch.randn(4, 16)
    predictions = torch.tensor([0, 0, 0, 1])
    basis = edit.basis(states)
    step = Step(edit, states, basis, edit.apply(states, basis, predictions), predictions)
    draws = Draws(space, [Owner(7, 0, 0), Owner(7, 1, 0), Owner(8, 0, 0), Owner(9, 2, 1)])
    pools = Pools(np.zeros(0), {}, {})
    sentence = torch.tensor([0, 0, 1, 2])
    moved = controlled("coherent", step, draws, torch.arange(4), sentence, pools, (0, 0)) - states
    units = moved / step.distances[:, None]
    assert torch.allclose(units[0], units[1], atol=1e-5)
    assert not torch.allclose(units[0].abs(), units[2].abs(), atol=1e-5)
    assert (units[:, 0].abs() > 0.9).all()  # where the words vary
    assert torch.allclose(units.norm(dim=1), torch.ones(4), atol=1e-5)
    for draw in range(8):  # the sign is the one that takes the direction out of the sentence as a whole
        moved = controlled("coherent", step, draws, torch.arange(4), sentence, pools, (0, draw)) - states
        units = moved / step.distances[:, None]
        for rows in (slice(0, 2), slice(2, 3), slice(3, 4)):
            assert (states[rows] @ units[rows][0]).sum() <= 1e-5
            assert torch.allclose(units[rows], units[rows][:1].expand_as(units[rows]), atol=1e-5)
    along = controlled("class_direction", step, draws, torch.arange(4), sentence, pools, (0, 0)) - states
    assert torch.allclose(along, -step.distances[:, None] * space.class_directions[predictions], atol=1e-6)


def test_a_step_of_its_own_length_is_the_removal_itself() -> None:
    torch.manual_seed(0)
    states, mean = torch.randn(6, 8), torch.randn(8)
    basis = torch.linalg.qr(torch.randn(6, 8, 1)).Q
    edit = Edit(Planted(mean, torch.zeros(1, 8)))
    predictions = torch.zeros(len(states), dtype=torch.int64)
    removed = edit.apply(states, basis, predictions)
    step = Step(edit, states, basis, removed, predictions)
    assert torch.allclose(step.along(basis), removed, atol=1e-6)
    assert torch.equal(step.along(torch.zeros_like(basis)), states)
    deviation = states - mean
    half = Step(edit, states, basis, states - deviation / 2, predictions)
    assert torch.allclose(half.towards_mean(), (states + mean) / 2, atol=1e-6)
    far = Step(edit, states, basis, states + 3 * deviation, predictions)
    assert torch.allclose(far.towards_mean(), mean.expand(6, 8), atol=1e-6)


@pytest.mark.parametrize("kind", [Edit, RawProjection])
def test_controls_are_drawn_by_sentence_and_concept(kind: type[Edit]) -> None:
    """As often as not other, unit or orthonormal, and the same whatever stands beside them in a batch."""
    torch.manual_seed(0)
    space = Planted(torch.zeros(16), torch.randn(5, 16))
    edit = kind(space)
    owners = [Owner(3, 0, 0), Owner(3, 1, 1), Owner(4, 0, 0)]
    pools = Pools(np.array([0, 0, 1, 4]), like_usage(space.usage), {0: np.array([0, 2])})
    for control in ("random", "covariance", "coherent"):
        for rank in (1, 3):
            drawn = random_basis(control, space, owners, rank, (0, 1))
            gram = torch.einsum("gdr,gds->grs", drawn, drawn)
            assert torch.allclose(gram, torch.eye(rank).expand(3, -1, -1), atol=1e-5)
            alone = random_basis(control, space, owners[1:2], rank, (0, 1))
            assert torch.equal(alone[0], drawn[1])
            assert not torch.allclose(drawn[0], drawn[2])
            again = random_basis(control, space, owners, rank, (0, 2))
            assert not torch.allclose(drawn, again)
    units = space.directions(torch.arange(5))
    for control, others in (("other", {0: {1, 4}, 1: {0, 4}}), ("class", {0: {2}, 1: set()})):
        for number in range(20):
            found = donor_basis(control, edit, owners, pools, (0, number))[:, :, 0]
            for owner, direction in zip(owners, found, strict=True):
                near = {code for code in range(5) if torch.allclose(units[code], direction)}
                assert near <= others[owner.code]
                assert bool(near) == bool(others[owner.code])


def test_covariance_draws_have_the_covariance() -> None:
    torch.manual_seed(0)
    space = Planted(torch.zeros(4), torch.randn(3, 4))
    mixing = torch.randn(4, 4)
    space.covariance = mixing @ mixing.T
    draws = torch.randn(200_000, 4) @ space.factor.T
    assert torch.allclose(torch.cov(draws.T), space.covariance, rtol=0.05, atol=0.05)


def test_concepts_of_like_usage() -> None:
    usage = torch.tensor([0, 5, *range(100, 130), 7])
    near = like_usage(usage)
    assert 0 not in near and all(0 not in others for others in near.values())
    assert all(len(others) == 10 and code not in others for code, others in near.items())
    assert set(near[15]) == {10, 11, 12, 13, 14, 16, 17, 18, 19, 20}
    assert set(near[1]) == {32, *range(2, 11)}
    assert {code: list(others) for code, others in like_usage(torch.tensor([3, 0, 4])).items()} == {0: [2], 2: [0]}


def test_places() -> None:
    model_sentence = tiny_sentence(words=4)
    subject = Subject(0, model_sentence, [0.1, -3.0, 2.0, 1.0], [5, 5, 7, 5], sentence_code=9, prediction=0, label=None)
    assert Place("salient", 1).words(subject) == [2]
    assert Place("salient", 2).words(subject) == [2, 3]
    assert Place("salient", 9).words(subject) == [0, 2, 3]
    assert Place("salient", mass=0.7).words(subject) == [2, 3]
    assert Place("concept").words(subject) == [2]
    assert Place("all").words(subject) == [0, 1, 2, 3]
    assert Place("sentence").words(subject) == [SENTENCE_ROW]
    without = subject._replace(codes=[5, 5, None, 5], sentence_code=None)
    assert Place("concept").words(without) == [0, 1, 3]
    assert Place("salient", 1).words(without) == [3]
    assert Place("sentence").words(without) == []
    against = subject._replace(attributions=[-1.0, -3.0, 0.0, -2.0])
    assert Place("salient", 3).words(against) == [1]
    none = subject._replace(codes=[None] * 4)
    assert all(Place(kind).words(none) == [] for kind in ("salient", "concept", "all"))
    sink = subject._replace(sentence=model_sentence._replace(first_token=1))
    assert Place("all").words(sink) == [1, 2, 3]


def tiny_sentence(words: int) -> Any:
    from clvq.language_model.tokenization import TokenizedSentence

    spans = [(2 * word, 2 * word + 1) for word in range(words)]
    return TokenizedSentence(list(range(words + 2)), spans, [[word + 1] for word in range(words)], 0, -1, 0, 0, 1)


def test_intervals_are_those_of_a_plain_bootstrap() -> None:
    """Against a loop that draws texts one by one; the draws differ, so their percentiles agree nearly."""
    random = np.random.default_rng(0)
    texts = random.integers(0, 60, 100)
    differences = random.normal([0.3, 0.0], [1.0, 0.2], (100, 2)) + texts[:, None] / 100
    middle, low, high = paired_intervals(differences, texts, seed=1)
    assert np.allclose(middle, differences.mean(axis=0))
    distinct = np.unique(texts)
    means = []
    for _ in range(4000):
        drawn = [differences[texts == text] for text in random.choice(distinct, len(distinct))]
        means.append(np.concatenate(drawn).mean(axis=0))
    expected = np.percentile(means, [2.5, 97.5], axis=0)
    spread = np.std(means, axis=0)
    assert np.all(np.abs(np.stack([low, high]) - expected) < 0.2 * spread)
    again = paired_intervals(differences[:, :1], texts, seed=1)
    assert all(np.allclose(one, other[:1]) for one, other in zip(again, (middle, low, high), strict=True))
    assert not np.allclose(paired_intervals(differences, texts, seed=2)[1], low)


def test_no_selectivity_where_distances_differ() -> None:
    zeros = Effects.zeros(4)
    concept = zeros._replace(flips=np.array([1.0, 1, 0, 1]), distance=np.full(4, 2.0), tokens=np.ones(4))
    for distance, matched in ((2.0, True), (2.019, True), (2.021, False), (1.9, False)):
        control = zeros._replace(flips=np.array([0.0, 1, 0, 0]), distance=np.full(4, distance), tokens=np.ones(4))
        effects = {
            Change("removal", SALIENT, None): concept,
            Change("removal", SALIENT, "own"): control,
            Change("removal", SALIENT, "other"): concept,
        }
        figures, rows = table([effects], np.arange(4), np.array([True, True, True, False]), 0.5, 0)
        assert [figure.sentences for figure in figures] == [3, 3, 3]
        by_control = {(row.control, row.figure): row for row in rows}
        row = by_control["own", "flips"]
        assert (row.selectivity is not None) == matched == (row.reason is None)
        assert row.concept == pytest.approx(2 / 3)
        if matched:
            assert row.selectivity == pytest.approx(1 / 3)
            assert row.low <= row.selectivity <= row.high
        injected = by_control["other", "flips"]
        assert injected.selectivity is None
        assert injected.control_value == pytest.approx(2 / 3)


def test_a_step_to_the_mean_ends_at_the_mean_itself() -> None:
    """Else a probe that is fitted again reads the rounding of what should be one state."""
    torch.manual_seed(0)
    states, mean = 100 * torch.randn(64, 48), 100 * torch.randn(48)
    space, predictions = Planted(mean, torch.randn(5, 48)), torch.zeros(64, dtype=torch.int64)
    edit = ReplacementByMean(space)
    step = Step(
        edit, states, torch.zeros(64, 48, 1), edit.apply(states, torch.zeros(64, 48, 1), predictions), predictions
    )
    assert torch.equal(step.towards_mean(), mean.expand_as(states))
    still = Step(edit, states, torch.zeros(64, 48, 1), states, predictions)
    assert torch.equal(still.towards_mean(), states)


def test_a_rank_counts_directions_that_differ() -> None:
    """A direction that is zero or in the span of earlier ones takes nothing from those that come after it."""
    torch.manual_seed(0)
    one, two, three = torch.nn.functional.normalize(torch.randn(3, 64), dim=1)
    for given in ([one, 0 * one, two, three], [one, two, (one + two) / 2, three], [one, -one, two, three]):
        basis = orthonormal(torch.stack(given)[None])[0]
        independent = torch.stack([one, two, three]).double()
        solved = torch.linalg.lstsq(independent.T, basis.double()).solution
        assert torch.allclose(independent.T @ solved, basis.double(), atol=1e-5)  # nothing else is in it
        kept = basis[:, basis.any(dim=0)]
        assert torch.allclose(kept.T @ kept, torch.eye(3), atol=1e-5)
        for direction in (one, two, three):
            assert torch.allclose(kept @ (kept.T @ direction), direction, atol=1e-5)
