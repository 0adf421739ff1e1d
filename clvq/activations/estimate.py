"""What an extraction will take: rows, bytes and time, estimated from a sample before anything is written."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, NamedTuple

import torch

from clvq.activations.store import ActivationStore
from clvq.activations.windows import AnySentence, shown_text
from clvq.activations.writer import ExtractionJob
from clvq.corpus.splits import SPLITS, Corpus
from clvq.language_model.tokenization import TokenizedSentence
from clvq.storage import free_bytes, size_text

SAMPLE_SENTENCES = 256
"""At most this many sentences of each split are sampled, spread over the split evenly; all of a smaller split."""
TIMED_SECONDS = 5.0
"""The model runs over the sample for about this long: for at least one batch, and at most once through the sample."""


class Sample(NamedTuple):
    """Some sentences of a split, as the model reads them."""

    texts: list[str]
    sentences: list[TokenizedSentence]

    @property
    def rows(self) -> float:
        """Mean number of rows of a sentence."""
        return sum(len(sentence.words) + 1 for sentence in self.sentences) / max(len(self.sentences), 1)

    @property
    def tokens(self) -> float:
        """Mean number of tokens that the model reads of a sentence."""
        return sum(len(sentence.input_ids) for sentence in self.sentences) / max(len(self.sentences), 1)


@dataclass(frozen=True)
class Estimate:
    """What an extraction will take, as `clvq.estimate` returns it.

        estimate = clvq.estimate("run/activations", model="demo", dataset="demo", layers=(4, 8))
        print(estimate.bytes, estimate.seconds)

    Seconds are extrapolated from a sample of the sentences.
    """

    sentences: dict[str, int]
    """The number of sentences of each split; the next two fields are by split too."""
    tokens: dict[str, int]
    """Tokens that the model reads; those of a prompt count once for each text."""
    rows: dict[str, int]
    bytes: int
    """Bytes to be written, over all layers."""
    free_bytes: int
    """Free bytes on the disk of the folder."""
    seconds: float
    """Time that the model takes over both splits on this machine."""
    timed_tokens: int
    """The number of tokens over which the time was measured."""

    def __str__(self) -> str:
        rows, minutes = sum(self.rows.values()), self.seconds / 60
        return (
            f"About {rows:,} rows, {size_text(self.bytes)} of {size_text(self.free_bytes)} that are free, and "
            f"{minutes:.1f} minutes of the model."
        )

    def as_json(self) -> dict[str, Any]:
        """Return the figures by their names."""
        return asdict(self)


def take_sample(job: ExtractionJob, source: Corpus | ActivationStore, split: str) -> Sample:
    """Return a sample of sentences that are spread evenly over a split."""
    sentences: Iterable[AnySentence] = source.sentences(split)
    some = islice(sentences, 0, None, max(1, math.ceil(source.sentence_count(split) / SAMPLE_SENTENCES)))
    texts = [shown_text(sentence, job.model) for sentence in some]
    return Sample(texts, job.model.tokenize(texts, job.config.unit, job.config.words))


def row_bytes(job: ExtractionJob) -> int:
    """Return the bytes of a row on disk, over all layers to be written."""
    size = torch.finfo(getattr(torch, job.config.dtype)).bits // 8
    return sum(job.model.width(layer) * size + 4 for layer in job.layers)


def estimated(job: ExtractionJob, source: Corpus | ActivationStore) -> Estimate:
    """Return what the job will take; the model runs for a few seconds."""
    counts = {split: source.sentence_count(split) for split in SPLITS}
    samples = {split: take_sample(job, source, split) for split in SPLITS}
    rows = {split: round(samples[split].rows * count) for split, count in counts.items()}
    tokens = {split: round(samples[split].tokens * count) for split, count in counts.items()}
    seconds, timed = _timed(job, [sentence for sample in samples.values() for sentence in sample.sentences])
    return Estimate(
        sentences=counts,
        tokens=tokens,
        rows=rows,
        bytes=sum(rows.values()) * row_bytes(job),
        free_bytes=free_bytes(job.path),
        seconds=seconds / max(timed, 1) * sum(tokens.values()),
        timed_tokens=timed,
    )


def _timed(job: ExtractionJob, sentences: list[TokenizedSentence]) -> tuple[float, int]:
    """Return the seconds that the model took over some sentences, and the number of their tokens. The first batch runs
    once more at the start, to warm up, and is not timed then."""
    if not job.layers:
        return 0.0, 0
    batches = list(job.model.batches(sentences, job.batch_tokens))
    spent, tokens = 0.0, 0
    # Batches are in order of length. Every third one is taken first, so that the timed batches are a mixture.
    mixed = [at for first in range(min(3, len(batches))) for at in range(first, len(batches), 3)]
    for number, at in enumerate([*mixed[:1], *mixed]):
        chosen = [sentences[index] for index in batches[at]]
        started = time.perf_counter()
        result = job.model.run(chosen, job.layers, job.config.pooling, predict=job.predicts)
        for values in result.hidden.values():
            values.to("cpu", torch.float32)  # waits for the device
        if number:
            spent += time.perf_counter() - started
            tokens += sum(len(sentence.input_ids) for sentence in chosen)
        if spent > TIMED_SECONDS:
            break
    return spent, tokens
