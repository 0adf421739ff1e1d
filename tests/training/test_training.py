"""`clvq.train`: what is reported against naive loops, what it learns, which rows it takes."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.linear_model import Ridge

import clvq
from clvq.activations.store import ActivationStore
from clvq.artifacts import CHECKPOINT
from clvq.config import TrainConfig
from clvq.language_model.rows import WORD
from clvq.models.clvq_vae import ClvqVae
from clvq.models.decoder import Layout
from clvq.progress import Progress, silent
from clvq.storage import write_signed
from clvq.training.evaluation import evaluate
from clvq.training.job import TrainingRows
from clvq.training.rows import LayerPair, PairBatch, PairRows, frequency_mask, pair_rows, split_by_text
from clvq.training.verdict import training_verdict

pytestmark = pytest.mark.slow

SMALL = {"codebook_size": 16, "epochs": 4, "batch_sentences": 16, "learning_rate": 3e-3, "device": "cpu"}
PAIR = {"input_layer": 1, "output_layer": 4}


@pytest.fixture(scope="module")
def checkpoint(tiny_store: ActivationStore, tmp_path_factory: pytest.TempPathFactory) -> clvq.Checkpoint:
    path = tmp_path_factory.mktemp("run") / "L1-L4"
    return clvq.train(tiny_store, path=path, **PAIR, **SMALL, yardsticks="full")


def sentence_rows(store: ActivationStore, split: str, layer: int) -> list[torch.Tensor]:
    ends = np.cumsum(store.row_counts(split))
    return store.rows(split, layer).slices((ends - store.row_counts(split)).tolist(), ends.tolist())


def training_words(store: ActivationStore, layer: int) -> torch.Tensor:
    rows = sentence_rows(store, "train", layer)
    chosen, _ = split_by_text(store, "train")
    flags = [torch.tensor(sentence.flags) & WORD for sentence in store.sentences("train")]
    return torch.cat([rows[i][flags[i] != 0] for i in chosen]) * store.layers[layer].scale


def test_figures_equal_a_naive_loop_over_sentences(checkpoint: clvq.Checkpoint, tiny_store: ActivationStore) -> None:
    model = checkpoint.load()
    scale = tiny_store.layers[4].scale
    mean = training_words(tiny_store, 4).mean(0)
    errors = squares = 0.0
    usage = torch.zeros(16)
    on_texts: list[set[str]] = [set() for _ in range(16)]
    inputs, outputs = (sentence_rows(tiny_store, "eval", layer) for layer in (1, 4))
    for number, sentence in enumerate(tiny_store.sentences("eval")):
        words = torch.tensor(sentence.flags) & WORD != 0
        with torch.no_grad():
            output = model(inputs[number][None])
        targets = outputs[number] * scale
        errors += float((output.prediction[0] * scale - targets)[words].double().square().sum())
        squares += float((targets - mean)[words].double().square().sum())
        for index in output.indices[0][words].tolist():
            usage[index] += 1
            on_texts[index].add(sentence.text)
    figures = checkpoint.results.evaluation
    assert figures.fvu == pytest.approx(errors / squares, rel=1e-4)
    shares = usage[usage > 0] / usage.sum()
    assert figures.codebook_perplexity == pytest.approx(math.exp(-float((shares * shares.log()).sum())), rel=1e-4)
    assert figures.active_codes == int((usage > 0).sum()) == 16 - figures.dead_codes
    assert figures.active_codes_5 == sum(len(texts) >= 5 for texts in on_texts)
    assert figures.rows == int(usage.sum())
    assert 1.0 <= figures.candidates_in_use <= 5.0


def test_yardsticks_equal_other_ways_to_them(checkpoint: clvq.Checkpoint, tiny_store: ActivationStore) -> None:
    x, y = (training_words(tiny_store, layer) for layer in (1, 4))
    flags = torch.from_numpy(tiny_store.flags("eval")) & WORD != 0
    x_eval, y_eval = (
        torch.cat(sentence_rows(tiny_store, "eval", layer))[flags] * tiny_store.layers[layer].scale for layer in (1, 4)
    )
    total = float((y_eval - y.mean(0)).square().sum())
    yardsticks = checkpoint.results.yardsticks
    raw_x, raw_y = (torch.cat(sentence_rows(tiny_store, "eval", layer))[flags] for layer in (1, 4))
    raw_mean = y.mean(0) / tiny_store.layers[4].scale
    of_copy = float((raw_y - raw_x).square().sum()) / float((raw_y - raw_mean).square().sum())
    assert yardsticks.copy == pytest.approx(of_copy, rel=1e-4)
    assert (
        checkpoint.results.of_update["copy"] >= 1
    )  # a copy predicts that there is no update, never better than their mean
    penalty = len(x) * float(x.square().mean())
    best = min(
        float((y_eval - torch.from_numpy(Ridge(alpha=share * penalty).fit(x, y).predict(x_eval))).square().sum())
        / total
        for share in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
    )
    assert yardsticks.ridge == pytest.approx(best, rel=0.1)
    assert 0 < yardsticks.mean_per_code < 1.5
    assert 0 < yardsticks.frozen_kmeans < 1.5


def test_the_wrong_figures_of_earlier_versions_are_left_out(checkpoint: clvq.Checkpoint, tmp_path: Path) -> None:
    """The copy of version 1 was measured between rows that were scaled layer by layer. Where they were not scaled, it
    stands. Until version 2, a word without its own code was a mean over sentences."""
    copy = checkpoint.results.yardsticks.copy
    for version, scale, expected in ((1, "unit", None), (1, "raw", copy), (2, "unit", copy)):
        body = CHECKPOINT.read(checkpoint.path)
        body["settings"] |= {"layer_scale": scale}
        write_signed(CHECKPOINT.path(tmp_path), CHECKPOINT.format, version, {**body, "format_version": version})
        read = clvq.read_checkpoint(tmp_path).results
        assert read.yardsticks.copy == expected
        assert read.yardsticks.ridge == checkpoint.results.yardsticks.ridge
        assert read.evaluation.fvu_own_code_mean is None
        assert read.evaluation.fvu_codes_shuffled == checkpoint.results.evaluation.fvu_codes_shuffled
        assert not any("own code" in said for said in training_verdict(clvq.read_checkpoint(tmp_path)).warnings)


def test_without_its_own_code_a_word_weighs_as_much_as_any_other(
    checkpoint: clvq.Checkpoint, tiny_store: ActivationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where every word loses its code in turn, the figure is that of a naive loop over all words."""
    model, settings = checkpoint.load(), checkpoint.settings
    rows = TrainingRows.read(tiny_store, settings, silent)
    codes, errors, squares = [], 0.0, 0.0
    flags = [torch.tensor(sentence.flags) & WORD != 0 for sentence in tiny_store.sentences("eval")]
    inputs, outputs = (sentence_rows(tiny_store, "eval", layer) for layer in (1, 4))
    with torch.no_grad():
        codes = [model(values[None]).indices[0] for values in inputs]
        used = torch.cat([code[words] for code, words in zip(codes, flags, strict=True)])
        mean_code = model.codebook[used].double().mean(0).float()
        for code, words, targets in zip(codes, flags, outputs, strict=True):
            targets = targets * tiny_store.layers[4].scale
            for place in words.nonzero()[:, 0].tolist():
                z_q = model.codebook[code].clone()
                z_q[place] = mean_code
                prediction = model.decoder(z_q, Layout.of_mask(torch.ones(1, len(z_q), dtype=torch.bool)))
                errors += float((prediction[place] - targets[place]).double().square().sum())
                squares += float((targets[place] - rows.means.words).double().square().sum())
    monkeypatch.setattr("clvq.training.evaluation.OWN_CODE_DRAWS", 300)
    figures = evaluate(model, rows.evaluation, rows.means, reliance=True)
    assert figures.fvu_own_code_mean == pytest.approx(errors / squares, rel=0.02)
    blind = clvq.train(tiny_store, path=checkpoint.path.parent / "blind", **PAIR, **SMALL).load()
    with torch.no_grad():
        blind.codebook.zero_()  # a prediction that no code can change
    figures = evaluate(blind, rows.evaluation, rows.means, reliance=True)
    assert figures.fvu_own_code_mean == pytest.approx(figures.fvu, rel=1e-6)


