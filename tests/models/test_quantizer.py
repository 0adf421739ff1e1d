"""The quantizer against vector-quantize-pytorch (greedy) and a naive loop (sampling)."""

from __future__ import annotations

import math

import pytest
import torch
from vector_quantize_pytorch import VectorQuantize

from clvq.models.quantizer import VectorQuantizer

K, D, N = 12, 6, 400


def make(**settings: object) -> VectorQuantizer:
    torch.manual_seed(0)
    quantizer = VectorQuantizer(K, D, **settings)  # type: ignore[arg-type]
    quantizer.set_codebook(torch.randn(K, D))
    return quantizer


def test_greedy_ema_equals_vector_quantize_pytorch() -> None:
    quantizer = make(top_k=1, ema_decay=0.9)
    module = VectorQuantize(dim=D, codebook_size=K, decay=0.9, eps=1e-5, threshold_ema_dead_code=0)
    theirs = dict(module.named_buffers())
    theirs["_codebook.embed"].copy_(quantizer.codebook)
    theirs["_codebook.embed_avg"].copy_(quantizer.codebook)
    theirs["_codebook.cluster_size"].fill_(1.0)
    quantizer.train()
    module.train()
    for step in range(20):
        z_e = torch.randn(N, D, generator=torch.Generator().manual_seed(step))
        _, their_indices, _ = module(z_e[None])
        quantized = quantizer(z_e)
        assert torch.equal(quantized.indices, their_indices[0])
        assert torch.bincount(quantized.indices, minlength=K).min() > 0, "the comparison needs every code in use"
        quantizer.update(z_e, quantized.indices)
        torch.testing.assert_close(quantizer.codebook, theirs["_codebook.embed"][0])
        torch.testing.assert_close(quantizer.ema_count, theirs["_codebook.cluster_size"][0])
        torch.testing.assert_close(quantizer.ema_sum, theirs["_codebook.embed_avg"][0])


def test_an_unused_code_keeps_its_place() -> None:
    quantizer = make(ema_decay=0.5)
    before = quantizer.codebook.clone()
    for _ in range(60):
        quantizer.update(torch.ones(8, D), torch.zeros(8, dtype=torch.int64))
    assert torch.equal(quantizer.codebook[1:], before[1:])
    torch.testing.assert_close(quantizer.codebook[0], torch.ones(D), atol=1e-3, rtol=0)


@pytest.mark.parametrize(("unit", "temperature"), [("gap", 1.0), ("gap", 0.3), ("raw", 1.0)])
def test_the_draw_follows_the_naive_distribution(unit: str, temperature: float) -> None:
    quantizer = make(top_k=4, temperature=temperature, temperature_unit=unit)
    rows = torch.randn(3, D)
    quantizer.train()
    draws = 30_000
    counts = torch.zeros(3, K)
    quantizer.draw(rows)  # sets the running mean gap, which equal rows then leave in place
    for number in range(3):
        indices = quantizer.draw(rows.repeat(draws, 1))[number::3]
        counts[number] = torch.bincount(indices, minlength=K)
    gaps, nearest = [], []
    for row in rows:
        found = sorted((float(((row - code) ** 2).sum()), i) for i, code in enumerate(quantizer.codebook))[:4]
        gaps.append((found[3][0] - found[0][0]) / 3)
        nearest.append(found)
    scale = temperature * (sum(gaps) / len(gaps) if unit == "gap" else 1.0)
    for number, found in enumerate(nearest):
        weights = [math.exp(-(distance - found[0][0]) / scale) for distance, _ in found]
        expected = torch.zeros(K)
        for (_, index), weight in zip(found, weights, strict=True):
            expected[index] = weight / sum(weights)
        torch.testing.assert_close(counts[number] / draws, expected, atol=0.015, rtol=0)


def test_outside_training_the_nearest_code_is_taken() -> None:
    quantizer = make(top_k=5).eval()
    rows = torch.randn(50, D)
    naive = [min(range(K), key=lambda i: float((row - quantizer.codebook[i]).square().sum())) for row in rows]
    assert quantizer(rows).indices.tolist() == naive
    assert torch.equal(quantizer(rows).codes, quantizer.codebook[naive])
    assert quantizer.assign(torch.zeros(0, D)).shape == (0,)


def test_a_revived_code_has_its_sums_reset() -> None:
    quantizer = make()
    rows = torch.cat([quantizer.codebook[0].repeat(50, 1), torch.full((1, D), 9.0)])
    indices = torch.zeros(51, dtype=torch.int64)
    for _ in range(3):
        quantizer.update(rows, indices)
    assert quantizer.revive(rows, indices, after=4) == 0
    moved = quantizer.revive(rows, indices, after=3)
    assert moved > 0
    dead = [i for i in range(1, K) if any(torch.equal(quantizer.codebook[i], row) for row in rows)]
    assert len(dead) == moved
    for index in dead:
        assert float(quantizer.ema_count[index]) == 1.0
        assert torch.equal(quantizer.ema_sum[index], quantizer.codebook[index])
    assert int(quantizer.batches_unused[dead].max()) == 0


def test_the_gradient_of_a_code_goes_to_z_e() -> None:
    from clvq.models.losses import commitment_loss, straight_through

    quantizer = make()
    z_e = torch.randn(20, D, requires_grad=True)
    codes = quantizer(z_e).codes
    z_q = straight_through(z_e, codes)
    torch.testing.assert_close(z_q, codes)
    (z_q * 3).sum().backward()
    torch.testing.assert_close(z_e.grad, torch.full((20, D), 3.0))
    z_e.grad = None
    commitment_loss(z_e, codes).backward()
    torch.testing.assert_close(z_e.grad, 2 * (z_e.detach() - codes) / codes.numel())


@pytest.mark.parametrize(("codes", "count"), [(2048, 5), (2059, 7), (5001, 1), (2050, 200), (2048, 2048)])
def test_the_nearest_of_many_codes_are_those_of_a_sorted_row(codes: int, count: int) -> None:
    quantizer = VectorQuantizer(codes, D, top_k=count).double()
    generator = torch.Generator().manual_seed(0)
    quantizer.set_codebook(torch.randn(codes, D, generator=generator, dtype=torch.float64))
    rows = torch.randn(40, D, generator=generator, dtype=torch.float64)
    rows[0] = quantizer.codebook[-1]  # in the columns that fill no group
    found = quantizer.candidates(rows)
    distances = torch.cdist(rows, quantizer.codebook).square()
    assert torch.equal(found.indices, distances.argsort(dim=1)[:, :count])
    less_own = found.distances + rows.square().sum(dim=1, keepdim=True)
    torch.testing.assert_close(less_own, distances.sort(dim=1).values[:, :count])
