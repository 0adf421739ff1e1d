"""Loading of a model by its name: config, tokenizer and weights are checked, identified and loaded.

Only this module knows how transformers loads models.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
import xxhash
from huggingface_hub import hf_hub_download
from huggingface_hub.utils import are_progress_bars_disabled
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTextEncoding,
    AutoModelForTokenClassification,
    AutoTokenizer,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES,
)
from transformers.utils import logging as transformers_logging

from clvq.config.paths import expanded
from clvq.errors import ClvqError
from clvq.language_model.advice import advice
from clvq.language_model.model_folder import checked, few, folder_fingerprint
from clvq.language_model.options import ModelOptions
from clvq.language_model.sites import base_of
from clvq.language_model.special_tokens import special_ids

MASKED = "ForMaskedLM"
"""How the names of classes of masked language models end."""


class LoadedFiles(NamedTuple):
    """The loaded contents of a model's files."""

    model: Any
    """The model, on the device asked for: with its classification head, with a head for the next token or for masks
    where that was asked for, or the base model alone."""
    tokenizer: Any
    commit: str | None = None
    """The hub's commit; None for a local folder."""
    fingerprint: str = ""
    no_head_reason: str | None = None
    """Why `model` has no classification head; None where it has one."""


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Run code that loads model `name`, without messages of libraries; turn any error into a ClvqError that says what
    to do."""
    try:
        with _quiet():
            yield
    except ClvqError:
        raise
    except Exception as error:  # transformers raises errors of nearly every type
        raise ClvqError(advice(error, name)) from error


def load_files(name: str, revision: str | None, device: torch.device, options: ModelOptions) -> LoadedFiles:
    """Load the model of the local folder or hub id `name`; call this function inside `explained`."""
    weights = options.placement.options(device)
    local = checked(Path(name)) if Path(name).exists() else None
    # One commit for every file, even if the branch moves between two downloads.
    commit = None if local else _commit(name, revision)
    source = {"revision": commit, "trust_remote_code": options.trust_remote_code}
    config = AutoConfig.from_pretrained(name, **source)
    _refuse_two_stacks(config, name)
    _drop_unusable(config)
    tokenizer = AutoTokenizer.from_pretrained(name, config=config, **source)
    _check_tokenizer(tokenizer, name)
    auto = _auto_class(config, options)
    loaded, no_head_reason = _load_weights(name, config, auto, {**weights, **source})
    return LoadedFiles(
        loaded if "device_map" in weights else loaded.to(device),
        tokenizer,
        commit,
        folder_fingerprint(local) if local else _digest(f"{name}@{commit}"),
        no_head_reason,
    )


def _refuse_two_stacks(config: Any, name: str) -> None:
    if config.is_encoder_decoder and not _is_text_encoder(config):
        encoder = MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES.get(config.model_type)
        remedy = f" Its encoder alone: {encoder}.from_pretrained(...).save_pretrained(...)." if encoder else ""
        raise ClvqError(f"{name} is an encoder-decoder model: give an encoder or a decoder-only one.{remedy}")


def _architecture(config: Any) -> str:
    return str((config.architectures or ["a model of unknown class"])[0])


def _is_text_encoder(config: Any) -> bool:
    """Return whether the files hold only the encoder of an encoder-decoder model, such as T5EncoderModel."""
    encoder = MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES.get(config.model_type, "")
    return encoder.endswith("EncoderModel") and _architecture(config).endswith("EncoderModel")


def _drop_unusable(config: Any) -> None:
    """Remove settings of a config that may not be available and that states do not depend on: a padding id that the
    embeddings lack, and flash attention, which is a package of its own."""
    text_config = config.get_text_config()
    if (getattr(text_config, "pad_token_id", None) or 0) >= getattr(text_config, "vocab_size", float("inf")):
        text_config.pad_token_id = None
    for part in (config, text_config):
        if "flash" in str(part._attn_implementation):
            part._attn_implementation = None  # transformers then chooses


def _auto_class(config: Any, options: ModelOptions) -> Any:
    """Return the class of transformers that loads the model, with the wanted head where its files have one."""
    architecture = _architecture(config)
    if architecture.endswith("ForTokenClassification"):
        return AutoModelForTokenClassification
    if architecture.endswith("ForSequenceClassification"):
        return AutoModelForSequenceClassification
    is_causal = config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    if options.keeps_token_head and is_causal and architecture.endswith(("ForCausalLM", "LMHeadModel")):
        return AutoModelForCausalLM
    if options.keeps_mask_head and architecture.endswith(MASKED):
        return AutoModelForMaskedLM
    return AutoModelForTextEncoding if _is_text_encoder(config) else AutoModel


def _load_weights(name: str, config: Any, auto: Any, options: dict[str, Any]) -> tuple[Any, str | None]:
    """Return the model that the class `auto` loads, with its classification head or its head for tokens, and None; or
    the base model, and the reason why there is no head. ClvqError where weights of the base model are missing."""
    model, info = auto.from_pretrained(
        name, config=config, use_safetensors=True, output_loading_info=True, ignore_mismatched_sizes=True, **options
    )
    base = base_of(model)
    _refuse_other_shapes(name, base, info)
    prefix = "" if base is model else next(f"{name}." for name, part in model.named_modules() if part is base)
    missing = sorted(info["missing_keys"])
    in_head = [key for key in missing if not key.startswith(prefix)]
    # Only heads read a base model's pooler: no hidden state depends on it.
    in_pooler = [key for key in missing if key.startswith(f"{prefix}pooler.")]
    in_base = [key for key in missing if key not in in_head and key not in in_pooler]
    if in_base:
        raise ClvqError(
            f"the weights of {name} are incomplete: {few(in_base)} missing. Its config.json belongs to "
            "another model, or the copy was cut short: fetch the files again."
        )
    if auto not in (AutoModelForSequenceClassification, AutoModelForTokenClassification):
        has_words = auto in (AutoModelForCausalLM, AutoModelForMaskedLM)
        if has_words and in_head:
            return base, f"the head's weights are not in its files ({few(in_head)} missing)"
        if not config.architectures:
            return base, 'its config.json names no class, such as "architectures": ["BertForSequenceClassification"]'
        architecture = _architecture(config)
        asks = "; --label-words and a --prompt such as '{text} It was <mask>.' ask what stands at its mask"
        reason = f"its files hold {architecture}, which has no classification head"
        return model if has_words else base, reason + (asks if architecture.endswith(MASKED) else "")
    if in_head or in_pooler:
        return base, f"the head's weights are not in its files ({few(in_head + in_pooler)} missing)"
    if config.problem_type == "regression" and config.num_labels > 1:
        return base, f"its head gives {config.num_labels} numbers at once, none of which is the answer by itself"
    return model, None


def _refuse_other_shapes(name: str, base: Any, info: dict[str, Any]) -> None:
    """Raise ClvqError where config.json describes other shapes than the weights have, or fewer blocks."""
    if info["mismatched_keys"]:
        key, stored, described = sorted(info["mismatched_keys"])[0]
        raise ClvqError(
            f"the weights of {name} do not fit its config.json: {key} is {list(stored)} in the weights, and "
            f"{list(described)} by config.json. Fetch both from the same place, or correct config.json."
        )
    unexpected = sorted(info["unexpected_keys"])
    for path, part in base.named_modules():
        if not isinstance(part, nn.ModuleList):
            continue
        entry = re.compile(rf"(?:^|\.){re.escape(path)}\.(\d+)\.")
        further = [key for key in unexpected if (found := entry.search(key)) and int(found[1]) >= len(part)]
        if further:
            raise ClvqError(
                f"the weights of {name} do not fit its config.json, which has {len(part)} of {path}: {few(further)} "
                "would be left out. Fetch both from the same place, or correct config.json."
            )


def split_revision(model: str, revision: str | None) -> tuple[str, str | None]:
    """Return the name and the revision of `user/name@revision`; an existing path is taken as it is."""
    if not model.strip():
        raise ClvqError("the model has no name: give a local folder, user/name, or user/name@revision.")
    if (path := expanded(model)).exists():
        if revision is not None:
            raise ClvqError(f"{model} is a local folder, which has no revision {revision}: leave the revision out.")
        return str(path), None
    name, at, inline = model.rpartition("@")
    if not at:
        name = model
    elif revision not in (None, inline):
        raise ClvqError(f"two revisions for one model: {model} and {revision}. Give one.")
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name:
        raise ClvqError(f"there is no folder {name}: give a folder with a model, or a hub id such as user/name.")
    return name, inline if at else revision


def _commit(name: str, revision: str | None) -> str:
    """Return the commit that `revision` of a hub model means now or, offline, meant when it was cached."""
    # In the hub's cache, a file is in a folder whose name is the commit.
    return Path(hf_hub_download(name, "config.json", revision=revision)).parent.name


def _check_tokenizer(tokenizer: Any, name: str) -> None:
    if not tokenizer.is_fast:
        raise ClvqError(
            f"{name} has only a slow tokenizer ({type(tokenizer).__name__}), without character offsets: "
            "add a tokenizer.json, or use another model."
        )
    # Without the tokenizer's files, transformers silently makes a tokenizer that has only special tokens.
    if not set(tokenizer.get_vocab().values()) - special_ids(tokenizer) - {tokenizer.unk_token_id}:
        raise ClvqError(f"{name} holds no tokenizer: add its tokenizer.json, or the vocabulary files it is made from.")


def _digest(text: str) -> str:
    return xxhash.xxh3_128_hexdigest(text.encode())


@contextmanager
def _quiet() -> Iterator[None]:
    """Turn off progress bars, load reports and advice of transformers and huggingface_hub while the context lasts."""
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled() and not are_progress_bars_disabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()  # huggingface_hub's too
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
