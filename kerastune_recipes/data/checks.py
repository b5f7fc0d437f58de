"""What can be wrong with images and labels; each check returns its problems, so that all are raised together.

A problem is a whole sentence but for the place where it was found, which `placed` puts before it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from numbers import Integral, Number
from typing import Protocol

import numpy as np

from kerastune_recipes.data.dataset import Pictures, Samples
from kerastune_recipes.data.images import CHANNELS, is_image_shape
from kerastune_recipes.errors import DataError, did_you_mean, listed

_MOST_REASONS = 10
_HEADER_THREADS = 16


def placed(where: object, problems: Iterable[str]) -> list[str]:
    """Put the place before each problem: the folder, the file, the split, or what else the user gave.

    Example:
        >>> placed("photos", ["this folder is empty."])
        ['photos: this folder is empty.']
    """
    return [f"{where}: {problem}" for problem in problems]


def quoted(error: Exception) -> str:
    """Return what another library says of an error as one line without a full stop, to be put into a sentence."""
    return " ".join(str(error).split()).rstrip(".:") or type(error).__name__


def lengths(images: int, labels: int) -> list[str]:
    """Each image needs one label."""
    if images == labels:
        return []
    return [f"there are {images} images and {labels} labels; give one label for each image."]


def class_counts(counts: Sequence[int], class_names: Sequence[str], hold_out: bool) -> list[str]:
    """At least two classes, each with training images: two where one of them is to be held out.

    Args:
        counts: Training images of each class.
        class_names: One per class.
        hold_out: True when validation images will be taken from the training images.
    """
    if sum(counts) == 0:
        return ["there are no training images."]
    problems = []
    if len(class_names) == 1:
        problems.append(f'there is one class only, "{class_names[0]}"; a classifier needs at least two.')
    missing = [name for name, count in zip(class_names, counts, strict=True) if count == 0]
    if missing:
        problems.append(
            f"classes without a training image: {listed(missing)}; add images, or leave the class out and "
            "number the labels from 0 without a gap."
        )
    single = [name for name, count in zip(class_names, counts, strict=True) if count == 1]
    if hold_out and single:
        problems.append(
            f"classes with one image: {listed(single)}; one to train on and one to hold out for validation are "
            "needed, so add images, leave the class out, or give validation images of your own."
        )
    return problems


def class_agreement(split: str, names: Sequence[str], classes: Sequence[str], complete: bool) -> list[str]:
    """A split knows the classes that all splits, or the model to be evaluated, share.

    Args:
        split: Its name.
        names: Its classes.
        classes: The shared ones.
        complete: True when it must have all of them.
    """
    problems = []
    unknown = [name for name in names if name not in set(classes)]
    if unknown:
        problems.append(
            f"classes in {split} that are not known: {listed(unknown)}; the classes are {listed(classes)}."
            + (did_you_mean(unknown[0], classes) if len(unknown) == 1 else "")
        )
    absent = [name for name in classes if name not in set(names)]
    if complete and absent:
        problems.append(
            f"classes that are missing from {split}: {listed(absent)}; add them to {split}"
            f"{' (a class folder may be empty there)' if split == 'test' else ''} or remove them from train."
        )
    return problems


def held_out_counts(counts: Sequence[int], class_names: Sequence[str]) -> list[str]:
    """Phases are judged by images of every class.

    Args:
        counts: Validation images of each class.
        class_names: One per class.
    """
    missing = [name for name, count in zip(class_names, counts, strict=True) if count == 0]
    if not missing or not sum(counts):  # that there are none at all is told elsewhere
        return []
    return [
        f"classes without a validation image: {listed(missing)}; what is kept is chosen by these images, so add some, "
        "or leave validation out, and a fifth of the training images is held out, some of every class."
    ]


def empty_split(split: str, images: int) -> list[str]:
    """A split that is given holds images."""
    return [] if images else [f"there are no {split} images; add some or leave {split} out."]


def unknown_labels(labels: Iterable[str], class_names: Sequence[str]) -> list[str]:
    """Labels that are names are among the class names."""
    unknown = sorted(set(labels) - set(class_names))
    return [f"labels that are no class: {listed(unknown)}; the classes are {listed(class_names)}."] if unknown else []


def whole_numbers(labels: np.ndarray) -> list[str]:
    """Labels that are numbers are whole ones.

    Args:
        labels: (n,), any numeric dtype.
    """
    wrong = np.flatnonzero(~np.isfinite(labels) | (labels != np.floor(labels)))
    if not len(wrong):
        return []
    return [f"labels that are no whole numbers: {_at(wrong, labels[wrong])}; give integers, one-hot rows or names."]


def label_range(labels: np.ndarray, classes: int | None = None) -> list[str]:
    """Labels that are integers count from 0, up to the number of classes where that is known.

    Args:
        labels: int (n,).
        classes: Number of classes, or None to leave the top open.
    """
    top = np.inf if classes is None else classes - 1
    wrong = np.flatnonzero((labels < 0) | (labels > top))
    if not len(wrong):
        return []
    allowed = "0 and up" if classes is None else f"0 to {classes - 1}, as there are {classes} classes"
    return [f"labels out of range: {_at(wrong, labels[wrong])}; give integers from {allowed}."]


def one_hot(rows: np.ndarray) -> list[str]:
    """Each row of labels is a single 1 among 0s.

    Args:
        rows: (n, classes), any numeric dtype.
    """
    wrong = np.flatnonzero((rows.sum(axis=1) != 1) | ((rows != 0) & (rows != 1)).any(axis=1))
    if not len(wrong):
        return []
    sums = [f"{total:g}" for total in rows[wrong].sum(axis=1)]
    return [
        f"label rows that are not one-hot: {_at(wrong, sums, 'with sum')}; give one 1 and else 0 in each row, "
        "or integer labels."
    ]


def one_hot_width(columns: int, classes: int) -> list[str]:
    """One-hot rows have a column for each class."""
    if columns == classes:
        return []
    return [f"one-hot labels have {columns} columns and there are {classes} classes; give one column for each class."]


def pixel_range(lows: np.ndarray, highs: np.ndarray, dtype: np.dtype) -> list[str]:
    """Pixels are finite and lie in 0..255; numbers other than uint8 that never exceed 1 were scaled by mistake.

    Args:
        lows: (n,), smallest value of each image, NaN if it holds one.
        highs: (n,), largest value of each image, NaN if it holds one.
        dtype: Type of the pixels as given.
    """
    if dtype == np.uint8 or not len(lows):
        return []
    lows, highs = lows.astype(np.float64), highs.astype(np.float64)
    infinite = ~(np.isfinite(lows) & np.isfinite(highs))
    problems = []
    if infinite.any():
        problems.append(f"images with NaN or infinite values: {_at(np.flatnonzero(infinite))}; replace or remove them.")
    low, high = lows[~infinite].min(initial=np.inf), highs[~infinite].max(initial=-np.inf)
    outside = np.flatnonzero(~infinite & ((lows < 0) | (highs > 255)))
    if len(outside):
        remedy = "undo the scaling, for instance (x + 1) * 127.5" if low >= -1 and high <= 1 else "give raw pixels"
        problems.append(
            f"images with values outside 0..255 (from {low:g} to {high:g}): {_at(outside)}; {remedy}: "
            "the recipe does the preprocessing of its backbone itself."
        )
    elif high <= 1 and not infinite.all():
        problems.append(
            f"the largest pixel value is {high:g}, so the images seem scaled to 0..1; multiply by 255: "
            "the recipe does the preprocessing of its backbone itself."
        )
    return problems


class Shaped(Protocol):
    """What has the shape and type of an array, if not its values."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...


