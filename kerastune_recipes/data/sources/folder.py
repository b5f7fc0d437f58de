"""Folders of class folders, with or without train/, validation/ and test/."""

import filecmp
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerastune_recipes import printable
from kerastune_recipes.data import checks, class_names, images
from kerastune_recipes.data.dataset import Pictures, Reader
from kerastune_recipes.data.image_formats import SUFFIXES
from kerastune_recipes.data.pixel_range import PixelRange
from kerastune_recipes.data.sources import layout, other_files
from kerastune_recipes.data.sources.encoded import read_encoded
from kerastune_recipes.data.sources.layout import FolderView
from kerastune_recipes.data.sources.listing import Entry, Listing
from kerastune_recipes.data.sources.other_files import Others
from kerastune_recipes.data.sources.parts import TABLES, Part, ReadResult, split_of
from kerastune_recipes.data.sources.remote import fetch, is_remote
from kerastune_recipes.data.sources.tfrecord import is_tfrecord
from kerastune_recipes.data.split_images import TRAIN, UNLABELED, split_in_words
from kerastune_recipes.errors import did_you_mean, listed
from kerastune_recipes.progress import counted

ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")


def read_folder(root: Path, group_by: Any = None) -> ReadResult:
    """Read a folder of class folders, or of split folders that each hold class folders.

    A folder has splits if it has a folder train/, or one of another name for it, with folders in it.

    Args:
        root: A folder such as photos/ with photos/ants/1.jpg, or with photos/train/ants/1.jpg.
        group_by: Level of the folders inside the class folders that group images: 1 for photos/ants/patient7/1.jpg.
            Folders of the same name are one group, in any class and split. None for no groups.

    Returns:
        The splits, images in order of class and file name, and every problem. What file managers leave behind and files
        that are no images are left out, with a note.
    """
    source = printable.encodable(str(root))
    if not root.is_dir():
        expected = "a folder of class folders or a .csv file with columns path and label"
        return ReadResult(source, problems=(_no_folder(root, expected),))
    problems = [] if group_by is None else checks.group_level(group_by)
    if problems:
        return ReadResult(source, problems=tuple(checks.located(source, problems)))
    return _Reader(root, group_by).read_labelled()


def read_unlabeled_folder(root: Path) -> ReadResult:
    """Read the images of a folder and of all folders in it; their names have no meaning.

    Args:
        root: A folder such as pool/ with pool/1.jpg or pool/2024/1.jpg.

    Returns:
        The images without labels, in order of their paths, and every problem.
    """
    source = printable.encodable(str(root))
    if not root.is_dir():
        expected = "a folder of images or a .csv file with a column path"
        return ReadResult(source, problems=(_no_folder(root, expected),))
    return _Reader(root).read_unlabeled()


def read_files(paths: Sequence[Path], names: Sequence[str]) -> tuple[Pictures, list[str]]:
    """Read the headers of image files; files in an object store are fetched.

    Args:
        paths: Path of each image.
        names: Name of each image.

    Returns:
        The images, and a problem for each unreadable one.

    Raises:
        WorkError: The disk has no room for the fetched files.
    """
    names = list(map(printable.encodable, names))
    if any(map(is_remote, paths)):
        files, failed = fetch(paths)
        return read_encoded(files, names, failed)

    def read_in(pixel_range: PixelRange | None) -> Reader:
        return lambda index, at_least=None: images.decode(paths[index], at_least, pixel_range=pixel_range)

    sizes, deep, problems = checks.headers(lambda index: images.stored(paths[index]), names)
    pictures = Pictures(
        read_in(None),
        names,
        sizes,
        lambda index: paths[index].read_bytes(),
        stored_bytes=lambda index: paths[index].stat().st_size,
        deep=deep,
        read_in=read_in,
    )
    return pictures, problems


