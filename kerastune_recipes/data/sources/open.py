"""Opens data of any supported form as one checked Dataset with splits."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from os import PathLike
from typing import Any
from warnings import warn

import numpy as np

from kerastune_recipes.data import checks, copies, first_look
from kerastune_recipes.data.class_names import problems as name_problems
from kerastune_recipes.data.copies import Copies
from kerastune_recipes.data.dataset import Dataset, Pictures, Samples, concatenate
from kerastune_recipes.data.pixel_range import GivenRange, PixelRange
from kerastune_recipes.data.sources.arrays import read_arrays, read_unlabeled_arrays
from kerastune_recipes.data.sources.common_classes import Classes, with_classes, with_common_classes
from kerastune_recipes.data.sources.folder import read_folder, read_unlabeled_folder
from kerastune_recipes.data.sources.parts import TABLES, Part, ReadResult, is_a, split_of
from kerastune_recipes.data.sources.remote import read_at, resolve
from kerastune_recipes.data.sources.table import (
    read_csv,
    read_dataframe,
    read_unlabeled_csv,
    read_unlabeled_dataframe,
    read_unlabeled_paths,
)
from kerastune_recipes.data.sources.tfrecord import is_tfrecord, read_tfrecords
from kerastune_recipes.data.split_images import TEST, TRAIN, UNLABELED, VALIDATION, split_in_words
from kerastune_recipes.data.splits import (
    HeldOutShare,
    on_originals,
    share_problems,
    share_to_hold_out,
    stratified_holdout,
)
from kerastune_recipes.errors import DataError, DataWarning, did_you_mean, listed

_FORMS = (
    "a folder of class folders, a .csv file or DataFrame with columns path and label, (x, y) arrays, "
    'a tf.data.Dataset, .tfrecord files, "tfds:NAME", a TFDS builder, "demo:digits", or {"train": ..., '
    '"validation": ..., "test": ...}'
)

_SCALED = (
    "Pixel values were read in the stated range {range} and scaled to 0..255, which the model takes: scale images "
    "likewise before you give them to it."
)


def open_dataset(
    ds: Any,
    seed: int = 0,
    validation_split: HeldOutShare = "auto",
    group_by: Any = None,
    unlabeled: Any = None,
    pixel_range: GivenRange = None,
) -> Dataset:
    """Find the images, labels and splits of a data set, and check them as far as possible without decoding.

    Args:
        ds: One of:
            a folder of class folders, or of train/, validation/ and test/ (or other names for them, see
                `parts.split_of`) with class folders in each, and of unlabeled/ with images at any depth;
            a CSV file or pandas DataFrame with columns path, label and optionally split, see `table.read_csv`;
            a folder or CSV file in an object store ("gs://bucket/photos"), whose images are fetched once;
            (x, y) arrays: x (n, height, width) or (n, height, width, 1, 3 or 4) or a list of images of different
            sizes, uint8 or other numbers from 0 to 255; y integers (n,), one-hot rows (n, classes) or names (n,);
            a tf.data.Dataset of (image, label), batched or not;
            TFRecord files of tf.train.Example, "train-*.tfrecord", also compressed, and in an object store that
                TensorFlow reads;
            "tfds:NAME" or a TFDS builder; "demo:digits";
            {"train": ..., "validation": ..., "test": ...} of any of these, where only "train" is required, and
                "unlabeled" in any form that the argument takes.
        seed: Random seed of the hold-out, used where there are no validation images.
        validation_split: Share of each class held out then, between 0 and 1; "auto" holds out a fifth, and less of more
            than 50,000 images, see `splits.share_to_hold_out`.
        group_by: The groups of images (of one patient, camera or film) that must stay in one split:
            for a folder the level of the folders inside the class folders that group images: 1 for
                ants/patient7/1.jpg, where "patient7" is one group in all classes and splits;
            for a CSV file or DataFrame the name of a column, for TFDS and TFRecord files that of a feature;
            for arrays or a tf.data.Dataset an array of integers or names (n,), in their order;
            for a dictionary any of these, or a dictionary of them by split.
        unlabeled: Unlabelled images to learn from, one of:
            a folder of images at any depth, where folder names have no meaning;
            a CSV file or DataFrame with a column path, or a list of paths;
            an array or list of images as in (x, y);
            a tf.data.Dataset of images, batched or not, or of tuples that begin with one.
            None of them may be a labelled image; to check this, all images are read.
        pixel_range: The values of black and white in arrays, tensors and files, such as (0, 1) for images scaled to
            0..1 or (0, 4095) for 16-bit files of a 12-bit camera; None for 0 and 255, in 16-bit files 0 and 65535.

    Returns:
        The images of each split, with labels in one common order of classes.

    Raises:
        DataError: The data cannot be used; the error lists every problem.
        WorkError: A data set of TensorFlow Datasets cannot be downloaded.

    Example:
        >>> dataset = open_dataset("demo:digits")
        >>> dataset.class_names[:3], len(dataset.train)
        (('0', '1', '2'), 80)
    """
    if isinstance(ds, Dataset):
        return ds
    stated = PixelRange.of(pixel_range)
    if share_problems(validation_split):
        raise DataError(*share_problems(validation_split))
    result = _read(ds, group_by, stated)
    parts, problems, doubts = with_common_classes(result.parts)
    problems = [*result.problems, *checks.located(result.source, [*problems, *_check(parts)])]
    if TRAIN not in parts and not problems:
        problems = [f'{result.source}: there is no "train" among its splits ({listed(parts)}); add one to train on.']
    if VALIDATION in parts and validation_split != "auto":
        problems.append(
            f"{result.source}: there are validation images, so validation_split (--validation-split) holds out none; "
            "leave one of the two out."
        )
    others = _unlabeled_images(result, unlabeled, stated)
    problems += others.problems
    if others.unlabeled is not None and not problems:
        problems = checks.unlabeled_apart(others.unlabeled, {split: part.samples for split, part in parts.items()})
    if problems:
        raise DataError(*problems)
    dark = _first_look(result.source, parts, others, stated)
    parts = _with_group_numbers(parts)
    found = copies.find({split: parts[split].samples for split in (TRAIN, VALIDATION, TEST) if split in parts})
    parts = _with_originals(parts, found)
    doubts += found.notes()
    doubtful = (*result.warnings, *others.warnings, *dark, *checks.located(result.source, doubts))
    _show(doubtful)
    train = parts[TRAIN].samples
    held_out = VALIDATION not in parts
    if held_out:
        train, validation = _held_out(result.source, train, validation_split, seed)
    else:
        validation = parts[VALIDATION].samples
    return Dataset(
        source=result.source,
        train=train,
        validation=validation,
        test=parts[TEST].samples if TEST in parts else None,
        held_out=held_out,
        one_hot_labels=parts[TRAIN].one_hot,
        grouped_by=None if group_by is None else _grouping_in_words(group_by),
        unlabeled=others.unlabeled,
        pixel_range=None if stated is None else (stated.low, stated.high),
        seen_test=found.seen(TEST) if TEST in parts else np.empty(0, np.int64),
        notes=(*doubtful, *result.notes, *others.notes, *([] if stated is None else [_SCALED.format(range=stated)])),
    )


def open_for_evaluation(
    ds: Any, class_names: Sequence[str], group_by: Any = None, pixel_range: GivenRange = None
) -> Samples:
    """Find labelled images to evaluate a trained model on.

    Args:
        ds: Data in any form that `open_dataset` takes; neither a training split nor images of every class are required.
        class_names: Classes of the model, in its order.
        group_by: See `open_dataset`; it also tells at which depth of a folder the images are.
        pixel_range: See `open_dataset`.

    Returns:
        The test split if there is one, otherwise all images; labels are positions in `class_names`.

    Raises:
        DataError: The data cannot be used, or has classes that the model does not have; the error lists every problem.

    Example:
        >>> images = np.zeros((3, 8, 8), np.uint8)
        >>> open_for_evaluation((images, ["bees", "ants", "bees"]), class_names=("ants", "bees")).counts
        (1, 2)
    """
    stated = PixelRange.of(pixel_range)
    result = _read(ds, group_by, stated)
    splits = {TEST: result.parts[TEST]} if TEST in result.parts else result.parts
    problems = list(result.problems)
    warnings = list(result.warnings)
    parts = {}
    for split, part in splits.items():
        parts[split], class_problems, doubts = with_classes(split, part, Classes.of_model(class_names))
        problems += checks.located(result.source, class_problems)
        warnings += checks.located(result.source, doubts)
    if not problems and not any(len(part.samples) for part in parts.values()):
        problems.append(f"{result.source}: there are no images to evaluate on.")
    if problems:
        raise DataError(*problems)
    samples = concatenate([part.samples for part in _with_group_numbers(parts).values()])
    dark, doubtful = first_look.darkness(samples, stated)
    if dark:
        raise DataError(*checks.located(result.source, dark))
    # No report lists the notes.
    _show((*warnings, *checks.located(result.source, doubtful), *result.notes))
    return samples


def _first_look(
    source: str, parts: Mapping[str, Part], others: ReadResult, pixel_range: PixelRange | None
) -> list[str]:
    """Look at some images of each split; return what is doubtful.

    Raises:
        DataError: All images of a split are black in the stated range, or all training images are the same.
    """
    pictures: dict[str, Pictures] = {split: part.samples for split, part in parts.items()}
    if others.unlabeled is not None:
        pictures[UNLABELED] = others.unlabeled
    problems, warnings = [], []
    for split, images in pictures.items():
        where = source if len(pictures) == 1 else f"{source}: {split_in_words(split)}"
        dark, doubtful = first_look.darkness(images, pixel_range)
        problems += checks.located(where, dark)
        warnings += checks.located(where, doubtful)
    problems += checks.located(source, first_look.alike(pictures[TRAIN]))
    if problems:
        raise DataError(*problems)
    return warnings


def _with_originals(parts: Mapping[str, Part], found: Copies) -> dict[str, Part]:
    originals = found.originals()
    return {
        split: replace(part, samples=replace(part.samples, originals=originals[split])) if split in originals else part
        for split, part in parts.items()
    }


def _held_out(source: str, train: Samples, share: HeldOutShare, seed: int) -> tuple[Samples, Samples]:
    """Divide the training images into those to train on and those to hold out; copies and groups stay together."""
    together = train.together
    units = len(train) if together is None else len(np.unique(together))
    fraction = share_to_hold_out(units, len(train.class_names)) if share == "auto" else share

    def held(labels: np.ndarray) -> np.ndarray:
        mask = np.zeros(len(labels), bool)
        mask[stratified_holdout(labels, fraction, seed)[1]] = True
        return mask

    if train.groups is not None or together is None:
        kept, others = stratified_holdout(train.labels, fraction, seed, together)
        return train.select(kept), train.select(others)
    problems = checks.copies_of_one(train.labels, together, train.class_names)
    if problems:
        raise DataError(*checks.located(source, problems))
    mask = on_originals(held, train.labels, together)
    return train.select(np.flatnonzero(~mask)), train.select(np.flatnonzero(mask))


def _show(warnings: Iterable[str]) -> None:
    for warning in warnings:
        warn(warning, DataWarning, stacklevel=3)


def _read(ds: Any, group_by: Any, pixel_range: PixelRange | None) -> ReadResult:
    """Pick the reader for the form of the data; no heavy library is imported just to look at its type."""
    if isinstance(ds, str) and ds.startswith("demo:"):
        return _demo(ds, group_by)
    if isinstance(ds, Mapping):
        return _read_splits(ds, group_by, pixel_range)
    if is_a(ds, "tensorflow", "data.Dataset"):
        from kerastune_recipes.data.sources.tf_data import read_tf_data

        return read_tf_data(ds, group_by, pixel_range)
    if isinstance(ds, tuple | list) and len(ds) in (2, 3) and all(map(_is_images_and_labels, ds)):
        remedy = 'say which is which: {"train": data[0], "test": data[1]}, or {"train": data[0], "validation": data[1]}'
        problem = f"these are {len(ds)} pairs of images and labels, as keras.datasets gives them; {remedy}."
        return ReadResult("pairs", problems=(problem,))
    if isinstance(ds, tuple | list) and len(ds) == 2:
        if any(map(_is_source, ds)):
            problem = 'a pair means images and labels, (x, y); for two splits write {"train": ..., "validation": ...}.'
            return ReadResult("pair", problems=(problem,))
        x, y = ds
        return read_arrays(x, y, group_by=group_by, pixel_range=pixel_range)
    return _in_range(_read_files(ds, group_by), pixel_range)


def _read_files(ds: Any, group_by: Any) -> ReadResult:
    """Pick the reader for images in files, or encoded as in files."""
    if isinstance(ds, str) and ds.startswith("tfds:"):
        from kerastune_recipes.data.sources.tfds import read_tfds

        return read_tfds(ds.removeprefix("tfds:"), group_by)
    if isinstance(ds, str | PathLike):
        if is_tfrecord(ds) and not _is_folder(ds):
            return read_tfrecords(ds, group_by)
        reader = read_csv if _is_table(ds) else read_folder
        return read_at(resolve(ds), lambda path: reader(path, group_by))
    if is_a(ds, "pandas", "DataFrame"):
        return read_dataframe(ds, group_by)
    if is_a(ds, "tensorflow_datasets", "core.DatasetBuilder"):
        from kerastune_recipes.data.sources.tfds import read_builder

        return read_builder(ds, group_by=group_by)
    raise DataError(f"a data set cannot be a {type(ds).__name__}; give {_FORMS}.")


def _read_unlabeled(images: Any, pixel_range: PixelRange | None) -> ReadResult:
    """Pick the reader for the form of images without labels."""
    if isinstance(images, str | PathLike):
        reader = read_unlabeled_csv if _is_table(images) else read_unlabeled_folder
        return _in_range(read_at(resolve(images), reader), pixel_range)
    if is_a(images, "pandas", "DataFrame"):
        return _in_range(read_unlabeled_dataframe(images), pixel_range)
    if is_a(images, "tensorflow", "data.Dataset"):
        from kerastune_recipes.data.sources.tf_data import read_unlabeled_tf_data

        return read_unlabeled_tf_data(images, pixel_range)
    if isinstance(images, tuple | list) and all(isinstance(path, str | PathLike) for path in images):
        return _in_range(read_unlabeled_paths(images), pixel_range)
    return read_unlabeled_arrays(images, pixel_range=pixel_range)


def _in_range(result: ReadResult, pixel_range: PixelRange | None) -> ReadResult:
    """Return the images of files with stored values taken for those of a range."""
    if pixel_range is None:
        return result
    parts = {split: replace(part, samples=part.samples.in_range(pixel_range)) for split, part in result.parts.items()}
    unlabeled = None if result.unlabeled is None else result.unlabeled.in_range(pixel_range)
    return replace(result, parts=parts, unlabeled=unlabeled)


def _is_table(path: str | PathLike[str]) -> bool:
    return str(path).lower().endswith(TABLES) and not _is_folder(path)


def _is_folder(path: str | PathLike[str]) -> bool:
    """Return whether a path is a folder on this machine, whatever its name ends in."""
    return "://" not in str(path) and os.path.isdir(os.path.expanduser(path))


def _is_source(part: Any) -> bool:
    """Return whether a value is a whole data set, not images or labels in memory."""
    whole = isinstance(part, str | PathLike | Mapping) or is_a(part, "tensorflow", "data.Dataset")
    return whole or (is_a(part, "pandas", "DataFrame") and {"path", "label"} <= set(part.columns))


def _is_images_and_labels(part: Any) -> bool:
    """Return whether a value is a pair of arrays of the same length, the first of images."""
    if not (isinstance(part, tuple | list) and len(part) == 2):
        return False
    images, labels = part
    shape: tuple[int, ...] = getattr(images, "shape", ())
    return len(shape) >= 3 and hasattr(labels, "__len__") and len(labels) == shape[0]


def _unlabeled_images(labelled: ReadResult, unlabeled: Any, pixel_range: PixelRange | None) -> ReadResult:
    """Return the images without labels, given separately or with the labelled ones, and what there is to say of them.

    What there is to say of images that come with the labelled ones is said there.
    """
    if unlabeled is None:
        result = replace(labelled, parts={}, problems=(), warnings=(), notes=())
    else:
        result = _read_unlabeled(unlabeled, pixel_range)
    problems = [f"unlabeled: {problem}" for problem in result.problems]
    if unlabeled is not None and labelled.unlabeled is not None:
        problems.append(f"{labelled.source}: unlabeled images are given here and separately too; keep one of the two.")
    if result.unlabeled is not None and not problems:
        problems = checks.located(result.source, checks.empty_split(UNLABELED, len(result.unlabeled)))
    return replace(
        result,
        problems=tuple(problems),
        warnings=tuple(checks.located(UNLABELED, result.warnings)),
        notes=tuple(checks.located(UNLABELED, result.notes)),
    )


def _demo(name: str, group_by: Any) -> ReadResult:
    from kerastune_recipes.demo import digits

    if name != "demo:digits":
        return ReadResult(name, problems=(f"{name}: there is no such data set; the only one is demo:digits.",))
    if group_by is not None:
        return ReadResult(name, problems=(f"{name}: these digits have no groups; remove group_by.",))
    parts = {split: read_arrays(x, y, digits.CLASS_NAMES).parts[TRAIN] for split, (x, y) in digits.digits().items()}
    return ReadResult(name, parts)


def _read_splits(ds: Mapping[Any, Any], group_by: Any, pixel_range: PixelRange | None) -> ReadResult:
    """Read each value separately; its images become the split of its key."""
    parts: dict[str, Part] = {}
    unlabeled: Pictures | None = None
    problems = []
    warnings: list[str] = []
    notes: list[str] = []
    sources = []
    for key, value in ds.items():
        split = split_of(key)
        if split == UNLABELED:
            if unlabeled is not None:
                problems.append(f"{key}: the unlabeled images are given twice; keep one.")
            result = _read_unlabeled(value, pixel_range)
            unlabeled = result.unlabeled
            problems += checks.located(UNLABELED, result.problems)
            warnings += checks.located(UNLABELED, result.warnings)
            notes += checks.located(UNLABELED, result.notes)
            sources.append(f"{UNLABELED}: {result.source}")
            continue
        if split is None:
            hint = did_you_mean(key, (TRAIN, VALIDATION, TEST, UNLABELED))
            problems.append(f"{key}: there is no such split; write train, validation, test and unlabeled.{hint}")
            continue
        if split in parts:
            problems.append(f"{key}: the {split_in_words(split)} are given twice; keep one.")
            continue
        if isinstance(group_by, Mapping) and key not in group_by:
            problems.append(f'{key}: group_by has no "{key}"; give the groups of each split.')
            continue
        result = _read(value, group_by[key] if isinstance(group_by, Mapping) else group_by, pixel_range)
        sources.append(f"{split}: {result.source}")
        problems += checks.located(split, result.problems)
        warnings += checks.located(split, result.warnings)
        notes += checks.located(split, result.notes)
        splits = [*result.parts, *([] if result.unlabeled is None else [UNLABELED])]
        if set(splits) - {TRAIN}:
            problems.append(
                f"{split}: {result.source}: this has splits of its own ({listed(splits)}); give one of them."
            )
        elif TRAIN in result.parts:
            parts[split] = result.parts[TRAIN]
    source = "{" + ", ".join(sources) + "}"
    return ReadResult(source, parts, tuple(problems), unlabeled, tuple(warnings), tuple(notes))


def _with_group_numbers(parts: Mapping[str, Part]) -> dict[str, Part]:
    """Number the groups of all splits together."""
    names = [part.groups for part in parts.values() if part.groups is not None]
    if not names:
        return dict(parts)
    numbers = np.unique(np.concatenate(names), return_inverse=True)[1].astype(np.int64)
    by_split = np.split(numbers, np.cumsum([len(each) for each in names])[:-1])
    return {
        split: replace(part, samples=replace(part.samples, groups=groups))
        for (split, part), groups in zip(parts.items(), by_split, strict=True)
    }


def _grouping_in_words(group_by: Any) -> str:
    """Return `Dataset.grouped_by`, which is also written to report.json."""
    if isinstance(group_by, Mapping):
        return ", ".join(dict.fromkeys(map(_grouping_in_words, group_by.values())))
    if isinstance(group_by, Integral):
        return f"folder level {group_by}"
    return group_by if isinstance(group_by, str) else "labels given"


def _check(parts: Mapping[str, Part]) -> list[str]:
    """Check the numbers of images and the groups of all splits."""
    if TRAIN not in parts:
        return []
    train, groups = parts[TRAIN].samples, parts[TRAIN].groups
    hold_out = VALIDATION not in parts
    problems = name_problems(train.class_names)
    problems += checks.class_counts(train.counts, train.class_names, hold_out)
    if hold_out and groups is not None:
        problems += checks.whole_groups(groups, train.labels, train.class_names)
    problems += checks.groups_apart({split: part.groups for split, part in parts.items() if part.groups is not None})
    for split, part in parts.items():
        if split != TRAIN:
            problems += checks.empty_split(split, len(part.samples))
    if VALIDATION in parts:
        held = parts[VALIDATION].samples
        problems += checks.held_out_counts(held.counts, held.class_names)
    return problems
