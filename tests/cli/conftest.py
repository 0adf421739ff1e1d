"""What the tests of the commands share: the real entry point, a tiny model and corpus, and a finished run folder."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_models
from running import Clvq, Outcome, write_corpus

from clvq.cli.main import main


@pytest.fixture
def clvq(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Clvq:
    """Runs `clvq ARGUMENTS` through `main`, in this process."""
    monkeypatch.delenv("CLVQ_RUN", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")

    def call(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["clvq", *map(str, arguments)])
        capsys.readouterr()
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        with pytest.raises(SystemExit) as end:
            main()
        for number, handler in before.items():
            signal.signal(number, handler)
        out, err = capsys.readouterr()
        return Outcome(end.value.code if isinstance(end.value.code, int) else 0, out, err)

    return call


@pytest.fixture(scope="session")
def bert(model_folder: Callable[[str], Path]) -> Path:
    return model_folder("bert")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred and twenty labelled sentences."""
    texts = tiny_models.made_sentences()[::5]
    return write_corpus(tmp_path_factory.mktemp("corpus") / "reviews.jsonl", texts)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, bert: Path, corpus: Path) -> Path:
    """A run folder with layers 1 and 3; shared, so tests copy it."""
    import clvq

    run = tmp_path_factory.mktemp("finished") / "run"
    clvq.extract(run / "activations", model=str(bert), dataset=str(corpus), layers=(1, 3))
    return run


@pytest.fixture(scope="session")
def trained_run(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a checkpoint L1-L3 too; shared, so tests copy it."""
    import clvq

    run = Path(shutil.copytree(finished_run, tmp_path_factory.mktemp("trained") / "run"))
    clvq.train(
        run / "activations", path=run / "L1-L3", input_layer=1, output_layer=3, epochs=1, codebook_size=12, top_k=3,
        decoder_layers=1,
    )  # fmt: skip
    return run


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Path:
    """A run folder of the test's own with layers 1 and 3."""
    return Path(shutil.copytree(finished_run, tmp_path / "run"))