class _Reader:
    """Reads one folder; collects problems, warnings, and what it leaves out.

    Args:
        root: The folder; names of images start at it.
        level: See `read_folder`.
    """

    def __init__(self, root: Path, level: int | None = None):
        self._root, self._level = root, level
        self._listing = Listing(root)
        self._no_images: list[Path] = []
        self._problems: list[str] = []
        self._warnings: list[str] = []
        self._notes: list[str] = []

    def read_labelled(self) -> ReadResult:
        """Read class folders, or splits with class folders."""
        entries = self._without_copy(self._listing.entries(self._root))
        if not entries and not self._listing.problems:
            self._tell(["this folder is empty; make a folder for each class, as in ants/1.jpg."])
            return self._result()
        folders = [entry.path for entry in entries if entry.is_folder]
        if any(split_of(folder.name) == TRAIN and self._folders_in(folder) for folder in folders):
            return self._read_splits(entries)
        views = [self._view(folder) for folder in folders]
        beside = any(_has_image_extension(entry) for entry in entries)
        problems = layout.problems(views, beside, self._level is not None)
        if problems:
            self._tell(problems)
            return self._result()
        self._warnings += checks.located(_shown(self._root), layout.doubts(views))
        part = self._read_classes(self._root, entries)
        if not len(part.samples):
            self._tell(self._other_data())
        return self._result({TRAIN: part})

    def read_unlabeled(self) -> ReadResult:
        """Read the images at any depth."""
        return self._result(unlabeled=self._read_below(self._root))

    def _read_splits(self, entries: Sequence[Entry]) -> ReadResult:
        parts: dict[str, Part] = {}
        unlabeled: Pictures | None = None
        strays = []
        for path in (entry.path for entry in entries if entry.is_folder):
            split = split_of(path.name)
            known = self._listing.same_as(path) if split else None
            if split is None:
                if any(_has_image_extension(entry) for entry in Listing(path).below(path)):
                    strays.append(self._listing.name(path))
                else:
                    self._no_images.append(path)
            elif known is not None:
                self._tell([f"{path.name} is the same folder as {self._listing.name(known)}, by a link; remove it."])
            elif split == UNLABELED and unlabeled is None:
                unlabeled = self._read_below(path)
            elif split != UNLABELED and split not in parts:
                parts[split] = self._read_classes(path, self._listing.entries(path))
            else:
                of = "unlabeled images" if split == UNLABELED else split_in_words(split)
                self._tell([f"there are two folders of {of}, {path.name} is the second; keep one."])
        if strays:
            self._tell(
                [
                    f"not a split: {listed(strays)}; only train, validation, test and unlabeled may be here, so move "
                    "the rest out."
                ]
            )
        self._leave_out(entries)
        return self._result(parts, unlabeled)

    def _read_classes(self, folder: Path, entries: Sequence[Entry]) -> Part:
        """Read the class folders in a folder."""
        self._leave_out(entries)
        names = {entry.path: class_names.normal(entry.path.name) for entry in entries if entry.is_folder}
        ordered = class_names.in_order(set(names.values()))
        position = {name: index for index, name in enumerate(ordered)}
        paths = sorted(names, key=lambda path: (position[names[path]], path.name))
        self._check_class_folders(folder, names)
        inside = [(entry, path) for path in paths for entry in self._inside(path)]
        others = other_files.told_apart(entry.path for entry, _ in inside if _is_other(entry))
        self._no_images += others.rest
        added = set(others.images)
        found = [(entry.path, path) for entry, path in inside if _has_image_extension(entry) or entry.path in added]
        folders = [self._listing.name(entry.path) for entry, _ in inside if entry.is_folder]
        if folders:
            self._tell([layout.folders_in_classes([self._view(path) for path in paths], folders)], folder)
        self._tell_not_read(others, folder)
        files = [file for file, _ in found]
        groups = None
        if self._level is not None:
            groups = [_group_of(file.relative_to(path), self._level) for file, path in found]
            shallow = [self._listing.name(file) for file, group in zip(files, groups, strict=True) if not group]
            self._tell(checks.group_depth(shallow, self._level), folder)
            groups = None if shallow else groups
        labels = np.array([position[names[path]] for _, path in found], dtype=np.int64)
        samples = self._read_files(files).labelled(labels, ordered)
        return Part(samples, "declared", groups=None if groups is None else np.array(groups, dtype=str))

    def _inside(self, class_folder: Path) -> Iterable[Entry]:
        return self._listing.entries(class_folder) if self._level is None else self._listing.below(class_folder)

    def _check_class_folders(self, folder: Path, names: Mapping[Path, str]) -> None:
        same = {path: self._listing.same_as(path) for path in names}
        self._tell(
            [
                f"the class folder {self._listing.name(path)} is the same folder as {self._listing.name(known)}, by a "
                "link; remove it."
                for path, known in same.items()
                if known is not None
            ],
            folder,
        )
        spellings = defaultdict(list)
        for path, name in names.items():
            spellings[name].append(path)
        twice = [name for name, paths in spellings.items() if len(paths) > 1]
        if twice:
            self._warnings.append(
                f"{_shown(folder)}: class folders whose names differ only in how accents are stored are one class: "
                f"{listed(twice)}."
            )

    def _read_below(self, folder: Path) -> Pictures:
        """Read the images in a folder, at any depth."""
        entries = list(counted(self._listing.below(folder), "files"))
        others = other_files.told_apart(entry.path for entry in entries if _is_other(entry))
        self._no_images += others.rest
        self._tell_not_read(others, folder)
        added = set(others.images)
        return self._read_files([e.path for e in entries if _has_image_extension(e) or e.path in added])

    def _read_files(self, files: Sequence[Path]) -> Pictures:
        pictures, unreadable = read_files(files, [self._listing.name(file) for file in files])
        self._problems += unreadable
        return pictures

    def _leave_out(self, entries: Iterable[Entry]) -> None:
        """Tell of images beside class folders, and note the other files there."""
        entries = list(entries)
        others = other_files.told_apart(entry.path for entry in entries if _is_other(entry))
        pictures = {entry.path for entry in entries if _has_image_extension(entry)} | set(others.pictures())
        self._no_images += [entry.path for entry in entries if not entry.is_folder and entry.path not in pictures]
        names = [self._listing.name(entry.path) for entry in entries if entry.path in pictures]
        folder = entries[0].path.parent if entries else self._root
        self._tell(checks.outside(names), folder)

    def _without_copy(self, entries: list[Entry]) -> list[Entry]:
        """Leave out a folder that holds others once more, as archives of Kaggle do."""
        folders = [entry.path for entry in entries if entry.is_folder]
        for folder in folders:
            inside = {inner.name for inner in self._folders_in(folder)}
            repeated = [other for other in folders if other != folder and other.name in inside]
            if len(inside) == len(repeated) > 1 and not split_of(folder.name) and _is_copy(folder, repeated):
                self._notes.append(f"left out {self._listing.name(folder)}, which holds other folders once more.")
                return [entry for entry in entries if entry.path != folder]
        return entries

    def _other_data(self) -> list[str]:
        """Say what the user may have meant to give, where there are no images in class folders."""
        tables = [path for path in self._no_images if path.suffix.lower() in TABLES]
        archives = [path for path in self._no_images if path.suffix.lower() in ARCHIVES]
        records = [path for path in self._no_images if is_tfrecord(path)]
        return [
            *(f"if {_shown(path)} lists the images, give this file." for path in tables[:1]),
            *(f"unpack {self._listing.name(path)}, and give the folder with the images." for path in archives[:1]),
            *(f"to read TFRecord files, name them, as in {_shown(path)}, or several with *." for path in records[:1]),
        ]

    def _folders_in(self, folder: Path) -> list[Path]:
        return [entry.path for entry in self._listing.entries(folder) if entry.is_folder]

    def _view(self, folder: Path) -> FolderView:
        return FolderView(
            printable.encodable(folder.name),
            any(_has_image_extension(entry) for entry in self._listing.entries(folder)),
            tuple(printable.encodable(path.name) for path in self._folders_in(folder)),
        )

    def _tell_not_read(self, others: Others, folder: Path) -> None:
        foreign = {form: list(map(self._listing.name, paths)) for form, paths in others.foreign.items()}
        self._tell(other_files.problems(list(map(self._listing.name, others.misnamed)), foreign), folder)

    def _tell(self, problems: Iterable[str], folder: Path | None = None) -> None:
        self._problems += checks.located(_shown(folder or self._root), problems)

    def _result(self, parts: Mapping[str, Part] | None = None, unlabeled: Pictures | None = None) -> ReadResult:
        source = _shown(self._root)
        notes = [*self._notes, *self._listing.notes()]
        if self._no_images:
            names = listed(map(self._listing.name, self._no_images), most=5)
            notes.append(f"left out, as they are no images: {names}.")
        problems = (*checks.located(source, self._listing.problems), *self._problems)
        return ReadResult(
            source, parts or {}, problems, unlabeled, tuple(self._warnings), tuple(checks.located(source, notes))
        )


