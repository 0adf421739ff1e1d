"""The catalogue of concepts against naive loops over rows, sentences and codes."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import fisher_exact
from sklearn.metrics import adjusted_mutual_info_score

import clvq
from clvq.activations.store import ActivationStore
from clvq.artifacts import CODEBOOK
from clvq.concepts.examples import over_range
from clvq.concepts.label_tests import associate, first_classes
from clvq.concepts.map import directions, layout, neighbours
from clvq.concepts.words import count_words, rank_words
from clvq.language_model.rows import WORD
from clvq.storage import write_signed

pytestmark = pytest.mark.slow

SMALL = {"codebook_size": 16, "top_k": 3, "epochs": 2, "batch_sentences": 16, "decoder_layers": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def run(tiny_store: ActivationStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a checkpoint; shared, so tests that change it copy it."""
    run = tmp_path_factory.mktemp("concepts") / "run"
    shutil.copytree(tiny_store.path, run / "activations")
    clvq.train(run / "activations", path=run / "L1-L4", input_layer=1, output_layer=4, **SMALL)
    return run


@pytest.fixture(scope="module")
def made(run: Path) -> clvq.Codebook:
    return clvq.codebook(run / "L1-L4")


class Row:
    """A kept row as the naive loop sees it."""

    def __init__(self, sentence: int, stored: Any, place: int, z_e: torch.Tensor, model: Any) -> None:
        metric = model.quantizer.metric_map.double()
        gaps = z_e.double() - model.codebook.double()
        self.sentence, self.text, self.label, self.prediction = sentence, stored.text, stored.label, stored.prediction
        self.z_e, self.code = z_e, int((gaps @ metric).square().sum(dim=1).argmin())
        self.distance = float(gaps[self.code].square().sum())
        self.is_word = bool(stored.flags[place] & WORD)
        self.span = (stored.starts[place], stored.ends[place])
        self.word = stored.text[slice(*self.span)]


def naive_rows(checkpoint: clvq.Checkpoint, split: str = "train") -> list[Row | None]:
    """Every row of the split, None where it is a sink."""
    store, model = checkpoint.store(), checkpoint.load()
    layer = checkpoint.input_layer
    states = torch.cat([shard for _, shard in store.rows(split, layer).shards()])
    sinks = store.sinks(split, (layer, checkpoint.output_layer))
    rows: list[Row | None] = []
    for number, sentence in enumerate(store.sentences(split)):
        for place in range(len(sentence.flags)):
            at = len(rows)
            with torch.no_grad():
                z_e = model.encode(states[at].float())
            rows.append(None if sinks[at] else Row(number, sentence, place, z_e, model))
    return rows


@pytest.fixture(scope="module")
def rows(made: clvq.Codebook) -> list[Row]:
    found = naive_rows(made.checkpoint)
    assert all(row is not None for row in found)
    return [row for row in found if row is not None]


def test_every_row_has_its_nearest_code(made: clvq.Codebook, rows: list[Row]) -> None:
    assert made.assignments().tolist() == [row.code for row in rows]
    eval_rows = naive_rows(made.checkpoint, "eval")
    assert made.assignments("eval").tolist() == [-1 if row is None else row.code for row in eval_rows]


