"""Advice for errors of language models: what went wrong and what to do, where transformers, the hub or a model's own
code raised one."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath

import torch
import transformers
from huggingface_hub import errors as hub_errors
from safetensors import SafetensorError

from clvq.errors import ClvqError, first_line

_CLVQ = PurePath(__file__).parents[1]
_OUT_OF_MEMORY = (torch.cuda.OutOfMemoryError, MemoryError)

_ADVICE: list[tuple[type[BaseException] | tuple[type[BaseException], ...], str]] = [
    (
        hub_errors.GatedRepoError,
        "is gated: accept its terms on https://huggingface.co/{name} and set HF_TOKEN",
    ),
    (
        hub_errors.RevisionNotFoundError,
        "has no such revision: name a branch, a tag or a commit of it after the @",
    ),
    (
        (hub_errors.RepositoryNotFoundError, hub_errors.HFValidationError),
        "was not found, neither as a local folder nor on the Hugging Face hub: check the spelling; "
        "a private model needs HF_TOKEN",
    ),
    # LocalEntryNotFoundError is also an EntryNotFoundError, so this entry comes first.
    (
        (hub_errors.LocalEntryNotFoundError, hub_errors.OfflineModeIsEnabled, ConnectionError, TimeoutError),
        "is not in the local cache and the hub cannot be reached: go online once, unset HF_HUB_OFFLINE, "
        "or give a local folder",
    ),
    (
        hub_errors.EntryNotFoundError,
        "lacks a file that a transformers model has ({line}): give another model. An adapter (LoRA, PEFT) must first "
        "be merged into its base model, with merge_and_unload()",
    ),
    (
        _OUT_OF_MEMORY,
        "does not fit into the memory of the device: give another device, or a smaller model",
    ),
    (SafetensorError, "has a corrupt or truncated safetensors file ({line}): fetch or copy it again"),
]


def advice(error: BaseException, name: str) -> str:
    """Return what went wrong while loading `name`, and what to do, from the error or from what caused it."""
    line = first_line(error)
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    for kinds, text in _ADVICE:
        if any(isinstance(link, kinds) for link in chain):
            return f"{name} {text.format(name=name, line=line)}."
    if isinstance(error, ImportError):
        return f"{name} needs a Python package that cannot be imported ({line}): install it beside clvq."
    if "trust_remote_code" in str(error):
        return f"{name} runs Python code of its own: read that code, then allow it with --trust-remote-code."
    if isinstance(error, OSError) and "safetensors" in str(error):
        return f"{name} has no safetensors weights, and clvq loads no pickled ones: use a revision that has them."
    if (place := _place_in_model_code(error)) is not None:
        return f"{name} cannot be loaded. {_failure(error, place)}"
    return f"{name} cannot be loaded: {line} ({type(error).__name__}). Check its files."


@contextmanager
def model_code(name: str) -> Iterator[None]:
    """Run the model `name`; turn an error of its own code into a ClvqError that says where the error was raised."""
    try:
        yield
    except (ClvqError, *_OUT_OF_MEMORY):
        raise
    except Exception as error:
        place = _place_in_model_code(error)
        if place is None:
            raise
        raise ClvqError(f"{name} cannot be run. {_failure(error, place)}") from error


def _failure(error: BaseException, place: traceback.FrameSummary) -> str:
    path = PurePath(place.filename)
    where = f"{path.parent.name}/{path.name}, line {place.lineno}, in {place.name}"
    return (
        f"The model's own code raised {type(error).__name__}: {first_line(error).rstrip('.')} ({where}). It may be "
        f"meant for another version of transformers than {transformers.__version__}: config.json names one. Try that "
        "version, or ask the model's authors."
    )


def _place_in_model_code(error: BaseException) -> traceback.FrameSummary | None:
    """Return the innermost line of a model's class that led to the error; None where no such line did. The class is in
    transformers, or in code beside the weights."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if _is_model_code(frame.filename):
            return frame
        if PurePath(frame.filename).is_relative_to(_CLVQ):
            return None  # clvq's own error, in a hook
    return None


def _is_model_code(filename: str) -> bool:
    parts = PurePath(filename).parts
    return "transformers_modules" in parts or (parts[-4:-2] == ("transformers", "models") and parts[-2] != "auto")
