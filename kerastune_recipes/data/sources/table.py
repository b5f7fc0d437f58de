"""Tables of path and label, as a CSV file or a pandas DataFrame."""

import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kerastune_recipes.data import checks
from kerastune_recipes.data.sources.cells import (
    as_text,
    distinct,
    has_several,
    is_missing,
    is_utf8,
    listed_values,
    shown,
)
from kerastune_recipes.data.sources.folder import read_files
from kerastune_recipes.data.sources.labels import collect_names
from kerastune_recipes.data.sources.parts import Part, ReadResult, split_of
from kerastune_recipes.data.sources.remote import is_remote, resolve
from kerastune_recipes.data.split_images import TRAIN, UNLABELED
from kerastune_recipes.errors import listed

if TYPE_CHECKING:
    import pandas

_NEEDED = ("path", "label")
_SPLIT = "split"


class _Row(NamedTuple):
    path: str
    label: str
    split: str
    group: str


def read_csv(path: Path, group_by: Any = None) -> ReadResult:
    """Read a CSV file with the columns path, label and optionally split (train, validation or test).

    Args:
        path: The file, in UTF-8; relative paths in it start at its folder.
        group_by: Name of the column that groups images, or None.

    Returns:
        The splits in the order of the rows, and every problem.
    """
    frame, problems = _load(path)
    if frame is None:
        return ReadResult(str(path), problems=tuple(problems))
    return _read_frame(frame, path.parent, str(path), group_by)


def read_dataframe(frame: "pandas.DataFrame", group_by: Any = None) -> ReadResult:
    """Read a DataFrame with the columns path, label and optionally split (train, validation or test).

    Args:
        frame: One row for each image; relative paths start at the working directory.
        group_by: Name of the column that groups images, or None.

    Returns:
        The splits in the order of the rows, and every problem.
    """
    return _read_frame(frame, Path(), "the DataFrame", group_by)


def read_unlabeled_csv(path: Path) -> ReadResult:
    """Read the column path of a CSV file and ignore other columns.

    Args:
        path: The file, in UTF-8; relative paths in it start at its folder.

    Returns:
        The images without labels in the order of the rows, and every problem.
    """
    frame, problems = _load(path)
    if frame is None:
        return ReadResult(str(path), problems=tuple(problems))
    return _read_column(frame, path.parent, str(path))


def read_unlabeled_dataframe(frame: "pandas.DataFrame") -> ReadResult:
    """Read the column path of a DataFrame and ignore other columns.

    Args:
        frame: One row for each image; relative paths start at the working directory.

    Returns:
        The images without labels in the order of the rows, and every problem.
    """
    return _read_column(frame, Path(), "the DataFrame")


def read_unlabeled_paths(paths: Sequence[str | PathLike[str]]) -> ReadResult:
    """Read images without labels from a list of paths; relative paths start at the working directory."""
    return _read_paths([str(path) for path in paths], Path(), "the list of paths")


def _load(path: Path) -> tuple["pandas.DataFrame | None", list[str]]:
    import pandas

    try:
        # Cells stay text: "01" is not 1, and "NA" is a label like any other.
        text = io.BytesIO(path.read_bytes())
        frame = pandas.read_csv(text, dtype=str, keep_default_na=False, encoding="utf-8-sig", skipinitialspace=True)
    except FileNotFoundError:
        return None, [f"{path}: there is no such file. Check the path."]
    except (pandas.errors.EmptyDataError, pandas.errors.ParserError, UnicodeDecodeError, OSError) as error:
        return None, [f"{path}: this file cannot be read as a table: {checks.quoted(error)}."]
    return frame, []


def _read_column(frame: "pandas.DataFrame", folder: Path, source: str) -> ReadResult:
    problems = checks.columns(frame.columns, ["path"])
    if problems:
        return ReadResult(source, problems=tuple(checks.located(source, problems)))
    cells, blank, problems = _cells(frame, ["path"])
    result = _read_paths([path for path, skip in zip(cells["path"], blank, strict=True) if not skip], folder, source)
    return replace(result, problems=(*checks.located(source, problems), *result.problems))


def _read_paths(paths: Sequence[str], folder: Path, source: str) -> ReadResult:
    missing, problems = _missing(paths, folder)
    problems = checks.located(source, [*checks.duplicates(paths), *problems])
    names = [path for path in paths if path not in missing]
    pictures, unreadable = read_files([_at(folder, name) for name in names], names)
    return ReadResult(source, problems=(*problems, *unreadable), unlabeled=pictures)


