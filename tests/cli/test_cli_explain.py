"""`clvq explain`: what it shows and writes, where texts come from, and what it refuses."""

from __future__ import annotations

import io
import re
import shutil
import sys
from html import escape
from pathlib import Path
from typing import Any

import pytest
import tiny_models
from rich.console import Console
from running import SMALL, Clvq, Outcome, files_of, piped

import clvq as package
from clvq.cli.explain_view import Shaded
from clvq.explanations.records import ExplainedWord
from clvq.explanations.shades import pieces

pytestmark = pytest.mark.slow

QUICK = ("--steps", "2", "--completeness", "0.5")


@pytest.fixture(scope="module")
def trained(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = Path(shutil.copytree(trained_run, tmp_path_factory.mktemp("trained") / "run"))
    package.codebook(run / "L1-L3")
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_a_text_with_its_prediction_salient_word_and_concept(clvq: Clvq, run: Path) -> None:
    ended = clvq("explain", "The film is not at all slow", "--run", run)
    assert ended.code == 0, ended.err
    found = package.explain(run / "L1-L3", ["The film is not at all slow"])
    (sentence,) = found.sentences
    (top,) = sentence.salient
    word = sentence.text[top.start : top.end]
    assert top.text == word
    lines = ended.out.splitlines()
    assert lines[0] == f"{sentence.target}  {sentence.probability:.1%}"
    assert lines[1] == sentence.text[: top.start] + f"*{word}*" + sentence.text[top.end :]
    concept = found.concept(top.code)
    row = next(line for line in lines if line.startswith(f"{word}* "))
    first, value = re.escape(concept.top_words[0].word), re.escape(f"{top.attribution:+.2f}")
    bar = "━" * round(12 * abs(top.attribution) / max(abs(word.attribution) for word in sentence.words))
    assert re.search(rf"{value} +{bar} +{top.code} +{first}", row)
    table = lines[lines.index(next(line for line in lines if line.startswith("Word "))) + 2 :]
    starts = iter(table)  # a line a word, in the order of the text, whatever else is between
    for each in sentence.words:
        mark = "*" if each.salient else ""
        assert any(line.startswith(f"{each.text}{mark} ") and f"{each.attribution:+.2f}" in line for line in starts)
    assert "attribution: what a word adds to the logit of the prediction" in " ".join(ended.out.split())
    assert f"explained, {sentence.special_share:.1%} on tokens that are no words" in " ".join(ended.out.split())
    assert not (run / "L1-L3" / "explanations.json").exists()


def test_the_same_as_a_page_of_its_own(clvq: Clvq, run: Path, tmp_path: Path) -> None:
    page = tmp_path / "why.html"
    ended = clvq("explain", "good <b>film</b> & slow", "--run", run, "--html", page, "--json")
    assert ended.code == 0, ended.err
    assert f"The page is {page}." in ended.err
    html = page.read_text(encoding="utf-8")
    (sentence,) = ended.document["sentences"]
    assert html.count('<div class="bar"') == len(sentence["words"])
    assert all(f"<td>{word['attribution']:+.2f}</td>" in html for word in sentence["words"])
    assert f"<b>{sentence['target']}" in html.replace("<bdi>", "")
    assert "&lt;" in html and "<b>film" not in html
    assert "http" not in html.replace("http-equiv", "")
    stored = clvq("explain", "--run", run, *QUICK, "--html", page)
    assert stored.code == 0, stored.err
    count = len(package.explain(run / "L1-L3", steps=2, completeness=0.5).sentences)
    assert page.read_text(encoding="utf-8").count("<table>") == count


def test_one_json_document_and_nothing_else(clvq: Clvq, run: Path) -> None:
    ended = clvq("explain", "good film", "slow", "--mass", 1, "--run", run, "--json")
    assert ended.code == 0, ended.err
    assert [sentence["text"] for sentence in ended.document["sentences"]] == ["good film", "slow"]
    for sentence in ended.document["sentences"]:
        assert [word["text"] for word in sentence["words"]] == sentence["text"].split()
    codes = {w["code"] for s in ended.document["sentences"] for w in s["words"] if w["salient"]}
    assert {concept["code"] for concept in ended.document["concepts"]} <= codes
    assert ended.document["settings"]["mass"] == 1


def test_the_evaluation_split_is_a_summary_and_stored(clvq: Clvq, run: Path) -> None:
    first = clvq("explain", "--run", run, *QUICK)
    assert first.code == 0, first.err
    stored = (run / "L1-L3" / "explanations.jsonl").read_text().splitlines()
    assert re.search(rf"^sentences +{len(stored)} *$", first.out, re.M)
    assert len(re.findall("^Word ", first.out, re.M)) == 3
    assert f"{len(stored) - 3} more in {run}/L1-L3/explanations.jsonl" in "".join(first.out.split("\n"))
    assert "clvq report" in first.err
    assert max(map(len, first.out.splitlines())) <= 100
    before = files_of(run)
    again = clvq("explain", "--run", run, *QUICK)
    assert (again.out, "up to date" in again.message, files_of(run)) == (first.out, True, before)
    other = clvq("explain", "--run", run, *QUICK, "--baseline", "zero")
    assert (other.code, other.out) == (1, "")
    assert "baseline ('padding' there, 'zero' here)" in other.message
    assert clvq("explain", "--run", run, *QUICK, "--baseline", "zero", "--overwrite").code == 0
    document = clvq("explain", "--run", run, *QUICK, "--baseline", "zero", "--json").document
    assert len(document["sentences"]) == document["summary"]["sentences"] == len(stored)


def test_texts_from_standard_input(clvq: Clvq, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    piped(monkeypatch, "good film\n\nünwonderful — slow\n".encode())
    ended = clvq("explain", "-", "--run", run, "--json", *QUICK)
    assert [sentence["text"] for sentence in ended.document["sentences"]] == ["good film", "ünwonderful — slow"]
    assert "1 blank text of standard input is left out" in ended.message
    piped(monkeypatch, "good film\r\n\r\nünwonderful — slow\r\n".encode())
    windows = clvq("explain", "-", "--run", run, "--json", *QUICK)
    assert windows.document["sentences"] == ended.document["sentences"]
    for encoding, advice in (("utf-16", "iconv -f utf-16 -t utf-8"), ("utf-16le", "iconv -f utf-16le -t utf-8")):
        piped(monkeypatch, "good film\nslow\n".encode(encoding))
        assert advice in refused(clvq("explain", "-", "--run", run))
    piped(monkeypatch, b"good\nb\xe4d\n")
    assert "Standard input, line 2: byte 0xe4 is not UTF-8" in refused(clvq("explain", "-", "--run", run))
    piped(monkeypatch, b"\n \n")
    assert "standard input holds no text" in refused(clvq("explain", "-", "--run", run))
    monkeypatch.setattr(sys, "stdin", None)
    assert "Standard input is closed" in refused(clvq("explain", "-", "--run", run))


def test_a_text_that_is_too_long_is_cut_and_that_is_told(clvq: Clvq, run: Path, tmp_path: Path) -> None:
    """It is explained as the part that the model reads is, and the texts behind it are explained too."""
    lines = ["good film", " ".join(["slow"] * 90), "a charming story"]
    (tmp_path / "texts.txt").write_text("\n".join(lines), encoding="utf-8")
    page = tmp_path / "page.html"
    of_file = ("explain", "--file", tmp_path / "texts.txt", "--run", run, *QUICK)
    ended = clvq(*of_file, "--json")
    assert ended.code == 0, ended.err
    assert "1 of 3 texts are explained up to the model's length, 64 tokens." in ended.message
    first, cut, last = ended.document["sentences"]
    assert [one["id"] for one in (first, cut, last)] == [0, 1, 2] and [
        one["text"] for one in (first, cut, last)
    ] == lines
    assert cut["left_out"] == 90 - len(cut["words"]) > 0 and "left_out" not in first
    assert ended.document["summary"]["truncated"] == 1
    (read,) = clvq("explain", " ".join(["slow"] * len(cut["words"])), "--run", run, *QUICK, "--json").document[
        "sentences"
    ]
    assert "left_out" not in read and read["probability"] == pytest.approx(cut["probability"], abs=1e-5)
    for ours, theirs in zip(cut["words"], read["words"], strict=True):
        assert (ours["start"], ours["code"]) == (theirs["start"], theirs["code"])
        assert ours["attribution"] == pytest.approx(theirs["attribution"], abs=1e-4)
    said = f"{cut['left_out']} words beyond the model's length are left out"
    shown = clvq(*of_file, "--html", page)
    assert " ".join(shown.out.split()).count(said) == page.read_text(encoding="utf-8").count(escape(said)) == 1
    (alone,) = clvq("explain", lines[1], "--run", run, *QUICK, "--json").document["sentences"]
    assert alone["left_out"] == cut["left_out"]


def test_a_text_without_a_word_stops_no_other(clvq: Clvq, run: Path, tmp_path: Path) -> None:
    """A tokenizer keeps nothing of control characters."""
    texts = ["a slow film", "\x02\x01", "a good film"]
    (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    ended = clvq("explain", "--file", tmp_path / "texts.txt", "--run", run, "--json", *QUICK)
    assert ended.code == 0, ended.err
    assert [sentence["id"] for sentence in ended.document["sentences"]] == [0, 2]
    assert "1 of 3 texts has no word that the tokenizer of" in " ".join(ended.err.split())
    alone = clvq("explain", texts[1], "--run", run, *QUICK)
    assert alone.code == 1 and "The text has no word that the tokenizer of" in " ".join(alone.err.split())


def test_texts_keep_the_numbers_of_their_lines(clvq: Clvq, run: Path, tmp_path: Path) -> None:
    """Also where blank ones, and one of a zero-width space alone, are left out."""
    file = tmp_path / "texts.txt"
    file.write_text("good film\n\n\u200b\nslow\n", encoding="utf-8")
    ended = clvq("explain", "--file", file, "--run", run, "--json", *QUICK)
    assert [(one["id"], one["text"]) for one in ended.document["sentences"]] == [(0, "good film"), (3, "slow")]
    assert f"2 blank texts of {file} are left out" in ended.message


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("texts.txt", "good film\n\nslow\n", ()),
        ("texts.jsonl", '{"what": "good film", "x": "y"}\n{"what": "slow", "x": "y"}\n', ("--text-column", "what")),
        ("texts.csv", "text,label\ngood film,yes\nslow,no\n", ()),
        ("semicolons.csv", "text;label\ngood film;yes\nslow;no\n", ()),
        ("headless.csv", "good film@yes\nslow@no\n", ("--no-header", "--delimiter", "@", "--text-column", "1")),
    ],
)
def test_texts_from_a_file(
    clvq: Clvq, run: Path, tmp_path: Path, name: str, content: str, options: tuple[str, ...]
) -> None:
    (tmp_path / name).write_text(content)
    ended = clvq("explain", "--file", tmp_path / name, *options, "--run", run, "--json", *QUICK)
    assert ended.code == 0, ended.err
    assert [sentence["text"] for sentence in ended.document["sentences"]] == ["good film", "slow"]


def refused(ended: Outcome) -> str:
    assert (ended.code, ended.out) == (1, ""), ended.err
    assert "Traceback" not in ended.err
    assert ended.err.splitlines()[-1].startswith("Error: ")
    return ended.message


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("",), "Text 1 of 1 is empty"),
        (("good", " \t"), "Text 2 of 2 is empty"),
        (("good", "--mass", "2"), "--mass must be above 0 and at most 1"),
        (("good", "--completeness", "0"), "--completeness must be above 0"),
        (("good", "--checkpoint", "nowhere"), "nowhere"),
        (("good", "--device", "cuda:99"), "cuda:99"),
        (("good", "--limit", "3"), "--limit is for the evaluation split"),
        (("--rationale-column", "why"), "has no column 'why'"),
        (("--file", "nowhere.txt"), "There is no file nowhere.txt"),
    ],
)
def test_what_cannot_be_explained_is_refused(clvq: Clvq, run: Path, arguments: tuple[str, ...], says: str) -> None:
    before = files_of(run)
    assert says in refused(clvq("explain", *arguments, "--run", run))
    assert files_of(run) == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("good", "--file", "texts.txt"), "Texts and --file are given"),
        (("good", "-"), "it stands alone"),
        (("good", "--text-column", "text"), "--text-column is given without --file"),
        (("good", "--no-header"), "--header is given without --file"),
        (("good", "--overwrite"), "--overwrite is for the stored evaluation split"),
        (("good", "--baseline", "none"), "none"),
    ],
)
def test_wrong_usage(clvq: Clvq, run: Path, arguments: tuple[str, ...], says: str) -> None:
    ended = clvq("explain", *arguments, "--run", run)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.message


