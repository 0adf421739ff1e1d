"""`--report-to`: a tracker is sent what metrics.jsonl holds, once, and changes nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from running import SMALL, Clvq, files_of

from clvq.training import loop
from clvq.training.vae_trainer import Trainer

pytestmark = pytest.mark.slow

TRAINING = ("--input-layer", "1", "--output-layer", "3", "--epochs", "3", "--batch-sentences", "4", *SMALL)
TRACKERS = ("tensorboard", "wandb", "trackio")


class Fake:
    """Stands for all three packages: keeps what each run is begun with and sent."""

    def __init__(self) -> None:
        self.begun: list[dict[str, Any]] = []
        self.runs: dict[str, list[tuple[str, Any, int]]] = {}
        """By the run's identity: the figures by name, in order, with their steps."""
        self.ended = 0

    def init(self, **given: Any) -> SimpleNamespace:
        """wandb.init, trackio.init."""
        self.begun.append(given)
        figures = self.runs.setdefault(given.get("id") or given["name"], [])

        def log(values: dict[str, Any], step: int) -> None:
            figures.extend((name, value, step) for name, value in values.items())

        return SimpleNamespace(log=log, finish=self._end)

    def SummaryWriter(self, folder: str, purge_step: int | None) -> SimpleNamespace:
        self.begun.append({"folder": folder, "purge_step": purge_step})
        figures = self.runs.setdefault(folder, [])

        def add_scalar(name: str, value: float, step: int) -> None:
            figures.append((name, value, step))

        return SimpleNamespace(add_scalar=add_scalar, flush=lambda: None, close=self._end)

    def _end(self) -> None:
        self.ended += 1


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    made = Fake()
    for module in ("torch.utils.tensorboard", "wandb", "trackio"):
        monkeypatch.setitem(sys.modules, module, made)  # type: ignore[arg-type]
    return made


