"""The activation store against states taken sentence by sentence, without batching, padding or shards."""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import clvq
from clvq.activations import model_pass, windows, writer
from clvq.activations.store import ActivationStore
from clvq.activations.windows import WindowStates
from clvq.artifacts import UNFINISHED_ACTIVATIONS
from clvq.corpus.splits import SPLITS
from clvq.language_model.model import LanguageModel
from clvq.language_model.rows import FIRST, SENTENCE, WORD, row_layout

pytestmark = pytest.mark.slow

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


def small_windows(monkeypatch: pytest.MonkeyPatch, tokens: int = 150) -> None:
    monkeypatch.setattr(windows, "WINDOW_BYTES", tokens * 128)


def files(store: ActivationStore) -> dict[str, object]:
    """Every file of a store with its contents, the manifest without the date."""
    manifest = store.manifest.as_json()
    manifest["provenance"] = {key: value for key, value in manifest["provenance"].items() if key != "created"}
    contents: dict[str, object] = {path.name: path.read_bytes() for path in store.path.iterdir()}
    return contents | {"manifest.json": json.dumps(manifest)}


def rows_of(store: ActivationStore, split: str, layer: int) -> torch.Tensor:
    return torch.cat([shard for _, shard in store.rows(split, layer).shards()])


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
    small_windows(monkeypatch)
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
            words = [sentence.text[s:e] for s, e, f in zip(*sentence.rows, strict=True) if f & WORD]
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
            assert sentence.prediction == int(alone.scores.argmax())  # type: ignore[union-attr]
            np.testing.assert_allclose(sentence.probabilities, alone.scores.softmax(1)[0].numpy(), atol=1e-5)  # type: ignore[union-attr]
    assert len(store.manifest.layers[2].shards["train"]) > 2, "the test wants several shards"


def test_the_manifest_counts_what_became_of_the_text(tiny_store: ActivationStore) -> None:
    for split in SPLITS:
        counts = tiny_store.manifest.splits[split].counts
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
    small_windows(monkeypatch)
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
    assert files(cut) == files(whole)


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
    assert files(both) == files(at_once)
    clvq.extract(tmp_path / "a", layers=(3, 1), **settings, progress=lambda p: notes.append(p.note or ""))
    assert any("up to date" in note for note in notes)


