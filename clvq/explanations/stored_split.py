"""Read, continue and make the explanations of the evaluation split in a checkpoint's folder.

explanations.json     what was explained, how, and the figures over all sentences; written last
explanations.jsonl    one sentence a line
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

from clvq.activations.store import ActivationStore
from clvq.artifacts import EXPLANATIONS, UNFINISHED_EXPLANATIONS_NAME
from clvq.concepts.assignments import read_text
from clvq.concepts.codebook import Codebook, codebook
from clvq.config import ExplainConfig, differences
from clvq.device import Processes
from clvq.errors import ArtifactError, ClvqError, MismatchError
from clvq.explanations.explainer import Explainer, Labels
from clvq.explanations.rationales import agreement, read_rationales
from clvq.explanations.records import Agreement, Explanation, ExplanationsSummary
from clvq.explanations.results import Explanations, summarize
from clvq.language_model.tokenization import TokenizedSentence
from clvq.progress import Progress, Report
from clvq.storage import append_lines, locked, write_text
from clvq.training.checkpoint import Checkpoint, checkpoint_folders, read_checkpoint

SPLIT = "eval"


class _Text(NamedTuple):
    text: str
    labels: Labels


def _right_numbers(texts: Sequence[_Text]) -> dict[int, float]:
    """Return the right score of each text that has one, by the text's index."""
    return {number: one.labels.answers[0] for number, one in enumerate(texts) if one.labels.answers}


def stored_settings(checkpoint: Checkpoint) -> dict[str, Any] | None:
    """Return the settings of the explanations in a checkpoint's folder, finished or not; None where there are none of
    its weights."""
    body = EXPLANATIONS.inspect(checkpoint.path, {"checkpoint": checkpoint.fingerprint}).usable()
    if body is not None:
        return dict(body["settings"])
    try:
        with (checkpoint.path / UNFINISHED_EXPLANATIONS_NAME).open("rb") as file:
            head = json.loads(file.readline())
        return dict(head["settings"]) if head["checkpoint"] == checkpoint.fingerprint else None
    except (OSError, ValueError, KeyError, TypeError):  # none, or a damaged one, which `explain` refuses
        return None


