"""The local folder of a model: what it must hold, and what identifies it."""

from __future__ import annotations

import json
from pathlib import Path

from clvq.artifacts import files_checksum
from clvq.errors import ClvqError

INDEX_NAME = "model.safetensors.index.json"


def checked(folder: Path) -> Path:
    """Return the folder. ClvqError where no model can be read from it, raised before transformers looks at it."""
    if not folder.is_dir():
        raise ClvqError(f"{folder} is a file: give the folder that holds the model's config.json.")
    if (folder / "adapter_config.json").is_file():
        _refuse_adapter(folder)
    if not (folder / "config.json").is_file():
        raise ClvqError(f"{folder} holds no config.json: give the folder that save_pretrained wrote.")
    weights = sorted(path.name for path in folder.glob("*.safetensors"))
    if not weights:
        found = "only pickled weights" if any(folder.glob("*.bin")) else "no weights"
        raise ClvqError(
            f"{folder} holds {found}: clvq reads safetensors files, and loads no pickled weights. Convert it "
            "once, with "
            "AutoModel.from_pretrained(...).save_pretrained(...) from a source that you trust."
        )
    index = folder / INDEX_NAME
    if not index.is_file() and "model.safetensors" not in weights:
        raise ClvqError(f"{folder} holds {few(weights)}, and no model.safetensors or {INDEX_NAME}: fetch it again.")
    if "model.safetensors" not in weights and (missing := _shards(index) - set(weights)):
        raise ClvqError(f"{folder} lacks {few(sorted(missing))}, which {INDEX_NAME} names: fetch the files again.")
    return folder


def _shards(index: Path) -> set[str]:
    try:
        return set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ClvqError(f"{index} is damaged: fetch it again.") from error


def _refuse_adapter(folder: Path) -> None:
    """Refuse a PEFT adapter, alone or beside a whole model, to which transformers would add it."""
    if all(path.name.startswith("adapter") for path in folder.glob("*.safetensors")):
        raise ClvqError(
            f"{folder} holds an adapter (LoRA or another kind of PEFT), not a whole model. Merge it into its base "
            "model once, with peft: AutoPeftModelForSequenceClassification.from_pretrained(...).merge_and_unload()"
            ".save_pretrained(...) into another folder, save the tokenizer there too, and give that folder."
        )
    raise ClvqError(
        f"{folder} holds a whole model and an adapter (adapter_config.json), which would be added to it where peft is "
        "installed. Move the adapter's files into a folder of their own if it is merged into the model already."
    )


def folder_fingerprint(folder: Path) -> str:
    """Return a hash of the contents of every file that decides what the model computes."""
    patterns = (
        "config.json",
        "*.safetensors",
        "*.index.json",
        "tokenizer*",
        "vocab*",
        "merges*",
        "*.model",
        "*.py",
        "special_tokens_map.json",
        "added_tokens.json",
    )
    return files_checksum(folder, {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})


def few(names: list[str]) -> str:
    """Return some names for a message, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