@pytest.mark.parametrize(("name", "first"), [("gpt2", (1, 2)), ("llama", (4,)), ("deberta", (0, 3)), ("bert", (2,))])
def test_layers_added_one_by_one_have_the_bytes_of_all_at_once(
    name: str,
    first: tuple[int, ...],
    odd_corpus: Path,
    tmp_path: Path,
    model_folder: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small_windows(monkeypatch, 400)
    settings = {"model": str(model_folder(name)), "dataset": str(odd_corpus), "batch_tokens": 100, "device": "cpu"}
    every = tuple(range(4))
    at_once = clvq.extract(tmp_path / "at-once", layers=tuple({*every, *first}), **settings)
    store = clvq.extract(tmp_path / "later", layers=first, **settings)
    for layer in reversed(every):
        store = clvq.extract(tmp_path / "later", layers=(layer,), **settings)
    assert files(store) == files(at_once)


def test_batches_without_a_size_are_small_on_a_cpu_and_stay_those_of_the_store(
    odd_corpus: Path, tmp_path: Path, model_folder: Callable[[str], Path]
) -> None:
    settings = {"model": str(model_folder("bert")), "dataset": str(odd_corpus), "device": "cpu"}
    assert clvq.extract(tmp_path / "usual", layers=(1,), **settings).manifest.batch_tokens == 1024
    at_once = clvq.extract(tmp_path / "at-once", layers=(1, 3), batch_tokens=40, **settings)
    clvq.extract(tmp_path / "later", layers=(1,), batch_tokens=40, **settings)
    assert files(clvq.extract(tmp_path / "later", layers=(3,), **settings)) == files(at_once)
    other = clvq.extract(tmp_path / "other", layers=(1, 3), batch_tokens=1024, **settings)
    assert files(other) != files(at_once)


def test_the_clock_decides_nothing(
    odd_corpus: Path, tmp_path: Path, model_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a clock that stands still, one that races and one that jumps back and forth, saves come at other times."""
    small_windows(monkeypatch, 400)
    settings = {
        "model": str(model_folder("bert")), "dataset": str(odd_corpus), "layers": (1, 3), "batch_tokens": 64,
        "device": "cpu",
    }  # fmt: skip
    generator = random.Random(0)
    clocks: list[Callable[[], float]] = [
        lambda: 0.0,
        itertools.count(0.0, 3600.0).__next__,
        lambda: generator.uniform(-1e6, 1e6),
    ]
    stores, saves = [], []
    for number, clock in enumerate(clocks):
        with monkeypatch.context() as patch:
            patch.setattr(time, "monotonic", clock)
            patch.setattr(WindowStates, "save", counted(WindowStates.save, counts := []))
            stores.append(files(clvq.extract(tmp_path / str(number), **settings)))
        saves.append(len(counts))
    assert saves[0] == 0 < saves[2] < saves[1]
    assert stores[0] == stores[1] == stores[2]


def counted(function: Callable[..., None], calls: list[int]) -> Callable[..., None]:
    def call(*arguments: object) -> None:
        calls.append(1)
        function(*arguments)

    return call


def test_a_window_goes_on_after_the_batches_that_were_saved(
    odd_corpus: Path, tmp_path: Path, model_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {
        "model": str(model_folder("bert")), "dataset": str(odd_corpus), "layers": (1, 3), "batch_tokens": 64,
        "device": "cpu",
    }  # fmt: skip
    batches: list[list[int]] = []
    read = model_pass.ModelPass._read_batch

    def struck(self: object, window: object, batch: list[int], states: object) -> None:
        batches.append(batch)
        if len(batches) == fatal:
            raise RuntimeError("struck")
        read(self, window, batch, states)  # type: ignore[arg-type]

    monkeypatch.setattr(model_pass.ModelPass, "_read_batch", struck)
    fatal = 0
    whole = clvq.extract(tmp_path / "whole", **settings)
    all_batches = batches
    monkeypatch.setattr(model_pass, "SAVE_SECONDS", -1.0)
    batches, fatal = [], 6
    with pytest.raises(RuntimeError, match="struck"):
        clvq.extract(tmp_path / "cut", **settings)
    assert (tmp_path / "cut" / "unfinished.safetensors").exists()
    batches, fatal = [], 0
    cut = clvq.extract(tmp_path / "cut", **settings)
    assert batches == all_batches[5:], "five batches were saved"
    assert files(cut) == files(whole)


def test_a_fingerprint_is_of_the_rows_and_not_of_the_files(
    odd_corpus: Path, tmp_path: Path, model_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With batches of one sentence, larger windows cut the same rows into fewer files."""
    settings = {
        "model": str(model_folder("bert")), "dataset": str(odd_corpus), "layers": (1, 3), "batch_tokens": 1,
        "device": "cpu",
    }  # fmt: skip
    few = clvq.extract(tmp_path / "few", **settings)
    small_windows(monkeypatch)
    many = clvq.extract(tmp_path / "many", **settings)
    counts = [len(store.manifest.layers[1].shards["train"]) for store in (few, many)]
    assert counts[0] < counts[1]
    assert many.layers == few.layers
    assert few.layer(1).fingerprint != few.layer(3).fingerprint
    run = LanguageModel.run

    def nudged(self: LanguageModel, *arguments: object, **named: object) -> object:
        result = run(self, *arguments, **named)  # type: ignore[arg-type]
        result.hidden[3] = result.hidden[3].nextafter(torch.tensor(torch.inf))
        return result

    monkeypatch.setattr(LanguageModel, "run", nudged)
    other = clvq.extract(tmp_path / "other", **settings)
    assert other.layer(1) == many.layer(1)
    assert other.layer(3).fingerprint != many.layer(3).fingerprint


def test_what_an_earlier_version_left_unfinished_is_continued_with_a_note(
    odd_corpus: Path, tmp_path: Path, model_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had cut its shards elsewhere; its record is of format version 1."""
    settings = {"model": str(model_folder("bert")), "dataset": str(odd_corpus), "layers": (1, 3), "device": "cpu"}
    notes: list[str] = []
    with pytest.raises(RuntimeError, match="struck"), monkeypatch.context() as patch:
        small_windows(patch, 130)
        dying(patch, 3)
        clvq.extract(tmp_path / "cut", **settings)
    record = UNFINISHED_ACTIVATIONS.read(tmp_path / "cut")
    UNFINISHED_ACTIVATIONS.write(tmp_path / "cut", {**record, "format_version": 1})
    small_windows(monkeypatch)
    cut = clvq.extract(tmp_path / "cut", **settings, progress=lambda p: notes.append(p.note or ""))
    assert any("An earlier clvq" in note for note in notes)
    whole = clvq.extract(tmp_path / "whole", **settings, progress=lambda p: notes.append(p.note or ""))
    assert sum("An earlier clvq" in note for note in notes) == 1
    for split in SPLITS:
        assert [row[:3] for row in cut.sentences(split)] == [row[:3] for row in whole.sentences(split)]
        for layer in (1, 3):
            torch.testing.assert_close(rows_of(cut, split, layer), rows_of(whole, split, layer), atol=1e-5, rtol=1e-5)


def test_a_kill_right_after_the_manifest_leaves_nothing_behind(
    odd_corpus: Path, tmp_path: Path, model_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"model": str(model_folder("bert")), "dataset": str(odd_corpus), "layers": (1,), "device": "cpu"}
    whole = clvq.extract(tmp_path / "whole", **settings)
    with pytest.raises(RuntimeError, match="struck"), monkeypatch.context() as patch:
        patch.setattr(writer, "drop_unfinished", strike)
        clvq.extract(tmp_path / "cut", **settings)
    assert (tmp_path / "cut" / "unfinished.json").exists()
    assert files(clvq.extract(tmp_path / "cut", **settings)) == files(whole)


def strike(*_: object) -> None:
    raise RuntimeError("struck")


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
