"""docs/commands.md says what the commands take."""

from __future__ import annotations

from scripts.command_reference import REFERENCE, reference


def test_the_command_reference_is_up_to_date() -> None:
    assert REFERENCE.read_text(encoding="utf-8") == reference(), "Run: python scripts/command_reference.py"
