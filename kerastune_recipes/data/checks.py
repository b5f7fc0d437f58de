"""Checks of images and labels; each returns its problems, so that all of them are raised together.

A problem is a sentence without its location, which `located` adds.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from numbers import Integral, Number
from typing import Protocol

import numpy as np

from kerastune_recipes.data.dataset import Pictures, Samples
from kerastune_recipes.data.images import CHANNELS, Stored, is_image_shape
from kerastune_recipes.errors import DataError, did_you_mean, listed
from kerastune_recipes.progress import counted

_MOST_REASONS = 10
_ONE_CLASS = "an image has one class here, so choose one, or train one model for each label"
# More classes than any public data set has: ImageNet-21k, the largest, has 21,843.
MOST_CLASSES = 100_000
_HEADER_THREADS = 16


def located(where: object, problems: Iterable[str]) -> list[str]:
    """Prefix each problem with its location: a folder, file, split or other input.

    Example:
        >>> located("photos", ["this folder is empty."])
        ['photos: this folder is empty.']
    """
    return [f"{where}: {problem}" for problem in problems]


def quoted(error: Exception) -> str:
    """Return the message of another library's exception as one line without a full stop, to quote it in a sentence."""
    return " ".join(str(error).split()).rstrip(".:") or type(error).__name__


def lengths(images: int, labels: int) -> list[str]:
    """Check that each image has one label."""
    if images == labels:
        return []
    return [f"there are {images} images and {labels} labels; give one label for each image."]


def class_counts(counts: Sequence[int], class_names: Sequence[str], hold_out: bool) -> list[str]:
    """Check that there are at least two classes with training images, two images each if one will be held out.

    Args:
        counts: Number of training images of each class.
        class_names: Name of each class.
        hold_out: True if validation images will be held out from the training images.
    """
    if sum(counts) == 0:
        return ["there are no training images."]
    problems = []
    if len(class_names) == 1:
        problems.append(f'there is only one class, "{class_names[0]}"; a classifier needs at least two.')
    missing = [name for name, count in zip(class_names, counts, strict=True) if count == 0]
    if missing:
        problems.append(
            f"classes without a training image: {listed(missing)}; add images, or leave the class out and "
            "number the labels from 0 without gaps."
        )
    single = [name for name, count in zip(class_names, counts, strict=True) if count == 1]
    if hold_out and single:
        problems.append(
            f"classes with one image: {listed(single)}; each class needs one to train on and one to hold out "
            "for validation, so add images, leave the class out, or give validation images."
        )
    return problems


def class_agreement(split: str, names: Sequence[str], classes: Sequence[str], complete: bool) -> list[str]:
    """Check the classes of a split against those of all splits, or of the model to evaluate.

    Args:
        split: Name of the split.
        names: Classes of the split.
        classes: Classes of all splits, or of the model.
        complete: True if the split must have all of them.
    """
    problems = []
    unknown = [name for name in names if name not in set(classes)]
    if unknown:
        problems.append(
            f"unknown classes in {split}: {listed(unknown)}; the classes are {listed(classes)}."
            + (did_you_mean(unknown[0], classes) if len(unknown) == 1 else "")
        )
    absent = [name for name in classes if name not in set(names)]
    if complete and absent:
        problems.append(
            f"classes missing from {split}: {listed(absent)}; add them to {split}"
            f"{' (a class folder may be empty there)' if split == 'test' else ''} or remove them from train."
        )
    return problems


def held_out_counts(counts: Sequence[int], class_names: Sequence[str]) -> list[str]:
    """Check that every class has validation images.

    Args:
        counts: Number of validation images of each class.
        class_names: Name of each class.
    """
    missing = [name for name, count in zip(class_names, counts, strict=True) if count == 0]
    if not missing or not sum(counts):  # `empty_split` reports a split without images
        return []
    return [
        f"classes without a validation image: {listed(missing)}; validation images choose the model, so add some, or "
        "leave validation out: then training images of every class are held out."
    ]


def empty_split(split: str, images: int) -> list[str]:
    """Check that a split has images."""
    return [] if images else [f"there are no {split} images; add some or leave {split} out."]


def unknown_labels(labels: Iterable[str], class_names: Sequence[str]) -> list[str]:
    """Check that labels are class names."""
    unknown = sorted(set(labels) - set(class_names))
    return (
        [f"labels that are not class names: {listed(unknown)}; the classes are {listed(class_names)}."]
        if unknown
        else []
    )


def missing_labels(indices: Sequence[int], what: str = "labels") -> list[str]:
    """Report images without a label, or a group.

    Args:
        indices: Positions of these images.
        what: "labels" or "groups".
    """
    if not indices:
        return []
    return [f"{what} missing: {at(indices)}; give one for each image, or leave these images out."]


