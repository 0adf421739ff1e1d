"""`clvq codebook`: tables of any width, one concept, search, files, comparisons, and what it refuses."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from permuted_codes import permuted
from running import Clvq, files_of, modules_after, write_corpus
from safetensors.numpy import load_file

import clvq as package
from clvq.storage import fingerprint, locked

pytestmark = pytest.mark.slow

TRAINING: dict[str, Any] = {
    "input_layer": 1, "output_layer": 3, "codebook_size": 12, "top_k": 3, "decoder_layers": 1, "epochs": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with one checkpoint and its concepts; shared, so tests that change it copy it."""
    run = Path(shutil.copytree(finished_run, tmp_path_factory.mktemp("trained") / "run"))
    package.train(run / "activations", path=run / "L1-L3", **TRAINING)
    package.codebook(run / "L1-L3")
    return run


@pytest.fixture
def own(trained: Path, tmp_path: Path) -> Path:
    """The same, of the test's own."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def concepts_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "L1-L3" / "concepts.jsonl").read_text().splitlines()]


def test_shared_information_that_is_none_is_given_a_reason(clvq: Clvq, bert: Path, tmp_path: Path) -> None:
    """Of labels that are all the same; those of two classes have a figure."""
    for name, labels, shown in (("same", (1, 1), r"- \(one class\)"), ("two", (0, 1), r"-?\d\.\d{3}"), ("no", (), "-")):
        corpus = tmp_path / f"{name}.jsonl"
        rows = [{"text": f"A {word} film, and {word} again."} for word in ("good", "bad", "slow", "dull") * 5]
        rows = [{**row, **({"label": labels[n % 2]} if labels else {})} for n, row in enumerate(rows)]
        corpus.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        given = () if labels else ("--label-column", "none")
        run = ("--run", tmp_path / name)
        assert clvq("extract", "--model", bert, "--dataset", corpus, "--layers", "1,3", *given, *run).code == 0
        package.train(tmp_path / name / "activations", path=tmp_path / name / "L1-L3", **TRAINING)
        out = clvq("codebook", *run).out
        assert re.search(rf"^.* labels +{shown} *$", out, re.M), out


def codes_shown(out: str) -> list[int]:
    """The first column below the line under the head that starts with `code`."""
    lines = out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("code "))
    return [int(line.split()[0]) for line in lines[start + 2 :]]


@pytest.mark.parametrize("width", [40, 80, 140])
def test_tables_fit_the_terminal(clvq: Clvq, trained: Path, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for arguments in ((), ("--code", concepts_of(trained)[0]["code"]), ("--search", "film")):
        ended = clvq("codebook", "--run", trained, *arguments)
        assert ended.code == 0, ended.err
        assert max(map(len, ended.out.splitlines())) <= width


def test_the_first_time_the_concepts_are_made(clvq: Clvq, own: Path) -> None:
    before = files_of(own)
    for name in ("codebook.json", "concepts.jsonl", "assignments.safetensors"):
        (own / "L1-L3" / name).unlink()
    ended = clvq("codebook", "--run", own)
    assert ended.code == 0, ended.err
    assert ended.out.startswith("Concepts of ")
    figures = package.codebook(own / "L1-L3").figures
    assert f"{figures.codebook_perplexity:.1f} of 12" in ended.out
    assert f"{figures.ami_words:.3f}" in ended.out
    assert f"{package.read_checkpoint(own / 'L1-L3').results.evaluation.fvu:.3f}" in ended.out
    after = files_of(own)
    assert after["L1-L3/concepts.jsonl"] == before["L1-L3/concepts.jsonl"]
    assert clvq("codebook", "--run", own, "L1-L3").out == ended.out
    assert clvq("codebook", own / "L1-L3").out == ended.out
    assert files_of(own) == after


def test_order_label_and_limit(clvq: Clvq, trained: Path) -> None:
    concepts = concepts_of(trained)
    keys = {
        "words": lambda c: (-c["words"], c["code"]),
        "sentences": lambda c: (-c["sentences"], c["code"]),
        "spread": lambda c: (c["spread"], c["code"]),
        "code": lambda c: c["code"],
        "label": lambda c: (c["labels"]["q"], -c["labels"]["lift"], c["code"]),
    }
    for sort, key in keys.items():
        wanted = [concept["code"] for concept in sorted(concepts, key=key)]
        assert codes_shown(clvq("codebook", "--run", trained, "--sort", sort).out) == wanted, sort
    ended = clvq("codebook", "--run", trained, "--limit", 3, "--sort", "code")
    assert codes_shown(ended.out) == sorted(concept["code"] for concept in concepts)[:3]
    assert f"3 of {len(concepts)} shown; --limit {len(concepts)} shows all" in ended.message
    for number in (0, 1):
        wanted = {c["code"] for c in concepts if c["labels"]["label"] == number and c["labels"]["q"] <= 0.05}
        ended = clvq("codebook", "--run", trained, "--label", number, "--json")
        assert {concept["code"] for concept in ended.document["concepts"]} == wanted
    name = package.codebook(trained / "L1-L3").summary.label_names[1]
    by_name = clvq("codebook", "--run", trained, "--label", name.swapcase(), "--json")
    assert by_name.document == ended.document
    ended = clvq("codebook", "--run", trained, "--label", "splendid")
    assert (ended.code, ended.out) == (1, "")
    assert "no label 'splendid'" in ended.message


def test_one_json_document_with_everything(clvq: Clvq, trained: Path) -> None:
    book = package.codebook(trained / "L1-L3")
    concepts = [{**concept, "name": book.name(concept["code"]), "note": None} for concept in concepts_of(trained)]
    document = clvq("codebook", "--run", trained, "--json").document
    assert sorted(document["concepts"], key=lambda concept: concept["code"]) == concepts
    assert document["figures"] == book.figures.as_json()
    assert document["results"]["evaluation"]["fvu"] is not None
    assert len(clvq("codebook", "--run", trained, "--json", "--limit", 2).document["concepts"]) == 2


def test_codes_that_are_nearly_the_same_are_named(clvq: Clvq, own: Path) -> None:
    """Two codes are made one; so each is the other's twin."""
    import torch
    from safetensors.torch import load_file, save_file

    from clvq.artifacts import CHECKPOINT, WEIGHTS_NAME
    from clvq.storage import file_checksum

    assert "nearly the same" not in clvq("codebook", "--run", own).out
    assert clvq("codebook", "--run", own, "--json").document["twins"] == []
    folder = own / "L1-L3"
    weights = load_file(folder / WEIGHTS_NAME)
    (name,) = (name for name in weights if name.endswith("codebook"))
    first, second = sorted(concept["code"] for concept in sorted(concepts_of(own), key=lambda c: -c["words"])[:2])
    generator = torch.Generator().manual_seed(0)
    weights[name][second] = weights[name][first] + 1e-3 * torch.randn(weights[name].shape[1], generator=generator)
    save_file(weights, folder / WEIGHTS_NAME)
    CHECKPOINT.write(folder, {**CHECKPOINT.read(folder), "weights_checksum": file_checksum(folder / WEIGHTS_NAME)})
    document = clvq("codebook", "--run", own, "--json").document
    assert document["twins"] == [[first, second]]
    shown = " ".join(clvq("codebook", "--run", own).out.split())
    assert f"Warning: Codes that are nearly the same (cosine above 0.99): {first} and {second}." in shown


