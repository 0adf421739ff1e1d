"""Specificity: a model with a direction a class, where the answer is known; a plain loop; what has none."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import clvq
from clvq.concepts.directions import concept_space
from clvq.config import FaithfulnessConfig
from clvq.device import Runtime
from clvq.interventions.in_model import interventions_of
from clvq.interventions.plan import subjects_of
from clvq.interventions.records import SPECIFICITY, SpecificityRow
from clvq.interventions.specificity import classes_of, specific
from clvq.language_model.upper_layers import UpperLayers
from clvq.training.source import language_model_of

pytestmark = pytest.mark.slow

CLASSES = 3


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[list[str]], str]:
    """A BERT of one layer that adds up its words, each of which speaks for one class; the words of each class, and a
    word that speaks for none."""
    folder = tiny_models.tiny_bert(tmp_path_factory.mktemp("planted") / "bert", layers=1, labels=CLASSES)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    plain = sorted(word for word in tokenizer.get_vocab() if word.isalpha() and len(word) > 2)[: 2 * CLASSES + 1]
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(float("LayerNorm.weight" in name))
        words = model.bert.embeddings.word_embeddings.weight
        for number, word in enumerate(plain):
            words[tokenizer.convert_tokens_to_ids(word), number // 2 if number < 2 * CLASSES else 9] = 1.0
            words[tokenizer.convert_tokens_to_ids(word), 16 + number] = 0.3
        words[tokenizer.cls_token_id, 10] = words[tokenizer.sep_token_id, 11] = 1.0
        (block,) = model.bert.encoder.layer
        block.attention.self.value.weight.copy_(torch.eye(32))
        block.attention.output.dense.weight.copy_(torch.eye(32))
        model.bert.pooler.dense.weight.copy_(0.1 * torch.eye(32))
        model.classifier.weight.copy_(50 * torch.eye(CLASSES, 32))
    model.save_pretrained(folder)
    return folder, [plain[2 * number : 2 * number + 2] for number in range(CLASSES)], plain[-1]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, planted: tuple[Path, list[list[str]], str]) -> Path:
    """Sentences with both words of their class and one word of another one."""
    folder, words, filler = planted
    run = tmp_path_factory.mktemp("specificity") / "run"
    run.mkdir()
    rows = []
    for label, other, which, order in itertools.product(range(CLASSES), range(CLASSES), range(2), range(4)):
        if label != other:
            text = [*words[label], words[other][which]]
            text.insert(order, filler)
            rows.append({"text": " ".join(text), "label": label})
    for name, chosen in (("train", rows[::2] + rows[1::4]), ("eval", rows[3::4])):
        lines = "".join(json.dumps(row) + "\n" for row in chosen)
        (run / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    clvq.extract(
        run / "activations", model=str(folder), dataset=str(run / "train.jsonl"),
        eval_dataset=str(run / "eval.jsonl"), layers=(0, 1),
    )  # fmt: skip
    small: dict[str, Any] = {"input_layer": 0, "output_layer": 1, "epochs": 1, "decoder_layers": 1, "method": "kmeans"}
    for seed in range(2):
        clvq.train(run / "activations", path=run / f"types-{seed}", codebook_size=8, seed=seed, **small)
    return run


def lines_of(run: Path, *names: str) -> list[SpecificityRow]:
    results = clvq.faithfulness([run / name for name in names], at="all", draws=1).results
    assert not isinstance(results, tuple)
    return results.specificity  # type: ignore[union-attr]


def test_a_direction_a_class_has_cause_and_isolation_1(run: Path) -> None:
    everything, *by_class = lines_of(run, "types-0")
    assert (everything.label, everything.sentences) == (None, 12)
    assert (everything.words, everything.other_words) == (2, 1)
    assert [row.sentences for row in by_class] == [4, 4, 4]
    for row in (everything, *by_class):
        for figure in (row.cause, row.isolation, row.both):
            assert (figure.value, figure.low, figure.high) == (1, 1, 1)
        assert row.targeted.low > 1
        # Without the words of other classes the predicted one stands out more.
        assert row.spillover.high < 0


def test_codes_that_stand_for_other_classes_have_neither(run: Path) -> None:
    """With each code taken for the next class, the words of A are those of another one, and the other way round."""
    figures = measured(run, shift=1).figures
    told = ~np.isnan(figures).any(axis=1)
    assert 0 < told.sum() < 12
    cause, isolation, both, targeted, spillover = figures[told].T
    assert cause.tolist() == isolation.tolist() == both.tolist() == [0] * told.sum()
    assert (targeted < 0).all()
    assert (spillover > 1).all()


def measured(run: Path, shift: int = 0) -> Any:
    checkpoint = clvq.read_checkpoint(run / "types-0")
    store = checkpoint.store()
    explained = clvq.explain(checkpoint)
    model = language_model_of(checkpoint, store, Runtime("cpu"))
    config = FaithfulnessConfig()
    interventions = interventions_of(store, UpperLayers(model, 0), concept_space(checkpoint), config)
    classes = {code: (label + shift) % CLASSES for code, label in classes_of(explained.codebook).items()}
    return specific(interventions, subjects_of(explained, model, config, None), classes)


def test_figures_are_those_of_a_plain_loop(run: Path, planted: tuple[Path, list[list[str]], str]) -> None:
    folder, words, _ = planted
    found = measured(run)
    checkpoint = clvq.read_checkpoint(run / "types-0")
    space = concept_space(checkpoint)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)

    def answer(states: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            (block,) = model.bert.encoder.layer
            after = block(states)
            after = after[0] if isinstance(after, tuple) else after
            return model.classifier(model.bert.pooler(after))[0].log_softmax(0)

    for number, sentence in enumerate(checkpoint.store().sentences("eval")):
        tokens = tokenizer(sentence.text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            states = model(tokens, output_hidden_states=True).hidden_states[0]
        clean = answer(states)
        predicted = int(clean.argmax())
        falls, kept = [], []
        for own in (True, False):
            edited = states.clone()
            for at, word in enumerate(tokenizer.convert_ids_to_tokens(tokens[0].tolist())):
                for label, members in enumerate(words):
                    if word in members and (label == predicted) == own:
                        direction = space.directions(space.codes(states[0, at : at + 1]))[0]
                        edited[0, at] -= ((states[0, at] - space.mean) @ direction) * direction
            changed = answer(edited)
            gaps = clean - changed
            others = [float(gaps[label]) for label in range(CLASSES) if label != predicted]
            falls.append(float(gaps[predicted]) - np.mean(others))
            kept.append(int(changed.argmax()) == predicted)
        expected = [1.0 - kept[0], float(kept[1]), (kept[1] + 1 - kept[0]) / 2, *falls]
        assert found.figures[number] == pytest.approx(expected, abs=1e-4)


def test_seeds_are_one_line_and_the_file_holds_the_lines(run: Path) -> None:
    rows = lines_of(run, "types-0", "types-1")
    assert {row.checkpoint for row in rows} == {"types-0"}
    body = json.loads((run / "types-0" / "faithfulness.json").read_text())
    assert [SpecificityRow.read(line) for line in body["specificity"]] == rows
    assert body["without_specificity"] is None
    assert set(SPECIFICITY) <= set(body["specificity"][0])
