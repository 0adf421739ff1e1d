"""What a model's files may hold, and what the message names where they cannot be used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BigBirdConfig,
    BigBirdModel,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

from clvq.activations.extraction import extract
from clvq.errors import ClvqError
from clvq.language_model.batching import Sharing
from clvq.language_model.model import LanguageModel
from clvq.language_model.options import ModelOptions
from clvq.language_model.upper_layers import UpperLayers
from clvq.progress import Progress

Load = Callable[[str], LanguageModel]
Folder = Callable[[str], Path]

TEXTS = ["The film wasn't good!", "slow", "My uncle's script felt slow"]


def with_config(source: Path, target: Path, **settings: Any) -> Path:
    """A copy of a model's folder with other settings in its config.json."""
    shutil.copytree(source, target)
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, **settings}))
    return target


@pytest.mark.parametrize(
    "settings",
    [
        {"return_dict": False},
        {"output_hidden_states": True},
        {"output_attentions": True, "attn_implementation": "eager"},
        {"attn_implementation": "flash_attention_2"},
        {"_attn_implementation": "flash_attention_2"},
        {"use_flash_attn": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["bert", "distilbert", "gpt2", "llama", "modernbert"])
def test_settings_that_change_no_state_change_nothing(
    name: str, settings: dict[str, Any], model_folder: Folder, language_model: Load, tmp_path: Path
) -> None:
    ours, reference = LanguageModel.load(str(with_config(model_folder(name), tmp_path / "m", **settings))), None
    reference = language_model(name)
    sentences = ours.tokenize(TEXTS)
    result, expected = (model.run(sentences, [0, 1], predict=True) for model in (ours, reference))
    tolerance = 1e-5 if "output_attentions" in settings else 0.0
    assert torch.allclose(result.scores, expected.scores, atol=tolerance)  # type: ignore[arg-type]
    assert all(torch.allclose(result.hidden[layer], expected.hidden[layer], atol=tolerance) for layer in (0, 1))
    upper = UpperLayers(ours, 1)
    inputs = upper.inputs(sentences)
    assert torch.allclose(upper.scores(upper.states(inputs), inputs), result.scores, atol=1e-5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("config_class", "model_class", "settings"),
    [
        (T5Config, T5EncoderModel, {}),
        (T5Config, T5EncoderModel, {"feed_forward_proj": "gated-gelu"}),
        (UMT5Config, UMT5EncoderModel, {}),
    ],
)
def test_the_encoder_of_a_t5_has_rows(
    config_class: Any, model_class: Any, settings: dict[str, Any], model_folder: Folder, tmp_path: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_folder("bert"))
    torch.manual_seed(0)
    config = config_class(
        vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=48, num_heads=4, num_layers=3, pad_token_id=0, **settings
    )
    model = model_class(config).eval()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    ours = LanguageModel.load(str(tmp_path), ModelOptions(device="cpu"))
    assert (ours.num_layers, ours.is_decoder, ours.label_names) == (3, False, None)
    sentences = ours.tokenize(TEXTS, "token")
    result = ours.run(sentences, range(4))
    first = 0
    for sentence in sentences:
        with torch.no_grad():
            output = model(input_ids=torch.tensor([sentence.input_ids]), output_hidden_states=True)
        tokens = sorted({sentence.sentence_token, *(token for word in sentence.word_tokens for token in word)})
        for layer in range(4):
            states = result.hidden[layer][first : first + len(tokens)]
            assert torch.allclose(states, output.hidden_states[layer][0, tokens], atol=1e-4)
        first += len(tokens)


@pytest.mark.parametrize("names", [["adapter_model"], ["adapter_model", "adapter_model-00002"]])
@pytest.mark.parametrize("has_config", [False, True])
def test_an_adapter_must_be_merged(names: list[str], has_config: bool, model_folder: Folder, tmp_path: Path) -> None:
    if has_config:
        shutil.copy(model_folder("bert") / "config.json", tmp_path)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": "b"}))
    for name in names:
        save_file({"base_model.model.lora_A.weight": torch.zeros(2, 2)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(ClvqError, match=r"holds an adapter .*merge_and_unload\(\)"):
        LanguageModel.load(str(tmp_path), ModelOptions(device="cpu"))


def test_a_model_with_an_adapter_beside_it_is_refused(model_folder: Folder, tmp_path: Path) -> None:
    """transformers would add the adapter where peft is installed, and not elsewhere."""
    folder = Path(shutil.copytree(model_folder("bert"), tmp_path / "model"))
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": "b"}))
    save_file({"base_model.model.lora_A.weight": torch.zeros(2, 2)}, folder / "adapter_model.safetensors")
    with pytest.raises(ClvqError, match=r"a whole model and an adapter .* Move the adapter's files"):
        LanguageModel.load(str(folder), ModelOptions(device="cpu"))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"num_hidden_layers": 2}, r"has 2 of encoder\.layer: .*encoder\.layer\.2\..* would be left out"),
        ({"vocab_size": 999}, r"word_embeddings\.weight is \[\d+, 32\] in the weights, and \[999, 32\] by config"),
        (
            {"id2label": {"0": "a", "1": "b", "2": "c"}},
            r"classifier\.\w+ is \[2.*\] in the weights, and \[3.*\] by config",
        ),
        ({"id2label": {"1": "neg", "2": "pos"}}, r"numbers the labels 1, 2 \(id2label\), and .* has labels 0 to 1"),
    ],
)
def test_a_config_that_is_not_the_weights_own_is_named(
    model_folder: Folder, tmp_path: Path, settings: dict[str, Any], says: str
) -> None:
    folder = with_config(model_folder("bert"), tmp_path / "model", **settings)
    with pytest.raises(ClvqError, match=says):
        LanguageModel.load(str(folder), ModelOptions(device="cpu"))


