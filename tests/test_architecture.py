"""The rules of the house, read off the imports: data flows one way, heavy libraries stay in their rooms."""

from __future__ import annotations

import ast
import inspect
import operator
import re
import textwrap
from pathlib import Path

import pytest

import clvq

PACKAGE = Path(clvq.__file__).parent

ROOMS = (
    "errors", "progress", "notebook", "config", "storage", "artifacts", "device", "demo", "corpus", "language_model",
    "activations", "models", "training", "concepts", "explanations", "interventions", "html_report", "cli",
)  # fmt: skip
"""A module imports from its own room and from those before it; what lies flat in the package is a room of its own."""

ONLY_IN = {
    "typer": {"cli"},
    "rich": {"cli"},
    "datasets": {"corpus"},
    "transformers": {"language_model"},
    "captum": {"explanations"},
    "bokeh": {"html_report"},
    "jinja2": {"html_report"},
    "sklearn": {"concepts", "explanations", "interventions", "training"},
}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Full names of everything a module imports, inside functions too; not what only type checkers read."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if room(path) not in {"__init__", "__main__"})


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_back_along_the_rooms(path: Path) -> None:
    own = room(path)
    assert own in ROOMS, f"{own} is no room: move it into one"
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "clvq" and len(parts) > 1 and parts[1] in ROOMS:
            assert ROOMS.index(parts[1]) <= ROOMS.index(own), f"{own} imports {parts[1]}, which comes after it"


@pytest.mark.slow
@pytest.mark.parametrize("library", sorted(ONLY_IN))
def test_heavy_libraries_stay_in_their_rooms(library: str) -> None:
    users = {room(path) for path in MODULES if any(name.split(".")[0] == library for name in imports(path))}
    assert users <= ONLY_IN[library]


def test_the_library_asks_for_the_command_line_in_one_place() -> None:
    """`import_module` hides a name from `imports`, so those who name a room after their own are counted here."""
    naming = {
        path.relative_to(PACKAGE).as_posix()
        for path in MODULES
        if room(path) != "cli" and '"clvq.cli' in path.read_text(encoding="utf-8")
    }
    assert naming == {"progress.py"}


@pytest.mark.slow
def test_the_library_prints_nothing() -> None:
    talkers = set()
    for path in MODULES:
        if room(path) == "cli":
            continue
        calls = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
        if any(isinstance(call.func, ast.Name) and call.func.id == "print" for call in calls):
            talkers.add(path.name)
    assert not talkers


MOST_LINES, LONGEST_FUNCTION, MOST_PARAMETERS = 300, 50, 7

FUNCTIONS = [
    (path, node)
    for path in MODULES
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(node, ast.FunctionDef)
]


def place(path: Path, node: ast.FunctionDef) -> str:
    return f"{path.relative_to(PACKAGE)}:{node.lineno} {node.name}"


def test_modules_can_be_held_in_mind() -> None:
    assert [path for path in MODULES if len(path.read_text(encoding="utf-8").splitlines()) > MOST_LINES] == []


def test_functions_can_be_held_in_mind() -> None:
    """Their bodies without the docstring: that of a public function, and its signature, are for its users."""

    def body(node: ast.FunctionDef) -> int:
        first = node.body[bool(ast.get_docstring(node)) and len(node.body) > 1]
        return (node.end_lineno or 0) - first.lineno + 1

    assert [place(path, node) for path, node in FUNCTIONS if body(node) > LONGEST_FUNCTION] == []


def test_functions_take_few_parameters() -> None:
    """But for commands, whose parameters are their options, and models, whose parameters lie with the weights."""

    def parameters(node: ast.FunctionDef) -> int:
        names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        return len([name for name in names if name not in ("self", "cls")])

    def is_command(node: ast.FunctionDef) -> bool:
        return any(isinstance(one, ast.Call) and ast.unparse(one.func) == "command" for one in node.decorator_list)

    many = {
        place(path, node) for path, node in FUNCTIONS if parameters(node) > MOST_PARAMETERS and not is_command(node)
    }
    assert {name.split(":")[0] for name in many} <= {"models/clvq_vae.py"}, many


def example(text: str) -> str:
    """The first block of a docstring that is indented more than the rest."""
    block = re.search(r"(?:^    .*\n|^\n(?=    ))+", f"{text}\n", re.MULTILINE)
    assert block, "there is no example, or nothing after it"
    return textwrap.dedent(block[0])


@pytest.mark.parametrize("name", [name for name in clvq.__all__ if not name.endswith("Error")])
def test_every_public_name_shows_an_example_that_could_run(name: str) -> None:
    """Its calls of functions and classes of clvq name what is there, with keywords that are taken."""
    calls = 0
    for node in ast.walk(ast.parse(example(inspect.getdoc(getattr(clvq, name)) or ""))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "clvq":
            assert hasattr(clvq, node.attr), node.attr
        if not (isinstance(node, ast.Call) and re.fullmatch(r"clvq(\.\w+)+", ast.unparse(node.func))):
            continue
        called = operator.attrgetter(ast.unparse(node.func).removeprefix("clvq."))(clvq)
        keywords = {keyword.arg: None for keyword in node.keywords if keyword.arg}
        inspect.signature(called).bind(*([None] * len(node.args)), **keywords)
        calls += 1
    assert calls


def test_every_public_name_is_there_and_documented() -> None:
    for name in clvq.__all__:
        assert getattr(clvq, name).__doc__, name
    with pytest.raises(AttributeError):
        clvq.nothing_of_the_kind  # noqa: B018
