"""The splice against the plain transformers model, one sentence at a time, and on hand-made models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from permuted_codes import rewritten
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import clvq
from clvq.device import Runtime
from clvq.errors import ClvqError
from clvq.interventions.splice import splice
from clvq.language_model.model import LanguageModel
from clvq.language_model.options import ModelOptions
from clvq.language_model.rows import WORD, row_layout
from clvq.models.clvq_vae import ClvqVae
from clvq.training.checkpoint import Checkpoint

pytestmark = pytest.mark.slow

SENTENCES = tiny_models.made_sentences()
EVALUATED = [*SENTENCES[7::11][:12], "boring", SENTENCES[7]]
OTHERS = ("clean", "ablated")


def run_of(folder: Path, model: Path, layers: tuple[int, int], *, pooling: str = "last", **settings: Any) -> Checkpoint:
    """A checkpoint of a model over a small labelled corpus."""
    for name, texts in (("corpus", SENTENCES[::4]), ("eval", EVALUATED)):
        rows = [{"text": text, "label": number % 2} for number, text in enumerate(texts)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    store = clvq.extract(
        folder / "activations", model=str(model), dataset=str(folder / "corpus.jsonl"),
        eval_dataset=str(folder / "eval.jsonl"), layers=layers, pooling=pooling,
    )  # fmt: skip
    given = {"codebook_size": 12, "top_k": 3, "epochs": 1, "decoder_layers": 1, **settings}
    return clvq.train(store, path=folder / "L", input_layer=layers[0], output_layer=layers[1], **given)


@pytest.mark.parametrize(
    ("name", "layers", "pooling"),
    [
        ("bert", (1, 2), "last"),
        ("bert", (1, 4), "last"),
        ("bert", (1, 2), "mean"),
        ("modernbert", (1, 4), "first"),
        ("gpt2", (1, 2), "last"),
        ("llama", (2, 4), "last"),
    ],
)
def test_figures_are_those_of_the_plain_model_with_rows_replaced(
    name: str, layers: tuple[int, int], pooling: str, model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    checkpoint = run_of(tmp_path, model_folder(name), layers, pooling=pooling)
    found = splice(checkpoint, runtime=Runtime("cpu")).as_json()
    naive = naively(checkpoint, model_folder(name), pooling)
    assert found["accuracy"]["value"] == pytest.approx(np.mean(naive["accuracy"]))
    assert (found["input_layer"], found["layer"]) == layers
    assert (found["sentences"], found["distinct_texts"]) == (14, 13)
    assert found["only_sentence_row"] == (layers[1] == checkpoint_depth(name) and name != "modernbert")
    for others in OTHERS:
        figures = found["others"][others]
        clean, spliced, ablated = (
            np.mean(naive[key]) for key in ("loss", f"{others} spliced loss", f"{others} ablated loss")
        )
        assert figures["loss_clean"] == pytest.approx(clean, abs=1e-5)
        for state in ("spliced", "ablated"):
            for figure in ("agreement", "kl", "loss", "accuracy"):
                value = figures[state][figure]
                assert value["value"] == pytest.approx(np.mean(naive[f"{others} {state} {figure}"]), abs=1e-4), figure
                assert value["low"] - 1e-9 <= value["value"] <= value["high"] + 1e-9
        if figures["share_recovered"] is not None:
            share = (ablated - spliced) / (ablated - clean)
            assert figures["share_recovered"]["value"] == pytest.approx(share, abs=0.01)


def checkpoint_depth(name: str) -> int:
    return {"bert": 4, "modernbert": 4, "gpt2": 3, "llama": 4}[name]


def naively(checkpoint: Checkpoint, folder: Path, pooling: str) -> dict[str, list[float]]:
    """Figures sentence by sentence, without padding, with states exchanged by a hook of our own."""
    plain = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    language_model = LanguageModel.load(str(folder), ModelOptions(device="cpu"))
    store, vae = checkpoint.store(), checkpoint.load()
    rows = torch.cat([shard for _, shard in store.rows("train", checkpoint.output_layer).shards()])
    flags = torch.from_numpy(store.flags("train").astype(int))
    kept = torch.from_numpy(~store.sinks("train", (checkpoint.input_layer, checkpoint.output_layer)))
    is_word = (flags & WORD) != 0
    word_mean = rows[kept & is_word].mean(dim=0)
    alone = rows[kept & ~is_word]
    sentence_mean = alone.mean(dim=0) if len(alone) else word_mean
    site = language_model.locate(checkpoint.output_layer)
    module = dict(plain.base_model.named_modules())[
        next(path for path, module in language_model.base.named_modules() if module is site.module)
    ]
    found: dict[str, list[float]] = {}
    for number, sentence in enumerate(store.sentences("eval")):
        layout = row_layout(language_model.tokenize([sentence.text])[0], pooling)
        ids = tokenizer(sentence.text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            output = plain(input_ids=ids, output_hidden_states=True)
        states = {layer: output.hidden_states[layer][0] for layer in (checkpoint.input_layer, checkpoint.output_layer)}
        if checkpoint.output_layer == len(output.hidden_states) - 1:
            states[checkpoint.output_layer] = plain.base_model(input_ids=ids).last_hidden_state[0].detach()
        whole = [row for row, flag in enumerate(layout.flags) if not flag & 4]  # a decoder's first token is a sink
        inputs = torch.stack([states[checkpoint.input_layer][list(layout.positions[row])].mean(dim=0) for row in whole])
        with torch.no_grad():
            made = vae(inputs[None]).prediction[0]
        replaced = {}
        for others in OTHERS:
            start = states[checkpoint.output_layer].clone()
            if others == "ablated":
                start[:] = word_mean
            spliced, ablated = start.clone(), start.clone()
            for row, value in zip(whole, made, strict=True):
                spliced[list(layout.positions[row])] = value
                ablated[list(layout.positions[row])] = word_mean if layout.flags[row] & WORD else sentence_mean
            replaced[f"{others} spliced"], replaced[f"{others} ablated"] = spliced, ablated
        clean = output.logits[0].double().log_softmax(dim=0)
        label = number % 2
        found.setdefault("accuracy", []).append(float(clean.argmax() == label))
        found.setdefault("loss", []).append(float(-clean.max()))
        for key, states_here in replaced.items():
            logits = run_on(plain, module, site.side, ids, states_here[None])[0].double().log_softmax(dim=0)
            found.setdefault(f"{key} agreement", []).append(float(logits.argmax() == clean.argmax()))
            found.setdefault(f"{key} accuracy", []).append(float(logits.argmax() == label))
            found.setdefault(f"{key} loss", []).append(float(-logits[clean.argmax()]))
            found.setdefault(f"{key} kl", []).append(float((clean.exp() * (clean - logits)).sum()))
    return found


@torch.no_grad()
def run_on(plain: Any, module: torch.nn.Module, side: str, ids: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    if side == "input":
        handle = module.register_forward_pre_hook(lambda _, args: (states, *args[1:]))
    else:
        handle = module.register_forward_hook(
            lambda _m, _a, output: (states, *output[1:]) if isinstance(output, tuple) else states
        )
    try:
        return plain(input_ids=ids).logits
    finally:
        handle.remove()


@pytest.fixture
def standing_still(tmp_path: Path) -> Checkpoint:
    """Layers 1 -> 2 of a GPT-2 whose second block hands on what it gets, and a decoder that hands on its codes."""
    folder = tiny_models.tiny_gpt2(tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    for name in weights:
        if "h.1." in name and "c_proj" in name:
            weights[name].zero_()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    checkpoint = run_of(tmp_path, folder, (1, 2), decoder_layers=0, metric="euclidean")
    store = checkpoint.store()
    for split in ("train", "eval"):
        one, other = (torch.cat([rows for _, rows in store.rows(split, layer).shards()]) for layer in (1, 2))
        assert torch.equal(one, other)
    return checkpoint


def model_with(checkpoint: Checkpoint, codes: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> Checkpoint:
    """The checkpoint with nothing but a lookup of the nearest of `codes`, and a linear map of it."""
    store, width = checkpoint.store(), len(bias)
    model = ClvqVae(width, width, len(codes), top_k=1, encoder="identity", decoder_layers=0)
    model.decoder.norm = torch.nn.Identity()
    scale = store.layer(1).scale
    model.input_scale.fill_(scale)
    model.output_scale.fill_(scale)
    model.quantizer.set_codebook(codes * scale)
    model.decoder.output.load_state_dict({"weight": weight, "bias": bias * scale})
    return rewritten(checkpoint, model, encoder="identity", codebook_size=len(codes), top_k=1)


def test_states_that_are_handed_on_change_nothing_at_all(
    standing_still: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clean states themselves, spliced in: the same logits to the last bit."""
    monkeypatch.setattr("clvq.interventions.splicer.reconstruct", lambda model, rows, lengths: rows)
    found = splice(standing_still, runtime=Runtime("cpu", 64)).as_json()["others"]["clean"]
    assert found["spliced"]["kl"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert found["spliced"]["loss"]["value"] == found["loss_clean"]
    assert found["spliced"]["agreement"]["value"] == 1.0
    assert found["share_recovered"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert found["share_recovered_labels"] is None or found["share_recovered_labels"]["value"] == 1.0


def test_an_exact_decoder_recovers_all_and_the_mean_nothing(standing_still: Checkpoint) -> None:
    store = standing_still.store()
    rows = torch.cat([rows for split in ("train", "eval") for _, rows in store.rows(split, 1).shards()])
    width = rows.shape[1]
    exact = model_with(standing_still, rows.unique(dim=0), torch.eye(width), torch.zeros(width))
    found = splice(exact, runtime=Runtime("cpu")).as_json()["others"]["clean"]
    assert found["share_recovered"]["value"] == pytest.approx(1, abs=1e-4)
    assert found["spliced"]["kl"]["value"] == pytest.approx(0, abs=1e-6)
    kept = torch.from_numpy(~store.sinks("train", (1, 2)))
    mean = torch.cat([rows for _, rows in store.rows("train", 2).shards()])[kept].mean(dim=0)
    constant = model_with(standing_still, rows[:2], torch.zeros(width, width), mean)
    found = splice(constant, runtime=Runtime("cpu")).as_json()["others"]
    for others in OTHERS:
        assert found[others]["share_recovered"]["value"] == pytest.approx(0, abs=1e-4)
        assert found[others]["spliced"]["kl"]["value"] == pytest.approx(
            found[others]["ablated"]["kl"]["value"], abs=1e-6
        )


def test_batches_change_nothing_and_a_limit_is_kept(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    checkpoint = run_of(tmp_path, model_folder("bert"), (1, 2))
    together, alone = (splice(checkpoint, runtime=Runtime("cpu", tokens)).as_json() for tokens in (4096, 1))
    # A share of what the mean costs is ill conditioned where the mean costs little, as in a model of random weights.
    assert flat(alone) == pytest.approx(flat(together), abs=1e-5, rel=1e-4)
    few = splice(checkpoint, runtime=Runtime("cpu"), limit=3).as_json()
    assert few["sentences"] == 3
    layouts = list(checkpoint.store().sentences("eval"))[:3]
    assert few["tokens_of_rows"] == sum(len(row.flags) for row in layouts)
    assert few["tokens"] > few["tokens_of_rows"]  # [SEP] at least


def flat(found: Any, path: str = "") -> dict[str, float]:
    if isinstance(found, dict):
        return {key: value for name, part in found.items() for key, value in flat(part, f"{path}/{name}").items()}
    return {path: float(found)} if isinstance(found, int | float) else {}


def test_a_language_model_answers_with_its_next_token(tmp_path: Path) -> None:
    folder = tiny_models.with_next_token(tiny_models.tiny_gpt2(tmp_path / "model"))
    found = splice(run_of(tmp_path, folder, (1, 3)), runtime=Runtime("cpu")).as_json()
    assert found["target"] == "next token"
    assert found["accuracy"] is None
    assert found["others"]["clean"]["share_recovered_labels"] is None
    assert 0 <= found["others"]["clean"]["spliced"]["agreement"]["value"] <= 1


@pytest.mark.parametrize("method", ["vqvae", "sae"])
def test_baselines_are_spliced_where_they_reconstruct(
    method: str, model_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    checkpoint = run_of(tmp_path, model_folder("bert"), (1, 3), method=method)
    found = splice(checkpoint, runtime=Runtime("cpu"), limit=4).as_json()
    assert found["layer"] == found["input_layer"] == 1
    assert found["others"]["clean"]["spliced"]["kl"]["value"] > 0


def test_a_model_without_a_head_is_refused(tmp_path: Path) -> None:
    checkpoint = run_of(tmp_path, tiny_models.tiny_bert(tmp_path / "model", head=False), (1, 3))
    with pytest.raises(ClvqError, match="predicts nothing"):
        splice(checkpoint, runtime=Runtime("cpu"))
