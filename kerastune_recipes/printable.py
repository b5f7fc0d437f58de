"""Text from outside, made safe to show: characters that steer a terminal, break a line or reorder it are escaped."""

import re
from collections.abc import Iterable

# Control characters, breaks of lines and paragraphs, the bidirectional controls that can make a text read as another
# (Boucher and Anderson 2021), halves of surrogate pairs, which no file or terminal can hold, and what is no character.
# Marks that scripts need within words, such as the zero-width joiner, are not among them.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
_HALVES = re.compile("[\ud800-\udfff]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def one_line(text: str) -> str:
    """Return a text as one line that cannot steer a terminal.

    Args:
        text: Any text, such as the name of a file.

    Example:
        >>> one_line("ants\\n\\x1b[2Jbees")
        'ants\\\\n\\\\x1b[2Jbees'
    """
    return _UNSAFE.sub(_escape, text)


def lines(text: str) -> str:
    """Return a text that cannot steer a terminal; its line feeds stay.

    Args:
        text: Any text whose lines are ours.

    Example:
        >>> lines("ants\\n\\x1b[2Jbees")
        'ants\\n\\\\x1b[2Jbees'
    """
    return "\n".join(map(one_line, text.split("\n")))


def encodable(text: str) -> str:
    """Return a text that can be written as UTF-8; Python has halves of surrogate pairs for bytes that are no UTF-8.

    Args:
        text: Any text, such as the name of a file.

    Example:
        >>> encodable("M\\udcf6we/1.png")
        'M\\\\udcf6we/1.png'
    """
    return _HALVES.sub(_escape, text)


def unsafe(texts: Iterable[str]) -> list[str]:
    """Return the texts that cannot be shown as they are, in their order.

    Example:
        >>> unsafe(["ants", "bees\\r"])
        ['bees\\r']
    """
    return [text for text in texts if unsafe_character(text)]


def unsafe_character(text: str) -> str | None:
    """Return the first character that cannot be shown as it is, or None."""
    found = _UNSAFE.search(text)
    return found[0] if found else None


def shortened(text: str, most: int = 60) -> str:
    """Return a text, or its beginning and three dots where it is longer than `most` characters.

    Example:
        >>> shortened("a" * 100, most=8)
        'aaaaa...'
    """
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _escape(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    return _SHORT.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
