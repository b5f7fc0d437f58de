"""Finds the columns of a table by their names and what is in them: path, label or one column a class, and split."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kerastune_recipes.data import checks
from kerastune_recipes.data.sources.cells import as_text, is_missing, is_single, listed_values
from kerastune_recipes.data.sources.parts import split_of
from kerastune_recipes.data.split_images import TRAIN, UNLABELED
from kerastune_recipes.errors import did_you_mean, listed

if TYPE_CHECKING:
    import pandas

# What tables call the columns, ours first; an earlier group is preferred to a later one. Capitals and separators do not
# matter: "File name" is "filename".
_PATHS = (
    ("path",),
    (
        "filename", "file", "filepath", "filenames", "files", "filepaths", "paths", "image", "images", "imagepath",
        "imagepaths", "imagefile", "imagename", "imagefilename", "img", "imgpath", "imgname", "imgfile", "picture",
        "photo", "relativepath", "fullpath", "uri",
    ),
    ("imageid", "imgid", "id", "idcode", "fileid"),
)  # fmt: skip
_LABELS = (
    ("label",),
    ("labels", "class", "classes", "classname", "classlabel", "labelname", "category", "categoryname", "target"),
)
_SPLITS = (("split",), ("subset", "set", "dataset", "datasplit", "partition", "phase", "usage"))
# What pandas calls a column without a name, as it writes its index.
_INDEX = re.compile(r"\s*|Unnamed: \d+")
# Rows in which a column is looked at to see if it holds paths.
_SAMPLE = 20
# What a column of a class may hold; pandas makes True and False of classes.
_BITS = {"0": False, "1": True, "False": False, "True": True}


@dataclass(frozen=True)
class Columns:
    """The columns of a table that are read.

    Args:
        path: The path of each image.
        label: The class of each image; None where each class has a column.
        classes: One column of 0 and 1 for each class; empty where there is a label.
        split: The split of each image; None where there is none.
        group: The group of each image; None where none was asked for.
    """

    path: str
    label: str | None = None
    classes: tuple[str, ...] = ()
    split: str | None = None
    group: str | None = None

    def note(self) -> list[str]:
        """Return which columns are read as what, if they are not called so; empty if they are."""
        roles = {"path": self.path, "label": self.label, "split": self.split}
        told = [f'column "{name}" is read as {role}' for role, name in roles.items() if name not in (None, role)]
        if self.classes:
            told.append(f"columns {listed(self.classes)} are read as one class each")
        return [f"{', '.join(told)}."] if told else []


def known(names: Iterable[str]) -> int:
    """Return how many of the roles path, label and split names of columns may have.

    Example:
        >>> known(["File name", "Class"]), known(["File name;Class"])
        (2, 0)
    """
    keys = set(map(_key, names))
    return sum(any(keys & set(group) for group in groups) for groups in (_PATHS, _LABELS, _SPLITS))


def find(
    frame: "pandas.DataFrame", group: str | None, is_file: Callable[[str], bool], labelled: bool = True
) -> tuple[Columns | None, list[str]]:
    """Find the columns of a table.

    Args:
        frame: The table; names of columns are texts.
        group: Name of the column that groups images, as the user gave it, or None.
        is_file: Returns whether a path names a file.
        labelled: Whether images have labels.

    Returns:
        The columns, or None if they are not all there; and the problems.
    """
    names = list(map(str, frame.columns))
    if labelled and not _candidates(names, _PATHS) and any(map(is_file, names)):
        return None, ["the first line names an image, not the columns; put a line path,label above it."]
    problems: list[str] = []
    if group is not None:
        group = _called(names, group)
        problems += checks.columns(names, [group])
    split = _split(frame, names)
    path, more = _path(frame, names, is_file, {split, group})
    problems += more
    label: str | None = None
    classes: tuple[str, ...] = ()
    if labelled:
        label, classes, more = _label(frame, names, path, {split, group})
        problems += more
    repeated = [name for name in (path, label, split, *classes) if name and names.count(name) > 1]
    problems += checks.columns(names, dict.fromkeys(repeated))
    if path is None or problems:
        return None, problems
    return Columns(path, label, classes, split, group), []


def class_of_each_row(cells: Mapping[str, Sequence[str]]) -> tuple[list[str], list[str]]:
    """Return the class that has a 1 in each row.

    Args:
        cells: 0 or 1 in each row as text, by class.

    Returns:
        The class of each row, empty if it has none or several; and the problems.

    Example:
        >>> class_of_each_row({"ants": ["1", "0"], "bees": ["0", "1"]})
        (['ants', 'bees'], [])
    """
    rows = [
        [name for name, bit in zip(cells, row, strict=True) if _BITS.get(bit)]
        for row in zip(*cells.values(), strict=True)
    ]
    found = {
        "without a class": [f"row {index + 1}" for index, names in enumerate(rows) if not names],
        "with several classes": [f"row {index + 1}" for index, names in enumerate(rows) if len(names) > 1],
    }
    problems = [
        f"rows {what} ({listed(cells)} are 0 and 1): {listed(wrong)}; an image has one class here."
        for what, wrong in found.items()
        if wrong
    ]
    return [names[0] if len(names) == 1 else "" for names in rows], problems


def _path(
    frame: "pandas.DataFrame", names: Sequence[str], is_file: Callable[[str], bool], taken: Set[str | None]
) -> tuple[str | None, list[str]]:
    candidates = _candidates(names, _PATHS, taken)
    if len(candidates) > 1:
        candidates = [name for name in candidates if _holds_files(frame, name, is_file)] or candidates
    if len(candidates) == 1:
        return candidates[0], []
    if candidates:
        return None, [_ambiguous("path", candidates)]
    hint = did_you_mean("path", names) or " Rename the column with the files to path."
    return None, [f'there is no column "path"; the columns are {_listed(names)}.{hint}']


def _label(
    frame: "pandas.DataFrame", names: Sequence[str], path: str | None, taken: Set[str | None]
) -> tuple[str | None, tuple[str, ...], list[str]]:
    candidates = [name for name in _candidates(names, _LABELS, taken) if name != path]
    if len(candidates) == 1:
        return candidates[0], (), []
    if candidates:
        return None, (), [_ambiguous("label", candidates)]
    others = [name for name in names if name not in {path, *taken} and _may_be_label(name)]
    if path is not None and len(others) == 1:
        return others[0], (), []
    if path is not None and len(others) > 1 and all(_holds_bits(frame, name) for name in others):
        return None, tuple(others), []
    hint = did_you_mean("label", names) or " Rename the column with the class to label."
    return None, (), [f'there is no column "label"; the columns are {_listed(names)}.{hint}']


def _split(frame: "pandas.DataFrame", names: Sequence[str]) -> str | None:
    """Return the column of splits: one of that name, or the only one that holds nothing but names of splits."""
    named = _candidates(names, _SPLITS[:1])
    if named:
        return named[0]
    others = [name for name in dict.fromkeys(names) if not _is_named(name, (*_PATHS, *_LABELS))]
    holding = [name for name in others if _holds_splits(frame, name)]
    return holding[0] if len(holding) == 1 else None


def _candidates(
    names: Sequence[str], groups: Sequence[Sequence[str]], taken: Set[str | None] = frozenset()
) -> list[str]:
    """Return the names of the first group that has any: ours as it stands, and no taken one if there are others."""
    for group in groups:
        if group[0] in names and len(group) == 1:
            return [group[0]]
        found = list(dict.fromkeys(name for name in names if _key(name) in group))
        if found:
            return [name for name in found if name not in taken] or found
    return []


def _is_named(name: str, groups: Iterable[Sequence[str]]) -> bool:
    return any(_key(name) in group for group in groups)


def _may_be_label(name: str) -> bool:
    """Return whether a column of any name may have the class: no further path, and no index that pandas wrote."""
    return not _is_named(name, _PATHS) and not _INDEX.fullmatch(name)


def _called(names: Sequence[str], name: str) -> str:
    """Return the column that a name means: the name itself, or the only one that differs in capitals and separators."""
    alike = [other for other in dict.fromkeys(names) if _key(other) == _key(name)]
    return alike[0] if name not in names and len(alike) == 1 and _key(name) else name


def _values(frame: "pandas.DataFrame", name: str) -> list[str]:
    """Return the different values of the first column of a name, as text."""
    column = frame.iloc[:, list(map(str, frame.columns)).index(name)]
    values = dict.fromkeys(as_text(value) for value in listed_values(column) if _is_word(value))
    return list(values)


def _is_word(value: object) -> bool:
    return is_single(value) and not is_missing(value)


def _holds_files(frame: "pandas.DataFrame", name: str, is_file: Callable[[str], bool]) -> bool:
    values = _values(frame, name)[:_SAMPLE]
    return bool(values) and all(map(is_file, values))


def _holds_bits(frame: "pandas.DataFrame", name: str) -> bool:
    return set(_values(frame, name)) <= set(_BITS)


def _holds_splits(frame: "pandas.DataFrame", name: str) -> bool:
    splits = set(map(split_of, _values(frame, name)))
    return len(splits) > 1 and TRAIN in splits and None not in splits and UNLABELED not in splits


def _key(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


def _ambiguous(role: str, candidates: Sequence[str]) -> str:
    return f"the {role} could be {' or '.join(candidates)}; rename one of these columns to {role}."


def _listed(names: Sequence[str]) -> str:
    return listed(names) or "none"
