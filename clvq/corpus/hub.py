"""Calls of `datasets`, without its progress bars and log lines. Whatever it raises becomes one message."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clvq.errors import ClvqError


def load_builder(origin: str, path: str, subset: str | None, **settings: Any) -> Any:
    """Return the builder of a dataset of the hub or of a local folder, before anything is downloaded."""
    from datasets import load_dataset_builder

    with quiet(), datasets_errors(origin):
        builder = load_dataset_builder(path, subset, **settings)
        if hasattr(builder.config, "keep_default_na"):  # CSV files: "NA" and "null" are words
            builder = load_dataset_builder(path, subset, **settings, keep_default_na=False)
    return builder


_OF_A_NAME = "Check the name; a private dataset needs `hf auth login` or HF_TOKEN."
_OF_A_FOLDER = (
    "A folder must hold .jsonl, .json, .csv, .tsv, .parquet or .txt files, with their endings in lower case, and its "
    "path none of the characters * ? [ ]. A single file may have one of these endings in any case, and any path."
)


@contextmanager
def quiet() -> Iterator[None]:
    """Hide the progress bars of both libraries, and their log lines about errors, which are reported anyway."""
    import datasets.utils as of_datasets
    import huggingface_hub.utils as of_hub

    libraries: list[Any] = [of_datasets, of_hub]
    before = [(lib, lib.are_progress_bars_disabled(), lib.logging.get_verbosity()) for lib in libraries]
    for library in libraries:
        library.disable_progress_bars()
        library.logging.set_verbosity(library.logging.CRITICAL)
    try:
        yield
    finally:
        for library, had_no_bars, verbosity in before:
            library.logging.set_verbosity(verbosity)
            if not had_no_bars:
                library.enable_progress_bars()


@contextmanager
def datasets_errors(origin: str) -> Iterator[None]:
    """Turn whatever `datasets`, or a library below it, raises into a ClvqError with one message."""
    try:
        yield
    except Exception as error:
        root: BaseException = error
        while root.__cause__ is not None:
            root = root.__cause__
        reason = " ".join(str(root if type(error).__name__.startswith("DatasetGeneration") else error).split())
        reason = reason[:500].rstrip(".")
        raise ClvqError(f"Cannot load the dataset {origin}: {reason}. {_advice(error, reason, origin)}") from error


def _advice(error: Exception, reason: str, origin: str) -> str:
    if "script" in reason or "trust_remote_code" in reason:
        return "clvq runs no dataset scripts. The hub may hold a converted copy: try user/name@refs/convert/parquet."
    if "gated" in reason:
        return "Ask for access on its page, then log in with `hf auth login` or set HF_TOKEN."
    if isinstance(error, ConnectionError) or "offline" in reason.lower():
        offline = " HF_HUB_OFFLINE is set." if os.environ.get("HF_HUB_OFFLINE") else " Check the network."
        return f"{offline.strip()} Local files, datasets loaded before, and the dataset `demo` need no network."
    if "onfig" in reason:
        return "Choose a subset that exists."
    if isinstance(error, FileNotFoundError):
        return _OF_A_FOLDER if Path(origin).is_dir() else _OF_A_NAME
    return "Check that its files are whole and of one format."