@pytest.mark.parametrize("kind", ["gpt2", "bert"])
def test_sentence_rows_are_measured_where_most_sentences_have_one(kind: str, model_folder: Any, tmp_path: Path) -> None:
    """In a decoder the last word's row is the sentence's, but for texts with something behind it."""
    texts = [f"the {word} film was {other}" for word in ("good", "bad", "slow") for other in ("fine", "dull", "great")]
    corpora = {"dataset": [f"{text} indeed" for text in texts], "eval_dataset": [*texts, "a film ", "a plot "]}
    for name, chosen in corpora.items():
        lines = "".join(json.dumps({"text": text}) + "\n" for text in chosen)
        (tmp_path / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    files = {name: str(tmp_path / f"{name}.jsonl") for name in corpora}
    store = clvq.extract(tmp_path / "activations", model=str(model_folder(kind)), layers=(1, 2), **files)
    settings = {"codebook_size": 4, "top_k": 2, "epochs": 1, "device": "cpu", "input_layer": 1, "output_layer": 2}
    for method in ("kmeans", "sae"):
        trained = clvq.train(store, method=method, path=tmp_path / method, **settings)
        assert (trained.results.evaluation.fvu_sentence_rows is None) == (kind == "gpt2")


def test_copies_of_a_text_do_not_make_a_code_well_attested(model_folder: Any, tmp_path: Path) -> None:
    lines = ["the good film was fine", "a bad plot and a dull end", "good fun for all of us"]
    corpora = {"dataset": lines, "eval_dataset": ["good good film"] * 9 + ["a bad bad film"] * 9}
    for name, texts in corpora.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(texts) + "\n")
    paths = {name: str(tmp_path / f"{name}.txt") for name in corpora}
    store = clvq.extract(tmp_path / "activations", model=str(model_folder("bert")), layers=(1, 2), **paths)
    settings = {"codebook_size": 4, "top_k": 2, "epochs": 1, "device": "cpu"}
    trained = clvq.train(store, input_layer=1, output_layer=2, path=tmp_path / "codes", **settings)
    assert trained.results.evaluation.active_codes_5 == 0
    sae = clvq.train(store, input_layer=1, output_layer=2, method="sae", path=tmp_path / "sae", **settings)
    assert sae.results.evaluation.active_codes_5 == 0


