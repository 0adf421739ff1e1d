"""The names of edits, places, controls and figures on the screen, in the report and in files."""

from __future__ import annotations

from clvq.config import LABEL, SCORES, TAG, TEXT_TOKEN, FaithfulnessConfig

FIGURE_NAMES = {
    "flips": "flips",
    "kl": "KL",
    "probability": "fall of probability",
    "agreement": "agreement",
    "loss": "loss",
    "accuracy": "accuracy",
    "share_recovered": "loss recovered",
    "share_recovered_labels": "loss recovered, labels",
}
SPECIFICITY_NAMES = {
    "cause": "cause",
    "isolation": "isolation",
    "both": "mean of the two",
    "targeted": "targeted effect",
    "spillover": "spillover",
}
EDIT_NAMES = {
    "removal": "centred removal",
    "classless": "removal without the class",
    "projection": "projection, as published",
    "mean": "replacement by the mean",
}
_OF_SCORES = {
    "flips": "changes over 1 SD",
    "kl": "squared change, SD²",
    "probability": "fall of the score, SD",
    "agreement": "within 1 SD",
}
"""Names where the answer is a number. SD is the standard deviation of the clean scores of the evaluation split."""
CONCEPT = "the concept"
CONTROL_NAMES = {
    "random": "random",
    "covariance": "covariance random",
    "coherent": "coherent random",
    "class_direction": "class direction",
    "own": "own deviation",
    "other": "put in: another word's",
    "usage": "put in: of like usage",
    "class": "put in: another class's",
}
PROBE_CONTROL_NAMES = {
    **{name: CONTROL_NAMES[name] for name in ("random", "covariance", "own")},
    "gaussian": "Gaussian, as published",
    "other": "concept, any sentence",
    "same": "concept, same prediction",
    "opposite": "concept, other prediction",
}
STAND_INS = {"clean": "other tokens left clean", "ablated": "other tokens the mean"}
"""What is put at tokens without a row while a reconstruction is spliced in."""
SPLICED = {"spliced": "spliced", "ablated": "all rows the mean"}


def figure_names(target: str) -> dict[str, str]:
    """Return the names of figures, for answers of the kind `target` (`Target.kind`)."""
    return FIGURE_NAMES | (_OF_SCORES if target in SCORES else {})


def note_on_target(kind: str, unit: float | None) -> str | None:
    """Return what figures mean for answers of a kind (`Target.kind`); None where their names say enough."""
    if kind == LABEL:
        return (
            "The model is asked for each label by itself, yes or no, so a sentence counts once for each label. In a "
            "table by class, the label stands for the class."
        )
    if kind == TAG:
        return (
            "The model is asked for the tag of each tagged word, so a sentence counts once for each. The row of "
            "that word, where its tag is read, stands for the sentence row."
        )
    if kind == TEXT_TOKEN:
        return (
            "The model is asked for the next token at every token of the texts, and the loss is that of the token that "
            "follows. Each row is reconstructed from the rows up to it alone."
        )
    if kind not in SCORES:
        return None
    deviation = "" if unit is None else f" ({unit:.4g})"
    return (
        "The answer is a score. SD is the standard deviation of the clean scores of the evaluation split"
        f"{deviation}: a flip is a change by more than 1 SD, and in place of KL stands the squared change."
    )


def names_of(config: FaithfulnessConfig, target: str) -> dict[str, str]:
    """Return the names of the edits, places, controls and figures of a measurement inside the model, for answers of the
    kind `target`."""
    salient = (
        f"words with {config.mass:.0%} of the attribution"
        if config.mass is not None
        else "most salient word" if config.top == 1 else f"{config.top} most salient words"
    )  # fmt: skip
    to = "another class" if config.to is None else f"concept {config.to}"
    return {
        **EDIT_NAMES,
        "move": f"move to {to}, strength {config.strength:g}",
        "salient": salient,
        "concept": "words of the top word's concept",
        "sentence": "sentence row",
        "all": "all words",
        **CONTROL_NAMES,
        **{name: figure_names(target)[name] for name in ("flips", "kl", "probability")},
    }


def control_name(control: str | None) -> str:
    """Return the name of a control of the probe; None is the edit itself."""
    return CONCEPT if control is None else PROBE_CONTROL_NAMES[control]
