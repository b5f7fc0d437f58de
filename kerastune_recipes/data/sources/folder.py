"""Folders of class folders, with or without train/, validation/ and test/."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kerastune_recipes.data import checks, images
from kerastune_recipes.data.dataset import Pictures, Reader
from kerastune_recipes.data.image_formats import SUFFIXES
from kerastune_recipes.data.pixel_range import PixelRange
from kerastune_recipes.data.sources.encoded import read_encoded
from kerastune_recipes.data.sources.parts import Part, ReadResult, split_of
from kerastune_recipes.data.sources.remote import fetch, is_remote
from kerastune_recipes.data.split_images import TRAIN, UNLABELED, split_in_words
from kerastune_recipes.errors import did_you_mean, listed

# Files of file managers and archivers to ignore, besides names that start with a dot.
_IGNORED = ("thumbs.db", "desktop.ini", "__macosx")


def read_folder(root: Path, group_by: Any = None) -> ReadResult:
    """Read a folder of class folders, or of split folders that each hold class folders.

    A folder has splits if it has a folder train/ with folders in it.

    Args:
        root: A folder such as photos/ with photos/ants/1.jpg, or with photos/train/ants/1.jpg.
        group_by: Level of the folders inside the class folders that group images: 1 for photos/ants/patient7/1.jpg.
            Folders of the same name are one group, in any class and split. None for no groups.

    Returns:
        The splits, images in order of class and file name, and every problem.
    """
    if not root.is_dir():
        expected = "a folder of class folders or a .csv file with columns path and label"
        return ReadResult(str(root), problems=(_no_folder(root, expected),))
    problems = [] if group_by is None else checks.group_level(group_by)
    if problems:
        return ReadResult(str(root), problems=tuple(checks.located(root, problems)))
    entries = _visible(root)
    if not entries:
        problem = f"{root}: this folder is empty; make a folder for each class, as in ants/1.jpg."
        return ReadResult(str(root), problems=(problem,))
    folders = [entry for entry in entries if _is_folder(entry)]
    if _has_splits(folders):
        return _read_splits(root, entries, group_by)
    if folders and all(split_of(folder.name) for folder in folders):
        problem = f"{root}: there is {listed(folder.name for folder in folders)} but no train folder with class folders"
        return ReadResult(str(root), problems=(f"{problem}; add one, as in train/ants/1.jpg.",))
    part, problems = _read_classes(root, root, group_by)
    return ReadResult(str(root), {TRAIN: part}, tuple(problems))


def read_unlabeled_folder(root: Path) -> ReadResult:
    """Read the images of a folder and of all folders in it; their names have no meaning.

    Args:
        root: A folder such as pool/ with pool/1.jpg or pool/2024/1.jpg.

    Returns:
        The images without labels, in order of their paths, and every problem.
    """
    if not root.is_dir():
        expected = "a folder of images or a .csv file with a column path"
        return ReadResult(str(root), problems=(_no_folder(root, expected),))
    pictures, problems = _read_images_below(root, root)
    return ReadResult(str(root), problems=tuple(problems), unlabeled=pictures)


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


def _has_splits(folders: Sequence[Path]) -> bool:
    return any(split_of(folder.name) == TRAIN and any(map(_is_folder, _visible(folder))) for folder in folders)


def _read_splits(root: Path, entries: Sequence[Path], level: int | None) -> ReadResult:
    parts: dict[str, Part] = {}
    unlabeled: Pictures | None = None
    problems = []
    strays = []
    for entry in entries:
        split = split_of(entry.name) if _is_folder(entry) else None
        if split == UNLABELED:
            if unlabeled is not None:
                problems.append(
                    f"{root}: there are two folders of unlabeled images, {entry.name} is the second; keep one."
                )
            unlabeled, more = _read_images_below(entry, root)
            problems += more
            continue
        if split is None:
            strays.append(entry.name)
        elif split in parts:
            problems.append(
                f"{root}: there are two folders of {split_in_words(split)}, {entry.name} is the second; keep one."
            )
        else:
            parts[split], more = _read_classes(entry, root, level)
            problems += more
    if strays:
        problems.append(
            f"{root}: not a split: {listed(strays)}; only train, validation, test and unlabeled may be here, so move "
            "the rest out."
        )
    return ReadResult(str(root), parts, tuple(problems), unlabeled)


def _read_classes(folder: Path, root: Path, level: int | None) -> tuple[Part, list[str]]:
    """Read the class folders of one folder, grouped by the folders of a level; image names start at the root."""
    within = _visible if level is None else _below
    outside = [(_kind(entry), entry) for entry in _visible(folder)]
    classes = [entry for kind, entry in outside if kind == "folder"]
    inside = [(_kind(entry), entry, label) for label, path in enumerate(classes) for entry in within(path)]
    strays = checks.strays(
        images=[_from(root, entry) for kind, entry in outside if kind == "image"],
        folders=[_from(root, entry) for kind, entry, _ in inside if kind == "folder"],
        others=[
            *(_from(root, entry) for kind, entry in outside if kind == "other"),
            *(_from(root, entry) for kind, entry, _ in inside if kind == "other"),
        ],
    )
    labelled = [(entry, label) for kind, entry, label in inside if kind == "image"]
    names = [_from(root, entry) for entry, _ in labelled]
    groups = None
    if level is not None:
        by_image = [_group_of(entry.relative_to(classes[label]), level) for entry, label in labelled]
        shallow = [name for name, group in zip(names, by_image, strict=True) if not group]
        strays += checks.group_depth(shallow, level)
        groups = np.array(by_image, dtype=str)
    pictures, unreadable = read_files([entry for entry, _ in labelled], names)
    labels = np.array([label for _, label in labelled], dtype=np.int64)
    samples = pictures.labelled(labels, [path.name for path in classes])
    return Part(samples, "declared", groups=groups), [*checks.located(folder, strays), *unreadable]


def _read_images_below(folder: Path, root: Path) -> tuple[Pictures, list[str]]:
    """Read all images in a folder, at any depth; image names start at the root."""
    entries = [(_kind(entry), entry) for entry in _below(folder)]
    others = [_from(root, entry) for kind, entry in entries if kind == "other"]
    paths = [entry for kind, entry in entries if kind == "image"]
    pictures, unreadable = read_files(paths, [_from(root, path) for path in paths])
    return pictures, [*checks.located(folder, checks.strays([], [], others)), *unreadable]


def _visible(folder: Path) -> list[Path]:
    entries = (entry for entry in folder.iterdir() if not entry.name.startswith("."))
    return sorted((entry for entry in entries if entry.name.lower() not in _IGNORED), key=lambda entry: entry.name)


def _below(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and of all folders in it."""
    for entry in _visible(folder):
        if _is_folder(entry):
            yield from _below(entry)
        else:
            yield entry


def _group_of(entry: Path, level: int) -> str:
    """Return the folder at a level of the path of an image; empty if the path is too short."""
    return entry.parts[level - 1] if level < len(entry.parts) else ""


def _kind(entry: Path) -> Literal["folder", "image", "other"]:
    if _is_folder(entry):
        return "folder"
    return "image" if entry.suffix.lower() in SUFFIXES else "other"


def _is_folder(entry: Path) -> bool:
    # In an object store `is_dir` takes a request for each image; there the extension decides.
    return not (is_remote(entry) and entry.suffix.lower() in SUFFIXES) and entry.is_dir()


def _from(root: Path, entry: Path) -> str:
    return entry.relative_to(root).as_posix()


def _no_folder(root: Path, expected: str) -> str:
    if root.is_file():
        return f"{root}: this is a file; give {expected}."
    siblings = [entry.name for entry in root.parent.iterdir() if entry.is_dir()] if root.parent.is_dir() else []
    return f"{root}: there is no such folder.{did_you_mean(root.name, siblings) or ' Check the path.'}"
