"""Kills, signals and closed pipes: what was done is kept, and the same command comes to the same bytes."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from running import SMALL, Clvq, files_of, start

pytestmark = pytest.mark.slow

TRAINING = ("--input-layer", "1", "--output-layer", "3", "--epochs", "4", "--batch-sentences", "4", *SMALL)
SLOW_STEPS = """
import time, clvq.training.vae_trainer, clvq.training.loop
clvq.training.loop.SAVE_SECONDS = 0.05
real = clvq.training.vae_trainer.Trainer._step
def step(self, batch):
    time.sleep(0.02)
    return real(self, batch)
clvq.training.vae_trainer.Trainer._step = step
"""
SMALL_SHARDS = """
import time, clvq.activations.model_pass, clvq.activations.windows
clvq.activations.windows.WINDOW_BYTES = 8000
real = clvq.activations.model_pass.ModelPass._read_window
def read(self, *arguments):
    time.sleep(0.05)
    return real(self, *arguments)
clvq.activations.model_pass.ModelPass._read_window = read
"""


def _wait_for(process: subprocess.Popen[str], reached: Callable[[], bool]) -> None:
    """Until the process has come so far; the test fails where it ends before."""
    for _ in range(3000):
        if reached():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    pytest.fail("the process did not come so far")


def _lines(file: Path, kind: str) -> list[dict]:
    if not file.exists():
        return []
    whole = file.read_text().rpartition("\n")[0]
    return [line for line in map(json.loads, whole.splitlines()) if line["kind"] == kind]


def _weights(run: Path) -> bytes:
    return (run / "L1-L3" / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def uninterrupted(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import clvq

    run = tmp_path_factory.mktemp("uninterrupted") / "run"
    settings = {"input_layer": 1, "output_layer": 3, "epochs": 4, "batch_sentences": 4}
    small = {"codebook_size": 12, "top_k": 3, "decoder_layers": 1}
    clvq.train(finished_run / "activations", path=run / "L1-L3", **settings, **small)
    return run


def test_training_that_was_killed_ends_bit_for_bit_the_same(clvq: Clvq, run: Path, uninterrupted: Path) -> None:
    """Twice killed: in the middle of an epoch, and after the first resume."""
    log = run / "L1-L3" / "metrics.jsonl"
    for steps in (20, 60):
        process = start("train", "--run", run, *TRAINING, driver=SLOW_STEPS)
        _wait_for(process, lambda steps=steps: any(line["step"] >= steps for line in _lines(log, "step")))
        process.kill()
        process.communicate()
        assert not (run / "L1-L3" / "config.json").exists()
    ended = clvq("train", "--run", run, *TRAINING)
    assert ended.code == 0, ended.err
    assert "Continuing after step " in ended.err
    assert _weights(run) == _weights(uninterrupted)
    resumes = _lines(log, "resume")
    assert len(resumes) == 2
    assert all(line["seconds_redone"] < 60 for line in resumes)
    for kind in ("step", "epoch"):
        timeless = [
            [{key: value for key, value in line.items() if key != "seconds"} for line in _lines(file, kind)]
            for file in (log, uninterrupted / "L1-L3" / "metrics.jsonl")
        ]
        assert timeless[0] == timeless[1]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_in_training_saves_the_last_step(
    clvq: Clvq, run: Path, uninterrupted: Path, number: int, code: int
) -> None:
    driver = SLOW_STEPS.replace("0.05", "1000.0")  # nothing is saved but for the signal
    process = start("train", "--run", run, *TRAINING, driver=driver)
    log = run / "L1-L3" / "metrics.jsonl"
    _wait_for(process, lambda: len(_lines(log, "step")) >= 4)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert out == ""
    assert err.splitlines()[-1] == "Interrupted. What was done is kept: the same command continues from there."
    assert "Traceback" not in err
    assert clvq("train", "--run", run, *TRAINING).code == 0
    (resume,) = _lines(log, "resume")
    assert resume["step"] >= 40
    assert resume["seconds_redone"] == 0
    assert _weights(run) == _weights(uninterrupted)


def test_an_extraction_that_was_killed_ends_in_the_same_bytes(
    clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shards' borders included, as both runs use the same small shards."""
    monkeypatch.setattr("clvq.activations.windows.WINDOW_BYTES", 8000)
    runs = {name: tmp_path / name for name in ("killed", "whole")}
    given = ("--model", bert, "--dataset", corpus, "--layers", "1,3", "--batch-tokens", "50")
    killed = start("extract", "--run", runs["killed"], *given, driver=SMALL_SHARDS)
    store = runs["killed"] / "activations"
    _wait_for(killed, lambda: len(list(store.glob("train-L3-*.safetensors"))) >= 4)
    killed.kill()
    killed.communicate()
    assert not (store / "manifest.json").exists()
    blocked = clvq("train", "--run", runs["killed"], *TRAINING, "--pooling", "mean")
    assert blocked.code == 1
    assert "unfinished extraction with other settings: pooling" in blocked.message
    resumed = clvq("extract", "--run", runs["killed"])  # what it was told is remembered
    assert resumed.code == 0, resumed.err
    assert "Continuing after " in resumed.err
    assert clvq("extract", "--run", runs["whole"], *given).code == 0
    contents = [
        {name: content for name, content in files_of(run).items() if not name.endswith("manifest.json")}
        for run in runs.values()
    ]
    assert contents[0] == contents[1]
    assert not any("unfinished" in name or "clvq-writing" in name for name in contents[0])
    manifests = [json.loads((run / "activations" / "manifest.json").read_text()) for run in runs.values()]
    for part in ("layers", "splits", "rows_fingerprint", "batch_tokens"):
        assert manifests[0][part] == manifests[1][part]


