"""Finds the files that the paths of a table name, also where they are written for another system."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kerastune_recipes.data.image_formats import SUFFIXES
from kerastune_recipes.data.sources.remote import is_remote, resolve
from kerastune_recipes.errors import listed

# Folders in which files are looked for that are not where their paths begin, and how deep these lie.
_MOST_FOLDERS, _DEPTH = 200, 2


@dataclass(frozen=True)
class FoundFiles:
    """The files of a table.

    Args:
        files: The file that each path names; a path without a file is left out.
        problems: Why paths have no file, one sentence each.
        notes: How paths are read, where they are not read as written, one sentence each.
    """

    files: Mapping[str, Path]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Folder:
    """A folder at which relative paths begin.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path):
        self.path = path
        self._stems: dict[Path, dict[str, list[str]]] = {}

    def find(self, path: str) -> tuple[Path | None, tuple[Path, ...]]:
        """Return the file that a path names, or None and the files that it may name.

        What is not there as written may be there with other accents, with / for back slashes, or with an extension.
        """
        for written in _spellings(path):
            file = self.path / written
            if _is_file(file):
                return file, ()
            if file.suffix.lower() not in SUFFIXES and not is_remote(file):
                alike = tuple(file.with_name(name) for name in self._in_folder(file.parent).get(file.name, ()))
                if len(alike) == 1:
                    return alike[0], ()
                if alike:
                    return None, alike
        return None, ()

    def _in_folder(self, folder: Path) -> Mapping[str, list[str]]:
        """Return the names of images in a folder by their names without extension."""
        if folder not in self._stems:
            stems = defaultdict(list)
            for name in sorted(_names_in(folder)):
                stem, suffix = os.path.splitext(name)
                if suffix.lower() in SUFFIXES:
                    stems[stem].append(name)
            self._stems[folder] = dict(stems)
        return self._stems[folder]


def locate(paths: Iterable[str], folder: Path, search: bool) -> FoundFiles:
    """Find the files of a table.

    Args:
        paths: The paths as the table has them.
        folder: Where relative paths begin.
        search: Whether to look for all files in one of the folders in it, if none is where its path begins.
    """
    paths = list(dict.fromkeys(paths))
    files: dict[str, Path] = {}
    several: dict[str, tuple[Path, ...]] = {}
    start = Folder(folder)
    for path in paths:
        if is_remote(folder) or "://" in path:
            # To look for them would take a request for each; missing ones are reported when fetched.
            files[path] = resolve(path) if "://" in path else folder / path
            continue
        file, alike = start.find(path)
        if file is not None:
            files[path] = file
        elif alike:
            several[path] = alike
    missing = [path for path in paths if path not in files and path not in several]
    notes = []
    elsewhere: list[Path] = []
    if search and missing and len(missing) == len(paths):
        found = {base: of_base for base in _folders(folder) if (of_base := _all_in(Folder(base), missing)) is not None}
        elsewhere = list(found)
        if len(found) == 1:
            files, missing = found[elsewhere[0]], []
            notes.append(f"relative paths start at {elsewhere[0]}, where all of them have a file.")
    problems = []
    if several:
        choices = listed(f"{path} ({listed(file.name for file in alike)})" for path, alike in several.items())
        problems.append(f"paths that several files may have: {choices}; write the extension.")
    if missing:
        problems.append(_missing(missing, folder, elsewhere))
    return FoundFiles(files, tuple(problems), (*notes, *_changes(files)))


def same_files(files: Mapping[str, Path]) -> list[str]:
    """Check that no two paths name one file.

    Args:
        files: The file of each path.
    """
    by_file = defaultdict(list)
    for path, file in files.items():
        by_file[str(file) if is_remote(file) else os.path.normpath(file)].append(path)
    twice = [" = ".join(paths) for paths in by_file.values() if len(paths) > 1]
    return [f"paths of the same file: {listed(twice)}; keep one row for each."] if twice else []


def _spellings(path: str) -> Iterator[str]:
    for written in dict.fromkeys((path, path.replace("\\", "/"))):
        yield from dict.fromkeys((written, *(unicodedata.normalize(form, written) for form in ("NFC", "NFD"))))


def _all_in(folder: Folder, paths: Sequence[str]) -> dict[str, Path] | None:
    """Return the files of all paths in a folder, or None if one is not there."""
    files = {}
    for path in paths:
        if os.path.isabs(path):
            return None
        file, _ = folder.find(path)
        if file is None:
            return None
        files[path] = file
    return files


def _folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, the upper ones first."""
    found: list[Path] = []
    level = [folder]
    for _ in range(_DEPTH):
        level = [
            each / name
            for each in level
            for name in sorted(_names_in(each))[:_MOST_FOLDERS]
            if not name.startswith(".") and os.path.isdir(each / name)
        ]
        found += level
    return found[:_MOST_FOLDERS]


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (OSError, ValueError):  # no such folder, or none that may be listed; a path with a NUL
        return []


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # such as a name that is too long
        return False


def _missing(paths: Sequence[str], folder: Path, elsewhere: Sequence[Path]) -> str:
    found = f"paths without a file: {listed(sorted(paths))}; relative paths start at {folder.absolute()}"
    if elsewhere:
        return f"{found}; all are in {listed(elsewhere, most=3)}: write one of these folders into the paths."
    return f"{found}."


def _changes(files: Mapping[str, Path]) -> list[str]:
    """Say how paths were changed to find their files, with an example of each change."""
    slashes = next((path for path, file in files.items() if "\\" in path and "\\" not in str(file)), None)
    extension = next(
        (
            (path, file)
            for path, file in files.items()
            if file.suffix.lower() in SUFFIXES and not path.lower().endswith(file.suffix.lower())
        ),
        None,
    )
    notes = []
    if slashes is not None:
        notes.append(f"back slashes in paths are read as /, as in {slashes}.")
    if extension is not None:
        path, file = extension
        notes.append(f"paths without an extension are those of the only image of that name, as {file.name} for {path}.")
    return notes
