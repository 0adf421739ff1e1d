"""What is asked of a model, under edits: a planted direction changes a score by a known amount."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from attributions import by_index
from captum.attr import IntegratedGradients
from scipy.stats import spearmanr
from test_faithfulness import Planted, effects_of, plan_of
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from clvq.config import ExtractConfig
from clvq.explanations.attribution import IntegratedAttribution
from clvq.interventions.effects import Change, Effects
from clvq.interventions.in_model import Interventions
from clvq.interventions.places import Place, Subject
from clvq.language_model.head_targets import TagTarget
from clvq.language_model.input_format import InputFormat
from clvq.language_model.model import LanguageModel
from clvq.language_model.options import ModelOptions
from clvq.language_model.targets import Asked
from clvq.language_model.upper_layers import UpperLayers

pytestmark = pytest.mark.slow

TEXTS = ["The film wasn't good!", "My uncle's script felt unbelievably slow, but charming", "A boring director"]
SENTENCE = Place("sentence")
WIDTH, GAIN = 32, 3.0


def hand_made(path: Path, kind: str) -> LanguageModel:
    """A GPT-2 whose head reads GAIN times what lies along the first axis: its only score, its label 1, or the logit of
    " not" less that of " very"."""
    asked = Asked()
    if kind == "token":
        folder = tiny_models.with_next_token(tiny_models.tiny_gpt2(path, layers=2))
        model, asked = AutoModelForCausalLM.from_pretrained(folder), Asked(" not", " very")
        head = torch.zeros_like(model.lm_head.weight)
        known = LanguageModel.load(str(folder), ModelOptions(device="cpu", asked=asked))
        head[known.target.token_number, 0] = GAIN  # type: ignore[union-attr]
        model.config.tie_word_embeddings = False
        model.lm_head.weight = torch.nn.Parameter(head)
    else:
        labels = {"score": 1, "label": 3}[kind]
        folder = tiny_models.tiny_gpt2(path, layers=2, labels=labels)
        model = AutoModelForSequenceClassification.from_pretrained(folder)
        head = torch.zeros(labels, WIDTH)
        head[min(1, labels - 1), 0] = GAIN
        model.score.weight = torch.nn.Parameter(head)
        if kind == "label":
            model.config.problem_type = "multi_label_classification"
    model.save_pretrained(folder)
    return LanguageModel.load(str(folder), ModelOptions(device="cpu", asked=asked))


def removal(model: LanguageModel, unit: float | None, mean: torch.Tensor) -> tuple[list[Subject], Effects]:
    """Remove the first axis from every sentence row at the last layer, for every part."""
    assert model.target is not None
    model.target = model.target.scaled(unit)
    upper = UpperLayers(model, model.num_layers)
    axes = torch.zeros(3, WIDTH)
    axes[0, 0] = 1e3  # larger than any state: every row's code
    subjects = [
        Subject(number, sentence, [0.0] * len(sentence.words), [0] * len(sentence.words), 0, 0, None, part)
        for number, sentence in enumerate(model.tokenize(TEXTS))
        for part in model.target.parts(sentence)
    ]
    interventions = Interventions(upper, Planted(mean, axes), pooling="last", dtype="float32", batch_tokens=4096)
    return subjects, effects_of(interventions, subjects, plan_of({SENTENCE: ()}))[Change("removal", SENTENCE, None)]


@pytest.mark.parametrize("kind", ["score", "token"])
def test_without_the_direction_the_score_falls_by_what_lay_along_it(kind: str, tmp_path: Path) -> None:
    model, unit = hand_made(tmp_path, kind), 0.7
    mean = torch.full((WIDTH,), 0.25)
    subjects, found = removal(model, unit, mean)
    rows = model.run([subject.sentence for subject in subjects], [model.num_layers]).hidden[model.num_layers]
    counts = model.run([subject.sentence for subject in subjects], [model.num_layers]).row_counts
    along = rows[np.cumsum(counts) - 1, 0]  # a decoder's last row is the one that is read
    falls = (GAIN * (along - 0.25) / unit).numpy()
    assert found.probability == pytest.approx(falls, abs=1e-4)
    assert found.kl == pytest.approx(falls**2, rel=1e-3, abs=1e-4)
    assert found.flips.tolist() == (abs(falls) > 1).astype(float).tolist()
    assert np.isnan(found.correct).all()


def test_only_the_label_that_reads_the_direction_changes(tmp_path: Path) -> None:
    model = hand_made(tmp_path, "label")
    subjects, found = removal(model, None, torch.zeros(WIDTH))
    rows = model.run([subject.sentence for subject in subjects], [model.num_layers])
    logits = GAIN * rows.hidden[model.num_layers][np.cumsum(rows.row_counts) - 1, 0].double()
    for number, subject in enumerate(subjects):
        if subject.part != 1:
            assert found.kl[number] == found.flips[number] == found.probability[number] == 0
            continue
        p = float(logits[number].sigmoid())  # 0.5 without the direction
        assert found.probability[number] == pytest.approx(max(p, 1 - p) - 0.5, abs=1e-5)
        assert found.kl[number] == pytest.approx(p * np.log(2 * p) + (1 - p) * np.log(2 - 2 * p), abs=1e-5)
        assert found.flips[number] == float(p > 0.5)  # a tie is a no


def test_a_step_along_its_own_direction_changes_each_label_by_a_known_amount(tmp_path: Path) -> None:
    """Each label's logit is GAIN times its own axis, and its class direction is that axis."""
    model = hand_made(tmp_path, "label")
    model.model.score.weight = torch.nn.Parameter(GAIN * torch.eye(3, WIDTH))
    mean, axes = torch.full((WIDTH,), 0.25), torch.zeros(3, WIDTH)
    axes[0, 5] = 1e3  # the concept is along an axis that no label reads
    space = Planted(mean, axes)
    units = torch.eye(3, WIDTH)
    space.class_directions = torch.stack([-units, units], dim=1).flatten(0, 1)
    run = model.run(model.tokenize(TEXTS), [model.num_layers])
    states = run.hidden[model.num_layers][np.cumsum(run.row_counts) - 1]
    logits = GAIN * states[:, :3].double()
    assert (logits > 0).any() and (logits < 0).any()
    subjects = [
        Subject(number, sentence, [0.0] * len(sentence.words), [0] * len(sentence.words), 0,
                int(logits[number, part] > 0), None, part)
        for number, sentence in enumerate(model.tokenize(TEXTS)) for part in range(3)
    ]  # fmt: skip
    interventions = Interventions(
        UpperLayers(model, model.num_layers), space, pooling="last", dtype="float32", batch_tokens=4096
    )
    found = effects_of(interventions, subjects, plan_of({SENTENCE: ("class_direction",)}))
    concept, along = (found[Change("removal", SENTENCE, control)] for control in (None, "class_direction"))
    assert not concept.probability.any() and concept.distance == pytest.approx(along.distance, rel=1e-5)
    for number, subject in enumerate(subjects):
        distance = float((states[subject.number, 5] - 0.25).abs())
        before = abs(float(logits[subject.number, subject.part]))
        after = before - GAIN * distance  # away from the answer, be it yes or no
        p, q = 1 / (1 + np.exp(-before)), 1 / (1 + np.exp(-after))
        assert along.probability[number] == pytest.approx(p - q, abs=1e-5)
        assert along.kl[number] == pytest.approx(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)), abs=1e-4)
        assert along.flips[number] == float(after < 0)


