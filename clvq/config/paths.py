"""Names of files and folders as users write them."""

from __future__ import annotations

from pathlib import Path


def expanded(name: str | Path) -> Path:
    """Return the path of a name, with the user's home in place of a leading `~`.

    A name that only begins like a home, such as `~backup.csv`, is taken as it stands.
    """
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)
