"""Tests of the concepts with a probe: can a linear map still read the label from an edited sentence row?

`probe` is the sound protocol. `published_probe` is that of arXiv 2506.20040, with lines that show its result to be an
artefact. Neither runs the language model. A probe reads what a row contains, not what the model uses of it, so a fall
of the probe's accuracy says little about the model. `clvq.faithfulness` measures the model itself.

    before            accuracy of a logistic regression from the sentence row x at the input layer to the label
    concept           the same after x lost the concept of its sentence's most salient word (`clvq.interventions.edits`)
    controls          after a step of the same length elsewhere, means over the draws:
      random            along a random direction                             (`clvq.interventions.controls`)
      covariance        along one drawn with the covariance of the training words
      own               straight towards the mean of the training words
      other             along the concept of another sentence
      same, opposite    the same, of a sentence with the same prediction, or with another one
    selectivity       accuracy under the control minus accuracy under the concept
    chance distance   |accuracy - chance|, chance being the accuracy of always saying the most frequent class of the
                      training sentences. Far below chance, the label is not lost but reversed
    refitted          accuracy of probes fitted again to edited rows: what can still be decoded

The most salient word is chosen by the prediction, so the choice of its concept gives away the predicted class. The
concept of `same` gives away the class too, but nothing else of the sentence. If accuracy also falls under `same`, that
fall comes from the class, not from the concept.

Where sentences have no row of their own, the mean of their words' rows is used. Attention sinks are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional

from clvq.errors import ClvqError
from clvq.explanations.records import Explanation
from clvq.interventions.controls import TOLERANCE, UNDRAWN, random_basis
from clvq.interventions.edits import EDITS, RawProjection, Step
from clvq.interventions.intervals import interval_of
from clvq.interventions.mode_records import ProbeFigures, ProbeResult, ProbeRow
from clvq.interventions.probe_data import ProbeData
from clvq.interventions.records import Interval
from clvq.progress import Progress, Report, silent
from clvq.training.checkpoint import Checkpoint

PROBED = ("removal", "projection", "mean")
"""Edits that can be probed: those that put no concept in."""
DONORS = ("other", "same", "opposite")
CONTROLS = ("random", "covariance", "own", *DONORS)
CHECKS = ("same", "opposite", "other", "random")
"""The controls that check the published protocol."""
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Tried inverse strengths C of the regularisation, on rows whose columns have variance 1."""
FOLDS = 5
_ITERATIONS = 2000


def probe(
    checkpoint: Checkpoint,
    sentences: Sequence[Explanation],
    *,
    edit: Sequence[str] = ("removal", "projection"),
    draws: int = 3,
    seed: int = 0,
    progress: Report = silent,
) -> ProbeResult:
    """Run the sound protocol; the explanations `sentences` give the most salient words.

    The probe (logistic regression on standardized columns) is fitted to the training texts. Its regularisation is
    selected by log loss on the selection slice of the training split. Its accuracy is reported on the evaluation split.
    No text is in two of the three. *Refitted* probes see only edited rows: the evaluation split is divided by text into
    5 folds, and in turn one is reported, one is for selection and three are for fitting. The same is done with the
    unedited rows.

    ClvqError where there are no labels, or only those of one class; MismatchError where the explanations are of other
    sentences.
    """
    unknown = sorted(set(edit) - set(PROBED))
    if unknown or not edit:
        raise ClvqError(f"A probe takes the edits {', '.join(PROBED)}, not {', '.join(unknown) or 'none'}.")
    data = ProbeData.read(checkpoint, sentences, progress)
    training, selection = data.parts()
    fitted, strength = _selected(data.train[training], data.train_labels[training],
                                 data.train[selection], data.train_labels[selection])  # fmt: skip
    table = _Table(data, fitted, seed)
    lines = []
    for number, name in enumerate(edit):
        step = _step(name, data)
        lines.append(table.line(name, None, [step.after]))
        for control in CONTROLS:
            lines.append(table.line(name, control, _controlled(control, step, data, draws, seed)))
        progress(Progress("probe", number + 1, len(edit), "edits"))
    return ProbeResult(
        mode="probe",
        **data.about(),
        sentences={"training": len(training), "selection": len(selection), "evaluation": len(data.labels)},
        C=strength,
        before=table.before(),
        table=lines,
    )


