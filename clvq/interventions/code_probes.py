"""What a few codes tell of a text, and what taking them out does to probes, as in SAEBench (arXiv 2503.09532).

    sparse probing   the accuracy, on the evaluation split, of a logistic regression on the k codes whose mean activity
                     differs most between the texts of a class and other texts
    TPP              targeted probe perturbation: the codes of a class are taken out. The score is how much the accuracy
                     of the class's own probe falls, minus the mean fall of the other classes' probes
    SCR              spurious correlation removal: a probe learns a label on texts where an attribute always goes with
                     it. The codes of the attribute are taken out. The score is (accuracy after - before) / (accuracy of
                     a probe that was trained where the two are independent - before), on texts where they are
                     independent

Probes read the mean state of a text's words, `m`. Taking the codes A out of a text in which code i is active by `f_i`
gives `m - sum over A of f_i a_i`, with `a_i` what a code adds to a state (`ConceptSpace.atoms`). The codes of a class
are those with the largest `(mean f_i of the class - mean f_i of others) (w' a_i)`, with `w` the weights of the class's
probe. For TPP a first factor below 0 counts as 0; for SCR the absolute value of the product is used. Each set of texts
is balanced.

As in SAEBench, there are two ways to compute SCR: read the label and take the attribute's codes out, or read the
attribute and take the label's codes out. The way with the lower accuracy before is used. SCR is left out where the
probe that was trained on independent texts is hardly better.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression

from clvq.interventions.text_codes import LABEL, TextStates

PROBE_CODES = (1, 2, 5)
"""Codes that a sparse probe reads."""
TAKEN_OUT = (2, 5, 10, 20, 50)
"""Codes that SCR and TPP take out."""
MOST = {"train": 4000, "eval": 1000}
"""Largest number of texts in a balanced set."""
LEAST = {"train": 10, "eval": 5}
"""Fewest texts of each side (for SCR, of each of the four cells) with which a score is measured."""
LEAST_GAP = 0.02
"""SCR is left out where the two accuracies of its denominator differ by less."""
SPLITS = ("train", "eval")


class Score(NamedTuple):
    """A figure, and what each text adds to it, so that texts can be resampled."""

    value: float
    deviations: np.ndarray
    """[N] by how much each text moves the figure; they sum to 0. Of a mean over N texts, `(x - mean) / N`. A ratio is
    linearized about its means, so that the error of its denominator counts too."""
    texts: np.ndarray
    """[N] which distinct text of the evaluation split each text is."""


Scores = dict[tuple[str, str, int], dict[str, Score]]
"""By measure, attribute and number of codes, the score of each task."""


@dataclass(frozen=True)
class Probe:
    """A linear probe of mean states."""

    weights: np.ndarray
    """[D]"""
    bias: float

    @classmethod
    def fitted(cls, states: np.ndarray, sides: np.ndarray) -> Probe:
        """Return a logistic regression of states `[N, D]`, standardized, on sides `[N]` (True is the class)."""
        middle, spread = states.mean(axis=0), states.std(axis=0) + 1e-8
        found = LogisticRegression(max_iter=1000).fit((states - middle) / spread, sides)
        weights = found.coef_[0] / spread
        return cls(weights, float(found.intercept_[0] - weights @ middle))

    def right(self, states: np.ndarray, sides: np.ndarray) -> np.ndarray:
        """Return `[N]`: 1 where the probe gives the right side of a state, else 0."""
        return ((states @ self.weights + self.bias > 0) == sides).astype(float)


class Task(NamedTuple):
    """A class of an attribute against the rest, with equally many texts of both sides."""

    attribute: str
    value: str
    chosen: dict[str, np.ndarray]
    """By split, the indices of the texts."""
    sides: dict[str, np.ndarray]
    """By split, whether each text is of the class."""
    probe: Probe


class Crossing(NamedTuple):
    """Two classes of the label crossed with two values of an attribute; all four cells have the same size."""

    attribute: str
    value: str
    """Both values of the attribute."""
    chosen: dict[str, np.ndarray]
    sides: dict[str, tuple[np.ndarray, np.ndarray]]
    """By split, which class and which value of the attribute each text has."""
    clean: tuple[Probe, Probe]
    """Probes of the label and of the attribute, trained where they are independent."""
    biased: Probe
    """The probe that was trained where they go together."""


class CodeProbes:
    """The tasks of a corpus with their probes, which are the same for all checkpoints."""

    def __init__(self, texts: Mapping[str, TextStates], seed: int) -> None:
        """Take the texts of both SPLITS; `seed` draws the balanced sets."""
        self.texts, self.seed = texts, seed
        self.tasks = list(self._tasks())
        self.crossings = list(self._crossings())

    def of_states(self) -> Scores:
        """Return the accuracy of probes that read the whole state."""
        return {
            ("probing", name, 0): {
                task.value: self._mean(task, task.probe.right(self._states(task, "eval"), task.sides["eval"]))
                for task in self.tasks
                if task.attribute == name
            }
            for name in dict.fromkeys(task.attribute for task in self.tasks)
        }

    def of_codes(self, codes: Mapping[str, csr_array], atoms: np.ndarray) -> Scores:
        """Return all scores of one checkpoint, from the activity of its codes `[S, K]` in the texts of both splits and
        what each adds to the scaled states `[K, D]`."""
        scores: Scores = {}
        for task in self.tasks:
            for k in PROBE_CODES:
                score = self._mean(task, self._sparse(task, codes, k))
                scores.setdefault(("probing", task.attribute, k), {})[task.value] = score
        for n in TAKEN_OUT:
            for task, others in self._several():
                score = self._targeted(task, others, codes, atoms, n)
                scores.setdefault(("tpp", task.attribute, n), {})[task.value] = score
            for crossing in self.crossings:
                if (removed := self._removed(crossing, codes, atoms, n)) is not None:
                    scores.setdefault(("scr", crossing.attribute, n), {})[crossing.value] = removed
        return scores

    def lacking(self) -> Iterator[str]:
        """Yield why a measure cannot be taken on these texts."""
        if not self.tasks:
            yield (
                f"No probes: no class has {LEAST['train']} texts to train on and {LEAST['eval']} to evaluate, and as "
                "many others."
            )
        attributes = self.texts["train"].attributes
        if not any(self._several()):
            few = "no attribute of the texts has three values or more"
            if any(len(self._values(name)) > 2 for name in attributes):
                few = "no attribute has three values or more that enough texts have"
            yield f"No TPP: {few}, so there are no other probes to compare with."
        if not self.crossings:
            others = " or ".join(name for name in attributes if name != LABEL)
            why = f"too few texts have each of two classes with each of two values of {others}"
            if len(attributes) == 1:
                why = "no attribute except the label is known for the texts"
            elif len(self._values(LABEL)) < 2:
                why = "the texts have no labels" if not self._values(LABEL) else "the texts have one class alone"
            yield f"No SCR: {why}."

    def _tasks(self) -> Iterator[Task]:
        for attribute in self.texts["train"].attributes:
            values = self._values(attribute)
            for value in values if len(values) > 2 else values[-1:]:
                chosen: dict[str, np.ndarray] = {}
                for split in SPLITS:
                    values_there = self.texts[split].attributes[attribute]
                    inside, known = values_there == value, values_there != ""
                    sides = [np.flatnonzero(inside), np.flatnonzero(known & ~inside)]
                    chosen[split] = self._balanced(sides, split, (attribute, value))
                if all(len(chosen[split]) >= 2 * LEAST[split] for split in SPLITS):
                    given = {split: self.texts[split].attributes[attribute] for split in SPLITS}
                    is_class = {split: given[split][chosen[split]] == value for split in SPLITS}
                    probe = Probe.fitted(self.texts["train"].states[chosen["train"]], is_class["train"])
                    yield Task(attribute, value, chosen, is_class, probe)

    def _several(self) -> Iterator[tuple[Task, list[Task]]]:
        """Yield each task of an attribute with three values or more, with the others of the attribute."""
        for task in self.tasks:
            others = [other for other in self.tasks if other.attribute == task.attribute and other is not task]
            if len(others) > 1:
                yield task, others

    def _crossings(self) -> Iterator[Crossing]:
        classes = [name for name in self._values(LABEL) if self._is_frequent(name)]
        for attribute in self.texts["train"].attributes:
            if attribute == LABEL or len(classes) < 2:
                continue
            for pair in combinations(self._values(attribute), 2):
                if (crossing := self._crossing((classes[0], classes[-1]), attribute, pair)) is not None:
                    yield crossing

    def _crossing(self, classes: tuple[str, str], attribute: str, pair: tuple[str, str]) -> Crossing | None:
        chosen, sides, together = {}, {}, np.zeros(0, np.int64)
        for split in SPLITS:
            labels, values = (self.texts[split].attributes[name] for name in (LABEL, attribute))
            cells = [np.flatnonzero((labels == one) & (values == other)) for one in classes for other in pair]
            chosen[split] = self._balanced(cells, split, (attribute, *pair))
            if len(chosen[split]) < 4 * LEAST[split]:
                return None
            sides[split] = (labels[chosen[split]] == classes[1], values[chosen[split]] == pair[1])
            if split == "train":
                together = self._balanced([cells[0], cells[3]], split, (attribute, *pair, "together"))
        states = self.texts["train"].states
        clean = [Probe.fitted(states[chosen["train"]], side) for side in sides["train"]]
        biased = Probe.fitted(states[together], self.texts["train"].attributes[LABEL][together] == classes[1])
        return Crossing(attribute, " / ".join(pair), chosen, sides, (clean[0], clean[1]), biased)

    def _is_frequent(self, label: str) -> bool:
        """Return whether both splits have enough texts of a class for the two cells in which it is crossed."""
        return all(int((self.texts[split].attributes[LABEL] == label).sum()) >= 2 * LEAST[split] for split in SPLITS)

    def _values(self, attribute: str) -> list[str]:
        """Return the known values of an attribute, by name."""
        return sorted(set(self.texts["train"].attributes[attribute].tolist()) - {""})

    def _balanced(self, sides: list[np.ndarray], split: str, key: tuple[str, ...]) -> np.ndarray:
        """Return equally many indices of each side; the draw depends only on the seed, the split and `key`."""
        size = min(*(len(side) for side in sides), MOST[split] // len(sides))
        generator = np.random.default_rng([self.seed, *"\0".join((split, *key)).encode()])
        return np.sort(np.concatenate([generator.choice(side, size, replace=False) for side in sides]))

    def _states(self, task: Task | Crossing, split: str) -> np.ndarray:
        return self.texts[split].states[task.chosen[split]]

    def _mean(self, task: Task | Crossing, values: np.ndarray) -> Score:
        """Return the mean of values over the evaluation texts of a task, as a score."""
        middle = float(values.mean())
        return Score(middle, (values - middle) / len(values), self.texts["eval"].texts[task.chosen["eval"]])

    @staticmethod
    def _sparse(task: Task, codes: Mapping[str, csr_array], k: int) -> np.ndarray:
        """Return for each evaluation text 1 where a probe of k codes is right, else 0."""
        seen = {split: codes[split][task.chosen[split]] for split in SPLITS}
        gaps = np.abs(_gaps(seen["train"], task.sides["train"]))
        best = np.argsort(-gaps, kind="stable")[:k]
        read = {split: seen[split][:, best].toarray() for split in SPLITS}
        probe = LogisticRegression(max_iter=1000).fit(read["train"], task.sides["train"])
        return (probe.predict(read["eval"]) == task.sides["eval"]).astype(float)

    def _targeted(
        self, task: Task, others: list[Task], codes: Mapping[str, csr_array], atoms: np.ndarray, n: int
    ) -> Score:
        """Return the fall of the class's own probe minus the mean fall of the other classes' probes."""
        gaps = _gaps(codes["train"][task.chosen["train"]], task.sides["train"]).clip(min=0)
        out = _largest(gaps * (atoms @ task.probe.weights), n)
        scores = []
        for other in (task, *others):
            before = self._states(other, "eval")
            after = before - codes["eval"][other.chosen["eval"]][:, out] @ atoms[out]
            right = [other.probe.right(states, other.sides["eval"]) for states in (before, after)]
            weight = 1.0 if other is task else -1.0 / len(others)
            score = self._mean(other, right[0] - right[1])
            scores.append((weight * score.value, weight * score.deviations, score.texts))
        values, deviations, texts = zip(*scores, strict=True)
        return Score(sum(values), np.concatenate(deviations), np.concatenate(texts))

    def _removed(self, crossing: Crossing, codes: Mapping[str, csr_array], atoms: np.ndarray, n: int) -> Score | None:
        """Return the share of the spurious correlation that is removed; None where there was hardly any."""
        states = self._states(crossing, "eval")
        sides = crossing.sides["eval"]
        before = [crossing.biased.right(states, side) for side in sides]
        # Either the label is read and the attribute's codes are taken out, or the other way round.
        read = int(before[0].mean() > before[1].mean())
        taken = 1 - read
        gaps_of_texts = crossing.clean[read].right(states, sides[read]) - before[read]
        gap = gaps_of_texts.mean()
        if gap < LEAST_GAP:
            return None
        gaps = _gaps(codes["train"][crossing.chosen["train"]], crossing.sides["train"][taken])
        out = _largest(np.abs(gaps * (atoms @ crossing.clean[taken].weights)), n)
        after = states - codes["eval"][crossing.chosen["eval"]][:, out] @ atoms[out]
        closed = crossing.biased.right(after, sides[read]) - before[read]
        share = float(closed.mean() / gap)
        return self._mean(crossing, (closed - share * gaps_of_texts) / gap)._replace(value=share)


def _gaps(codes: csr_array, sides: np.ndarray) -> np.ndarray:
    """Return for each code `[K]` its mean activity in the texts of a side minus that in the other texts."""
    return np.asarray(codes[sides].mean(axis=0) - codes[~sides].mean(axis=0)).ravel()


def _largest(effects: np.ndarray, n: int) -> np.ndarray:
    """Return the n codes with the largest effects; codes without an effect are left out."""
    order = np.argsort(-effects, kind="stable")[:n]
    return order[effects[order] != 0]