def test_a_signal_in_extraction_ends_at_once_and_is_resumable(
    clvq: Clvq, bert: Path, corpus: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    given = ("--model", bert, "--dataset", corpus, "--layers", "1,3")
    process = start("extract", "--run", run, *given, driver=SMALL_SHARDS)
    _wait_for(process, lambda: len(list((run / "activations").glob("train-L3-*.safetensors"))) >= 2)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (143, "")
    assert err.splitlines()[-1].startswith("Interrupted. What was done is kept")
    ended = clvq("extract", "--run", run)
    assert ended.code == 0
    assert "Continuing after " in ended.err


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_a_closed_pipe_ends_quietly(run: Path, arguments: tuple[str, ...]) -> None:
    process = start("extract", "--run", run, *arguments)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    assert process.wait(30) == 141
    assert err.strip() == f"{run / 'activations'} is up to date."


def test_the_module_runs_too() -> None:
    done = subprocess.run([sys.executable, "-m", "clvq", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("clvq ")


SIGNALLED = """
import os, signal
def signalled(*_, **__):
    os.kill(os.getpid(), signal.SIGINT)
    raise RuntimeError("not ended")
"""
AT_FIRST = SIGNALLED + "import clvq.cli.main; clvq.cli.main.loaded = signalled"
AT_LAST = "import atexit" + SIGNALLED + "atexit.register(signalled)"
IN_BETWEEN = SIGNALLED + "from clvq.language_model.model import LanguageModel; LanguageModel.load = signalled"


@pytest.mark.parametrize("driver", [AT_FIRST, AT_LAST, IN_BETWEEN], ids=["first", "last", "between"])
def test_a_signal_to_a_command_that_keeps_nothing_says_no_more_than_that(
    uninterrupted: Path, run: Path, driver: str
) -> None:
    """In the first moment, in the last one, when all is printed, and in between."""
    shutil.copytree(uninterrupted / "L1-L3", run / "L1-L3")
    process = start("assign", "the film", "--run", run, driver=driver)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "Interrupted."
    assert "Traceback" not in err
    assert ("film" in out) == (driver == AT_LAST)
