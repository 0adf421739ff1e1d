"""The next token at every token of the texts, beside the plain transformers model, a text at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from test_splice import run_on
from transformers import AutoModelForCausalLM, AutoTokenizer

import clvq
from clvq.device import Runtime
from clvq.errors import ClvqError
from clvq.interventions.splice import splice
from clvq.interventions.splicer import reconstruct, reconstruct_as_read
from clvq.language_model.model import LanguageModel
from clvq.language_model.options import ModelOptions
from clvq.language_model.rows import FIRST, row_layout
from clvq.models.clvq_vae import ClvqVae
from clvq.training.checkpoint import Checkpoint

pytestmark = pytest.mark.slow

SENTENCES = tiny_models.made_sentences()
STATES = ("clean spliced", "clean ablated", "ablated spliced", "ablated ablated")


def run_of(folder: Path, model: Path, layers: tuple[int, int], method: str = "clvq", **settings: Any) -> Checkpoint:
    for name, texts in (("corpus", SENTENCES[::4]), ("eval", SENTENCES[7::11][:8])):
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    store = clvq.extract(
        folder / "activations", model=str(model), dataset=str(folder / "corpus.jsonl"),
        eval_dataset=str(folder / "eval.jsonl"), layers=layers, **settings,
    )  # fmt: skip
    sizes: dict[str, Any] = {"codebook_size": 12, "top_k": 3, **({} if method == "sae" else {"decoder_layers": 1})}
    return clvq.train(
        store, path=folder / "L", input_layer=layers[0], output_layer=layers[1], method=method, epochs=1, **sizes
    )


def naively(checkpoint: Checkpoint, folder: Path) -> dict[str, list[float]]:
    """Figures at each token, without padding: rows made of those before them, states exchanged by a hook of our own."""
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    language_model = LanguageModel.load(str(folder), ModelOptions(device="cpu", next_token=True))
    store, model, layer = checkpoint.store(), checkpoint.load(), checkpoint.settings.target_layer
    rows = torch.cat([shard for _, shard in store.rows("train", layer).shards()])
    mean = rows[torch.from_numpy(~store.sinks("train", (checkpoint.input_layer, layer)))].mean(dim=0)
    site = language_model.locate(layer)
    module = dict(plain.base_model.named_modules())[
        next(path for path, module in language_model.base.named_modules() if module is site.module)
    ]
    found: dict[str, list[float]] = {name: [] for name in ("loss", "accuracy")}
    for sentence in store.sentences("eval"):
        ids = tokenizer(sentence.text, return_tensors="pt")["input_ids"]
        asked = range(1, ids.shape[1])  # each at the token before it
        layout = row_layout(language_model.tokenize([sentence.text])[0], "last")
        with torch.no_grad():
            hidden = plain(input_ids=ids, output_hidden_states=True).hidden_states
            clean = plain(input_ids=ids).logits[0].double().log_softmax(dim=1)
        kept = [place[0] for place, flag in zip(layout.positions, layout.flags, strict=True) if not flag & FIRST]
        inputs = hidden[checkpoint.input_layer][0, kept]
        with torch.no_grad():
            made = [
                model.reconstruct(inputs)[number] if checkpoint.settings.method == "sae"
                else model(inputs[None, : number + 1]).prediction[0, number]
                for number in range(len(kept))
            ]  # fmt: skip
        for name in STATES:
            others, state = name.split()
            states = hidden[layer][0].clone()
            if others == "ablated":
                states[:] = mean
            states[kept] = torch.stack(made) if state == "spliced" else mean.expand(len(kept), -1)
            logits = run_on(plain, module, site.side, ids, states[None])[0].double().log_softmax(dim=1)
            for at in asked:
                given, expected, token = logits[at - 1], clean[at - 1], int(ids[0, at])
                found.setdefault(f"{name} loss", []).append(float(-given[token]))
                found.setdefault(f"{name} kl", []).append(float((expected.exp() * (expected - given)).sum()))
                found.setdefault(f"{name} agreement", []).append(float(given.argmax() == expected.argmax()))
                found.setdefault(f"{name} accuracy", []).append(float(int(given.argmax()) == token))
        found["loss"] += [float(-clean[at - 1, int(ids[0, at])]) for at in asked]
        found["accuracy"] += [float(int(clean[at - 1].argmax()) == int(ids[0, at])) for at in asked]
    return found


def equal(found: dict[str, Any], naive: dict[str, list[float]]) -> None:
    assert found["target"] == "token of the text"
    assert found["positions"] == len(naive["loss"])
    assert found["accuracy"]["value"] == pytest.approx(np.mean(naive["accuracy"]))
    for others in ("clean", "ablated"):
        figures = found["others"][others]
        assert figures["loss_clean"] == pytest.approx(np.mean(naive["loss"]), abs=1e-4)
        for state in ("spliced", "ablated"):
            for figure, value in figures[state].items():
                expected = np.mean(naive[f"{others} {state} {figure}"])
                assert value["value"] == pytest.approx(expected, abs=2e-4), (others, state, figure)
        spliced, ablated = (np.mean(naive[f"{others} {state} loss"]) for state in ("spliced", "ablated"))
        assert figures["share_recovered_labels"] is None
        if figures["share_recovered"] is not None:
            share = 1 - (spliced - np.mean(naive["loss"])) / (ablated - np.mean(naive["loss"]))
            assert figures["share_recovered"]["value"] == pytest.approx(share, abs=0.01)


def causal(name: str, folder: Path) -> Path:
    return tiny_models.with_next_token(tiny_models.BUILDERS[name](folder))


@pytest.mark.parametrize(
    ("name", "layers", "method"),
    [("gpt2", (1, 2), "clvq"), ("llama", (2, 4), "clvq"), ("qwen2", (1, 3), "sae")],
)
def test_figures_are_those_of_the_plain_model_at_each_token(
    name: str, layers: tuple[int, int], method: str, tmp_path: Path
) -> None:
    folder = causal(name, tmp_path / "model")
    checkpoint = run_of(tmp_path, folder, layers, method)
    naive = naively(checkpoint, folder)
    for batch_tokens in (4096, 1):
        equal(splice(checkpoint, every_token=True, runtime=Runtime("cpu", batch_tokens)).as_json(), naive)


def test_tokens_of_a_prompt_are_not_asked_for(tmp_path: Path) -> None:
    folder = causal("gpt2", tmp_path / "model")
    prompt = "felt:{text}\nReview:"
    checkpoint = run_of(tmp_path, folder, (1, 2), prompt=prompt)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("clvq.interventions.splicer._LOGITS_AT_ONCE", 1)
        found = splice(checkpoint, every_token=True, runtime=Runtime("cpu")).as_json()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [row.text for row in checkpoint.store().sentences("eval")]
    whole = [len(tokenizer(prompt.replace("{text}", text))["input_ids"]) for text in texts]
    literals = sum(len(tokenizer(part)["input_ids"]) for part in ("felt:", "\nReview:"))
    assert found["positions"] == sum(whole) - len(texts) * literals
    assert found["others"]["clean"]["spliced"]["kl"]["value"] > 0


def test_what_follows_a_token_is_not_in_its_reconstruction(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sentences whose last rows are exchanged have the same reconstruction up to these."""
    torch.manual_seed(0)
    model = ClvqVae(32, 32, 12, top_k=3, encoder="identity", decoder_layers=1, decoder_heads=4).eval()
    rows = torch.randn(12, 32)
    model.quantizer.set_codebook(rows.clone())
    monkeypatch.setattr("clvq.interventions.splicer.ROWS_AT_ONCE", 8)  # two beginnings of four at a time
    rows, other = rows[:7], rows[:7].clone()
    other[3], other[6] = rows[6], rows[3]
    lengths = torch.tensor([4, 3])
    one, two = (reconstruct_as_read(model, given, lengths) for given in (rows, other))
    assert torch.allclose(one[[0, 1, 2, 4, 5]], two[[0, 1, 2, 4, 5]], atol=1e-6)
    seen, changed = (reconstruct(model, given, lengths) for given in (rows, other))
    assert not torch.allclose(seen[[0, 1, 2]], changed[[0, 1, 2]], atol=1e-4)
    torch.testing.assert_close(one[[3, 6]], seen[[3, 6]], rtol=1e-4, atol=1e-5)


def test_only_a_causal_language_model_can_be_asked(model_folder: Callable[[str], Path], tmp_path: Path) -> None:
    checkpoint = run_of(tmp_path, model_folder("bert"), (1, 2))
    with pytest.raises(ClvqError, match="--every-token is for causal language models"):
        splice(checkpoint, every_token=True, runtime=Runtime("cpu"))


def test_means_of_subwords_are_refused(tmp_path: Path) -> None:
    checkpoint = run_of(tmp_path, causal("gpt2", tmp_path / "model"), (1, 2), pooling="mean")
    with pytest.raises(ClvqError, match="Extract with --pooling last"):
        splice(checkpoint, every_token=True, runtime=Runtime("cpu"))