def test_one_concept_in_full(clvq: Clvq, trained: Path) -> None:
    concept = max(concepts_of(trained), key=lambda concept: concept["words"])
    assert clvq("codebook", "--run", trained, "--code", concept["code"], "--json").document["concept"] == concept
    ended = clvq("codebook", "--run", trained, "--code", concept["code"])
    assert ended.out.startswith(f"Concept {concept['code']} (")
    flat = " ".join(ended.out.split())
    for entry in concept["top_words"]:
        assert f"{entry['word']} {entry['count']} {entry['share']:.1%} {entry['recall']:.1%}" in flat
    marked = re.findall(r"\[(.+?)\]", ended.out)
    assert marked == [entry["word"] for entry in concept["examples"]]
    assert f"p {concept['labels']['p']:.3f}"[:6] in flat or "e-" in flat
    for entry in concept["neighbours"]:
        assert re.search(rf"^{entry['code']} +{entry['cosine']:.2f} ", ended.out, re.M)
    sentence = next(concept for concept in concepts_of(trained) if concept["of_sentence_rows"])
    ended = clvq("codebook", "--run", trained, "--code", sentence["code"])
    assert f"{sentence['sentence_rows']:,} sentence rows" in ended.out


def test_a_finished_catalogue_is_read_without_models_and_tests(trained: Path) -> None:
    _, modules = modules_after("codebook", "--code", "3", "--run", str(trained))
    assert "clvq.concepts.codebook" in modules
    without = {"torch", "transformers", "sklearn", "scipy", "pandas", "huggingface_hub"}
    assert not modules & {*without, "clvq.models.clvq_vae"}
    _, modules = modules_after("report", "--run", str(trained), "--output", str(trained / "report.html"))
    assert "clvq.html_report" in modules
    assert "transformers" not in modules


