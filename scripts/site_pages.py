"""Pages of the documentation site that docs/ does not hold as Markdown; mkdocs.yml names this module as a hook.

These are the tutorial, a notebook, and files of the checkout's root. A README links to `docs/quickstart.md`, and a page
in docs/ to `../SECURITY.md`; on the site all pages lie side by side.
"""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # mkdocs runs a hook without its package

from scripts import notebook_page  # noqa: E402

PAGES = {
    "README.md": "index.md",
    "docs/tutorial.ipynb": "tutorial.md",
    "SECURITY.md": "security.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Of each such file of the checkout its page."""
FOLDERS = {"docs/recipes": "recipes/README.md", "docs/api": "api/README.md"}
"""Folders that are linked to, and their page."""
_LINK = re.compile(r"(\]\(|src=\"|href=\")(?!https?:|data:|#|mailto:)([^)\s\"#]+)")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages."""
    from mkdocs.structure.files import File

    for source, page in PAGES.items():
        path = ROOT / source
        text = notebook_page.page(path) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=relinked(text, source)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turn links of a page of docs/ to files of the checkout into links between pages."""
    if page.file.src_uri in PAGES.values():
        return markdown
    return relinked(markdown, f"docs/{page.file.src_uri}")


def relinked(text: str, source: str) -> str:
    """Return a Markdown text of the file `source` with links between files of the checkout as links between pages."""
    here = posixpath.dirname(page_of(source))

    def link(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[2]))
        return match[1] + posixpath.relpath(page_of(target), here or ".")

    return _LINK.sub(link, text)


def page_of(path: str) -> str:
    """Return the page or file of the site that a path of the checkout is."""
    return PAGES.get(path) or FOLDERS.get(path) or path.removeprefix("docs/")
