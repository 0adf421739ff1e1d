"""The metric of the model's own sensitivity: its gradients against a loop over words in 64 bits, and what it does."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from scipy.spatial.distance import cdist
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

import clvq
import clvq.training.sensitivity as sensitivity_module
from clvq.activations.extraction import extract
from clvq.activations.store import ActivationStore
from clvq.artifacts import sensitivity as artifact
from clvq.device import Runtime
from clvq.language_model.model import LanguageModel
from clvq.language_model.options import ModelOptions
from clvq.language_model.rows import WORD
from clvq.progress import Progress
from clvq.training.rows import split_by_text
from clvq.training.sensitivity import metric_map

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {"epochs": 1, "decoder_layers": 1, "codebook_size": 12, "top_k": 3, "device": "cpu"}
PAIR = {"input_layer": 1, "output_layer": 3}
SENSITIVE = {**SMALL, **PAIR, "metric": "sensitivity"}


def store_of(model: Path, corpus: Path, folder: Path, layers: tuple[int, ...] = (1, 3), **settings: Any) -> Any:
    return extract(
        folder / "activations", model=str(model), dataset=str(corpus), layers=layers, device="cpu", **settings
    )


def stored_sensitivity(store: ActivationStore, layer: int = 1) -> np.ndarray:
    tensors = artifact(layer).read(store.path, made_of(store, layer))
    assert tensors is not None
    return tensors["sensitivity"].numpy()


def made_of(store: ActivationStore, layer: int = 1) -> dict[str, str]:
    model, states = store.provenance.model.fingerprint, store.layer(layer).fingerprint
    return {"version": "2", "rows": store.fingerprint, "states": states, "model": model}


def training_texts(store: ActivationStore) -> list[str]:
    chosen = set(split_by_text(store, "train")[0].tolist())
    return [row.text for number, row in enumerate(store.sentences("train")) if number in chosen]


def pairwise(gradients: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """[D, D] of one word: squared differences of the logits' gradients `[C, D]`, weighted by products of chances."""
    chances = logits.softmax(dim=0)
    total, weights = torch.zeros(gradients.shape[1], gradients.shape[1]).double(), 0.0
    for a, b in itertools.combinations(range(len(logits)), 2):
        gap, weight = gradients[a] - gradients[b], float(chances[a] * chances[b])
        total += weight * torch.outer(gap, gap)
        weights += weight
    return total / weights


def naive(
    store: ActivationStore, folder: Path, kind: Any, pooling: str, keep: Any = lambda sentence, tokens: True
) -> np.ndarray:
    """The same, word by word and answer by answer, by one backward pass each through the model in 64 bits."""
    model = kind.from_pretrained(folder).double().eval()
    sentences = LanguageModel.load(str(folder), ModelOptions(device="cpu")).tokenize(training_texts(store))
    parts = []
    for sentence in sentences:
        output = model(input_ids=torch.tensor([sentence.input_ids]), output_hidden_states=True)
        states, logits = output.hidden_states[1], output.logits.reshape(-1, output.logits.shape[-1])[-1]
        logits = logits.topk(min(16, len(logits))).values
        gradients = [torch.autograd.grad(logit, states, retain_graph=True)[0][0] for logit in logits]
        for tokens in sentence.word_tokens:
            used = list(tokens if pooling == "mean" else tokens[-1:])
            if keep(sentence, used):
                moved = torch.stack([gradient[used].sum(dim=0) for gradient in gradients])
                parts.append(pairwise(moved, logits.detach()))
    return torch.stack(parts).mean(dim=0).numpy()


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_the_gradients_are_those_of_a_loop_over_words(corpus_file: Path, tmp_path: Path, pooling: str) -> None:
    folder = tiny_models.tiny_bert(tmp_path / "bert")
    store = store_of(folder, corpus_file, tmp_path, pooling=pooling)
    clvq.train(store, path=tmp_path / "a", **SENSITIVE)
    expected = naive(store, folder, AutoModelForSequenceClassification, pooling)
    assert np.abs(stored_sensitivity(store) - expected).max() < 1e-4 * np.abs(expected).max()
    assert (np.linalg.matrix_rank(expected) > 1) and not np.allclose(expected, np.diag(np.diag(expected)))