def test_a_checkpoint_beside_another_store_is_refused(clvq: Clvq, run: Path, bert: Path, corpus: Path) -> None:
    again = ("--model", bert, "--dataset", corpus, "--layers", "1,3", "--max-sentences", "50", "--overwrite")
    assert clvq("extract", "--run", run, *again).code == 0
    assert "was trained on other rows" in refused(clvq("explain", "good", "--run", run))
    shutil.rmtree(run / "activations")
    assert clvq("explain", "good", "--run", run).code == 0
    assert "holds no activations" in refused(clvq("explain", "--run", run))


def test_a_model_without_a_head_says_why(clvq: Clvq, corpus: Path, tmp_path: Path) -> None:
    model = tiny_models.tiny_bert(tmp_path / "model", layers=2, head=False)
    run = tmp_path / "run"
    assert clvq("train", "--run", run, "--model", model, "--dataset", corpus, "--input-layer", 0,
                "--output-layer", 1, "--epochs", 1, *SMALL).code == 0  # fmt: skip
    said = refused(clvq("explain", "good", "--run", run))
    assert "predicts nothing that could be explained: its files hold BertModel, which has no" in said


def test_a_causal_language_model_explains_its_next_token(clvq: Clvq, corpus: Path, tmp_path: Path) -> None:
    model = tiny_models.with_next_token(tiny_models.tiny_gpt2(tmp_path / "model", layers=3))
    run = tmp_path / "run"
    assert clvq("train", "--run", run, "--model", model, "--dataset", corpus, "--input-layer", 1,
                "--output-layer", 2, "--epochs", 1, *SMALL).code == 0  # fmt: skip
    document = clvq("explain", "The film is", "--run", run, "--json").document
    (sentence,) = document["sentences"]
    assert (document["target"], document["label_names"]) == ("next token", None)
    assert document["summary"]["accuracy"] is None
    assert 0 < sentence["probability"] < 1
    shown = clvq("explain", "The film is", "--run", run).out
    assert shown.startswith(f"next token {sentence['target']!r}  {sentence['probability']:.1%}\n")
    assert clvq("explain", "--run", run, *QUICK).code == 0


