"""Folders of class folders, divided into train/, validation/ and test/ or not."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kerastune_recipes.data import checks, images
from kerastune_recipes.data.dataset import Pictures
from kerastune_recipes.data.sources.encoded import read_encoded
from kerastune_recipes.data.sources.parts import SPLIT_NAMES, TRAIN, UNLABELED_NAMES, Found, Part
from kerastune_recipes.data.sources.remote import fetched, is_remote
from kerastune_recipes.errors import did_you_mean, listed

_IMAGE_SUFFIXES = (
    *(".avif", ".bmp", ".dib", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm"),
    *(".tga", ".tif", ".tiff", ".webp"),
)

# What file managers and archivers leave behind, besides names that start with a dot.
_LEFTOVERS = ("thumbs.db", "desktop.ini", "__macosx")


def read_folder(root: Path, group_by: Any = None) -> Found:
    """Read a folder of class folders, or of split folders that each hold class folders.

    It counts as divided when it has a folder train/ that itself holds folders.

    Args:
        root: Such as photos/ with photos/ants/1.jpg, or with photos/train/ants/1.jpg.
        group_by: Level of the folders inside the class folders that hold images which belong together: 1 for
            photos/ants/patient7/1.jpg. Folders of one name are one group, wherever they lie. None for no such folders.

    Returns:
        The splits, images in order of class and file name, and every problem.
    """
    if not root.is_dir():
        wanted = "a folder of class folders or a .csv file with columns path and label"
        return Found(str(root), problems=(_no_folder(root, wanted),))
    wrong = [] if group_by is None else checks.group_level(group_by)
    if wrong:
        return Found(str(root), problems=tuple(checks.placed(root, wrong)))
    entries = _visible(root)
    if not entries:
        problem = f"{root}: this folder is empty; make a folder for each class, as in ants/1.jpg."
        return Found(str(root), problems=(problem,))
    folders = [entry for entry in entries if _is_folder(entry)]
    if _is_divided(folders):
        return _read_splits(root, entries, group_by)
    if folders and all(folder.name.lower() in (*SPLIT_NAMES, *UNLABELED_NAMES) for folder in folders):
        problem = f"{root}: there is {listed(folder.name for folder in folders)} and no train folder with class folders"
        return Found(str(root), problems=(f"{problem}; add one, as in train/ants/1.jpg.",))
    part, problems = _read_classes(root, root, group_by)
    return Found(str(root), {TRAIN: part}, tuple(problems))


def read_unlabeled_folder(root: Path) -> Found:
    """Read the images of a folder and of all folders in it, whatever these are called.

    Args:
        root: Such as pool/ with pool/1.jpg or pool/2024/1.jpg.

    Returns:
        The images without labels, in order of their paths, and every problem.
    """
    if not root.is_dir():
        wanted = "a folder of images or a .csv file with a column path"
        return Found(str(root), problems=(_no_folder(root, wanted),))
    pictures, problems = _read_images_below(root, root)
    return Found(str(root), problems=tuple(problems), unlabeled=pictures)


def read_files(paths: Sequence[Path], names: Sequence[str]) -> tuple[Pictures, list[str]]:
    """Make pictures of image files, reading their headers; those in an object store are fetched for it.

    Args:
        paths: Where each image lies.
        names: What to call each.

    Returns:
        The pictures, and a problem for each header that cannot be read.

    Raises:
        WorkError: The disk has no room for what was fetched.
    """
    if any(map(is_remote, paths)):
        files, failed = fetched(paths)
        return read_encoded(files, names, failed)

    def read(index: int, at_least: int | None = None) -> np.ndarray:
        return images.decode(paths[index], at_least)

    sizes, problems = checks.headers(lambda index: images.header_size(paths[index]), names)
    return Pictures(read, names, sizes, lambda index: paths[index].read_bytes()), problems


def _is_divided(folders: Sequence[Path]) -> bool:
    return any(folder.name.lower() == TRAIN and any(map(_is_folder, _visible(folder))) for folder in folders)


def _read_splits(root: Path, entries: Sequence[Path], level: int | None) -> Found:
    parts: dict[str, Part] = {}
    unlabeled: Pictures | None = None
    problems = []
    strays = []
    for entry in entries:
        if _is_folder(entry) and entry.name.lower() in UNLABELED_NAMES:
            if unlabeled is not None:
                problems.append(
                    f"{root}: there are two folders of unlabeled images, {entry.name} is the second; keep one."
                )
            unlabeled, more = _read_images_below(entry, root)
            problems += more
            continue
        split = SPLIT_NAMES.get(entry.name.lower()) if _is_folder(entry) else None
        if split is None:
            strays.append(entry.name)
        elif split in parts:
            problems.append(f"{root}: there are two folders of {split} images, {entry.name} is the second; keep one.")
        else:
            parts[split], more = _read_classes(entry, root, level)
            problems += more
    if strays:
        problems.append(
            f"{root}: beside train, and neither validation nor test nor unlabeled: {listed(strays)}; move them out."
        )
    return Found(str(root), parts, tuple(problems), unlabeled)


def _read_classes(folder: Path, root: Path, level: int | None) -> tuple[Part, list[str]]:
    """Read the class folders of one folder, naming images from the root, grouped by the folders of a level."""
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
    found = [(entry, label) for kind, entry, label in inside if kind == "image"]
    names = [_from(root, entry) for entry, _ in found]
    groups = None
    if level is not None:
        owners = [_owner(entry.relative_to(classes[label]), level) for entry, label in found]
        shallow = [name for name, owner in zip(names, owners, strict=True) if not owner]
        strays += checks.group_depth(shallow, level)
        groups = np.array(owners, dtype=str)
    pictures, unreadable = read_files([entry for entry, _ in found], names)
    labels = np.array([label for _, label in found], dtype=np.int64)
    samples = pictures.labelled(labels, [path.name for path in classes])
    return Part(samples, "declared", groups=groups), [*checks.placed(folder, strays), *unreadable]


def _read_images_below(folder: Path, root: Path) -> tuple[Pictures, list[str]]:
    """Read all images in a folder, however deep, naming them from the root."""
    entries = [(_kind(entry), entry) for entry in _below(folder)]
    others = [_from(root, entry) for kind, entry in entries if kind == "other"]
    found = [entry for kind, entry in entries if kind == "image"]
    pictures, unreadable = read_files(found, [_from(root, entry) for entry in found])
    return pictures, [*checks.placed(folder, checks.strays([], [], others)), *unreadable]


def _visible(folder: Path) -> list[Path]:
    entries = (entry for entry in folder.iterdir() if not entry.name.startswith("."))
    return sorted((entry for entry in entries if entry.name.lower() not in _LEFTOVERS), key=lambda entry: entry.name)


def _below(folder: Path) -> Iterator[Path]:
    """Give the files of a folder and of all folders in it."""
    for entry in _visible(folder):
        if _is_folder(entry):
            yield from _below(entry)
        else:
            yield entry


def _owner(entry: Path, level: int) -> str:
    """Return the folder of a level on the way to an image, or nothing where it does not lie so deep."""
    return entry.parts[level - 1] if level < len(entry.parts) else ""


def _kind(entry: Path) -> Literal["folder", "image", "other"]:
    if _is_folder(entry):
        return "folder"
    return "image" if entry.suffix.lower() in _IMAGE_SUFFIXES else "other"


def _is_folder(entry: Path) -> bool:
    # In an object store the answer takes a request for each image; there its name is enough.
    return not (is_remote(entry) and entry.suffix.lower() in _IMAGE_SUFFIXES) and entry.is_dir()


def _from(root: Path, entry: Path) -> str:
    return entry.relative_to(root).as_posix()


def _no_folder(root: Path, wanted: str) -> str:
    if root.is_file():
        return f"{root}: this is a file; give {wanted}."
    siblings = [entry.name for entry in root.parent.iterdir() if entry.is_dir()] if root.parent.is_dir() else []
    return f"{root}: there is no such folder.{did_you_mean(root.name, siblings)}"
