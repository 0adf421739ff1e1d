"""Ground truth: scores against naive ones, estimates against a plain loop, and a case where the answer is known."""

from __future__ import annotations

import itertools
import json
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from transformers import AutoModelForSequenceClassification

import clvq
from clvq.concepts.directions import concept_space
from clvq.device import Runtime
from clvq.interventions.counterfactuals import Pair, read_counterfactuals
from clvq.interventions.pair_effects import LEAST_SPANS, OFTEN
from clvq.interventions.pair_scores import distances, order, pair_rows
from clvq.language_model.rows import row_layout
from clvq.training.source import language_model_of

pytestmark = pytest.mark.slow

JUDGEMENTS = {"Positive": ("good", "wonderful"), "Negative": ("slow", "boring")}
FEW = 10
"""Fewer codes than word types."""
SUBJECTS = {"film": ("film", "movie"), "acting": ("acting", "story")}


def sentence(subject: str, judgement: str) -> str:
    return f"The {subject} is {judgement} !"


def write_cebab(path: Path) -> Path:
    """Originals that judge one of two aspects, each with an edit that turns it."""
    rows = []
    numbers = itertools.count()
    for aspect, subjects in SUBJECTS.items():
        for subject, (value, words), at in itertools.product(subjects, JUDGEMENTS.items(), range(2)):
            other = "Negative" if value == "Positive" else "Positive"
            original = f"{next(numbers):06}"
            unknown = {f"{name}_aspect_majority": "unknown" for name in SUBJECTS}
            column = f"{aspect}_aspect_majority"
            rows += [
                {"id": original, "original_id": original, "is_original": True, "edit_type": None,
                 "description": sentence(subject, words[at]), "review_majority": "4", **unknown, column: value},
                {"id": f"{original}_1", "original_id": original, "is_original": False, "edit_type": aspect,
                 "description": sentence(subject, JUDGEMENTS[other][at]), "review_majority": "2", **unknown,
                 column: other},
            ]  # fmt: skip
    # An edit whose aspect has no majority, and one without its original, make no pair.
    rows += [
        {**rows[1], "id": "x", "film_aspect_majority": "no majority"},
        {**rows[1], "id": "y", "original_id": "none such"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def flat_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT without positions: at layer 0 the state of a token is that of its type."""
    folder = tiny_models.tiny_bert(tmp_path_factory.mktemp("flat") / "bert")
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    torch.nn.init.zeros_(model.bert.embeddings.position_embeddings.weight)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, flat_model: Path) -> Path:
    run = tmp_path_factory.mktemp("bench") / "run"
    run.mkdir()
    subjects = [subject for both in SUBJECTS.values() for subject in both]
    judgements = [judgement for both in JUDGEMENTS.values() for judgement in both]
    texts = [sentence(*words) for words in itertools.product(subjects, judgements)] * 4
    lines = [json.dumps({"text": text, "label": number % 2}) for number, text in enumerate(texts)]
    (run / "corpus.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (run / "eval.jsonl").write_text("\n".join(lines[:16]).replace("The", "!") + "\n", encoding="utf-8")
    write_cebab(run / "pairs.jsonl")
    clvq.extract(
        run / "activations", model=str(flat_model), dataset=str(run / "corpus.jsonl"),
        eval_dataset=str(run / "eval.jsonl"), layers=(0, 3),
    )  # fmt: skip
    small: dict[str, Any] = {"input_layer": 0, "output_layer": 3, "epochs": 1, "decoder_layers": 1}
    for name, method, size in (("types", "kmeans", 12), ("few", "kmeans", FEW), ("random", "random", 12)):
        clvq.train(run / "activations", path=run / name, method=method, codebook_size=size, **small)
    return run


def measured(run: Path, *names: str, **settings: Any) -> clvq.Bench:
    return clvq.bench([run / name for name in names], pairs=str(run / "pairs.jsonl"), **settings)


def test_distances_and_order_are_those_of_plain_loops() -> None:
    rng = np.random.default_rng(0)
    true, estimated = rng.normal(size=(30, 3)), rng.normal(size=(30, 3))
    estimated[0] = 0
    true[1] = estimated[1] = 0
    for row, t, e in zip(distances(true, estimated), true, estimated, strict=True):
        sizes = np.linalg.norm(t), np.linalg.norm(e)
        cosine = 1 - (t @ e) / (sizes[0] * sizes[1]) if min(sizes) > 0 else float(max(sizes) > 0)
        assert row == pytest.approx([np.linalg.norm(t - e), abs(sizes[0] - sizes[1]), cosine])
    changes = np.arange(30) % 7
    agreement = []
    for column in range(3):
        t, s = ([effects[changes == change, column].mean() for change in range(7)] for effects in (true, estimated))
        pairs = list(itertools.combinations(range(7), 2))
        agree = sum(abs(t[a] - t[b]) * (1 if (t[a] - t[b]) * (s[a] - s[b]) > 0 else -1) for a, b in pairs)
        agreement.append(agree / sum(abs(t[a] - t[b]) for a, b in pairs))
    assert order(true, estimated, changes) == pytest.approx(np.mean(agreement))
    assert order(true, true, changes) == pytest.approx(1)
    assert order(true, -true, changes) == pytest.approx(-1)
    assert order(true, np.zeros_like(true), changes) == 0
    twice = np.where(changes == 3, 2.0, 1.0)
    again = np.concatenate([np.arange(30), np.flatnonzero(changes == 3)])
    assert order(true, estimated, changes, twice) == pytest.approx(order(true[again], estimated[again], changes[again]))


def test_the_order_over_seeds_is_of_their_mean() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=(60, 2))
    pairs = [Pair(str(n), "kind", "topic", "a", f"b{n % 6}", "text", "other") for n in range(60)]
    one, other = true + rng.normal(size=(2, 60, 2)) * np.array([0.3, 3.0])[:, None, None]

    def figure(*seeds: np.ndarray) -> Any:
        rows = pair_rows("some", true, np.stack(seeds), pairs, np.arange(60), 0)
        return next(row.figure for row in rows if row.measure == "order")

    assert figure(one, one) == figure(one)  # seeds that agree add no error
    both = figure(one, other)
    assert both.value == pytest.approx((figure(one).value + figure(other).value) / 2)
    assert both.low < figure(other).value and both.high == 1


def test_effects_that_are_rounding_have_no_direction_and_distances_no_negative_ends() -> None:
    effects = np.array([[1e-7, -1e-7], [0.3, -0.3]])
    assert distances(effects, -effects)[:, 2] == pytest.approx([0, 2])
    assert distances(effects, effects[::-1])[:, 2] == pytest.approx([1, 1])
    pairs = [Pair(str(n), "kind", "topic", "a", "b", "text", "other") for n in range(30)]
    true = np.tile([0.2, -0.2], (30, 1))
    rows = pair_rows("some", true, np.stack([true, true - [0.3, -0.3]]), pairs, np.arange(30), 0)
    assert all(row.figure.low >= 0 for row in rows if row.measure == "error")


def test_pairs_are_those_of_the_columns(run: Path) -> None:
    known = read_counterfactuals(run / "pairs.jsonl")
    assert len(known.pairs) == 16
    first = known.pairs[0]
    assert (first.kind, first.before, first.after) == ("film", "Positive", "Negative")
    assert (first.text, first.counterfactual) == ("The film is good !", "The film is slow !")
    assert known.known["The film is good !"] == {"film": "Positive", "acting": "unknown"}


def test_codes_of_one_word_estimate_the_true_effect(run: Path) -> None:
    """With a code a word type and states that depend on the type alone, putting in the code of the word that replaces
    another one is the counterfactual; where one word stands for each value, that is the code that is put in."""
    rows = [json.loads(line) for line in (run / "pairs.jsonl").read_text().splitlines()]
    kept = [row for row in rows if not {"wonderful", "boring"} & set(row["description"].split())]
    (run / "exact.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    results = clvq.bench(run / "types", pairs=str(run / "exact.jsonl"), overwrite=True).results
    error, nothing = results.row("types", "error"), results.row("no change", "error")
    assert error is not None and error.figure is not None and nothing is not None and nothing.figure is not None
    assert nothing.figure.value > 1e-3
    assert error.figure.value < 0.01 * nothing.figure.value
    assert results.edited == {"types": 1.0}
    agreed = results.row("types", "order")
    assert agreed is not None and agreed.figure is not None and agreed.figure.value == pytest.approx(1, abs=1e-6)


def test_the_oracle_is_exactly_right(run: Path) -> None:
    results = measured(run, "types", "random", overwrite=True).results
    for measure in ("error", "norm", "cosine"):
        row = results.row("oracle", measure)
        assert row is not None and row.figure is not None
        assert (row.figure.value, row.figure.low, row.figure.high) == (0, 0, 0) or measure == "cosine"
        assert row.figure.high < 1e-12
    agreed = results.row("oracle", "order")
    assert agreed is not None and agreed.figure is not None and agreed.figure.value == pytest.approx(1)
    assert results.methods == ["oracle", "types", "random", "mean change", "no change"]


@pytest.mark.parametrize(("name", "size"), [("few", FEW), ("types", 12)])
def test_estimates_are_those_of_a_plain_loop(run: Path, name: str, size: int) -> None:
    results = measured(run, name, overwrite=True).results
    checkpoint = clvq.read_checkpoint(run / name)
    space = concept_space(checkpoint)
    model = language_model_of(checkpoint, checkpoint.store(), Runtime("cpu"))
    pairs = read_counterfactuals(run / "pairs.jsonl").pairs

    def read(text: str) -> tuple[list[str], Any, torch.Tensor, list[int]]:
        (tokens,) = model.tokenize([text])
        ids = torch.tensor([tokens.input_ids])
        with torch.no_grad():
            states = model.model(input_ids=ids, output_hidden_states=True).hidden_states[0]
        layout = row_layout(tokens, "last")
        at = [layout.positions[layout.words.index(word)][0] for word in range(len(tokens.words))]
        return [text[a:b] for a, b in tokens.words], tokens, states, space.codes(states[0, at]).tolist()

    def answer(tokens: Any, states: torch.Tensor) -> np.ndarray:
        with torch.no_grad():
            state = states
            for block in model.model.bert.encoder.layer:
                state = block(state)
                state = state[0] if isinstance(state, tuple) else state
            logits = model.model.classifier(model.model.bert.pooler(state))
        return logits[0].softmax(0).double().numpy()

    both = [(read(pair.text), read(pair.counterfactual)) for pair in pairs]
    replaced = []
    for old, new in both:
        codes = SequenceMatcher(None, old[0], new[0], autojunk=False).get_opcodes()
        changed = [code for code in codes if code[0] != "equal"]
        replaced.append(([w for _, a, b, _, _ in changed for w in range(a, b)],
                         [w for _, _, _, a, b in changed for w in range(a, b)]))  # fmt: skip
    errors, edits = [], 0
    for number, pair in enumerate(pairs):
        held: dict[str, list[set[int]]] = {}
        for other, (pair_there, places) in enumerate(zip(pairs, replaced, strict=True)):
            if pair_there.concept == pair.concept and other % 2 != number % 2:
                for value, side, words in zip((pair_there.before, pair_there.after), both[other], places, strict=True):
                    held.setdefault(value, []).append({side[3][word] for word in words})

        def share(value: str, code: int, held: dict[str, list[set[int]]] = held) -> float:
            return float(np.mean([code in codes for codes in held[value]]))

        standing = [
            code for code in range(size)
            if sum(code in codes for codes in held[pair.after]) >= LEAST_SPANS
            and share(pair.after, code) >= OFTEN * share(pair.before, code)
        ]  # fmt: skip
        _, tokens, states, codes = both[number][0]
        edited = states.clone()
        for word in replaced[number][0] if standing else []:
            if share(pair.before, codes[word]) < OFTEN * share(pair.after, codes[word]):
                continue
            edits += 1
            row = states[0, tokens.word_tokens[word][-1]] - space.mean
            target = max(standing, key=lambda code: float(row @ space.directions(torch.tensor([code]))[0]))
            own = space.directions(torch.tensor([codes[word]]))[0]
            for token in tokens.word_tokens[word]:
                gap = states[0, token] - space.mean
                edited[0, token] = space.mean + gap - (gap @ own) * own + space.deviations(torch.tensor([target]))[0]
        clean, after = answer(tokens, states), answer(both[number][1][1], both[number][1][2])
        errors.append(np.linalg.norm((after - clean) - (answer(tokens, edited) - clean)))
    row = results.row(name, "error")
    assert row is not None and row.figure is not None
    assert row.figure.value == pytest.approx(np.mean(errors), abs=1e-5)
    assert edits > 0 or name == "few"
    for kind in SUBJECTS:
        part = results.row(name, "error", kind)
        expected = [error for error, pair in zip(errors, pairs, strict=True) if pair.kind == kind]
        assert part is not None and part.figure is not None
        assert (part.figure.value, part.count) == (pytest.approx(np.mean(expected), abs=1e-5), len(expected))