def written_missing(indices: Sequence[int], labels: Sequence[object]) -> list[str]:
    """Doubt labels that NumPy writes for missing ones, where it makes text of all.

    Args:
        indices: Positions of the images with such a label.
        labels: The labels of all images.
    """
    if not indices:
        return []
    shown = [f'"{labels[index]}"' for index in indices]
    return [
        f"labels that may be missing ones, of which NumPy made text: {at(indices, shown)}; they are classes here, so "
        "give a list or an array of objects, or leave these images out."
    ]


def several_labels(indices: Sequence[int], labels: Sequence[str]) -> list[str]:
    """Report images with several labels, or an empty list of them.

    Args:
        indices: Positions of these images.
        labels: Their labels, as they are shown.
    """
    return [f"images with several labels: {at(indices, labels)}; {_ONE_CLASS}."] if indices else []


def not_utf8(indices: Sequence[int]) -> list[str]:
    """Report labels of bytes that are no text."""
    if not indices:
        return []
    return [f"labels that are not UTF-8 text: {at(indices)}; decode them, or give integers."]


def label_ids(labels: np.ndarray) -> list[str]:
    """Check that integer labels number classes, and are no ids: a list of as many names would fill the memory.

    Args:
        labels: (n,), whole numbers of 0 or more.
    """
    largest = labels.max(initial=0)
    if largest < MOST_CLASSES:
        return []
    return [
        f"labels look like ids, with {largest:.16g} as the largest: integers number the classes from 0, up to "
        f"{MOST_CLASSES - 1}; give ids as text, such as y.astype(str)."
    ]


def whole_numbers(labels: np.ndarray) -> list[str]:
    """Check that numeric labels are integers; NaN stands for a missing one.

    Args:
        labels: (n,), any numeric dtype.
    """
    wrong = np.flatnonzero(np.isinf(labels) | (~np.isnan(labels) & (labels != np.floor(labels))))
    if not len(wrong):
        return []
    return [f"labels that are not integers: {at(wrong, labels[wrong])}; give integers, one-hot rows or names."]


def label_range(labels: np.ndarray, classes: int | None = None) -> list[str]:
    """Check that integer labels are from 0 to the number of classes - 1.

    Args:
        labels: int (n,).
        classes: Number of classes, or None for no upper limit.
    """
    top = np.inf if classes is None else classes - 1
    wrong = np.flatnonzero((labels < 0) | (labels > top))
    if not len(wrong):
        return []
    allowed = "of 0 or more" if classes is None else f"from 0 to {classes - 1}, as there are {classes} classes"
    return [f"labels out of range: {at(wrong, labels[wrong])}; give integers {allowed}."]


def one_hot(rows: np.ndarray) -> list[str]:
    """Check that each row of labels has a single 1 and otherwise 0.

    Args:
        rows: (n, classes), any numeric dtype.
    """
    between = ((rows != 0) & (rows != 1)).any(axis=1)
    wrong = np.flatnonzero((rows.sum(axis=1) != 1) | between)
    if not len(wrong):
        return []
    sums = [f"{total:g}" for total in rows[wrong].sum(axis=1)]
    if not between[wrong].any() and (rows[wrong].sum(axis=1) > 1).all():
        return [f"images with several labels: {at(wrong, sums, 'with sum')}; {_ONE_CLASS}."]
    return [
        f"label rows that are not one-hot: {at(wrong, sums, 'with sum')}; give rows with a single 1 and "
        "otherwise 0, or integer labels."
    ]


def one_hot_width(columns: int, classes: int) -> list[str]:
    """Check that one-hot rows have one column for each class."""
    if columns == classes:
        return []
    return [f"one-hot labels have {columns} columns, but there are {classes} classes; give one column for each class."]


class Shaped(Protocol):
    """An object with the shape and dtype of an array."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...


def array_shapes(images: np.ndarray | Sequence[Shaped], positions: Sequence[int] | None = None) -> list[str]:
    """Check that arrays are numeric and have the shape of images.

    Args:
        images: One array of all images, or one object for each image; only shapes and dtypes are read.
        positions: The position of each among all that are given; None where these are all.
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
        axis = " (move the channel axis last)" if images.ndim == 4 and images.shape[1] in CHANNELS else ""
        return [f"images have shape {images.shape}; give (n, height, width) or (n, height, width, 1, 3 or 4){axis}."]
    numbers = range(len(images)) if positions is None else positions
    shapes = {number: image.shape for number, image in zip(numbers, images, strict=True)}
    wrong = {number: shape for number, shape in shapes.items() if not is_image_shape(shape)}
    if not wrong:
        return []
    first = all(len(shape) == 3 and shape[0] in CHANNELS for shape in wrong.values())
    axis = " (move the channel axis last)" if first else ""
    return [
        f"arrays that are not images: {at(np.array(list(wrong)), wrong.values(), 'of shape')}; give "
        f"(height, width) or (height, width, 1, 3 or 4){axis}."
    ]


