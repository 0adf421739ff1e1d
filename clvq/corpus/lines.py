"""The lines of a text file: uncompressed, decoded, and cut where its line ends are."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from clvq.errors import ClvqError

COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")  # of all formats but parquet, which compresses by itself

_HEAD = 65536  # bytes that show the encoding and the line ends
_BYTE_ORDER_MARKS = {  # longer ones first: the mark of UTF-32 begins like that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}
_NOT_TEXT = {
    rb"\x1f\x8b": "is compressed with gzip: add .gz to its name",
    rb"BZh[1-9]1AY&SY": "is compressed with bzip2: add .bz2 to its name",
    rb"\xfd7zXZ\0": "is compressed with xz: add .xz to its name",
    rb"\x28\xb5\x2f\xfd": "is compressed with zstd: add .zst to its name",
    rb"PK\x03\x04": "is a ZIP archive or an Excel workbook: unpack it, or save its sheet as CSV (UTF-8)",
    rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "is an Excel workbook: save its sheet as CSV (UTF-8)",
    rb"PAR1\x15": "is a parquet file: give it the ending .parquet",
    rb"ARROW1\0\0": "is an Arrow file: save it as parquet",
    rb"SQLite format 3\0": "is an SQLite database: export its table as CSV (UTF-8)",
    rb"\x93NUMPY": "is a NumPy array: save the texts as JSON lines",
}
"""What the first bytes, as a pattern, of files that hold no text tell about them."""
_UNDECODED = re.compile("[\udc80-\udcff]")  # what surrogateescape makes of a byte that is no UTF-8


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a file with their line ends. ClvqError where it cannot be read or decoded.

    The encoding is UTF-8, or what a byte-order mark says. Only a line feed ends a line, since texts may hold any other
    separator. In a file without line feeds, a carriage return ends a line.
    """
    number = 0
    try:
        with _open(path) as stream:
            head = stream.read(_HEAD)
        if kind := next((kind for start, kind in _NOT_TEXT.items() if re.match(start, head)), None):
            raise ClvqError(f"{path} holds no lines of text: it {kind}.")
        encoding = _encoding(path, head)
        newline = "\r" if _has_no_line_feed(path, head.decode(encoding, "ignore"), encoding) else "\n"
        with _open(path) as stream, io.TextIOWrapper(stream, encoding, "surrogateescape", newline) as text:
            for line in text:
                number += 1
                if not line.isascii() and (undecoded := _UNDECODED.search(line)):
                    raise _not_utf8(path, number, ord(undecoded.group()) - 0xDC00, head)
                yield line.removesuffix("\r") + "\n" if newline == "\r" else line
    except UnicodeError as error:
        raise ClvqError(
            f"{path} cannot be read past line {number} as {encoding}, which its byte-order mark says: {error}. "
            "Save it as UTF-8."
        ) from error
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ClvqError(
            f"Cannot read {path} past line {number}: {reason}. "
            "Check that the file is whole, readable, and of the format that its name says."
        ) from error


def _has_no_line_feed(path: Path, start: str, encoding: str) -> bool:
    """Return whether a file has carriage returns and no line feed; `start` is its beginning."""
    if "\r" not in start or "\n" in start:
        return False
    with _open(path) as stream, io.TextIOWrapper(stream, encoding, "surrogateescape", "") as text:
        return not any("\n" in part for part in iter(lambda: text.read(_HEAD), ""))


def _open(path: Path) -> BinaryIO:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    if suffix == ".bz2":
        return cast(BinaryIO, bz2.open(path, "rb"))
    if suffix == ".xz":
        return cast(BinaryIO, lzma.open(path, "rb"))
    if suffix == ".zst":
        import pyarrow

        return io.BufferedReader(pyarrow.input_stream(str(path), compression="zstd"))
    return path.open("rb")


def _encoding(path: Path, head: bytes) -> str:
    """Return the encoding that a file's first bytes show. ClvqError for UTF-16 without a byte-order mark."""
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            return encoding
    half = len(head) // 2
    for order, zeros in (("le", head[1::2].count(0)), ("be", head[0::2].count(0))):
        if half > 1 and zeros > half / 3:
            raise ClvqError(
                f"{path} seems to be UTF-16 without a byte-order mark, not UTF-8: every second byte is 0. "
                f"Convert it with: {_iconv(path, f'utf-16{order}')}"
            )
    return "utf-8"


def _not_utf8(path: Path, number: int, byte: int, head: bytes) -> ClvqError:
    """Return the error for a line that is not UTF-8, with the encoding that it may have."""
    decoded = head.decode("utf-8", "surrogateescape")
    undecoded = len(_UNDECODED.findall(decoded))
    letters = sum(character.isalpha() for character in decoded)
    if sum(not character.isascii() for character in decoded) - undecoded > undecoded:
        advice = "Other characters of the file are UTF-8, so only this line has to be corrected."
    elif undecoded > 0.3 * (letters + undecoded):
        advice = (
            f"Convert it with: {_iconv(path, 'ENCODING')} where ENCODING is cp1251 (Cyrillic), gb18030 (Chinese), "
            "shift_jis (Japanese) or another."
        )
    else:
        try:
            head.decode("cp1252")
            encoding = "cp1252"
        except UnicodeDecodeError:
            encoding = "latin1"
        advice = f"It may be {encoding} (Western European). Convert it with: {_iconv(path, encoding)}"
    return ClvqError(f"{path}, line {number}: byte 0x{byte:02x} is not UTF-8. {advice}")


def _iconv(path: Path, encoding: str) -> str:
    inner = path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
    return f"iconv -f {encoding} -t utf-8 {inner.name} > utf8-{inner.name}"
