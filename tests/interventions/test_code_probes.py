"""Sparse probing, TPP and SCR: against plain ones, and where the answer is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression

import clvq
from clvq.concepts.assignments import read_text
from clvq.concepts.directions import concept_space
from clvq.interventions.code_probes import SPLITS, CodeProbes, Score
from clvq.interventions.probe_rows import probe_rows
from clvq.interventions.text_codes import TextStates, text_codes, text_states
from clvq.models.sae import TopKSae

pytestmark = pytest.mark.slow

CLASSES = ("a", "b", "c")


def made(split: str, label: np.ndarray, attribute: np.ndarray, noise: float) -> TextStates:
    """Texts whose states are a direction of their label plus one of their attribute plus noise."""
    rng = np.random.default_rng(len(split))
    states = 3 * np.eye(8)[label] + 3 * np.eye(8)[4 + attribute] + noise * rng.normal(size=(len(label), 8))
    values = {"label": np.array(CLASSES)[label], "colour": np.array(["red", "blue"])[attribute]}
    return TextStates(states, values, np.arange(len(label)), np.zeros(0, np.int64))


@pytest.fixture(scope="module")
def texts() -> dict[str, TextStates]:
    cells = np.array([(label, attribute) for label in range(3) for attribute in range(2)])
    return {
        split: made(split, *np.repeat(cells, size, axis=0).T, 0.8) for split, size in zip(SPLITS, (40, 20), strict=True)
    }


def planted(texts: dict[str, TextStates]) -> tuple[dict[str, csr_array], np.ndarray]:
    """A code for each class and each colour, and what each adds."""
    names = (*CLASSES, "", "red", "blue")
    codes = {
        split: csr_array(np.stack([(one.attributes["label"] == name) | (one.attributes["colour"] == name)
                                   for name in names], axis=1).astype(float))
        for split, one in texts.items()
    }  # fmt: skip
    return codes, 3 * np.eye(8)[: len(names)]


def value(score: Score) -> float:
    assert score.deviations.sum() == pytest.approx(0, abs=1e-9)
    return score.value


def test_planted_codes_are_read_and_taken_out(texts: dict[str, TextStates]) -> None:
    probes = CodeProbes(texts, seed=0)
    assert not list(probes.lacking())
    scores = probes.of_codes(*planted(texts))
    assert all(value(score) == pytest.approx(1) for score in scores["probing", "label", 1].values())
    # Without its code a text of a class is like one of no class: its own probe falls, and the others do not.
    assert all(value(score) > 0.2 for score in scores["tpp", "label", 2].values())
    removed = scores["scr", "colour", 2]
    assert removed
    assert all(value(score) > 0.8 for score in removed.values())


def without(texts: dict[str, TextStates], label: str, kept: int = 0) -> dict[str, TextStates]:
    """The same texts, of which all but a few of a class have no label."""
    found = {}
    for split, one in texts.items():
        labels = one.attributes["label"].astype("<U8")
        labels[np.flatnonzero(labels == label)[kept:]] = ""
        found[split] = replace(one, attributes={**one.attributes, "label": labels})
    return found


@pytest.mark.parametrize("rare", CLASSES)
def test_a_rare_class_is_not_crossed_whatever_its_name(texts: dict[str, TextStates], rare: str) -> None:
    probes = CodeProbes(without(texts, rare, kept=2), seed=0)
    assert len(probes.crossings) == 1
    (said,) = probes.lacking()
    assert said.startswith("No TPP: no attribute has three values or more that enough texts have")


def test_why_a_measure_is_lacking_is_said_as_it_is(texts: dict[str, TextStates]) -> None:
    def said(changed: dict[str, TextStates]) -> list[str]:
        return [sentence for sentence in CodeProbes(changed, seed=0).lacking() if "No SCR" in sentence]

    alone = {split: replace(one, attributes={"label": one.attributes["label"]}) for split, one in texts.items()}
    assert said(alone) == ["No SCR: no attribute except the label is known for the texts."]
    one_class = without(without(texts, "b"), "c")
    assert said(one_class) == ["No SCR: the texts have one class alone."]
    assert said(without(one_class, "a")) == ["No SCR: the texts have no labels."]
    few = without(without(without(texts, "a", 3), "b", 3), "c", 3)
    assert said(few) == ["No SCR: too few texts have each of two classes with each of two values of colour."]


def test_an_attribute_cannot_be_called_as_the_labels_are(tiny_store: clvq.ActivationStore) -> None:
    known = {next(iter(tiny_store.sentences("train"))).text: {"label": "Positive"}}
    with pytest.raises(clvq.ClvqError, match="An aspect of the pairs is called 'label'"):
        text_states(tiny_store, "train", 1, read_text(tiny_store, "train"), known)


def test_probes_that_are_always_right_have_no_interval() -> None:
    """Also where tasks have different numbers of texts, which resamples do not have in equal shares."""
    sure = {str(size): Score(1.0, np.zeros(size), np.arange(size)) for size in (20, 60, 200)}
    figure = probe_rows("sure", [{("probing", "label", 1): sure}], 0)[0].figure
    assert figure is not None and (figure.value, figure.low, figure.high) == (1, 1, 1)


def test_the_interval_of_a_mean_over_tasks_is_that_of_resampled_tasks() -> None:
    rng = np.random.default_rng(0)
    right = [(rng.random(size) < share).astype(float) for size, share in ((40, 0.9), (160, 0.6))]
    scores = {str(one.size): Score(one.mean(), (one - one.mean()) / len(one), np.arange(len(one))) for one in right}
    figure = probe_rows("some", [{("tpp", "label", 1): scores}], 0)[0].figure
    draws = []
    for _ in range(4000):
        weights = rng.multinomial(160, np.full(160, 1 / 160))
        draws.append(np.mean([weights[: len(one)] @ one / max(weights[: len(one)].sum(), 1) for one in right]))
    low, high = np.percentile(draws, [2.5, 97.5])
    assert figure is not None and figure.value == pytest.approx(np.mean([one.mean() for one in right]))
    assert (figure.low, figure.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))


def test_a_correlation_that_is_removed_wholly_is_so_in_every_resample(texts: dict[str, TextStates]) -> None:
    """The lost accuracy has an error of its own: where all of it comes back, the share is 1 without an error."""
    probes = CodeProbes(texts, seed=0)
    for score in probes.of_codes(*planted(texts))["scr", "colour", 2].values():
        spread = np.sqrt((score.deviations**2).sum())
        assert spread <= 2 * np.sqrt(abs(1 - score.value) / len(score.texts)) + 0.05


def test_random_codes_do_nothing(texts: dict[str, TextStates]) -> None:
    rng = np.random.default_rng(1)
    codes = {split: csr_array(rng.random((len(one.states), 40)) * (rng.random((len(one.states), 40)) < 0.1))
             for split, one in texts.items()}  # fmt: skip
    rows = probe_rows("random", [CodeProbes(texts, seed=0).of_codes(codes, rng.normal(size=(40, 8)))], 0)
    for row in rows:
        if row.part == "all":
            assert row.figure is not None
            assert row.figure.value == pytest.approx(0.5 if row.measure == "probing" else 0, abs=0.1)
            assert row.figure.low <= row.figure.value <= row.figure.high


def test_scores_are_those_of_plain_loops(texts: dict[str, TextStates]) -> None:
    """The probes are given; which codes are taken out of which texts, and what that does, is done again."""
    rng = np.random.default_rng(2)
    codes = {split: csr_array(rng.random((len(one.states), 15)) * (rng.random((len(one.states), 15)) < 0.4)
                              + np.pad(planted(texts)[0][split].toarray(), ((0, 0), (0, 9))) * 0.3)
             for split, one in texts.items()}  # fmt: skip
    atoms = rng.normal(size=(15, 8)) * 2
    probes = CodeProbes(texts, seed=3)
    scores = probes.of_codes(codes, atoms)
    f = {split: one.toarray() for split, one in codes.items()}

    def mean_gap(chosen: np.ndarray, side: np.ndarray) -> np.ndarray:
        return f["train"][chosen][side].mean(axis=0) - f["train"][chosen][~side].mean(axis=0)

    labels = [task for task in probes.tasks if task.attribute == "label"]
    assert [task.value for task in labels] == list(CLASSES)
    for task in labels:
        for split in SPLITS:
            sides = task.sides[split]
            assert sides.sum() == (~sides).sum() == 2 * (40 if split == "train" else 20)
            assert (texts[split].attributes["label"][task.chosen[split]] == task.value).tolist() == sides.tolist()
        gap = mean_gap(task.chosen["train"], task.sides["train"])
        best = sorted(range(15), key=lambda i: -abs(gap[i]))[:2]
        sparse = LogisticRegression(max_iter=1000).fit(f["train"][task.chosen["train"]][:, best], task.sides["train"])
        accuracy = sparse.score(f["eval"][task.chosen["eval"]][:, best], task.sides["eval"])
        assert value(scores["probing", "label", 2][task.value]) == pytest.approx(accuracy)
        effects = [max(gap[i], 0) * (atoms[i] @ task.probe.weights) for i in range(15)]
        out = [i for i in sorted(range(15), key=lambda i: -effects[i])[:5] if effects[i] != 0]
        falls = []
        for other in labels:
            right = []
            for taken in ([], out):
                answers = []
                for text, side in zip(other.chosen["eval"], other.sides["eval"], strict=True):
                    state = texts["eval"].states[text] - sum(f["eval"][text, i] * atoms[i] for i in taken)
                    answers.append((state @ other.probe.weights + other.probe.bias > 0) == side)
                right.append(np.mean(answers))
            falls.append((other is task, right[0] - right[1]))
        own, rest = ([fall for is_own, fall in falls if is_own == kind] for kind in (True, False))
        assert value(scores["tpp", "label", 5][task.value]) == pytest.approx(own[0] - np.mean(rest))
    (crossing,) = probes.crossings
    assert crossing.value == "blue / red"
    state = texts["eval"].states[crossing.chosen["eval"]]
    before = [crossing.biased.right(state, side).mean() for side in crossing.sides["eval"]]
    read, taken = (0, 1) if before[0] <= before[1] else (1, 0)
    gap = mean_gap(crossing.chosen["train"], crossing.sides["train"][taken])
    effects = np.abs(gap * (atoms @ crossing.clean[taken].weights))
    out = np.argsort(-effects)[:5]
    after = state - f["eval"][crossing.chosen["eval"]][:, out] @ atoms[out]
    clean = crossing.clean[read].right(state, crossing.sides["eval"][read]).mean()
    changed = crossing.biased.right(after, crossing.sides["eval"][read]).mean()
    expected = (changed - before[read]) / (clean - before[read])
    assert value(scores["scr", "colour", 5][crossing.value]) == pytest.approx(expected)


def test_texts_are_means_over_their_words(tiny_store: clvq.ActivationStore, tmp_path: Path) -> None:
    (tmp_path / "activations").symlink_to(tiny_store.path)
    codes = clvq.train(
        tmp_path / "activations", path=tmp_path / "codes", method="kmeans", codebook_size=12, decoder_layers=1,
        input_layer=2, output_layer=4, epochs=1,
    )  # fmt: skip
    text = read_text(tiny_store, "eval")
    written = [sentence.text for sentence in tiny_store.sentences("eval")]
    known = {written[0]: {"colour": "red"}}
    texts = text_states(tiny_store, "eval", 2, text, known)
    space = concept_space(codes)
    active = text_codes(tiny_store, "eval", 2, space, texts).toarray()
    assigned = clvq.codebook(codes).assignments("eval")
    (first, rows), *_ = tiny_store.rows("eval", 2).shards()
    assert first == 0
    ends = np.cumsum(tiny_store.row_counts("eval"))
    for number, sentence in enumerate(tiny_store.sentences("eval")):
        start = ends[number] - len(sentence.flags)
        words = [start + at for at, flag in enumerate(sentence.flags) if flag & 1]
        mean = rows[words].double().mean(dim=0).numpy() * tiny_store.layer(2).scale
        assert texts.states[number] == pytest.approx(mean, rel=1e-5)
        assert active[number] == pytest.approx(np.bincount(assigned[words], minlength=12) / len(words))
    assert texts.attributes["colour"].tolist() == ["red" if one == written[0] else "" for one in written]


@pytest.mark.parametrize("method", ["sae", "crosslayer-sae"])
def test_latents_are_as_active_as_the_encoder_says(
    tiny_store: clvq.ActivationStore, tmp_path: Path, method: str
) -> None:
    """What is taken out with all latents of a word is its reconstruction without the bias; across layers, an atom is
    the step that raises its own latent by 1."""
    (tmp_path / "activations").symlink_to(tiny_store.path)
    checkpoint = clvq.train(
        tmp_path / "activations", path=tmp_path / "sae", method=method, codebook_size=8, input_layer=2, output_layer=4,
        epochs=1, batch_sentences=16,
    )  # fmt: skip
    model, space = checkpoint.load(), concept_space(checkpoint)
    assert isinstance(model, TopKSae)
    (_, shard), *_ = tiny_store.rows("eval", 2).shards()
    rows = shard[:40].float()
    values, latents = space.activations(rows)
    assert values.shape == latents.shape == (40, model.k)
    scaled = rows * model.input_scale
    with torch.no_grad():
        expected = model.preactivations(scaled).relu()
        assert torch.allclose(values, expected.gather(1, latents), atol=1e-4)
        if method == "sae":
            taken = torch.einsum("nk,nkd->nd", values, space.atoms[latents])
            assert torch.allclose(taken, model.reconstruct(rows) - model.bias / model.input_scale, atol=1e-3)
        else:
            raised = model.preactivations((rows[:1] + space.atoms) * model.input_scale) - model.preactivations(
                scaled[:1]
            )
            assert torch.allclose(raised.diagonal(), torch.ones(len(raised)), atol=1e-3)
