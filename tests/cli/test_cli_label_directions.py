"""The class direction of each label of a model that gives several, against plain runs of the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tiny_models
import torch
from running import Clvq
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import clvq as package
from clvq.artifacts import CONCEPT_SPACE
from clvq.concepts.directions import concept_space
from clvq.storage import read_tensors, write_derived

pytestmark = pytest.mark.slow

NAMES = {0: "slow", 1: "good", 2: "film"}


def logits_of(folder: Path, texts: list[str]) -> Tensor:
    model, tokenizer = (
        AutoModelForSequenceClassification.from_pretrained(folder).eval(),
        AutoTokenizer.from_pretrained(folder),
    )
    with torch.no_grad():
        return torch.cat([model(**tokenizer(text, return_tensors="pt")).logits for text in texts])


def balanced(folder: Path, texts: list[str]) -> Path:
    """A BERT of three labels. It predicts two of them for half of the texts, and the last one always."""
    tiny_models.tiny_bert(folder, layers=2, labels=3, id2label=NAMES, problem_type="multi_label_classification")
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    logits = logits_of(folder, texts)
    middle = logits.quantile(0.5, dim=0)  # between two logits, so that rounding decides no answer
    middle[2] = logits[:, 2].min() - 1
    model.classifier.bias = torch.nn.Parameter(model.classifier.bias - middle)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labels")
    texts = tiny_models.made_sentences()[::3]
    rows = [{"text": text, "label": [name for name in NAMES.values() if name in text]} for text in texts]
    (path / "corpus.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    model = balanced(path.with_name(f"{path.name}-model"), texts)
    package.extract(path / "activations", model=str(model), dataset=str(path / "corpus.jsonl"), layers=(1, 2))
    package.train(
        path / "activations", path=path / "L1-L2", input_layer=1, output_layer=2, epochs=1, codebook_size=12, top_k=3,
        decoder_layers=1,
    )  # fmt: skip
    return path


def plain_directions(run: Path) -> Tensor:
    """`[3, D]`: the mean word of the training sentences for which a label is predicted, less that of the others."""
    store = package.ActivationStore(run / "activations")
    rows = torch.cat([shard for _, shard in store.rows("train", 1).shards()]).double()
    sentences = list(store.sentences("train"))
    has = logits_of(run.with_name(f"{run.name}-model"), [sentence.text for sentence in sentences]) > 0
    of_row = np.repeat(np.arange(len(sentences)), store.row_counts("train"))
    words = (store.flags("train") & 1) != 0
    directions = torch.zeros(3, rows.shape[1], dtype=torch.float64)
    for label in range(2):  # the last one is always predicted
        with_label = has[of_row, label].numpy()
        gap = rows[words & with_label].mean(dim=0) - rows[words & ~with_label].mean(dim=0)
        directions[label] = gap / gap.norm()
    return directions


def test_each_label_has_a_direction_for_yes_and_the_opposite_for_no(run: Path) -> None:
    expected = plain_directions(run)
    found = concept_space(package.read_checkpoint(run / "L1-L2")).class_directions
    assert expected[:2].any(dim=1).all() and found.shape == (6, expected.shape[1])
    assert torch.allclose(found[1::2].double(), expected, atol=1e-4)
    assert torch.equal(found[::2], -found[1::2])


def test_directions_of_an_earlier_version_are_made_anew(run: Path) -> None:
    checkpoint = package.read_checkpoint(run / "L1-L2")
    first = concept_space(checkpoint)
    path = CONCEPT_SPACE.path(checkpoint.path)
    tensors, metadata = read_tensors(path)
    earlier = {**tensors, "class_directions": torch.zeros(3, len(first.mean))}
    made_of = {"version": "2", "checkpoint": checkpoint.fingerprint, "rows": metadata["rows"]}
    write_derived(path, earlier, made_of)
    assert torch.equal(concept_space(checkpoint).class_directions, first.class_directions)


class Outcome(NamedTuple):
    """What a step does to the answer for a label."""

    flip: float
    fall: float
    kl: float
    distance: float

    @classmethod
    def of(cls, clean: Tensor, changed: Tensor, distance: float) -> Outcome:
        before, after = (torch.stack([1 - z.sigmoid(), z.sigmoid()]) for z in (clean.double(), changed.double()))
        answer = int(clean > 0)
        kl = float((before * (before / after).log()).sum())
        return cls(float(answer != int(changed > 0)), float(before[answer] - after[answer]), kl, distance)


def plain_outcomes(run: Path) -> dict[tuple[str, str | None], list[Outcome]]:
    """Edits of the first token of every evaluation sentence, for every label, by a hook in the model."""
    checkpoint = package.read_checkpoint(run / "L1-L2")
    space, directions = concept_space(checkpoint), plain_directions(run).float()
    model = AutoModelForSequenceClassification.from_pretrained(run.with_name(f"{run.name}-model")).eval()
    tokenizer = AutoTokenizer.from_pretrained(run.with_name(f"{run.name}-model"))
    outcomes: dict[tuple[str, str | None], list[Outcome]] = {}
    for sentence in package.ActivationStore(run / "activations").sentences("eval"):
        inputs = tokenizer(sentence.text, return_tensors="pt")

        def logits(step: Tensor | None) -> Tensor:
            def moved(_module: object, _given: object, output: Tensor) -> Tensor:
                states = output.clone()
                states[0, 0] += step
                return states

            hook = model.bert.encoder.layer[0].register_forward_hook(moved) if step is not None else None
            try:
                with torch.no_grad():
                    return model(**inputs).logits[0]  # noqa: B023
            finally:
                if hook is not None:
                    hook.remove()

        with torch.no_grad():
            state = model(**inputs, output_hidden_states=True).hidden_states[1][0, 0]
        clean, removed = logits(None), space.basis(state[None])[0, :, 0]
        for label in range(3):
            away = -directions[label] if clean[label] > 0 else directions[label]
            free = removed - (removed @ away) * away
            free = free / free.norm()
            steps = {"removal": -((state - space.mean) @ removed) * removed,
                     "classless": -((state - space.mean) @ free) * free}  # fmt: skip
            for edit, step in steps.items():
                outcomes.setdefault((edit, None), []).append(
                    Outcome.of(clean[label], logits(step)[label], float(step.norm()))
                )
            if away.any():
                along = steps["removal"].norm() * away
                changed = Outcome.of(clean[label], logits(along)[label], float(along.norm()))
            else:
                changed = Outcome(0, 0, 0, 0)
            outcomes.setdefault(("removal", "class_direction"), []).append(changed)
    return outcomes


def test_faithfulness_moves_each_answer_along_its_own_direction(run: Path, clvq: Clvq) -> None:
    ended = clvq("faithfulness", "--run", run, "--at", "sentence", "--draws", 1, "--json")
    assert ended.code == 0, ended.err
    figures = {(row["edit"], row["control"]): row for row in ended.document["figures"]}
    assert ("classless", "class_direction") not in figures
    outcomes = plain_outcomes(run)
    assert len({outcome.fall > 0 for outcome in outcomes["removal", "class_direction"]}) == 2
    for key, expected in outcomes.items():
        found = figures[key]
        assert found["sentences"] == len(expected)
        flips, fall, kl, distance = np.mean(expected, axis=0)
        assert found["flips"] == pytest.approx(flips, abs=1e-6)
        assert found["probability"] == pytest.approx(fall, abs=1e-4)
        assert found["kl"] == pytest.approx(kl, rel=1e-2, abs=1e-5)
        assert found["distance"] == pytest.approx(distance, rel=1e-3)
    shown = clvq("faithfulness", "--run", run, "--at", "sentence", "--draws", 1).out
    assert "class direction" in shown and "removal without the class" in shown