class StoredSplit:
    """The explanations of the evaluation split in a checkpoint's folder, finished, unfinished or missing."""

    def __init__(self, checkpoint: Checkpoint, store: ActivationStore, config: ExplainConfig, progress: Report) -> None:
        self.checkpoint, self.store, self.config, self.progress = checkpoint, store, config, progress
        self.folder = checkpoint.path
        self.processes = Processes.current()
        self.identity = {"checkpoint": checkpoint.fingerprint, "rows": store.fingerprint}

    def finished(self) -> Explanations | None:
        """Return the stored explanations; None where there are none, or where they were made of other weights or rows.

        MismatchError where they were made with other settings.
        """
        body = EXPLANATIONS.inspect(self.folder, self.identity).usable()
        if body is None:
            return None
        summary = EXPLANATIONS.parse(self.folder, body, ExplanationsSummary.from_json)
        self._refuse_other(summary.settings, "finished")
        sentences = EXPLANATIONS.read_records(self.folder, body)
        concepts = self._concepts()
        if summary.codebook != concepts.summary.concepts_checksum:
            # The codes are still valid, since they depend only on the weights; only the catalogue was made again.
            summary = replace(summary, codebook=concepts.summary.concepts_checksum)
            if self.processes.is_leader:
                with locked(self.folder):
                    EXPLANATIONS.write(self.folder, summary.as_json())
        return Explanations(concepts, summary, [Explanation.from_json(line) for line in sentences])

    def _refuse_other(self, settings: ExplainConfig, state: str) -> None:
        if differing := differences(settings.deciding(), self.config.deciding()):
            raise MismatchError(
                f"{self.folder} holds {'an' if state == 'unfinished' else 'a'} {state} explanation of the evaluation "
                f"split with other settings: {'; '.join(differing)}. Use those, or --overwrite to replace it."
            )

    def _concepts(self) -> Codebook:
        return self.processes.leader_first(lambda: codebook(self.checkpoint, progress=self.progress))

    def make(self, overwrite: bool) -> None:
        """Explain the sentences that are missing, and write the two files. Of several processes the leader writes."""
        rationales = None
        if self.config.rationale_column is not None:
            rationales = read_rationales(self.store, self.config.rationale_column, self.progress)
        done = {} if overwrite else self._unfinished()
        explainer = Explainer(self.checkpoint, self.store, self.config, self.progress)
        concepts = self._concepts()
        with self.processes.locked(self.folder):
            rows = islice(self.store.sentences(SPLIT), self.config.limit)
            texts = [_Text(row.text, Labels(row.label, row.answers)) for row in rows]
            tokenized = explainer.tokenize([text.text for text in texts])
            if not any(sentence.words for sentence in tokenized):
                raise ClvqError(f"No sentence of the evaluation split of {self.store.path} has a word to explain.")
            if not done and not overwrite:
                done = self._attributed_beside(explainer, tokenized)
            done = self.processes.told(done)
            self._run(explainer, texts, tokenized, done)
            sentences = [done[key] for key in sorted(done)]
            summary = summarize(
                explainer,
                sentences,
                concepts,
                left_out={"without words": len(texts) - len({one.id for one in sentences})},
                truncated=sum(sentence.truncated_words > 0 for sentence in tokenized),
                numbers=None if explainer.target.is_choice else _right_numbers(texts),
            )
            if rationales is not None:
                sentences = [replace(one, rationale=rationales.get(one.text, [])) for one in sentences]
                summary = replace(summary, rationales=self._compare(sentences))
            if self.processes.is_leader:
                self._write(summary, sentences)
        self.processes.wait()

    def _write(self, summary: ExplanationsSummary, sentences: list[Explanation]) -> None:
        checksum = EXPLANATIONS.write_records(self.folder, (one.as_line() for one in sentences))
        EXPLANATIONS.write(self.folder, replace(summary, explanations_checksum=checksum).as_json())
        (self.folder / UNFINISHED_EXPLANATIONS_NAME).unlink(missing_ok=True)

    def _attributed_beside(
        self, explainer: Explainer, tokenized: list[TokenizedSentence]
    ) -> dict[tuple[int, int], Explanation]:
        """Return the explanations of another checkpoint in the run folder that has the same input layer and settings,
        with this checkpoint's codes. Attributions do not depend on the codes. Empty where there is no such checkpoint.
        """
        for folder in checkpoint_folders(self.folder.parent):
            try:
                other = read_checkpoint(folder)
                made_of = {"checkpoint": other.fingerprint, "rows": self.store.fingerprint}
                body = EXPLANATIONS.inspect(folder, made_of).usable()
                if body is None or other.input_layer != self.checkpoint.input_layer:
                    continue
                summary = EXPLANATIONS.parse(folder, body, ExplanationsSummary.from_json)
                is_other = summary.model.fingerprint != explainer.model.fingerprint
                if is_other or differences(summary.settings.deciding(), self.config.deciding()):
                    continue
                records = EXPLANATIONS.read_records(folder, body)
            except ClvqError:
                continue  # errors of another checkpoint are reported by commands that name that checkpoint
            self.progress(Progress("explain", note=f"What words do in the model is read from {folder}."))
            explanations = [Explanation.from_json(record) for record in records]
            return {one.key: one for one in explainer.with_own_codes(explanations, tokenized)}
        return {}

    def _run(
        self,
        explainer: Explainer,
        texts: list[_Text],
        tokenized: list[TokenizedSentence],
        done: dict[tuple[int, int], Explanation],
    ) -> None:
        """Add the missing explanations to `done`, and line by line to the unfinished file.

        The file is first written again with the explanations in `done`.
        """
        path = self.folder / UNFINISHED_EXPLANATIONS_NAME
        lines = [{**self.identity, "settings": self.config.deciding()}, *(one.as_line() for one in done.values())]
        if self.processes.is_leader:
            write_text(path, "".join(json.dumps(line) + "\n" for line in lines))
        labels = [text.labels for text in texts]
        written = [text.text for text in texts]
        total = len(explainer.asked(written, tokenized, labels))
        batches = explainer.explained(written, tokenized, labels, done=frozenset(done))
        for explanations in batches:
            if self.processes.is_leader:
                append_lines(path, [json.dumps(one.as_line()) for one in explanations])
            done.update((one.key, one) for one in explanations)
            self.progress(Progress("explain", len(done), total, "sentences" if len(texts) >= total else "questions"))

    def _unfinished(self) -> dict[tuple[int, int], Explanation]:
        """Return the explanations in the complete lines of an unfinished file; none where the weights or rows differ.

        MismatchError where the settings differ; ArtifactError where the file is damaged.
        """
        path = self.folder / UNFINISHED_EXPLANATIONS_NAME
        if not path.exists():
            return {}
        lines = path.read_bytes().split(b"\n")[:-1]  # the last line is empty, or incomplete after a kill
        try:
            head, *records = [json.loads(line) for line in lines]
            if {name: head[name] for name in self.identity} != self.identity:
                return {}
            settings = ExplainConfig.from_json(head["settings"])
            done = {one.key: one for one in map(Explanation.from_json, records)}
        except (ClvqError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{path} is damaged ({error}). Start again with `clvq explain --overwrite`.") from error
        self._refuse_other(settings, "unfinished")
        return done

    def _compare(self, sentences: list[Explanation]) -> Agreement:
        """Return how far attributions agree with the sentences' rationales."""
        text = read_text(self.store, "train", self.progress)
        counts = Counter(text.types[text.types >= 0].tolist())
        frequencies = {text.vocabulary[number]: count for number, count in counts.items()}
        assert self.config.rationale_column is not None
        return agreement(sentences, self.config.rationale_column, frequencies)
