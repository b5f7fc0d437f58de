"""Lists the folders of a data set: each real folder once, without what file managers leave behind."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kerastune_recipes import printable
from kerastune_recipes.data.image_formats import SUFFIXES
from kerastune_recipes.data.sources.remote import is_remote
from kerastune_recipes.errors import listed

# What file managers, network drives and archivers leave behind, besides names that start with a dot; lower case.
_LEFTOVERS = frozenset(
    (
        "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "picasa.ini", "zbthumbnail.info", "__macosx", "@eadir",
        "#recycle", "@recycle", "@recently-snapshot", "$recycle.bin", "system volume information", "lost+found",
        "__pycache__",
    )
)  # fmt: skip


class Entry(NamedTuple):
    """Something in a folder.

    Args:
        path: Its path.
        is_folder: Whether it is a folder, or a link to one.
    """

    path: Path
    is_folder: bool


class Listing:
    """Lists the folders below one folder, and remembers what it leaves out.

    Args:
        root: The folder; names start at it.

    Example:
        >>> listing = Listing(Path("photos"))
        >>> [entry.path.name for entry in listing.entries(Path("photos"))]
        ['ants', 'bees']
    """

    def __init__(self, root: Path):
        self.root = root
        self.problems: list[str] = []
        self._leftovers: list[str] = []
        self._repeated: list[str] = []
        self._entries: dict[Path, list[Entry]] = {}
        self._real: dict[object, Path] = {}
        self.same_as(root)

    def entries(self, folder: Path) -> list[Entry]:
        """Return what is in a folder, in order of names; empty, with a problem, if it cannot be listed."""
        if folder not in self._entries:
            try:
                found = sorted(_scan(folder), key=lambda entry: entry.path.name)
            except OSError as error:
                if is_remote(folder):  # `remote.read_at` tells what to do
                    raise
                what = "this folder" if folder == self.root else self.name(folder)
                self.problems.append(f"{what} cannot be listed: {error.strerror or error}.")
                found = []
            self._leftovers += [self.name(entry.path) for entry in found if _is_leftover(entry.path.name)]
            self._entries[folder] = [entry for entry in found if not _is_leftover(entry.path.name)]
        return self._entries[folder]

    def below(self, folder: Path) -> Iterator[Entry]:
        """Yield what is in a folder and in all folders in it, but no folders; each real folder once."""
        waiting = [iter(self.entries(folder))]
        while waiting:
            entry = next(waiting[-1], None)
            if entry is None:
                waiting.pop()
            elif not entry.is_folder:
                yield entry
            elif self.same_as(entry.path) is None:
                waiting.append(iter(self.entries(entry.path)))
            else:
                self._repeated.append(self.name(entry.path))

    def same_as(self, folder: Path) -> Path | None:
        """Return the path by which a folder was met before, and None if it is met for the first time."""
        if is_remote(folder):
            return None
        try:
            stat = os.stat(folder)
        except OSError:  # `entries` tells
            return None
        known = self._real.setdefault((stat.st_dev, stat.st_ino) if stat.st_ino else os.path.realpath(folder), folder)
        return None if known == folder else known

    def name(self, path: Path) -> str:
        """Return a path from the root as text that can be written as UTF-8; that of the root is its own."""
        return printable.encodable((path if path == self.root else path.relative_to(self.root)).as_posix())

    def notes(self) -> list[str]:
        """Return what was left out, one sentence each."""
        notes = []
        if self._leftovers:
            notes.append(f"left out as hidden or of a file manager: {listed(self._leftovers, most=5)}.")
        if self._repeated:
            notes.append(f"left out as links to folders that are read already: {listed(self._repeated, most=5)}.")
        return notes


def _scan(folder: Path) -> list[Entry]:
    if is_remote(folder):
        # In an object store `is_dir` takes a request for each image; there the extension decides.
        return [Entry(path, path.suffix.lower() not in SUFFIXES and path.is_dir()) for path in folder.iterdir()]
    with os.scandir(folder) as scan:
        return [Entry(folder / entry.name, _is_folder(entry)) for entry in scan]


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _is_leftover(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LEFTOVERS