def test_weights_that_are_not_there_are_named(model_folder: Folder, tmp_path: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(model_folder("bert"))
    tokenizer = AutoTokenizer.from_pretrained(model_folder("bert"))
    for name in ("shard", "index"):
        model.save_pretrained(tmp_path / name, max_shard_size="40KB")
        tokenizer.save_pretrained(tmp_path / name)
    LanguageModel.load(str(tmp_path / "shard"), ModelOptions(device="cpu"))
    shard = sorted((tmp_path / "shard").glob("*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(ClvqError, match=rf"lacks {shard.name}, which model.safetensors.index.json names"):
        LanguageModel.load(str(tmp_path / "shard"), ModelOptions(device="cpu"))
    (tmp_path / "index" / "model.safetensors.index.json").unlink()
    with pytest.raises(ClvqError, match=r"holds model-00001-of-\d+\.safetensors.*and no model\.safetensors or"):
        LanguageModel.load(str(tmp_path / "index"), ModelOptions(device="cpu"))


def test_a_config_without_a_class_says_why_there_is_no_head(model_folder: Folder, tmp_path: Path) -> None:
    folder = with_config(model_folder("bert"), tmp_path / "model", architectures=None)
    model = LanguageModel.load(str(folder), ModelOptions(device="cpu"))
    assert model.target is None
    assert "config.json names no class" in str(model.no_head_reason)


def test_block_sparse_attention_is_read_as_far_as_it_is_full(model_folder: Folder, tmp_path: Path) -> None:
    """BigBird attends in random blocks from some length on, and for good in full after a shorter text."""
    tokenizer = AutoTokenizer.from_pretrained(model_folder("bert"))
    torch.manual_seed(0)
    config = BigBirdConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48,
        block_size=4, num_random_blocks=1, max_position_embeddings=128, pad_token_id=0, attention_type="block_sparse",
    )  # fmt: skip
    reference = BigBirdModel(config).eval()
    reference.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = LanguageModel.load(str(tmp_path), ModelOptions(device="cpu"))
    assert model.max_length == (5 + 2) * 4
    (sentence,) = model.tokenize(["good film " * 40], "token")
    assert (len(sentence.input_ids), sentence.truncated_words > 0) == (28, True)
    with torch.no_grad():
        states = reference(input_ids=torch.tensor([sentence.input_ids]), output_hidden_states=True).hidden_states[1][0]
    words = [tokens[0] for tokens in sentence.word_tokens]
    rows = model.run([sentence], [1]).hidden[1]
    assert torch.allclose(rows[-len(words) :], states[words], atol=1e-5)


@pytest.mark.parametrize("kind", ["dynamic", "default"])
def test_positions_that_grow_with_the_batch_share_it_among_equals(
    model_folder: Folder, tmp_path: Path, kind: str
) -> None:
    rope = {"rope_type": kind, "rope_theta": 10000.0, **({"factor": 4.0} if kind == "dynamic" else {})}
    folder = with_config(model_folder("llama"), tmp_path / "model", rope_parameters=rope, max_position_embeddings=40)
    model = LanguageModel.load(str(folder), ModelOptions(device="cpu"))
    assert model.sharing is (Sharing.EQUAL if kind == "dynamic" else Sharing.ANY)


OWN_CODE = """
import torch
from transformers import PreTrainedModel, PretrainedConfig
from transformers.modeling_outputs import BaseModelOutput

class OwnConfig(PretrainedConfig):
    model_type = "own"

class OwnModel(PreTrainedModel):
    config_class = OwnConfig
    def __init__(self, config):
        super().__init__(config)
        {at_start}
        self.embedding = torch.nn.Embedding(config.vocab_size, 8)
        self.blocks = torch.nn.ModuleList([torch.nn.Linear(8, 8) for _ in range(2)])
        self.post_init()
    def get_input_embeddings(self):
        return self.embedding
    def forward(self, input_ids=None, attention_mask=None, output_hidden_states=False, return_dict=True):
        {at_call}
        states = [self.embedding(input_ids)]
        for block in self.blocks:
            states.append(block(states[-1]))
        return BaseModelOutput(last_hidden_state=states[-1], hidden_states=tuple(states))
"""


def own_model(folder: Path, tokenizer: Any, *, at_start: str = "pass", at_call: str = "pass") -> Path:
    """A model whose class lies beside its weights, with a line of its own at its start or at each call."""
    tokenizer.save_pretrained(folder)
    (folder / "modeling_own.py").write_text(OWN_CODE.format(at_start=at_start, at_call=at_call))
    classes = {"AutoConfig": "modeling_own.OwnConfig", "AutoModel": "modeling_own.OwnModel"}
    config = {"model_type": "own", "architectures": ["OwnModel"], "auto_map": classes, "vocab_size": len(tokenizer)}
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 2}))
    tensors = {"embedding.weight": torch.randn(len(tokenizer), 8)}
    for block in range(2):
        tensors |= {f"blocks.{block}.weight": torch.randn(8, 8), f"blocks.{block}.bias": torch.randn(8)}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


