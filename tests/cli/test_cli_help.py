"""Help is fast, complete, and made from the settings classes; wrong usage exits 2."""

from __future__ import annotations

from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest
from running import Clvq, modules_after

import clvq as package
from clvq.cli.main import SUMMARIES
from clvq.config import ExtractConfig, TrainConfig

pytestmark = pytest.mark.slow


def test_help_imports_nothing_heavy() -> None:
    """How fast it is `benchmarks/` shows."""
    _, modules = modules_after("--help")
    assert not modules & {"torch", "transformers", "datasets", "numpy", "pyarrow", "huggingface_hub", "sklearn"}
    assert not [name for name in modules if name.startswith("clvq.cli.") and name != "clvq.cli.main"]


HEAVY = {
    "torch", "transformers", "datasets", "numpy", "scipy", "pandas", "pyarrow", "huggingface_hub", "sklearn",
    "safetensors", "captum", "bokeh", "jinja2",
}  # fmt: skip
COMMANDS = ("extract", "train", "sweep", "codebook", "explain", "faithfulness", "bench", "report")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_imports_nothing_heavy(command: str) -> None:
    shown, modules = modules_after(command, "--help")
    assert f"clvq {command} " in shown
    assert not modules & HEAVY


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("clvq fai", {"faithfulness"}),
        ("clvq train --input", {"--input-layer"}),
        ("clvq codebook --check", {"--checkpoint"}),
        ("clvq codebook --sort s", {"sentences", "spread"}),
    ],
)
def test_the_shell_completes_without_heavy_imports(typed: str, completed: set[str]) -> None:
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    shown, modules = modules_after(_CLVQ_COMPLETE="complete_bash", **words)
    assert set(shown.split()) == completed
    assert not modules & HEAVY


def test_the_program_lists_its_commands_and_version(clvq: Clvq) -> None:
    shown = clvq("--help")
    assert shown.code == 0
    assert shown.out.index("│ extract ") < shown.out.index("│ train ")
    assert "explained in docs/glossary.md" in " ".join(shown.out.split())
    assert clvq("--version").out == f"clvq {package.__version__}\n"
    assert clvq().code == 2


@pytest.mark.parametrize(
    ("command", "settings"), [("extract", [ExtractConfig]), ("train", [TrainConfig, ExtractConfig])]
)
def test_every_setting_is_an_option_with_its_default(clvq: Clvq, command: str, settings: list[type]) -> None:
    shown = clvq(command, "--help")
    assert shown.code == 0
    text = " ".join(shown.out.replace("│", " ").split())
    for item in (item for kind in settings for item in fields(kind)):
        flag = f"--{item.name.replace('_', '-')} "
        if item.metadata["option"]:
            assert shown.out.count(f"│ {flag}") == 1, flag
        elif item.name != "seed":
            assert f"│ {flag}" not in shown.out
    assert "--unit CHOICE" in text
    assert "[default: word; also token]" in text
    meaning = "Number of tokens in a batch of the language model, padding included"
    assert f"--batch-tokens <int> {meaning} [1024 on a CPU, 4096 on a GPU]." in text
    assert "[recognised by its name]" in text  # brackets are no markup
    for shared in ("--run", "--overwrite", "--json", "--config", "--debug"):
        assert f" {shared} " in text
    assert "explained in docs/glossary.md" in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["extract", "--unit", "sentence"], "Invalid value for '--unit': 'sentence' is not one of 'word', 'token'"),
        (["extract", "--layers", "1,x"], "'1,x' is no list of layers"),
        (["extract", "--max-sentences", "few"], "should be a valid integer"),
        (["train", "--input-layer", "1", "--output-layer", "2", "--temperature", "warm"], "should be a valid number"),
        (["train", "--no-such-option"], "No such option: --no-such-option"),
        (["train"], "--input-layer and --output-layer must be given"),
        (["train", "--input-layer", "1"], "--output-layer must be given"),
        (["extract", "--model", "demo", "--dataset", "demo"], "--layers must be given"),
        (["extract", "--layers", "1", "--dataset", "some.jsonl"], "--dataset is given, but not --model"),
        (
            ["train", "--input-layer", "1", "--output-layer", "2", "--model", "a/b"],
            "--model is given, but not --dataset",
        ),
        (["paint"], "No such command 'paint'"),
    ],
)
def test_wrong_usage_exits_2(
    clvq: Clvq, arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = clvq(*arguments)
    assert ended.code == 2
    assert says in ended.message
    assert ended.out == ""
    assert not list(tmp_path.iterdir())


def test_the_list_of_commands_says_what_their_help_says() -> None:
    """The list is written apart, so that it can be shown without importing the commands."""
    folder = Path(package.__file__).parent / "cli"
    modules = {path.stem: import_module(f"clvq.cli.{path.stem}") for path in folder.glob("*.py")}
    commands = {name: getattr(module, name) for name, module in modules.items()
                if hasattr(getattr(module, name, None), "options")}  # fmt: skip
    assert set(SUMMARIES) == set(commands)
    for name, summary in SUMMARIES.items():
        assert commands[name].__doc__.split("\n\n")[0].split("\n")[0] == summary, name


def test_a_mistyped_command_and_a_missing_argument_are_usage(clvq: Clvq) -> None:
    ended = clvq("explian", "good")
    assert (ended.code, "explain" in ended.err) == (2, True)
    for command, lacking in (("steer", "TEXT"), ("pull", "REPOSITORY"), ("push", "CHECKPOINT and REPOSITORY")):
        ended = clvq(command)
        assert (ended.code, f"{lacking} must be given" in ended.message) == (2, True), ended.err
