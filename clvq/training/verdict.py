"""What the figures of a training mean, in one to three sentences, and what speaks against believing them.

The text depends on the figures alone, so that screen, report, model card and `--json` say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from clvq.training.checkpoint import Checkpoint

ALIKE = 0.01
"""FVU figures that differ by less than this share of the model's own are said to be alike."""
FEW_SENTENCES = 20
"""Evaluation sentences below which a warning is given."""


class Verdict(NamedTuple):
    """The meaning of figures, for people."""

    sentences: list[str]
    warnings: list[str]
    """Each gives a reason to doubt the figures, with the figure that shows it."""

    def as_json(self) -> dict[str, list[str]]:
        return self._asdict()


def training_verdict(checkpoint: Checkpoint) -> Verdict:
    """Return what a checkpoint's results mean: how much the codes explain, and whether the prediction depends on the
    codes."""
    results = checkpoint.results
    figures, fvu = results.evaluation, results.evaluation.fvu
    if fvu is None:
        return Verdict(
            [], ["FVU cannot be computed: the words of the evaluation split do not vary, or there are none."]
        )
    sentences, warnings = [_explained(checkpoint, fvu)], []
    unit = 1.0 if (factor := _of_update(checkpoint)) is None else factor
    shuffled, alone = (
        None if value is None else unit * value for value in (figures.fvu_codes_shuffled, figures.fvu_own_code_mean)
    )
    standards = {name: None if value is None else unit * value for name, value in vars(results.yardsticks).items()}
    fvu *= unit
    if shuffled is not None and not _above(shuffled, fvu):
        warnings.append(
            f"With the codes shuffled among words, FVU is {shuffled:.3f}: the prediction does not depend on the codes."
        )
    elif alone is not None and not _above(alone, fvu):
        warnings.append(
            f"A word is predicted as well without its own code (FVU {alone:.3f}): the codes of its neighbours say as "
            "much about it. Read a code as what its sentence is about, not as what the word is."
        )
    elif shuffled is not None and alone is not None:
        sentences.append(
            f"The prediction depends on the codes: without a word's own code FVU is {alone:.3f}, and with the codes "
            f"shuffled among words it is {shuffled:.3f}."
        )
    better, alike, worse = _compared(fvu, standards)
    if better:
        sentences.append(f"It does better than {joined(better)}.")
    if alike:
        warnings.append(f"It does no better than {joined(alike)}.")
    if worse:
        warnings.append(f"It does worse than {joined(worse)}.")
    if (count := results.evaluation_sentences) < FEW_SENTENCES:
        asked = "one evaluation sentence" if count == 1 else f"{count} evaluation sentences"
        warnings.append(f"The figures are of {asked}: so few say little about other texts.")
    return Verdict(sentences, warnings)


def _explained(checkpoint: Checkpoint, fvu: float) -> str:
    """Say what share of the variance is explained, and on how many sentences."""
    settings, results = checkpoint.settings, checkpoint.results
    size = f"{checkpoint.size:,}"
    codes = "1 code" if checkpoint.size == 1 else f"{size} codes"
    parts = codes if results.sae is None else f"{results.sae.k} of {size} directions"
    parts = f"{parts} in each of {books} codebooks" if (books := checkpoint.codebooks) > 1 else parts
    parts = f"{parts} and the states themselves" if settings.decoder_memory == "encoder" and not results.sae else parts
    what = f"layer {results.target_layer}"
    measured = f"FVU {fvu:.3f}"
    if (factor := _of_update(checkpoint)) is not None:
        what = f"the update from layer {settings.input_layer} to {results.target_layer}"
        measured = f"FVU {factor * fvu:.3f}, of the update as all that follow; of the layer itself {fvu:.3f}"
        fvu *= factor
    on = f"On {results.evaluation_sentences:,} evaluation sentences"
    ending = "s" if parts == "1 code" else ""
    if fvu >= 1:
        return f"{on}, {parts} predict{ending} {what} no better than its mean does ({measured})."
    return f"{on}, {parts} explain{ending} {1 - fvu:.0%} of the variance of {what} ({measured})."


def _of_update(checkpoint: Checkpoint) -> float | None:
    """Return the factor that turns figures into those of the update, where that is what is predicted; else None."""
    return checkpoint.results.update_factor if checkpoint.settings.predict == "update" else None


def _compared(fvu: float, standards: Mapping[str, float | None]) -> tuple[list[str], list[str], list[str]]:
    """Return the yardsticks that the model beats, those that it equals, and those that are ahead."""
    names = {
        "frozen_kmeans": "frozen k-means codes with the same decoder",
        "ridge": "a ridge map of the states, without codes",
        "mean_per_code": "the mean output of a k-means code",
        "copy": "a copy of the input layer",
    }
    better: list[str] = []
    alike: list[str] = []
    worse: list[str] = []
    for key, name in names.items():
        value = standards[key]
        if value is not None:
            kind = better if _above(value, fvu) else worse if value < fvu * (1 - ALIKE) else alike
            kind.append(f"{name} (FVU {value:.3f})")
    return better, alike, worse


def _above(value: float, fvu: float) -> bool:
    return value > fvu * (1 + ALIKE)


def joined(names: list[str]) -> str:
    """Return a list in words: `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
