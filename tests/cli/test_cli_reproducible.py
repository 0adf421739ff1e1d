"""The same command comes to the same bytes: killed at random moments, or with a clock that runs wild."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from killing import Nursery, timeless
from running import SMALL

pytestmark = pytest.mark.slow

OFTEN = """
import clvq.activations.model_pass, clvq.activations.windows, clvq.interventions.effects, clvq.training.loop
clvq.activations.windows.WINDOW_BYTES = 40_000  # tens of sentences
for room in (clvq.activations.model_pass, clvq.interventions.effects, clvq.training.loop):
    room.SAVE_SECONDS = 0.01
"""
WILD_CLOCK = """
import random, time
time.monotonic = lambda: random.uniform(0, 1e6)
"""
COMMANDS = {
    "extract": ("extract", "--layers", "1,3", "--batch-tokens", "64"),
    "train": ("train", "--input-layer", "1", "--output-layer", "3", "--epochs", "3", "--batch-sentences", "8", *SMALL),
    "codebook": ("codebook",),
    "explain": ("explain", "--batch-tokens", "256"),
    "faithfulness": ("faithfulness", "--batch-tokens", "128"),
}
"""In the order in which they follow from each other."""


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery(OFTEN) as started:
        yield started


class Stages:
    """A run folder before each command, and what the command makes of it when nothing disturbs it."""

    def __init__(self, nursery: Nursery, folder: Path, bert: Path, corpus: Path) -> None:
        self.before: dict[str, Path] = {}
        self.seconds: dict[str, float] = {}
        self.nursery = nursery
        self.given = {"extract": ("--model", bert, "--dataset", corpus)}
        run = folder / "run"
        run.mkdir()
        for name in COMMANDS:
            self.before[name] = Path(shutil.copytree(run, folder / f"before-{name}"))
            ended = nursery.run(*self.arguments(name, run))
            assert ended.code == 0, ended.err
            self.seconds[name] = ended.seconds
        self.before["end"] = run

    def arguments(self, name: str, run: Path) -> tuple[object, ...]:
        return (*COMMANDS[name], "--run", run, *self.given.get(name, ()))

    def copy(self, name: str, to: Path) -> Path:
        return Path(shutil.copytree(self.before[name], to))

    def after(self, name: str) -> dict[str, object]:
        """The files that the undisturbed command left."""
        names = [*self.before]
        return timeless(self.before[names[names.index(name) + 1]])


@pytest.fixture(scope="module")
def stages(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory, bert: Path, corpus: Path) -> Stages:
    return Stages(nursery, tmp_path_factory.mktemp("stages"), bert, corpus)


def killed_runs(stages: Stages, name: str, folder: Path, kills: int, seed: int) -> None:
    """Runs of a command, each killed at random moments until it comes through; `kills` or more of them in all."""
    generator, done = random.Random(seed), 0
    for number in range(10 * kills):
        if done >= kills:
            return
        run = stages.copy(name, folder / f"{name}-{number}")
        moments = [generator.uniform(0, stages.seconds[name]) for _ in range(5)]
        done += stages.nursery.run_to_the_end(*stages.arguments(name, run), moments=moments)
        assert timeless(run) == stages.after(name), f"seed {seed}, run {number}, moments {moments}"
    pytest.fail(f"{name} was killed {done} times only")


def test_an_extraction_that_is_killed_a_few_times_ends_in_the_same_bytes(stages: Stages, tmp_path: Path) -> None:
    manifest = stages.after("extract")["activations/manifest.json"]
    assert len(manifest["splits"]["train"]["counts"]) and len(manifest["layers"]["3"]["shards"]["train"]) > 3
    killed_runs(stages, "extract", tmp_path, kills=4, seed=0)


def test_a_layer_that_training_adds_is_read_in_the_batches_of_the_others(stages: Stages, tmp_path: Path) -> None:
    run = stages.copy("extract", tmp_path / "run")
    first = ("extract", "--run", run, "--layers", "1", "--batch-tokens", "64", *stages.given["extract"])
    for arguments in (first, stages.arguments("train", run)):
        ended = stages.nursery.run(*arguments)
        assert ended.code == 0, ended.err
    assert timeless(run) == stages.after("train")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_is_killed_at_random_moments_ends_in_the_same_bytes(
    name: str, stages: Stages, tmp_path: Path, full: bool
) -> None:
    killed_runs(stages, name, tmp_path, kills=50 if full else 3, seed=1)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_signal_at_any_moment_says_how_to_go_on(
    name: str, number: int, code: int, stages: Stages, tmp_path: Path, full: bool
) -> None:
    """And the same command comes to the same bytes. A command that was done already ends well."""
    generator, stopped, wanted = random.Random(number), 0, 20 if full else 1
    for attempt in range(10 * wanted):
        if stopped >= wanted:
            return
        run = stages.copy(name, tmp_path / f"run-{attempt}")
        moment = generator.uniform(0, stages.seconds[name])
        ended = stages.nursery.run(*stages.arguments(name, run), kill_after=moment, by=number)
        assert ended.code in (0, code), (moment, ended)
        if ended.code == code:
            stopped += 1
            assert ended.err.splitlines()[-1].startswith("Interrupted."), (moment, ended)
            assert "Traceback" not in ended.err, (moment, ended)
        again = stages.nursery.run(*stages.arguments(name, run))
        assert again.code == 0, (moment, again)
        assert timeless(run) == stages.after(name), (number, moment)
    pytest.fail(f"{name} was stopped {stopped} times only")


def test_the_clock_decides_nothing(stages: Stages, tmp_path: Path) -> None:
    with Nursery(OFTEN + WILD_CLOCK) as wild:
        for name in COMMANDS:
            run = stages.copy(name, tmp_path / name)
            ended = wild.run(*stages.arguments(name, run))
            assert ended.code == 0, ended.err
            assert timeless(run) == stages.after(name), name