def outside(images: Sequence[str]) -> list[str]:
    """Check that no image is outside a class folder."""
    if not images:
        return []
    return [f"images outside a class folder: {listed(images)}; move each into the folder of its class."]


def duplicates(paths: Sequence[str]) -> list[str]:
    """Check that no image is listed twice: one copy could be trained on and the other evaluated."""
    twice = sorted(path for path, count in Counter(paths).items() if count > 1)
    return [f"paths listed more than once: {listed(twice)}; keep one row for each."] if twice else []


def columns(present: Iterable[str], needed: Iterable[str], what: str = "column") -> list[str]:
    """Check that a table has the needed columns, each once, or an example the needed features."""
    present, needed = [str(name) for name in present], list(needed)
    missing = [
        f'there is no {what} "{name}"; the {what}s are {listed(present)}.{did_you_mean(name, present)}'
        for name in needed
        if name not in present
    ]
    twice = [
        f'there are {present.count(name)} {what}s "{name}"; remove or rename all but one.'
        for name in needed
        if present.count(name) > 1
    ]
    return missing + twice


def table_cells(name: str, blank: Sequence[int], several: Mapping[int, str], bytes_: Sequence[int]) -> list[str]:
    """Report the rows of a table with a cell that cannot be used.

    Args:
        name: Name of the column.
        blank: Positions of rows with an empty cell.
        several: What is in cells that hold several values, by row.
        bytes_: Positions of rows whose cell holds bytes that are no text.
    """
    problems = []
    if blank:
        problems.append(f"rows without a {name}: {listed(map(_row, blank))}; fill in or remove them.")
    if several:
        held = listed(f"{_row(index)} with {value}" for index, value in several.items())
        remedy = f"; {_ONE_CLASS}" if name == "label" else "; write one"
        problems.append(f"rows with several values of {name}: {held}{remedy}.")
    if bytes_:
        problems.append(f"rows whose {name} is bytes and not UTF-8 text: {listed(map(_row, bytes_))}; decode them.")
    return problems


def group_level(group_by: object) -> list[str]:
    """Check that `group_by` is a folder level."""
    if isinstance(group_by, Integral) and not isinstance(group_by, bool) and int(group_by) >= 1:
        return []
    return [
        "group_by must be the level of a folder inside the class folders, counted from 1, as in ants/patient7/1.jpg; "
        f"received {_received(group_by)}."
    ]


def group_depth(shallow: Sequence[str], level: int) -> list[str]:
    """Report images that are not in a folder of the level that groups them.

    Args:
        shallow: Names of these images.
        level: Level of the folders that group images; the folders inside the class folders are level 1.
    """
    if not shallow:
        return []
    return [
        f"images that are not in a folder of level {level}: {listed(shallow)}; group_by counts the folders inside the "
        "class folders, so move each image into the folder of its group, or give a smaller level."
    ]


def group_name(group_by: object, what: str) -> list[str]:
    """Check that `group_by` is a name: of a column in a table, of a feature in TFDS and TFRecord files."""
    if isinstance(group_by, str | Integral):
        return []
    return [f"group_by must be the name of a {what}; received {_received(group_by)}."]


def group_labels(group_by: object, shape: tuple[int, ...], images: int) -> list[str]:
    """Check that `group_by` has a number or name for each image in memory.

    Args:
        group_by: The argument as given.
        shape: The shape of the argument as an array.
        images: Number of images.
    """
    if len(shape) != 1:
        return [
            "group_by must be an array with the group of each image, numbers or names (n,); "
            f"received {_received(group_by)}."
        ]
    if shape[0] != images:
        return [f"there are {images} images and {shape[0]} group labels; give one for each image."]
    return []