def _at(folder: Path, path: str) -> Path:
    """Return the file that a path of a table names."""
    return resolve(path) if "://" in path else folder / path


def _missing(paths: Sequence[str], folder: Path) -> tuple[set[str], list[str]]:
    """Return the paths without a file, and the problem."""
    files = ((path, _at(folder, path)) for path in paths)
    # In an object store the check would take a request for each file; missing ones are reported when fetched.
    missing = {path for path, file in files if not is_remote(file) and not file.is_file()}
    if not missing:
        return missing, []
    start = f"relative paths start at {folder.absolute()}"
    return missing, [f"paths without a file: {listed(sorted(missing))}; {start}."]


def _read_frame(frame: "pandas.DataFrame", folder: Path, source: str, group_by: Any) -> ReadResult:
    problems = [] if group_by is None else checks.group_name(group_by, "column")
    group = None if group_by is None or problems else str(group_by)
    needed = [*_NEEDED, *([] if group is None else [group]), *([_SPLIT] if _SPLIT in frame.columns else [])]
    problems += checks.columns(frame.columns, needed)
    if problems:
        return ReadResult(source, problems=tuple(checks.located(source, problems)))
    rows, problems = _rows(frame.rename(columns=str), group)
    missing, more = _missing([row.path for row in rows], folder)
    problems = checks.located(source, problems + more)
    by_split = defaultdict(list)
    for row in rows:
        if row.path not in missing:
            by_split[row.split].append(row)
    parts = {}
    for split, members in by_split.items():
        labels = collect_names([row.label for row in members])
        names = [row.path for row in members]
        pictures, unreadable = read_files([_at(folder, name) for name in names], names)
        samples = pictures.labelled(labels.indices, labels.class_names)
        problems += unreadable
        groups = None if group is None else np.array([row.group for row in members], dtype=str)
        parts[split] = Part(samples, labels.naming, groups=groups)
    return ReadResult(source, parts, tuple(problems))


def _rows(frame: "pandas.DataFrame", group: str | None) -> tuple[list[_Row], list[str]]:
    """Return the usable rows, and the problems of the others."""
    names = [*_NEEDED, *([_SPLIT] if _SPLIT in frame.columns else []), *([group] if group else [])]
    cells, blank, problems = _cells(frame, names)
    splits = cells.get(_SPLIT, [TRAIN] * len(frame))
    meant = {value: split_of(value) for value in set(splits)}
    unknown = sorted({value for value, split in meant.items() if value and split in (None, UNLABELED)})
    if unknown:
        problems.append(f"unknown splits: {listed(unknown)}; write train, validation or test.")
    groups = cells[group] if group else splits
    rows = [
        _Row(path, label, meant[split] or TRAIN, group_name)
        for path, label, split, group_name, skip in zip(
            cells["path"], cells["label"], splits, groups, blank, strict=True
        )
        if not skip and split not in unknown
    ]
    return rows, problems + checks.duplicates([row.path for row in rows])


def _cells(frame: "pandas.DataFrame", names: Sequence[str]) -> tuple[dict[str, list[str]], list[bool], list[str]]:
    """Return the text of each cell of some columns, which rows have a cell that cannot be used, and the problems."""
    texts: dict[str, list[str]] = {}
    problems = []
    for name in names:
        values, positions = distinct(listed_values(frame[name]))
        problems += checks.table_cells(
            name,
            _rows_where(map(is_missing, values), positions),
            {row: shown(values[positions[row]]) for row in _rows_where(map(has_several, values), positions)},
            _rows_where((not is_utf8(value) for value in values), positions),
        )
        usable = (not (is_missing(value) or has_several(value)) and is_utf8(value) for value in values)
        words = np.array(
            [as_text(value) if use else "" for value, use in zip(values, usable, strict=True)], dtype=object
        )
        texts[name] = words[positions].tolist()
    return texts, [not all(row) for row in zip(*texts.values(), strict=True)], problems


def _rows_where(wrong: Iterable[bool], positions: np.ndarray) -> list[int]:
    """Return the rows that have a wrong value; for the arguments see `cells.distinct`."""
    return np.flatnonzero(np.array(list(wrong), dtype=bool)[positions]).tolist()
