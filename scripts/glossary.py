"""Write docs/glossary.md from the words that the report explains too.

    python scripts/glossary.py

tests/test_docs.py checks that the page is up to date.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # this checkout, whichever is installed

from clvq.html_report.glossary import glossary

PAGE = Path(__file__).parents[1] / "docs" / "glossary.md"
HEAD = """\
# Glossary

The words of the figures, in an order in which each needs only those before it. The report of `clvq report` has them at
its end. This page is made by `python scripts/glossary.py`.
"""


def page() -> str:
    """Return the text of the page."""
    parts = [HEAD]
    for group in glossary():
        parts.append(f"## {group.title}\n")
        parts += [f"### {term.name}\n\n{filled(f'{term.meaning} [More]({term.page})')}\n" for term in group.terms]
    return "\n".join(parts)


def filled(text: str) -> str:
    """Return a paragraph in lines as long as those of other pages."""
    return textwrap.fill(text, width=120, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
