"""Two codebooks: a copy with its codes permuted says the same; others against loops over words and all matchings."""

from __future__ import annotations

import itertools
import math
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from permuted_codes import permuted
from sklearn.metrics import adjusted_mutual_info_score

import clvq
from clvq.activations.store import ActivationStore
from clvq.concepts.pairs import against, flow
from clvq.language_model.rows import WORD

pytestmark = pytest.mark.slow

SMALL = {"top_k": 2, "epochs": 1, "batch_sentences": 16, "decoder_layers": 1, "device": "cpu"}


@pytest.fixture(scope="module")
def run(tiny_store: ActivationStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of two seeds and sizes between layers 1 and 4, and one between 2 and 4."""
    run = tmp_path_factory.mktemp("pairs") / "run"
    shutil.copytree(tiny_store.path, run / "activations")
    for name, layer, size, seed in (("first", 1, 6, 0), ("second", 1, 5, 1), ("upper", 2, 7, 0)):
        layers = {"input_layer": layer, "output_layer": 4}
        clvq.train(run / "activations", path=run / name, **layers, codebook_size=size, seed=seed, **SMALL)
    permuted(run / "first", run / "permuted")
    return run


def shared(this: clvq.Codebook, other: clvq.Codebook) -> list[tuple[int, int]]:
    """Codes of every word in the one and in the other."""
    flags = this.checkpoint.store().flags("train")
    rows = zip(flags, this.assignments(), other.assignments(), strict=True)
    return [(int(a), int(b)) for flag, a, b in rows if flag & WORD and a >= 0 and b >= 0]


def test_a_permuted_copy_says_the_same(run: Path) -> None:
    this, other = clvq.codebook(run / "first"), clvq.codebook(run / "permuted")
    assert [c.code for c in this.concepts] != [pair.other for pair in against(this, other).pairs]
    found = against(this, other)
    for name in ("shared_words", "mean_jaccard", "adjusted_mutual_information", "mean_cosine"):
        assert getattr(found, name) == pytest.approx(1.0, abs=1e-9), name
    matches = {pair.code: pair.other for pair in found.pairs}
    assert {pair.code: pair.other for pair in found.by_cosine} == matches
    assert all(other.concept(match).top_words == this.concept(code).top_words for code, match in matches.items())
    arrows = flow(this, other)
    assert arrows.conditional_entropy == 0
    assert arrows.entropy == pytest.approx(other.figures.bits_per_word)
    assert {arrow.code: arrow.other for arrow in arrows.arrows} == matches


def test_two_seeds_against_every_matching(run: Path) -> None:
    this, other = clvq.codebook(run / "first"), clvq.codebook(run / "second")
    words = shared(this, other)
    met, of_this, of_other = Counter(words), Counter(a for a, _ in words), Counter(b for _, b in words)
    assert len(of_other) <= len(of_this)
    best = max(
        sum(met[pair] for pair in zip(chosen, sorted(of_other), strict=True))
        for chosen in itertools.permutations(sorted(of_this), len(of_other))
    )
    found = against(this, other)
    assert found.words == len(words)
    assert found.shared_words == pytest.approx(best / len(words))
    assert len(found.pairs) == len(of_other)
    for pair in found.pairs:
        both = met[pair.code, pair.other]
        either = of_this[pair.code] + of_other[pair.other] - both
        assert (pair.shared, pair.jaccard) == (both, pytest.approx(both / either))
    assert found.mean_jaccard == pytest.approx(np.mean([pair.jaccard for pair in found.pairs]))
    ami = adjusted_mutual_info_score([a for a, _ in words], [b for _, b in words])
    assert found.adjusted_mutual_information == pytest.approx(ami)
    assert 0 < found.shared_words < 1

    units = []
    for codebook, usage in ((this, of_this), (other, of_other)):
        codes = codebook.checkpoint.load().codebook.double()
        weights = torch.tensor([usage[code] for code in range(len(codes))]).double()
        units.append(torch.nn.functional.normalize(codes - weights @ codes / weights.sum(), dim=1))
    cosines = units[0] @ units[1].T
    best = max(
        sum(float(cosines[pair]) for pair in zip(chosen, sorted(of_other), strict=True))
        for chosen in itertools.permutations(sorted(of_this), len(of_other))
    )
    assert found.mean_cosine == pytest.approx(best / len(of_other))


def test_the_flow_of_one_layer_pair_into_another(run: Path) -> None:
    this, other = clvq.codebook(run / "first"), clvq.codebook(run / "upper")
    words = shared(this, other)
    met, of_this, of_other = Counter(words), Counter(a for a, _ in words), Counter(b for _, b in words)
    total = len(words)
    found = flow(this, other)
    assert found.entropy == pytest.approx(-sum(n / total * math.log2(n / total) for n in of_other.values()))
    left = -sum(n / total * math.log2(n / of_this[a]) for (a, _), n in met.items())
    assert found.conditional_entropy == pytest.approx(left)
    assert sum(arrow.bits for arrow in found.arrows) == pytest.approx(found.entropy - left)
    bits = [arrow.bits for arrow in found.arrows]
    assert bits == sorted(bits, reverse=True)
    for arrow in found.arrows:
        a, b = arrow.code, arrow.other
        assert arrow.words == met[a, b]
        assert arrow.share == pytest.approx(met[a, b] / of_this[a])
        assert arrow.other_share == pytest.approx(met[a, b] / of_other[b])
        assert arrow.lift == pytest.approx(met[a, b] * total / of_this[a] / of_other[b])
    assert against(this, other).mean_cosine is None  # codes of other layers live in other spaces


def test_other_words_are_refused(run: Path, tmp_path: Path, model_folder: object) -> None:
    corpus = tmp_path / "other.txt"
    corpus.write_text("\n".join(f"A director looked rather lifeless {number}" for number in range(30)))
    model = clvq.codebook(run / "first").checkpoint.store().settings.model
    clvq.extract(tmp_path / "activations", model=model, dataset=str(corpus), layers=(1, 4), device="cpu")
    clvq.train(
        tmp_path / "activations", path=tmp_path / "first", input_layer=1, output_layer=4, codebook_size=4, **SMALL
    )
    for compare in (against, flow):
        with pytest.raises(clvq.MismatchError, match=r"on other rows \(dataset .*other\.txt.* sentences\)"):
            compare(clvq.codebook(run / "first"), clvq.codebook(tmp_path / "first"))