def test_concepts_equal_a_naive_loop(made: clvq.Codebook, rows: list[Row]) -> None:
    words = [row for row in rows if row.is_word]
    everywhere = Counter(row.word for row in words)
    z_e = torch.stack([row.z_e for row in words]).double()
    deviation = float((z_e - z_e.mean(0)).square().sum(1).mean())
    assert [concept.code for concept in made.concepts] == sorted({row.code for row in rows})
    for concept in made.concepts:
        own = [row for row in rows if row.code == concept.code]
        here = Counter(row.word for row in own if row.is_word)
        assert concept.words == sum(here.values())
        assert concept.sentence_rows == len(own) - concept.words
        assert concept.of_sentence_rows == (concept.sentence_rows > concept.words)
        assert concept.types == len(here)
        assert concept.sentences == len({row.text for row in own})
        assert concept.share == pytest.approx(concept.words / len(words), rel=1e-5)
        kind = [row for row in own if row.is_word != concept.of_sentence_rows]
        assert concept.spread == pytest.approx(np.mean([row.distance for row in kind]) / deviation, rel=1e-3)

        scores = {}
        for word, count in here.items():
            expected = concept.words * everywhere[word] / len(words)
            scores[word] = count / concept.words * math.log((count + 1) / (expected + 1))
        ranked = sorted(here, key=lambda word: (-scores[word], word))[:20]
        found = concept.top_words
        assert [scores[entry.word] for entry in found] == pytest.approx([scores[word] for word in ranked])
        for entry in found:
            assert entry.count == here[entry.word]
            assert entry.share == pytest.approx(entry.count / concept.words, rel=1e-5)
            assert entry.recall == pytest.approx(entry.count / everywhere[entry.word], rel=1e-5)


def test_examples_are_the_nearest_rows_of_distinct_texts(made: clvq.Codebook, rows: list[Row]) -> None:
    for concept in made.concepts:
        own = [row for row in rows if row.code == concept.code and row.is_word != concept.of_sentence_rows]
        nearest: dict[str, float] = {}
        for row in sorted(own, key=lambda row: row.distance):
            nearest.setdefault(row.text, row.distance)
        examples = concept.examples
        assert len({entry.text for entry in examples}) == len(examples)
        wanted = list(nearest.values())[:10]
        assert [entry.distance for entry in examples] == pytest.approx(wanted, rel=1e-3, abs=1e-3)
        for entry in examples:
            assert entry.word == entry.text[entry.start : entry.end]
            assert bool(entry.word) != concept.of_sentence_rows
            found = [row for row in own if row.sentence == entry.sentence and row.text == entry.text]
            assert any(row.span == (entry.start, entry.end) for row in found) or concept.of_sentence_rows
            assert (entry.label, entry.prediction) == (found[0].label, found[0].prediction)


def test_a_second_sample_goes_over_all_distances(made: clvq.Codebook, rows: list[Row]) -> None:
    several = 0
    for concept in made.concepts:
        own = [row for row in rows if row.code == concept.code and row.is_word != concept.of_sentence_rows]
        distances = sorted(row.distance for row in own)
        sample = concept.range_examples
        assert len({entry.text for entry in sample}) == len(sample)
        if len(distances) < 100 or len(sample) < 10:
            continue
        several += 1
        for number, entry in enumerate(sample):  # the first of a tenth more than the others where they do not divide
            band = np.array_split(distances, 10)[number]
            assert band[0] * 0.999 - 1e-3 <= entry.distance <= band[-1] * 1.001 + 1e-3
            assert entry.word == entry.text[entry.start : entry.end]
        assert [entry.text for entry in sample] != [entry.text for entry in concept.examples]
    assert several > 3


def test_a_band_gives_no_text_twice() -> None:
    rows = np.arange(100, 140)
    texts = np.array([0] * 8 + list(range(1, 33)))  # the first two bands hold one text
    drawn = over_range(3, rows, texts)
    assert len(drawn) == 9
    assert drawn == sorted(drawn)
    assert drawn == over_range(3, rows, texts) != over_range(4, rows, texts)
    assert over_range(3, rows[:2], np.array([5, 6])) == [100, 101]
    draws = {over_range(code, rows, np.arange(40))[-1] for code in range(50)}
    assert draws == {136, 137, 138, 139}  # any row of the farthest band


