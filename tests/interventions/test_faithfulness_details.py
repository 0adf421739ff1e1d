"""Faithfulness, details that only figures by hand show: draws, strengths, ranks, rows as stored, missing labels."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import clvq
from clvq.activations.store import ActivationStore
from clvq.concepts import directions as spaces
from clvq.concepts.directions import ConceptSpace
from clvq.interventions.controls import Owner, Pools, random_basis
from clvq.interventions.effects import Change, Effects, Record
from clvq.interventions.in_model import Interventions, Plan
from clvq.interventions.intervals import paired_intervals
from clvq.interventions.places import Place, Subject
from clvq.interventions.selectivity import paired, table
from clvq.language_model.model import LanguageModel
from clvq.language_model.upper_layers import UpperLayers

pytestmark = pytest.mark.slow

Load = Callable[[str], LanguageModel]

TEXTS = ["My uncle's script felt unbelievably slow, but charming", "boring", "The film wasn't good!"]
LAYER, WIDTH = 1, 32
EVERY_WORD = Place("all")


class Drawn(ConceptSpace):
    """Random directions: of words whose first coordinate is above 0 two, of the others one."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.mean, self._deviations = (
            torch.randn(WIDTH, generator=generator),
            torch.randn(3, WIDTH, generator=generator),
        )
        mixing = torch.randn(WIDTH, WIDTH, generator=generator)
        self.covariance = mixing @ mixing.T
        self.usage = torch.ones(3, dtype=torch.int64)
        self.class_directions = torch.zeros(2, WIDTH)
        self.seen: list[Tensor] = []

    def codes(self, rows: Tensor) -> Tensor:
        return torch.zeros(len(rows), dtype=torch.int64)

    def basis(self, rows: Tensor, rank: int = 1) -> Tensor:
        self.seen.append(rows)
        both = torch.linalg.qr(self._deviations[:2].T).Q.expand(len(rows), -1, -1).clone()
        both[rows[:, 0] <= 0, :, 1] = 0
        return both

    raw_basis = basis

    def deviations(self, codes: Tensor) -> Tensor:
        return self._deviations[codes]

    def raw_directions(self, codes: Tensor) -> Tensor:
        return self.directions(codes)


def subjects_of(model: LanguageModel) -> list[Subject]:
    sentences = model.tokenize(TEXTS)
    return [
        Subject(number, sentence, [1.0] * len(sentence.words), [0] * len(sentence.words), None, 0, 0)
        for number, sentence in enumerate(sentences)
    ]


def effects_of(model: LanguageModel, subjects: list[Subject], controls: tuple[str, ...], **given: Any) -> Any:
    space = given.pop("space", None) or Drawn()
    rows = {name: given.pop(name, default) for name, default in (("pooling", "last"), ("dtype", "float32"))}
    values = {"edits": ("removal",), "targets": {0: 2}, "strength": 1.0, "draws": 1, "seed": 0, **given}
    pools = {EVERY_WORD: Pools(np.array([0]), {}, {})}
    plan = Plan(places={EVERY_WORD: controls}, pools=pools, **values)
    record = Record(plan.changes(), len(subjects))
    Interventions(UpperLayers(model, LAYER), space, batch_tokens=4096, **rows).effects(subjects, plan, record)
    return {change.control: effects for change, effects in record.effects().items()}


def kl_of(model: LanguageModel, subject: Subject, step: Callable[[Tensor, Tensor], Tensor]) -> tuple[float, float]:
    """KL and summed distance where each token of a word is moved by `step(state, row of its word)`."""
    upper = UpperLayers(model, LAYER)
    inputs = upper.inputs([subject.sentence])
    states = upper.states(inputs)
    edited, far = states.clone(), 0.0
    for tokens in subject.sentence.word_tokens:
        for token in tokens:
            moved = step(states[0, token], states[0, tokens[-1]])
            edited[0, token] += moved
            far += float(moved.norm())
    clean, changed = (upper.scores(each, inputs)[0].log_softmax(0) for each in (states, edited))
    return float((clean.exp() * (clean - changed)).sum()), far


@pytest.mark.parametrize("edit", ["removal", "projection"])
@pytest.mark.parametrize("control", ["random", "covariance"])
def test_a_control_is_the_mean_over_its_draws_with_as_many_directions_as_the_word_has(
    edit: str, control: str, language_model: Load
) -> None:
    """A removal and its controls are taken about the mean, a projection and its controls about 0."""
    model = language_model("bert")
    subjects, space = subjects_of(model), Drawn()
    origin = space.mean if edit == "removal" else torch.zeros(WIDTH)
    found = effects_of(model, subjects, (control,), edits=(edit,), draws=3, seed=5)[control]
    ranks = set()
    for number, subject in enumerate(subjects):
        expected = []
        for draw in range(3):
            drawn = random_basis(control, space, [Owner(number, 0, 0)], 2, (5, draw))[0]

            def step(state: Tensor, row: Tensor, drawn: Tensor = drawn) -> Tensor:
                own = space.basis(row[None])[0]
                used = own[:, own.any(dim=0)]
                ranks.add(used.shape[1])
                columns = drawn[:, : used.shape[1]]
                away = columns @ (columns.T @ (state - origin))
                return -(used.T @ (state - origin)).norm() * away / away.norm()

            expected.append(kl_of(model, subject, step))
        kl, far = np.mean(expected, axis=0)
        assert found.kl[number] == pytest.approx(kl, rel=1e-3, abs=1e-5)
        assert found.distance[number] == pytest.approx(far, rel=1e-4)
    assert ranks == {1, 2}


