"""The folder of several runs: what was asked, and whether the same is asked again."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerastune_recipes.errors import OutputError

# What the work in a folder of several runs is known by.
_REQUEST = "request.json"


def check_same(folder: Path, kind: str, request: Mapping[str, Any]) -> None:
    """See that a folder may be written to: it is new or empty, or holds work on just this request, which then goes on.

    Args:
        folder: Where to.
        kind: What it holds in a word, such as "comparison".
        request: By what the work is known from other work; plain data.

    Raises:
        OutputError: The folder holds something else, or work on another request.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: this is a file; name a folder.")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    try:
        known = json.loads((folder / _REQUEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise OutputError(f"{folder}: this folder exists, is not empty and holds no {kind}; name another.") from None
    differing = [key for key in request if known.get(key) != request[key]]
    if differing:
        raise OutputError(
            f"{folder}: the {kind} in this folder was made with other {' and other '.join(differing)}; give the same "
            "to go on with it, or name another folder."
        )


def write_request(folder: Path, request: Mapping[str, Any]) -> None:
    """Begin a folder with what its work is known by; see `check_same`.

    Raises:
        OutputError: The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _REQUEST).write_text(json.dumps(request, indent=2), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder}: the folder cannot be written: {error.strerror}.") from None


def plain(options: Mapping[str, Any]) -> dict[str, str]:
    """Return options as text, as far as they can be written."""
    return {key: str(value) if isinstance(value, str | int | Path) else "" for key, value in options.items()}
