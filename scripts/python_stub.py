"""Write clvq/__init__.pyi: the public names with whole signatures and docstrings, for type checkers and editors.

    python scripts/python_stub.py

The signatures come from the functions and from the settings classes. tests/test_python_side.py checks that the file is
up to date.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any, Union, get_args, get_origin

sys.path.insert(0, str(Path(__file__).parents[1]))  # this checkout, whichever is installed

import clvq

WIDTH = 120
"""Of a line, as the linter wants it."""
STUB = Path(clvq.__file__).with_suffix(".pyi")
UNNAMED = [
    "from clvq.concepts.publishing import Published",
    "from clvq.concepts.assign import AssignedText",
    "from clvq.interventions.steered import Steered",
]
"""Of what functions give that has no public name."""
HEAD = '''\
# Made by scripts/python_stub.py from the functions and the settings classes.
"""{doc}"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

{imports}

__version__: str
'''


def stub() -> str:
    """Return the text of the stub."""
    functions = [getattr(clvq, name) for name in clvq.__all__ if hasattr(getattr(clvq, name), "__signature__")]
    names = sorted((f"clvq.{clvq._HOMES[name]}", name) for name in clvq.__all__ if getattr(clvq, name) not in functions)
    lines = [f"from {module} import {name} as {name}" for module, name in names]
    lines += UNNAMED
    imports = "\n".join(sorted([*lines, "from clvq.progress import Report"]))
    head = HEAD.format(doc=clvq.__doc__, imports=imports)
    return formatted("\n".join([head, *map(definition, functions)]))


def formatted(source: str) -> str:
    """Return a module's source as the linter wants it."""
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(STUB), "-"]
    return subprocess.run(command, input=source, capture_output=True, text=True, check=True, cwd=STUB.parent).stdout


def definition(function: Any) -> str:
    """Return a function's signature, a line a parameter, with its docstring."""
    signature = inspect.signature(function)
    lines, keyword_only = [], False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            lines.append("*")
            keyword_only = True
        default = "" if parameter.default is parameter.empty else f" = {text(repr(parameter.default))}"
        lines.append(wrapped(f"{parameter.name}: {annotation(function, parameter)}{default}"))
    parameters = "".join(f"    {line},\n" for line in lines)
    doc = "\n".join(f"    {line}" if line else "" for line in function.__doc__.splitlines())
    returns = function.__wrapped__.__annotations__["return"]
    return f'def {function.__name__}(\n{parameters}) -> {returns}:\n    """{doc.lstrip()}\n    """\n'


def wrapped(line: str) -> str:
    """Return a parameter as the formatter has it: the choices of a long Literal on a line of their own."""
    if len(line) + len("    ,") <= WIDTH:
        return line
    before, choices = line.split("[", 1)
    return f"{before}[\n        {choices.replace(']', chr(10) + '    ]', 1)}"


def annotation(function: Any, parameter: inspect.Parameter) -> str:
    """Return a parameter's type: as its function spells it, or from the settings class."""
    if parameter.name == "progress":
        return "Report | bool | None"
    if parameter.name in function.__wrapped__.__annotations__:
        return str(function.__wrapped__.__annotations__[parameter.name])
    kind = parameter.annotation
    if get_origin(kind) is Union:  # of a Literal and None, which inspect writes as Optional[...]
        return " | ".join("None" if part is type(None) else spelled(part) for part in get_args(kind))
    return spelled(kind)


def spelled(kind: Any) -> str:
    """Return a type as source code."""
    return text(inspect.formatannotation(kind)).replace("collections.abc.", "").replace("typing.", "")


def text(representation: str) -> str:
    """Return a value's representation in double quotes."""
    return representation.replace("'", '"')


if __name__ == "__main__":
    STUB.write_text(stub(), encoding="utf-8")
