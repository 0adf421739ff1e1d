"""Results of a training as values: what config.json holds of them, and what screen, report and model card show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from clvq.artifacts.records import Record


@dataclass(frozen=True)
class Evaluation(Record):
    """Figures over the word rows of a split. A figure that cannot be computed is None."""

    rows: int
    fvu: float | None
    fvu_sentence_rows: float | None
    """FVU over the sentence rows alone, about their own training mean; None where most sentences have no such row, as
    in a decoder."""
    codebook_perplexity: float
    active_codes: int
    active_codes_5: int
    """Codes on 5 distinct sentences or more."""
    dead_codes: int
    candidates_in_use: float
    """exp of the mean entropy of the draw among the nearest codes: 1 is greedy, top_k is uniform."""
    fvu_codes_shuffled: float | None = None
    """Bottleneck reliance: FVU with the codes shuffled among the words of the split."""
    fvu_own_code_mean: float | None = None
    """Bottleneck reliance: FVU of words whose own code is replaced by the mean code while their neighbours keep
    theirs."""
    fvu_first_codebook: float | None = None
    """Of several codebooks: FVU where the codes of all but the first are left out. The decoder was never trained
    without them, so this is no measure of what the first codes alone could predict."""

    omitted = ("fvu_first_codebook",)


@dataclass(frozen=True)
class SaeEvaluation(Record):
    """Figures over the word rows of a split. A figure that cannot be computed is None.

    FVU is that of the layer that is reconstructed: the input layer, or the output layer for a cross-layer autoencoder.
    The code of a word is its strongest latent.
    """

    rows: int
    fvu: float | None
    fvu_sentence_rows: float | None
    l0: float
    """Mean number of active latents of a word."""
    active_latents: int
    dead_latents: int
    codebook_perplexity: float
    active_codes: int
    active_codes_5: int
    """Codes on 5 distinct sentences or more."""
    dead_codes: int
    candidates_in_use: None = None
    fvu_codes_shuffled: None = None
    fvu_own_code_mean: None = None
    fvu_first_codebook: None = None
    """The last four are about the draw among codes and a decoder that sees codes; an autoencoder has neither."""

    omitted = ("fvu_first_codebook",)


@dataclass(frozen=True)
class Yardsticks(Record):
    """FVU over the word rows of the evaluation split; None where there is no such figure."""

    copy: float | None
    """The input layer's rows as a prediction of the output layer's, both in the model's own units; None where the
    widths differ, and in checkpoints of earlier versions, which compared rows that were scaled layer by layer."""
    ridge: float | None
    """A linear map with intercept, fitted on the training rows."""
    mean_per_code: float | None
    """Each row predicted as the mean training output of its spherical k-means code: from one word, without context."""
    frozen_kmeans: float | None = None
    """Frozen k-means codes with the same decoder and training; None where they were not trained (yardsticks="full")."""

    omitted = ("frozen_kmeans",)


@dataclass(frozen=True)
class Tried(Record):
    """One point of the sweep of a sparse autoencoder."""

    learning_rate: float
    k: int
    selection_fvu: float | None
    seconds: float


@dataclass(frozen=True)
class SaeChoice(Record):
    """The dictionary of a sparse autoencoder, and the sweep that chose its k and learning rate."""

    latents: int
    k: int
    learning_rate: float
    sweep: list[Tried]
    sweep_sentences: int
    """Number of sentences in each short training."""


@dataclass(frozen=True)
class TrainingResults(Record):
    """What a training gave, and how long it took.

        results = clvq.read_checkpoint("run/L4-L8").results
        print(results.evaluation.fvu, results.yardsticks.ridge, results.of_update)

    `Checkpoint.results` is this record.
    """

    evaluation: Evaluation | SaeEvaluation
    """On the evaluation split."""
    sae: SaeChoice | None
    """None where codes were trained."""
    yardsticks: Yardsticks
    """Simpler predictions of the same rows."""
    update_factor: float | None
    """Factor that turns an FVU over words into the FVU of the update; None where there is no update."""
    target_layer: int
    """The layer that is predicted: the output layer, or the input layer where that is reconstructed."""
    training_rows: int
    training_sentences: int
    """Number of distinct sentences."""
    selection_sentences: int
    """Number of training sentences that are held back to choose the epoch that is kept."""
    evaluation_sentences: int
    epochs_run: int
    best_epoch: int
    selection_fvu: float | None
    steps: int
    training_seconds: float

    @property
    def of_update(self) -> dict[str, float | None]:
        """FVU of the update `u = y - x`, which the layers between add to a word's state: of the model (`fvu`), and of
        each yardstick by its name. Empty where there is no update, and for checkpoints of earlier versions.

        A residual stream carries most of its state on, so a copy of the input layer may explain most of the output
        layer. A prediction `y_hat` of the output layer also predicts the update, as `y_hat - x`, with the same errors.
        So the two figures differ by one factor:

            sum |y - y_hat|^2 / sum |u - mean u|^2  =  FVU * sum |y - mean y|^2 / sum |u - mean u|^2
        """
        factor = self.update_factor
        if factor is None:
            return {}
        figures = {"fvu": self.evaluation.fvu, **self.yardsticks.as_json()}
        return {name: None if value is None else factor * value for name, value in figures.items()}

    def as_json(self) -> dict[str, Any]:
        """Return what config.json holds."""
        chosen = {} if self.sae is None else self.sae.as_json()
        others = {name: value for name, value in vars(self).items() if name not in ("evaluation", "sae", "yardsticks")}
        return {"evaluation": self.evaluation.as_json(), **chosen, "yardsticks": self.yardsticks.as_json(), **others}

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Read what config.json holds. Errors as those of `Record`."""
        sae = SaeChoice.from_json(body) if "sweep" in body else None
        evaluation = (Evaluation if sae is None else SaeEvaluation).from_json(body["evaluation"])
        return super().from_json({"update_factor": None, **body, "evaluation": evaluation, "sae": sae})
