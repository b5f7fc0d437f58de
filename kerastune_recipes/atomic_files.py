"""Files written whole or not at all: a temporary file beside the target, flushed to disk, then renamed."""

import contextlib
import os
import uuid
from collections.abc import Callable
from pathlib import Path

# Suffix of a file that is not complete yet; a process that was killed leaves it.
PARTIAL_SUFFIX = ".part"


def write(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all: a reader sees the old content or the new one, also after a power cut.

    Args:
        path: The file; it is replaced if it exists.
        content: Text, written as UTF-8, or bytes.

    Raises:
        OSError: It cannot be written; what was there is still there.

    Example:
        >>> write(Path("labels.txt"), "ants\\nbees\\n")
    """
    data = content.encode() if isinstance(content, str) else content
    write_by(path, lambda partial: partial.write_bytes(data))


def write_by(path: Path, save: Callable[[Path], object]) -> None:
    """Write a file whole or not at all, by a function that writes to a path.

    Args:
        path: The file; it is replaced if it exists.
        save: Writes a file to the path it receives: a new one in the same folder, with the same suffix.

    Raises:
        OSError: It cannot be written; what was there is still there. Other errors of `save` pass through.

    Example:
        >>> write_by(Path("model.keras"), model.save)
    """
    partial = path.with_name(f".{path.stem[:60]}-{uuid.uuid4().hex[:8]}{PARTIAL_SUFFIX}{path.suffix}")
    try:
        save(partial)
        _flush(partial)
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    _flush_folder(path.parent)


def _flush(file: Path) -> None:
    with open(file, "rb+") as opened:
        os.fsync(opened.fileno())


def _flush_folder(folder: Path) -> None:
    """Flush the rename itself, where the system can open a folder."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