def _has_image_extension(entry: Entry) -> bool:
    return not entry.is_folder and entry.path.suffix.lower() in SUFFIXES


def _is_other(entry: Entry) -> bool:
    return not entry.is_folder and entry.path.suffix.lower() not in SUFFIXES


def _is_copy(folder: Path, others: Sequence[Path]) -> bool:
    """Return whether a folder holds copies of all files of others, under their names."""
    if is_remote(folder):  # to compare them would fetch every image
        return False
    for other in others:
        copy = folder / other.name
        files, copies = ({entry.path.relative_to(top) for entry in Listing(top).below(top)} for top in (other, copy))
        if files != copies or not all(_is_same(other / file, copy / file) for file in files):
            return False
    return True


def _is_same(one: Path, other: Path) -> bool:
    try:
        return filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


def _group_of(file: Path, level: int) -> str:
    """Return the folder at a level of the path of an image; empty if the path is too short."""
    name = file.parts[level - 1] if level < len(file.parts) else ""
    return class_names.normal(printable.encodable(name))


def _shown(path: Path) -> str:
    return printable.encodable(str(path))


def _no_folder(root: Path, expected: str) -> str:
    if root.is_file():
        if root.suffix.lower() in ARCHIVES:
            return f"{root}: this is an archive; unpack it, and give the folder with the images."
        return f"{root}: this is a file; give {expected}."
    siblings = [entry.name for entry in root.parent.iterdir() if entry.is_dir()] if root.parent.is_dir() else []
    return f"{root}: there is no such folder.{did_you_mean(root.name, siblings) or ' Check the path.'}"
