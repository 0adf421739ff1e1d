"""`clvq extract`: results, reruns, added layers, odd text, and what it refuses."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny_models
from running import SMALL, Clvq, files_of, write_corpus
from safetensors.torch import load_file, save_file

from clvq.activations.store import ActivationStore
from clvq.corpus.splits import load_corpus
from clvq.language_model.model import LanguageModel
from clvq.language_model.tokenization import TokenizedSentence

pytestmark = pytest.mark.slow

ODD_TEXTS = [
    "",
    "   \t ",
    "a nul \0 inside",
    "\0",
    "the film was good!",
    "half a pair \ud83d here",
    "emoji \U0001f469‍\U0001f4bb and e\u0301\u0323 and \u202eturned\u202c around",
    "\u200b\ufeff",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07",
    "[bold]markup[/bold] [/] <script>alert(1)</script> &amp;",
    "word " * 400,
    "x" * 5000,
    "é" * 300,
    "the film was bad!",
]


def test_a_table_for_people(clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    ended = clvq("extract", "--run", run, "--model", bert, "--dataset", corpus, "--layers", "1, 3")
    assert ended.code == 0, ended.err
    store = ActivationStore(run / "activations")
    for split, column in (("train", 1), ("eval", 2)):
        counted = store.manifest.splits[split]
        row = next(line.split() for line in ended.out.splitlines() if line.startswith("sentences "))
        assert int(row[column]) == counted.sentences
    assert re.search(rf"^1 +32 +{store.layer(1).scale:.3f} +{store.layer(1).median_norm:.3f} +0$", ended.out, re.M)
    assert re.search(r"^accuracy of the model +\d+\.\d% +\d+\.\d%$", ended.out, re.M)
    assert f"in {run}/activations" in "".join(ended.out.split("\n"))
    assert "\x1b" not in ended.out
    assert "Next: clvq train --input-layer 1 --output-layer 3" in ended.message
    assert "will be written to" in ended.message


def test_one_json_document_and_nothing_else(clvq: Clvq, run: Path) -> None:
    ended = clvq("extract", "--run", run, "--json")
    assert ended.code == 0
    assert [entry["index"] for entry in ended.document["layers"]] == [1, 3]
    assert ended.document["splits"]["train"]["counts"]["words"] > 0
    assert ended.document["bytes"] > 10_000
    assert ended.document["has_predictions"] is True


def test_the_same_again_is_up_to_date(clvq: Clvq, run: Path, bert: Path, corpus: Path) -> None:
    before = files_of(run)
    again = clvq("extract", "--run", run, "--model", bert, "--dataset", corpus, "--layers", "1,3")
    assert again.code == 0
    assert "is up to date" in again.err
    bare = clvq("extract", "--run", run, "--batch-tokens", 100, "--device", "cpu")
    assert bare.code == 0
    assert "is up to date" in bare.err
    assert bare.out == again.out
    assert files_of(run) == before


def test_a_layer_is_added_without_naming_the_rest_again(clvq: Clvq, run: Path) -> None:
    before = files_of(run)
    ended = clvq("extract", "--run", run, "--layers", 2, "--json")
    assert ended.code == 0, ended.err
    assert [entry["index"] for entry in ended.document["layers"]] == [1, 2, 3]
    after = files_of(run)
    assert all(after[name] == content for name, content in before.items() if not name.endswith("manifest.json"))


def test_other_settings_are_refused_and_named(clvq: Clvq, run: Path, corpus: Path) -> None:
    before = files_of(run)
    ended = clvq("extract", "--run", run, "--pooling", "mean", "--max-sentences", 50)
    assert (ended.code, ended.out) == (1, "")
    assert "max-sentences (None there, 50 here); pooling ('last' there, 'mean' here)" in ended.message
    assert "--overwrite" in ended.message
    assert files_of(run) == before
    other = write_corpus(run.parent / "other.jsonl", ["the film was good", "the film was bad"] * 4)
    assert "dataset (" in clvq("extract", "--run", run, "--dataset", other).message


def test_a_changed_corpus_file_is_noticed(clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path) -> None:
    own = Path(shutil.copy(corpus, tmp_path / "own.jsonl"))
    arguments = ("extract", "--run", tmp_path / "run", "--model", bert, "--dataset", own, "--layers", "1,2")
    assert clvq(*arguments).code == 0
    own.write_text(own.read_text() + '{"text": "one more", "label": 0}\n')
    ended = clvq(*arguments)
    assert ended.code == 1
    assert f"a finished extraction, and since then the contents of {own} have changed" in ended.message
    assert "`clvq train` without --dataset trains on the layers that it holds" in ended.message
    train = ("train", "--run", tmp_path / "run", "--input-layer", 1, "--epochs", 1, *SMALL)
    for more in (("--output-layer", 2, "--dataset", own), ("--output-layer", 3)):  # named, or to be read
        assert f"the contents of {own} have changed" in clvq(*train, *more).message
    ended = clvq(*train, "--output-layer", 2)
    assert ended.code == 0, ended.err
    assert f"{own} has changed since" in ended.message


def test_overwrite_starts_anew(clvq: Clvq, run: Path, bert: Path, corpus: Path) -> None:
    (run / "activations" / "notes.txt").write_text("mine")
    ended = clvq("extract", "--run", run, "--model", bert, "--dataset", corpus, "--layers", 2, "--overwrite", "--json")
    assert ended.code == 0, ended.err
    assert ended.document["settings"]["layers"] == [2]
    names = {file.name for file in (run / "activations").iterdir()}
    assert "notes.txt" in names
    assert not {name for name in names if "-L1-" in name or "-L3-" in name}


@pytest.mark.parametrize(
    ("labels", "options", "found"),
    [
        ((0, 1, 1, 1), (), 1),
        ((0, 0, 0, 0), (), 0),
        ((1, 2, 4, 5), ("--label-map", "1=0,2=0,4=1,5=1"), 0),  # other values, and the same classes
        ((1, 4, 4, 2), ("--label-map", "1=0,2=0,4=1,5=1"), 2),
        ((0, -1, 1, None), (), 0),  # a text without a label contradicts nothing
    ],
)
def test_texts_that_have_different_labels_are_counted(
    labels: tuple[int | None, ...], options: tuple[str, ...], found: int, clvq: Clvq, bert: Path, tmp_path: Path
) -> None:
    texts = ["a slow film", "a slow  film", "a good film", "a good film"]
    rows = [{"text": text, "label": label} for text, label in zip(texts, labels, strict=True)]
    corpus, other = tmp_path / "twice.jsonl", tmp_path / "other.jsonl"
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    other.write_text(json.dumps({"text": "a bad film", "label": 1}) + "\n", encoding="utf-8")
    given = ("--dataset", corpus, "--eval-dataset", other, "--layers", 1, *options, "--run", tmp_path / "run")
    ended = clvq("extract", "--model", bert, *given)
    assert ended.code == 0, ended.err
    shown = re.search(r"repeated texts with different labels, tested by the first +(\d+)", " ".join(ended.out.split()))
    assert (int(shown[1]) if shown else 0) == found, ended.out


def test_tokens_that_the_tokenizer_does_not_know_are_counted(clvq: Clvq, bert: Path, tmp_path: Path) -> None:
    texts = [*(f"영화 {number} 최고" for number in range(10)), *tiny_models.made_sentences()[:20]]
    corpus, run = write_corpus(tmp_path / "korean.jsonl", texts), tmp_path / "run"
    ended = clvq("extract", "--run", run, "--model", bert, "--dataset", corpus, "--layers", 1, "--json")
    assert ended.code == 0, ended.err
    tokenizer = LanguageModel.load(str(bert)).tokenizer
    unknown, known = 0, 0
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        unknown += ids.count(tokenizer.unk_token_id)
        known += len(ids) - ids.count(tokenizer.unk_token_id)
    splits = ended.document["splits"].values()
    assert unknown > 10 and sum(split["counts"]["unknown_tokens"] for split in splits) == unknown
    assert (
        f"{unknown / (known + unknown):.0%} of the words' tokens are unknown to the tokenizer ([UNK])" in ended.message
    )
    english = write_corpus(tmp_path / "english.jsonl", texts[10:])
    ended = clvq("extract", "--run", run, "--model", bert, "--dataset", english, "--layers", 1, "--overwrite")
    assert "unknown to the tokenizer" not in ended.message and "does not know" not in ended.out


def test_odd_text_is_handled_and_counted(clvq: Clvq, bert: Path, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "odd.jsonl", [*ODD_TEXTS, *tiny_models.made_sentences()[:40]])
    with corpus.open("a") as file:
        file.write('{"text": null, "label": 1}\n')
    arguments = ("--run", tmp_path / "run", "--eval-dataset", write_corpus(tmp_path / "eval.jsonl", ODD_TEXTS[:9]))
    ended = clvq("extract", "--model", bert, "--dataset", corpus, "--layers", "0,2", *arguments)
    assert ended.code == 0, ended.err
    document = clvq("extract", "--run", tmp_path / "run", "--json").document
    counts = {**document["splits"]["train"]["corpus_counts"], **document["splits"]["train"]["counts"]}
    assert counts["missing"] == 1
    assert counts["in_evaluation"] == 9
    assert counts["sentences_truncated"] == 1  # "word " * 400; one long word is unknown to this vocabulary
    assert counts["words_truncated"] > 300
    for meaning in (
        "rows of the corpus without a text",
        "blank sentences",
        "words beyond the model's length",
        "a broken character, repaired",
    ):
        assert meaning in ended.out
    pair = ("--input-layer", 0, "--output-layer", 2, "--codebook-size", 5, "--epochs", 1, "--decoder-layers", 0)
    asked = ("train", "--model", bert, "--dataset", corpus, *arguments[2:], *pair, "--run", tmp_path / "trained")
    told = clvq(*asked).message
    assert "Rows of the corpus without a text: 1 in train, 0 in eval." in told
    assert "Sentences that are also in eval, left out: 9 in train, 0 in eval." in told
    assert "Rows of the corpus" not in clvq(*asked, "--overwrite").message  # told where texts are read
    store = ActivationStore(tmp_path / "run" / "activations")
    texts = [row.text for row in store.sentences("eval")]
    assert texts == [text.replace("\ud83d", "\ufffd") for text in ODD_TEXTS[:9]]
    for row in store.sentences("train"):
        assert len(row.starts) == len(row.ends) == len(row.flags)
        assert all(0 <= start <= end <= len(row.text) for start, end in zip(row.starts, row.ends, strict=True))


@pytest.mark.parametrize(
    ("content", "arguments", "says"),
    [
        ('{"number": 1, "label": 0}\n' * 3, (), "Name one of its columns with --text-column: number, label"),
        ('{"text": "a b", "label": 0}\n' * 3, ("--text-column", "body"), "no column 'body'"),
        ('{"text": "a b", "label": 0}\n' * 3, ("--label-column", "stars"), "no column 'stars'"),
        ("", (), "is empty"),
        ('{"text": null}\n{"text": ""}\n', (), "none of its 2 rows has a text"),
        ('{"text": "a \n', (), "line 1: not valid JSON"),
        (None, (), "corpus.jsonl"),
    ],
)
def test_a_corpus_that_is_none(
    clvq: Clvq, bert: Path, tmp_path: Path, content: str | None, arguments: tuple[str, ...], says: str
) -> None:
    corpus = tmp_path / "corpus.jsonl"
    if content is not None:
        corpus.write_text(content)
    given = ("--run", tmp_path / "run", "--model", bert, "--dataset", corpus, "--layers", 1)
    ended = clvq("extract", *given, *arguments)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("Error: ")
    assert says in ended.message


def test_a_column_name_is_shown_as_text(clvq: Clvq, bert: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text(json.dumps({"\x1b[31m[red]title[/red]\x07": 3}) + "\n")
    ended = clvq("extract", "--run", tmp_path / "run", "--model", bert, "--dataset", corpus, "--layers", 1)
    assert ended.code == 1
    assert "\\x1b[31m[red]title[/red]\\x07" in ended.message
    assert "\x1b" not in ended.err


@pytest.mark.parametrize("layers", ["9", "-1,1", "1,3,5"])
def test_a_layer_out_of_range(clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path, layers: str) -> None:
    run = tmp_path / "run"
    ended = clvq("extract", "--run", run, "--model", bert, "--dataset", corpus, "--layers", layers)
    assert ended.code == 1
    assert "its layers are 0 (embeddings) to 4" in ended.message
    assert not files_of(run)


def _spoiled(bert: Path, folder: Path, value: float) -> Path:
    """A copy of the model with one weight of its third block replaced."""
    shutil.copytree(bert, folder)
    weights = load_file(folder / "model.safetensors")
    name = next(key for key in weights if "layer.2.output.dense.bias" in key)
    weights[name][5] = value
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_nan_in_hidden_states_stops_with_the_place(clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path) -> None:
    model = _spoiled(bert, tmp_path / "nan", float("nan"))
    arguments = ("extract", "--run", tmp_path / "run", "--model", model, "--dataset", corpus)
    ended = clvq(*arguments, "--layers", "1,3")
    assert ended.code == 1
    assert re.search(r"Layer 3 has a NaN or infinite value at sentence 0 of train \([\"']The film", ended.message)
    ended = clvq(*arguments, "--layers", "1,2")  # finite, and the answer is not
    assert (ended.code, "answer to sentence 0 of train ('The film" in ended.message.replace('"', "'")) == (1, True)
    assert "check the weights of its head" in ended.message


@pytest.mark.parametrize("value", [float("nan"), 3e38])
def test_an_answer_that_is_not_finite_stops_with_the_place(
    clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path, value: float
) -> None:
    model = Path(shutil.copytree(bert, tmp_path / "model"))
    weights = load_file(model / "model.safetensors")
    weights["classifier.weight"][:] = value
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    ended = clvq("extract", "--run", tmp_path / "run", "--model", model, "--dataset", corpus, "--layers", "1,3")
    assert ended.code == 1
    assert "answer to sentence 0 of train" in ended.message and "is NaN or infinite" in ended.message
    assert not (tmp_path / "run" / "activations" / "manifest.json").exists()


def test_an_overflow_of_16_bits_names_bf16(
    clvq: Clvq, model_folder: Callable[[str], Path], corpus: Path, tmp_path: Path
) -> None:
    model = tmp_path / "large"
    shutil.copytree(model_folder("gpt2"), model)  # no norm after the blocks
    weights = load_file(model / "model.safetensors")
    name = next(key for key in weights if "h.0.mlp.c_proj.bias" in key)
    weights[name][5] = 1e6
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    arguments = ("extract", "--run", tmp_path / "run", "--model", model, "--dataset", corpus, "--layers", "1")
    ended = clvq(*arguments, "--dtype", "float16")
    assert ended.code == 1
    assert "Layer 1 overflows float16" in ended.message
    assert "bf16" in ended.message
    assert clvq(*arguments, "--dtype", "bfloat16", "--overwrite").code == 0


def test_a_model_without_a_head(clvq: Clvq, corpus: Path, tmp_path: Path) -> None:
    model = tiny_models.tiny_bert(tmp_path / "bare", head=False)
    ended = clvq("extract", "--run", tmp_path / "run", "--model", model, "--dataset", corpus, "--layers", 1)
    assert ended.code == 0, ended.err
    assert "No predictions: its files hold BertModel, which has no classification head." in ended.out
    assert re.search(r"^accuracy of the model +- +-$", ended.out, re.M)
    document = clvq("extract", "--run", tmp_path / "run", "--json").document
    assert document["has_predictions"] is False
    assert document["splits"]["eval"]["accuracy"] is None


def test_a_model_that_is_none(clvq: Clvq, corpus: Path, tmp_path: Path) -> None:
    ended = clvq("extract", "--run", tmp_path / "run", "--model", tmp_path, "--dataset", corpus, "--layers", 1)
    assert ended.code == 1
    assert "holds no config.json" in ended.message


def test_what_other_libraries_print_never_reaches_stdout(
    clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = load_corpus

    def noisy(*arguments: Any, **options: Any) -> Any:
        print("noise")
        return real(*arguments, **options)

    monkeypatch.setattr("clvq.activations.extraction.load_corpus", noisy)
    given = ("--run", tmp_path / "run", "--model", bert, "--dataset", corpus, "--layers", 1)
    ended = clvq("extract", *given, "--json")
    assert ended.document["settings"]["layers"] == [1]
    assert "noise\n" in ended.err


def test_a_dry_run_tells_what_is_then_written(
    clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, arguments = tmp_path / "run", ("--model", bert, "--dataset", corpus, "--layers", "1,3")
    told = clvq("extract", "--run", run, *arguments, "--dry-run", "--json")
    assert told.code == 0, told.err
    assert not run.exists()
    document = told.document
    assert document["seconds"] > 0
    assert document["timed_tokens"] > 0
    assert clvq("extract", "--run", run, *arguments).code == 0
    store = ActivationStore(run / "activations")
    shards = sum(file.stat().st_size for file in store.path.glob("*.safetensors"))
    assert 0.9 * shards < document["bytes"] < 1.1 * shards
    for split in ("train", "eval"):
        assert document["sentences"][split] == store.sentence_count(split)
        assert document["rows"][split] == store.manifest.splits[split].counts["rows"]
    before = files_of(run)
    added = clvq("extract", "--run", run, "--layers", "2", "--dry-run", "--json")
    assert added.document["rows"] == document["rows"]
    assert added.document["bytes"] == document["bytes"] // 2
    with monkeypatch.context() as patch:
        patch.setattr("clvq.activations.estimate.SAMPLE_SENTENCES", 10)
        sizes: list[int] = []
        tokenize = LanguageModel.tokenize

        def noted(model: LanguageModel, texts: Sequence[str], *settings: str) -> list[TokenizedSentence]:
            sizes.append(len(texts))
            return tokenize(model, texts, *settings)

        patch.setattr(LanguageModel, "tokenize", noted)
        assert clvq("extract", "--run", tmp_path / "other", *arguments, "--dry-run").code == 0
    counts = [document["sentences"][split] for split in ("train", "eval")]
    assert counts[0] > 10
    assert sizes[-2:] == [math.ceil(count / math.ceil(count / 10)) for count in counts]
    nothing = clvq("extract", "--run", run, "--dry-run")
    assert "0 B of" in nothing.out or "0 bytes of" in nothing.out
    assert files_of(run) == before


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_not_utf8_are_refused_before_the_model_runs(
    clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path
) -> None:
    odd = tmp_path / os.fsdecode(b"r\xe9views.jsonl")
    shutil.copy(corpus, odd)
    for dataset, run in ((odd, tmp_path / "run"), (corpus, tmp_path / os.fsdecode(b"r\xe9n"))):
        ended = clvq("extract", "--model", bert, "--dataset", dataset, "--layers", "1", "--run", run)
        assert (ended.code, "is not UTF-8. Rename it." in ended.message) == (1, True), ended.err
        assert not run.exists()
