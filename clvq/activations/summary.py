"""Figures of the sentences of a split, for the manifest of a store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import correlation, mean, pstdev

from clvq.activations.manifest import ScoreFit, SplitFigures
from clvq.activations.store import SentenceRows
from clvq.language_model.answers import Target
from clvq.language_model.word_targets import LabelWordTarget
from clvq.storage import fingerprint


class SplitSummary:
    """Figures of a split, computed while its sentences are passed on: what identifies the rows, and how often the model
    is right."""

    def __init__(self, target: Target | None = None) -> None:
        """Take the `target` that the model was asked."""
        self._target = target
        self._chain = ""
        self._right = self._judged = 0
        self._labels: dict[int, int] = {}
        self._scores: list[float] = []
        self._numbers: list[tuple[float, float]] = []
        """Scores, each with the number that is right for the text."""
        self._held = self._asked = 0.0

    def over(self, parts: Iterable[list[SentenceRows]]) -> Iterator[list[SentenceRows]]:
        """Pass the sentences on, and update the figures with each."""
        for rows in parts:
            for row in rows:
                # A chain of hashes rather than one hash for each part, so that it does not matter where shards end.
                answers = [] if row.answers is None else [row.answers]
                self._chain = fingerprint([self._chain, row.text, row.label, *row.rows, *answers])
                self._take_answers(row)
                if row.prediction is not None and row.probabilities:
                    self._asked += 1
                    self._held += min(1.0, sum(row.probabilities))
                if row.label is not None:
                    self._labels[row.label] = self._labels.get(row.label, 0) + 1
                    if row.prediction is not None:
                        self._judged += 1
                        self._right += row.prediction == row.label
            yield rows

    def _take_answers(self, row: SentenceRows) -> None:
        """Record the score of a sentence, or how many of its labels are predicted right."""
        if self._target is None or row.probabilities is None:
            return
        if not self._target.is_choice:
            self._scores += row.probabilities
            if row.answers is not None:
                self._numbers.append((row.probabilities[0], row.answers[0]))
        elif row.answers is not None:
            self._judged += len(row.answers)
            pairs = list(zip(row.probabilities, row.answers, strict=True))
            self._right += sum((chance > 0.5) == (right == 1) for chance, right in pairs)
            for right in row.answers:
                self._labels[int(right)] = self._labels.get(int(right), 0) + 1

    def digest(self) -> str:
        """Return what identifies the rows; it does not depend on where shards end."""
        return self._chain

    def figures(self) -> SplitFigures:
        """Return the figures for the manifest."""
        labelled = sum(self._labels.values())
        asks_words = isinstance(self._target, LabelWordTarget)
        return SplitFigures(
            labels={str(label): count for label, count in sorted(self._labels.items())},
            accuracy=self._right / self._judged if self._judged else None,
            majority=max(self._labels.values()) / labelled if labelled else None,
            score_mean=mean(self._scores) if self._scores else None,
            score_deviation=pstdev(self._scores) if self._scores else None,
            fit=fit_of(self._numbers) if self._numbers else None,
            label_words_share=self._held / self._asked if asks_words and self._asked else None,
        )


def r2_of(rows: Iterable[SentenceRows]) -> float | None:
    """Return R² of the stored scores of sentences; None where no sentence has a right number."""
    pairs = [(row.probabilities[0], row.answers[0]) for row in rows if row.probabilities and row.answers]
    return fit_of(pairs).r2 if pairs else None


def fit_of(pairs: Sequence[tuple[float, float]]) -> ScoreFit:
    """Return how close scores are to the right numbers, from (score, number) of each sentence.

        fit_of([(1.0, 1.0), (2.0, 3.0)])     # ScoreFit(r2=0.5, correlation=1.0)

    `r2` is the coefficient of determination, `1 - sum (y - s)^2 / sum (y - mean y)^2`, of the scores `s` as they are.
    Below 0, the scores are farther off than the mean number. `correlation` is Pearson's, which does not change with a
    shift or another unit of the scores. Both are None where all numbers are equal; `correlation` also where all scores
    are.
    """
    scores, numbers = (list(column) for column in zip(*pairs, strict=True))
    middle = mean(numbers)
    spread = sum((number - middle) ** 2 for number in numbers)
    missed = sum((number - score) ** 2 for score, number in pairs)
    varies = spread > 0 and pstdev(scores) > 0
    return ScoreFit(
        r2=1 - missed / spread if spread else None, correlation=correlation(scores, numbers) if varies else None
    )
