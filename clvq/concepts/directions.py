"""A direction for each concept at the input layer, relative to the mean of the training words.

    c_i     mean input state of the training words of code i (of its sentence rows, where it has no word)
    mu      mean input state of the training words
    u_i     (c_i - mu) / |c_i - mu|, the direction of concept i

The class directions `w_y` are those of `clvq.concepts.class_directions`.

All are in the language model's own units, and attention sinks are left out. `ConceptSpace` is the interface that edits
use for every method. The tensors are stored beside the checkpoint, as concept-space.safetensors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from clvq.activations.store import ROWS_AT_ONCE
from clvq.artifacts import CONCEPT_SPACE
from clvq.concepts.assignments import load_model, read_text
from clvq.concepts.class_directions import ClassSums
from clvq.concepts.codebook import Codebook, codebook
from clvq.concepts.records import SPLIT
from clvq.language_model.rows import WORD
from clvq.models.clvq_vae import ClvqVae
from clvq.models.distances import smallest
from clvq.models.sae import TopKSae
from clvq.models.spans import orthonormal
from clvq.progress import Progress, Report, silent
from clvq.storage import locked
from clvq.training.checkpoint import Checkpoint


class ConceptSpace(ABC):
    """Directions `[D]` of concepts at the input layer, for words that are given by their rows `[N, D]` at this layer.

    Rows and states are in 32 bits, in the language model's own units, on the device of `mean`.
    """

    mean: Tensor
    """[D] mean of the training words."""
    covariance: Tensor
    """[D, D] covariance of the training words."""
    usage: Tensor
    """[K] int64 on the CPU: number of training words of each code."""
    class_directions: Tensor
    """[A, D] the `w_y` of each answer, of length 1; zeros for an answer that is never or always given. Rows are in the
    order of `Target.numbered`. [0, D] without classes."""

    @abstractmethod
    def codes(self, rows: Tensor) -> Tensor:
        """Return the code of each word `[N]` from rows `[N, D]`."""

    @abstractmethod
    def basis(self, rows: Tensor, rank: int = 1) -> Tensor:
        """Return orthonormal columns `[N, D, rank]` that span each word's concepts, the nearest or strongest first.
        Columns are zeros where a word has fewer concepts. At rank 1, the column is the direction of the word's code."""

    @abstractmethod
    def raw_basis(self, rows: Tensor, rank: int = 1) -> Tensor:
        """Return columns `[N, D, rank]` as `basis`, for the vectors as the method stores them: the mean is not
        subtracted."""

    @abstractmethod
    def deviations(self, codes: Tensor) -> Tensor:
        """Return the deviation of each concept from the mean, `c_i - mu` `[..., D]`; zeros for a concept without
        training rows."""

    @abstractmethod
    def raw_directions(self, codes: Tensor) -> Tensor:
        """Return unit vectors `[..., D]` of the concepts as the method stores them, without subtracting the mean: of
        the codes, or of the `c_i` where the codes are in another space than the states."""

    @property
    def atoms(self) -> Tensor:
        """[K, D] what a concept with activation 1 adds to a word's state: `c_i - mu`, or a latent's direction."""
        return self.deviations(torch.arange(len(self.usage)))

    def activations(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the activations `[N, k]` of each word's concepts, from rows `[N, D]`, and their indices `[N, k]`. A
        word's code has activation 1; latents have their values."""
        return rows.new_ones(len(rows), 1), self.codes(rows)[:, None]

    def directions(self, codes: Tensor) -> Tensor:
        """Return the unit vectors `u_i` `[..., D]`; zeros for a concept without training rows."""
        return functional.normalize(self.deviations(codes), dim=-1)

    @cached_property
    def factor(self) -> Tensor:
        """[D, D] `F` with `F F' = covariance`: standard normal draws times `F'` have the training words' covariance."""
        values, vectors = torch.linalg.eigh(self.covariance.double().cpu())
        return (vectors * values.clamp_min(0).sqrt()).to(self.covariance)


class CodeSpace(ConceptSpace):
    """The concept space of a method that gives each word one code."""

    def __init__(self, model: ClvqVae | TopKSae, sums: Mapping[str, Tensor]) -> None:
        """Take the tensors of concept-space.safetensors as `sums`. `means` `[K, D]` are the `c_i`, or `mu` for a code
        without rows."""
        self._model = model
        device = model.codebook.device
        self.mean, self.covariance, self.usage = sums["mean"].to(device), sums["covariance"].to(device), sums["usage"]
        self.class_directions = sums["class_directions"].to(device)
        means = sums["means"].to(device)
        self._deviations = means - self.mean
        codes = model.codebook.detach().float() if model.code_map is None else means
        self._raw = functional.normalize(codes, dim=1)

    def codes(self, rows: Tensor) -> Tensor:
        return self._model.assign(rows[None])[0]

    def basis(self, rows: Tensor, rank: int = 1) -> Tensor:
        if rank == 1:
            return self.directions(self.codes(rows))[:, :, None]
        return orthonormal(self.directions(self._nearest(rows, rank)))

    def raw_basis(self, rows: Tensor, rank: int = 1) -> Tensor:
        if rank == 1:
            return self.raw_directions(self.codes(rows))[:, :, None]
        return orthonormal(self.raw_directions(self._nearest(rows, rank)))

    def _nearest(self, rows: Tensor, count: int) -> Tensor:
        """Return the `count` nearest codes of each word `[N, count]`, the nearest first."""
        assert isinstance(self._model, ClvqVae)
        distances = self._model.quantizer.relative_distances(self._model.encode(rows))
        return smallest(distances, min(count, distances.shape[1]))[1]

    def deviations(self, codes: Tensor) -> Tensor:
        return self._deviations[codes]

    def raw_directions(self, codes: Tensor) -> Tensor:
        return self._raw[codes]


class SaeSpace(CodeSpace):
    """The concept space of a sparse autoencoder. Above rank 1, the span of a word's strongest latents, at most k, is
    used."""

    def __init__(self, model: TopKSae, sums: Mapping[str, Tensor]) -> None:
        super().__init__(model, sums)
        self._raw = model.input_directions
        self._atoms = model.atoms
        self._encode = model.encode
        self._span = model.basis

    def basis(self, rows: Tensor, rank: int = 1) -> Tensor:
        return super().basis(rows) if rank == 1 else self._span(rows)[:, :, :rank]

    def raw_basis(self, rows: Tensor, rank: int = 1) -> Tensor:
        return self._span(rows)[:, :, :rank]

    @property
    def atoms(self) -> Tensor:
        return self._atoms

    @torch.no_grad()
    def activations(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        latents = self._encode(rows)
        return latents.values, latents.indices


def make_concepts(checkpoint: Checkpoint, progress: Report = silent) -> Codebook:
    """Make the catalogue and the directions of a checkpoint, where they are missing. With both, the checkpoint can be
    used without the activations, in a copy of its folder. Errors as `codebook` and `concept_space`."""
    book = codebook(checkpoint, progress=progress)
    concept_space(checkpoint, progress=progress)
    return book


def concept_space(
    checkpoint: Checkpoint, *, device: str | torch.device = "cpu", progress: Report = silent
) -> ConceptSpace:
    """Return the directions of a checkpoint's concepts. They are read if they are stored for its weights; else they are
    computed in one pass over the training rows, and stored.

    ArtifactError where the activations are missing or a file is damaged; MismatchError where the activations are not
    those that the checkpoint was trained on; ClvqError where the checkpoint's folder cannot be written.
    """
    sums = CONCEPT_SPACE.read(checkpoint.path, _identity(checkpoint))
    if sums is None:
        sums = _sums(checkpoint, progress)
        with locked(checkpoint.path):
            CONCEPT_SPACE.write(checkpoint.path, sums, _identity(checkpoint))
    model = load_model(checkpoint).to(device)
    return SaeSpace(model, sums) if isinstance(model, TopKSae) else CodeSpace(model, sums)


def _identity(checkpoint: Checkpoint) -> dict[str, str]:
    return {"version": "3", "checkpoint": checkpoint.fingerprint, "rows": checkpoint.config.provenance.rows}


@torch.no_grad()
def _sums(checkpoint: Checkpoint, progress: Report) -> dict[str, Tensor]:
    """Compute mean [D], covariance [D, D], means [K, D], usage [K] and class_directions [A, D], in one pass over the
    training rows."""
    store = checkpoint.store()
    book = codebook(checkpoint, progress=progress)
    codes = torch.from_numpy(book.assignments(SPLIT)).long()
    is_word = torch.from_numpy((store.flags(SPLIT) & WORD) != 0)
    size, width = book.figures.codebook_size, checkpoint.config.architecture.input_width
    classes = ClassSums(read_text(store, SPLIT), len(store.label_names or ()), width)
    # Index 0: words; index 1: sentence rows.
    counts = torch.zeros(2, size, dtype=torch.int64)
    totals = torch.zeros(2, size, width, dtype=torch.float64)
    squares = torch.zeros(width, width, dtype=torch.float64)
    shift: Tensor | None = None
    for first, shard in store.rows(SPLIT, checkpoint.input_layer, progress).shards():
        for start in range(0, len(shard), ROWS_AT_ONCE):
            rows = shard[start : start + ROWS_AT_ONCE].float()
            span = slice(first + start, first + start + len(rows))
            for kind, selected in enumerate((is_word[span], ~is_word[span])):
                selected = selected & (codes[span] >= 0)
                counts[kind] += torch.bincount(codes[span][selected], minlength=size)
                totals[kind].index_add_(0, codes[span][selected], rows[selected].double())
                if kind == 0 and selected.any():
                    classes.add(span, selected, rows)
                    # Relative to a point near the mean, so that 32 bits are enough for the squares of a chunk.
                    shift = rows[selected].mean(dim=0) if shift is None else shift
                    centred = rows[selected] - shift
                    squares += (centred.T @ centred).double()
            progress(Progress("directions", span.stop, len(codes), "rows"))
    words = max(int(counts[0].sum()), 1)
    mean = totals[0].sum(dim=0) / words
    off = mean - (torch.zeros(width) if shift is None else shift).double()
    used, every = torch.where(counts[0] > 0, 0, 1), torch.arange(size)
    code_totals, code_counts = totals[used, every], counts[used, every][:, None]
    means = torch.where(code_counts > 0, code_totals / code_counts.clamp_min(1), mean)
    return {
        "mean": mean.float(),
        "covariance": (squares / words - torch.outer(off, off)).float(),
        "means": means.float(),
        "usage": counts[0],
        "class_directions": classes.directions(),
    }
