"""What is said of a training's figures: each sentence where its figures bear it out, and not where they do not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from clvq.config import TrainConfig
from clvq.training.checkpoint import Checkpoint
from clvq.training.results import TrainingResults
from clvq.training.verdict import training_verdict

FIGURES = {"fvu": 0.3, "fvu_codes_shuffled": 1.2, "fvu_own_code_mean": 0.5}
STANDARDS = {"copy": 1.5, "ridge": 0.4, "mean_per_code": 0.45, "frozen_kmeans": 0.35}


def trained(
    figures: dict[str, float | None] | None = None, settings: dict[str, Any] | None = None, /, **standards: float | None
) -> Checkpoint:
    """What the verdict reads of a checkpoint of 400 codes with these figures."""
    counts = dict.fromkeys(("training_rows", "training_sentences", "selection_sentences", "epochs_run"), 1)
    outcome = {"best_epoch": 1, "selection_fvu": 0.3, "steps": 1, "training_seconds": 1.0}
    codes = dict.fromkeys(("rows", "active_codes", "active_codes_5", "dead_codes"), 1)
    usage = {"fvu_sentence_rows": 0.2, "codebook_perplexity": 300.0, "candidates_in_use": 3.0}
    results = {
        "evaluation": {**codes, **usage, **FIGURES, **(figures or {})}, "yardsticks": {**STANDARDS, **standards},
        "target_layer": 8, "evaluation_sentences": 1234, "update_factor": 2.0, **counts, **outcome,
    }  # fmt: skip
    read, given = TrainingResults.from_json(results), TrainConfig(input_layer=4, output_layer=8, **(settings or {}))
    return cast(Checkpoint, SimpleNamespace(settings=given, results=read, size=400, codebooks=1))


def test_a_codebook_that_does_all_that_it_should() -> None:
    said = training_verdict(trained())
    assert said.warnings == []
    assert said.sentences == [
        "On 1,234 evaluation sentences, 400 codes explain 70% of the variance of layer 8 (FVU 0.300).",
        "The prediction depends on the codes: without a word's own code FVU is 0.500, and with the codes shuffled "
        "among words it is 1.200.",
        "It does better than frozen k-means codes with the same decoder (FVU 0.350), a ridge map of the states, "
        "without codes (FVU 0.400), the mean output of a k-means code (FVU 0.450) and a copy of the input layer "
        "(FVU 1.500).",
    ]


@pytest.mark.parametrize(
    ("name", "value", "warning"),
    [
        ("ridge", 0.2, "It does worse than a ridge map of the states, without codes (FVU 0.200)."),
        ("frozen_kmeans", 0.301, "It does no better than frozen k-means codes with the same decoder (FVU 0.301)."),
        ("frozen_kmeans", 0.299, "It does no better than frozen k-means codes with the same decoder (FVU 0.299)."),
        ("mean_per_code", 0.29, "It does worse than the mean output of a k-means code (FVU 0.290)."),
        ("copy", 0.1, "It does worse than a copy of the input layer (FVU 0.100)."),
    ],
)
def test_a_yardstick_that_is_ahead_is_a_warning(name: str, value: float, warning: str) -> None:
    said = training_verdict(trained(**{name: value}))
    assert said.warnings == [warning]
    assert f"FVU {value:.3f}" not in " ".join(said.sentences)
    assert training_verdict(trained(**{name: None})).warnings == []


@pytest.mark.parametrize(
    ("figures", "warning"),
    [
        ({"fvu_own_code_mean": 0.299}, "A word is predicted as well without its own code (FVU 0.299)"),
        ({"fvu_own_code_mean": 0.302}, "A word is predicted as well without its own code (FVU 0.302)"),
        ({"fvu_codes_shuffled": 0.302}, "With the codes shuffled among words, FVU is 0.302"),
    ],
)
def test_codes_that_nothing_goes_through_are_a_warning(figures: dict[str, float | None], warning: str) -> None:
    said = training_verdict(trained(figures))
    assert len(said.warnings) == 1
    assert said.warnings[0].startswith(warning)
    assert "goes through" not in " ".join(said.sentences)


def test_codes_that_explain_nothing() -> None:
    said = training_verdict(trained({"fvu": 1.1, "fvu_own_code_mean": 1.3, "fvu_codes_shuffled": 1.4}))
    assert said.sentences[0] == (
        "On 1,234 evaluation sentences, 400 codes predict layer 8 no better than its mean does (FVU 1.100)."
    )
    assert len(said.warnings) == 1
    one = SimpleNamespace(**{**vars(trained({"fvu": 1.1})), "size": 1})
    assert "1 code predicts layer 8 no better" in training_verdict(cast(Checkpoint, one)).sentences[0]
    without = training_verdict(trained({"fvu": None}))
    assert without.sentences == []
    assert without.warnings == [
        "FVU cannot be computed: the words of the evaluation split do not vary, or there are none."
    ]


def test_a_predicted_update_is_judged_by_figures_of_the_update_alone() -> None:
    """Here these are twice those of the state."""
    said = training_verdict(trained({}, {"predict": "update"}))
    assert said.sentences == [
        "On 1,234 evaluation sentences, 400 codes explain 40% of the variance of the update from layer 4 to 8 (FVU "
        "0.600, of the update as all that follow; of the layer itself 0.300).",
        "The prediction depends on the codes: without a word's own code FVU is 1.000, and with the codes shuffled "
        "among words it is 2.400.",
        "It does better than frozen k-means codes with the same decoder (FVU 0.700), a ridge map of the states, "
        "without codes (FVU 0.800), the mean output of a k-means code (FVU 0.900) and a copy of the input layer "
        "(FVU 3.000).",
    ]


def test_a_decoder_that_sees_the_states_explains_with_them() -> None:
    said = training_verdict(trained({}, {"decoder_memory": "encoder"}))
    assert "400 codes and the states themselves explain 70% of the variance of layer 8" in said.sentences[0]
