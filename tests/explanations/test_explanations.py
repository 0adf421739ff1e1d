"""Explanations: words, salience, codes as in the store, agreement with rationales, resuming, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
from sklearn.metrics import average_precision_score

import clvq
from clvq.artifacts import UNFINISHED_EXPLANATIONS_NAME
from clvq.concepts.assignments import assign, load_model
from clvq.errors import ClvqError, MismatchError
from clvq.explanations.explainer import salient_words
from clvq.explanations.rationales import read_rationales
from clvq.progress import Progress
from clvq.storage import read_records

pytestmark = pytest.mark.slow

FEW: dict[str, Any] = {"steps": 2, "completeness": 0.5}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, model_folder: Any) -> Path:
    """A run folder with a checkpoint of layers 1 -> 3 of a tiny BERT; half of each text is marked by a person."""
    run = tmp_path_factory.mktemp("explained") / "run"
    run.mkdir()
    rows = [
        {"text": text, "label": number % 2, "why": text[: len(text) // 2]}
        for number, text in enumerate(tiny_models.made_sentences()[::5])
    ]
    rows += [{**rows[0], "why": [rows[0]["text"][-4:]]}]
    corpus = run / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    clvq.extract(run / "activations", model=str(model_folder("bert")), dataset=str(corpus), layers=(1, 3))
    clvq.train(
        run / "activations", path=run / "L1-L3", input_layer=1, output_layer=3, codebook_size=12, top_k=3, epochs=1,
        decoder_layers=1,
    )  # fmt: skip
    clvq.codebook(run / "L1-L3")
    return run


@pytest.fixture
def checkpoint(trained: Path, tmp_path: Path) -> Path:
    """A copy of the checkpoint with its store."""
    return Path(shutil.copytree(trained, tmp_path / "run")) / "L1-L3"


def test_words_carry_what_their_sub_words_do(checkpoint: Path) -> None:
    texts = ["The unbelievably slow film", "boring; truly"]
    found = clvq.explain(checkpoint, texts)
    assert not (checkpoint / "explanations.json").exists()
    for text, sentence in zip(texts, found.sentences, strict=True):
        assert [text[word.start : word.end] for word in sentence.words] == text.replace(";", " ;").split()
        values = [word.attribution for word in sentence.words]
        special = sentence.special_share
        assert sum(map(abs, values)) > 0
        assert 0 < special < 1
        assert sentence.target == found.summary.label_names[sentence.prediction]
        assert sum(word.salient for word in sentence.words) == 1
        top = max(sentence.words, key=lambda word: word.attribution)
        assert top.salient or top.attribution <= 0
        assert found.concept(sentence.words[0].code).code == sentence.words[0].code
        assert sentence.completeness_error <= 0.05


def test_one_text_and_how_it_looks_in_a_notebook(checkpoint: Path) -> None:
    text = "great <b>film</b> & slow"
    found = clvq.explain(checkpoint, text)
    (sentence,) = found.sentences
    assert sentence == clvq.explain(checkpoint, [text]).sentences[0]
    assert len(repr(found)) < 300
    assert sentence.target in repr(sentence)
    assert repr(sentence.salient[0].text) in repr(sentence)
    html = found._repr_html_()
    assert "<b>film" not in html
    assert re.sub("<[^>]*>", "", html).endswith(": great &lt;b&gt;film&lt;/b&gt; &amp; slow")
    strongest = max(sentence.words, key=lambda word: abs(word.attribution))  # a weak word has no colour
    for word, style in ((strongest, 'background: #[^"]*color: black'), (sentence.salient[0], "bold")):
        assert re.search(rf'<span style="[^"]*{style}[^"]*" title="[^"]*">{re.escape(escape(word.text))}</span>', html)
    pytest.importorskip("pandas")
    table = found.to_pandas()
    assert table["word"].tolist() == [text[word.start : word.end] for word in sentence.words]
    assert table["attribution"].tolist() == [word.attribution for word in sentence.words]
    assert table["label"].isna().all()


@pytest.mark.parametrize(
    ("values", "mass", "chosen"),
    [
        ([], None, set()),
        ([0.1, 0.5, -2.0], None, {1}),
        ([-0.1, -0.5, 0.0], None, {1}),
        ([-0.1, -0.5], 0.9, {1}),
        ([3.0, 2.0, 1.0, -9.0], 0.5, {0}),
        ([3.0, 2.0, 1.0, -9.0], 0.51, {0, 1}),
        ([3.0, 2.0, 1.0, -9.0], 1.0, {0, 1, 2}),
        ([0.1] * 3 + [0.0], 1.0, {0, 1, 2}),
    ],
)
def test_salient_words_hold_the_mass(values: list[float], mass: float | None, chosen: set[int]) -> None:
    assert salient_words(values, mass) == chosen


def test_the_evaluation_split_has_the_stores_words_codes_and_predictions(checkpoint: Path) -> None:
    found = clvq.explain(checkpoint, **FEW)
    read = clvq.read_checkpoint(checkpoint)
    store = read.store()
    rows = list(store.sentences("eval"))
    assert [sentence.text for sentence in found.sentences] == [row.text for row in rows]
    assert [sentence.prediction for sentence in found.sentences] == [row.prediction for row in rows]
    for sentence, row in zip(found.sentences, rows, strict=True):
        assert sentence.probability == pytest.approx(max(row.probabilities), abs=1e-4)
    codes = assign(load_model(read), store, "eval", (1, 3)).codes
    words = np.array([flag & 1 != 0 for row in rows for flag in row.flags])
    ours = [word.code for sentence in found.sentences for word in sentence.words]
    assert np.mean(np.array(ours) == codes[words]) > 0.99  # a tie may fall the other way in another batch
    hits = [row.prediction == row.label for row in rows]
    assert found.figures.accuracy == pytest.approx(np.mean(hits))
    assert found.figures.sentences == len(rows)
    lines = read_records(checkpoint / "explanations.jsonl", found.summary.explanations_checksum, "")
    assert lines == [sentence.as_line() for sentence in found.sentences]
    assert not (checkpoint / UNFINISHED_EXPLANATIONS_NAME).exists()


def test_an_interrupted_explanation_goes_on_where_it_stopped(checkpoint: Path) -> None:
    whole = clvq.explain(checkpoint, batch_tokens=200, **FEW).sentences

    def stop(progress: Progress) -> None:
        if progress.stage == "explain" and progress.done >= 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clvq.explain(checkpoint, overwrite=True, progress=stop, batch_tokens=200, **FEW)
    unfinished = checkpoint / UNFINISHED_EXPLANATIONS_NAME
    lines = unfinished.read_text().splitlines(keepends=True)
    unfinished.write_text("".join(lines[:-1]) + lines[-1][:14])  # a kill in the middle of a batch, and of a line
    (checkpoint / "explanations.json").unlink()
    with pytest.raises(MismatchError, match=r"an unfinished explanation .*baseline \('padding' there, 'zero' here\)"):
        clvq.explain(checkpoint, baseline="zero", **FEW)
    done: list[float] = []
    again = clvq.explain(
        checkpoint, progress=lambda p: done.append(p.done) if p.total else None, batch_tokens=200, **FEW
    )
    assert min(done) >= 5
    assert again.sentences == whole  # to the last bit: batches are those of an explanation in one go


def test_the_same_again_is_read_and_other_settings_are_named(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = clvq.explain(checkpoint, limit=3, **FEW)
    assert len(first.sentences) == 3
    with pytest.raises(MismatchError, match=r"mass \(None there, 0.5 here\).*--overwrite"):
        clvq.explain(checkpoint, limit=3, mass=0.5, **FEW)
    clvq.codebook(checkpoint, overwrite=True)
    notes: list[str | None] = []
    monkeypatch.setattr("clvq.activations.source.LanguageModel", None)  # not needed any more
    again = clvq.explain(checkpoint, limit=3, device="cpu", progress=lambda p: notes.append(p.note), **FEW)
    assert again.sentences == first.sentences
    assert any(note and "up to date" in note for note in notes)


def test_words_are_attributed_once_for_the_checkpoints_of_a_layer(checkpoint: Path) -> None:
    notes: list[str] = []

    def explain(name: str, **settings: Any) -> list[Any]:
        notes.clear()
        given = {**FEW, **settings}
        report = lambda progress: notes.append(progress.note or "")  # noqa: E731
        return clvq.explain(checkpoint.parent / name, progress=report, **given).sentences

    first = explain("L1-L3")
    clvq.train(
        checkpoint.parent / "activations", path=checkpoint.parent / "other", input_layer=1, output_layer=3,
        codebook_size=12, top_k=3, epochs=1, decoder_layers=1, seed=1,
    )  # fmt: skip
    beside = explain("other")
    assert any(note.startswith("What words do in the model is read from") for note in notes)
    alone = explain("other", overwrite=True)
    assert not any("is read from" in note for note in notes)
    assert beside == alone != first
    explain("other", overwrite=True, steps=3)
    assert not any("is read from" in note for note in notes)
    (checkpoint.parent / "L1-L3" / "explanations.jsonl").write_text("damaged")
    (checkpoint.parent / "other" / "explanations.json").unlink()
    explain("other")
    assert not any("is read from" in note for note in notes)


def test_a_checkpoint_trained_again_is_explained_again(checkpoint: Path) -> None:
    first = clvq.explain(checkpoint, limit=3, **FEW)
    clvq.train(
        checkpoint.parent / "activations", path=checkpoint, input_layer=1, output_layer=3, codebook_size=12, top_k=3,
        epochs=1, decoder_layers=1, seed=3, overwrite=True,
    )  # fmt: skip
    again = clvq.explain(checkpoint, limit=3, **FEW)
    assert again.summary.checkpoint != first.summary.checkpoint
    assert again.summary.codebook == again.codebook.summary.concepts_checksum


def test_rationales_are_compared_word_by_word(checkpoint: Path) -> None:
    """Average precision and F1 written out, over the distinct texts that are marked in part."""
    found = clvq.explain(checkpoint, rationale_column="why", mass=0.5, **FEW)
    precisions, overlaps = [], []
    for sentence in found.sentences:
        marked = [
            any(word.start < end and start < word.end for start, end in sentence.rationale) for word in sentence.words
        ]
        assert any(marked) and not all(marked)
        salient = [word.salient for word in sentence.words]
        precisions.append(average_precision_score(marked, [word.attribution for word in sentence.words]))
        hits = sum(one and other for one, other in zip(marked, salient, strict=True))
        overlaps.append(2 * hits / (sum(marked) + sum(salient)))
    figures = found.summary.rationales
    assert figures.sentences == len({sentence.text for sentence in found.sentences}) == len(precisions)
    assert figures.auprc["attribution"] == pytest.approx(np.mean(precisions))
    assert figures.token_f1["attribution"] == pytest.approx(np.mean(overlaps))
    assert set(figures.auprc) == set(figures.token_f1) == {"attribution", "random", "frequency"}


def test_of_several_labels_a_text_has_the_mean_of_their_agreement(tmp_path: Path) -> None:
    tiny_models.tiny_bert(tmp_path / "model", layers=2, labels=3, problem_type="multi_label_classification")
    texts = tiny_models.made_sentences()[:20]
    rows = [{"text": text, "label": [number % 3], "why": text.split()[-1]} for number, text in enumerate(texts)]
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    clvq.extract(tmp_path / "activations", model=str(tmp_path / "model"), dataset=str(corpus), layers=(1, 2))
    path = tmp_path / "L1-L2"
    clvq.train(
        tmp_path / "activations", path=path, input_layer=1, output_layer=2, codebook_size=8, top_k=2, epochs=1,
        decoder_layers=1,
    )  # fmt: skip
    found = clvq.explain(path, rationale_column="why", **FEW)
    precisions: dict[str, list[float]] = {}
    for sentence in found.sentences:
        marked = [any(w.start < end and start < w.end for start, end in sentence.rationale) for w in sentence.words]
        precision = average_precision_score(marked, [word.attribution for word in sentence.words])
        precisions.setdefault(sentence.text, []).append(precision)
    assert {len(of_text) for of_text in precisions.values()} == {3}
    figures = found.summary.rationales
    assert figures.sentences == len(precisions)
    assert figures.auprc["attribution"] == pytest.approx(np.mean(list(precisions.values())))


def test_a_text_marked_twice_has_both_rationales(trained: Path) -> None:
    store = clvq.ActivationStore(trained / "activations")
    spans = read_rationales(store, "why")
    text = tiny_models.made_sentences()[0]
    assert spans[text] == [(0, len(text) // 2), (len(text) - 4, len(text))]


@pytest.mark.parametrize(
    ("text", "why", "spans"),
    [
        ("the heart of this art film", "art", [(18, 21)]),
        ("this is fine", "is", [(5, 7)]),
        ("unbelievably good", "believ", [(2, 8)]),  # nowhere a word of its own
        ("i don't like it", str(["don't", "it"]), [(2, 7), (13, 15)]),  # as pandas writes a list
        ("an 'odd' film", str(["'odd'", 'a"b']), [(3, 8)]),
        ("[sic] a film", "[sic]", [(0, 5)]),
    ],
)
def test_where_a_marked_part_is(
    tmp_path: Path, model_folder: Any, text: str, why: str, spans: list[tuple[int, int]]
) -> None:
    corpus = tmp_path / "corpus.jsonl"
    rows = [{"text": text, "label": 0, "why": why}, {"text": "other texts", "label": 1, "why": "nowhere"}]
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    training = tmp_path / "training.jsonl"
    training.write_text('{"text": "a film", "label": 0}\n{"text": "a story", "label": 1}\n', encoding="utf-8")
    store = clvq.extract(
        tmp_path / "activations", model=str(model_folder("bert")), dataset=str(training), eval_dataset=str(corpus),
        layers=(1,),
    )  # fmt: skip
    notes: list[str] = []
    found = read_rationales(store, "why", lambda report: notes.append(report.note or ""))
    assert found == {text: spans, "other texts": []}
    missing = 1 + (why.count('a"b') > 0)
    assert any(note.startswith(f"{missing} parts that the column 'why' marks are not in their texts") for note in notes)


def test_a_rationale_column_that_is_none_is_refused(checkpoint: Path) -> None:
    with pytest.raises(ClvqError, match=r"has no column 'nothing'.*text, label, why"):
        clvq.explain(checkpoint, rationale_column="nothing")
    with pytest.raises(ClvqError, match=r"does not mark parts of the texts|neither a part of the text nor"):
        clvq.explain(checkpoint, rationale_column="label")
    corpus = Path(clvq.ActivationStore(checkpoint.parent / "activations").settings.dataset)
    before = corpus.read_bytes()
    try:
        corpus.write_bytes(before + b'{"text": "more", "label": 1, "why": "more"}\n')
        with pytest.raises(MismatchError, match="it was changed or moved"):
            clvq.explain(checkpoint, rationale_column="why")
    finally:
        corpus.write_bytes(before)


def test_sentences_without_words_are_left_out_and_long_ones_cut(tmp_path: Path, model_folder: Any) -> None:
    texts = [f"good film {number}" for number in range(30)]
    corpus, evaluation = tmp_path / "train.txt", tmp_path / "eval.txt"
    corpus.write_text("\n".join(texts) + "\n")
    evaluation.write_text("The film\n\n" + "slow " * 200 + "\n")
    clvq.extract(
        tmp_path / "activations", model=str(model_folder("gpt2")), dataset=str(corpus), eval_dataset=str(evaluation),
        layers=(1, 2),
    )  # fmt: skip
    path = tmp_path / "L1-L2"
    clvq.train(
        tmp_path / "activations", path=path, input_layer=1, output_layer=2, codebook_size=8, top_k=2, epochs=1,
        decoder_layers=1,
    )  # fmt: skip
    found = clvq.explain(path, **FEW)
    assert [sentence.id for sentence in found.sentences] == [0, 2]
    assert found.figures.left_out == {"without words": 1}
    assert found.figures.truncated == 1
    assert [(len(one.words) + one.left_out, one.left_out > 0) for one in found.sentences] == [(2, False), (200, True)]
    assert found.figures.accuracy is None
    # A decoder's first token is an attention sink: training left it out, so the first word has no code.
    assert [word.code is None for word in found.sentences[0].words] == [True, False]
    assert found.concept(None) is None
    with pytest.raises(ClvqError, match=r"has no column 'label'"):
        clvq.explain(path, rationale_column="label", overwrite=True)


def test_a_changed_model_is_refused(tmp_path: Path, checkpoint: Path) -> None:
    made = clvq.read_checkpoint(checkpoint).config.provenance.model
    model = Path(made.id)
    card = model / "vocab_extra.txt"
    try:
        card.write_text("something else")
        with pytest.raises(MismatchError, match="its files have changed"):
            clvq.explain(checkpoint, "good")
    finally:
        card.unlink()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"mass": 0.0}, "--mass must be above 0"),
        ({"mass": 1.5}, "--mass must be above 0 and at most 1"),
        ({"completeness": 0.0}, "--completeness must be above 0"),
        ({"steps": 0}, "--steps must be 1 or more"),
        ({"steps": 600}, "--steps 600 is more than --max-steps 512"),
        ({"limit": 0}, "--limit must be 1 or more"),
        ({"baseline": "none"}, "--baseline must be one of padding, zero"),
        ({"limit": 3, "texts": ["good"]}, "--limit is for the evaluation split"),
        ({"rationale_column": "why", "texts": ["good"]}, "--rationale-column is for the evaluation split"),
        ({"texts": []}, "No text is given"),
        ({"texts": ["good", " \n"]}, "Text 2 of 2 is empty"),
    ],
)
def test_what_cannot_be_is_refused(checkpoint: Path, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ClvqError, match=says):
        clvq.explain(checkpoint, **settings)
