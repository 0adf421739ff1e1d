"""Prompts and pairs of texts from the command line: what is stored, shown, explained and refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from running import SMALL, Clvq, assert_steered_as_explained
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from clvq.activations.store import ActivationStore
from clvq.corpus.parts import SEPARATOR
from clvq.language_model.rows import PROMPT, WORD

pytestmark = pytest.mark.slow

PROMPT_TEXT = "Verdict on {title}: {text}\nReview zzz:"
PROMPT_WORDS = {"Verdict", "on", "Review", "zzz", "user", "assistant", "model", "Judge"}


@pytest.fixture(scope="module")
def titled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences with a title, a second text and a label."""
    path = tmp_path_factory.mktemp("corpus") / "titled.jsonl"
    texts = tiny_models.made_sentences()[::5]
    lines = [
        {"text": text, "title": f"Titled {n % 7}", "hypothesis": texts[-n], "label": n % 2}
        for n, text in enumerate(texts)
    ]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def llama(model_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shutil.copytree(model_folder("llama"), tmp_path_factory.mktemp("llama") / "model")
    return tiny_models.with_next_token(Path(folder))


@pytest.fixture(scope="module")
def prompted(llama: Path, titled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a checkpoint over prompted texts; shared, so tests copy it."""
    import clvq

    run = tmp_path_factory.mktemp("prompted") / "run"
    clvq.extract(
        run / "activations",
        model=str(llama),
        dataset=str(titled),
        layers=(1, 3),
        prompt=PROMPT_TEXT,
        label_column="none",
    )
    clvq.train(
        run / "activations", path=run / "L1-L3", input_layer=1, output_layer=3, epochs=1, codebook_size=12, top_k=3,
        decoder_layers=1,
    )  # fmt: skip
    return run


def words_of(store: ActivationStore) -> set[str]:
    return {
        sentence.text[start:end]
        for split in ("train", "eval")
        for sentence in store.sentences(split)
        for start, end, flag in zip(sentence.starts, sentence.ends, sentence.flags, strict=True)
        if flag & WORD
    }


def test_only_words_of_the_text_are_stored(prompted: Path, titled: Path) -> None:
    store = ActivationStore(prompted / "activations")
    texts = {json.loads(line)["text"] for line in titled.read_text().splitlines()}
    words = words_of(store)
    assert words
    assert not words & PROMPT_WORDS
    assert "Titled" not in words
    for sentence in store.sentences("train"):
        title, text = sentence.text.split(SEPARATOR)
        assert title.startswith("Titled")
        assert text in texts
        assert not any(flag & PROMPT for flag in sentence.flags)
        assert all(start > len(title) for start in sentence.starts)
    counts = store.manifest.splits["train"].counts
    assert counts["prompt_tokens"] > 0


def test_no_word_of_the_prompt_reaches_a_concept_or_an_explanation(clvq: Clvq, prompted: Path, tmp_path: Path) -> None:
    run = shutil.copytree(prompted, tmp_path / "run")
    book = clvq("codebook", "--run", run, "--json")
    assert book.code == 0, book.err
    for line in (run / "L1-L3" / "concepts.jsonl").read_text().splitlines():
        concept = json.loads(line)
        words = {word["word"] for word in concept["top_words"]} | {one["word"] for one in concept["examples"]}
        assert not words & PROMPT_WORDS
    quick = ("--run", run, "--steps", "2", "--completeness", "0.9", "--json")
    ended = clvq("explain", *quick)
    assert ended.code == 0, ended.err
    assert not {word["text"] for one in ended.document["sentences"] for word in one["words"]} & PROMPT_WORDS
    own = clvq("explain", "The film is slow", "--part", "title=Own", *quick)
    assert own.code == 0, own.err
    (sentence,) = own.document["sentences"]
    assert [word["text"] for word in sentence["words"]] == ["The", "film", "is", "slow"]
    assert sentence["text"] == f"Own{SEPARATOR}The film is slow"
    lacking = clvq("explain", "The film is slow", *quick)
    assert lacking.code == 1
    assert "have the parts title, text, and title is missing. Give it with --part title=VALUE" in lacking.message


@pytest.mark.parametrize("command", ["explain", "assign"])
def test_parts_of_a_prompt_are_columns_of_a_file(command: str, clvq: Clvq, prompted: Path, tmp_path: Path) -> None:
    """A file gives each text its own title, as one at a time with --part."""
    run = shutil.copytree(prompted, tmp_path / "run")
    options = ("--run", run, "--json", *(("--steps", 2, "--completeness", 0.9) if command == "explain" else ()))
    rows = [("Titled one", "The film is slow"), ("Two, titled", "a charming story"), ("None", " ")]
    table = tmp_path / "new.csv"
    table.write_text("".join(f'"{title}","{text}"\n' for title, text in [("title", "review"), *rows]), encoding="utf-8")

    def answered(*arguments: object) -> list[Any]:
        ended = clvq(command, *arguments, *options)
        assert ended.code == 0, ended.err
        texts = ended.document["sentences" if command == "explain" else "texts"]
        return [{key: value for key, value in text.items() if key != "id"} for text in texts]

    found = answered("--file", table, "--text-column", "review")
    alone = [text for title, words in rows[:2] for text in answered(words, "--part", f"title={title}")]
    assert len(found) == (2 if command == "explain" else 3)  # a blank text has nothing to explain
    for ours, theirs in zip(found, alone, strict=False):
        assert ours["text"] == theirs["text"]
        assert [word["code"] for word in ours["words"]] == [word["code"] for word in theirs["words"]]
    same = answered("--file", table, "--text-column", "review", "--part", "title=Same")
    assert same[1]["text"] == f"Same{SEPARATOR}a charming story"
    lacking = tmp_path / "lacking.txt"
    lacking.write_text("The film is slow\n", encoding="utf-8")
    ended = clvq(command, "--file", lacking, *options)
    assert ended.code == 1 and "has no column 'title'" in ended.message and "--part title=VALUE" in ended.message
    ended = clvq(command, "--file", table, "--text-pair-column", "title", *options)
    assert ended.code == 2 and "have no second text to read" in ended.message


def test_the_prompt_decides_what_a_run_is(clvq: Clvq, prompted: Path, tmp_path: Path) -> None:
    run = shutil.copytree(prompted, tmp_path / "run")
    other = clvq("extract", "--run", run, "--prompt", "{title}: {text}")
    assert other.code == 1
    assert "prompt ('Verdict on" in other.message
    added = clvq("extract", "--run", run, "--layers", "2", "--json")
    assert added.code == 0, added.err
    assert added.document["settings"]["prompt"] == PROMPT_TEXT
    assert added.document["provenance"]["model"]["input_format"]["literals"][0] == "Verdict on "
    made = json.loads((run / "L1-L3" / "config.json").read_text())["provenance"]["model"]
    assert made["input_format"] == added.document["provenance"]["model"]["input_format"]


@pytest.mark.parametrize("name", ["qwen2", "gemma"])
def test_a_chat(name: str, clvq: Clvq, model_folder: Callable[[str], Path], titled: Path, tmp_path: Path) -> None:
    model = tiny_models.with_chat(Path(shutil.copytree(model_folder(name), tmp_path / name)), name)
    prompt = "{text}\nJudge" if name == "gemma" else "Judge\n---\n{text}"
    arguments = ("--model", model, "--dataset", titled, "--layers", "1", "--prompt", prompt, "--chat")
    ended = clvq("extract", "--run", tmp_path / "run", *arguments, "--label-column", "none")
    assert ended.code == 0, ended.err
    assert not words_of(ActivationStore(tmp_path / "run" / "activations")) & PROMPT_WORDS
    kept = clvq("extract", "--run", tmp_path / "kept", *arguments, "--label-column", "none", "--keep-prompt")
    assert kept.code == 0, kept.err
    words = words_of(ActivationStore(tmp_path / "kept" / "activations"))
    assert {"Judge", "user"} <= words


def test_pairs_of_texts(clvq: Clvq, bert: Path, titled: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    ended = clvq(
        "extract",
        "--model",
        bert,
        "--dataset",
        titled,
        "--text-pair-column",
        "hypothesis",
        "--layers",
        "1,3",
        "--run",
        run,
    )
    assert ended.code == 0, ended.err
    assert f"Texts are the columns 'text' {SEPARATOR} 'hypothesis'" in ended.message
    assert clvq("train", "--run", run, "--input-layer", 1, "--output-layer", 3, "--epochs", 1, *SMALL).code == 0
    own = clvq("explain", "The film is slow", "--part", "text_pair=It is good", "--run", run, "--json")
    assert own.code == 0, own.err
    words = [word["text"] for word in own.document["sentences"][0]["words"]]
    assert words == ["The", "film", "is", "slow", "It", "is", "good"]
    code = own.document["sentences"][0]["words"][-1]["code"]
    steer = ("steer", "The film is slow", "--remove", code, "--run", run)
    for other in ("It is good", "a charming story"):
        ended = clvq(*steer, "--part", f"text_pair={other}", "--json")
        assert ended.code == 0, ended.err
        with torch.no_grad():
            pair = AutoTokenizer.from_pretrained(bert)("The film is slow", other, return_tensors="pt")
            plain = AutoModelForSequenceClassification.from_pretrained(bert).eval()(**pair).logits[0].softmax(0)
        (steered,) = ended.document["steered"]
        assert [answer["before"] for answer in steered["answers"]] == pytest.approx(plain.tolist(), abs=1e-5)
        assert steered["edited_words"] == 4 + len(other.split())
    for command in (steer, ("explain", "The film is slow", "--run", run), ("assign", "The film is slow", "--run", run)):
        ended = clvq(*command)
        assert ended.code == 1 and "Give it with --part text_pair=VALUE" in ended.message
    ended = clvq(*steer, "--part", "claim")
    assert ended.code == 2 and "--part is NAME=VALUE" in ended.message
    (tmp_path / "pairs.jsonl").write_text(
        json.dumps({"text": "The film is slow", "label": 1, "claim": "It is good"}) + "\n", encoding="utf-8"
    )
    of_file = ("--file", tmp_path / "pairs.jsonl", "--run", run, "--json")
    ended = clvq("explain", *of_file, "--text-pair-column", "claim")
    assert ended.code == 0, ended.err
    assert ended.document["sentences"] == own.document["sentences"]
    ended = clvq("assign", *of_file)
    assert ended.code == 1 and "Name one of its columns with --text-pair-column" in ended.message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--prompt", "It was"), "has no {text}, and there is no such file"),
        (("--prompt", "{text} {author}"), "--prompt has {author}, but"),
        (("--prompt", "{text} {label}", "--label-column", "label"), "would put the answer into the text"),
        (("--prompt", "{text} {label}"), "would put the answer into the text"),
        (("--prompt", "{text}", "--chat"), "has no chat template: leave out --chat"),
        (("--prompt", "film " * 90 + "{text}"), "nothing is left for the text"),
        (("--prompt", "{text}", "--rows-from", "title"), "--rows-from takes text"),
        (("--text-pair-column", "premise"), "has no column 'premise'. Name one of its columns with --text-pair-column"),
        (("--load-in", "8bit", "--device", "cpu"), "--load-in 8bit needs a GPU, and the device is cpu. Leave it out."),
    ],
)
def test_bad_input(
    options: tuple[str, ...], message: str, clvq: Clvq, llama: Path, titled: Path, tmp_path: Path
) -> None:
    ended = clvq("extract", "--model", llama, "--dataset", titled, "--layers", "1", "--run", tmp_path / "run", *options)
    assert ended.code == 1
    assert message in ended.message
    assert not list((tmp_path / "run").rglob("*.safetensors"))


LABELLED = ("--prompt", "{text} Review:", "--label-words", 'negative=" boring and slow",positive=" good"')


def test_label_words(clvq: Clvq, llama: Path, titled: Path, tmp_path: Path) -> None:
    """The five commands and the report on a prompted model; predictions are those of a loop."""
    run = tmp_path / "run"
    arguments = ("--model", llama, "--dataset", titled, "--layers", "1,3", "--max-length", 40)
    ended = clvq("extract", "--run", run, *arguments, *LABELLED, "--json")
    assert ended.code == 0, ended.err
    assert "of the probability together, so the model mostly expects other words" in ended.message
    document = ended.document
    assert document["settings"]["label_words"] == LABELLED[-1]
    assert document["label_names"] == ["negative", "positive"]
    tokenizer = AutoTokenizer.from_pretrained(llama)
    model = AutoModelForCausalLM.from_pretrained(llama, dtype=torch.float32).eval()
    store = ActivationStore(run / "activations")
    held, right = [], []
    for sentence in store.sentences("eval"):
        scores = []
        for word in (" boring and slow", " good"):
            prompt, whole = (tokenizer(f"{sentence.text} Review:{behind}")["input_ids"] for behind in ("", word))
            with torch.no_grad():
                chances = model(torch.tensor([whole])).logits[0].log_softmax(dim=1)
            scores.append(sum(float(chances[at - 1, whole[at]]) for at in range(len(prompt), len(whole))))
        assert sentence.probabilities is not None
        assert np.log(sentence.probabilities) == pytest.approx(scores, abs=1e-4)
        assert sentence.prediction == int(np.argmax(scores))
        held.append(sum(np.exp(scores)))
        right.append(sentence.prediction == sentence.label)
    assert document["splits"]["eval"]["label_words_share"] == pytest.approx(np.mean(held), rel=1e-3)
    assert document["splits"]["eval"]["accuracy"] == pytest.approx(np.mean(right))
    shown = clvq("extract", "--run", run)
    assert "share of the label words" in shown.out
    train = ("--run", run, "--input-layer", 1, "--output-layer", 3, "--epochs", 1, *SMALL)
    for command in (
        ("train", *train), ("codebook", "--run", run),
        ("explain", "--run", run, "--steps", 2, "--completeness", 0.9, "--limit", 12),
        ("faithfulness", "--run", run, "--draws", 1, "--limit", 12), ("report", "--run", run),
    ):  # fmt: skip
        ended = clvq(*command)
        assert ended.code == 0, (command, ended.err)
    own = clvq("explain", "The film is slow", "--run", run, "--json")
    assert own.document["sentences"][0]["target"] in ("negative", "positive")
    assert own.document["sentences"][0]["text"] == "The film is slow"
    assert_steered_as_explained(clvq, run, own.document["sentences"][0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--label-words", "negative= bad"), "two or more"),
        (("--label-words", "negative= bad,positive= bad"), "have the same word"),
        (("--label-words", "negative=,positive= bad"), "is empty"),
        (
            ("--label-words", "good= good,fine= fine", "--label-column", "title"),
            "are not the classes of the model: good",
        ),
        (("--label-words", "a= good,b= bad", "--target", " good"), "--label-words and --target"),
    ],
)
def test_bad_label_words(
    options: tuple[str, ...], message: str, clvq: Clvq, llama: Path, titled: Path, tmp_path: Path
) -> None:
    ended = clvq("extract", "--model", llama, "--dataset", titled, "--layers", "1", "--run", tmp_path / "run", *options)
    assert ended.code == 1
    assert message in ended.message
    assert not list((tmp_path / "run").rglob("*.safetensors"))