def published_probe(
    checkpoint: Checkpoint,
    sentences: Sequence[Explanation],
    *,
    draws: int = 3,
    seed: int = 0,
    progress: Report = silent,
) -> ProbeResult:
    """Run the published protocol, with lines that show why its result is not to be believed.

    Arguments and errors are those of `probe`. A logistic regression with scikit-learn's defaults is fitted to all
    training sentences. The raw code of the most salient word is projected out of the sentence row: `x - (x . e) e`,
    with `e` of length 1. The published control is one random Gaussian direction for all sentences: `x - (x . g) g`. It
    moves x by another distance (`distance`), mostly a smaller one. These two lines of `table` have `protocol`
    "published".

    The lines that check them have `protocol` "check". They are steps as long as the concept's, along random directions
    and along the raw code of another concept: that of a sentence with the same prediction (`same`), with another one
    (`opposite`), or of any sentence (`other`). A fall that is there under `same` too, but not under `opposite`, comes
    from the predicted class, by which the concept was chosen. `refitted` says what a probe can still decode where the
    fitted one fails.
    """
    data = ProbeData.read(checkpoint, sentences, progress)
    fitted = LogisticRegression(max_iter=_ITERATIONS).fit(data.train.numpy(), data.train_labels)
    step = _step("projection", data)
    gaussian = torch.from_numpy(np.random.default_rng([seed]).standard_normal(data.states.shape[1], np.float32))
    columns = functional.normalize(gaussian, dim=0).expand_as(data.states)[:, :, None]
    published = RawProjection(data.space).apply(data.states, columns, step.predictions)
    table = _Table(data, fitted, seed)
    lines = [
        table.line("projection", None, [step.after], "published"),
        table.line("projection", "gaussian", [published], "published"),
    ]
    for control in CHECKS:
        moved = _controlled(control, step, data, draws, seed)
        lines.append(table.line("projection", control, moved, "check"))
    progress(Progress("probe", 1, 1, "edits"))
    return ProbeResult(
        mode="paper",
        **data.about(),
        sentences={"training": len(data.train_labels), "evaluation": len(data.labels)},
        C=None,
        before=table.before(),
        table=lines,
    )


def _step(name: str, data: ProbeData) -> Step:
    """Return the sentence rows before and after the concept of the most salient word is taken out."""
    edit = EDITS[name](data.space)
    basis = edit.basis(data.words)
    predictions = torch.from_numpy(data.classes)
    return Step(edit, data.states, basis, edit.apply(data.states, basis, predictions), predictions)


def _controlled(control: str, step: Step, data: ProbeData, draws: int, seed: int) -> list[Tensor]:
    """Return for each draw the sentence rows `[S, D]`, moved as far as the edit moved them."""
    if control in UNDRAWN:
        return [step.towards_mean()]
    return [step.along(_other_basis(control, step, data, (seed, draw))) for draw in range(draws)]


def _other_basis(control: str, step: Step, data: ProbeData, key: tuple[int, int]) -> Tensor:
    """Return `[S, D, r]`: another sentence's concept, or as many random columns as the sentence's own concept has."""
    if control in DONORS:
        donors = torch.from_numpy(_donors(control, data, key)).to(step.basis.device)
        return step.basis[donors.clamp_min(0)] * (donors >= 0)[:, None, None]
    columns = random_basis(control, data.space, data.owners, step.basis.shape[2], key)
    return columns * step.basis.any(dim=1)[:, None, :]


def _donors(control: str, data: ProbeData, key: tuple[int, int]) -> np.ndarray:
    """Return for each sentence `[S]` a random other one that has another concept; -1 where there is none."""
    codes = np.array([owner.code for owner in data.owners])
    found = np.full(len(codes), -1)
    for place, owner in enumerate(data.owners):
        allowed = codes != owner.code
        if control != "other":
            allowed &= (data.classes == data.classes[place]) == (control == "same")
        pool = np.flatnonzero(allowed)
        if len(pool):
            generator = np.random.default_rng([*key, DONORS.index(control), owner.sentence])
            found[place] = pool[generator.integers(len(pool))]
    return found


