"""Windows: consecutive sentences whose rows are read together, with sentences of similar length in one batch.

Only the corpus, the model and the settings decide where windows and batches begin and end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from clvq.activations.store import SentenceRows
from clvq.activations.writer import ExtractionJob
from clvq.artifacts import UNFINISHED_WINDOW
from clvq.corpus.splits import AnsweredSentence, Sentence
from clvq.language_model.model import LanguageModel
from clvq.language_model.rows import RowLayout, row_layout
from clvq.language_model.tokenization import TokenizedSentence
from clvq.storage import fingerprint

# The sentences of eight batches, sorted by length, need little padding, and a small model reads them in seconds on a
# CPU. What a slower model has read of a window is saved now and then, so that a kill costs no more than seconds there
# too. A window is also a shard.
WINDOW_BATCHES = 8
WINDOW_TOKENS = WINDOW_BATCHES * 4096
"""A window has at least this many tokens, so that small batches do not lead to many small files."""
WINDOW_BYTES = 2**28
"""A window has fewer tokens where the states of one layer, in 32 bits, would take more memory than this."""

AnySentence = Sentence | AnsweredSentence | SentenceRows
Pair = tuple[AnySentence, TokenizedSentence]


def windows(job: ExtractionJob, sentences: Iterable[AnySentence], done: int) -> Iterator[Window]:
    """Yield the sentences of a split in windows, without the first `done` sentences.

    `done` must be the end of a window. Then the windows are the same as without an interruption. They do not depend on
    the layers of the job, so that a layer that is added later is read in the same windows as the others.
    """
    model, config = job.model, job.config
    widest = max(model.width(layer) for layer in range(model.num_layers + 1))
    tokens_per_window = min(max(WINDOW_TOKENS, WINDOW_BATCHES * job.batch_tokens), WINDOW_BYTES // (4 * widest))
    rest = islice(iter(sentences), done, None)
    pairs: list[Pair] = []
    tokens = 0
    while block := list(islice(rest, 64)):
        block = [sentence._replace(text=shown_text(sentence, model)) for sentence in block]
        tokenized = model.tokenize([sentence.text for sentence in block], config.unit, config.words)
        for pair in zip(block, tokenized, strict=True):
            pairs.append(pair)
            tokens += max(1, len(pair[1].input_ids))
            if tokens >= tokens_per_window:
                yield Window(pairs, config.pooling)
                pairs, tokens = [], 0
    if pairs:
        yield Window(pairs, config.pooling)


def shown_text(sentence: AnySentence, model: LanguageModel) -> str:
    """Return the text of a sentence as it is stored; a sentence of a store already has it."""
    return sentence.text if isinstance(sentence, SentenceRows) else model.input_format.shown(sentence.text)


class Window:
    """Some consecutive sentences, and which rows they have."""

    def __init__(self, pairs: list[Pair], pooling: str) -> None:
        self.pairs = pairs
        self.tokenized = [tokens for _, tokens in pairs]
        self.layouts: list[RowLayout] = [row_layout(tokens, pooling) for tokens in self.tokenized]
        counts = np.array([len(layout.flags) for layout in self.layouts])
        self.ends = np.cumsum(counts)
        """[S] index of the row after the last one of each sentence."""
        self._starts = self.ends - counts

    def __len__(self) -> int:
        """Return the number of sentences."""
        return len(self.pairs)

    def rows_of(self, batch: list[int]) -> Tensor:
        """Return the indices [R], among the rows of the window, of the rows of some sentences."""
        return torch.from_numpy(np.concatenate([np.arange(self._starts[i], self.ends[i]) for i in batch]))


class WindowStates(NamedTuple):
    """The model's output so far for the sentences of a window. It is saved to a file now and then if the window takes
    long."""

    hidden: dict[int, Tensor]
    """For each layer `[R, D]` in 32 bits, in the order of the sentences."""
    probabilities: Tensor
    """`[S, C]`, as `Target.stored` returns them; C is 0 where nothing is predicted."""
    done: Tensor
    """`[S]` bool: the sentences whose batch has been through the model."""

    @classmethod
    def begin(cls, job: ExtractionJob, split: str, first_sentence: int, window: Window, *, saved: bool) -> Self:
        """Return the states that an interrupted run saved of this window, if `saved` asks for them and there are any;
        else empty states to be filled."""
        identity = _identity(job, split, first_sentence, window)
        tensors = UNFINISHED_WINDOW.read(job.path, identity) if saved else None
        if tensors is not None:
            hidden = {layer: tensors[f"hidden_states.{layer}"].clone() for layer in job.layers}
            return cls(hidden, tensors["probabilities"].clone(), tensors["done"].clone())
        target = job.model.target if job.predicts else None
        rows, answers = int(window.ends[-1]), 0 if target is None else target.stored_width
        hidden = {layer: torch.zeros(rows, job.model.width(layer)) for layer in job.layers}
        return cls(hidden, torch.zeros(len(window), answers), torch.zeros(len(window), dtype=torch.bool))

    def save(self, job: ExtractionJob, split: str, first_sentence: int, window: Window) -> None:
        hidden = {f"hidden_states.{layer}": values for layer, values in self.hidden.items()}
        tensors = {**hidden, "probabilities": self.probabilities, "done": self.done}
        UNFINISHED_WINDOW.write(job.path, tensors, _identity(job, split, first_sentence, window))


def _identity(job: ExtractionJob, split: str, first_sentence: int, window: Window) -> dict[str, str]:
    """Return what decides the states of a window, and in which batches they are read."""
    deciding = [job.model.fingerprint, job.config.deciding(), job.batch_tokens, job.layers, split]
    tokens = [sentence.input_ids for sentence in window.tokenized]
    return {"made_of": fingerprint([*deciding, first_sentence, tokens])}