def test_of_several_classes_the_estimate_is_unbiased(
    corpus_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_models.tiny_bert(tmp_path / "bert", labels=4)
    store = store_of(folder, corpus_file, tmp_path, max_sentences=60)
    nears_in_the_mean(store, naive(store, folder, AutoModelForSequenceClassification, "last"), monkeypatch)


def test_of_a_language_model_the_likeliest_next_tokens_count(
    corpus_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a word in the first token, whose state is an attention sink, does not."""
    folder = tiny_models.with_next_token(tiny_models.tiny_gpt2(tmp_path / "gpt2"))
    store = store_of(folder, corpus_file, tmp_path, max_sentences=60)
    expected = naive(store, folder, AutoModelForCausalLM, "last", lambda _, tokens: 0 not in tokens)
    nears_in_the_mean(store, expected, monkeypatch)


def nears_in_the_mean(store: ActivationStore, expected: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean of 20 estimates, each with other signs, is several times nearer than one of them."""
    estimates: list[np.ndarray] = []
    for seed in range(20):
        monkeypatch.setattr(sensitivity_module, "_SEED", seed)  # all sentences are in the sample, whatever the seed
        artifact(1).path(store.path).unlink(missing_ok=True)
        estimates.append(sensitivity_module.sensitivity(store, 1, Runtime(device="cpu")).numpy())
    single = np.mean([np.linalg.norm(estimate - expected) for estimate in estimates])
    assert 0 < np.linalg.norm(np.mean(estimates, axis=0) - expected) < 0.45 * single < 0.45 * np.linalg.norm(expected)


def test_of_a_single_score_its_own_gradients_count(corpus_file: Path, tmp_path: Path) -> None:
    folder = tiny_models.with_next_token(tiny_models.tiny_gpt2(tmp_path / "gpt2"))
    store = store_of(folder, corpus_file, tmp_path, max_sentences=60, target="a", against="b")
    clvq.train(store, path=tmp_path / "a", **SENSITIVE)
    model, parts = AutoModelForCausalLM.from_pretrained(folder).double().eval(), []
    loaded = LanguageModel.load(str(folder), ModelOptions(device="cpu"))
    first, second = (loaded.tokenizer(token)["input_ids"][0] for token in "ab")
    for sentence in loaded.tokenize(training_texts(store)):
        output = model(input_ids=torch.tensor([sentence.input_ids]), output_hidden_states=True)
        score = output.logits[0, -1, first] - output.logits[0, -1, second]
        (gradients,) = torch.autograd.grad(score, output.hidden_states[1])
        places = [tokens[-1] for tokens in sentence.word_tokens if tokens[-1] != 0]
        parts += [torch.outer(gradients[0, place], gradients[0, place]) for place in places]
    expected = torch.stack(parts).mean(dim=0).numpy()
    assert np.abs(stored_sensitivity(store) - expected).max() < 1e-4 * np.abs(expected).max()


def test_a_sure_model_has_the_sensitivity_of_an_unsure_one(corpus_file: Path, tmp_path: Path) -> None:
    """Logits further apart by a constant leave the gradients as they are."""
    matrices = []
    for bias in (0.0, 200.0):
        folder = tiny_models.tiny_bert(tmp_path / f"bert-{bias:.0f}")
        model = AutoModelForSequenceClassification.from_pretrained(folder)
        model.classifier.bias.data = torch.tensor([0.0, bias])
        model.save_pretrained(folder)
        store = store_of(folder, corpus_file, tmp_path / f"{bias:.0f}")
        clvq.train(store, path=tmp_path / f"{bias:.0f}" / "a", **SENSITIVE)
        matrices.append(stored_sensitivity(store))
    assert np.abs(matrices[0] - matrices[1]).max() < 1e-3 * np.abs(matrices[0]).max()


def training_rows(store: ActivationStore, layer: int = 1) -> np.ndarray:
    chosen = np.isin(np.arange(store.sentence_count("train")), split_by_text(store, "train")[0])
    rows = np.concatenate([rows.numpy() for _, rows in store.rows("train", layer).shards()]).astype(np.float64)
    return rows[np.repeat(chosen, store.row_counts("train"))] * store.layer(layer).scale


@pytest.mark.parametrize(
    ("settings", "weight"),
    [({"metric": "sensitivity"}, 4), ({"metric": "mixed"}, 0.25), ({"method": "gradient-kmeans"}, 4)],
)
def test_a_row_has_the_code_that_is_nearest_in_the_metric(
    tiny_store: ActivationStore, tmp_path: Path, settings: dict[str, Any], weight: float
) -> None:
    """Naively: |x - c|^2 / s^2 + weight (x - c) G (x - c)' / t^2, each part with a mean of 1 about the mean row."""
    store = ActivationStore(shutil.copytree(tiny_store.path, tmp_path / "activations"))
    checkpoint = clvq.train(store, path=tmp_path / "a", **{**SMALL, **PAIR, **settings, "output_layer": 4})
    model, sensitivity = checkpoint.load(), stored_sensitivity(store)
    away = training_rows(store) - training_rows(store).mean(axis=0)
    s2 = np.square(away).sum(axis=1).mean()
    t2 = np.einsum("nd,de,ne->n", away, sensitivity, away).mean()
    square = np.eye(32) / s2 + weight * sensitivity / t2
    root = model.quantizer.metric_map.double().numpy()
    assert np.allclose(root, root.T, atol=1e-6)
    assert np.allclose(root @ root, square * s2 / (1 + weight), atol=1e-4 * np.abs(square).max() * s2)
    rows = torch.cat([rows for _, rows in store.rows("eval", 1).shards()])
    with torch.no_grad():
        z_e = model.encode(rows).double().numpy()
    codes = model.codebook.double().numpy()
    expected = cdist(z_e, codes, "mahalanobis", VI=square).argmin(axis=1)
    assert np.array_equal(model.assign(rows[None])[0].numpy(), expected)
    if weight > 1:  # the Euclidean metric would choose other codes
        assert not np.array_equal(expected, cdist(z_e, codes).argmin(axis=1))
    # Codes are like rows of the input layer: as long, and about their mean.
    assert np.linalg.norm(codes, axis=1).mean() == pytest.approx(np.linalg.norm(z_e, axis=1).mean(), rel=0.25)
    assert checkpoint.load().code_map is None


def test_the_map_leaves_rows_their_mean_squared_norm_and_balances_the_parts(tiny_store: ActivationStore) -> None:
    from clvq.config import TrainConfig
    from clvq.progress import silent
    from clvq.training.job import TrainingRows

    rows = TrainingRows.read(tiny_store, TrainConfig(1, 4), silent).training
    direction = torch.randn(32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for scale in (1e-6, 1.0, 1e6):
        root = metric_map(scale * torch.outer(direction, direction), rows, 4).double().numpy()
        away = training_rows(tiny_store) - training_rows(tiny_store).mean(axis=0)
        assert np.square(away @ root).sum() == pytest.approx(np.square(away).sum(), rel=1e-3)
        # Four of five parts of the squared norm are the one direction's that matters.
        plain = root - root @ np.outer(direction, direction) / float(direction @ direction)
        assert np.square(away @ plain).sum() / np.square(away).sum() == pytest.approx(0.2, abs=0.05)


def one_direction(folder: Path, store: ActivationStore) -> np.ndarray:
    """Make the last block see of the words one direction alone, in which they vary little; return the direction.

    It holds under a thousandth of their variance, so that codes without the metric miss it, whatever model was drawn.
    """
    away = training_rows(store) - training_rows(store).mean(axis=0)
    variances, directions = np.linalg.eigh(away.T @ away)
    assert variances[5] < 1e-3 * variances.sum()
    direction = directions[:, 5]
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    attention = model.bert.encoder.layer[1].attention.self
    with torch.no_grad():
        for linear in (attention.query, attention.key):  # every word counts the same
            linear.weight.zero_()
            linear.bias.zero_()
        outer = torch.outer(torch.ones(32) / 4, torch.from_numpy(direction).float())
        attention.value.weight.copy_(outer)
    model.save_pretrained(folder)
    return direction


@pytest.fixture(scope="module")
def planted(corpus_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[ActivationStore, np.ndarray]:
    folder = tmp_path_factory.mktemp("planted")
    model = tiny_models.tiny_bert(folder / "bert", layers=2)
    direction = one_direction(model, store_of(model, corpus_file, folder / "before", (1, 2)))
    return store_of(model, corpus_file, folder / "after", (1, 2)), direction


def told(store: ActivationStore, direction: np.ndarray, checkpoint: clvq.Checkpoint) -> float:
    """Share of the words' variance along the direction that is between codes."""
    rows = np.concatenate([rows.numpy() for _, rows in store.rows("train", 1).shards()])
    rows = rows[(store.flags("train") & WORD) != 0]
    codes = checkpoint.load().assign(torch.from_numpy(rows)[None])[0].numpy()
    along = rows @ direction
    within = sum(((along[codes == code] - along[codes == code].mean()) ** 2).sum() for code in np.unique(codes))
    return float(1 - within / ((along - along.mean()) ** 2).sum())


@pytest.mark.parametrize("method", ["clvq", "kmeans"])
def test_codes_tell_words_apart_along_the_one_direction_that_matters(
    planted: tuple[ActivationStore, np.ndarray], tmp_path: Path, method: str
) -> None:
    store, direction = planted
    pair = {**SMALL, "input_layer": 1, "output_layer": 2, "epochs": 3, "revive_after": 10}
    plain = clvq.train(store, path=tmp_path / "plain", method=method, metric="euclidean", **pair)
    how = {"metric": "sensitivity"} if method == "clvq" else {"method": "gradient-kmeans"}
    sensitive = clvq.train(store, path=tmp_path / "sensitive", **pair, **how)
    values, vectors = np.linalg.eigh(stored_sensitivity(store))
    assert values[-2] < 1e-6 * values[-1]
    assert abs(vectors[:, -1] @ direction) > 0.999
    assert told(store, direction, sensitive) > 0.65
    assert told(store, direction, plain) < 0.35


def test_an_interrupted_training_goes_on_in_the_same_metric(tiny_store: ActivationStore, tmp_path: Path) -> None:
    store = ActivationStore(shutil.copytree(tiny_store.path, tmp_path / "activations"))
    settings = {**SENSITIVE, "output_layer": 4}
    whole = clvq.train(store, path=tmp_path / "whole", **settings)

    def interrupt(progress: Progress) -> None:
        if progress.stage == "train" and progress.done == 3 and "loss" in progress.details:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        clvq.train(store, path=tmp_path / "cut", **settings, progress=interrupt)
    with pytest.raises(clvq.MismatchError, match="unfinished training"):
        clvq.train(store, path=tmp_path / "cut", **{**settings, "metric": "euclidean"})
    cut = clvq.train(store, path=tmp_path / "cut", **settings)
    assert (cut.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()
    with pytest.raises(clvq.MismatchError, match=r"metric \('sensitivity' there, 'euclidean' here\)"):
        clvq.train(store, path=tmp_path / "cut", **{**settings, "metric": "euclidean"})
    plain = clvq.train(store, path=tmp_path / "plain", **{**settings, "metric": "euclidean"})
    assert not torch.equal(plain.load().codebook, whole.load().codebook)
    assert "metric" not in plain.config.as_json()


def test_gradients_of_other_activations_are_made_again(tmp_path: Path, corpus_file: Path) -> None:
    folder = tiny_models.tiny_bert(tmp_path / "bert")
    store = store_of(folder, corpus_file, tmp_path)
    clvq.train(store, path=tmp_path / "a", **SENSITIVE)
    path = artifact(1).path(store.path)
    kept = path.read_bytes()
    clvq.train(store, path=tmp_path / "b", **SENSITIVE, seed=1)
    assert path.read_bytes() == kept
    # Put under a store of other states, as a copy of a run might, it is not what it was made of.
    other = store_of(tiny_models.tiny_bert(tmp_path / "other", labels=3), corpus_file, tmp_path / "others")
    path_there = artifact(1).path(other.path)
    path_there.write_bytes(kept)
    clvq.train(other, path=tmp_path / "others" / "a", **SENSITIVE)
    assert path_there.read_bytes() != kept
    assert stored_sensitivity(other).shape == (32, 32)
    damaged = bytearray(kept)
    damaged[-3] ^= 0xFF
    path.write_bytes(damaged)
    with pytest.raises(clvq.ArtifactError, match=r"sensitivity-L1.*is damaged"):
        clvq.train(store, path=tmp_path / "c", **SENSITIVE)
    # A new extraction takes it away.
    store_of(folder, corpus_file, tmp_path, overwrite=True)
    assert not path.exists()


def test_what_a_killed_training_left_beside_the_activations_is_removed(tmp_path: Path, corpus_file: Path) -> None:
    store = store_of(tiny_models.tiny_bert(tmp_path / "bert"), corpus_file, tmp_path)
    left = store.path / ".clvq-writing-1-sensitivity-L1.safetensors"
    scratch = store.path / ".clvq-writing-abc"
    left.touch()
    scratch.mkdir()
    (scratch / ".tmpabc").touch()
    clvq.train(store, path=tmp_path / "a", **SENSITIVE)
    assert artifact(1).path(store.path).exists() and not left.exists() and not scratch.exists()


def test_the_model_is_found_where_it_is_now(tmp_path: Path, corpus_file: Path) -> None:
    folder = tiny_models.tiny_bert(tmp_path / "bert")
    store = store_of(folder, corpus_file, tmp_path)
    moved = folder.rename(tmp_path / "moved")
    with pytest.raises(
        clvq.ClvqError, match=r"Say with --model where it is now\..*--metric euclidean\) needs no model"
    ):
        clvq.train(store, path=tmp_path / "a", **SENSITIVE)
    with pytest.raises(clvq.MismatchError, match="it has other files"):
        clvq.train(store, path=tmp_path / "a", model=tiny_models.tiny_bert(tmp_path / "x", labels=3), **SENSITIVE)
    made = clvq.train(store, path=tmp_path / "a", model=moved, **SENSITIVE)
    shutil.rmtree(moved)
    # Once its gradients are there the model is not needed.
    again = clvq.train(store, path=tmp_path / "b", **SENSITIVE)
    assert torch.equal(made.load().codebook, again.load().codebook)


def test_activations_that_cannot_be_written_to_serve_all_the_same(
    tmp_path: Path, corpus_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(tiny_models.tiny_bert(tmp_path / "bert"), corpus_file, tmp_path)
    made = clvq.train(store, path=tmp_path / "a", **SENSITIVE)
    artifact(1).path(store.path).unlink()

    real_touch = Path.touch

    def refuse(code: int) -> None:
        """Let the system refuse every new file beside the activations, as a read-only or a full disk does."""

        def touch(self: Path, *arguments: Any, **named: Any) -> None:
            if self.parent == store.path:
                raise OSError(code, os.strerror(code), str(self))
            real_touch(self, *arguments, **named)

        monkeypatch.setattr(Path, "touch", touch)

    refuse(errno.EROFS)
    notes: list[str] = []
    again = clvq.train(
        store, path=tmp_path / "b", **SENSITIVE, progress=lambda progress: notes.append(progress.note or "")
    )
    assert any("activations cannot be written to" in note for note in notes)
    assert not artifact(1).path(store.path).exists()
    assert torch.equal(made.load().codebook, again.load().codebook)
    refuse(errno.ENOSPC)
    with pytest.raises(clvq.ClvqError, match="The disk is full") as full:
        clvq.train(store, path=tmp_path / "c", **SENSITIVE)
    assert isinstance(full.value.__cause__, OSError) and "No space left" in str(full.value.__cause__)


def test_what_has_no_sensitivity_is_refused(tmp_path: Path, corpus_file: Path) -> None:
    for method in ("kmeans", "random", "ridge-kmeans", "sae"):
        with pytest.raises(clvq.ClvqError, match=f"can be used with --method clvq or vqvae, not with {method}"):
            clvq.train(tmp_path, path=tmp_path / "a", **{**SENSITIVE, "method": method})
    headless = store_of(tiny_models.tiny_bert(tmp_path / "bert", head=False), corpus_file, tmp_path)
    with pytest.raises(clvq.ClvqError, match="predicts nothing"):
        clvq.train(headless, path=tmp_path / "a", **SENSITIVE)
    folder = tiny_models.tiny_bert(tmp_path / "deaf")
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    torch.nn.init.zeros_(model.classifier.weight)
    model.save_pretrained(folder)
    deaf = store_of(folder, corpus_file, tmp_path / "of-deaf")
    with pytest.raises(clvq.ClvqError, match="do not change with words at layer 1"):
        clvq.train(deaf, path=tmp_path / "a", **SENSITIVE)


def test_the_default_is_mixed_and_euclidean_where_nothing_is_predicted(
    tiny_store: ActivationStore, corpus_file: Path, tmp_path: Path
) -> None:
    usual = {method: clvq.TrainConfig.resolve(**PAIR, method=method).metric for method in ("clvq", "kmeans", "vqvae")}
    assert usual == {"clvq": "mixed", "kmeans": "euclidean", "vqvae": "euclidean"}
    assert clvq.TrainConfig.resolve(**PAIR, preset="paper").metric == "euclidean"
    store = ActivationStore(shutil.copytree(tiny_store.path, tmp_path / "activations"))
    pair = {**SMALL, "input_layer": 1, "output_layer": 4}
    made = {
        metric: clvq.train(store, path=tmp_path / metric, **pair, metric=metric) for metric in ("mixed", "euclidean")
    }
    default = clvq.train(store, path=tmp_path / "default", **pair)
    weights = {path: (path / "model.safetensors").read_bytes() for path in tmp_path.iterdir() if path != store.path}
    assert weights[default.path] == weights[made["mixed"].path] != weights[made["euclidean"].path]
    assert (default.title, made["euclidean"].title) == ("CLVQ-VAE", "CLVQ-VAE by Euclidean distances")
    assert "in part those of the language model" in (default.path / "README.md").read_text()

    headless = store_of(tiny_models.tiny_bert(tmp_path / "bert", head=False), corpus_file, tmp_path / "headless")
    notes: list[str] = []
    plain = clvq.train(headless, path=tmp_path / "plain", **SMALL, **PAIR, metric="euclidean")
    mixed = clvq.train(
        headless, path=tmp_path / "none", **SMALL, **PAIR, progress=lambda progress: notes.append(progress.note or "")
    )
    assert any("The activations hold no predictions of " in note and "Euclidean distance" in note for note in notes)
    assert (plain.path / "model.safetensors").read_bytes() == (mixed.path / "model.safetensors").read_bytes()
    assert "sensitivity" not in (mixed.path / "README.md").read_text()
