"""What is asked of a model besides the class of a head or the likeliest next token, through all commands."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
import tiny_models
import torch
from running import SMALL, Clvq
from transformers import AutoModelForCausalLM, AutoTokenizer

import clvq as package

QUICK = ("--steps", "4", "--limit", "12")


def refused(clvq: Clvq, *arguments: object) -> str:
    ended = clvq(*arguments)
    assert ended.code == 1 and not ended.out, ended
    return ended.message


@pytest.mark.slow
@pytest.mark.parametrize("against", [None, " very"])
def test_one_token_through_all_commands(against: str | None, clvq: Clvq, corpus: Path, tmp_path: Path) -> None:
    model, run = tmp_path / "model", tmp_path / "run"
    tiny_models.with_next_token(tiny_models.tiny_gpt2(model, layers=2))
    asked = ("--target", " not", *(() if against is None else ("--against", against)))
    store = clvq("extract", "--run", run, "--model", model, "--dataset", corpus, "--layers", "1,2", *asked, "--json")
    assert store.code == 0, store.err
    document = store.document
    assert document["target"] == {"kind": "token", "token": " not", "against": against, **document["target"]}
    plain, tokenizer = AutoModelForCausalLM.from_pretrained(model).eval(), AutoTokenizer.from_pretrained(model)
    numbers = [tokenizer(word)["input_ids"][0] for word in (" not", against) if word]
    stored = package.ActivationStore(run / "activations")
    scores = []
    for row in stored.sentences("eval"):
        logits = plain(**tokenizer(row.text, return_tensors="pt")).logits[0, -1].detach()
        scores.append(float(logits[numbers[0]] - (logits[numbers[1]] if against else 0)))
        assert row.prediction is None and row.probabilities == pytest.approx([scores[-1]], abs=1e-4)
    unit = document["target"]["unit"]
    assert unit == pytest.approx(statistics.pstdev(scores), rel=1e-3)

    ended = clvq("train", "--run", run, "--input-layer", 1, "--output-layer", 2, "--epochs", 1, *SMALL)
    assert ended.code == 0, ended.err
    ended = clvq("explain", "--run", run, *QUICK, "--json")
    assert ended.code == 0, ended.err
    for sentence in ended.document["sentences"]:
        assert sentence["probability"] is None and sentence["completeness_error"] < 0.05
        assert sentence["score"] == pytest.approx(scores[sentence["id"]], abs=1e-3)
    name = "' not'" if against is None else "' not' against ' very'"
    shown = clvq("explain", "The film is", "--run", run).out
    with torch.no_grad():
        logits = plain(**tokenizer("The film is", return_tensors="pt")).logits[0, -1]
    score = float(logits[numbers[0]] - (logits[numbers[1]] if against else 0))
    assert shown.startswith(f"token {name}  score {score:.3f}\n")

    document = clvq("faithfulness", "--run", run, "--draws", 1, "--at", "all", "--json").document
    assert document["target"] == {"kind": "token", "unit": unit}
    assert document["names"]["kl"] == "squared change, SD²"
    assert {(figure["accuracy"], figure["edit"]) for figure in document["figures"]} == {
        (None, "removal"), (None, "projection"),
    }  # fmt: skip
    for mode in (("--mode", "splice"), ("--by", "concept")):
        ended = clvq("faithfulness", "--run", run, *mode)
        assert ended.code == 0, ended.err
        assert f"SD is the standard deviation of the clean scores of the evaluation split ({unit:.4g})" in " ".join(
            ended.out.split()
        )
    assert clvq("report", "--run", run).code == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "squared change, SD²" in page
    shown = clvq("faithfulness", "--run", run, "--draws", 1, "--at", "all").out
    assert "a flip is a change by more than 1 SD" in " ".join(shown.split())


def test_another_target_is_another_extraction(clvq: Clvq, corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    model = tiny_models.with_next_token(tiny_models.tiny_gpt2(tmp_path / "model", layers=1))
    given = ("extract", "--run", run, "--model", model, "--dataset", corpus, "--layers", 1)
    assert clvq(*given, "--target", " not").code == 0
    first = package.ActivationStore(run / "activations").fingerprint
    assert "target (' not' there, ' very' here)" in refused(clvq, *given, "--target", " very")
    assert clvq(*given, "--target", " very", "--overwrite").code == 0
    assert package.ActivationStore(run / "activations").fingerprint != first


def test_what_cannot_be_asked_is_refused_before_any_work(clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path) -> None:
    model = tiny_models.with_next_token(tiny_models.tiny_gpt2(tmp_path / "model", layers=1))
    given = ("extract", "--run", tmp_path / "run", "--dataset", corpus, "--layers", 1)
    assert "--against is for --target" in refused(clvq, *given, "--model", model, "--against", " not")
    assert "' notvery' is not one token" in refused(clvq, *given, "--model", model, "--target", " notvery")
    assert "gives no next token (it has a classification head)" in refused(
        clvq, *given, "--model", bert, "--target", " not"
    )
    assert not (tmp_path / "run" / "activations" / "manifest.json").exists()