def test_search_over_all_words_of_all_concepts(clvq: Clvq, trained: Path) -> None:
    made = package.codebook(trained / "L1-L3")
    pattern = "^(film|movie|wasn't)$"
    words: list[tuple[int, str]] = []
    row, codes = 0, made.assignments()
    for sentence in made.checkpoint.store().sentences("train"):
        for start, end, flag in zip(sentence.starts, sentence.ends, sentence.flags, strict=True):
            if flag & 1 and codes[row] >= 0:
                words.append((int(codes[row]), sentence.text[start:end]))
            row += 1
    hits = [(code, word) for code, word in words if re.search(pattern, word)]
    document = clvq("codebook", "--run", trained, "--search", pattern, "--json").document
    assert (document["types"], document["occurrences"]) == (len({word for _, word in hits}), len(hits))
    assert {entry["code"] for entry in document["concepts"]} == {code for code, _ in hits}
    for entry in document["concepts"]:
        matches = sum(code == entry["code"] for code, _ in hits)
        assert entry["matches"] == matches == sum(word["count"] for word in entry["matching_words"])
        assert entry["precision"] == pytest.approx(matches / sum(code == entry["code"] for code, _ in words))
        assert entry["recall"] == pytest.approx(matches / len(hits))
    f1 = [entry["f1"] for entry in document["concepts"]]
    assert f1 == sorted(f1, reverse=True)
    ended = clvq("codebook", "--run", trained, "--search", pattern)
    assert codes_shown(ended.out) == [entry["code"] for entry in document["concepts"]]
    ended = clvq("codebook", "--run", trained, "--search", "no such word")
    assert (ended.code, "0 word types match" in ended.out) == (0, True)


@pytest.mark.parametrize("pattern", ["(", "[z-a]", "*", "(?P<x>a)(?P<y"])
def test_a_broken_pattern(clvq: Clvq, own: Path, pattern: str) -> None:
    (own / "L1-L3" / "codebook.json").unlink()
    before = files_of(own)
    ended = clvq("codebook", "--run", own, "--search", pattern)
    assert (ended.code, ended.out) == (1, "")
    assert "is no regular expression" in ended.message
    assert files_of(own) == before  # said before any work