def test_a_move_goes_as_far_as_its_strength_says(language_model: Load) -> None:
    model = language_model("bert")
    subjects, space = subjects_of(model), Drawn()
    for strength in (0.0, 0.5, 2.0):
        found = effects_of(model, subjects, (), edits=("move",), strength=strength)[None]
        for number, subject in enumerate(subjects):

            def step(state: Tensor, row: Tensor, strength: float = strength) -> Tensor:
                own = space.basis(row[None])[0]
                return strength * space.deviations(torch.tensor(2)) - own @ (own.T @ (state - space.mean))

            kl, far = kl_of(model, subject, step)
            assert found.kl[number] == pytest.approx(kl, rel=1e-3, abs=1e-5)
            assert found.distance[number] == pytest.approx(far, rel=1e-4)


@pytest.mark.parametrize("pooling", ["first", "last", "mean"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_words_concept_is_that_of_its_row_as_stored(pooling: Any, dtype: str, language_model: Load) -> None:
    model = language_model("bert")
    subjects, space = subjects_of(model)[:1], Drawn()
    assert any(len(tokens) > 1 for tokens in subjects[0].sentence.word_tokens)
    effects_of(model, subjects, (), space=space, pooling=pooling, dtype=dtype)
    stored = model.run([subjects[0].sentence], [LAYER], pooling).hidden[LAYER]
    (rows,) = space.seen
    assert torch.allclose(rows, stored.to(getattr(torch, dtype)).float(), atol=1e-5 if dtype == "float32" else 0)


def test_a_sentence_without_a_label_is_neither_right_nor_wrong(language_model: Load) -> None:
    model = language_model("bert")
    subjects = subjects_of(model)
    subjects[0] = subjects[0]._replace(label=None)
    found: dict[Any, Effects] = effects_of(model, subjects, ("own",))
    assert [bool(np.isnan(value)) for value in found[None].correct] == [True, False, False]
    changes = {Change("removal", EVERY_WORD, control): effects for control, effects in found.items()}
    figures, _ = table([changes], np.arange(3), np.ones(3, bool), 0.5, 0)
    assert figures[0].accuracy == pytest.approx(np.mean(found[None].correct[1:]))


def made_effects(flips: list[float], tokens: list[float]) -> dict[Change, Effects]:
    zeros = Effects.zeros(len(flips))
    concept = zeros._replace(flips=np.array(flips), distance=2 * np.array(tokens), tokens=np.array(tokens))
    return {
        Change("removal", EVERY_WORD, None): concept,
        Change("removal", EVERY_WORD, "own"): concept._replace(flips=np.zeros(len(flips))),
    }


def test_intervals_of_rows_and_differences_draw_texts_with_all_their_sentences() -> None:
    first, second = made_effects([1.0, 1, 1, 0, 0, 0, 1, 0], [1.0] * 8), made_effects([0.0] * 8, [1.0] * 6 + [0.0] * 2)
    texts = np.array([0, 0, 0, 1, 1, 1, 2, 3])
    flips = first[Change("removal", EVERY_WORD, None)].flips[:, None]
    (row, *_) = table([first], texts, np.ones(8, bool), None, 3)[1]
    assert (row.selectivity, row.low, row.high) == pytest.approx(
        [float(value[0]) for value in paired_intervals(flips, texts, 3)]
    )
    (line, *_) = paired([first], [second], texts, 3)
    assert line.sentences == 6  # that both edit
    assert (line.difference, line.low, line.high) == pytest.approx(
        [float(value[0]) for value in paired_intervals(flips[:6], texts[:6], 3)]
    )


def test_the_space_is_the_same_however_its_rows_are_read(
    tiny_store: ActivationStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_store.path, tmp_path / "activations")  # beside the checkpoint, as in a run folder
    checkpoint = clvq.train(
        tiny_store, path=tmp_path / "L1-L2", input_layer=1, output_layer=2, epochs=1, codebook_size=12, top_k=3,
        decoder_layers=1,
    )  # fmt: skip
    monkeypatch.setattr(spaces, "ROWS_AT_ONCE", 5)
    space = spaces.concept_space(checkpoint)
    rows = torch.cat([shard for _, shard in tiny_store.rows("train", 1).shards()])
    words = rows[torch.from_numpy((tiny_store.flags("train") & 1) != 0)].double()
    assert torch.allclose(space.mean.double(), words.mean(dim=0), atol=1e-5)
    assert torch.allclose(space.covariance.double(), torch.cov(words.T, correction=0), atol=1e-4)
