"""The activation store against states taken sentence by sentence, without batching, padding or shards."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import clvq
from clvq.activations import extraction
from clvq.activations.store import ActivationStore
from clvq.corpus.splits import SPLITS
from clvq.language_model.model import LanguageModel
from clvq.language_model.rows import FIRST, SENTENCE, WORD, row_layout

ODD = [
    "",
    "   ",
    "one",
    "good\x00bad film",
    "a\u0301e\u0300 \U0001f600 caf\u00e9",
    "<b>[red]\x1b[31mbold</b>",
    "x" * 400,
]


def write_corpus(path: Path, texts: list[str]) -> Path:
    lines = [json.dumps({"text": text, "label": number % 2}) for number, text in enumerate(texts)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def odd_corpus(tmp_path: Path) -> Path:
    texts = [f"the film number {number} was not {'very ' * (number % 7)}good" for number in range(60)]
    return write_corpus(tmp_path / "odd.jsonl", [*texts[:30], *ODD, *texts[30:]])


def small_shards(monkeypatch: pytest.MonkeyPatch, rows: int = 100) -> None:
    monkeypatch.setattr(extraction, "FIRST_SHARD_ROWS", rows)
    monkeypatch.setattr(extraction, "SHARD_BYTES", rows * 132)


@pytest.mark.parametrize("name", ["bert", "gpt2"])
@pytest.mark.parametrize("unit", ["word", "token"])
def test_every_row_is_the_one_of_its_own_sentence(
    name: str,
    unit: str,
    odd_corpus: Path,
    tmp_path: Path,
    model_folder: Callable[[str], Path],
    language_model: Callable[[str], LanguageModel],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small_shards(monkeypatch)
    store = clvq.extract(
        tmp_path / "a",
        model=str(model_folder(name)),
        dataset=str(odd_corpus),
        layers=(0, 2),
        unit=unit,
        batch_tokens=128,
        device="cpu",
    )
    model = language_model(name)
    for split in SPLITS:
        states = {layer: store.rows(split, layer) for layer in (0, 2)}
        ends = np.cumsum(store.row_counts(split))
        flags = store.flags(split)
        assert len(states[0]) == len(states[2]) == ends[-1] == len(flags)
        for sentence, end in zip(store.sentences(split), ends, strict=True):
            (tokenized,) = model.tokenize([sentence.text], unit, "text")
            layout = row_layout(tokenized, "last")
            assert sentence.flags == layout.flags
            words = [sentence.text[s:e] for s, e, f in zip(*sentence[4:], strict=True) if f & WORD]
            assert words == [sentence.text[s:e] for s, e in tokenized.words]
            if not layout.flags:
                assert sentence.prediction is None
                continue
            alone = model.run([tokenized], [0, 2], "last", predict=True)
            begin = end - len(layout.flags)
            for layer in (0, 2):
                (stored,) = states[layer].slices([begin], [end])
                torch.testing.assert_close(stored, alone.hidden[layer], atol=1e-5, rtol=1e-5)
                norms = states[layer].norms()[begin:end]
                np.testing.assert_allclose(norms, alone.hidden[layer].norm(dim=1).numpy(), rtol=1e-4)
            assert sentence.prediction == int(alone.logits.argmax())  # type: ignore[union-attr]
            np.testing.assert_allclose(sentence.probabilities, alone.logits.softmax(1)[0].numpy(), atol=1e-5)  # type: ignore[union-attr]
    assert len(store.manifest["layers"]["2"]["shards"]["train"]) > 2, "the test wants several shards"


def test_the_manifest_counts_what_became_of_the_text(tiny_store: ActivationStore) -> None:
    for split in SPLITS:
        counts = tiny_store.manifest["splits"][split]["counts"]
        flags = tiny_store.flags(split)
        assert counts["rows"] == len(flags)
        assert counts["words"] == int(((flags & WORD) != 0).sum())
        assert counts["sentence_rows"] == int(((flags & SENTENCE) != 0).sum()) == tiny_store.sentence_count(split)
    texts = {split: {row.text for row in tiny_store.sentences(split)} for split in SPLITS}
    assert not texts["train"] & texts["eval"]


def test_the_scale_makes_the_mean_squared_norm_the_width(tiny_store: ActivationStore) -> None:
    for layer, entry in tiny_store.layers.items():
        rows = torch.cat([shard for _, shard in tiny_store.rows("train", layer).shards()])
        assert float((rows * entry.scale).square().sum(1).mean()) == pytest.approx(entry.width, rel=1e-4)


def test_an_interrupted_run_goes_on_to_the_same_bytes(
    odd_corpus: Path, tmp_path: Path, model_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    small_shards(monkeypatch)
    settings = {"model": str(model_folder("bert")), "dataset": str(odd_corpus), "layers": (1, 3), "device": "cpu"}
    whole = clvq.extract(tmp_path / "whole", **settings)
    for fatal in (2, 4):  # dies in its second, then in its fourth shard
        with pytest.raises(RuntimeError, match="struck"), monkeypatch.context() as patch:
            dying(patch, fatal)
            clvq.extract(tmp_path / "cut", **settings)
        assert not (tmp_path / "cut" / "manifest.json").exists()
        with pytest.raises(clvq.MismatchError, match="dtype"):
            clvq.extract(tmp_path / "cut", **settings, dtype="float16")
    cut = clvq.extract(tmp_path / "cut", **settings)
    assert cut.fingerprint == whole.fingerprint
    assert cut.layers == whole.layers
    for split in SPLITS:
        assert list(cut.sentences(split)) == list(whole.sentences(split))
        for layer in (1, 3):
            one, other = (torch.cat([s for _, s in store.rows(split, layer).shards()]) for store in (cut, whole))
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    leftovers = {path.name for path in (tmp_path / "cut").iterdir()} - {path.name for path in whole.path.iterdir()}
    assert not {name for name in leftovers if not name.endswith(".safetensors")}


def dying(patch: pytest.MonkeyPatch, fatal: int) -> None:
    from clvq.activations.writer import StoreWriter

    write, calls = StoreWriter.write, []

    def struck(self: StoreWriter, *args: object) -> None:
        calls.append(1)
        if len(calls) == fatal:
            raise RuntimeError("struck")
        write(self, *args)  # type: ignore[arg-type]

    patch.setattr(StoreWriter, "write", struck)


def test_a_missing_layer_is_added_for_the_same_rows(
    corpus_file: Path, tmp_path: Path, model_folder: Callable[[str], Path]
) -> None:
    settings = {"model": str(model_folder("bert")), "dataset": str(corpus_file), "device": "cpu"}
    notes: list[str] = []
    first = clvq.extract(tmp_path / "a", layers=(1,), **settings)
    both = clvq.extract(tmp_path / "a", layers=(3,), **settings)
    at_once = clvq.extract(tmp_path / "b", layers=(1, 3), **settings)
    assert both.layers == at_once.layers
    assert both.layers[1] == first.layers[1]
    assert both.fingerprint == first.fingerprint == at_once.fingerprint
    for layer in (1, 3):
        one, other = (torch.cat([s for _, s in store.rows("train", layer).shards()]) for store in (both, at_once))
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    clvq.extract(tmp_path / "a", layers=(3, 1), **settings, progress=lambda p: notes.append(p.note or ""))
    assert any("up to date" in note for note in notes)


def test_what_may_differ_and_what_may_not(
    corpus_file: Path, tmp_path: Path, model_folder: Callable[[str], Path]
) -> None:
    model = str(model_folder("bert"))
    corpus = tmp_path / "own.jsonl"
    corpus.write_bytes(corpus_file.read_bytes())
    path = tmp_path / "a"
    store = clvq.extract(path, model=model, dataset=str(corpus), layers=(1,), batch_tokens=64, device="cpu")
    again = clvq.extract(path, model=model, dataset=str(corpus), layers=(1,), batch_tokens=999, device="cpu")
    assert again.manifest == store.manifest
    with pytest.raises(clvq.MismatchError, match="pooling"):
        clvq.extract(path, model=model, dataset=str(corpus), layers=(1,), pooling="mean", device="cpu")
    corpus.write_text(corpus.read_text(encoding="utf-8") + '{"text": "one more", "label": 1}\n', encoding="utf-8")
    with pytest.raises(clvq.MismatchError, match=r"contents of .*own\.jsonl"):
        clvq.extract(path, model=model, dataset=str(corpus), layers=(1,), device="cpu")
    bystander = path / "notes.txt"
    bystander.write_text("mine")
    other = clvq.extract(path, model=model, dataset=str(corpus), layers=(1,), device="cpu", overwrite=True)
    assert other.fingerprint != store.fingerprint
    assert bystander.read_text() == "mine"


def test_sinks_are_left_out_unless_kept(corpus_file: Path, tmp_path: Path, model_folder: Callable[[str], Path]) -> None:
    settings = {"model": str(model_folder("gpt2")), "dataset": str(corpus_file), "layers": (1, 2), "device": "cpu"}
    store = clvq.extract(tmp_path / "a", **settings)
    flags = store.flags("train")
    norms = {layer: store.rows("train", layer).norms() for layer in (1, 2)}
    naive = ((flags & FIRST) != 0) | np.any([norm > 10 * np.median(norm) for norm in norms.values()], axis=0)
    assert naive.any()
    assert np.array_equal(store.sinks("train", (1, 2)), naive)
    assert not clvq.extract(tmp_path / "b", **settings, keep_sinks=True).sinks("train", (1, 2)).any()


def test_sixteen_bits_round_and_overflow_is_named(
    corpus_file: Path, tmp_path: Path, model_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"model": str(model_folder("bert")), "dataset": str(corpus_file), "layers": (2,), "device": "cpu"}
    full = clvq.extract(tmp_path / "full", **settings)
    half = clvq.extract(tmp_path / "half", **settings, dtype="bfloat16")
    one, other = (torch.cat([s for _, s in store.rows("eval", 2).shards()]) for store in (full, half))
    assert other.dtype == torch.bfloat16
    torch.testing.assert_close(one.bfloat16(), other)
    run = LanguageModel.run

    def loud(self: LanguageModel, *args: object, **named: object) -> object:
        result = run(self, *args, **named)  # type: ignore[arg-type]
        result.hidden[2][-1, 0] = 1e6
        return result

    monkeypatch.setattr(LanguageModel, "run", loud)
    with pytest.raises(clvq.ClvqError, match="bf16"):
        clvq.extract(tmp_path / "c", **settings, dtype="float16")
