"""Tables of path and label, as a CSV file or a pandas DataFrame."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kerastune_recipes import printable
from kerastune_recipes.data import checks
from kerastune_recipes.data.class_names import in_order, normal
from kerastune_recipes.data.sources import columns, csv_text
from kerastune_recipes.data.sources.cells import (
    as_text,
    distinct,
    has_several,
    is_missing,
    is_utf8,
    listed_values,
    shown,
)
from kerastune_recipes.data.sources.columns import Columns
from kerastune_recipes.data.sources.folder import read_files
from kerastune_recipes.data.sources.labels import Labels, collect_names
from kerastune_recipes.data.sources.parts import Part, ReadResult, split_of
from kerastune_recipes.data.sources.remote import is_remote
from kerastune_recipes.data.sources.table_paths import locate, same_files
from kerastune_recipes.data.split_images import TRAIN, UNLABELED
from kerastune_recipes.errors import listed

if TYPE_CHECKING:
    import pandas


class _Row(NamedTuple):
    path: str
    label: str
    split: str
    group: str


def read_csv(path: Path, group_by: Any = None) -> ReadResult:
    """Read a CSV file with the columns path, label and optionally split (train, validation or test).

    Args:
        path: The file, see `csv_text.load`; relative paths in it start at its folder, or at a folder in it that has all
            the files. Columns may have other names, and each class may have a column of 0 and 1, see `columns`.
        group_by: Name of the column that groups images, or None.

    Returns:
        The splits in the order of the rows, and every problem.
    """
    frame, problems = csv_text.load(path)
    if frame is None:
        return ReadResult(printable.encodable(str(path)), problems=tuple(problems))
    return _read_frame(frame, _Place(printable.encodable(str(path)), path.parent, search=True), group_by)


def read_dataframe(frame: "pandas.DataFrame", group_by: Any = None) -> ReadResult:
    """Read a DataFrame with the columns path, label and optionally split (train, validation or test).

    Args:
        frame: One row for each image; relative paths start at the working directory. For the columns see `read_csv`.
        group_by: Name of the column that groups images, or None.

    Returns:
        The splits in the order of the rows, and every problem.
    """
    return _read_frame(frame, _DATAFRAME, group_by)


def read_unlabeled_csv(path: Path) -> ReadResult:
    """Read the column path of a CSV file and ignore other columns.

    Args:
        path: The file, see `read_csv`.

    Returns:
        The images without labels in the order of the rows, and every problem.
    """
    frame, problems = csv_text.load(path)
    if frame is None:
        return ReadResult(printable.encodable(str(path)), problems=tuple(problems))
    return _read_column(frame, _Place(printable.encodable(str(path)), path.parent, search=True))


def read_unlabeled_dataframe(frame: "pandas.DataFrame") -> ReadResult:
    """Read the column path of a DataFrame and ignore other columns.

    Args:
        frame: One row for each image; relative paths start at the working directory.

    Returns:
        The images without labels in the order of the rows, and every problem.
    """
    return _read_column(frame, _DATAFRAME)


def read_unlabeled_paths(paths: Sequence[str | PathLike[str]]) -> ReadResult:
    """Read images without labels from a list of paths; relative paths start at the working directory."""
    return _read_paths([str(path) for path in paths], _Place("the list of paths", Path()))


class _Place(NamedTuple):
    """What a table is called, where its relative paths begin, and whether files are looked for in folders there."""

    source: str
    folder: Path
    search: bool = False


_DATAFRAME = _Place("the DataFrame", Path())


def _read_column(frame: "pandas.DataFrame", place: _Place) -> ReadResult:
    frame = frame.rename(columns=str)
    found, problems = columns.find(frame, None, _tester(place), labelled=False)
    if found is None:
        return ReadResult(place.source, problems=tuple(checks.located(place.source, problems)))
    cells, unusable, problems = _cells(frame, [found.path])
    result = _read_paths([path for path, skip in zip(cells[found.path], unusable, strict=True) if not skip], place)
    return replace(
        result,
        problems=(*checks.located(place.source, problems), *result.problems),
        notes=(*checks.located(place.source, found.note()), *result.notes),
    )


def _read_paths(paths: Sequence[str], place: _Place) -> ReadResult:
    found = locate(paths, place.folder, place.search)
    problems = [*checks.duplicates(paths), *same_files(found.files), *found.problems]
    names = [path for path in paths if path in found.files]
    pictures, unreadable = read_files([found.files[name] for name in names], names)
    return ReadResult(
        place.source,
        problems=(*checks.located(place.source, problems), *unreadable),
        unlabeled=pictures,
        notes=tuple(checks.located(place.source, found.notes)),
    )


def _tester(place: _Place) -> Callable[[str], bool]:
    """Return a function that tells whether a path names a file; for one in an object store this takes a request: no."""

    def is_file(path: str) -> bool:
        if not path or "://" in path or is_remote(place.folder):
            return False
        return bool(locate([path], place.folder, place.search).files)

    return is_file


def _read_frame(frame: "pandas.DataFrame", place: _Place, group_by: Any) -> ReadResult:
    frame = frame.rename(columns=str)
    problems = [] if group_by is None else checks.group_name(group_by, "column")
    group = None if group_by is None or problems else str(group_by)
    found, more = columns.find(frame, group, _tester(place))
    problems += more
    if found is None or problems:
        return ReadResult(place.source, problems=tuple(checks.located(place.source, problems)))
    rows, problems = _rows(frame, found)
    files = locate([row.path for row in rows], place.folder, place.search)
    problems = checks.located(place.source, [*problems, *same_files(files.files), *files.problems])
    by_split = defaultdict(list)
    for row in rows:
        if row.path in files.files:
            by_split[row.split].append(row)
    parts = {}
    for split, members in by_split.items():
        labels = _labels([row.label for row in members], found.classes)
        names = [row.path for row in members]
        pictures, unreadable = read_files([files.files[name] for name in names], names)
        samples = pictures.labelled(labels.indices, labels.class_names)
        problems += unreadable
        groups = None if group is None else np.array([normal(row.group) for row in members], dtype=str)
        parts[split] = Part(samples, labels.naming, groups=groups)
    notes = checks.located(place.source, [*found.note(), *files.notes])
    return ReadResult(place.source, parts, tuple(problems), notes=tuple(notes))


def _labels(labels: list[str], classes: Sequence[str]) -> Labels:
    """Number labels; where classes have columns, all of them are classes."""
    if not classes:
        return collect_names(labels)
    names = in_order(set(map(normal, classes)))
    position = {name: index for index, name in enumerate(names)}
    return Labels(np.array([position[normal(label)] for label in labels], dtype=np.int64), names, "declared")


def _rows(frame: "pandas.DataFrame", found: Columns) -> tuple[list[_Row], list[str]]:
    """Return the usable rows, and the problems of the others."""
    labelled = found.classes or (found.label,)
    names = [name for name in (found.path, *labelled, found.split, found.group) if name is not None]
    cells, unusable, problems = _cells(frame, list(dict.fromkeys(names)))
    if found.classes:
        labels, more = columns.class_of_each_row({name: cells[name] for name in found.classes})
        problems += more
    else:
        labels = cells[str(found.label)]
    splits = cells[found.split] if found.split else [TRAIN] * len(frame)
    meant = {value: split_of(value) for value in set(splits)}
    unknown = sorted({value for value, split in meant.items() if value and split in (None, UNLABELED)})
    if unknown:
        problems.append(f"unknown splits: {listed(unknown)}; write train, validation or test.")
    groups = cells[found.group] if found.group else splits
    rows = [
        _Row(path, label, meant[split] or TRAIN, group)
        for path, label, split, group, skip in zip(cells[found.path], labels, splits, groups, unusable, strict=True)
        if not skip and label and split not in unknown
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
