"""A notebook as a page of the documentation site: its cells, and the outputs that are stored in it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

_STYLE = re.compile(r"<style.*?</style>", re.DOTALL)
_BLANK = re.compile(r"\n\s*\n+")


def page(path: Path) -> str:
    """Return a notebook's cells with their outputs as Markdown. Outputs are text, HTML and PNG; others are left out."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return "\n\n".join(_cell(cell) for cell in notebook["cells"]) + "\n"


def _cell(cell: dict[str, Any]) -> str:
    source = _joined(cell["source"])
    if cell["cell_type"] != "code":
        return source
    return "\n\n".join([f"```python\n{source}\n```", *filter(None, map(_output, cell["outputs"]))])


def _output(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        pixels = _joined(data["image/png"]).strip()
        return f'<img class="output" alt="Plot of the cell above" src="data:image/png;base64,{pixels}">'
    if "text/html" in data:
        return f'<div class="output">\n{_plain_table(_joined(data["text/html"]))}\n</div>'
    text = _joined(output.get("text") or data.get("text/plain", ""))
    return f"```{{.text .output}}\n{text.rstrip()}\n```" if text else ""


def _plain_table(html: str) -> str:
    """Return HTML in which a table looks like those of other pages, and no blank line ends the block."""
    html = _STYLE.sub("", html).replace(' border="1" class="dataframe"', "")
    return _BLANK.sub("\n", html).strip()


def _joined(text: str | list[str]) -> str:
    """Return a text that a notebook may hold as a list of lines."""
    return text if isinstance(text, str) else "".join(text)
