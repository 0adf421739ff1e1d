"""Faithfulness: a planted concept against its controls, edits and intervals written out, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from torch import Tensor

import clvq
from clvq import edits
from clvq import faithfulness_plan as plans
from clvq.concept_space import FILE_NAME as SPACE_NAME
from clvq.concept_space import ConceptSpace, concept_space
from clvq.controls import CONTROLS, NULLS, Owner, Pools, control_basis, like_usage
from clvq.errors import ArtifactError, ClvqError, MismatchError
from clvq.intervals import paired_intervals
from clvq.interventions import Change, Effects, Interventions, Plan
from clvq.language_model import LanguageModel
from clvq.places import SENTENCE_ROW, Place, Subject
from clvq.selectivity import table
from clvq.storage import read_signed
from clvq.upper_layers import UpperLayers

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

    def codes(self, rows: Tensor) -> Tensor:
        return (rows - self.mean) @ self._deviations.T

    def basis(self, rows: Tensor) -> Tensor:
        return self.directions(self.codes(rows).abs().argmax(dim=1))[:, :, None]

    def raw_basis(self, rows: Tensor) -> Tensor:
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
    return interventions.effects(subjects_of(model), plan)


@EVERY_MODEL
def test_an_edit_that_moves_nothing_gives_the_models_own_logits_to_the_last_bit(
    name: str, language_model: Load
) -> None:
    model = language_model(name)
    upper = UpperLayers(model, 1)
    space = zero_space(model.width(1))
    seen: list[Tensor] = []
    original = upper.logits
    upper.logits = lambda states, inputs: seen.append(original(states, inputs)) or seen[-1]  # type: ignore[method-assign]
    interventions = Interventions(upper, space, pooling="last", dtype="float32", batch_tokens=4096)
    plan = plan_of({EVERY_WORD: CONTROLS, Place("sentence"): ("own",)}, edits=("removal", "projection"))
    effects = interventions.effects(subjects_of(model), plan)
    own = model.run(sorted(model.tokenize(TEXTS), key=lambda s: -len(s.input_ids)), [], predict=True).logits
    assert len(seen) == 1 + 2 * (1 + 1 + 5 * 2) + 2 * 2
    assert all(torch.equal(logits, own) for logits in seen)
    assert all(
        not effect.flips.any() and not effect.kl.any() and not effect.distance.any() for effect in effects.values()
    )


@EVERY_MODEL
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
        clean = upper.logits(states, inputs)[0].softmax(0)
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
            changed = upper.logits(edited, inputs)[0].softmax(0)
            effects = found[Change("removal", SALIENT, control)]
            assert effects.tokens[number] == len(tokens)
            assert effects.distance[number] == pytest.approx(moved, rel=1e-4, abs=1e-5)
            assert effects.flips[number] == float(changed.argmax() != clean.argmax())
            assert effects.kl[number] == pytest.approx(float((clean * (clean / changed).log()).sum()), abs=1e-4)
            fall = clean.max() - changed[clean.argmax()]
            assert effects.probability[number] == pytest.approx(float(fall), abs=1e-5)
            assert effects.correct[number] == float(changed.argmax() == number % 2)


class OnAxis(Planted):
    """Every word has the concept along axis 0."""

    def basis(self, rows: Tensor) -> Tensor:
        return torch.eye(rows.shape[1], 1).expand(len(rows), -1, -1)


def test_removing_the_planted_concept_flips_what_it_must_and_no_control_does(tmp_path: Path) -> None:
    """The head sees the sign of coordinate 0 of the last token, and nothing else. At the mean it is just above 0."""
    model = LanguageModel.load(str(tiny_models.tiny_gpt2(tmp_path)), device="cpu")
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
    effects = interventions.effects(subjects, plan_of({sentence: NULLS}, draws=5))
    removed = effects[Change("removal", sentence, None)]
    assert np.array_equal(removed.flips, must)
    for control in NULLS:
        other = effects[Change("removal", sentence, control)]
        assert not other.flips.any(), control
        assert np.allclose(other.distance, removed.distance, rtol=1e-4)
    everything = np.ones(len(texts), bool)
    _, rows = table(effects, np.arange(len(texts)), everything, None, 0)
    flips = [row for row in rows if row["figure"] == "flips"]
    assert [row["control"] for row in flips] == list(NULLS)
    for row in flips:
        assert row["selectivity"] == pytest.approx(must.mean())
        assert row["low"] > 0


def test_edits_are_their_formulas() -> None:
    torch.manual_seed(0)
    states, mean, deviation = torch.randn(6, 8), torch.randn(8), torch.randn(8)
    basis = torch.linalg.qr(torch.randn(6, 8, 2)).Q
    basis[2, :, 1] = 0
    basis[3] = 0
    removed = edits.centred_removal(states, basis, mean)
    for state, own, after in zip(states, basis, removed, strict=True):
        assert torch.allclose(after, state - own @ own.T @ (state - mean), atol=1e-6)
        assert torch.allclose(own.T @ after, own.T @ mean, atol=1e-6)
    assert torch.equal(removed[3], states[3])
    projected = edits.raw_projection(states, basis)
    assert torch.allclose(torch.einsum("ndr,nd->nr", basis, projected), torch.zeros(6, 2), atol=1e-6)
    assert torch.equal(edits.replacement_by_mean(states, mean), mean.expand(6, 8))
    moved = edits.move(states, basis, mean, deviation, 0.5)
    assert torch.allclose(moved - removed, 0.5 * deviation.expand(6, 8), atol=1e-6)
    assert torch.equal(edits.move(states, basis, mean, deviation, 0.0), removed)


def test_a_step_of_its_own_length_is_the_removal_itself() -> None:
    torch.manual_seed(0)
    states, mean = torch.randn(6, 8), torch.randn(8)
    basis = torch.linalg.qr(torch.randn(6, 8, 1)).Q
    removed = edits.centred_removal(states, basis, mean)
    distances = (removed - states).norm(dim=1)
    assert torch.allclose(edits.matched_step(states, basis, mean, distances), removed, atol=1e-6)
    assert torch.equal(edits.matched_step(states, torch.zeros_like(basis), mean, distances), states)
    deviation = (states - mean).norm(dim=1)
    towards = edits.towards_mean(states, mean, deviation / 2)
    assert torch.allclose(towards, (states + mean) / 2, atol=1e-6)
    assert torch.allclose(edits.towards_mean(states, mean, 3 * deviation), mean.expand(6, 8), atol=1e-6)


@pytest.mark.parametrize("raw", [False, True])
def test_controls_are_drawn_by_sentence_and_concept(raw: bool) -> None:
    """As often as not other, unit or orthonormal, and the same whatever stands beside them in a batch."""
    torch.manual_seed(0)
    space = Planted(torch.zeros(16), torch.randn(5, 16))
    owners = [Owner(3, 0, 0), Owner(3, 1, 1), Owner(4, 0, 0)]
    pools = Pools(np.array([0, 0, 1, 4]), like_usage(space.usage), {0: np.array([0, 2])})
    for control in ("random", "covariance"):
        for rank in (1, 3):
            drawn = control_basis(control, space, owners, pools, rank=rank, raw=raw, key=(0, 1))
            gram = torch.einsum("gdr,gds->grs", drawn, drawn)
            assert torch.allclose(gram, torch.eye(rank).expand(3, -1, -1), atol=1e-5)
            alone = control_basis(control, space, owners[1:2], pools, rank=rank, raw=raw, key=(0, 1))
            assert torch.equal(alone[0], drawn[1])
            assert not torch.allclose(drawn[0], drawn[2])
            again = control_basis(control, space, owners, pools, rank=rank, raw=raw, key=(0, 2))
            assert not torch.allclose(drawn, again)
    units = space.directions(torch.arange(5))
    for control, others in (("other", {0: {1, 4}, 1: {0, 4}}), ("class", {0: {2}, 1: set()})):
        for number in range(20):
            found = control_basis(control, space, owners, pools, rank=1, raw=raw, key=(0, number))[:, :, 0]
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
    from clvq.tokenization import TokenizedSentence

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
        figures, rows = table(effects, np.arange(4), np.array([True, True, True, False]), 0.5, 0)
        assert [figure["sentences"] for figure in figures] == [3, 3, 3]
        by_control = {(row["control"], row["figure"]): row for row in rows}
        row = by_control["own", "flips"]
        assert (row["selectivity"] is not None) == matched == (row["reason"] is None)
        assert row["concept"] == pytest.approx(2 / 3)
        if matched:
            assert row["selectivity"] == pytest.approx(1 / 3)
            assert row["low"] <= row["selectivity"] <= row["high"]
        injected = by_control["other", "flips"]
        assert injected["selectivity"] is None
        assert injected["control_value"] == pytest.approx(2 / 3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, model_folder: Any) -> Path:
    """A run folder with checkpoints L1-L3 and seed1 of a tiny BERT, explained."""
    run = tmp_path_factory.mktemp("faithful") / "run"
    run.mkdir()
    texts = tiny_models.made_sentences()[::6]
    for name, chosen in (("corpus", texts[10:]), ("eval", [*texts[:10], *texts[:4]])):
        rows = [{"text": text, "label": number // 2 % 2} for number, text in enumerate(chosen)]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (run / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    clvq.extract(
        run / "activations", model=str(model_folder("bert")), dataset=str(run / "corpus.jsonl"),
        eval_dataset=str(run / "eval.jsonl"),
        layers=(1, 2, 3),
    )  # fmt: skip
    for name, seed in (("L1-L3", 0), ("seed1", 1)):
        train(run / name, seed=seed)
        clvq.explain(run / name, steps=2, completeness=0.5, limit=12)
    return run


def train(path: Path, **given: Any) -> None:
    settings = {"input_layer": 1, "output_layer": 3, "codebook_size": 12, "top_k": 3, "epochs": 1, "decoder_layers": 1}
    clvq.train(path.parent / "activations", path=path, **{**settings, **given})


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run folder."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_the_space_of_a_checkpoint_is_that_of_its_training_words(folder: Path) -> None:
    checkpoint = clvq.read_checkpoint(folder / "L1-L3")
    store = checkpoint.store()
    space = concept_space(checkpoint)
    rows = torch.cat([shard for _, shard in store.rows("train", 1).shards()])
    codes = clvq.codebook(checkpoint).assignments("train")
    words = (store.flags("train") & 1) != 0
    mean = rows[words].mean(dim=0)
    assert torch.allclose(space.mean, mean, atol=1e-5)
    assert torch.allclose(space.covariance, torch.cov(rows[words].T, correction=0), atol=1e-4)
    assert torch.equal(space.usage, torch.bincount(torch.tensor(codes[words]).long(), minlength=12))
    for code in np.unique(codes):
        of_code = (codes == code) & words if (codes[words] == code).any() else codes == code
        deviation = rows[of_code].mean(dim=0) - mean
        assert torch.allclose(space.deviations(torch.tensor([code]))[0], deviation, atol=1e-4)
        assert torch.allclose(space.directions(torch.tensor([code]))[0], deviation / deviation.norm(), atol=1e-4)
    some = rows[:7]
    assert torch.equal(space.codes(some), torch.tensor(codes[:7]).long())
    assert torch.equal(space.basis(some)[:, :, 0], space.directions(space.codes(some)))
    code = checkpoint.load().codebook[codes[0]]
    assert torch.allclose(space.raw_basis(some)[0, :, 0], code / code.norm(), atol=1e-6)
    dead = sorted(set(range(12)) - set(codes.tolist()))
    assert not space.deviations(torch.tensor(dead, dtype=torch.long)).any()


def test_the_space_is_stored_and_made_anew_when_it_is_stale(folder: Path) -> None:
    path = folder / "L1-L3" / SPACE_NAME
    first = concept_space(clvq.read_checkpoint(folder / "L1-L3"))
    written = path.stat().st_mtime_ns
    again = concept_space(clvq.read_checkpoint(folder / "L1-L3"))
    assert path.stat().st_mtime_ns == written
    assert torch.equal(first.covariance, again.covariance)
    train(folder / "L1-L3", seed=5, overwrite=True)
    other = concept_space(clvq.read_checkpoint(folder / "L1-L3"))
    assert path.stat().st_mtime_ns != written
    assert not torch.equal(first.usage, other.usage)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="is damaged"):
        concept_space(clvq.read_checkpoint(folder / "L1-L3"))


def test_figures_of_two_checkpoints_are_stored_and_read_again(folder: Path) -> None:
    both = [folder / "L1-L3", folder / "seed1"]
    settings: dict[str, Any] = {"edit": "removal,mean", "top": 2, "draws": 2, "curve": True}
    found = clvq.faithfulness(both, **settings)
    written = read_signed(folder / "L1-L3" / "faithfulness.json", "clvq-faithfulness", 1, "")
    assert written == found.summary
    assert not (folder / "seed1" / "faithfulness.json").exists()
    assert found.summary["clean"]["sentences"] == 12
    names = ["L1-L3", "seed1"]
    assert [(line["checkpoint"], line["edit"], line["place"]) for line in found.figures if line["control"] is None] == [
        (name, edit, place) for name in names for edit in ("removal", "mean") for place in ("salient", "sentence")
    ]
    for line in found.figures:
        assert line["from_chance"] == pytest.approx(abs(line["accuracy"] - found.summary["clean"]["chance"]))
        assert line["tokens"] >= line["sentences"] == 12
    by_place = {
        (row["checkpoint"], row["edit"], row["place"], row["control"], row["figure"]): row for row in found.rows
    }
    assert len(by_place) == len(found.rows)
    for row in found.rows:
        if row["selectivity"] is not None:
            assert row["selectivity"] == pytest.approx(row["concept"] - row["control_value"], abs=1e-6)
            assert row["low"] <= row["selectivity"] <= row["high"]
    own = by_place["L1-L3", "mean", "salient", "own", "kl"]
    assert own["selectivity"] == pytest.approx(0, abs=1e-6)  # the whole way to the mean is that very edit
    assert {line["mass"] for line in found.summary["curve"]} == {round(0.1 * step, 1) for step in range(1, 11)}
    assert {line["control"] for line in found.summary["curve"]} == {"covariance", "own"}
    labels = {line["label"]: line["sentences"] for line in found.summary["by_class"]}
    assert sum(labels.values()) == 12
    difference = found.summary["differences"][0]
    ours, theirs = (
        by_place[name, difference["edit"], difference["place"], difference["control"], difference["figure"]]
        for name in names
    )
    assert difference["difference"] == pytest.approx(ours["selectivity"] - theirs["selectivity"], abs=1e-6)
    notes: list[str | None] = []
    again = clvq.faithfulness(both, **settings, batch_tokens=64, progress=lambda report: notes.append(report.note))
    assert again.summary == found.summary
    assert any(note and "faithfulness.json is up to date" in note for note in notes)
    with pytest.raises(MismatchError, match=r"top \(2 there, 3 here\).*--overwrite"):
        clvq.faithfulness(both, **{**settings, "top": 3})
    with pytest.raises(MismatchError, match="beside"):
        clvq.faithfulness(both[0], **settings)
    assert clvq.faithfulness(both[0], overwrite=True, edit="removal", at="all").summary["differences"] == []
    train(folder / "L1-L3", seed=7, overwrite=True)
    clvq.explain(folder / "L1-L3", steps=2, completeness=0.5, limit=12)
    assert clvq.faithfulness(both[0], edit="removal").summary["checkpoint"] != found.summary["checkpoint"]


def test_moving_to_a_concept_and_what_it_needs(folder: Path) -> None:
    code = clvq.codebook(folder / "L1-L3").concepts[0]["code"]
    found = clvq.faithfulness(folder / "L1-L3", edit="move", at="all", to=code, strength=2.0, draws=1)
    assert found.summary["names"]["move"] == f"move to concept {code}, strength 2"
    assert found.figures[0]["distance"] > 0
    with pytest.raises(ClvqError, match="There is no code 99"):
        clvq.faithfulness(folder / "L1-L3", edit="move", to=99, overwrite=True)


def test_what_a_concept_stands_for_chooses_the_target(folder: Path, language_model: Load) -> None:
    checkpoint = clvq.read_checkpoint(folder / "L1-L3")
    explained = clvq.explain(checkpoint, steps=2, completeness=0.5, limit=12)
    config = clvq.FaithfulnessConfig(edit="move", at="all")
    subjects = plans.subjects_of(explained, language_model("bert"), config, None)
    space, found = concept_space(checkpoint), explained.codebook
    codes = [concept["code"] for concept in found.concepts]
    told = [(0, 0.04), (1, 0.001), (0, 0.01), (1, 0.0001)] + [(1, 0.06)] * (len(codes) - 4)

    def standing_for(told: list[tuple[int, float]]) -> clvq.Codebook:
        concepts = [
            {**concept, "predictions": {"label": label, "q": q, "lift": 2.0}}
            for concept, (label, q) in zip(found.concepts, told, strict=True)
        ]
        return replace(found, concepts=concepts)

    plan = plans.plan_of(config, subjects, standing_for(told), space, 2)
    predicted = {subject.prediction for subject in subjects}
    assert plan.targets == {number: codes[{0: 3, 1: 2}[number]] for number in predicted}
    place = Place("all", on_curve=False)
    assert plan.places == {place: CONTROLS}
    assert list(plan.pools[place].classes[0]) == [codes[3], codes[1]]
    untold = standing_for([(1, 0.06)] * len(codes))
    with pytest.raises(ClvqError, match="--to CODE"):
        plans.plan_of(config, subjects, untold, space, 2)
    given = clvq.FaithfulnessConfig(edit="move", at="all", to=codes[1])
    plan = plans.plan_of(given, subjects, untold, space, 2)
    assert set(plan.targets.values()) == {codes[1]}
    assert "class" not in plan.places[place]
    with pytest.raises(ClvqError, match="has a word to edit at --at all"):
        without = [subject._replace(codes=[None] * len(subject.codes)) for subject in subjects]
        plans.plan_of(given, without, untold, space, 2)


def test_checkpoints_that_do_not_belong_together_are_refused(folder: Path) -> None:
    train(folder / "L2-L3", input_layer=2)
    with pytest.raises(MismatchError, match=r"is of another input layer than .*\(2, not 1\)"):
        clvq.faithfulness([folder / "L1-L3", folder / "L2-L3"])
    with pytest.raises(ClvqError, match="the same name"):
        clvq.faithfulness([folder / "L1-L3", folder / "L1-L3"])
    with pytest.raises(ClvqError, match="No checkpoint is given"):
        clvq.faithfulness([])
    clvq.explain(folder / "seed1", steps=2, completeness=0.5, limit=10, overwrite=True)
    with pytest.raises(MismatchError, match="other sentences"):
        clvq.faithfulness([folder / "L1-L3", folder / "seed1"], draws=1)
    assert clvq.faithfulness([folder / "L1-L3", folder / "seed1"], limit=10, draws=1, edit="mean", at="sentence")
