"""Made-up artifacts of a checkpoint, in the form that `codebook` and `explain` write: as many as a test wants."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from clvq.artifacts import ASSIGNMENTS_NAME, BENCH, CODEBOOK, EXPLANATIONS, FAITHFULNESS, MODES, QUANTILES
from clvq.interventions.records import SPECIFICITY
from clvq.storage import file_checksum, write_records, write_signed, write_tensors
from clvq.training.checkpoint import Checkpoint

FDR = 0.05
CREATED = "2026-11-23T12:00:00+00:00"


def write_codebook(
    checkpoint: Checkpoint, texts: Sequence[str], concepts: int = 400, /, *, labels: bool = True, **changed: Any
) -> list[dict[str, Any]]:
    """codebook.json and concepts.jsonl: codes 0 to `concepts` - 1, every 40th of sentence rows; gives the concepts."""
    random = np.random.default_rng(0)
    words = sorted({word for text in texts for word in re.findall(r"\S+", text)})
    made = [_concept(code, concepts, texts, words, labels, random) for code in range(concepts)]
    checksum = write_records(checkpoint.path / "concepts.jsonl", made)
    figures = {
        "words": 360_183, "sentence_rows": 13_877, "sentences": 13_877, "distinct_sentences": 12_574,
        "word_types": len(words), "codebook_size": concepts + 1, "active_codes": concepts, "dead_codes": 1,
        "active_codes_5": concepts - 6, "codebook_perplexity": 331.3, "bits_per_word": 8.37, "quantization_r2": 0.61,
        "mean_cosine": 0.42, "mean_centred_cosine": -0.002, "ami_labels": 0.021 if labels else None,
        "ami_predictions": 0.022 if labels else None, "ami_words": 0.413,
        "label_concepts": sum(c["labels"]["q"] <= FDR for c in made) if labels else None,
    }  # fmt: skip
    quantiles = np.cumsum(random.gamma(2, 1, (concepts + 1, 101)), axis=1, dtype=np.float32)
    quantiles[[code for code, concept in enumerate(made) if concept["of_sentence_rows"]]] = np.nan
    write_tensors(checkpoint.path / ASSIGNMENTS_NAME, {QUANTILES: torch.from_numpy(quantiles)})
    body = {
        "checkpoint": checkpoint.fingerprint, "rows": checkpoint.config.provenance.rows, "split": "train",
        "label_names": ["negative", "positive"] if labels else None, "figures": figures, "fdr": FDR,
        "label_unit": "sentence",
        "label_totals": [6_600, 5_974] if labels else None, "prediction_totals": [6_600, 5_974] if labels else None,
        "label_texts": 12_574 if labels else None, "prediction_texts": 12_574 if labels else None,
        "concepts_checksum": checksum,
        "assignments_checksum": file_checksum(checkpoint.path / ASSIGNMENTS_NAME), "versions": {"clvq": "0.1.0"},
        "created": CREATED,
    }  # fmt: skip
    write_signed(checkpoint.path / "codebook.json", CODEBOOK.format, CODEBOOK.version, {**body, **changed})
    return made


def _concept(
    code: int, concepts: int, texts: Sequence[str], words: list[str], labels: bool, random: np.random.Generator
) -> dict[str, Any]:
    count = int(random.lognormal(6, 1)) + 5
    of_sentence_rows = code % 40 == 39
    top = [] if of_sentence_rows else [words[i] for i in random.choice(len(words), min(20, len(words)), replace=False)]
    examples = []
    for number, index in enumerate(random.choice(len(texts), min(10, len(texts)), replace=False)):
        found = re.search(r"\S+", texts[index][random.integers(len(texts[index])) // 2 :])
        found = None if of_sentence_rows else re.search(re.escape(found[0]) if found else r"\S+", texts[index])
        start, end = found.span() if found else (0, 0)
        label = int(index % 2) if labels else None
        example = {"sentence": int(index), "text": texts[index], "start": start, "end": end}
        word = texts[index][start:end]
        examples.append({**example, "word": word, "label": label, "prediction": label, "distance": 0.1 * number})
    further = [{**example, "distance": 2 + 3 * number} for number, example in enumerate(reversed(examples))]
    lean = float(random.beta(0.7, 0.7)) if code % 3 == 0 else float(random.normal(0.5, 0.03))
    split = [round(count * (1 - lean)), round(count * lean)]
    label = int(lean > 0.5)
    share = max(lean, 1 - lean)
    tested = {
        "counts": split, "texts": sum(split), "label": label, "share": share, "lift": share / 0.5,
        "p": 10 ** -(80 * (share - 0.5)), "q": min(1.0, 8 * 10 ** -(80 * (share - 0.5))),
    }  # fmt: skip
    angle, reach = random.uniform(0, 2 * np.pi), random.normal(1 + lean, 0.3)
    return {
        "code": code, "words": count, "sentence_rows": count * 2 if of_sentence_rows else 0,
        "of_sentence_rows": of_sentence_rows, "types": len(top), "sentences": count, "share": count / 360_183,
        "top_words": [
            {"word": word, "count": 400 // (rank + 1), "share": 0.3 / (rank + 1), "recall": float(random.uniform(0, 1))}
            for rank, word in enumerate(top)
        ],
        "examples": examples, "range_examples": further,
        "labels": tested if labels else None, "predictions": tested if labels else None,
        "neighbours": [{"code": (code + step) % concepts, "cosine": 0.8 - 0.1 * step} for step in range(1, 6)],
        "spread": float(random.uniform(0.2, 0.9)),
        "map": [20 * float(reach * np.cos(angle)), 20 * float(reach * np.sin(angle))],
    }  # fmt: skip


def write_explanations(
    checkpoint: Checkpoint, texts: Sequence[str], concepts: list[dict[str, Any]], count: int = 1000, /, **changed: Any
) -> list[dict[str, Any]]:
    """explanations.json and explanations.jsonl, every eighth prediction wrong; gives the explanations."""
    random = np.random.default_rng(1)
    made = [_explanation(number, texts[number % len(texts)], len(concepts), random) for number in range(count)]
    checksum = write_records(checkpoint.path / "explanations.jsonl", made)
    summary = {
        "sentences": count, "left_out": {"no words": 2}, "truncated": 0, "median_completeness_error": 0.012,
        "share_over_bound": 0.004, "median_steps": 32, "median_special_share": 0.23, "accuracy": 0.875,
    }  # fmt: skip
    measured = {"attribution": 0.43, "random": 0.27, "frequency": 0.31}
    codebook_checksum = changed.pop("codebook", None) or _checksum(checkpoint)
    body = {
        "checkpoint": checkpoint.fingerprint, "rows": checkpoint.config.provenance.rows,
        "codebook": codebook_checksum, "model": {"id": "tiny", "fingerprint": "0"},
        "settings": {"baseline": "padding", "mass": 0.5}, "target": "class", "label_names": ["negative", "positive"],
        "summary": summary,
        "rationales": {
            "column": "rationale", "sentences": count, "left_out": 0, "auprc": measured, "token_f1": measured,
        },
        "explanations_checksum": checksum, "versions": {"clvq": "0.1.0"}, "created": CREATED,
    }  # fmt: skip
    write_signed(checkpoint.path / "explanations.json", "clvq-explanations", 1, {**body, **changed})
    return made


def _checksum(checkpoint: Checkpoint) -> str:
    return str(CODEBOOK.read(checkpoint.path)["concepts_checksum"])


def _explained(checkpoint: Checkpoint) -> str | None:
    """What identifies the explanations; None where there are none."""
    explained = EXPLANATIONS.exists(checkpoint.path)
    return EXPLANATIONS.read(checkpoint.path)["explanations_checksum"] if explained else None


def _made_of(checkpoint: Checkpoint) -> dict[str, str]:
    return {"checkpoint": checkpoint.fingerprint, "store": checkpoint.config.provenance.rows}


def _explanation(number: int, text: str, concepts: int, random: np.random.Generator) -> dict[str, Any]:
    spans = [found.span() for found in re.finditer(r"\S+", text)]
    values = random.laplace(0.05, 0.2, len(spans))
    salient = set(np.argsort(-np.abs(values))[:2].tolist())
    prediction = number % 2
    return {
        "id": number, "text": text, "label": prediction if number % 8 else 1 - prediction, "prediction": prediction,
        "target": ["negative", "positive"][prediction], "probability": float(random.uniform(0.5, 1)),
        "difference": float(random.normal(4, 1)), "completeness_error": float(random.uniform(0, 0.05)), "steps": 32,
        "special_share": float(random.uniform(0, 0.4)),
        "words": [
            {"start": start, "end": end, "attribution": float(value), "code": int(random.integers(concepts)),
             "salient": place in salient}
            for place, ((start, end), value) in enumerate(zip(spans, values, strict=True))
        ],
        "rationale": [list(spans[0])] if spans else [],
    }  # fmt: skip


FLIPS = {None: 0.136, "random": 0.012, "coherent": 0.057, "own": 0.09, "other": 0.28}
"""What the concept and each control flip, at the salient words."""
UNMATCHED = "moves a word by 2 on average, and the edit by 3"
NAMES = {
    "removal": "centred removal", "salient": "5 most salient words", "sentence": "sentence row", "random": "random",
    "coherent": "coherent random", "own": "own deviation", "other": "put in: another word's", "flips": "flips",
    "kl": "KL", "probability": "fall of probability",
}  # fmt: skip


def write_faithfulness(
    checkpoint: Checkpoint, groups: dict[str, list[str]] | None = None, /, *, curve: bool = True, **changed: Any
) -> dict[str, Any]:
    """faithfulness.json: removal at salient words and sentence rows, of the groups' checkpoints; gives what it says.

    Each group is a little less selective than the one before, and so is each seed of it. At the sentence row the own
    deviation moves another distance.
    """
    name = checkpoint.path.name
    groups = {name: [name]} if groups is None else groups
    members = [(group, seed, member) for group, seeds in groups.items() for seed, member in enumerate(seeds)]
    falls = {member: 0.02 * list(groups).index(group) + 0.004 * seed for group, seed, member in members}
    means = {group: float(np.mean([falls[member] for member in seeds])) for group, seeds in groups.items()}
    seeded = {group: len(seeds) for group, seeds in groups.items() if len(seeds) > 1}
    first = next(iter(groups))
    names = [member for _, _, member in members]
    body = {
        **_made_of(checkpoint), "explanations": [_explained(checkpoint)], "beside": [],
        "model": {"id": "tiny", "fingerprint": "0"}, "settings": {},
        "checkpoints": [{"name": member, "fingerprint": f"of {member}"} for member in names], "names": NAMES,
        "clean": {"sentences": 856, "distinct_texts": 802, "accuracy": 0.9, "chance": 0.52},
        "figures": [line for member in names for line in _figures(member, falls[member])],
        "rows": [row for member in names for row in _rows(member, falls[member])],
        "by_class": [
            {"label": label, "sentences": 400 + number, **row}
            for number, label in enumerate(("negative", "<i>positive</i>"))
            for group in groups
            for row in _rows(group, means[group] - 0.02 * number)
        ],
        "specificity": [
            {"checkpoint": group, "label": label, "sentences": 300, "words": 3.5, "other_words": 2.25,
             **{name: {"value": 0.25 + 0.1 * at, "low": 0.2, "high": 0.9} for at, name in enumerate(SPECIFICITY)}}
            for group in groups for label in (None, "<i>positive</i>")
        ],
        "without_specificity": None,
        "curve": [row for member in names for row in _curve(member, falls[member])] if curve else [],
        "rank_curve": [row for member in names for row in _rank_curve(member, falls[member])] if curve else [],
        "groups": [
            {"name": group, "checkpoints": seeds, "seeds": list(range(len(seeds))), "method": "clvq"}
            for group, seeds in groups.items()
        ],
        "seeds": {
            "figures": [line for group in seeded for line in _figures(group, means[group])],
            "rows": [
                {**row, "spread": None if row["selectivity"] is None else 0.0042, "seeds": count}
                for group, count in seeded.items()
                for row in _rows(group, means[group])
            ],
            "curve": [
                {**row, "spread": None if row["selectivity"] is None else 0.0042, "seeds": count}
                for group, count in seeded.items()
                for row in _curve(group, means[group])
                if curve
            ],
            "rank_curve": [
                {**row, "spread": None if row["selectivity"] is None else 0.0042, "seeds": count}
                for group, count in seeded.items()
                for row in _rank_curve(group, means[group])
                if curve
            ],
        },
        "differences": [
            {"checkpoint": first, "other": other, "edit": "removal", "place": "salient", "figure": figure,
             "control": control, "difference": means[other] - means[first], "low": means[other] - means[first] - 0.019,
             "high": means[other] - means[first] + 0.014,
             "distance": 8.17, "other_distance": 8.28, "sentences": 851, "p": 0.1, "p_holm": None}
            for other in list(groups)[1:]
            for control in ("random", "coherent", "own")
            for figure in ("flips", "kl", "probability")
        ],
        "created": CREATED,
    }  # fmt: skip
    version = changed.pop("version", FAITHFULNESS.version)
    written = {**body, **changed}
    write_signed(checkpoint.path / "faithfulness.json", "clvq-faithfulness", version, written)
    return written


def _figures(name: str, fall: float) -> list[dict[str, Any]]:
    return [
        {"checkpoint": name, "edit": "removal", "place": place, "mass": None, "control": control, "sentences": 851,
         "tokens": 4_000, "accuracy": 0.8, "from_chance": 0.28, "flips": _effect(control, fall),
         "kl": 2 * _effect(control, fall), "probability": 0.5 * _effect(control, fall),
         "distance": 2.0 if (place, control) == ("sentence", "own") else 3.0,
         "rank": 1.0 if control is None else None, "energy": 0.123 if control is None else None}
        for place in ("salient", "sentence")
        for control in FLIPS
    ]  # fmt: skip


def _effect(control: str | None, fall: float) -> float:
    return FLIPS[control] - (fall if control is None else 0)


def _rows(name: str, fall: float) -> list[dict[str, Any]]:
    rows = []
    for place in ("salient", "sentence"):
        for control in list(FLIPS)[1:]:
            for figure, scale in (("flips", 1), ("kl", 2), ("probability", 0.5)):
                reason = "putting another concept in is not a null control" if control == "other" else None
                reason = UNMATCHED if (place, control) == ("sentence", "own") else reason
                row = {"checkpoint": name, "edit": "removal", "place": place, "mass": None, "rank": None,
                       "figure": figure,
                       "control": control, "concept": scale * _effect(None, fall),
                       "control_value": scale * FLIPS[control]}  # fmt: skip
                rows.append({**row, **_selectivity(scale * (_effect(None, fall) - FLIPS[control]), reason)})
    return rows


def _curve(name: str, fall: float) -> list[dict[str, Any]]:
    """The own deviation is out of reach at the two largest masses."""
    rows = []
    for mass in (round(0.1 * step, 1) for step in range(1, 11)):
        for control in ("coherent", "own"):
            for figure, scale in (("flips", 1), ("kl", 2)):
                value = scale * mass * (FLIPS[None] - fall - FLIPS[control])
                reason = UNMATCHED if control == "own" and mass > 0.8 else None
                row = {"checkpoint": name, "edit": "removal", "place": "salient", "mass": mass, "rank": None,
                       "figure": figure,
                       "control": control, "concept": scale * mass * FLIPS[None],
                       "control_value": scale * mass * FLIPS[control]}  # fmt: skip
                rows.append({**row, **_selectivity(value, reason)})
    return rows


def _rank_curve(name: str, fall: float) -> list[dict[str, Any]]:
    """The points of the curve over masses up to 60%, as those of the six ranks."""
    ranks = {0.1: 1, 0.2: 2, 0.3: 4, 0.4: 8, 0.5: 16, 0.6: 32}
    return [{**row, "mass": None, "rank": ranks[row["mass"]]} for row in _curve(name, fall) if row["mass"] in ranks]


def _selectivity(value: float, reason: str | None) -> dict[str, Any]:
    if reason is not None:
        return {"selectivity": None, "low": None, "high": None, "reason": reason}
    return {"selectivity": value, "low": value - 0.016, "high": value + 0.018, "reason": None}


def write_mode(checkpoint: Checkpoint, mode: str, /, **changed: Any) -> None:
    """faithfulness-MODE.json."""
    measured = {"splice": _spliced, "concepts": _by_concept}.get(mode, lambda: _probed(mode))()
    body = {**_made_of(checkpoint), "explanations": _explained(checkpoint), "settings": {}, "measured": measured,
            "model": {"id": "tiny", "fingerprint": "0"}, "created": CREATED}  # fmt: skip
    if mode == "concepts":
        body["concepts"] = _checksum(checkpoint)
    artifact = MODES["by-concept" if mode == "concepts" else mode]
    write_signed(artifact.path(checkpoint.path), artifact.format, artifact.version, {**body, **changed})


BY_EFFECT = [*range(50), *range(59, 49, -1)]
"""The codes with an effect, in the order of the file: that of the command, whatever the sign."""


def _by_concept() -> dict[str, Any]:
    """Concepts 0 to 59: the lower the code, the larger the effect; below 10 it is shown, and from 50 on not tested."""

    def line(code: int) -> dict[str, Any]:
        q = None if code >= 50 else 0.004 * (code + 1)
        effect = 0.3 - 0.004 * code
        classes = [
            {"label": label, "name": name, "sentences": 30 + label, "texts": 30, "flips": 0.1 + 0.5 * label,
             "probability": effect, "coherent": _interval(effect * (2 * label))}
            for label, name in enumerate(("negative", "<i>positive</i>"))
        ]  # fmt: skip
        return {
            "code": code, "sentences": 61, "texts": 60, "flips": 0.35, "kl": 0.2, "probability": 0.4,
            "coherent": {**_interval(effect), "p": q, "q": q}, "own": {**_interval(effect / 2), "p": q, "q": q},
            "classes": classes,
        }  # fmt: skip

    return {
        "class": None, "target": "class", "unit": None, "sentences": 856, "concepts": [*map(line, BY_EFFECT)],
    }  # fmt: skip


def write_bench(checkpoint: Checkpoint, /, **changed: Any) -> None:
    """bench.json: of this checkpoint and of another with a name that would rather be markup."""
    names = ["L1-L2", "<b>random</b>"]
    methods = [*names, "oracle", "mean change", "no change"]

    def row(method: str, measure: str, part: str, k: int | None, value: float) -> dict[str, Any]:
        figure = _interval(value)
        return {"method": method, "measure": measure, "part": part, "k": k, "figure": figure, "count": 9}

    rows = [
        *(
            row(name, "error", part, None, 0.2 + 0.1 * at)
            for at, name in enumerate(methods)
            for part in ("all", "food")
        ),
        *(row(name, "probing", "all", k, 0.6 + 0.05 * k) for name in names for k in (1, 2)),
        row("states", "probing", "all", None, 0.95),
    ]
    body = {
        "checkpoint": checkpoint.fingerprint, "store": checkpoint.config.provenance.rows, "beside": [],
        "model": {"id": "tiny", "fingerprint": "0"}, "settings": {}, "pairs": 1_234, "originals": 321, "left_out": 0,
        "groups": [{"name": name, "method": "clvq", "checkpoints": [name], "seeds": [0]} for name in names],
        "edited": dict.fromkeys(names, 0.71), "rows": rows, "lacking": ["No <u>SCR</u>: there is no such attribute."],
        "differences": [
            {"method": names[0], "other": names[1], "part": "all", "difference": _interval(-0.1), "p": 0.01,
             "p_holm": 0.01}
        ],
        "created": CREATED,
    }  # fmt: skip
    write_signed(checkpoint.path / "bench.json", BENCH.format, BENCH.version, {**body, **changed})


def _interval(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.03, "high": value + 0.02}


def _spliced() -> dict[str, Any]:
    def others(recovered: float) -> dict[str, Any]:
        return {
            "share_recovered": _interval(recovered), "share_recovered_labels": None, "loss_clean": 0.1,
            **{state: {"agreement": _interval(agreement), "kl": _interval(1 - agreement), "loss": _interval(0.4),
                       "accuracy": None}
               for state, agreement in (("spliced", 0.98), ("ablated", 0.55))},
        }  # fmt: skip

    return {
        "input_layer": 1, "layer": 2, "target": "class", "sentences": 856, "left_out": 0, "only_sentence_row": False,
        "distinct_texts": 802, "tokens": 9_999, "tokens_of_rows": 8_888, "accuracy": None,
        "others": {"clean": others(0.954), "ablated": others(0.871)},
    }  # fmt: skip


def _probed(mode: str) -> dict[str, Any]:
    def line(protocol: str | None, control: str | None, accuracy: float, distance: float = 4.0) -> dict[str, Any]:
        beyond = _interval(accuracy - 0.165) if control is not None and distance == 4 else None
        return {
            **({} if protocol is None else {"protocol": protocol}), "edit": "projection", "control": control,
            "accuracy": _interval(accuracy), "chance_distance": abs(accuracy - 0.52), "refitted": _interval(0.918),
            "drop": _interval(0.889 - accuracy), "distance": distance, "selectivity": beyond,
        }  # fmt: skip

    if mode == "probe":
        table = [line(None, None, 0.165), line(None, "covariance", 0.7), line(None, "own", 0.6)]
    else:
        table = [
            line("published", None, 0.165),
            line("published", "gaussian", 0.887, 0.4),
            line("check", "same", 0.185),
        ]
    return {
        "mode": mode, "layer": 1, "rows": "sentence", "distinct_texts": 802, "chance": 0.52, "table": table,
        "sentences": {"training": 3_000, "evaluation": 856},
        "before": {"accuracy": _interval(0.889), "chance_distance": 0.369, "refitted": None},
    }  # fmt: skip