def whole_groups(groups: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> list[str]:
    """Check that each class with several images has images of two groups, so that one can be held out.

    Args:
        groups: str (n,), the group of each training image.
        labels: int (n,), the label of each training image.
        class_names: Name of each class.
    """
    by_class = [np.unique(groups[labels == label]) for label in range(len(class_names))]
    images = np.bincount(labels, minlength=len(class_names))
    single = [
        f"{name} ({names[0]})"
        for name, names, count in zip(class_names, by_class, images, strict=True)
        if len(names) == 1 and count > 1
    ]
    if not single:
        return []
    return [
        f"classes whose images are all in one group: {listed(single)}; a group is never split, so add images of "
        "another group, leave the class out, or give validation images."
    ]


def copies_of_one(labels: np.ndarray, originals: np.ndarray, class_names: Sequence[str]) -> list[str]:
    """Check that each class has two different images, so that one can be held out.

    Args:
        labels: int (n,), of the training images.
        originals: int (n,), the same for copies of an image.
        class_names: Name of each class.
    """
    _, first = np.unique(originals, return_index=True)
    counts = np.bincount(labels[first], minlength=len(class_names))
    single = [name for name, count in zip(class_names, counts.tolist(), strict=True) if count < 2]
    if not single:
        return []
    return [
        f"classes whose images are all copies of one, or of images of other classes: {listed(single)}; one must be "
        "held out for validation, so add other images, leave the class out, or give validation images."
    ]


def groups_apart(groups: Mapping[str, np.ndarray]) -> list[str]:
    """Check that no group is in two splits, where training on some of its images would inflate the score on others.

    Args:
        groups: str (n,) by split, the group of each image.
    """
    problems = []
    for (one, first), (other, second) in combinations(groups.items(), 2):
        shared = np.intersect1d(first, second)
        if len(shared):
            problems.append(f"groups in both {one} and {other}: {listed(shared)}; keep each group in one split.")
    return problems


def unlabeled_apart(unlabeled: Pictures, labelled: Mapping[str, Samples]) -> list[str]:
    """Check that no unlabelled image is also a labelled one, which a model could learn from and be evaluated on.

    Args:
        unlabeled: Images without labels.
        labelled: Labelled images by split.

    Raises:
        DataError: Images that cannot be read, all of them by name.
    """
    known = {
        digest: f"{split}: {name}"
        for split, samples in labelled.items()
        for digest, name in zip(samples.digests(), samples.names, strict=True)
    }
    pairs = zip(unlabeled.digests(), unlabeled.names, strict=True)
    shared = [f"{name} ({known[digest]})" for digest, name in pairs if digest in known]
    if not shared:
        return []
    return [
        f"{len(shared)} of {len(unlabeled)} unlabeled images are labelled images too: {listed(shared, most=3)}; a "
        "model must not learn from images it is evaluated on, so remove them from the unlabeled images."
    ]


def _received(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return str(value) if isinstance(value, Number) else f"a value of type {type(value).__name__}"


def headers(
    read_stored: Callable[[int], Stored], names: Sequence[str], threads: int = _HEADER_THREADS
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Read the header of every image.

    Args:
        read_stored: Returns how the image at an index is stored; raises DataError if it cannot be read.
        names: Name of each image.
        threads: Number of headers read in parallel.

    Returns:
        int64 (n, 2), height and width in pixels, 0 where unreadable; bool (n,), whether a channel has more than 8 bits;
        and the problems.
    """

    def attempt(index: int) -> Stored | str:
        try:
            return read_stored(index)
        except DataError as error:
            return str(error)

    with ThreadPoolExecutor(threads) as pool:
        results = list(counted(pool.map(attempt, range(len(names))), "image headers", len(names)))
    problems = {index: result for index, result in enumerate(results) if isinstance(result, str)}
    found = [Stored(0, 0, deep=False) if isinstance(result, str) else result for result in results]
    sizes = np.array([(each.height, each.width) for each in found], dtype=np.int64).reshape(-1, 2)
    return sizes, np.array([each.deep for each in found], dtype=bool), unreadable(problems, names)


def unreadable(problems: Mapping[int, str], names: Sequence[str]) -> list[str]:
    """Return the reasons for the first unreadable images, and the names of the rest.

    Args:
        problems: One sentence for each unreadable image, by index.
        names: Name of each image, readable or not.
    """
    indices = sorted(problems)
    reasons = [problems[index] for index in indices[:_MOST_REASONS]]
    rest = indices[_MOST_REASONS:]
    if rest:
        reasons.append(f"{len(rest)} more images cannot be read: {listed(names[index] for index in rest)}.")
    return reasons


def _row(index: int) -> str:
    return f"row {index + 1}"


def at(indices: np.ndarray | Sequence[int], values: Iterable[object] | None = None, word: str = "with") -> str:
    """Name images by their positions, with a value of each if given.

    Example:
        >>> at([0, 3], [0.5, 7])
        'image 0 with 0.5, image 3 with 7'
    """
    if values is None:
        return listed(f"image {index}" for index in indices)
    return listed(f"image {index} {word} {value}" for index, value in zip(indices, values, strict=True))
