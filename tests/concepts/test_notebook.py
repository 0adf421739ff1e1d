"""Results in Python and in a notebook: short representations, escaped HTML, pandas tables."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from html import escape
from pathlib import Path

import pytest

import clvq
from clvq.activations.store import ActivationStore
from clvq.concepts.pairs import against, flow
from clvq.concepts.records import Concept
from clvq.concepts.search import search
from clvq.corpus.splits import SPLITS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def codebook(tiny_store: ActivationStore, tmp_path_factory: pytest.TempPathFactory) -> clvq.Codebook:
    run = tmp_path_factory.mktemp("notebook") / "run"
    shutil.copytree(tiny_store.path, run / "activations")
    clvq.train(
        run / "activations", path=run / "L1-L4", input_layer=1, output_layer=4, codebook_size=8, top_k=2, epochs=1,
        decoder_layers=1, device="cpu",
    )  # fmt: skip
    return clvq.codebook(run / "L1-L4")


def test_representations_are_short_and_name_what_they_are_of(codebook: clvq.Codebook) -> None:
    assert len(repr(codebook)) < 300
    assert f"{codebook.figures.active_codes} of 8 codes in use" in repr(codebook)
    concept = next(concept for concept in codebook.concepts if concept.top_words)
    assert repr(concept).startswith(f"<Concept {concept.code}: {concept.top_words[0].word} ")
    assert len(repr(concept)) < 300


def test_all_results_have_the_same_shape(codebook: clvq.Codebook, tiny_store: ActivationStore) -> None:
    checkpoint = codebook.checkpoint
    for result, says in (
        (tiny_store, f"{tiny_store.path}: layers 1, 2, 4 of {tiny_store.settings.model} over 220 sentences of "),
        (checkpoint, f"{checkpoint.path}: CLVQ-VAE, layers 1 -> 4, 8 codes, seed 0"),
        (codebook, f"{checkpoint.path}: "),
    ):
        assert repr(result).startswith(f"<{type(result).__name__} {says}")
        assert "\n" not in repr(result)
        assert result._repr_html_().startswith(f'<table><caption style="text-align: left">{escape(repr(result))}')


def test_a_store_is_a_table_of_splits_and_layers(tiny_store: ActivationStore) -> None:
    html = tiny_store._repr_html_()
    assert html.count("<tr>") == 2 + 2 + len(tiny_store.layers) and html.count("<table>") == 2
    table = tiny_store.to_pandas()
    sentences = [*tiny_store.sentences("train"), *tiny_store.sentences("eval")]
    assert table["text"].tolist() == [sentence.text for sentence in sentences]
    assert table["prediction"].tolist() == [sentence.prediction for sentence in sentences]
    assert table["words"].sum() == sum(tiny_store.manifest.splits[split].counts["words"] for split in SPLITS)
    ends = {split: tiny_store.sentence_count(split) - 1 for split in SPLITS}
    assert dict(table.groupby("split")["sentence"].max()) == ends


def test_a_checkpoint_is_a_table_of_figures(codebook: clvq.Codebook) -> None:
    checkpoint = codebook.checkpoint
    assert f"<bdi>{checkpoint.results.evaluation.fvu:.4f}</bdi>" in checkpoint._repr_html_()
    table = checkpoint.to_pandas()
    assert set(table["checkpoint"]) == {"L1-L4"}
    for part in ("evaluation", "yardsticks"):
        lines = table[table["part"] == part]
        assert dict(zip(lines["figure"], lines["value"], strict=True)) == getattr(checkpoint.results, part).as_json()


def test_a_line_survives_a_round_trip(codebook: clvq.Codebook) -> None:
    for concept in codebook.concepts:
        assert Concept.from_json(concept.as_json()) == concept


def test_html_has_a_row_a_concept_and_escapes_words(codebook: clvq.Codebook) -> None:
    html = codebook._repr_html_()
    assert html.count("<tr>") == 1 + len(codebook.concepts)
    first = codebook.concepts[0]
    hostile = replace(first, top_words=[replace(first.top_words[0], word="<script>alert(1)</script>")])
    html = replace(codebook, concepts=[hostile])._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_pandas_tables(codebook: clvq.Codebook, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    table = codebook.to_pandas()
    assert table["code"].tolist() == [concept.code for concept in codebook.concepts]
    assert table["top_words"].tolist() == [[word.word for word in concept.top_words] for concept in codebook.concepts]
    labels = codebook.summary.label_names
    assert table["label"].tolist() == [labels[concept.labels.label] for concept in codebook.concepts]
    found = search(codebook, "film")
    assert found.to_pandas()["code"].tolist() == [match.code for match in found.concepts]
    none = search(codebook, "no such word").to_pandas()
    assert (len(none), next(iter(none.columns))) == (0, "code")
    compared = against(codebook, codebook)
    assert compared.to_pandas()["other"].tolist() == [pair.other for pair in compared.pairs]
    arrows = flow(codebook, codebook)
    assert arrows.to_pandas()["bits"].sum() == pytest.approx(arrows.entropy - arrows.conditional_entropy)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(clvq.ClvqError, match="pip install pandas"):
        codebook.to_pandas()


def test_faithfulness_is_a_table_of_lines_in_every_mode(codebook: clvq.Codebook) -> None:
    checkpoint = codebook.checkpoint
    result = clvq.faithfulness(checkpoint, draws=1, limit=8, at="salient", edit="removal", device="cpu")
    assert repr(result) == f"<Faithfulness of L1-L4: {checkpoint.path / 'faithfulness.json'}>"
    selectivities = result.to_pandas()["selectivity"]
    assert selectivities.dropna().tolist() == [r.selectivity for r in result.rows if r.selectivity is not None]
    assert len(selectivities) == len(result.rows)
    html = result._repr_html_()
    assert html.startswith(f'<table><caption style="text-align: left">{escape(repr(result))}<')
    assert html.count("<tr>") == 1 + len(result.rows)
    assert "centred removal" in html and "<bdi>removal" not in html  # by the names that people read
    splice = clvq.faithfulness(checkpoint, mode="splice", limit=8, device="cpu")
    table = splice.to_pandas().set_index("stand_in")
    for name, entry in splice.results.others.items():
        assert table.loc[name, "spliced_kl_low"] == entry.spliced.kl.low
        assert table.loc[name, "spliced_kl"] == entry.spliced.kl.value
    assert splice._repr_html_().count("<tr>") == 3
    probe = clvq.faithfulness(checkpoint, mode="probe", draws=1, device="cpu")
    table = probe.to_pandas()
    assert table["accuracy"].tolist() == [row.figures.accuracy.value for row in probe.results.table]
    assert table["drop_high"].tolist() == [row.drop.high for row in probe.results.table]
