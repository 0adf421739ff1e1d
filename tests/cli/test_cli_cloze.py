"""Label words at the mask of a prompt, of a masked language model, through all commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
from running import SMALL, Clvq, assert_steered_as_explained
from transformers import AutoModelForMaskedLM, AutoTokenizer

from clvq.activations.store import ActivationStore

pytestmark = pytest.mark.slow

ASKED = ("--prompt", "{text} It was <mask>.", "--label-words", 'negative=" not",positive=" very"')


@pytest.fixture
def masked(tmp_path: Path) -> Path:
    return tiny_models.with_masks(tiny_models.tiny_bert(tmp_path / "model", layers=2))


def test_the_mask_through_all_commands(clvq: Clvq, masked: Path, corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    given = ("--model", masked, "--dataset", corpus, "--layers", "1,2", *ASKED, "--label-map", "0=negative,1=positive")
    ended = clvq("extract", "--run", run, *given, "--json")
    assert ended.code == 0, ended.err
    assert ended.document["label_names"] == ["negative", "positive"]
    assert ended.document["target"]["kind"] == "label word"
    tokenizer = AutoTokenizer.from_pretrained(masked)
    plain = AutoModelForMaskedLM.from_pretrained(masked).eval()
    numbers, right = tokenizer.convert_tokens_to_ids(["not", "very"]), []
    store = ActivationStore(run / "activations")
    rows = list(store.sentences("eval"))
    for row in rows:
        encoded = tokenizer(f"{row.text} It was [MASK].", return_tensors="pt")
        at = encoded["input_ids"][0].tolist().index(tokenizer.mask_token_id)
        with torch.no_grad():
            chances = plain(**encoded).logits[0, at].softmax(0)[numbers]
        assert row.probabilities == pytest.approx(chances.tolist(), rel=1e-4)
        assert row.prediction == int(chances.argmax())
        right.append(row.prediction == row.label)
    assert ended.document["splits"]["eval"]["accuracy"] == pytest.approx(np.mean(right))
    ended = clvq("train", "--run", run, "--input-layer", 1, "--output-layer", 2, "--epochs", 1, *SMALL)
    assert ended.code == 0, ended.err
    assert clvq("codebook", "--run", run).code == 0
    sentences = clvq("explain", "--run", run, "--steps", 4, "--limit", 12, "--json").document["sentences"]
    for one in sentences:
        assert one["target"] == ("negative", "positive")[rows[one["id"]].prediction]
        assert one["completeness_error"] < 0.05
        assert {word["text"] for word in one["words"]} & {"It", "[MASK]", "<mask>"} == set()
    document = clvq("faithfulness", "--run", run, "--draws", 1, "--at", "all,sentence", "--json").document
    own = [figure for figure in document["figures"] if figure["place"] == "sentence"]
    assert own and all(figure["tokens"] == figure["sentences"] for figure in own)  # the mask alone
    assert any(figure["kl"] > 0 for figure in own)
    found = clvq("faithfulness", "--run", run, "--mode", "splice", "--json").document["measured"]
    assert found["target"] == "label word" and found["accuracy"] is not None
    assert clvq("faithfulness", "--run", run, "--by", "concept").code == 0
    assert clvq("report", "--run", run).code == 0
    (own,) = clvq("explain", "The film is slow", "--run", run, "--json").document["sentences"]
    assert_steered_as_explained(clvq, run, own)


def test_without_label_words_it_says_how_to_ask_the_mask(
    clvq: Clvq, masked: Path, corpus: Path, tmp_path: Path
) -> None:
    ended = clvq("extract", "--run", tmp_path / "run", "--model", masked, "--dataset", corpus, "--layers", "1,2")
    how = "--label-words and a --prompt such as '{text} It was <mask>.' ask what stands at its mask"
    assert (ended.code, f"which has no classification head; {how}." in " ".join(ended.out.split())) == (0, True)
    assert clvq("train", "--run", tmp_path / "run", "--input-layer", 1, "--output-layer", 2, "--epochs", 1, *SMALL,
                "--metric", "euclidean").code == 0  # fmt: skip
    assert how in clvq("explain", "--run", tmp_path / "run", "slow").message


@pytest.mark.parametrize(
    ("prompt", "words", "message"),
    [
        ("{text} It was", ASKED[-1], "--prompt has no mask. Give one, such as --prompt '{text} It was <mask>.'"),
        ("{text} <mask> It was [MASK]", ASKED[-1], "--prompt has 2 masks"),
        (ASKED[1], 'a=" unbelievably slow",b=" very"', "is not one token of this model"),
        (None, ASKED[-1], "there is no --prompt"),
    ],
)
def test_what_is_refused_before_any_work(
    prompt: str | None, words: str, message: str, clvq: Clvq, masked: Path, corpus: Path, tmp_path: Path
) -> None:
    given = () if prompt is None else ("--prompt", prompt)
    ended = clvq("extract", "--run", tmp_path / "run", "--model", masked, "--dataset", corpus, "--layers", 1, *given,
                 "--label-words", words, "--label-column", "none")  # fmt: skip
    assert ended.code == 1 and message in ended.message and not ended.out
    assert not list((tmp_path / "run").rglob("*.safetensors"))


def test_a_mask_in_the_prompt_of_a_model_that_predicts_the_next_token(clvq: Clvq, corpus: Path, tmp_path: Path) -> None:
    """It would read the mask as text."""
    model = tiny_models.with_next_token(tiny_models.tiny_gpt2(tmp_path / "model", layers=2))
    ended = clvq("extract", "--run", tmp_path / "run", "--model", model, "--dataset", corpus, "--layers", 1, *ASKED)
    assert (
        ended.code == 1 and "--prompt has a mask, and" in ended.message and "predicts the next token" in ended.message
    )
