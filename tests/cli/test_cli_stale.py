"""No page shows what was made of something that is another thing now: tried for every artifact and every input."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from running import SMALL, Clvq

from clvq.artifacts import BENCH, CHECKPOINT, CODEBOOK, EXPLANATIONS, MODES, SIGNED
from clvq.artifacts.kinds import Artifact, State

pytestmark = pytest.mark.slow

ELSEWHERE = (BENCH, MODES["every-token"])
"""Made of pairs of texts, and of a language model: tested with their commands."""
MADE_OF = [(artifact, key) for artifact in SIGNED for key in artifact.made_of if artifact not in ELSEWHERE]
SHOWS = {
    "codebook.json": 'id="catalogue"',
    "explanations.json": 'id="explanation-list"',
    "faithfulness.json": "What each edit and control does",
    "faithfulness-splice.json": 'id="faithfulness-splice"',
    "faithfulness-probe.json": 'id="faithfulness-probe"',
    "faithfulness-paper.json": 'id="faithfulness-paper"',
    "faithfulness-concepts.json": 'id="faithfulness-by-concept"',
}


@pytest.fixture(scope="module")
def whole_run(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoints, and everything that the commands make of them; shared, so tests copy it."""
    import clvq

    run = Path(shutil.copytree(trained_run, tmp_path_factory.mktemp("whole") / "run"))
    both = (run / "L1-L3", run / "second")
    small = {"codebook_size": 12, "top_k": 3, "decoder_layers": 1, "epochs": 1}
    clvq.train(run / "activations", path=both[1], input_layer=1, output_layer=3, seed=1, **small)
    clvq.faithfulness(both, draws=1, at="salient", edit="removal", limit=8)
    for mode in ("splice", "probe", "paper"):
        clvq.faithfulness(both[0], mode=mode, draws=1, **({} if mode == "splice" else {"limit": None}))
    clvq.faithfulness(both[0], by="concept", draws=1, limit=8)
    return run


@pytest.fixture
def copied(whole_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole_run, tmp_path / "run"))


def rewrite(artifact: Artifact, folder: Path, **changed: Any) -> None:
    artifact.write(folder, {**artifact.read(folder), **changed})


def rewrite_records(artifact: Artifact, folder: Path) -> None:
    """Other records, as another run of the command might have made, with the artifact that vouches for them."""
    body = artifact.read(folder)
    first, *others = artifact.read_records(folder, body)
    checksum = artifact.write_records(folder, [*others, first])
    rewrite(artifact, folder, **{artifact.records_key: checksum})


def change_input(key: str, run: Path) -> None:
    """Make an input another one, with every file whole."""
    folder = run / "L1-L3"
    if key == "checkpoint":
        rewrite(CHECKPOINT, folder, weights_checksum="0" * 32)
    elif key == "beside":
        rewrite(CHECKPOINT, run / "second", weights_checksum="0" * 32)
    elif key in ("rows", "store"):
        rewrite(CHECKPOINT, folder, provenance={**CHECKPOINT.read(folder)["provenance"], "rows": "0" * 16})
    else:
        artifacts = {"codebook": CODEBOOK, "concepts": CODEBOOK, "explanations": EXPLANATIONS}
        rewrite_records(artifacts[key], folder)


def test_everything_is_fine_and_shown_at_first(clvq: Clvq, copied: Path) -> None:
    for artifact, _ in MADE_OF:
        assert artifact.inspect(copied / "L1-L3").state is State.FINE, artifact.name
    assert clvq("report", "L1-L3", "--run", copied).code == 0
    page = (copied / "report.html").read_text(encoding="utf-8")
    assert "left out here" not in page
    for name, shown in SHOWS.items():
        assert shown in page, name


@pytest.mark.parametrize(("artifact", "key"), MADE_OF, ids=lambda value: getattr(value, "name", value))
def test_what_was_made_of_another_input_is_named_and_not_shown(
    clvq: Clvq, copied: Path, artifact: Artifact, key: str
) -> None:
    change_input(key, copied)
    inspection = artifact.inspect(copied / "L1-L3")
    assert (inspection.state, key in inspection.differing) == (State.STALE, True)
    ended = clvq("report", "L1-L3", "--run", copied)
    assert ended.code == 0, ended.err
    page = (copied / "report.html").read_text(encoding="utf-8")
    assert SHOWS[artifact.name] not in page
    assert artifact.title in ended.message and "left out here" in ended.message
    assert f"clvq {artifact.command}" in ended.message


def test_explanations_made_anew_leave_no_old_figures_on_the_page(clvq: Clvq, copied: Path) -> None:
    ended = clvq("explain", "--checkpoint", "L1-L3", "--run", copied, "--overwrite", "--mass", "1", "--json")
    assert ended.code == 0, ended.err
    said = clvq("report", "L1-L3", "--run", copied).message
    assert "The faithfulness figures are of other explanations and are left out here." in said
    assert "The figures of faithfulness --mode probe are of other explanations" in said
    options = ("--draws", "1", "--at", "salient", "--edit", "removal", "--limit", "8")
    assert clvq("faithfulness", "L1-L3", "--run", copied, *options).code == 0
    assert "faithfulness figures" not in clvq("report", "L1-L3", "--run", copied).message


def test_a_checkpoint_of_other_activations_is_said(clvq: Clvq, copied: Path, bert: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text("\n".join(json.dumps({"text": f"another text {n}", "label": n % 2}) for n in range(30)) + "\n")
    extracted = clvq(
        "extract", "--model", bert, "--dataset", other, "--layers", "1,3", "--run", copied, "--overwrite", "--json"
    )
    assert extracted.code == 0, extracted.err
    assert "others than this checkpoint was trained on" in clvq("report", "L1-L3", "--run", copied).message
    page = (copied / "report.html").read_text(encoding="utf-8")
    assert "others than this checkpoint was trained on" in page


def test_a_retrained_checkpoint_keeps_nothing_of_the_earlier_one(clvq: Clvq, copied: Path) -> None:
    options = ("--input-layer", "1", "--output-layer", "3", "--epochs", "1", "--seed", "5", *SMALL)
    assert clvq("train", *options, "--name", "L1-L3", "--run", copied, "--overwrite").code == 0
    assert clvq("report", "L1-L3", "--run", copied).code == 0
    page = (copied / "report.html").read_text(encoding="utf-8")
    for name, shown in SHOWS.items():
        assert (shown in page) == (name == "codebook.json"), name  # which the command makes anew
