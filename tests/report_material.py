"""Made-up artifacts of a checkpoint, in the form that `codebook` and `explain` write: as many as a test wants."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from clvq.checkpoint import Checkpoint
from clvq.storage import write_records, write_signed

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
    body = {
        "checkpoint": checkpoint.fingerprint, "rows": checkpoint.config["provenance"]["rows"], "split": "train",
        "label_names": ["negative", "positive"] if labels else None, "figures": figures, "fdr": FDR,
        "label_totals": [6_600, 5_974] if labels else None, "prediction_totals": [6_600, 5_974] if labels else None,
        "concepts_checksum": checksum, "versions": {"clvq": "0.1.0"}, "created": CREATED,
    }  # fmt: skip
    write_signed(checkpoint.path / "codebook.json", "clvq-codebook", 1, {**body, **changed})
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
    lean = float(random.beta(0.7, 0.7)) if code % 3 == 0 else float(random.normal(0.5, 0.03))
    split = [round(count * (1 - lean)), round(count * lean)]
    label = int(lean > 0.5)
    share = max(lean, 1 - lean)
    tested = {
        "counts": split, "label": label, "share": share, "lift": share / 0.5,
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
        "examples": examples, "labels": tested if labels else None, "predictions": tested if labels else None,
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
        "sentences": count, "left_out": {"no words": 2}, "median_completeness_error": 0.012,
        "share_over_bound": 0.004, "median_steps": 32, "median_special_share": 0.23, "accuracy": 0.875,
    }  # fmt: skip
    measured = {"attribution": 0.43, "random": 0.27, "frequency": 0.31}
    codebook_checksum = changed.pop("codebook", None) or _checksum(checkpoint)
    body = {
        "checkpoint": checkpoint.fingerprint, "rows": checkpoint.config["provenance"]["rows"],
        "codebook": codebook_checksum, "model": {"id": "tiny", "fingerprint": "0"},
        "settings": {"baseline": "padding", "mass": 0.5}, "target": "class", "label_names": ["negative", "positive"],
        "summary": summary,
        "rationales": {"column": "rationale", "sentences": count, "auprc": measured, "token_f1": measured},
        "explanations_checksum": checksum, "versions": {"clvq": "0.1.0"}, "created": CREATED,
    }  # fmt: skip
    write_signed(checkpoint.path / "explanations.json", "clvq-explanations", 1, {**body, **changed})
    return made


def _checksum(checkpoint: Checkpoint) -> str:
    from clvq.storage import read_json

    return str(read_json(checkpoint.path / "codebook.json")["concepts_checksum"])


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


def write_faithfulness(checkpoint: Checkpoint) -> None:
    rows = [
        {"checkpoint": "L1-L2", "edit": "removal", "place": "salient", "figure": "flips", "control": control,
         "concept": 0.048, "control_value": value, "selectivity": 0.048 - value, "low": 0.038 - value,
         "high": 0.058 - value, "reason": None}
        for control, value in (("own", 0.023), ("covariance", 0.034), ("random", 0.009))
    ]  # fmt: skip
    nothing = {"selectivity": None, "low": None, "high": None, "reason": "moves 2, the edit 3"}
    rows.append({**rows[0], "control": "random", **nothing})
    names = {
        "removal": "centred removal", "salient": "most salient word", "own": "own deviation", "flips": "flips",
        "covariance": "covariance random", "random": "random",
    }  # fmt: skip
    body = {"checkpoint": checkpoint.fingerprint, "checkpoints": [{"name": "L1-L2"}], "names": names, "rows": rows,
            "differences": [], "settings": {}}  # fmt: skip
    write_signed(checkpoint.path / "faithfulness.json", "clvq-faithfulness", 1, body)