def logged(run: Path, name: str = "L1-L3") -> list[tuple[str, Any, int]]:
    """What metrics.jsonl holds, as a tracker is sent it."""
    lines = [json.loads(line) for line in (run / name / "metrics.jsonl").read_text().splitlines()]
    return [
        (f"{line['kind']}/{key}", value, line["step"])
        for line in lines
        for key, value in line.items()
        if key not in ("kind", "step")
    ]


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_tracker_gets_what_the_log_holds(clvq: Clvq, run: Path, fake: Fake, tracker: str) -> None:
    ended = clvq("train", "--run", run, *TRAINING, "--report-to", tracker, "--yardsticks", "full")
    assert ended.code == 0, ended.err
    (received,) = fake.runs.values()  # not the yardstick's decoder beside it
    assert received == logged(run)
    assert {kind.split("/")[0] for kind, _, _ in received} == {"step", "epoch"}
    assert fake.ended == 1
    (begun,) = fake.begun
    assert Path(begun["folder"]).parent == run / "L1-L3" if tracker == "tensorboard" else begun["project"] == "clvq"
    assert clvq("train", "--run", run, *TRAINING, "--report-to", tracker).code == 0
    assert len(fake.begun) == 1  # up to date: nothing to send


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_resumed_training_sends_no_line_twice(
    clvq: Clvq, run: Path, fake: Fake, tracker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies after a saved state at step 15 and lines at 20 and 30, which are trained, and logged, again."""
    real = Trainer._step

    def step(self: Trainer, batch: Any) -> dict[str, float]:
        monkeypatch.setattr(loop, "SAVE_SECONDS", -1.0 if self.position.step < 15 else 1e9)
        if self.position.step == 32:
            raise MemoryError
        return real(self, batch)

    monkeypatch.setattr(Trainer, "_step", step)
    first = clvq("train", "--run", run, *TRAINING, "--report-to", tracker)
    assert first.code == 1
    assert "Out of memory" in first.err
    (before,) = (list(sent) for sent in fake.runs.values())
    assert max(number for _, _, number in before) == 10
    assert max(number for _, _, number in logged(run)) == 30
    monkeypatch.setattr(Trainer, "_step", real)
    assert clvq("train", "--run", run, *TRAINING, "--report-to", tracker).code == 0
    (received,) = fake.runs.values()
    assert received == logged(run)
    assert ("resume/epoch", 0, 15) in received
    assert len(fake.begun) == 2
    if tracker == "tensorboard":
        assert [begun["purge_step"] for begun in fake.begun] == [None, 11]


def test_a_training_that_is_overwritten_is_another_run(clvq: Clvq, run: Path, fake: Fake) -> None:
    events = run / "L1-L3" / "tensorboard" / "events"
    for overwrite in ((), ("--overwrite",)):
        assert clvq("train", "--run", run, *TRAINING, "--report-to", "wandb", *overwrite).code == 0
    assert [len(sent) for sent in fake.runs.values()] == [len(logged(run))] * 2
    events.parent.mkdir()
    events.touch()
    assert clvq("train", "--run", run, *TRAINING, "--report-to", "tensorboard", "--overwrite").code == 0
    assert not events.exists()


def test_tracking_begins_where_it_is_asked_for(
    clvq: Clvq, run: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that was begun without a tracker and interrupted goes on with one, which gets the whole log."""
    real = Trainer._step

    def step(self: Trainer, batch: Any) -> dict[str, float]:
        if self.position.step == 32:
            raise KeyboardInterrupt
        return real(self, batch)

    monkeypatch.setattr(loop, "SAVE_SECONDS", -1.0)
    monkeypatch.setattr(Trainer, "_step", step)
    assert clvq("train", "--run", run, *TRAINING).code == 130
    monkeypatch.setattr(Trainer, "_step", real)
    assert clvq("train", "--run", run, *TRAINING, "--report-to", "trackio").code == 0
    (received,) = fake.runs.values()
    assert received == logged(run)
    assert received[0][2] == 10


@pytest.mark.parametrize("method", ["sae", "kmeans"])
def test_only_the_training_itself_is_tracked(clvq: Clvq, run: Path, fake: Fake, method: str) -> None:
    """Not the short trainings that choose an autoencoder's learning rate."""
    ended = clvq("train", "--run", run, *TRAINING, "--method", method, "--report-to", "wandb")
    assert ended.code == 0, ended.err
    (received,) = fake.runs.values()
    assert received == logged(run, f"L1-L3-{method}")
    assert fake.begun[0]["name"] == f"L1-L3-{method}"


def test_a_tracker_changes_no_result(clvq: Clvq, run: Path, fake: Fake) -> None:
    def weights() -> bytes:
        return (run / "L1-L3" / "model.safetensors").read_bytes()

    assert clvq("train", "--run", run, *TRAINING).code == 0
    untracked = weights()
    again = clvq("train", "--run", run, *TRAINING, "--report-to", "wandb")
    assert again.code == 0
    assert "is up to date" in again.err
    assert clvq("train", "--run", run, *TRAINING, "--report-to", "wandb", "--overwrite").code == 0
    assert weights() == untracked


def test_a_tracker_that_fails_says_so_and_costs_nothing(
    clvq: Clvq, run: Path, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**given: Any) -> None:
        raise RuntimeError("no API key\nlong advice")

    monkeypatch.setattr(fake, "init", fail)
    ended = clvq("train", "--run", run, *TRAINING, "--report-to", "wandb")
    assert ended.code == 1
    assert "Error: --report-to wandb failed: no API key. What was trained is kept" in ended.message
    assert clvq("train", "--run", run, *TRAINING).code == 0


def test_a_tracker_that_is_not_installed_is_one_message_before_any_work(
    clvq: Clvq, tmp_path: Path, bert: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if it were not there
    ended = clvq(
        "train", "--run", tmp_path / "new", *TRAINING, "--model", bert, "--dataset", corpus, "--report-to", "wandb"
    )
    assert ended.code == 1
    assert "--report-to wandb needs the package wandb" in ended.message
    assert "pip install wandb" in ended.message
    assert not (tmp_path / "new").exists()
    assert clvq("train", "--run", tmp_path / "new", *TRAINING, "--report-to", "paper").code == 2


def test_nothing_is_imported_where_no_tracker_is_asked_for(run: Path) -> None:
    before = files_of(run)
    code = (
        "import sys, clvq\n"
        f"clvq.train({str(run / 'activations')!r}, path={str(run / 'L1-L3')!r}, input_layer=1, output_layer=3, "
        "epochs=1, codebook_size=12, top_k=3, decoder_layers=1)\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"wandb", "trackio", "tensorboard", "torch.utils.tensorboard"} & set(done.stdout.split())
    assert set(before) < set(files_of(run))
