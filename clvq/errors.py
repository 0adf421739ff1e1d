"""What clvq raises when the user can fix the cause: the message says what is wrong, where, and what to do."""

from __future__ import annotations


class ClvqError(Exception):
    """An error that the user can fix.

        try:
            clvq.read_checkpoint("run/L4-L8")
        except clvq.ClvqError as error:
            print(error)

    The command line prints the message alone and exits 1.
    """


class ArtifactError(ClvqError):
    """A file of a run folder that is missing, truncated, corrupt, foreign, or from a newer format."""


class MismatchError(ClvqError):
    """Two artifacts, or an artifact and the settings asked for, that do not belong together."""


class UnwritableError(ClvqError):
    """A folder that the operating system does not let us write to, such as one on a read-only disk."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message that is not blank, or else the name of its class."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def refuse_undecodable(what: str, path: object) -> None:
    """Raise ClvqError for a name of bytes that are not UTF-8: JSON and safetensors cannot hold it."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise ClvqError(f"The name of {what}, {str(path)!r}, is not UTF-8. Rename it.") from error
