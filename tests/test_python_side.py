"""The public functions: what their signatures say is what the settings classes and the command line say."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import typing
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

import clvq
from clvq.activations.store import ActivationStore
from clvq.cli import explain, extract, faithfulness, train
from clvq.config import ExplainConfig, ExtractConfig, FaithfulnessConfig, Settings, TrainConfig
from clvq.progress import Progress

SETTINGS: dict[str, type[Settings]] = {
    "extract": ExtractConfig, "train": TrainConfig, "explain": ExplainConfig, "faithfulness": FaithfulnessConfig,
}  # fmt: skip
COMMANDS = {"extract": extract.extract, "train": train.train, "explain": explain.explain,
            "faithfulness": faithfulness.faithfulness}  # fmt: skip
FUNCTIONS = [*SETTINGS, "codebook", "report"]
REQUIRED = {"input_layer": 1, "output_layer": 2}
ROOT = Path(__file__).parents[1]


def call(name: str, folder: Path, **named: object) -> object:
    """Call a public function on paths that do not exist."""
    path = folder / "nowhere"
    own = {"train": {"path": path, **REQUIRED}, "report": {"path": path}}.get(name, {})
    return getattr(clvq, name)(path, **{**own, **named})


@pytest.mark.parametrize("name", SETTINGS)
def test_signatures_are_the_settings(name: str) -> None:
    parameters = inspect.signature(getattr(clvq, name)).parameters
    hints = typing.get_type_hints(SETTINGS[name])
    for item in fields(SETTINGS[name]):  # type: ignore[arg-type]
        parameter = parameters[item.name]
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert parameter.default == (inspect.Parameter.empty if item.default is MISSING else item.default)
        assert parameter.annotation == (int | Sequence[int] if item.name == "layers" else hints[item.name])
    assert not any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())


@pytest.mark.parametrize("name", SETTINGS)
def test_the_command_line_has_the_same_settings(name: str) -> None:
    parameters = inspect.signature(getattr(clvq, name)).parameters
    options = {option.name: option for option in COMMANDS[name].options}  # type: ignore[attr-defined]
    for item in fields(SETTINGS[name]):  # type: ignore[arg-type]
        if item.metadata["option"]:
            option = options[item.name]
            assert option.meaning == item.metadata["meaning"]
            assert option.default is MISSING or option.default == parameters[item.name].default
        elif item.name != "seed":
            assert item.name not in options


@pytest.mark.parametrize("name", FUNCTIONS)
def test_help_explains_every_parameter_and_shows_an_example(name: str) -> None:
    text = inspect.getdoc(getattr(clvq, name))
    assert text is not None
    assert f"clvq.{name}(" in text
    lines = text.splitlines()
    listed = [line.strip().split(":")[0] for line in lines[lines.index("Args:") + 1 :] if line[4:5].strip()]
    assert listed == list(inspect.signature(getattr(clvq, name)).parameters)
    flat = " ".join(text.split())
    for item in fields(SETTINGS[name]) if name in SETTINGS else ():  # type: ignore[arg-type]
        assert f"{item.name}: {item.metadata['meaning']}" in flat


def test_the_stub_for_editors_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("python_stub", ROOT / "scripts" / "python_stub.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.STUB.read_text(encoding="utf-8") == script.stub(), "Run: python scripts/python_stub.py"
    names: dict[str, object] = {}
    exec(compile(script.stub(), "clvq.pyi", "exec"), names)
    for name in FUNCTIONS:
        shown, real = (
            inspect.signature(of[name]).parameters for of in (names, vars(clvq) | {name: getattr(clvq, name)})
        )
        assert list(shown) == list(real)
        assert [entry.default for entry in shown.values()] == [entry.default for entry in real.values()]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_unknown_setting_is_refused_before_any_work(name: str, tmp_path: Path) -> None:
    with pytest.raises(clvq.ClvqError, match=r"There is no setting 'progres'\. Did you mean progress"):
        call(name, tmp_path, progres=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "wrong", "meant"),
    [
        ("extract", "layer", "layers"),
        ("train", "epoch", "epochs"),
        ("explain", "max_step", "max_steps"),
        ("faithfulness", "draw", "draws"),
        ("codebook", "overwrit", "overwrite"),
    ],
)
def test_the_setting_that_was_meant_is_named(name: str, wrong: str, meant: str, tmp_path: Path) -> None:
    with pytest.raises(clvq.ClvqError, match=f"no setting '{wrong}'[.] Did you mean .*{meant}"):
        call(name, tmp_path, **{wrong: 3})
    with pytest.raises(clvq.ClvqError, match=r"The settings are: .*overwrite"):
        call(name, tmp_path, zzz=3)


@pytest.mark.parametrize("name", SETTINGS)
def test_bounds_are_those_of_the_fields(name: str) -> None:
    required = REQUIRED if name == "train" else {}
    for item in fields(SETTINGS[name]):  # type: ignore[arg-type]
        bounds = item.metadata["bounds"]
        if bounds is None:
            continue
        outside = [bounds.at_least - 1] if bounds.at_least is not None else [bounds.above]
        outside += [bounds.at_most + 1] if bounds.at_most is not None else []
        outside += [bounds.below] if bounds.below is not None else []
        for value in outside:
            with pytest.raises(clvq.ClvqError, match=f"--{item.name.replace('_', '-')} must .*; it is {value}"):
                SETTINGS[name].resolve(**{**required, item.name: value})
    if name == "train":
        with pytest.raises(clvq.ClvqError, match="--learning-rate must be above 0; it is nan"):
            TrainConfig.resolve(**REQUIRED, learning_rate=float("nan"))


def test_required_settings_are_named() -> None:
    with pytest.raises(clvq.ClvqError, match="--input-layer and --output-layer must be given"):
        TrainConfig.resolve(epochs=1)


@pytest.mark.parametrize(("given", "layers"), [(2, (2,)), ([1, 2], (1, 2)), (range(1, 3), (1, 2)), ((2, 1), (2, 1))])
def test_layers_are_one_number_or_several(given: object, layers: tuple[int, ...]) -> None:
    assert ExtractConfig.resolve(layers=given).layers == layers


@pytest.mark.parametrize("given", [True, "12", [1, True], 1.0])
def test_other_layers_are_refused(given: object) -> None:
    with pytest.raises(clvq.ClvqError, match="--layers must be"):
        ExtractConfig.resolve(layers=given)


def test_a_function_gets_the_reports_and_none_is_silent(
    model_folder: Callable[[str], Path], corpus_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reports: list[Progress] = []
    given = {"model": str(model_folder("bert")), "dataset": str(corpus_file), "device": "cpu"}
    store = clvq.extract(tmp_path / "activations", layers=2, max_sentences=20, progress=reports.append, **given)
    assert isinstance(store, ActivationStore)
    assert list(store.layers) == [2]
    assert {report.stage for report in reports} >= {"extract"}
    capsys.readouterr()
    clvq.extract(tmp_path / "activations", layers=2, max_sentences=20, progress=None, **given)
    assert capsys.readouterr() == ("", "")
    with pytest.raises(clvq.ClvqError, match="progress must be True or a function"):
        clvq.extract(tmp_path / "activations", layers=2, progress="yes", **given)


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_true_shows_bars_on_a_terminal_and_lines_elsewhere(
    terminal: bool, corpus_file: Path, model_folder: Callable[[str], Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    given = {"model": str(model_folder("bert")), "dataset": str(corpus_file), "device": "cpu", "layers": 2}
    clvq.extract(tmp_path / "activations", progress=True, **given)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "will be written to" in shown.err
    assert ("working ..." in shown.err) == terminal  # what a bar shows before the first stage
    clvq.extract(tmp_path / "activations", progress=False, **given)
    assert capsys.readouterr() == ("", "")