def test_only_the_word_that_is_edited_has_another_tag(tmp_path: Path) -> None:
    """Without the direction that tag 1 reads, a word's logits are known."""
    folder = tiny_models.with_tags(tiny_models.tiny_bert(tmp_path, layers=2), ("O", "B", "I"))
    made = AutoModelForTokenClassification.from_pretrained(folder).eval()
    reads = torch.zeros(3, WIDTH)
    reads[1, 0] = GAIN
    made.classifier.weight = torch.nn.Parameter(reads)
    made.classifier.bias = torch.nn.Parameter(torch.tensor([0.1, 0.0, -0.1]))
    made.save_pretrained(folder)
    model = LanguageModel.load(str(folder), ModelOptions(device="cpu"))
    assert isinstance(model.target, TagTarget)
    upper = UpperLayers(model, model.num_layers)
    axes = torch.zeros(3, WIDTH)
    axes[0, 0] = 1e3
    subjects = [
        Subject(number, sentence._replace(sentence_token=sentence.word_tokens[word][0]), [0.0] * len(sentence.words),
                [0] * len(sentence.words), 0, 0, 1, word)
        for number, sentence in enumerate(model.tokenize(TEXTS)) for word in range(len(sentence.words))
    ]  # fmt: skip
    interventions = Interventions(
        upper, Planted(torch.zeros(WIDTH), axes), pooling="last", dtype="float32", batch_tokens=4096
    )
    found = effects_of(interventions, subjects, plan_of({SENTENCE: ()}))[Change("removal", SENTENCE, None)]
    for number, subject in enumerate(subjects):
        with torch.no_grad():
            ids = torch.tensor([subject.sentence.input_ids])
            states = made(ids, output_hidden_states=True).hidden_states[-1][0]
        state = states[subject.sentence.word_tokens[subject.part][0]]
        clean = torch.tensor([0.1, GAIN * float(state[0]), -0.1]).softmax(0)
        changed = torch.tensor([0.1, 0.0, -0.1]).softmax(0)
        answer = int(clean.argmax())
        assert found.probability[number] == pytest.approx(float(clean[answer] - changed[answer]), abs=1e-5)
        assert found.flips[number] == float(answer != 0)
        assert found.correct[number] == 0  # the label is 1, and O is the likeliest without the direction
        assert found.tokens[number] == 1


