"""Models whose weights lie elsewhere or in another type, and what is said where a package or a GPU is missing."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import accelerate
import pytest
import tiny_models
import torch
from attributions import by_index
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from clvq.errors import ClvqError
from clvq.explanations.attribution import IntegratedAttribution
from clvq.language_model import placement
from clvq.language_model.loading import LoadedFiles
from clvq.language_model.model import LanguageModel
from clvq.language_model.options import ModelOptions
from clvq.language_model.placement import Placement
from clvq.language_model.targets import Asked
from clvq.language_model.upper_layers import UpperLayers

pytestmark = pytest.mark.slow

Folder = Callable[[str], Path]
TEXTS = ["The film wasn't good!", "slow", "her well-known story felt rather slow"]


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_offloaded_weights_change_nothing(name: str, model_folder: Folder, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model_folder(name), tmp_path / name))
    if name == "llama":
        tiny_models.with_next_token(folder)
    auto = AutoModelForCausalLM if name == "llama" else AutoModelForSequenceClassification
    asked = Asked(label_words=(("bad", " boring and slow"), ("good", " good"))) if name == "llama" else Asked()
    plain = auto.from_pretrained(folder, dtype=torch.float32).eval()
    elsewhere = copy.deepcopy(plain)
    accelerate.disk_offload(elsewhere, tmp_path / "offload", execution_device=torch.device("cpu"))
    assert all(parameter.device.type == "meta" for parameter in elsewhere.parameters())
    results = []
    for model in (plain, elsewhere):
        reason = "it is a language model" if name == "llama" else None
        ours = LanguageModel(
            LoadedFiles(model, AutoTokenizer.from_pretrained(folder), no_head_reason=reason), model_id=name, asked=asked
        )
        assert ours.device.type == "cpu"
        sentences = ours.tokenize(TEXTS)
        read = ours.run(sentences, [1, 2], predict=True)
        upper = UpperLayers(ours, 1)
        inputs = upper.inputs(sentences)
        edited = upper.scores(upper.states(inputs) * 0.5, inputs)
        attribution = IntegratedAttribution(
            upper, baseline="padding", steps=4, max_steps=4, completeness=1.0, batch_tokens=4096
        )
        tokens = {number: one.tokens for number, one in by_index(attribution, sentences).items()}
        results.append(
            [read.hidden[1], read.hidden[2], read.scores, edited, *(torch.tensor(tokens[n]) for n in (0, 1, 2))]
        )
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-5)


def test_a_device_map_without_accelerate_says_so(monkeypatch: pytest.MonkeyPatch, model_folder: Folder) -> None:
    monkeypatch.setattr(placement, "find_spec", lambda name: None if name == "accelerate" else find_spec(name))
    with pytest.raises(ClvqError, match="--device-map needs the Python package accelerate: pip install accelerate"):
        LanguageModel.load(
            str(model_folder("bert")), ModelOptions(device="cpu", placement=Placement(device_map="auto"))
        )


def test_a_device_map(model_folder: Folder, language_model: Callable[[str], LanguageModel]) -> None:
    ours = LanguageModel.load(
        str(model_folder("bert")), ModelOptions(device="cpu", placement=Placement(device_map="auto"))
    )
    expected = language_model("bert").run(language_model("bert").tokenize(TEXTS), [2]).hidden[2]
    states = ours.run(ours.tokenize(TEXTS), [2]).hidden[2].cpu()
    torch.testing.assert_close(states, expected, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_few_bits_on_a_cpu(bits: str, model_folder: Folder) -> None:
    with pytest.raises(ClvqError, match=f"--load-in {bits} needs a GPU, and the device is cpu"):
        LanguageModel.load(str(model_folder("bert")), ModelOptions(device="cpu", placement=Placement(load_in=bits)))


def test_few_bits_without_bitsandbytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "find_spec", lambda name: None)
    with pytest.raises(ClvqError, match="--load-in 4bit needs the Python package bitsandbytes"):
        Placement(load_in="4bit").options(torch.device("cuda"))


def test_the_type_in_which_a_model_computes(model_folder: Folder) -> None:
    ours = LanguageModel.load(
        str(model_folder("bert")), ModelOptions(device="cpu", placement=Placement(dtype="bfloat16"))
    )
    assert ours.run(ours.tokenize(TEXTS), [1]).hidden[1].dtype == torch.bfloat16
    assert LanguageModel.load(str(model_folder("bert")), ModelOptions(device="cpu")).dtype == torch.float32