def test_a_catalogue_of_an_earlier_version_is_made_again(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run")) / "L1-L4"
    wanted = clvq.codebook(copy).concepts
    lines = [concept.as_json() for concept in wanted]
    for line in lines:
        del line["range_examples"]
    body = {**CODEBOOK.read(copy), "concepts_checksum": CODEBOOK.write_records(copy, lines)}
    write_signed(CODEBOOK.path(copy), CODEBOOK.format, 2, {**body, "format_version": 2})
    assert clvq.codebook(copy).concepts == wanted


@pytest.mark.parametrize("kind", ["labels", "predictions"])
def test_classes_are_tested_on_distinct_texts(made: clvq.Codebook, rows: list[Row], kind: str) -> None:
    of_text: dict[str, int] = {}
    for row in rows:
        of_text.setdefault(row.text, row.label if kind == "labels" else row.prediction)
    totals = Counter(of_text.values())
    assert getattr(made.summary, kind.removesuffix("s") + "_totals") == [totals[0], totals[1]]
    p_values = []
    for concept in made.concepts:
        here = Counter(of_text[text] for text in {row.text for row in rows if row.code == concept.code})
        tails = []
        for label in (0, 1):
            others = here[1 - label]
            table = [[here[label], others], [totals[label] - here[label], totals[1 - label] - others]]
            tails.append(float(fisher_exact(table, alternative="greater").pvalue))
        entry = getattr(concept, kind)
        assert entry.counts == [here[0], here[1]]
        assert entry.p == pytest.approx(min(2 * min(tails), 1.0), rel=1e-4)
        assert tails[entry.label] == pytest.approx(min(tails), rel=1e-4)
        assert entry.share == pytest.approx(here[entry.label] / sum(here.values()), rel=1e-4)
        overall = totals[entry.label] / len(of_text)
        assert entry.lift == pytest.approx(entry.share / overall, rel=1e-4)
        p_values.append(entry.p)
    # Benjamini-Hochberg by hand: of the i-th smallest p, the least p_j n / j over j from i on.
    order, least = np.argsort(p_values), 1.0
    for rank, place in reversed(list(enumerate(order, 1))):
        least = min(least, p_values[place] * len(p_values) / rank)
        assert getattr(made.concepts[place], kind).q == pytest.approx(least, rel=1e-3)


def test_figures_of_the_codebook(made: clvq.Codebook, rows: list[Row]) -> None:
    figures, words = made.figures, [row for row in rows if row.is_word]
    z_e = torch.stack([row.z_e for row in words]).double()
    codebook = made.checkpoint.load().codebook.double()
    chosen = torch.tensor([row.code for row in words])
    total = (z_e - z_e.mean(0)).square().sum()
    assert figures.quantization_r2 == pytest.approx(
        float(1 - (z_e - codebook[chosen]).square().sum() / total), rel=1e-4
    )
    usage = torch.bincount(chosen, minlength=16).double()
    shares = usage[usage > 0] / usage.sum()
    bits = -float((shares * shares.log2()).sum())
    assert figures.bits_per_word == pytest.approx(bits)
    assert figures.codebook_perplexity == pytest.approx(2**bits)
    active = sorted({row.code for row in rows})
    centre = usage @ codebook / usage.sum()
    for name, vectors in (("mean_cosine", codebook[active]), ("mean_centred_cosine", (codebook - centre)[active])):
        cosines = torch.nn.functional.cosine_similarity(vectors[:, None], vectors[None], dim=2)
        pairs = cosines[~torch.eye(len(active), dtype=torch.bool)]
        assert getattr(figures, name) == pytest.approx(float(pairs.mean()), abs=1e-6)
    assert figures.active_codes == len(active) == 16 - figures.dead_codes
    texts = {code: {row.text for row in rows if row.code == code} for code in active}
    assert figures.active_codes_5 == sum(len(found) >= 5 for found in texts.values())
    assert (figures.words, figures.sentence_rows) == (len(words), len(rows) - len(words))
    assert figures.sentences == len({row.sentence for row in rows})
    assert figures.distinct_sentences == len({row.text for row in rows}) < figures.sentences
    assert figures.word_types == len({row.word for row in words})
    for name, values in (
        ("ami_labels", [row.label for row in words]),
        ("ami_predictions", [row.prediction for row in words]),
        ("ami_words", [row.word for row in words]),
    ):
        naive = adjusted_mutual_info_score(values, chosen.numpy()) if len(set(values)) > 1 else None
        assert getattr(figures, name) == (None if naive is None else pytest.approx(naive, abs=1e-9))
    significant = [concept for concept in made.concepts if concept.labels.q <= 0.05]
    assert figures.label_concepts == len(significant)
    cosines = torch.nn.functional.cosine_similarity((codebook - centre)[:, None], (codebook - centre)[None], dim=2)
    for concept in made.concepts:
        others = [code for code in active if code != concept.code]
        best = sorted((float(cosines[concept.code, other]) for other in others), reverse=True)[:5]
        assert [entry.cosine for entry in concept.neighbours] == pytest.approx(best, abs=1e-5)
        for entry in concept.neighbours:
            assert entry.cosine == pytest.approx(float(cosines[concept.code, entry.code]), abs=1e-5)


def test_exact_tails_and_the_first_label_of_a_text() -> None:
    classes = first_classes(np.array([0, 1, 0, 2, 1]), np.array([-1, 1, 0, -1, 0]))
    assert classes.tolist() == [0, 1, -1]
    # Code 0 is on 20 texts, 17 of class 0; code 1 on a text without a class alone; code 2 nowhere; code 3 everywhere.
    classes = np.array([0] * 17 + [1] * 3 + [0] * 13 + [1] * 67 + [-1])
    found = associate(np.array([0] * 20 + [3] * 100 + [1]), np.r_[0:20, 0:100, 100], classes, 4, 2)
    assert found.totals.tolist() == [30, 70]
    ways = sum(math.comb(30, k) * math.comb(70, 20 - k) for k in range(17, 21))
    assert found.p[0] == pytest.approx(2 * ways / math.comb(100, 20), rel=1e-9)
    assert (found.classes[0], found.shares[0], found.lifts[0]) == (0, 0.85, pytest.approx(0.85 / 0.3))
    assert (found.p[1], found.q[1], found.p[2], found.q[2]) == (1, 1, 1, 1)
    assert found.q[0] == pytest.approx(2 * found.p[0])  # two codes are tested


def test_words_that_are_typical_and_distinctive_lead() -> None:
    vocabulary = ["the", "awful", "misspeling", "dull"]
    # Code 0: 60 "the", 30 "awful", 5 "dull", 1 "misspeling"; code 1: 600 "the", 25 "dull".
    codes = np.array([0] * 96 + [1] * 625)
    types = np.array([0] * 60 + [1] * 30 + [3] * 5 + [2] + [0] * 600 + [3] * 25)
    ranked = rank_words(count_words(codes, types, 3, 4), vocabulary, 3)
    # Without smoothing the misspelling's one occurrence, 7.5 times what is expected, comes before five of "dull".
    assert [vocabulary[place] for place in ranked[0].types] == ["awful", "dull", "misspeling"]
    assert ranked[0].counts.tolist() == [30, 5, 1]
    assert ranked[0].recalls.tolist() == pytest.approx([1.0, 5 / 30, 1.0])
    assert len(ranked[2].types) == 0


@pytest.mark.parametrize("count", [1, 2, 3, 7, 40])
def test_a_map_of_any_number_of_codes_is_always_the_same(count: int) -> None:
    units = directions(np.random.default_rng(0).normal(size=(count, 8)))
    places = layout(units)
    assert places.shape == (count, 2)
    assert np.isfinite(places).all()
    assert np.abs(places).max() <= 1 + 1e-9
    assert np.array_equal(places, layout(units))


@pytest.mark.parametrize("laid_out", [45, 20])
def test_near_codes_are_near_on_the_map(laid_out: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All codes are laid out, or some of them, with the others placed among their neighbours."""
    monkeypatch.setattr("clvq.concepts.map.LAID_OUT", laid_out)
    centres = np.repeat(np.eye(8)[:3], 15, axis=0)
    places = layout(directions(centres + 0.1 * np.random.default_rng(0).normal(size=centres.shape)))
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (distances.argmin(axis=1) // 15 == np.arange(45) // 15).mean() > 0.95


def test_a_map_of_many_codes_is_the_same_again_and_keeps_neighbours() -> None:
    random = np.random.default_rng(0)
    units = directions(random.normal(size=(850, 12)) + 3 * np.eye(12)[random.integers(12, size=850)])
    places = layout(units)
    assert np.array_equal(places, layout(units))
    cosines, distances = units @ units.T, np.linalg.norm(places[:, None] - places[None], axis=2)
    nearest = np.argsort(-cosines, axis=1)[:, 1:11]
    on_map = np.argsort(distances, axis=1)[:, 1:11]
    kept = np.mean([len(set(one) & set(other)) / 10 for one, other in zip(nearest, on_map, strict=True)])
    assert kept > 0.3


def test_neighbours_are_those_of_all_cosines_also_where_some_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clvq.concepts.map.ROWS_AT_ONCE", 7)
    corners = np.random.default_rng(0).choice([-1.0, 1.0], size=(40, 4)) / 2  # cosines are -1, -0.5, 0, 0.5 or 1
    cosines = corners @ corners.T
    for most in (0, 1, 5, 100):
        expected = [
            [(other, cosines[code, other]) for other in np.argsort(-cosines[code], kind="stable") if other != code][
                :most
            ]
            for code in range(40)
        ]
        assert neighbours(corners, most) == expected


def test_sinks_have_no_code_and_no_labels_no_figures(model_folder: Any, tmp_path: Path) -> None:
    corpus = tmp_path / "plain.txt"
    corpus.write_text("\n".join(f"The film number {number} wasn't very good" for number in range(40)))
    clvq.extract(tmp_path / "activations", model=str(model_folder("gpt2")), dataset=str(corpus), layers=(1, 2))
    settings = {**SMALL, "codebook_size": 6, "epochs": 1}
    checkpoint = clvq.train(
        tmp_path / "activations", path=tmp_path / "L1-L2", input_layer=1, output_layer=2, **settings
    )
    made = clvq.codebook(checkpoint)
    sinks = checkpoint.store().sinks("train", (1, 2))
    assert sinks.any()
    assert np.array_equal(made.assignments() == -1, sinks)
    found = naive_rows(checkpoint)
    assert [-1 if row is None else row.code for row in found] == made.assignments().tolist()
    figures = made.figures
    assert (figures.ami_labels, figures.label_concepts, made.summary.label_totals) == (None, None, None)
    assert figures.words == sum(row is not None and row.is_word for row in found)
    assert all(concept.labels is None for concept in made.concepts)
    assert all(not concept.of_sentence_rows for concept in made.concepts)  # a decoder's last word is a word


def test_it_is_read_where_it_is_up_to_date_and_made_again_where_it_is_not(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    first = clvq.codebook(copy / "L1-L4")
    stamps = {file.name: file.stat().st_mtime_ns for file in (copy / "L1-L4").iterdir()}
    again = clvq.codebook(clvq.read_checkpoint(copy / "L1-L4"))
    assert (again.summary, again.concepts) == (first.summary, first.concepts)
    assert {file.name: file.stat().st_mtime_ns for file in (copy / "L1-L4").iterdir()} == stamps
    assert clvq.codebook(copy / "L1-L4", overwrite=True).concepts == first.concepts
    clvq.train(
        copy / "activations", path=copy / "L1-L4", input_layer=1, output_layer=4, **SMALL, seed=3, overwrite=True
    )
    other = clvq.codebook(copy / "L1-L4")
    assert other.summary.checkpoint == other.checkpoint.fingerprint != first.summary.checkpoint
    assert other.concepts != first.concepts


def test_a_code_that_is_not_there(made: clvq.Codebook) -> None:
    assert made.concept(made.concepts[0].code) == made.concepts[0]
    for code in (-1, 16):
        with pytest.raises(clvq.ClvqError, match="its codes are 0 to 15"):
            made.concept(code)
