"""Tiny random models, saved as folders like any other: real classes and pre-tokenizers, own vocabularies.

`tiny_bert` is the cheap classifier for tests of what comes after the language model.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import pre_tokenizers, trainers
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    BertConfig,
    BertTokenizer,
    ConvBertConfig,
    DebertaV2Config,
    DebertaV2Tokenizer,
    DistilBertConfig,
    ElectraConfig,
    FNetConfig,
    GemmaConfig,
    GemmaTokenizer,
    GPT2Config,
    GPT2Tokenizer,
    LlamaConfig,
    LlamaTokenizer,
    ModernBertConfig,
    MPNetConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2Tokenizer,
    RobertaConfig,
    RobertaTokenizer,
    YosoConfig,
)
from transformers.utils import logging

logging.disable_progress_bar()  # save_pretrained's


def made_sentences() -> list[str]:
    """A few hundred short film judgements: enough text to train a vocabulary on."""
    subjects = [
        "The film",
        "This movie",
        "A director",
        "Her acting",
        "The well-known story",
        "My uncle's script",
    ]
    verbs = ["wasn't", "is", "remains", "felt", "looked"]
    adverbs = ["very", "not at all", "rather", "unbelievably"]
    judgements = ["good!", "lifeless...", "slow, but charming", "boring; truly", "wonderful?"]
    return [" ".join(words) for words in itertools.product(subjects, verbs, adverbs, judgements)]


def tiny_bert(path: Path | str, *, layers: int = 4, head: bool = True, labels: int = 2, **config: Any) -> Path:
    """A BERT of width 32 with a WordPiece vocabulary; with a classifier of `labels` classes when `head`."""
    settings = {
        **_sizes(_wordpiece(), layers, labels),
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        "pad_token_id": _wordpiece().pad_token_id,
    }
    return _save(path, BertConfig(**{**settings, **config}), _wordpiece(), head)


def tiny_roberta(path: Path | str, *, layers: int = 3, head: bool = True, labels: int = 2, **config: Any) -> Path:
    """Byte-level BPE; positions start behind the padding id, so 66 positions are 64 tokens."""
    tokenizer = _byte_level(RobertaTokenizer, ("<s>", "<pad>", "</s>", "<unk>", "<mask>"))
    settings = {
        **_sizes(tokenizer, layers, labels),
        "intermediate_size": 64,
        "max_position_embeddings": 66,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    return _save(path, RobertaConfig(**{**settings, **config}), tokenizer, head)


def tiny_distilbert(path: Path | str, *, layers: int = 2, head: bool = True, labels: int = 2) -> Path:
    sizes = _sizes(_wordpiece(), layers, labels)
    config = DistilBertConfig(
        vocab_size=sizes["vocab_size"],
        dim=32,
        n_heads=4,
        n_layers=layers,
        hidden_dim=64,
        max_position_embeddings=64,
        num_labels=labels,
        pad_token_id=_wordpiece().pad_token_id,
        initializer_range=0.2,
    )
    return _save(path, config, _wordpiece(), head)


def tiny_deberta(path: Path | str, *, layers: int = 3, head: bool = True, labels: int = 2, **config: Any) -> Path:
    """Unigram with metaspaces and relative positions, like microsoft/deberta-v3-base."""
    tokenizer = _unigram()
    settings = {
        **_sizes(tokenizer, layers, labels),
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        "relative_attention": True,
        "position_buckets": 16,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
        "type_vocab_size": 0,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return _save(path, DebertaV2Config(**{**settings, **config}), tokenizer, head)


def tiny_modernbert(path: Path | str, *, layers: int = 4, head: bool = True, labels: int = 2) -> Path:
    """Pre-norm encoder with a final norm, and attention that is local in most blocks."""
    special = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "mask_token": "[MASK]"}
    backend = _byte_level(
        RobertaTokenizer, ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"), **special, unk_token="[UNK]"
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend.backend_tokenizer, unk_token="[UNK]", **special)
    config = ModernBertConfig(
        **_sizes(tokenizer, layers, labels),
        intermediate_size=48,
        max_position_embeddings=64,
        local_attention=8,
        global_attn_every_n_layers=3,
        classifier_pooling="mean",
        pad_token_id=tokenizer.pad_token_id,
        cls_token_id=tokenizer.cls_token_id,
        sep_token_id=tokenizer.sep_token_id,
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        initializer_cutoff_factor=2.0,
    )
    return _save(path, config, tokenizer, head)


def tiny_gpt2(path: Path | str, *, layers: int = 3, head: bool = True, labels: int = 2, pad: bool = False) -> Path:
    """Byte-level BPE, no BOS; no padding id unless `pad`, which then is the end of text."""
    tokenizer = _byte_level(GPT2Tokenizer, ("<|endoftext|>",))
    sizes = _sizes(tokenizer, layers, labels)
    config = GPT2Config(
        vocab_size=sizes["vocab_size"],
        n_embd=32,
        n_head=4,
        n_layer=layers,
        n_positions=64,
        num_labels=labels,
        initializer_range=0.2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id if pad else None,
    )
    return _save(path, config, tokenizer, head)


def tiny_llama(path: Path | str, *, layers: int = 4, head: bool = True, labels: int = 2, pad: bool = False) -> Path:
    """BPE with metaspaces, byte fallback and BOS; no padding id unless `pad`, which then is EOS."""
    tokenizer = _metaspace()
    config = LlamaConfig(
        **_sizes(tokenizer, layers, labels),
        num_key_value_heads=2,
        intermediate_size=48,
        max_position_embeddings=64,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id if pad else None,
    )
    return _save(path, config, tokenizer, head)


def tiny_qwen2(path: Path | str, *, layers: int = 3, head: bool = True, labels: int = 2) -> Path:
    """Byte-level BPE split by Qwen's regular expression; the padding id is the end of text."""
    tokenizer = _byte_level(Qwen2Tokenizer, ("<|endoftext|>",))
    config = Qwen2Config(
        **_sizes(tokenizer, layers, labels),
        num_key_value_heads=2,
        intermediate_size=48,
        max_position_embeddings=64,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return _save(path, config, tokenizer, head)


def tiny_gemma(path: Path | str, *, layers: int = 3, head: bool = True, labels: int = 2) -> Path:
    """BPE whose spaces are letters, BOS before each text, and padding on the left."""
    tokenizer = _spaced()
    config = GemmaConfig(
        **_sizes(tokenizer, layers, labels),
        num_key_value_heads=1,
        head_dim=8,
        intermediate_size=48,
        max_position_embeddings=64,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return _save(path, config, tokenizer, head)


CHAT_TEMPLATES = {
    "qwen2": "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
    "gemma": "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('System role not "
    "supported') }}{% endif %}{{ '<start_of_turn>' + m['role'] + '\\n' + m['content'] | trim + '<end_of_turn>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}",
}
"""As Qwen2's and Gemma's own: the one keeps white space and takes a system message, the other does neither."""


def with_chat(folder: Path, kind: str) -> Path:
    """Gives the tokenizer of a folder a chat template, a key of CHAT_TEMPLATES."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = CHAT_TEMPLATES[kind]
    marks = {"qwen2": ["<|im_start|>", "<|im_end|>"], "gemma": ["<start_of_turn>", "<end_of_turn>"]}[kind]
    tokenizer.add_special_tokens({"additional_special_tokens": marks})
    tokenizer.save_pretrained(folder)
    architecture = AutoConfig.from_pretrained(folder).architectures[0]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        model = getattr(transformers, architecture).from_pretrained(folder)
        model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder)
    return folder


def with_tags(folder: Path, tags: tuple[str, ...]) -> Path:
    """Replaces the model of a folder by one of its architecture with a head that gives each token a tag."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        names = dict(enumerate(tags))
        config = AutoConfig.from_pretrained(folder, num_labels=len(tags), id2label=names)
        model = AutoModelForTokenClassification.from_config(config)
        torch.nn.init.normal_(model.get_input_embeddings().weight, std=0.2)
    model.save_pretrained(folder)
    return folder


def with_next_token(folder: Path) -> Path:
    """Replaces the model of a folder by one of its architecture with the head that predicts the next token."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
        torch.nn.init.normal_(model.get_input_embeddings().weight, std=0.2)  # padding's row starts as 0
    model.save_pretrained(folder)
    return folder


def with_masks(folder: Path) -> Path:
    """Replaces the model of a folder by one of its architecture with the head that predicts masked words."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(folder))
        torch.nn.init.normal_(model.get_input_embeddings().weight, std=0.2)
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(folder)
    return folder


BUILDERS: dict[str, Callable[..., Path]] = {
    "bert": tiny_bert,
    "roberta": tiny_roberta,
    "distilbert": tiny_distilbert,
    "deberta": tiny_deberta,
    "modernbert": tiny_modernbert,
    "gpt2": tiny_gpt2,
    "llama": tiny_llama,
    "qwen2": tiny_qwen2,
}
DECODERS = ("gpt2", "llama", "qwen2")
OTHER_DECODERS: dict[str, Callable[..., Path]] = {"gemma": tiny_gemma}


def like_bert(kind: Any, **settings: Any) -> Callable[..., Path]:
    """Return what builds a tiny classifier of a config class that takes BERT's settings, with BERT's vocabulary."""

    def build(path: Path | str, *, layers: int = 2, head: bool = True, labels: int = 2) -> Path:
        sizes = {**_sizes(_wordpiece(), layers, labels), "intermediate_size": 64, "max_position_embeddings": 80}
        return _save(path, kind(**{**sizes, "pad_token_id": _wordpiece().pad_token_id, **settings}), _wordpiece(), head)

    return build


PADDING_READERS: dict[str, Callable[..., Path]] = {
    "fnet": like_bert(FNetConfig),
    "convbert": like_bert(ConvBertConfig, embedding_size=32, conv_kernel_size=5),
    "yoso": like_bert(YosoConfig, conv_window=3),
}
"""Models whose states depend on the padding behind a sentence."""
OTHER_ENCODERS: dict[str, Callable[..., Path]] = {
    "electra": like_bert(ElectraConfig, embedding_size=16),
    "mpnet": like_bert(MPNetConfig),
}


def _sizes(tokenizer: Any, layers: int, labels: int) -> dict[str, Any]:
    """Settings that most configs name alike. Weights are drawn wide, so that a wrong row or mask shows."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "num_attention_heads": 4,
        "num_hidden_layers": layers,
        "num_labels": labels,
        "initializer_range": 0.2,
    }


def _save(path: Path | str, config: Any, tokenizer: Any, head: bool) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = (AutoModelForSequenceClassification if head else AutoModel).from_config(config)
        for parameter in model.parameters():
            if parameter.dim() == 1:  # norms and biases start as constants, which would hide that they are there
                torch.nn.init.normal_(parameter, mean=1.0 if bool((parameter == 1).all()) else 0.0, std=0.1)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return Path(path)


@cache
def _wordpiece() -> Any:
    """Characters, short words, and longer words in pieces.

    Not learned: a trainer of word pieces breaks ties by the order of a hash, anew in every process.
    """
    backend = BertTokenizer().backend_tokenizer
    words = {
        word
        for sentence in made_sentences()
        for word, _ in backend.pre_tokenizer.pre_tokenize_str(backend.normalizer.normalize_str(sentence))
    }
    characters = sorted({character for word in words for character in word})
    short = sorted(word for word in words if 1 < len(word) <= 6)
    longer = sorted(word for word in words if len(word) > 6)
    pieces = [word[:4] for word in longer]
    pieces += ["##" + word[at : at + 3] for word in longer for at in range(4, len(word), 3)]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens = [*special, *characters, *("##" + character for character in characters), *short, *pieces]
    return BertTokenizer(vocab={token: number for number, token in enumerate(dict.fromkeys(tokens))})


@cache
def _byte_level(kind: Any, special: tuple[str, ...], **names: str) -> Any:
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    model = _trained(kind(**names), trainer)
    return kind(vocab=model["vocab"], merges=[tuple(pair) for pair in model["merges"]], **names)


@cache
def _metaspace() -> Any:
    untrained = LlamaTokenizer()
    # SentencePiece merges never cross a space; without the split a few hundred sentences would teach them to.
    untrained.backend_tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
    trainer = trainers.BpeTrainer(vocab_size=120, special_tokens=[], show_progress=False)
    model = _trained(untrained, trainer)
    first = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocabulary = {token: number for number, token in enumerate([*first, *model["vocab"]])}
    return LlamaTokenizer(vocab=vocabulary, merges=[tuple(pair) for pair in model["merges"]], add_bos_token=True)


@cache
def _spaced() -> Any:
    untrained = GemmaTokenizer()
    backend = untrained.backend_tokenizer
    backend.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    trainer = trainers.BpeTrainer(vocab_size=120, special_tokens=[], show_progress=False)
    model = _trained(untrained, trainer)
    first = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocabulary = {token: number for number, token in enumerate([*first, *model["vocab"]])}
    tokenizer = GemmaTokenizer(vocab=vocabulary, merges=[tuple(pair) for pair in model["merges"]], add_bos_token=True)
    return tokenizer


@cache
def _unigram() -> Any:
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=special, unk_token="[UNK]", show_progress=False)
    model = _trained(DebertaV2Tokenizer(), trainer)
    # Scores are sums in the order of a hash: the last digits, and the order of tokens that are alike, change.
    scored = [(token, round(score, 3)) for token, score in model["vocab"]]
    pieces = sorted(scored[len(special) :], key=lambda item: (-item[1], item[0]))
    return DebertaV2Tokenizer(vocab=[*scored[: len(special)], *pieces], unk_id=special.index("[UNK]"))


def _trained(tokenizer: Any, trainer: Any) -> dict[str, Any]:
    """The vocabulary, and merges, that `trainer` finds behind the tokenizer's own normalizer and splits."""
    backend = tokenizer.backend_tokenizer
    backend.train_from_iterator(made_sentences(), trainer)
    model: dict[str, Any] = json.loads(backend.to_str())["model"]
    return model