class _Table:
    """Figures of one fitted probe over edited sentence rows."""

    def __init__(self, data: ProbeData, fitted: Pipeline | LogisticRegression, seed: int) -> None:
        self.data, self.fitted, self.seed = data, fitted, seed
        self._right = self._correct(data.states)
        self._edit = self._right
        self._edit_distance = 0.0

    def before(self) -> ProbeFigures:
        return self._figures(self._right, [self.data.states])

    def line(self, edit: str, control: str | None, moved: list[Tensor], protocol: str | None = None) -> ProbeRow:
        """Return a line of the table from the edited rows of each draw; call it for an edit before its controls."""
        right = np.mean([self._correct(states) for states in moved], axis=0)
        lengths = [torch.linalg.vector_norm(states - self.data.states, dim=1).mean() for states in moved]
        distance = float(torch.stack(lengths).mean())
        if control is None:
            self._edit, self._edit_distance = right, distance
        alike = abs(distance - self._edit_distance) <= TOLERANCE * self._edit_distance
        comparable = control is not None and alike
        return ProbeRow(
            edit=edit,
            control=control,
            figures=self._figures(right, moved),
            drop=self._interval(self._right - right),
            distance=distance,
            selectivity=self._interval(right - self._edit) if comparable else None,
            protocol=protocol,
        )

    def _figures(self, right: np.ndarray, moved: list[Tensor]) -> ProbeFigures:
        again = [refitted(states, self.data.labels, self.data.texts, self.seed) for states in moved]
        known = [values for values in again if values is not None]
        return ProbeFigures(
            accuracy=self._interval(right),
            chance_distance=abs(float(right.mean()) - self.data.chance),
            refitted=self._interval(np.mean(known, axis=0)) if len(known) == len(again) else None,
        )

    def _correct(self, states: Tensor) -> np.ndarray:
        return np.asarray(self.fitted.predict(states.cpu().numpy()) == self.data.labels, float)

    def _interval(self, values: np.ndarray) -> Interval:
        return interval_of(values, self.data.texts, self.seed)


def refitted(states: Tensor, labels: np.ndarray, texts: np.ndarray, seed: int) -> np.ndarray | None:
    """Return `[S]`: 1 where a probe fitted and selected on other texts gives the label; None for too few texts."""
    if min(np.unique(texts[labels == label]).size for label in np.unique(labels)) < FOLDS or len(np.unique(labels)) < 2:
        return None
    rows = states.cpu()
    folds = np.zeros(len(labels), int)
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed % 2**32)  # scikit-learn takes 32 bits
    for number, (_, chosen) in enumerate(splitter.split(labels, labels, texts)):
        folds[chosen] = number
    right = np.zeros(len(labels))
    for number in range(FOLDS):
        reported, selection = folds == number, folds == (number + 1) % FOLDS
        fitting = ~reported & ~selection
        if not (reported.any() and selection.any() and len(np.unique(labels[fitting])) > 1):
            return None
        fitted, _ = _selected(rows[fitting], labels[fitting], rows[selection], labels[selection])
        right[reported] = fitted.predict(rows[reported].numpy()) == labels[reported]
    return right


def _selected(
    rows: Tensor, labels: np.ndarray, selection: Tensor, selection_labels: np.ndarray
) -> tuple[Pipeline, float]:
    """Return the logistic regression whose regularisation does best on the selection rows, and its C."""
    known = np.isin(selection_labels, labels)
    best: tuple[float, float, Pipeline] | None = None
    for strength in PENALTIES:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=_ITERATIONS))
        model.fit(rows.cpu().numpy(), labels)
        chances = model.predict_proba(selection.cpu().numpy()[known])
        loss = float(log_loss(selection_labels[known], chances, labels=model.classes_)) if known.any() else 0.0
        if best is None or loss < best[0]:
            best = loss, strength, model
    assert best is not None
    return best[2], best[1]
