"""Effects of single concepts: against a plain loop over sentences, what is tested, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from scipy.stats import false_discovery_control, ttest_1samp
from transformers import AutoModelForSequenceClassification

import clvq
from clvq.artifacts import CONCEPT_EFFECTS
from clvq.concepts.directions import concept_space
from clvq.device import Runtime
from clvq.interventions.mode_records import ConceptEffects
from clvq.interventions.verdict import verdict
from clvq.language_model.rows import WORD
from clvq.language_model.upper_layers import UpperLayers
from clvq.progress import Progress
from clvq.training.source import language_model_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, model_folder: Any) -> clvq.Checkpoint:
    run = tmp_path_factory.mktemp("concepts") / "run"
    run.mkdir()
    texts = tiny_models.made_sentences()[::6]
    for name, chosen in (("corpus", texts[10:]), ("eval", [*texts[:12], *texts[:3]])):
        rows = [{"text": text, "label": number % 2} for number, text in enumerate(chosen)]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (run / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    clvq.extract(
        run / "activations", model=str(model_folder("bert")), dataset=str(run / "corpus.jsonl"),
        eval_dataset=str(run / "eval.jsonl"), layers=(1, 3),
    )  # fmt: skip
    return clvq.train(
        run / "activations", path=run / "L1-L3", input_layer=1, output_layer=3, codebook_size=12, top_k=3, epochs=1,
        decoder_layers=1,
    )  # fmt: skip


def results(checkpoint: clvq.Checkpoint, **settings: Any) -> ConceptEffects:
    found = clvq.faithfulness(checkpoint, by="concept", draws=1, **settings).results
    assert isinstance(found, ConceptEffects)
    return found


def test_effects_are_those_of_a_plain_loop_over_sentences(checkpoint: clvq.Checkpoint) -> None:
    found = results(checkpoint)
    store, space = checkpoint.store(), concept_space(checkpoint)
    model = language_model_of(checkpoint, store, Runtime("cpu"))
    upper = UpperLayers(model, 1)
    codes, ends = clvq.codebook(checkpoint).assignments("eval"), np.cumsum(store.row_counts("eval"))
    falls: dict[int, list[tuple[str, float, float]]] = {}
    predicted: dict[int, list[int]] = {}
    for number, (row, tokens) in enumerate(
        zip(store.sentences("eval"), model.tokenize([row.text for row in store.sentences("eval")]), strict=True)
    ):
        own = codes[ends[number] - len(row.flags) : ends[number]]
        of_words = [int(code) for code, flag in zip(own, row.flags, strict=True) if flag & WORD]
        inputs = upper.inputs([tokens])
        states = upper.states(inputs)
        clean = upper.scores(states, inputs)[0].softmax(0)
        for code in sorted({code for code in of_words if code >= 0}):
            direction = space.directions(torch.tensor([code]))[0]
            edited, towards = states.clone(), states.clone()
            for word, at in zip(of_words, tokens.word_tokens, strict=True):
                for token in at if word == code else []:
                    gap = states[0, token] - space.mean
                    moved = (gap @ direction) * direction
                    edited[0, token] -= moved
                    towards[0, token] -= gap * moved.norm() / gap.norm()
            chances = [upper.scores(each, inputs)[0].softmax(0)[clean.argmax()] for each in (edited, towards)]
            predicted.setdefault(code, []).append(int(clean.argmax()))
            falls.setdefault(code, []).append((row.text, *(float(clean.max() - chance) for chance in chances)))
    assert {row.code for row in found.concepts} == set(falls)
    for row in found.concepts:
        texts, concept, own_deviation = zip(*falls[row.code], strict=True)
        assert (row.sentences, row.texts) == (len(texts), len(set(texts)))
        assert row.probability == pytest.approx(np.mean(concept), abs=1e-5)
        assert row.own.value == pytest.approx(np.mean(concept) - np.mean(own_deviation), abs=1e-5)
        assert row.own.low <= row.own.value <= row.own.high
        if row.own.p is not None:
            gaps = [np.mean([c - o for text, c, o in falls[row.code] if text == one]) for one in dict.fromkeys(texts)]
            assert row.own.p == pytest.approx(ttest_1samp(gaps, 0, alternative="greater").pvalue, abs=0.02)
        assert [line.label for line in row.classes] == sorted(set(predicted[row.code]))
        for line in row.classes:
            here = [
                fall for fall, label in zip(falls[row.code], predicted[row.code], strict=True) if label == line.label
            ]
            assert (line.sentences, line.texts) == (len(here), len({text for text, *_ in here}))
            assert line.name == model.label_names[line.label]
            assert line.probability == pytest.approx(np.mean([fall for _, fall, _ in here]), abs=1e-5)
            assert line.coherent.low <= line.coherent.value <= line.coherent.high
        counts = [line.sentences for line in row.classes]
        whole = np.average([line.coherent.value for line in row.classes], weights=counts)
        assert row.coherent.value == pytest.approx(whole, abs=1e-5)
    for name in ("coherent", "own"):
        tests = [getattr(row, name) for row in found.concepts]
        tested = [test for test in tests if test.q is not None]
        assert tested
        assert all((test.p is None) == (test.q is None) for test in tests)
        expected = false_discovery_control([test.p for test in tested])
        assert [test.q for test in tested] == pytest.approx(list(expected))
    ranked = [row for row in found.concepts if row.coherent.q is not None]
    assert all(row.texts >= 5 for row in ranked)
    assert found.concepts[: len(ranked)] == sorted(ranked, key=lambda row: -row.coherent.value)


def test_a_concept_may_raise_or_lower_a_score(tmp_path: Path) -> None:
    """Where the model gives the negative of its score, every effect is the opposite, and as sure as before."""
    corpus = tmp_path / "corpus.jsonl"
    rows = [{"text": text, "label": number / 7} for number, text in enumerate(tiny_models.made_sentences()[::3])]
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    folder = tiny_models.tiny_roberta(tmp_path / "model", layers=2, labels=1)
    found = []
    for name in ("as it is", "negated"):
        run = tmp_path / name
        clvq.extract(run / "activations", model=str(folder), dataset=str(corpus), layers=(1, 2))
        made = clvq.train(
            run / "activations", path=run / "L1-L2", input_layer=1, output_layer=2, codebook_size=12, top_k=3, epochs=1,
            decoder_layers=1, metric="euclidean",
        )  # fmt: skip
        found.append(results(made))
        model = AutoModelForSequenceClassification.from_pretrained(folder)
        with torch.no_grad():
            for values in model.classifier.out_proj.parameters():
                values.neg_()
        model.save_pretrained(folder)
    before, after = (result.concepts for result in found)
    tested = [row for row in before if row.coherent.p is not None]
    assert before[: len(tested)] == sorted(tested, key=lambda row: -abs(row.coherent.value))
    assert min(row.coherent.value for row in tested) < 0 < max(row.coherent.value for row in tested)
    assert min(row.coherent.p for row in tested) < 0.5
    by_code = {row.code: row for row in after}
    for row in tested:
        for one, other in ((row.coherent, by_code[row.code].coherent), (row.own, by_code[row.code].own)):
            assert other.value == pytest.approx(-one.value, abs=1e-5)
            assert other.p == pytest.approx(one.p, abs=1e-3)
    said = verdict(found[0]).sentences[0]
    assert "falls" not in said


def test_what_was_measured_is_read_and_a_cut_measurement_continues(
    checkpoint: clvq.Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = results(checkpoint, overwrite=True)
    file = checkpoint.path / "faithfulness-concepts.json"
    before = file.read_bytes()
    notes: list[Progress] = []
    assert clvq.faithfulness(checkpoint, by="concept", draws=1, progress=notes.append).results == whole
    assert file.read_bytes() == before
    monkeypatch.setattr("clvq.interventions.effects.SAVE_SECONDS", 0.0)
    given: dict[str, Any] = {"batch_tokens": 100}
    file.unlink()
    (checkpoint.path / CONCEPT_EFFECTS.name).unlink()

    def stop(progress: Progress) -> None:
        if progress.stage == "faithfulness" and progress.done and progress.done > 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        results(checkpoint, progress=stop, **given)
    assert (checkpoint.path / CONCEPT_EFFECTS.name).exists()
    again = results(checkpoint, **given, progress=notes.append)
    counted = {(note.unit, note.total) for note in notes if note.stage == "faithfulness" and note.total}
    assert counted == {("removals", sum(row.sentences for row in whole.concepts))}
    assert [row.code for row in again.concepts] == [row.code for row in whole.concepts]
    for one, other in zip(again.concepts, whole.concepts, strict=True):
        assert one.probability == pytest.approx(other.probability, abs=1e-5)


def test_a_class_restricts_the_sentences_to_those_predicted_so(checkpoint: clvq.Checkpoint) -> None:
    store = checkpoint.store()
    names = store.label_names
    assert names is not None
    predictions = [row.prediction for row in store.sentences("eval")]
    everything = results(checkpoint, overwrite=True)
    assert everything.class_ is None
    for number, name in enumerate(names):
        if number in predictions:
            assert results(checkpoint, class_=name, overwrite=True).sentences == predictions.count(number)
        else:
            with pytest.raises(clvq.ClvqError, match=f"that is predicted as {name} has a concept"):
                results(checkpoint, class_=name, overwrite=True)
    with pytest.raises(clvq.ClvqError, match="There is no class 'toxic'"):
        results(checkpoint, class_="toxic", overwrite=True)


def test_what_does_not_go_together_is_refused(checkpoint: clvq.Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(clvq.ClvqError, match="--by concept can be used with --mode model"):
        clvq.faithfulness(checkpoint, by="concept", mode="splice")
    notes: list[Progress] = []
    clvq.faithfulness(checkpoint, by="concept", draws=1, top=3, overwrite=True, progress=notes.append)
    assert any(note.note == "--by concept ignores --top." for note in notes)

    def stop(progress: Progress) -> None:
        if progress.note:
            raise KeyboardInterrupt(progress.note)

    with pytest.raises(KeyboardInterrupt, match=r"--mode model ignores --class\. --class is for --by concept\."):
        clvq.faithfulness(checkpoint, class_="toxic", progress=stop)
