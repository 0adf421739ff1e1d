"""Ground truth on the demo: codes of the model's states are nearer to the true effects than random ones."""

from __future__ import annotations

import pytest

import clvq
from clvq.interventions.bench_records import BenchResults

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> BenchResults:
    run = tmp_path_factory.mktemp("demo")
    clvq.extract(run / "activations", layers=(1, 8), max_sentences=1600)
    for method in ("kmeans", "random"):
        clvq.train(
            run / "activations", path=run / method, input_layer=1, output_layer=8, epochs=1, codebook_size=200,
            decoder_layers=1, feed_forward=128, method=method,
        )  # fmt: skip
    return clvq.bench([run / "kmeans", run / "random"]).results


def value(results: BenchResults, method: str, measure: str, part: str = "all", k: int | None = None) -> float:
    row = results.row(method, measure, part, k)
    assert row is not None and row.figure is not None, (method, measure, part, k)
    return row.figure.value


def test_all_pairs_are_read_and_the_oracle_is_right(results: BenchResults) -> None:
    assert (results.pairs, results.left_out, results.lacking) == (900, 0, [])
    assert value(results, "oracle", "error") == 0
    # A polarity turns the verdict where it is the main one; another aspect or domain does not.
    nothing = {part: value(results, "no change", "error", part) for part in ("polarity", "aspect", "domain")}
    assert nothing["polarity"] > 0.8
    assert max(nothing["aspect"], nothing["domain"]) < 0.1


def test_random_codes_are_at_the_bottom(results: BenchResults) -> None:
    errors = [value(results, method, "error", "polarity") for method in ("kmeans", "random", "no change")]
    assert errors[0] < errors[1] - 0.05
    assert errors[1] < errors[2]
    (line,) = [line for line in results.differences if line.part == "polarity"]
    assert line.difference.high < 0
    for measure in ("tpp", "scr"):
        assert value(results, "kmeans", measure, k=20) > value(results, "random", measure, k=20)
        assert value(results, "random", measure, k=20) == pytest.approx(0, abs=0.03)
    assert value(results, "kmeans", "probing", k=5) > value(results, "random", "probing", k=5)
    assert value(results, "states", "probing") > value(results, "kmeans", "probing", k=5)