@pytest.fixture(scope="module")
def hostile(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over a corpus whose words are escapes, markup, scripts and a bait for regular expressions."""
    run = tmp_path_factory.mktemp("hostile") / "run"
    words = [
        "\x1b[31mred",
        "[bold]loud[/bold]",
        "[/]",
        "<script>alert(1)</script>",
        "a" * 50 + "!",
        "\u202eevil",
        "=1+1",
    ]
    corpus = write_corpus(run.parent / "hostile.jsonl", [f"{word} film {n}" for n in range(20) for word in words])
    package.extract(
        run / "activations", model=str(bert), dataset=str(corpus), layers=(1, 3), words="whitespace", device="cpu"
    )
    package.train(run / "activations", path=run / "L1-L3", **TRAINING)
    return run


def test_corpus_text_stays_text(clvq: Clvq, hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    shown = [clvq("codebook", "--run", hostile).out, clvq("codebook", "--run", hostile, "--search", "[^a-z0-9]").out]
    shown += [clvq("codebook", "--run", hostile, "--code", c["code"]).out for c in concepts_of(hostile)]
    everything = "\n".join(shown)
    for word in ("\\x1b[31mred", "[bold]loud[/bold]", " [/] ", "<script>alert(1)</script>", "\\u202eevil"):
        assert word in everything, word
    assert "\x1b" not in everything
    assert "\u202e" not in everything


def test_a_pattern_that_never_ends(clvq: Clvq, hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clvq.concepts.search.SECONDS", 0.3)
    ended = clvq("codebook", "--run", hostile, "--search", "^(a|aa)+$")
    assert (ended.code, ended.out) == (1, "")
    assert "backtracks without end" in ended.message


def test_tables_for_other_tools(clvq: Clvq, trained: Path, hostile: Path, tmp_path: Path) -> None:
    for run in (trained, hostile):
        folder = tmp_path / run.parent.name
        for suffix in (".csv", ".parquet", ".jsonl"):
            ended = clvq("codebook", "--run", run, "--export", folder / f"concepts{suffix}")
            assert ended.code == 0, ended.err
        concepts = concepts_of(run)
        described = [json.loads(line) for line in (folder / "concepts.jsonl").read_text(encoding="utf-8").splitlines()]
        names = package.codebook(run / "L1-L3").name
        assert described == [{**concept, "name": names(concept["code"]), "note": None} for concept in concepts]
        columns = pq.read_table(folder / "concepts.parquet").to_pylist()
        with (folder / "concepts.csv").open(newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
        assert len(columns) == len(lines) == len(concepts)
        for concept, row, line in zip(concepts, columns, lines, strict=True):
            assert row["code"] == int(line["code"]) == concept["code"]
            assert row["words"] == int(line["words"]) == concept["words"]
            assert row["name"] == line["name"] == names(concept["code"])
            words = [entry["word"] for entry in concept["top_words"]]
            assert json.loads(row["top_words"]) == json.loads(line["top_words"]) == words
            assert row["label_q"] == float(line["label_q"]) == concept["labels"]["q"]


def test_arrays_for_other_tools(clvq: Clvq, trained: Path, tmp_path: Path) -> None:
    for suffix in (".safetensors", ".npy"):
        assert clvq("codebook", "--run", trained, "--export", tmp_path / f"codes{suffix}").code == 0
    made, store = package.codebook(trained / "L1-L3"), package.ActivationStore(trained / "activations")
    tensors = load_file(tmp_path / "codes.safetensors")
    assert np.array_equal(np.load(tmp_path / "codes.npy"), tensors["codebook"])
    model = made.checkpoint.load()
    scale = store.layers[1].scale
    assert np.allclose(tensors["codebook"] * scale, model.codebook.numpy(), rtol=1e-6)
    for split in ("train", "eval"):
        states = np.concatenate([shard.numpy() for _, shard in store.rows(split, 1).shards()])
        indices = model.assign(torch.from_numpy(states)[None])[0].numpy()
        assert np.array_equal(tensors[f"indices_{split}"], indices)
    for concept in made.concepts:
        assert tensors["counts"][concept.code] == concept.words
    assert tensors["counts"].sum() == made.figures.words


def test_what_an_export_refuses(clvq: Clvq, trained: Path, tmp_path: Path) -> None:
    file = tmp_path / "codes.npy"
    file.write_bytes(b"mine")
    for path, says in (
        (file, "is there already"),
        (tmp_path / "codes.xlsx", ".csv .parquet .jsonl .safetensors .npy"),
        (tmp_path / "codes", ".csv .parquet .jsonl .safetensors .npy"),
        (file / "below.csv", "cannot be written"),
    ):
        ended = clvq("codebook", "--run", trained, "--export", path)
        assert (ended.code, ended.out) == (1, ""), path
        assert says in ended.message
        assert "bug" not in ended.message
    assert file.read_bytes() == b"mine"
    before = files_of(trained)
    assert clvq("codebook", "--run", trained, "--export", file, "--overwrite").code == 0
    assert np.load(file).shape[0] == 12
    assert files_of(trained) == before


def test_two_checkpoints_of_the_same_words(clvq: Clvq, own: Path) -> None:
    permuted(own / "L1-L3", own / "permuted")
    package.train(own / "activations", path=own / "second", **{**TRAINING, "seed": 1})
    found = clvq("codebook", "--run", own, "L1-L3", "--against", "permuted", "--json").document
    assert [found[name] for name in ("shared_words", "mean_jaccard", "mean_cosine")] == pytest.approx([1, 1, 1])
    assert found["adjusted_mutual_information"] == pytest.approx(1)
    assert len(found["pairs"]) == found["codes"]
    ended = clvq("codebook", "--run", own, "L1-L3", "--against", own / "permuted")
    assert re.search(r"words in matched codes +100\.0%", ended.out)
    assert codes_shown(ended.out) == [pair["code"] for pair in found["pairs"]]
    other = clvq("codebook", "--run", own, "L1-L3", "--against", "second", "--json").document
    assert 0 < other["adjusted_mutual_information"] < 1

    assert clvq("codebook", "--run", own, "L1-L3", "--flow", "permuted", "--json").document["conditional_entropy"] == 0
    arrows = clvq("codebook", "--run", own, "L1-L3", "--flow", "second", "--json").document
    assert 0 < arrows["conditional_entropy"] < arrows["entropy"]
    ended = clvq("codebook", "--run", own, "L1-L3", "--flow", "second", "--limit", 4)
    assert codes_shown(ended.out) == [arrow["code"] for arrow in arrows["arrows"][:4]]
    assert f"{arrows['conditional_entropy']:.2f}" in ended.out

    unnamed = clvq("codebook", "--run", own)
    assert (unnamed.code, unnamed.out) == (1, "")
    assert "L1-L3: layers 1 -> 3, 12 codes, seed 0" in unnamed.message


def test_checkpoints_of_other_words(clvq: Clvq, trained: Path, hostile: Path) -> None:
    for option in ("--against", "--flow"):
        ended = clvq("codebook", "--run", trained, option, hostile / "L1-L3")
        assert (ended.code, ended.out) == (1, "")
        assert "trained on other rows" in ended.message
        assert "hostile.jsonl" in ended.message
        assert "words 'text' and 'whitespace'" in ended.message


def test_codes_that_are_not_there(clvq: Clvq, own: Path) -> None:
    for code in (12, -1):
        ended = clvq("codebook", "--run", own, "--code", code)
        assert (ended.code, ended.out) == (1, "")
        assert "its codes are 0 to 11" in ended.message
    checkpoint = package.read_checkpoint(own / "L1-L3")
    permuted(checkpoint.path, own / "dead", code_away=3)
    ended = clvq("codebook", "--run", own, "dead", "--code", 3)
    assert (ended.code, ended.out) == (1, "")
    assert "Code 3" in ended.message
    assert "is dead" in ended.message
    assert clvq("codebook", "--run", own, "dead", "--json").document["figures"]["dead_codes"] >= 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--code", "1", "--search", "a"),
        ("--against", "x", "--flow", "y"),
        ("--code", "1", "--sort", "code"),
        ("--search", "a", "--label", "1"),
        ("--code", "1", "--limit", "5"),
        ("--limit", "0"),
        ("--sort", "colour"),
        ("--code", "one"),
    ],
)
def test_wrong_usage(clvq: Clvq, trained: Path, arguments: tuple[str, ...]) -> None:
    ended = clvq("codebook", "--run", trained, *arguments)
    assert (ended.code, ended.out) == (2, "")


def _edited(run: Path) -> None:
    """The store of the checkpoint, as if its rows had changed since."""
    manifest = json.loads((run / "activations" / "manifest.json").read_text())
    manifest["rows_fingerprint"] = "0" * 16
    body = {key: value for key, value in manifest.items() if key != "self_fingerprint"}
    (run / "activations" / "manifest.json").write_text(json.dumps({**body, "self_fingerprint": fingerprint(body)}))


def _without_concepts_and_activations(run: Path) -> None:
    shutil.rmtree(run / "activations")
    (run / "L1-L3" / "codebook.json").unlink()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_without_concepts_and_activations, "holds no activations"),
        (_edited, "was trained on other rows than"),
        (lambda run: (run / "L1-L3" / "concepts.jsonl").write_text("{}\n"), "concepts.jsonl is not the file"),
        (lambda run: (run / "L1-L3" / "concepts.jsonl").unlink(), "concepts.jsonl cannot be read"),
        (lambda run: (run / "L1-L3" / "codebook.json").write_text("{"), "codebook.json cannot be read as JSON"),
        (lambda run: (run / "L1-L3" / "codebook.json").write_text('{"format": "x"}'), "codebook.json is foreign"),
        (lambda run: (run / "L1-L3" / "config.json").unlink(), "holds no finished checkpoint"),
    ],
)
def test_artifacts_that_do_not_fit(clvq: Clvq, own: Path, damage: Any, says: str) -> None:
    damage(own)
    before = files_of(own)
    ended = clvq("codebook", "--run", own)
    assert (ended.code, ended.out) == (1, "")
    assert says in ended.message
    assert "bug" not in ended.message
    assert files_of(own) == before


def test_damaged_assignments_are_named(clvq: Clvq, own: Path) -> None:
    (own / "L1-L3" / "assignments.safetensors").write_bytes(b"no")
    assert clvq("codebook", "--run", own).code == 0  # the catalogue itself is whole
    ended = clvq("codebook", "--run", own, "--search", "film")
    assert (ended.code, "assignments.safetensors is not the file" in ended.message) == (1, True)
    assert clvq("codebook", "--run", own, "--overwrite").code == 0
    assert clvq("codebook", "--run", own, "--search", "film").code == 0


def test_a_folder_that_cannot_be_written(clvq: Clvq, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own / "L1-L3" / "codebook.json").unlink()
    before = files_of(own)
    with locked(own / "L1-L3"):
        ended = clvq("codebook", "--run", own)
    assert (ended.code, "Another process is writing" in ended.message) == (1, True)
    for number, says in ((errno.ENOSPC, "The disk is full"), (errno.EROFS, "cannot be written")):

        def refuse(_: int, number: int = number) -> None:
            raise OSError(number, os.strerror(number))

        with monkeypatch.context() as patched:
            patched.setattr("clvq.storage.os.fsync", refuse)
            ended = clvq("codebook", "--run", own)
        assert (ended.code, ended.out) == (1, "")
        assert says in ended.message
        assert files_of(own) == before
    assert clvq("codebook", "--run", own).code == 0
