"""Fixtures that several tests share: tiny models, saved once a session."""

from __future__ import annotations

import json
import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before the hub's library is imported: it asks again and again where nobody answers

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import tiny_models
import torch

from clvq.activations.extraction import extract
from clvq.activations.store import ActivationStore
from clvq.language_model.model import LanguageModel
from clvq.language_model.options import ModelOptions

# Models this small are slower on several threads than on one.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start


LONGEST = (
    "test_tutorial.py",
    "test_demo_faithfulness.py",
    "test_prompted_model.py",
    "test_demo_bench.py",
    "test_cli_damage.py",
)
"""Files that take longer than half a minute. They come first, so that no process is left alone with one at the end."""


def pytest_configure(config: pytest.Config) -> None:
    config.option.loadscopereorder = False  # xdist would begin with the files that have the most tests


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full", action="store_true", help="Tests of faults in full: 50 kills a command, 200 flipped bits a file."
    )


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Whether tests of faults are asked for in full."""
    return bool(request.config.getoption("--full"))


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of the tiny classifier of an architecture, a key of one of the tables of `tiny_models`."""
    builders = {
        **tiny_models.BUILDERS, **tiny_models.PADDING_READERS, **tiny_models.OTHER_ENCODERS,
        **tiny_models.OTHER_DECODERS,
    }  # fmt: skip

    @cache
    def folder(name: str) -> Path:
        return builders[name](tmp_path_factory.mktemp("models") / name)

    return folder


@pytest.fixture(scope="session")
def language_model(model_folder: Callable[[str], Path]) -> Callable[[str], LanguageModel]:
    """The tiny classifier of an architecture, loaded; shared, so tests leave it as it is."""

    @cache
    def load(name: str) -> LanguageModel:
        return LanguageModel.load(str(model_folder(name)), ModelOptions(device="cpu"))

    return load


@pytest.fixture(scope="session")
def corpus_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hundred labelled sentences, some of them twice."""
    path = tmp_path_factory.mktemp("corpus") / "train.jsonl"
    texts = [f"{text} {number}" for number in range(20) for text in tiny_models.made_sentences()[:10]]
    lines = [json.dumps({"text": text, "label": number % 2}) for number, text in enumerate(texts + texts[:20])]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny_store(
    model_folder: Callable[[str], Path], corpus_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> ActivationStore:
    """Layers 1, 2 and 4 of a tiny BERT over the small corpus; shared, so tests leave it as it is."""
    return extract(
        tmp_path_factory.mktemp("store") / "activations",
        model=str(model_folder("bert")),
        dataset=str(corpus_file),
        layers=(1, 2, 4),
        device="cpu",
    )
