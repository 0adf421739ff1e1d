"""`clvq assign` and `clvq codebook --rename`: new text with its concepts, through the command and scikit-learn."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow.parquet as pq
import pytest
import scipy.sparse
import torch
from running import SMALL, Clvq
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import (
    check_get_params_invariance,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
    check_set_params,
)

import clvq as package
from clvq.concepts.records import SPLIT
from clvq.language_model.rows import WORD
from clvq.storage import write_signed

pytestmark = pytest.mark.slow

TEXTS = ["The film is very good!", "a slow , lifeless story", "", "Nothing here is good, nothing."]


@pytest.fixture
def own(trained_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained_run, tmp_path / "run"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS * 30), encoding="utf-8")
    return path


def split_of(run: Path, split: str) -> tuple[list[str], list[list[int | None]]]:
    """Texts of a split, and the stored code of each of their words."""
    store, book = package.ActivationStore(run / "activations"), package.codebook(run / "L1-L3")
    codes = iter(book.assignments(split).tolist())
    sentences = list(store.sentences(split))
    of_rows = [[(flag, next(codes)) for flag in sentence.flags] for sentence in sentences]
    words = [[None if code < 0 else code for flag, code in rows if flag & WORD] for rows in of_rows]
    return [sentence.text for sentence in sentences], words


def test_texts_of_the_corpus_get_the_codes_that_are_stored(own: Path) -> None:
    for split in ("train", "eval"):
        texts, codes = split_of(own, split)
        assigned = list(package.assign(own / "L1-L3", iter(texts), batch_tokens=64))
        assert [text.id for text in assigned] == list(range(len(texts)))
        assert [text.text for text in assigned] == texts
        assert [[word.code for word in text.words] for text in assigned] == codes


def test_distances_and_how_unusual_they_are(own: Path) -> None:
    """Against the rows of the training split, one by one."""
    checkpoint, book = package.read_checkpoint(own / "L1-L3"), package.codebook(own / "L1-L3")
    store, model = checkpoint.store(), checkpoint.load()
    rows = torch.cat([rows for _, rows in store.rows(SPLIT, 1).shards()])
    z_e = model.encoder(rows * model.input_scale)
    codes = torch.from_numpy(book.assignments(SPLIT)).long()
    distances = (z_e - model.codebook[codes.clamp_min(0)]).square().sum(dim=1).detach()
    words = torch.from_numpy(store.flags(SPLIT) & WORD != 0) & (codes >= 0)
    texts, _ = split_of(own, SPLIT)
    taken = farthest = 0
    assigned = [word for text in package.assign(own / "L1-L3", texts) for word in text.words if word.code is not None]
    for word, distance in zip(assigned, distances[words].tolist(), strict=True):
        assert word.distance == pytest.approx(distance, rel=1e-3, abs=1e-4)
        of_code = distances[words & (codes == word.code)]
        nearer = float((of_code < distance * (1 - 1e-4)).float().mean())
        assert word.nearer == pytest.approx(nearer, abs=0.02 + 0.5 / len(of_code))
        if distance >= of_code.max():
            assert word.nearer == pytest.approx((len(of_code) - 1) / len(of_code), abs=1e-4)  # not all are nearer
            farthest += 1
        taken += 1
    assert taken > 100 and farthest > 5
    (far,) = package.assign(own / "L1-L3", "zzzzqq")
    assert all(word.nearer is None or 0 <= word.nearer <= 1 for word in far.words)


def test_the_table_the_document_and_the_files_say_the_same(clvq: Clvq, own: Path, file: Path, tmp_path: Path) -> None:
    ended = clvq("assign", *(text for text in TEXTS if text), "--run", own, "--json")
    assert ended.code == 0, ended.err
    texts = ended.document["texts"]
    assert [text["text"] for text in texts] == [text for text in TEXTS if text]
    shown = clvq("assign", TEXTS[0], "--run", own)
    assert shown.code == 0
    for word in texts[0]["words"]:
        assert any(line.split()[:2] == [word["text"], str(word["code"])] for line in shown.out.splitlines())
    paths = [tmp_path / name for name in ("words.jsonl", "words.parquet", "counts.npz")]
    ended = clvq("assign", "--file", file, "--run", own, "--output", paths[0], "--counts", paths[2], "--json")
    assert ended.code == 0, ended.err
    assert clvq("assign", "--file", file, "--run", own, "--output", paths[1]).code == 0
    lines = [json.loads(line) for line in paths[0].read_text(encoding="utf-8").splitlines()]
    assert [line["text"] for line in lines] == TEXTS * 30
    assert (ended.document["texts"], ended.document["words"]) == (120, sum(len(line["words"]) for line in lines))
    assert lines[0]["words"] == texts[0]["words"]
    assert lines[2]["words"] == []
    rows = pq.read_table(paths[1]).to_pylist()
    flat = [{"id": line["id"], **word} for line in lines for word in line["words"]]
    assert rows == flat
    counts = scipy.sparse.load_npz(paths[2])
    assert counts.shape == (120, 12)
    for row, line in zip(counts.toarray(), lines, strict=True):
        naive = Counter(word["code"] for word in line["words"] if word["code"] is not None)
        assert row.tolist() == [naive[code] for code in range(12)]
    assert "--output FILE writes all" in clvq("assign", "--file", file, "--run", own).message


def test_files_of_cut_texts_say_so(clvq: Clvq, own: Path, tmp_path: Path) -> None:
    source, words = tmp_path / "long.txt", tmp_path / "words.parquet"
    source.write_text(f"a slow film\n{'good ' * 700}\n{'bad ' * 600}\n", encoding="utf-8")
    given = ("assign", "--file", source, "--run", own, "--output", words, "--overwrite")
    document = clvq(*given, "--json").document
    read = Counter(pq.read_table(words)["id"].to_pylist())
    assert document["cut"] == 2 and read[0] == 3 and read[1] < 600
    assert document["left_out"] == 700 + 600 - read[1] - read[2]
    told = f"2 cut: {document['left_out']:,} words beyond the model's length left out"
    assert told in clvq(*given).out
    on_screen = clvq("assign", "--file", source, "--run", own)
    assert " ".join(on_screen.out.split()).startswith(f"3 texts {told}")
    shown = clvq("assign", "--file", source, "--run", own, "--json").document
    assert [shown[name] for name in ("cut", "left_out")] == [2, document["left_out"]]
    single = clvq("assign", "good " * 700, "--run", own)
    assert f"{700 - read[1]} words beyond the model's length are left out" in " ".join(single.out.split())
    assert " cut: " not in single.out
    assert clvq("assign", "good " * 700, "--run", own, "--json").document["left_out"] == 700 - read[1]
    assert "left out" not in clvq("assign", "a slow film", "--run", own, "--output", words, "--overwrite").out


def test_a_copied_checkpoint_gives_the_same_bytes(clvq: Clvq, own: Path, file: Path, tmp_path: Path) -> None:
    package.codebook(own / "L1-L3")
    shutil.copytree(own / "L1-L3", tmp_path / "elsewhere" / "L1-L3")
    before = clvq("assign", *TEXTS[:2], "--run", own, "--output", tmp_path / "a.jsonl")
    shutil.rmtree(own)
    after = clvq("assign", *TEXTS[:2], "--run", tmp_path / "elsewhere", "--output", tmp_path / "b.jsonl")
    assert (before.code, after.code) == (0, 0)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_what_cannot_be_is_said_before_any_work(clvq: Clvq, own: Path, file: Path, tmp_path: Path) -> None:
    there = tmp_path / "there.jsonl"
    there.write_text("mine")
    for arguments, says in (
        ((), "No text is given"),
        (("good", "--file", file), "Give one of the two"),
        (("good", "--text-column", "text"), "without --file"),
        (("--file", tmp_path / "none.csv"), "There is no file"),
        (("good", "--output", tmp_path / "words.txt"), "must end in .jsonl or .parquet"),
        (("good", "--counts", tmp_path / "counts.csv"), "must end in .npz"),
        (("good", "--output", there), "is there already"),
        (("good", "--checkpoint", "L1-L4"), "There is no checkpoint"),
        (("good", "--batch-tokens", 0), "--batch-tokens must be"),
    ):
        ended = clvq("assign", *arguments, "--run", own)
        assert ended.code in (1, 2)
        assert says in ended.message, (arguments, ended.message)
    assert there.read_text() == "mine"
    ended = clvq("assign", "good", "--run", own, "--output", there, "--overwrite")
    assert ended.code == 0, ended.err
    assert json.loads(there.read_text())["text"] == "good"
    assert not [name for name in os.listdir(tmp_path) if "writing" in name]  # noqa: PTH208


def test_a_name_is_kept_and_shown_and_is_of_its_weights_alone(clvq: Clvq, own: Path) -> None:
    (text,) = package.assign(own / "L1-L3", "good")
    code = text.words[0].code
    made = package.codebook(own / "L1-L3").name(code)
    ended = clvq("codebook", "--code", code, "--rename", "  praise\tof all sorts ", "--run", own, "--json")
    assert (ended.code, ended.document["name"]) == (0, "praise of all sorts")
    (text,) = package.assign(own / "L1-L3", "good")
    assert text.words[0].concept == "praise of all sorts"
    concept = package.codebook(own / "L1-L3").concept(code)
    other = concept.neighbours[0].code
    word = f"^{re.escape(concept.top_words[0].word)}$"  # "good" alone may have a code that it has in no training text
    for command in (
        ("codebook", "--limit", 12), ("codebook", "--code", code), ("codebook", "--code", other), ("explain", "good"),
        ("codebook", "L1-L3", "--against", "L1-L3"), ("codebook", "--search", word), ("assign", "good"),
        ("faithfulness", "--by", "concept", "--draws", 1, "--full"),
    ):  # fmt: skip
        ended = clvq(*command, "--run", own)
        assert (ended.code, "praise of all sorts" in " ".join(ended.out.split())) == (0, True), command
    for view in ((), ("--search", word)):
        listed = clvq("codebook", *view, "--run", own, "--json").document["concepts"]
        assert {entry["code"]: entry["name"] for entry in listed}[code] == "praise of all sorts", view
    found = clvq("codebook", "--search", "^praise", "--run", own)
    assert f"Given names that match, with their codes: praise of all sorts ({code})" in " ".join(found.out.split())
    found = clvq("codebook", "--search", "^praise", "--run", own, "--json").document
    assert (found["named"], found["concepts"]) == ([{"code": code, "name": "praise of all sorts"}], [])
    assert clvq("codebook", "--search", "^blame", "--run", own, "--json").document["named"] == []
    assert package.codebook(own / "L1-L3").to_pandas().set_index("code")["name"][code] == "praise of all sorts"
    for wrong, says in (("x" * 61, "at most 60"), ("a\x1b[31mb", "printable")):
        refused = clvq("codebook", "--code", code, "--rename", wrong, "--run", own)
        assert (refused.code, says in refused.message) == (1, True)
    assert clvq("codebook", "--code", 99, "--rename", "x", "--run", own).code == 1
    assert clvq("codebook", "--rename", "x", "--run", own).code == 2
    kept = (own / "L1-L3" / "names.json").read_text()
    settings = ("--input-layer", 1, "--output-layer", 3, "--epochs", 1, "--seed", 3, *SMALL)
    assert clvq("train", *settings, "--run", own, "--overwrite").code == 0
    book = package.codebook(own / "L1-L3")
    assert book.given_names == {}
    assert (own / "L1-L3" / "names.json").read_text() == kept  # nothing that a reader wrote is lost
    book.rename(book.concepts[0].code, "mine")
    assert "praise of all sorts" in (own / "L1-L3" / "names.json").read_text()
    book.rename(book.concepts[0].code, "")
    assert book.name(book.concepts[0].code) != "mine"
    assert made


def test_names_and_notes_are_imported_or_refused_whole(clvq: Clvq, own: Path, tmp_path: Path) -> None:
    book = package.codebook(own / "L1-L3")
    first, second = (concept.code for concept in book.concepts[:2])
    book.rename(second, "to be taken away")
    file = tmp_path / "exported.json"
    body: dict[str, Any] = {
        "format": "clvq-names-export", "format_version": 1, "checkpoint": book.checkpoint.fingerprint,
        "names": {str(first): "praise", str(second): ""}, "notes": {str(first): "seen\nin hotels"},
    }  # fmt: skip
    before = (own / "L1-L3" / "names.json").read_bytes()
    for changed, says in (
        ({"format": "clvq-names"}, "is no file of names"),
        ({"format_version": 2}, "Upgrade clvq"),
        ({"checkpoint": "0" * 32}, "of another training"),
        ({"names": {str(first): "x" * 61}}, "at most 60"),
        ({"names": {"999": "x"}}, "There is no code 999"),
        ({"names": {"-1": "x"}}, "are not texts by code"),
        ({"names": {"1": 2}}, "are not texts by code"),
        ({"names": ["x"]}, "are not texts by code"),
        ({"notes": {str(first): "a\x1b[31mb"}}, "printable"),
        ({"notes": {str(first): "x" * 2001}}, "at most 2,000"),
    ):
        file.write_text(json.dumps({**body, **changed}), encoding="utf-8")
        refused = clvq("codebook", "--names", file, "--run", own)
        assert (refused.code, says in refused.message) == (1, True), refused.message
    file.write_text("no JSON", encoding="utf-8")
    assert clvq("codebook", "--names", file, "--run", own).code == 1
    assert clvq("codebook", "--names", tmp_path / "none.json", "--run", own).code == 1
    assert (own / "L1-L3" / "names.json").read_bytes() == before

    file.write_text(json.dumps(body), encoding="utf-8")
    ended = clvq("codebook", "--names", file, "--code", first, "--run", own, "--json")
    assert (ended.code, ended.document["name"], ended.document["note"]) == (0, "praise", "seen\nin hotels")
    assert "Names and notes of 2 concepts were read" in ended.err
    shown = clvq("codebook", "--code", first, "--run", own).out
    assert "praise" in shown
    assert "in hotels" in shown
    again = package.codebook(own / "L1-L3")
    assert (again.given_names, again.notes) == ({first: "praise"}, {first: "seen\nin hotels"})
    again.rename(first, "blame")  # which leaves the notes
    assert package.codebook(own / "L1-L3").notes == {first: "seen\nin hotels"}


def test_names_of_an_earlier_version_are_read(own: Path) -> None:
    book = package.codebook(own / "L1-L3")
    code = book.concepts[0].code
    body = {"names": {book.checkpoint.fingerprint: {str(code): "old"}}}
    write_signed(own / "L1-L3" / "names.json", "clvq-names", 1, body)
    assert (package.codebook(own / "L1-L3").name(code), package.codebook(own / "L1-L3").notes) == ("old", {})
    book.rename(code, "new")
    assert package.codebook(own / "L1-L3").name(code) == "new"


def made_of(*words: str, counts: Any = None) -> str:
    from clvq.concepts.names import made_name
    from clvq.concepts.records import Concept, TopWord

    top = [TopWord(word, count, 0.1, 0.1) for word, count in zip(words, counts or [1] * len(words), strict=True)]
    return made_name(Concept(0, 9, 0, not words, len(words), 3, 0.1, top, [], [], None, None, [], 0.5, (0.0, 0.0)))


def test_names_say_what_the_words_have_in_common() -> None:
    assert made_of("awful", "terrible", "bad", "worst") == "awful, terrible, bad"
    assert (
        made_of("making", "going", "taking", "running", "a", counts=[3, 3, 3, 3, 1])
        == "words in -ing: making, going, taking"
    )
    assert made_of("slowly", "badly", "bad", "worst") == "slowly, badly, bad"
    assert made_of("10", "1990", "3") == "numbers: 10, 1990, 3"
    assert made_of(",", ".", "--") == "marks: ,, ., --"
    assert made_of("Paris", "Smith", "the", counts=[8, 8, 1]) == "capitalised: Paris, Smith, the"
    assert made_of() == "whole sentences"


def test_it_is_a_step_of_a_scikit_learn_pipeline(own: Path) -> None:
    texts, codes = split_of(own, "train")
    labels = [number % 2 for number in range(len(texts))]
    vectorizer = package.ConceptVectorizer(own / "L1-L3")
    counts = vectorizer.transform(texts)
    for row, of_text in zip(counts.toarray(), codes, strict=True):
        naive = Counter(code for code in of_text if code is not None)
        assert row.tolist() == [naive[code] for code in range(12)]
    names = vectorizer.get_feature_names_out()
    assert names.shape == (12,)
    assert names[3].startswith("3 ")
    pipeline = make_pipeline(package.ConceptVectorizer(str(own / "L1-L3")), LogisticRegression())
    assert pipeline.fit(texts, labels).predict(texts).shape == (len(texts),)
    assert len(pipeline[:-1].get_feature_names_out()) == 12
    assert np.array_equal(pipeline[0].transform(np.array(texts, dtype=object)).toarray(), counts.toarray())
    with pytest.raises(package.ClvqError, match="Put it into a list"):
        vectorizer.transform("good")
    with pytest.raises(package.ClvqError, match="A text, or a dictionary of texts, is expected, and 3"):
        vectorizer.transform([3])
    with pytest.raises(package.ClvqError, match="Give one column of it"):
        vectorizer.transform(pandas.DataFrame({"text": texts}))


@pytest.mark.parametrize(
    "check",
    [check_get_params_invariance, check_no_attributes_set_in_init, check_set_params,
     check_parameters_default_constructible],
)  # fmt: skip
def test_the_checks_of_scikit_learn_that_apply(own: Path, check: Any) -> None:
    """The others fit on tables of figures, and this reads texts."""
    check("ConceptVectorizer", package.ConceptVectorizer(str(own / "L1-L3")))