def test_without_the_direction_the_head_reads_the_rest_of_the_mask(tmp_path: Path) -> None:
    """What the head gives for the mask's state without the direction, computed with the head alone."""
    folder = tiny_models.with_masks(tiny_models.tiny_bert(tmp_path, layers=2))
    words, config = {"no": " not", "yes": " very"}, ExtractConfig(prompt="{text} It was <mask>.")
    model = LanguageModel.load(
        str(folder),
        ModelOptions(device="cpu", asked=Asked(label_words=tuple(words.items()))),
        format_of=lambda tokenizer, name: InputFormat.of(config, tokenizer, name),
    )
    mean = torch.full((WIDTH,), 2.0)
    subjects, found = removal(model, None, mean)
    made = AutoModelForMaskedLM.from_pretrained(folder).eval()
    numbers = model.tokenizer.convert_tokens_to_ids([word.strip() for word in words.values()])
    assert len(set(numbers)) == 2 and model.tokenizer.unk_token_id not in numbers
    for number, subject in enumerate(subjects):
        with torch.no_grad():
            ids = torch.tensor([subject.sentence.input_ids])
            states = made(ids, output_hidden_states=True).hidden_states[-1][0]
            state = states[subject.sentence.input_ids.index(model.tokenizer.mask_token_id)]
            without = state.clone()
            without[0] = mean[0]
            clean, changed = made.cls(torch.stack([state, without]))[:, numbers].log_softmax(1)
        answer = int(clean.argmax())
        fall = float(clean.exp()[answer] - changed.exp()[answer])
        assert abs(fall) > 1e-4
        assert found.probability[number] == pytest.approx(fall, abs=1e-5)
        assert found.kl[number] == pytest.approx(float((clean.exp() * (clean - changed)).sum()), abs=1e-5)
        assert found.flips[number] == float(int(changed.argmax()) != answer)
        assert found.tokens[number] == 1


def explained(kind: str, path: Path) -> LanguageModel:
    """A tiny model with a random head of a kind."""
    if kind in ("token", "label word"):
        folder = tiny_models.with_next_token(tiny_models.tiny_llama(path, layers=3))
        words = (("no", " not"), ("yes", " very"))
        asked = Asked(" not", " very") if kind == "token" else Asked(label_words=words)
        return LanguageModel.load(str(folder), ModelOptions(device="cpu", asked=asked))
    if kind == "tag":
        folder = tiny_models.with_tags(tiny_models.tiny_bert(path, layers=3), ("O", "B", "I"))
        return LanguageModel.load(str(folder), ModelOptions(device="cpu"))
    labels: dict[str, Any] = {"label": {"labels": 3, "problem_type": "multi_label_classification"}}
    folder = tiny_models.tiny_bert(path, layers=3, **labels.get(kind, {"labels": 1}))
    return LanguageModel.load(str(folder), ModelOptions(device="cpu"))


@pytest.mark.parametrize("kind", ["score", "label", "tag", "token", "label word"])
def test_attributions_add_up_and_rank_words_as_captum_does(kind: str, tmp_path: Path) -> None:
    model = explained(kind, tmp_path)
    upper, target = UpperLayers(model, 1), model.target
    assert target is not None
    sentences = [(sentence, part) for sentence in model.tokenize(TEXTS) for part in target.parts(sentence)]
    ours = IntegratedAttribution(
        upper, baseline="padding", steps=8, max_steps=512, completeness=0.05, batch_tokens=4096
    )
    texts, parts = [sentence for sentence, _ in sentences], [part for _, part in sentences]
    found = by_index(ours, texts, parts)
    words = sum(len(sentence.words) for sentence in model.tokenize(TEXTS))
    assert len(found) == {"label": 3 * len(TEXTS), "tag": words}.get(kind, len(TEXTS))
    assert all(one.completeness_error < 0.05 for one in found.values())
    for number, one in sorted(found.items())[:: max(1, len(found) // 3)]:  # captum's steps take a while
        inputs = upper.inputs([texts[number]], [parts[number]])
        states = upper.states(inputs)
        baseline = ours._baselines(states, inputs)
        answer = target.answers(upper.scores(states, inputs))

        def score(given: torch.Tensor) -> torch.Tensor:
            scores = torch.cat([upper.scores(state[None], inputs) for state in given])  # noqa: B023
            return target.explained(scores, answer.expand(len(scores)))  # noqa: B023

        theirs = IntegratedGradients(score).attribute(states, baseline, n_steps=100, internal_batch_size=50)
        change = float((score(states) - score(baseline))[0])
        assert one.difference == pytest.approx(change, abs=1e-4)
        assert sum(one.tokens) == pytest.approx(change, rel=0.051)
        assert spearmanr(one.tokens, theirs[0].sum(dim=1).detach().numpy()).statistic >= 0.98
