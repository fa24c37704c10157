"""Small text files as editors save them: UTF-8, UTF-16 with its mark, or Windows-1252."""

from __future__ import annotations

import codecs

from tinycnn.errors import ConversionError

MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def decode(data: bytes) -> tuple[str, str]:
    """Return a file's text, and a caveat if its encoding was guessed; ConversionError if not."""
    marked = data.startswith(MARKS)
    for encoding in ("utf-16",) if marked else ("utf-8-sig", "cp1252"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        guessed = encoding == "cp1252"
        return text, "not UTF-8, so it is read as Windows-1252" if guessed else ""
    raise ConversionError("neither UTF-8, UTF-16 with its mark nor Windows-1252; save it as UTF-8")
