"""What Python users give as texts, codes and states: a table's column works, and what cannot be is one message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import clvq

TEXTS = ["The film is slow and good!", "The slow film remains good!"]


@pytest.fixture(scope="module")
def checkpoint(
    tmp_path_factory: pytest.TempPathFactory, model_folder: Callable[..., Path], corpus_file: Path
) -> clvq.Checkpoint:
    run = tmp_path_factory.mktemp("given") / "run"
    clvq.extract(run / "activations", model=str(model_folder("bert")), dataset=str(corpus_file), layers=(1, 3))
    return clvq.train(
        run / "activations", path=run / "L1-L3", input_layer=1, output_layer=3, codebook_size=12, top_k=3, epochs=1,
        decoder_layers=1,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("texts", [pd.Series(TEXTS), np.array(TEXTS), tuple(TEXTS), iter(TEXTS)])
def test_texts_in_any_sequence(texts: Any, checkpoint: clvq.Checkpoint) -> None:
    explained = clvq.explain(checkpoint, texts, steps=4)
    assert [one.text for one in explained.sentences] == TEXTS


@pytest.mark.parametrize("texts", [5, [None], [TEXTS[0], 3.5], [TEXTS], {"text": 5}])
def test_what_is_no_text_is_refused(texts: Any, checkpoint: clvq.Checkpoint) -> None:
    with pytest.raises(clvq.ClvqError, match="A text, or a dictionary of texts, is expected"):
        clvq.explain(checkpoint, texts)
    with pytest.raises(clvq.ClvqError, match="A text, or a dictionary of texts, is expected"):
        clvq.steer(checkpoint, texts, remove=[1])


def test_a_table_is_no_text(checkpoint: clvq.Checkpoint) -> None:
    for take in (clvq.explain, lambda *given: list(clvq.assign(*given))):
        with pytest.raises(clvq.ClvqError, match="Give one column of it"):
            take(checkpoint, pd.DataFrame({"text": TEXTS}))
    with pytest.raises(clvq.ClvqError, match="A text, or a dictionary of texts, is expected"):
        list(clvq.assign(checkpoint, [None]))  # type: ignore[list-item]
    (assigned,) = clvq.assign(checkpoint, {"text": TEXTS[0]})
    assert assigned.text == TEXTS[0]


def test_codes_are_whole_numbers_in_a_sequence(checkpoint: clvq.Checkpoint) -> None:
    code = max(clvq.codebook(checkpoint).concepts, key=lambda concept: concept.words).code
    for given in (1, "3", [1.5], ["1"], [True], {1: 2}):
        with pytest.raises(clvq.ClvqError, match="Codes are whole numbers in a list"):
            clvq.steer(checkpoint, TEXTS[0], remove=given)  # type: ignore[arg-type]
    one, other = (clvq.steer(checkpoint, TEXTS[0], add=add, draws=2) for add in ([code], np.array([code])))
    assert one == other


def test_states_that_have_no_nearest_code_are_refused(checkpoint: clvq.Checkpoint) -> None:
    model = checkpoint.load()
    width = checkpoint.store().layer(1).width
    states = torch.randn(2, 3, width)
    assert model.assign(states).shape == (2, 3)
    with pytest.raises(
        clvq.ClvqError, match=rf"Hidden states \[B, T, {width}\] are expected, and these are \[2, 3, 5\]"
    ):
        model.assign(torch.randn(2, 3, 5))
    states[1, 2, 0] = torch.nan
    with pytest.raises(clvq.ClvqError, match="NaN or infinity"):
        model.assign(states)
    mask = torch.ones(2, 3, dtype=torch.bool)
    mask[1, 2] = False
    assert model.assign(states, mask)[1, 2] == -1