def test_training_learns_and_its_log_says_so(checkpoint: clvq.Checkpoint) -> None:
    lines = [json.loads(line) for line in (checkpoint.path / "metrics.jsonl").read_text().splitlines()]
    epochs = [line for line in lines if line["kind"] == "epoch"]
    assert [line["epoch"] for line in epochs] == [1, 2, 3, 4]
    assert epochs[-1]["selection_fvu"] < epochs[0]["selection_fvu"]
    assert checkpoint.results.evaluation.fvu < 1.0
    assert checkpoint.results.selection_fvu == pytest.approx(min(line["selection_fvu"] for line in epochs))
    assert not (checkpoint.path / "training").exists()
    assert "library_name: clvq" in (checkpoint.path / "README.md").read_text()


def test_a_finished_checkpoint_is_left_alone(checkpoint: clvq.Checkpoint, tiny_store: ActivationStore) -> None:
    before = {path.name: path.read_bytes() for path in checkpoint.path.iterdir()}
    notes: list[str] = []

    def take(progress: Progress) -> None:
        notes.append(progress.note or "")

    clvq.train(tiny_store, path=checkpoint.path, **PAIR, **SMALL, progress=take)
    assert any("up to date" in note for note in notes)
    assert {path.name: path.read_bytes() for path in checkpoint.path.iterdir()} == before
    with pytest.raises(clvq.MismatchError, match="epochs"):
        clvq.train(tiny_store, path=checkpoint.path, **PAIR, **{**SMALL, "epochs": 5})
    with pytest.raises(clvq.MismatchError, match="layers 1, 2, 4, not 3"):
        clvq.train(tiny_store, path=checkpoint.path, input_layer=1, output_layer=3)