def array_shapes(images: np.ndarray | Sequence[Shaped]) -> list[str]:
    """Arrays hold numbers and have the shape of images.

    Args:
        images: One array of all images, or one for each, whose values are not asked for.
    """
    dtypes = [images.dtype] if isinstance(images, np.ndarray) else [image.dtype for image in images]
    strange = sorted({str(dtype) for dtype in dtypes if dtype.kind not in "biuf"})
    if strange:
        return [
            f"images are of type {listed(strange)}; give numbers from 0 to 255 (paths of files go into a DataFrame or "
            "CSV file with columns path and label)."
        ]
    if isinstance(images, np.ndarray):
        if is_image_shape(images.shape[1:]):
            return []
        axis = " (move the axis of channels last)" if images.ndim == 4 and images.shape[1] in CHANNELS else ""
        return [f"images have shape {images.shape}; give (n, height, width) or (n, height, width, 1, 3 or 4){axis}."]
    wrong = {index: image.shape for index, image in enumerate(images) if not is_image_shape(image.shape)}
    if not wrong:
        return []
    return [
        f"arrays that are no images: {_at(np.array(list(wrong)), wrong.values(), 'of shape')}; give "
        "(height, width) or (height, width, 1, 3 or 4)."
    ]


def strays(images: Sequence[str], folders: Sequence[str], others: Sequence[str]) -> list[str]:
    """A folder holds class folders, and these hold images, and that is all.

    Args:
        images: Images that lie outside a class folder.
        folders: Folders inside class folders.
        others: Files that are no images, anywhere.
    """
    problems = []
    if images:
        problems.append(f"images outside a class folder: {listed(images)}; move each into the folder of its class.")
    if folders:
        problems.append(
            f"folders inside the class folders: {listed(folders)}; move their images up and remove them, or give "
            "group_by=1 (--group-by 1) where each holds images that belong together."
        )
    if others:
        problems.append(f"files that are no images by their ending: {listed(others)}; move them out.")
    return problems


