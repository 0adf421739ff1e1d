"""Initial codebooks against scikit-learn and against what they promise."""

from __future__ import annotations

import pytest
import torch
from sklearn.cluster import KMeans, kmeans_plusplus
from torch.nn import functional

from clvq.errors import ClvqError
from clvq.models.codebook_init import initial_codebook, k_means
from clvq.models.distances import nearest
from clvq.progress import Progress

pytestmark = pytest.mark.slow


def clustered(count: int = 1500, width: int = 8, centres: int = 20, deviation: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    middles = 2.0 * torch.randn(centres, width, generator=generator)
    which = torch.randint(centres, (count,), generator=generator)
    return middles[which] + deviation * torch.randn(count, width, generator=generator)


def inertia(rows: torch.Tensor, codes: torch.Tensor) -> float:
    return float((rows - codes[nearest(rows, codes)]).square().sum())


@pytest.mark.parametrize("spherical", [False, True])
def test_inertia_is_that_of_scikit_learn(spherical: bool) -> None:
    rows = clustered()
    if spherical:
        rows = functional.normalize(rows, dim=1)
    ours = [inertia(rows, k_means(rows, 30, torch.Generator().manual_seed(seed), spherical)) for seed in range(5)]
    theirs = [KMeans(30, n_init=1, random_state=seed).fit(rows.numpy()).inertia_ for seed in range(5)]
    assert min(ours) < 1.05 * min(theirs)
    assert sum(ours) < 1.1 * sum(theirs)


def test_spherical_codes_have_their_members_direction_and_mean_norm() -> None:
    rows = clustered()
    codes = initial_codebook(rows.clone(), 30, "spherical", torch.Generator().manual_seed(0))
    unit, directions = functional.normalize(rows, dim=1), functional.normalize(codes, dim=1)
    members = (unit @ directions.T).argmax(dim=1)
    for code in members.unique().tolist():
        own = rows[members == code]
        assert float(codes[code].norm()) == pytest.approx(float(own.norm(dim=1).mean()), rel=1e-3)
        middle = functional.normalize(functional.normalize(own, dim=1).mean(dim=0), dim=0)
        assert float(middle @ directions[code]) > 0.999


def test_random_codes_are_distinct_rows() -> None:
    rows = clustered(100)
    codes = initial_codebook(rows, 40, "random", torch.Generator().manual_seed(0))
    places = torch.cdist(codes, rows).argmin(dim=1)
    assert torch.equal(rows[places], codes)
    assert len(places.unique()) == 40


def test_the_seed_decides_and_equal_rows_do_no_harm() -> None:
    rows = clustered(300)
    first, again, other = (k_means(rows, 10, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.isfinite(k_means(torch.ones(50, 4), 5, torch.Generator().manual_seed(0))).all()


def test_more_codes_than_rows_are_refused() -> None:
    with pytest.raises(ClvqError, match="smaller --codebook-size"):
        initial_codebook(torch.randn(9, 3), 10, "spherical", torch.Generator())


def test_seeds_of_many_clusters_are_nearly_as_good_as_those_that_are_drawn_one_by_one() -> None:
    """Above 1,024 clusters seeds are drawn in rounds. The rows are the hardest ones: nearly as many tight groups as
    clusters, so that two seeds in one group cost much."""
    rows = clustered(9000, centres=1400, deviation=0.1)
    ours = [k_means(rows, 1500, torch.Generator().manual_seed(seed)) for seed in range(3)]
    assert all(len(codes.unique(dim=0)) == 1500 for codes in ours)
    one_by_one = []
    for seed in range(3):
        seeds, _ = kmeans_plusplus(rows.numpy(), 1500, n_local_trials=1, random_state=seed)
        one_by_one.append(KMeans(1500, init=seeds, n_init=1, max_iter=25).fit(rows.numpy()).inertia_)
    at_random = KMeans(1500, init="random", n_init=1, random_state=0, max_iter=25).fit(rows.numpy()).inertia_
    mean = sum(inertia(rows, codes) for codes in ours) / 3
    assert mean < 1.2 * sum(one_by_one) / 3
    assert mean < 0.3 * at_random
    assert torch.isfinite(k_means(torch.ones(3000, 4), 1200, torch.Generator().manual_seed(0))).all()


def test_the_steps_are_reported_as_they_are_done() -> None:
    rows, reports = torch.randn(500, 8, generator=torch.Generator().manual_seed(0)), list[Progress]()
    told = k_means(rows, 20, torch.Generator().manual_seed(0), progress=reports.append)
    assert torch.equal(told, k_means(rows, 20, torch.Generator().manual_seed(0)))
    assert [report.done for report in reports[:-1]] == list(range(len(reports) - 1))
    assert len(reports) > 3
    assert reports[-1].done == reports[-1].total
    assert {(report.stage, report.unit) for report in reports} == {("k-means", "steps")}
