"""The files of a cache among whatever else is in its folders: ours have a name of ours, and are no links.

A link is never followed, as it leads to what may not be ours; a pipe is never opened, as it may never end.
"""

import contextlib
import errno
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path


def files(folder: Path, names: re.Pattern[str]) -> list[Path]:
    """Return the files of ours in a folder, sorted; none where the folder is missing, a file or a link.

    Args:
        folder: The folder.
        names: Matches the whole of a name of ours.

    Raises:
        OSError: The folder cannot be listed.
    """
    return [Path(entry.path) for entry in _entries(folder, names) if entry.is_file(follow_symlinks=False)]


def folders(folder: Path, names: re.Pattern[str]) -> list[Path]:
    """Return the folders of ours in a folder; see `files`."""
    return [Path(entry.path) for entry in _entries(folder, names) if entry.is_dir(follow_symlinks=False)]


def _entries(folder: Path, names: re.Pattern[str]) -> list[os.DirEntry[str]]:
    try:
        if folder.is_symlink():
            return []
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if names.fullmatch(entry.name)), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def states(places: Sequence[Path], names: re.Pattern[str]) -> list[tuple[Path, os.stat_result]]:
    """Return size and age of the files of ours in some folders; what cannot be listed or is gone is left out."""
    found = []
    for folder in places:
        with contextlib.suppress(OSError):
            for file in files(folder, names):
                with contextlib.suppress(FileNotFoundError):  # removed by another process
                    found.append((file, file.lstat()))
    return found


def remove_all(folder: Path, names: re.Pattern[str]) -> None:
    """Remove the files of ours in a folder, and then the folder if nothing else is in it.

    Raises:
        OSError: A file cannot be removed.
    """
    for file in files(folder, names):
        file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # not empty, gone, or a link
        folder.rmdir()


def try_to_remove(file: Path) -> bool:
    """Remove a file; return whether it is gone."""
    try:
        file.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def read(file: Path, most: int) -> bytes:
    """Return the content of a file, or its first `most` bytes and one more.

    Raises:
        OSError: It cannot be read; it is a link, a pipe or the like, or its folder is a link.
    """
    if file.parent.is_symlink() or not stat.S_ISREG(file.lstat().st_mode):
        raise FileExistsError(errno.EEXIST, f"{file.name} is not a plain file")
    with open(file, "rb") as opened:
        return opened.read(most + 1)


def make_folder(folder: Path) -> None:
    """Make a folder where there is none.

    Raises:
        OSError: It cannot be made, or is a link.
    """
    folder.mkdir(exist_ok=True)
    if folder.is_symlink():
        raise NotADirectoryError(errno.ENOTDIR, f"{folder.name} is a link")
