"""The documentation: what pages name is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import clvq
from scripts import glossary
from scripts.site_pages import PAGES, relinked

ROOT = Path(__file__).parents[1]
DOCS = [*(ROOT / name for name in PAGES), *sorted((ROOT / "docs").rglob("*.md"))]
_FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s#]*)(?:#([^)\s]+))?\)")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and mkdocs make them, and those that it states itself."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+?)(?: \{[^}]*\})?$", text, re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", heading.lower()).strip() for heading in headings)
    return {re.sub(r"\s", "-", heading) for heading in plain} | set(re.findall(r'<a id="([^"]+)"', text))


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target, anchor in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        goal = (page.parent / target).resolve() if target else page
        assert goal.exists(), f"{page.name} links to {target}"
        if anchor and goal.suffix == ".md":
            assert anchor in anchors(goal), f"{page.name} links to {target}#{anchor}"


def test_the_reference_has_every_public_name() -> None:
    pages = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "api").glob("*.md"))
    assert set(re.findall(r"^::: clvq\.(\w+)$", pages, re.MULTILINE)) == set(clvq.__all__)


@pytest.mark.parametrize(
    ("source", "link", "page"),
    [
        ("README.md", "docs/recipes", "recipes/README.md"),
        ("README.md", "docs/method.md#what-is-reported", "method.md#what-is-reported"),
        ("README.md", "SECURITY.md", "security.md"),
        ("docs/reliability.md", "../SECURITY.md", "security.md"),
        ("docs/recipes/movie.md", "../faithfulness.md", "../faithfulness.md"),
        ("README.md", "https://arxiv.org/abs/2506.20040", "https://arxiv.org/abs/2506.20040"),
    ],
)
def test_links_of_the_checkout_are_links_of_the_site(source: str, link: str, page: str) -> None:
    assert relinked(f"see [this]({link}).", source) == f"see [this]({page})."


def test_the_glossary_is_up_to_date() -> None:
    assert glossary.PAGE.read_text(encoding="utf-8") == glossary.page(), "Run: python scripts/glossary.py"


def messages_of_the_code() -> list[tuple[re.Pattern[str], int]]:
    """Each long text in the package as a pattern, in which what is filled in may be anything, and its fixed length."""
    found = []
    for path in Path(clvq.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else None for part in node.values]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                parts = [node.value]
            else:
                continue
            fixed = [" ".join(part.split()) for part in parts if part]
            if sum(map(len, fixed)) >= 30:
                pattern = r"\s*.*?\s*".join(map(re.escape, filter(None, fixed)))
                found.append((re.compile(pattern), sum(map(len, fixed))))
    return found


@pytest.mark.slow
def test_the_errors_that_are_quoted_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = [" ".join(text.split()) for text in re.findall(r"^Error: (.*?)^```", page, re.MULTILINE | re.DOTALL)]
    assert len(quoted) == 10
    known = messages_of_the_code()
    for message in quoted:
        fixed = [length for pattern, length in known if pattern.search(message)]
        assert max(fixed, default=0) >= 40, message