def test_markup_escapes_and_half_characters_are_text(clvq: Clvq, run: Path) -> None:
    text = "[red]slow[/red] \x1b[31mgood <script>alert(1)</script> \udcff"  # a byte that is no UTF-8 arrives like this
    ended = clvq("explain", text, "--run", run)
    assert ended.code == 0, ended.err
    shown = ended.out.replace("*", "")
    assert "[red]slow[/red] \\x1b[31mgood <script>alert(1)</script> \ufffd" in shown
    assert "\x1b" not in shown
    document = clvq("explain", text, "--run", run, "--json").document
    assert document["sentences"][0]["text"] == text.replace("\udcff", "\ufffd")


def test_words_are_shaded_in_two_hues() -> None:
    words = [
        ExplainedWord(0, 4, "good", 2.0, 1, True),
        ExplainedWord(5, 9, "slow", -1.0, 1, False),
        ExplainedWord(10, 14, "film", 0.01, 1, False),
    ]

    def printed(**options: Any) -> str:
        console = Console(file=io.StringIO(), force_terminal=True, width=40, **options)
        console.print(Shaded("good slow film", words))
        return console.file.getvalue().rstrip("\n")

    strong, weak = re.fullmatch(r"(\S+good\S+) (\S+slow\S+) film", printed(color_system="truecolor")).groups()
    assert re.search(r"\x1b\[1;4;30;48;2;[\d;]+m", strong)
    assert re.search(r"\x1b\[30;48;2;[\d;]+m", weak)
    assert strong.split("48;2;")[1] != weak.split("48;2;")[1]
    assert printed(color_system=None) == printed(no_color=True, color_system="truecolor") == "*good* slow film"
    assert printed(color_system="standard").count("\x1b[") == 4


def test_tokens_of_one_character_are_told_apart() -> None:
    """A tokenizer of bytes has several tokens in one character; the character is printed once."""
    words = [ExplainedWord(0, 1, "这", 2.0, 1, True), *[ExplainedWord(0, 1, "这", -1.0, 1, False)] * 2]
    words.append(ExplainedWord(1, 3, "电影", 0.5, 1, False))
    console = Console(file=io.StringIO(), width=40, no_color=True)
    console.print(Shaded("这电影!", words))
    assert console.file.getvalue().rstrip("\n") == "*这*··电影!"
    found = list(pieces("这电影!", words))
    assert [shown for shown, word in found if word is not None] == ["这", "·", "·", "电影"]
    assert [shown for shown, word in found if word is None] == ["", "", "", "", "!"]