def duplicates(paths: Sequence[str]) -> list[str]:
    """No image is listed twice: one copy could be trained on and the other judged with."""
    twice = sorted(path for path, count in Counter(paths).items() if count > 1)
    return [f"paths listed more than once: {listed(twice)}; keep one row for each."] if twice else []


def columns(found: Iterable[str], needed: Iterable[str], what: str = "column") -> list[str]:
    """A table has the columns asked of it."""
    found = [str(name) for name in found]
    return [
        f'there is no {what} "{name}"; the {what}s are {listed(found)}.{did_you_mean(name, found)}'
        for name in needed
        if name not in found
    ]


def group_level(group_by: object) -> list[str]:
    """What groups the images of a folder is a level of folders."""
    if isinstance(group_by, Integral) and not isinstance(group_by, bool) and int(group_by) >= 1:
        return []
    return [
        "the images of a folder are grouped by the level of a folder inside the class folders, counted from 1, as in "
        f"ants/patient7/1.jpg; received {_received(group_by)}."
    ]


def group_depth(shallow: Sequence[str], level: int) -> list[str]:
    """Every image lies in a folder of the level that is to group it.

    Args:
        shallow: Images that do not.
        level: Of the folders; those inside the class folders are level 1.
    """
    if not shallow:
        return []
    return [
        f"images that lie in no folder of level {level}: {listed(shallow)}; group_by counts the folders inside the "
        "class folders, so move each image into the folder of its group, or give a smaller level."
    ]


def group_name(group_by: object, what: str) -> list[str]:
    """What groups the images of a table is the name of a column, of TFDS that of a feature."""
    if isinstance(group_by, str | Integral):
        return []
    return [f"these images are grouped by the name of a {what}; received {_received(group_by)}."]


def group_labels(group_by: object, labels: np.ndarray, images: int) -> list[str]:
    """What groups images in memory is an array with a number or name for each.

    Args:
        group_by: As given.
        labels: The same as an array.
        images: How many images there are.
    """
    if labels.ndim != 1:
        return [
            "these images are grouped by an array with the group of each image, numbers or names (n,); "
            f"received {_received(group_by)}."
        ]
    texts = labels.dtype.kind == "O" and all(isinstance(label, str | bytes | Integral) for label in labels)
    if len(labels) and labels.dtype.kind not in "iuSTU" and not texts:
        return [f"the groups of the images are of type {labels.dtype}; give whole numbers or names."]
    if len(labels) != images:
        return [f"there are {images} images and {len(labels)} labels of groups; give one for each image."]
    return []


