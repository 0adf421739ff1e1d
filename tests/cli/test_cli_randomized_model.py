"""`clvq extract --randomize-model`: the control that knows nothing, through every command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from running import SMALL, Clvq

import clvq as package
from clvq.language_model.model import LanguageModel
from clvq.language_model.options import ModelOptions

pytestmark = pytest.mark.slow

PAIR = ("--input-layer", 1, "--output-layer", 2, "--epochs", 1, *SMALL)
QUICK = ("--draws", 1, "--limit", 4, "--at", "salient", "--edit", "removal")


@pytest.fixture(scope="module")
def models(bert: Path) -> tuple[LanguageModel, LanguageModel]:
    """(the model, the same with its weights randomised)."""
    return LanguageModel.load(str(bert), ModelOptions(device="cpu")), LanguageModel.load(
        str(bert), ModelOptions(device="cpu", randomized=True)
    )


def test_each_tensor_keeps_its_values_and_loses_their_order(models: tuple[LanguageModel, LanguageModel]) -> None:
    own, randomized = (dict(model.model.named_parameters()) for model in models)
    moved = 0
    for name, weights in own.items():
        before, after = weights.detach().flatten(), randomized[name].detach().flatten()
        assert torch.equal(before.sort().values, after.sort().values), name
        moved += int(len(before.unique()) > 8 and not torch.equal(before, after))
    assert moved == sum(len(weights.detach().unique()) > 8 for weights in own.values()) > 10


def test_two_loads_are_the_same_and_shared_weights_stay_shared(model_folder, bert: Path) -> None:  # type: ignore[no-untyped-def]
    first, second = (LanguageModel.load(str(bert), ModelOptions(device="cpu", randomized=True)) for _ in range(2))
    for one, other in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert (
        first.fingerprint == second.fingerprint != LanguageModel.load(str(bert), ModelOptions(device="cpu")).fingerprint
    )
    folder = str(model_folder("gpt2"))
    base = LanguageModel.load(folder, ModelOptions(device="cpu", randomized=True)).base
    with_head = LanguageModel.load(folder, ModelOptions(device="cpu", randomized=True, next_token=True))
    for one, other in zip(base.parameters(), with_head.base.parameters(), strict=True):
        assert torch.equal(one, other)


def test_every_command_takes_it(clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path) -> None:
    given = ("--model", bert, "--dataset", corpus, "--max-sentences", 40)
    run, control = tmp_path / "run", tmp_path / "control"
    assert clvq("train", *given, "--run", run, *PAIR, "--name", "own").code == 0
    assert clvq("extract", *given, "--run", control, "--layers", "1,2", "--randomize-model").code == 0
    rows = [next(package.ActivationStore(one / "activations").rows("train", 1).shards())[1] for one in (run, control)]
    assert not np.allclose(rows[0], rows[1], atol=1e-3)
    ended = clvq("train", "--run", control, *PAIR)
    assert ended.code == 0, ended.err
    for command in (("codebook",), ("explain",), ("explain", "The film is very good!"), ("faithfulness", *QUICK)):
        ended = clvq(*command, "--run", control)
        assert ended.code == 0, ended.err
        if command == ("codebook",):
            assert "with randomised weights" in ended.out
    ended = clvq("report", "--run", control, "--output", tmp_path / "report.html")
    assert ended.code == 0, ended.err
    assert "with randomised weights" in (tmp_path / "report.html").read_text()
    both = clvq("faithfulness", *QUICK, "--run", control, "--checkpoint", "L1-L2", "--checkpoint", run / "own")
    assert (both.code, "another" in both.message) == (1, True), both.message
    again = clvq("extract", *given, "--run", run, "--layers", "1,2", "--randomize-model")
    assert (again.code, "randomize-model (False there, True here)" in again.message) == (1, True)
    later = clvq("extract", "--layers", 3, "--run", control, "--json")
    assert later.code == 0, later.err
    states = next(package.ActivationStore(control / "activations").rows("train", 3).shards())[1]
    model = LanguageModel.load(str(bert), ModelOptions(device="cpu", randomized=True))
    text = next(package.ActivationStore(control / "activations").sentences("train")).text
    naive = model.run(model.tokenize([text]), [3]).hidden[3]
    torch.testing.assert_close(torch.as_tensor(states[: len(naive)]).float(), naive, atol=1e-4, rtol=1e-3)


def test_a_store_of_an_earlier_version_is_one_of_the_model_itself(
    clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path
) -> None:
    """It knows nothing of the setting."""
    from clvq.artifacts import ACTIVATIONS

    given = ("--model", bert, "--dataset", corpus, "--max-sentences", 40, "--run", tmp_path / "run", "--layers", 1)
    assert clvq("extract", *given).code == 0
    body = ACTIVATIONS.read(tmp_path / "run" / "activations")
    del body["settings"]["randomize_model"]
    ACTIVATIONS.write(tmp_path / "run" / "activations", body)
    ended = clvq("extract", *given)
    assert (ended.code, "is up to date" in ended.message) == (0, True)
