"""A model that was moved, or is named by a relative path: which one it is, its files say."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from running import SMALL, Clvq

pytestmark = pytest.mark.slow

PAIR = ("--input-layer", 1, "--output-layer", 2, "--epochs", 1, *SMALL)
QUICK = ("--draws", 1, "--limit", 2, "--at", "salient", "--edit", "removal")


@pytest.fixture(params=["run", "runs/deep/run"])
def here(
    request: pytest.FixtureRequest, clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:  # fmt: skip
    """A working directory with a run whose model was named by a relative path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLVQ_RUN", request.param)
    shutil.copytree(bert, "my-model")
    shutil.copy(corpus, "reviews.jsonl")
    given = ("--model", "./my-model", "--dataset", "reviews.jsonl", "--max-sentences", 40, "--run", request.param)
    ended = clvq("train", *given, *PAIR)
    assert ended.code == 0, ended.err
    return tmp_path / request.param


def forget_folder(run: Path) -> None:
    """Make the artifacts those of an earlier clvq, which noted the path as it was typed and no more."""
    from clvq.artifacts import ACTIVATIONS, CHECKPOINT

    for artifact, folder in ((ACTIVATIONS, run / "activations"), (CHECKPOINT, run / "L1-L2")):
        body = artifact.read(folder)
        assert Path(body["provenance"]["model"].pop("folder")).is_absolute()
        artifact.write(folder, body)


@pytest.mark.parametrize("earlier", [False, True])
def test_a_relative_path_is_found_from_another_folder(
    clvq: Clvq, here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, earlier: bool
) -> None:
    if earlier:
        forget_folder(here)
    (tmp_path / "other" / "my-model").mkdir(parents=True)  # another model may have the name there
    shutil.copytree(tmp_path / "my-model", tmp_path / "other" / "my-model", dirs_exist_ok=True)
    (tmp_path / "other" / "my-model" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path / "other")
    for command in (("explain", "good film"), ("faithfulness", *QUICK)):
        ended = clvq(*command, "--run", here)
        assert ended.code == 0, ended.err
    shutil.rmtree(tmp_path / "other" / "my-model")
    ended = clvq("extract", "--layers", 3, "--run", here, "--json")
    assert ended.code == 0, ended.err
    assert [layer["index"] for layer in ended.document["layers"]] == [1, 2, 3]


def test_a_moved_model_is_named_and_found_again(clvq: Clvq, here: Path, tmp_path: Path, bert: Path) -> None:
    (tmp_path / "my-model").rename(tmp_path / "moved")
    for command in (("explain", "good film"), ("faithfulness", *QUICK), ("extract", "--layers", 3)):
        ended = clvq(*command, "--run", here)
        assert ended.code == 1
        assert f"The model ./my-model is no longer at {tmp_path / 'my-model'}. Say with --model" in ended.message
    for command in (("explain", "good film"), ("faithfulness", *QUICK), ("faithfulness", "--mode", "splice")):
        ended = clvq(*command, "--run", here, "--model", "moved")
        assert ended.code == 0, ended.err
    ended = clvq("extract", "--layers", 3, "--run", here, "--model", "./moved")
    assert ended.code == 0, ended.err
    ended = clvq("explain", "good film", "--run", here)  # the store knows now
    assert ended.code == 0, ended.err


def test_another_model_is_refused_wherever_it_is(clvq: Clvq, here: Path, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "my-model", tmp_path / "edited")
    config = tmp_path / "edited" / "config.json"
    config.write_text(config.read_text().replace("0.1", "0.2"))
    for command in (("explain", "good film"), ("faithfulness", *QUICK)):
        ended = clvq(*command, "--run", here, "--model", "edited")
        assert ended.code == 1
        assert "The model edited is not the one that" in ended.message
    ended = clvq("extract", "--layers", 3, "--run", here, "--model", "edited")
    assert (ended.code, "model ('./my-model' there, 'edited' here)" in ended.message) == (1, True)


def test_a_moved_corpus_is_the_same_corpus(clvq: Clvq, here: Path, tmp_path: Path) -> None:
    (tmp_path / "reviews.jsonl").rename(tmp_path / "texts.jsonl")
    ended = clvq("extract", "--layers", 3, "--run", here, "--dataset", "texts.jsonl")
    assert ended.code == 0, ended.err
    with (tmp_path / "texts.jsonl").open("a") as file:
        file.write('{"text": "one more", "label": 0}\n')
    ended = clvq("extract", "--layers", 4, "--run", here, "--dataset", "texts.jsonl")
    assert ended.code == 1
    assert "dataset ('reviews.jsonl' there, 'texts.jsonl' here)" in ended.message