def test_a_notebooks_random_state_is_its_own(tiny_store: ActivationStore, tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    clvq.train(tiny_store, path=tmp_path / "c", **PAIR, **{**SMALL, "epochs": 1})
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_a_cut_training_ends_in_the_same_bits(tiny_store: ActivationStore, tmp_path: Path, preset: str) -> None:
    settings = {**PAIR, **SMALL, "preset": preset, "min_frequency": 0, "decoder_layers": 1}
    whole = clvq.train(tiny_store, path=tmp_path / "whole", **settings)
    for stop in (7, 23):

        def interrupt(progress: Progress, stop: int = stop) -> None:
            if progress.stage == "train" and progress.done == stop and "loss" in progress.details:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            clvq.train(tiny_store, path=tmp_path / "cut", **settings, progress=interrupt)
    with pytest.raises(clvq.MismatchError, match="unfinished training"):
        clvq.train(tiny_store, path=tmp_path / "cut", **{**settings, "seed": 1})
    cut = clvq.train(tiny_store, path=tmp_path / "cut", **settings)
    assert (cut.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()
    assert cut.results.evaluation == whole.results.evaluation
    lines = [json.loads(line) for line in (cut.path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "resume"] == [7, 23]
    losses = [
        [(line["step"], line["loss"]) for line in map(json.loads, log.read_text().splitlines()) if "loss" in line]
        for log in (cut.path / "metrics.jsonl", whole.path / "metrics.jsonl")
    ]
    assert losses[0] == losses[1]


def test_bfloat16_changes_the_decoders_products_and_nothing_else(
    tiny_store: ActivationStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first step is compared, after which codes differ too since the encoder's gradient passes the decoder."""
    seen: dict[str, list[tuple[torch.Tensor, ...]]] = {}
    real = ClvqVae.completed

    def completed(model: ClvqVae, decoded: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        if model.training:
            seen[precision].append((decoded.detach().clone(), model.codebook.clone()))
        return real(model, decoded, inputs)

    monkeypatch.setattr(ClvqVae, "completed", completed)
    fvu = {}
    for precision in ("float32", "bfloat16"):
        seen[precision] = []
        made = clvq.train(tiny_store, path=tmp_path / precision, **PAIR, **SMALL, precision=precision)
        fvu[precision] = made.results.evaluation.fvu
        assert {value.dtype for value in load_file(made.path / "model.safetensors").values()} <= {
            torch.float32, torch.int64,
        }  # fmt: skip
    (exact, codes), (rounded, same_codes) = (seen[precision][0] for precision in ("float32", "bfloat16"))
    assert torch.equal(codes, same_codes)
    difference = (rounded - exact).norm() / exact.norm()
    assert 2**-12 < difference < 2**-5  # bfloat16 has 8 bits
    assert fvu["bfloat16"] == pytest.approx(fvu["float32"], rel=0.1)
    with pytest.raises(clvq.ClvqError, match="precision"):
        clvq.train(tiny_store, path=tmp_path / "float32", **PAIR, **SMALL, precision="bfloat16")


def test_the_caps_of_word_types(tiny_store: ActivationStore) -> None:
    training, _ = split_by_text(tiny_store, "train")
    words: dict[str, list[tuple[int, int | None]]] = {}
    row = 0
    for number, sentence in enumerate(tiny_store.sentences("train")):
        for start, end, flag in zip(sentence.starts, sentence.ends, sentence.flags, strict=True):
            if number in set(training.tolist()) and flag & WORD:
                words.setdefault(sentence.text[start:end], []).append((row, sentence.label))
            row += 1
    sentence_only = (tiny_store.flags("train") & WORD) == 0
    for order in ("file", "random"):
        keep = frequency_mask(tiny_store, training, 3, 8, order, seed=0)
        for members in words.values():
            kept = [row for row, _ in members if keep[row]]
            assert len(kept) == (0 if len(members) < 3 else min(8, len(members)))
            if order == "file":
                assert kept == [row for row, _ in members][: len(kept)]
            elif len(members) > 8:
                labels = [label for row, label in members if keep[row]]
                rarest = min(sum(label == which for _, label in members) for which in (0, 1))
                assert min(labels.count(0), labels.count(1)) == min(4, rarest)
    chosen = np.zeros(tiny_store.sentence_count("train"), bool)
    chosen[training] = True
    of_chosen = np.repeat(chosen, tiny_store.row_counts("train"))
    assert keep[sentence_only & of_chosen].all()
    rows = pair_rows(tiny_store, "train", LayerPair((1, 4)), sentences=training, keep=keep)
    assert rows.row_count == int(keep.sum())
    batch = rows.read(np.arange(len(rows))[:5])
    whole = torch.cat([s for _, s in tiny_store.rows("train", 1).shards()])
    torch.testing.assert_close(batch.inputs, whole[rows.row_numbers(np.arange(5))])


@pytest.mark.parametrize("count", [1, 63, 64, 65, 128])
def test_first_codes_are_drawn_from_all_rows_where_there_are_few(tiny_store: ActivationStore, count: int) -> None:
    """Sentences are read 64 at a time; the last part may be full."""
    scales = tiny_store.layer(1).scale, tiny_store.layer(2).scale
    training, _ = split_by_text(tiny_store, "train")
    rows = pair_rows(tiny_store, "train", LayerPair((1, 2), scales), sentences=training[:count])
    drawn = rows.sample_inputs(10**6, torch.Generator().manual_seed(0))
    every = rows.read(np.arange(len(rows))).inputs
    assert len(rows) == count
    assert torch.equal(drawn.sort(dim=0).values, every.sort(dim=0).values)


def test_a_text_is_in_training_or_in_the_selection_slice(tiny_store: ActivationStore) -> None:
    training, selection = split_by_text(tiny_store, "train")
    texts = [sentence.text for sentence in tiny_store.sentences("train")]
    parts = [{texts[i] for i in training}, {texts[i] for i in selection}]
    assert not parts[0] & parts[1]
    assert parts[0] | parts[1] == set(texts)
    assert len(training) + len(selection) == len(set(texts))


def test_settings_are_checked_and_layered() -> None:
    config = TrainConfig.resolve(preset="paper", input_layer=1, output_layer=2, epochs=3)
    assert (config.epochs, config.decoder_layers, config.decoder_memory) == (3, 6, "encoder")
    for wrong, message in (
        ({"output_layer": 1}, "must lie below"),
        ({"top_k": 500}, "--top-k 500"),
        ({"learning_rate": -1.0}, "--learning-rate"),
        ({"initialization": "magic"}, "one of spherical"),
        ({"epochs": 2.5}, "--epochs must be a whole number"),
        ({"lr": 1.0}, "There is no setting 'lr'"),
    ):
        with pytest.raises(clvq.ClvqError, match=message):
            TrainConfig.resolve(**{"input_layer": 1, "output_layer": 2, **wrong})


def test_batches_that_are_read_ahead_are_the_same(
    tiny_store: ActivationStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a GPU, here for the CPU, with an interruption."""
    settings = {**PAIR, **SMALL, "epochs": 2}
    whole = clvq.train(tiny_store, path=tmp_path / "whole", **settings)
    read, threads = PairRows.read, set[str]()

    def noted(rows: PairRows, indices: np.ndarray) -> PairBatch:
        threads.add(threading.current_thread().name)
        return read(rows, indices)

    def interrupt(progress: Progress) -> None:
        if progress.stage == "train" and progress.done == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr("clvq.training.rows.READ_AHEAD_FOR", ("cpu",))
    monkeypatch.setattr(PairRows, "read", noted)
    with pytest.raises(KeyboardInterrupt):
        clvq.train(tiny_store, path=tmp_path / "ahead", **settings, progress=interrupt)
    ahead = clvq.train(tiny_store, path=tmp_path / "ahead", **settings)
    assert (ahead.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()
    assert any(name.startswith("ThreadPoolExecutor") for name in threads)


def test_two_processes_train_like_one(tiny_store: ActivationStore, tmp_path: Path) -> None:
    """With draws and dropout off, what two processes learn together is what one learns alone, up to rounding."""
    settings = {**PAIR, **SMALL, "top_k": 1, "dropout": 0.0, "epochs": 3}
    one = clvq.train(tiny_store, path=tmp_path / "one", **settings)
    script = tmp_path / "two.py"
    script.write_text(
        f"import clvq\nif __name__ == '__main__':\n"
        f"    clvq.train({str(tiny_store.path)!r}, path={str(tmp_path / 'two')!r}, **{settings!r})\n"
    )
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    subprocess.run(launch, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=200)
    two = clvq.read_checkpoint(tmp_path / "two")
    assert two.results.steps == one.results.steps
    assert two.results.evaluation.fvu == pytest.approx(one.results.evaluation.fvu, rel=1e-2)
    for (name, ours), theirs in zip(one.load().state_dict().items(), two.load().state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-2, rtol=2e-2, msg=name)
    assert (two.path / "metrics.jsonl").read_text().count('"kind": "epoch"') == 3


def test_a_pass_reads_few_rows_at_a_time_and_measures_the_same(
    tiny_store: ActivationStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"input_layer": 1, "output_layer": 4, **SMALL}
    whole = clvq.train(tiny_store, path=tmp_path / "whole", **settings)
    monkeypatch.setattr("clvq.training.rows.ROWS_IN_A_PASS", 30)
    rows = TrainingRows.read(tiny_store, TrainConfig(**settings), silent).training
    batches = list(rows.batches(64))
    assert sorted(np.concatenate(batches)) == list(range(len(rows)))
    assert all(rows.lengths[batch].sum() <= 30 or len(batch) == 1 for batch in batches)
    assert max(len(batch) for batch in batches) > 1
    parts = clvq.train(tiny_store, path=tmp_path / "parts", **settings)
    for name in ("fvu", "fvu_sentence_rows", "fvu_own_code_mean", "fvu_codes_shuffled"):
        assert getattr(parts.results.evaluation, name) == pytest.approx(
            getattr(whole.results.evaluation, name), rel=1e-4
        )
