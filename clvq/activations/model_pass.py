"""The pass of a language model over sentences, window by window; a window is written while the next one runs."""

from __future__ import annotations

import math
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import torch

from clvq.activations.estimate import row_bytes, take_sample
from clvq.activations.manifest import Manifest
from clvq.activations.store import ActivationStore, SentenceRows
from clvq.activations.windows import Window, WindowStates, windows
from clvq.activations.writer import ExtractionJob, StoreWriter
from clvq.corpus.splits import SPLITS, Corpus
from clvq.device import Processes, give_back_memory
from clvq.errors import ClvqError, MismatchError
from clvq.language_model.rows import SENTENCE, WORD
from clvq.language_model.special_tokens import unknown_token
from clvq.language_model.tokenization import TokenizedSentence
from clvq.language_model.words import note_on_script
from clvq.progress import Progress
from clvq.storage import free_bytes, size_text

MANY_UNKNOWN = 0.05
"""Share of the tokens of words that are unknown to the tokenizer, above which a note is given."""
SAVE_SECONDS = 20.0
"""The states of a window that is being read are saved this often. When they are saved does not affect the batches."""


@dataclass
class ModelPass:
    """One run of `extract`: over a corpus, or over the sentences of a finished store that lacks layers.

    Several processes take the batches of a window in turns, and the leader writes.
    """

    job: ExtractionJob
    source: Corpus | ActivationStore
    writer: StoreWriter | None
    """The leader's writer; None in other processes."""
    processes: Processes
    sentences_done: int = 0
    words_read: int = 0
    started: float = field(default_factory=time.monotonic)
    writing: Future[None] | None = None
    """The writing of the window before this one, which may still go on."""

    def run(self) -> None:
        """Read and write what is missing, window by window."""
        if self.writer is not None:
            self._check_disk(self.writer)
        done = self.processes.told(
            {split: self.writer.sentences_done(split) for split in SPLITS} if self.writer else {}
        )
        self.sentences_done = sum(done.values())
        with ThreadPoolExecutor(max_workers=1) as thread:
            for split in SPLITS:
                first_sentence = done[split]
                for window in windows(self.job, self.source.sentences(split), first_sentence):
                    states = self._read_window(split, first_sentence, window)
                    if self.writer is not None:
                        self._refuse_not_finite(split, first_sentence, window, states)
                        rows = self._sentence_rows(window, states)
                        self._await_writing()
                        shard = (split, rows, states.hidden, self._counts(window, rows))
                        self.writing = thread.submit(self.writer.write, *shard)  # while the next window runs
                    first_sentence += len(window)
                    give_back_memory()
                self._await_writing()
        if self.writer is not None:
            self._tell_unknown(self.writer.finish(self.source if isinstance(self.source, Corpus) else None))

    def _tell_unknown(self, manifest: Manifest) -> None:
        """Tell where the tokenizer does not know many tokens of the words, over the whole store."""
        splits = [split.counts for split in manifest.splits.values()]
        unknown, tokens = (
            sum(counts.get(name, 0) for counts in splits) for name in ("unknown_tokens", "tokens_of_words")
        )
        if unknown > MANY_UNKNOWN * tokens:
            share, shown = unknown / tokens, self.job.model.tokenizer.unk_token
            note = (
                f"{share:.0%} of the words' tokens are unknown to the tokenizer ({shown}): the model cannot tell such "
                "words apart. Is it a model for this language?"
            )
            self.job.progress(Progress("extract", note=note))

    def _await_writing(self) -> None:
        if self.writing is not None:
            self.writing.result()
        self.writing = None

    def _report(self, sentences: list[TokenizedSentence], read: bool) -> None:
        self.sentences_done += len(sentences)
        self.words_read += sum(len(sentence.words) for sentence in sentences) if read else 0
        rate = self.words_read / max(time.monotonic() - self.started, 1e-9)
        total = sum(self.source.sentence_count(split) for split in SPLITS)
        self.job.progress(Progress("extract", self.sentences_done, total, "sentences", {"words/s": round(rate)}))

    def _read_window(self, split: str, first_sentence: int, window: Window) -> WindowStates:
        """Return the model's output for a window; the leader has that of all processes together."""
        states = WindowStates.begin(self.job, split, first_sentence, window, saved=self.writer is not None)
        self.processes.share(states.done)
        saved, turn = time.monotonic(), 0
        for batch in self.job.model.batches(window.tokenized, self.job.batch_tokens):
            done_before = bool(states.done[batch].all())
            if not done_before:
                if turn % self.processes.count == self.processes.rank:
                    self._read_batch(window, batch, states)
                turn += 1
            if self.writer is not None and time.monotonic() - saved > SAVE_SECONDS:
                self._await_writing()  # saved states continue from the window before
                states.save(self.job, split, first_sentence, window)
                saved = time.monotonic()
            self._report([window.tokenized[i] for i in batch], read=not done_before)
        for values in (*states.hidden.values(), states.probabilities):
            self.processes.collect(values)
        return states

    def _read_batch(self, window: Window, batch: list[int], states: WindowStates) -> None:
        """Run the model over some sentences of a window, and put its output in place."""
        sentences = [window.tokenized[i] for i in batch]
        model, predicts = self.job.model, self.job.predicts
        if self.job.store is not None and model.head_reads_padding:
            # Predictions are not needed here, but they may change the padding id. Then predict all the same, so that
            # the batch is the same as when this layer is extracted with the others.
            predicts = model.tensors.padding_id(sentences, True) != model.tensors.padding_id(sentences, False)
        result = model.run(sentences, self.job.layers, self.job.config.pooling, predict=predicts)
        row_indices = window.rows_of(batch)
        for layer in self.job.layers:
            states.hidden[layer][row_indices] = result.hidden[layer].to("cpu", torch.float32)
        if self.job.predicts and result.scores is not None and model.target is not None:
            states.probabilities[batch] = model.target.stored(result.scores).to("cpu", torch.float32)
        states.done[batch] = True

    def _sentence_rows(self, window: Window, states: WindowStates) -> list[SentenceRows]:
        """Return what is stored of the sentences. MismatchError where a finished store has other rows of them."""
        probabilities, target = states.probabilities.tolist(), self.job.model.target
        is_choice = target is not None and target.is_choice and not target.has_parts
        rows = []
        for (sentence, tokens), layout, classes in zip(window.pairs, window.layouts, probabilities, strict=True):
            spans = [tokens.words[word] if word >= 0 else (0, 0) for word in layout.words]
            chances = classes if classes and tokens.input_ids else None
            prediction = None if chances is None or not is_choice else int(np.argmax(chances))
            starts, ends = [start for start, _ in spans], [end for _, end in spans]
            row = SentenceRows(
                sentence.text, sentence.label, prediction, chances, starts, ends, layout.flags, sentence.answers
            )
            if isinstance(sentence, SentenceRows) and sentence.rows != row.rows:
                raise MismatchError(
                    f"The tokenizer of {self.job.config.model} now gives other rows for {sentence.text[:80]!r} than "
                    f"{self.job.path} holds. Use the versions named in its manifest, or extract again with --overwrite."
                )
            rows.append(row)
        return rows

    def _counts(self, window: Window, rows: list[SentenceRows]) -> dict[str, int]:
        """Return counts of the rows of some sentences, and of what was cut away, is unknown or has no row."""
        flags = [flag for row in rows for flag in row.flags]
        tokenized, unknown_id = window.tokenized, unknown_token(self.job.model.tokenizer)
        of_words = (
            sentence.input_ids[at]
            for sentence in tokenized
            if unknown_id is not None and unknown_id in sentence.input_ids
            for tokens in sentence.word_tokens
            for at in tokens
        )
        return {
            "rows": len(flags),
            "words": sum(flag & WORD != 0 for flag in flags),
            "sentence_rows": sum(flag & SENTENCE != 0 for flag in flags),
            "sentences_without_words": sum(not sentence.words for sentence in tokenized),
            "sentences_truncated": sum(sentence.truncated_words > 0 for sentence in tokenized),
            "words_truncated": sum(sentence.truncated_words for sentence in tokenized),
            "words_dropped_by_tokenizer": sum(sentence.dropped_words for sentence in tokenized),
            "tokens_of_words": sum(map(len, chain.from_iterable(one.word_tokens for one in tokenized))),
            "unknown_tokens": sum(token == unknown_id for token in of_words),
            "special_tokens_left_out": sum(sentence.left_out_tokens for sentence in tokenized),
            "prompt_tokens": sum(len(sentence.fixed_tokens) for sentence in tokenized),
        }

    def _refuse_not_finite(self, split: str, first_sentence: int, window: Window, states: WindowStates) -> None:
        stored = getattr(torch, self.job.config.dtype)
        for layer, values in states.hidden.items():
            largest = torch.linalg.vector_norm(values, math.inf, dim=1) if len(values) else values.new_zeros(0)
            limit = torch.finfo(stored).max
            bad = (~(largest <= limit)).nonzero()
            if not len(bad):
                continue
            sentence_index = int(np.searchsorted(window.ends, int(bad[0]), side="right"))
            number = first_sentence + sentence_index
            text = window.pairs[sentence_index][0].text[:80]
            if torch.isfinite(largest[bad[0]]).all():
                raise ClvqError(
                    f"Layer {layer} overflows {self.job.config.dtype} at sentence {number} of {split} ({text!r}): "
                    f"a value of {float(largest[bad[0]]):.4g}. Use --dtype bfloat16 (bf16) or float32."
                )
            raise ClvqError(
                f"Layer {layer} has a NaN or infinite value at sentence {number} of {split} ({text!r}). "
                "The model itself gives it: check its weights, or leave that sentence out."
            )
        for number in (~states.probabilities.isfinite().all(dim=1)).nonzero().flatten().tolist():
            if window.tokenized[number].input_ids:  # an empty text has no answer
                raise ClvqError(
                    f"The model's answer to sentence {first_sentence + number} of {split} "
                    f"({window.pairs[number][0].text[:80]!r}) is NaN or infinite: check the weights of its head, or "
                    "leave that sentence out."
                )

    def _check_disk(self, writer: StoreWriter) -> None:
        """Report how much will be written, estimated from a sample of sentences. ClvqError where the disk has less
        space."""
        if self.job.config.streaming and self.job.store is None:
            self.job.progress(Progress("extract", note="Streaming: the size of the store is not known beforehand."))
            return
        needed, sampled = 0.0, list[str]()
        for split in SPLITS:
            total, done = self.source.sentence_count(split), writer.sentences_done(split)
            sample = take_sample(self.job, self.source, split)
            sampled += sample.texts
            needed += sample.rows * (total - done) * row_bytes(self.job)
        if self.job.config.unit == "word" and (note := note_on_script(sampled)):
            self.job.progress(Progress("extract", note=note))
        free = free_bytes(self.job.path)
        self.job.progress(Progress("extract", note=f"About {size_text(needed)} will be written to {self.job.path}."))
        if needed > free:
            raise ClvqError(
                f"About {size_text(needed)} would be written to {self.job.path}, but its disk has "
                f"{size_text(free)} free. Use --dtype float16, --max-sentences, fewer --layers, or another --run."
            )