class TestOwnCode:
    @pytest.fixture(autouse=True)
    def own_cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Modules of models are copied into a cache, here the test's own."""
        monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))

    @pytest.fixture
    def tokenizer(self, model_folder: Folder) -> Any:
        return AutoTokenizer.from_pretrained(model_folder("bert"))

    def test_it_runs_where_it_is_allowed(self, tokenizer: Any, tmp_path: Path) -> None:
        folder = str(own_model(tmp_path / "sound", tokenizer))
        with pytest.raises(ClvqError, match="--trust-remote-code"):
            LanguageModel.load(folder, ModelOptions(device="cpu"))
        ours = LanguageModel.load(folder, ModelOptions(device="cpu", trust_remote_code=True))
        assert ours.run(ours.tokenize(TEXTS), [2]).hidden[2].shape[1] == 8

    @pytest.mark.parametrize(
        ("where", "line", "message"),
        [
            ("at_start", "{}['rope_type']", r"KeyError: 'rope_type' \(.*modeling_own.py, line 13, in __init__\)"),
            ("at_call", "self.missing", r"AttributeError: .*missing.* \(.*modeling_own.py, line 20, in forward\)"),
            ("at_call", "torch.zeros(2) + torch.zeros(3)", r"RuntimeError: The size of tensor .*line 20, in forward"),
            ("at_call", "raise ValueError('layers must be a tuple')", r"ValueError: layers must be a tuple \("),
            ("at_start", "import flash_attn_of_mine", r"flash_attn_of_mine.*install it"),
        ],
    )
    def test_its_errors_are_named_as_its_own(
        self, where: str, line: str, message: str, tokenizer: Any, tmp_path: Path
    ) -> None:
        folder = own_model(tmp_path / f"broken{abs(hash((where, line)))}", tokenizer, **{where: line})
        with pytest.raises(ClvqError, match=message) as caught:
            LanguageModel.load(str(folder), ModelOptions(device="cpu", trust_remote_code=True))
        assert "Check its files" not in str(caught.value)
        assert ("own code" in str(caught.value)) == ("import" not in line)

    def test_an_error_in_the_middle_of_an_extraction(self, tokenizer: Any, corpus_file: Path, tmp_path: Path) -> None:
        rare = "if input_ids.shape[0] > 3: raise ValueError('too many')"
        folder = own_model(tmp_path / "limited", tokenizer, at_call=rare)
        with pytest.raises(ClvqError, match=r"cannot be run. The model's own code raised ValueError: too many \("):
            extract(
                tmp_path / "store", model=str(folder), dataset=str(corpus_file), layers=(1,), device="cpu",
                trust_remote_code=True,
            )  # fmt: skip


def test_a_model_class_that_its_config_does_not_fit(model_folder: Folder, tmp_path: Path) -> None:
    folder = with_config(model_folder("bert"), tmp_path / "m", num_attention_heads=5)
    with pytest.raises(ClvqError, match=r"raised ValueError: .*\(bert/modeling_bert.py, line \d+, in __init__\)"):
        LanguageModel.load(str(folder), ModelOptions(device="cpu"))


@pytest.mark.parametrize(
    ("text", "hinted"), [("我喜欢这部电影非常好看", True), ("หนังเรื่องนี้ดีมาก", True), ("the film is good", False)]
)
def test_an_extraction_hints_at_tokens_where_a_script_has_no_spaces(
    text: str, hinted: bool, model_folder: Folder, tmp_path: Path
) -> None:
    corpus = tmp_path / "texts.txt"
    corpus.write_text("\n".join(f"{text}{number}" for number in range(12)), encoding="utf-8")
    for unit in ("word", "token"):
        notes: list[Progress] = []
        extract(
            tmp_path / unit, model=str(model_folder("bert")), dataset=str(corpus), layers=(1,), unit=unit,
            progress=notes.append,
        )  # fmt: skip
        told = [note.note for note in notes if note.note and "--unit token" in note.note]
        assert len(told) == (hinted and unit == "word")
