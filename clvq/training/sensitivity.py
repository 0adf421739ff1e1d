"""The sensitivity of a language model's answer to a small step of a word's state, and the metric made from it.

For a sentence with logits `l` and probabilities `p`, and a word of it whose state at the input layer is `x`:

    G = E[ sum_(a<b) w_ab (g_a - g_b)(g_a - g_b)' ],   g_a = d l_a / dx,   w_ab = p_a p_b / sum_(c<d) p_c p_d

`sum_(a<b) p_a p_b (g_a - g_b)(g_a - g_b)'` is the Fisher information `J'(diag p - p p')J`, the second-order term of the
KL divergence after a step. It is divided by the sum of its weights, so that it does not fade where the model is sure of
its answer. For two classes `G` is `E[g g']`, where `g` is the gradient of the difference of the two logits. No label is
used.

One backward pass a sentence is enough. With `J = dl / dx`, let `R R'` `[C, C]` be the matrix with `G = E[J' R R' J]`.
With random signs `s`, the expectation of `g g'` for `g = J' R s` is `J' R R' J` (Hutchinson 1990).

The metric of rows is `|x - mu|^2 / s^2 + weight (x - mu) G (x - mu)' / t^2`, where `s` and `t` give each part a mean of
1 over the training rows. The metric is stored as a symmetric matrix `M`, such that `|(x - mu) M|^2` is the metric up to
a factor. This factor keeps the mean squared norm of the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
import xxhash
from torch import Tensor

from clvq import artifacts
from clvq.activations.new_text import tokenize
from clvq.activations.source import source_model
from clvq.activations.store import ActivationStore
from clvq.config import SENSITIVITY_WEIGHTS
from clvq.device import Processes, Runtime
from clvq.errors import ClvqError, UnwritableError
from clvq.language_model.batch_rows import BatchRows
from clvq.language_model.inputs import Inputs
from clvq.language_model.model import LanguageModel
from clvq.language_model.rows import WORD
from clvq.language_model.tokenization import TokenizedSentence
from clvq.language_model.upper_layers import UpperLayers
from clvq.progress import Progress, Report, silent
from clvq.storage import locked
from clvq.training.job import Job
from clvq.training.rows import PairRows, split_by_text

SENTENCES = 1200
"""Largest number of training sentences for which gradients are computed."""
ANSWERS = 16
"""Where a model can give more answers than this (a next token), only the likeliest ones of each sentence count."""
WAIT_SECONDS = 60.0
"""How long a training waits for another of the same store to write what it estimated."""
_VERSION = "2"
"""Version of how the matrix is estimated."""
_SEED = 0


def with_metric(job: Job, store: ActivationStore, runtime: Runtime, processes: Processes) -> Job:
    """Return the job with the map of its metric, also in its identity. The leader estimates the sensitivity.

    A model that predicts nothing adds no sensitivity to the states' own distance.
    """
    layer, metric = job.config.input_layer, job.config.metric_of_codes
    if metric == "mixed" and store.target is None:
        made = store.provenance.model
        why = f"no predictions of {made.id} ({made.no_head_reason})"
        note = f"The activations hold {why}, so codes are compared by the Euclidean distance."
        job.progress(Progress("train", note=note))
        return job
    matrix = processes.told(sensitivity(store, layer, runtime, job.progress) if processes.is_leader else torch.empty(0))
    digest = xxhash.xxh3_128_hexdigest(matrix.numpy().tobytes())
    weighted = metric_map(matrix, job.rows.training, SENSITIVITY_WEIGHTS[metric])
    return replace(job, metric_map=weighted, identity=[*job.identity, digest])


def sensitivity(store: ActivationStore, layer: int, runtime: Runtime, progress: Report = silent) -> Tensor:
    """Return `G` `[D, D]` float64 of the words at a stored layer; see `sensitivities`.

    matrix = sensitivity(ActivationStore("run/activations"), 4, Runtime())
    """
    return sensitivities(store, (layer,), runtime, progress)[layer]


def sensitivities(
    store: ActivationStore, layers: Iterable[int], runtime: Runtime, progress: Report = silent
) -> dict[int, Tensor]:
    """Return `G` `[D, D]` float64 of the words at each of some stored layers. The model is loaded at most once.

    Each is read from a file beside the activations, or estimated and stored there, where that folder can be written to.
    ClvqError where the model predicts nothing, is not found, or does not react to its words at all; MismatchError where
    it is another model; ArtifactError where a stored matrix is damaged.
    """
    model: LanguageModel | None = None
    found = {}
    for layer in layers:
        artifact = artifacts.sensitivity(layer)
        made_of = {
            "version": _VERSION,
            "rows": store.fingerprint,
            "states": store.layer(layer).fingerprint,
            "model": store.provenance.model.fingerprint,
        }
        stored = artifact.read(store.path, made_of)
        if stored is None:
            model = model or _source_model(store, runtime, progress)
            stored = {"sensitivity": _estimated(store, UpperLayers(model, layer), runtime.batch_tokens, progress)}
            try:
                with locked(store.path, WAIT_SECONDS):
                    artifact.write(store.path, stored, made_of)
            except UnwritableError:
                note = (
                    f"{store.path} cannot be written to, so the next training from layer {layer} runs the model again."
                )
                progress(Progress("sensitivity", note=note))
        found[layer] = stored["sensitivity"]
    return found


def _source_model(store: ActivationStore, runtime: Runtime, progress: Report) -> LanguageModel:
    try:
        return source_model(store, runtime, progress, by=store.path)
    except ClvqError as error:
        advice = (
            "Its sensitivity decides which codes are near; the Euclidean metric (--metric euclidean) needs no model."
        )
        raise type(error)(f"{error} {advice}") from error


def metric_map(matrix: Tensor, rows: PairRows, weight: float) -> Tensor:
    """Return `M` `[D, D]`, symmetric and invertible: distances of scaled rows in the metric are those of `rows @ M`.

    `matrix` `[D, D]` is the sensitivity in any unit. `rows` are the training rows, over which the two parts of the
    metric are balanced before the sensitivity counts `weight` times.
    """
    matrix = matrix.to(rows.device)
    total = torch.zeros(len(matrix), dtype=torch.float64, device=rows.device)
    squares = torch.zeros_like(matrix)
    for indices in rows.batches(256):
        inputs = rows.read(indices).inputs
        total += inputs.sum(dim=0, dtype=torch.float64)
        squares += (inputs.T @ inputs).double()
    mean = total / rows.row_count
    covariance = squares / rows.row_count - torch.outer(mean, mean)
    variance, reaction = covariance.trace(), (covariance * matrix).sum()
    unit = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    return symmetric_root((unit + weight * variance / reaction * matrix) / (1 + weight)).float()


def symmetric_root(square: Tensor) -> Tensor:
    """Return the symmetric root of a positive semidefinite matrix: `root @ root = square`."""
    values, vectors = torch.linalg.eigh(square)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T


def _estimated(store: ActivationStore, upper: UpperLayers, batch_tokens: int, progress: Report) -> Tensor:
    """Estimate `G` over the words of a sample of training sentences, without attention sinks."""
    sentences = tokenize(upper.model, store, _sample(store))
    sentences = [sentence for sentence in sentences if sentence.words]
    width = upper.model.width(upper.layer)
    total, words, done = torch.zeros(width, width, dtype=torch.float64), 0, 0
    # Where a target asks several questions about a sentence, one of them is drawn. All draws are made beforehand, so
    # that they do not depend on the batches.
    generator = np.random.default_rng(_SEED)
    parts = [int(generator.choice(upper.target.parts(sentence))) for sentence in sentences]
    signs = torch.from_numpy(generator.choice([-1.0, 1.0], (len(sentences), ANSWERS - 1)))
    for batch in upper.model.batches(sentences, batch_tokens):
        asked = [parts[index] for index in batch]
        gradients = _word_gradients(store, upper, [sentences[index] for index in batch], asked, signs[batch]).double()
        words += len(gradients)
        total += (gradients.T @ gradients).cpu()
        done += len(batch)
        progress(Progress("sensitivity", done, len(sentences), "sentences"))
    if not total.trace() > 0:
        raise ClvqError(
            f"The answers of {upper.model.model_id} do not change with words at layer {upper.layer}, so there is "
            "no sensitivity to measure distances by. Use --metric euclidean, or another --input-layer."
        )
    return total / words


def _sample(store: ActivationStore) -> list[str]:
    """Return the texts of at most SENTENCES of the distinct sentences that training sees, the same every time."""
    training, _ = split_by_text(store, "train")
    drawn = np.random.default_rng(_SEED).permutation(training)[:SENTENCES]
    wanted = set(drawn.tolist())
    return [row.text for number, row in enumerate(store.sentences("train")) if number in wanted]


def _word_gradients(
    store: ActivationStore,
    upper: UpperLayers,
    sentences: Sequence[TokenizedSentence],
    parts: Sequence[int],
    signs: Tensor,
) -> Tensor:
    """Return gradients `[N, D]` for the N words of a batch. `G` is the mean of their outer products.

    `signs` `[B, ANSWERS - 1]` are the random signs of each sentence.
    """
    inputs = upper.inputs(sentences, parts)
    states = upper.states(inputs).requires_grad_()
    answers = scores(upper, states, inputs)
    rows = BatchRows.of(sentences, store.settings.pooling, states.device)
    stored = store.as_stored({upper.layer: rows.gather(states.detach())})
    words = ((rows.flags & WORD) != 0) & ~store.sinks_among(rows.flags, stored)
    factors = pair_factors(answers.detach())  # [B, C, R]
    drawn = (factors * signs[:, None, : factors.shape[2]].to(factors)).sum(dim=2)
    (gradients,) = torch.autograd.grad((answers * drawn).sum(), states)
    return rows.gather_gradients(gradients)[torch.from_numpy(words).to(states.device)]


def scores(upper: UpperLayers, states: Tensor, inputs: Inputs) -> Tensor:
    """Return the logits `[B, C]` of the ANSWERS likeliest answers, differentiable in the `states` `[B, T, D]`."""
    logits = upper.scores(states, inputs)
    return logits.topk(min(ANSWERS, logits.shape[1]), dim=1).values


def pair_factors(logits: Tensor) -> Tensor:
    """Return factors R `[B, C, C - 1]` of logits `[B, C]`: `R R' = sum_(a<b) w_ab (e_a - e_b)(e_a - e_b)'`, float32.

    For a single logit, R is 1, `[B, 1, 1]`. The weights of pairs are computed from log probabilities, so that they stay
    exact where a probability is near 1.
    """
    size = logits.shape[1]
    if size == 1:  # a score
        return torch.ones(len(logits), 1, 1, device=logits.device)
    chances = logits.double().log_softmax(dim=1)
    pairs = (chances[:, :, None] + chances[:, None, :]).masked_fill(
        torch.eye(size, dtype=torch.bool, device=logits.device), -torch.inf
    )
    weights = 2 * pairs.flatten(1).softmax(dim=1).view_as(pairs)  # each pair is counted twice
    laplacian = torch.diag_embed(weights.sum(dim=2)) - weights
    values, vectors = torch.linalg.eigh(laplacian)  # the smallest is 0, for equal steps of all logits
    return (vectors * values.clamp_min(0).sqrt()[:, None, :])[:, :, 1:].float()