def whole_groups(groups: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> list[str]:
    """Each class of more than one image has images of two groups, so that one can be held out.

    Args:
        groups: (n,), the group of each training image.
        labels: int (n,), their classes.
        class_names: One per class.
    """
    owners = [np.unique(groups[labels == label]) for label in range(len(class_names))]
    images = np.bincount(labels, minlength=len(class_names))
    single = [
        f"{name} ({found[0]})"
        for name, found, count in zip(class_names, owners, images, strict=True)
        if len(found) == 1 and count > 1
    ]
    if not single:
        return []
    return [
        f"classes whose images are all in one group: {listed(single)}; a group is not divided, so add images of "
        "another group, leave the class out, or give validation images of your own."
    ]


def groups_apart(groups: Mapping[str, np.ndarray]) -> list[str]:
    """No group stands in two splits: what is learned from one of its images would flatter the others.

    Args:
        groups: The group of each image, by split.
    """
    problems = []
    for (one, first), (other, second) in combinations(groups.items(), 2):
        shared = np.intersect1d(first, second)
        if len(shared):
            problems.append(
                f"groups that are both in {one} and in {other}: {listed(shared)}; keep each in one of them."
            )
    return problems


def unlabeled_apart(unlabeled: Pictures, labelled: Mapping[str, Samples]) -> list[str]:
    """No image without a label is a labelled one too: a model would learn from what it is judged with.

    Args:
        unlabeled: Images without labels.
        labelled: The labelled images, by split.

    Raises:
        DataError: Images that cannot be read.
    """
    known = {
        digest: f"{split}: {name}"
        for split, samples in labelled.items()
        for digest, name in zip(samples.digests(), samples.names, strict=True)
    }
    found = zip(unlabeled.digests(), unlabeled.names, strict=True)
    shared = [f"{name} ({known[digest]})" for digest, name in found if digest in known]
    if not shared:
        return []
    return [
        f"{len(shared)} of {len(unlabeled)} unlabeled images are labelled ones too: {listed(shared, most=3)}; an image "
        "to judge with may not be learned from, so leave the labelled ones out of the unlabeled."
    ]


def _received(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return str(value) if isinstance(value, Number) else f"a value of type {type(value).__name__}"


def headers(
    read_size: Callable[[int], tuple[int, int]], names: Sequence[str], threads: int = _HEADER_THREADS
) -> tuple[np.ndarray, list[str]]:
    """Read the header of every image.

    Args:
        read_size: From an index to height and width; raises DataError for what is no image.
        names: One for each image.
        threads: Headers read at a time.

    Returns:
        int64 (n, 2), height and width, 0 where unreadable; and the problems.
    """

    def attempt(index: int) -> tuple[int, int] | str:
        try:
            return read_size(index)
        except DataError as error:
            return str(error)

    with ThreadPoolExecutor(threads) as pool:
        results = list(pool.map(attempt, range(len(names))))
    problems = {index: result for index, result in enumerate(results) if isinstance(result, str)}
    sizes = [(0, 0) if isinstance(result, str) else result for result in results]
    return np.array(sizes, dtype=np.int64).reshape(-1, 2), unreadable(problems, names)


def unreadable(problems: Mapping[int, str], names: Sequence[str]) -> list[str]:
    """Give the reasons for the first images that cannot be read, and the names of the rest.

    Args:
        problems: One sentence for each image that cannot be read, by its index.
        names: One for each image, readable or not.
    """
    indices = sorted(problems)
    reasons = [problems[index] for index in indices[:_MOST_REASONS]]
    rest = indices[_MOST_REASONS:]
    if rest:
        reasons.append(f"{len(rest)} more images cannot be read: {listed(names[index] for index in rest)}.")
    return reasons


def _at(indices: np.ndarray, values: Iterable[object] | None = None, word: str = "with") -> str:
    if values is None:
        return listed(f"image {index}" for index in indices)
    return listed(f"image {index} {word} {value}" for index, value in zip(indices, values, strict=True))
