"""What the tests of the report share: texts that would rather be markup, and ways to read a page in a browser."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import expect
from tiny_models import made_sentences

HOSTILE = [
    "the </script><script>window.hacked=1</script> film",
    "an <img src=x onerror=window.hacked=2> ending <!--<script> &lt;b&gt;",
    "a \u202ekcatta\u202c of \u2028 marks and an emoji \U0001f3ac before dull",
    "{{ 7*7 }} ${window.hacked=3} javascript:window.hacked=4 'quoted\" words",
]
TEXTS = [*HOSTILE, *made_sentences()[:196]]
GROUPS = {"L1-L2": ["L1-L2", "seed1", "seed2"], "$$k$$-means <b>": ["$$k$$-means <b>"]}
"""Checkpoints of the faithfulness section; Bokeh takes dollars for a formula if it may."""


def shown_codes(page: Any) -> list[int]:
    """Over all pages of the catalogue; the first one is shown again in the end."""
    rows = page.evaluate("""() => {
      const next = document.getElementById("concept-next"), field = document.getElementById("concept-page");
      const shown = () => Array.from(document.querySelectorAll("#catalogue > li"), row => row.id);
      const turn = (number) => { field.value = number; field.dispatchEvent(new Event("change")); };
      if (field.value !== "1") turn(1);
      const rows = shown();
      while (!next.disabled) { next.click(); rows.push(...shown()); }
      if (field.value !== "1") turn(1);
      return rows;
    }""")
    return [int(row.removeprefix("concept-")) for row in rows]


def told(rows: Any) -> list[str]:
    """What stands in each, on one line."""
    return [" ".join(text.split()) for text in rows.all_inner_texts()]


def go(page: Any, anchor: str) -> None:
    page.evaluate("anchor => { location.hash = anchor; }", anchor)
    page.wait_for_selector(".arrived")


def wait_for_address(page: Any, start: str, end: str = "$") -> None:
    """Wait until the part of the address from its # on is `start`; with `end` empty, until it begins so.

    The page lets no text be run as code, so `page.wait_for_function` fails where it has to look twice.
    """
    expect(page).to_have_url(re.compile(re.escape(start) + end))
