"""What the folders of a data set are by their names and what is in them: classes, splits or neither."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from kerastune_recipes.data.sources.parts import is_unclear_part, split_of
from kerastune_recipes.data.split_images import TRAIN, UNLABELED, VALIDATION
from kerastune_recipes.errors import listed

# What turns a word for a split into its contrary: "valid" and "invalid" are classes.
_CONTRARY = ("in", "un", "non", "not", "no")


@dataclass(frozen=True)
class FolderView:
    """A folder, by its name and what is directly in it.

    Args:
        name: Its name.
        has_images: Whether it holds images.
        folders: Names of the folders in it.
    """

    name: str
    has_images: bool = False
    folders: tuple[str, ...] = ()

    @property
    def split(self) -> str | None:
        return split_of(self.name)


def problems(folders: Sequence[FolderView], has_images: bool, grouped: bool) -> list[str]:
    """Say why folders are not classes.

    Args:
        folders: The folders beside each other; none of them is a training split with class folders.
        has_images: Whether there are images beside them.
        grouped: Whether the folders in them are groups of images.

    Example:
        >>> problems([FolderView("photos", folders=("ants", "bees"))], has_images=False, grouped=False)
        ['all images are in photos; give this folder.']
    """
    names = [folder.name for folder in folders]
    splits = [folder for folder in folders if folder.split and not _is_contrary(folder.name, names)]
    if folders and len(splits) == len(folders):
        return [_without_training(splits)]
    if splits:
        others = [name for name in names if name not in {folder.name for folder in splits}]
        return [sentence for folder in splits for sentence in _beside_classes(folder, others)]
    if len(folders) == 1 and folders[0].folders and not folders[0].has_images and not has_images and not grouped:
        return [f"all images are in {names[0]}; give this folder."]
    if len(folders) > 1 and all(
        is_unclear_part(name) and folder.folders for name, folder in zip(names, folders, strict=True)
    ):
        return [
            f"{listed(names)} look like parts of a data set, not like classes; name them train, validation and "
            "test, or put images of the same class into one folder."
        ]
    return []


def doubts(folders: Sequence[FolderView]) -> list[str]:
    """Say which folders are read as classes, though they may be splits.

    Args:
        folders: The folders beside each other, which are read as classes.
    """
    names = [folder.name for folder in folders]
    return [
        f"the folder {folder.name} is read as a class, though splits have such names; if it is none, move it out, or "
        f"put it and the images of the other classes into a folder train."
        for folder in folders
        if folder.split and not _is_contrary(folder.name, names)
    ]


def folders_in_classes(folders: Sequence[FolderView], inside: Sequence[str]) -> str:
    """Say what to do about folders in class folders.

    Args:
        folders: The class folders.
        inside: The folders in them, as they are named to the user.
    """
    found = f"folders inside the class folders: {listed(inside)}; move their images up and remove them, or give "
    found += "group_by=1 (--group-by 1) if each holds one group of images"
    filled = [folder for folder in folders if folder.folders]
    common = Counter(name for folder in filled for name in folder.folders)
    if len(filled) == len(folders) > 1 and len(common) > 1 and set(common.values()) == {len(folders)}:
        names = listed([folder.name for folder in folders])
        found += (
            f"; if {listed(sorted(common), most=3)} are the classes, and {names} are splits, name these train, "
            "validation and test"
        )
    return f"{found}."


def _without_training(splits: Sequence[FolderView]) -> str:
    names = listed(folder.name for folder in splits)
    flat = [folder.name for folder in splits if folder.has_images and not folder.folders and folder.split == TRAIN]
    if flat:
        return (
            f"{flat[0]} holds images but no class folders; move each image into the folder of its class, as in "
            f"{flat[0]}/ants/1.jpg, or list the images in a CSV file with columns path and label."
        )
    return f"there is {names} but no train folder with class folders; add one, as in train/ants/1.jpg."


def _beside_classes(folder: FolderView, classes: Sequence[str]) -> list[str]:
    """Say that a folder beside class folders looks like a split; nothing if it can only be a class."""
    if folder.has_images and not folder.folders and _is_word(folder.name):
        return []
    names = listed(classes)
    found = f"{folder.name} looks like a split, not like a class beside {names}; move {names} into a folder train"
    if folder.split == UNLABELED:
        return [
            f"{found}, and the images in {folder.name} count as unlabelled. If {folder.name} is a class, rename it."
        ]
    if not folder.folders:
        found += f", and the images in {folder.name} into class folders, as in {folder.name}/{classes[0]}/1.jpg"
    return [f"{found}. If {folder.name} is a class, rename it; if its images have no labels, move it out."]


def _is_word(name: str) -> bool:
    """Return whether a name for a split is also one for a class: a folder of trains, or of what is valid."""
    return split_of(name) == TRAIN or (split_of(name) == VALIDATION and name.lower() in ("valid", "dev"))


def _is_contrary(name: str, names: Sequence[str]) -> bool:
    """Return whether another folder is called the contrary, as invalid beside valid."""
    lower = {other.lower().replace(" ", "").replace("_", "").replace("-", "") for other in names}
    return any(f"{prefix}{name.lower()}" in lower for prefix in _CONTRARY)
