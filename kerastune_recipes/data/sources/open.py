"""From any form of data set to one checked, divided Dataset."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from operator import attrgetter
from os import PathLike
from typing import Any

import numpy as np

from kerastune_recipes.data import checks
from kerastune_recipes.data.dataset import Dataset, Pictures, Samples, concatenate
from kerastune_recipes.data.sources.arrays import read_arrays, read_unlabeled_arrays
from kerastune_recipes.data.sources.folder import read_folder, read_unlabeled_folder
from kerastune_recipes.data.sources.parts import (
    SPLIT_NAMES,
    TEST,
    TRAIN,
    UNLABELED_NAMES,
    VALIDATION,
    Found,
    Naming,
    Part,
)
from kerastune_recipes.data.sources.remote import answered, place
from kerastune_recipes.data.sources.table import (
    read_csv,
    read_dataframe,
    read_unlabeled_csv,
    read_unlabeled_dataframe,
    read_unlabeled_paths,
)
from kerastune_recipes.data.sources.tfrecord import is_tfrecord, read_tfrecords
from kerastune_recipes.data.splits import stratified_holdout
from kerastune_recipes.errors import DataError, did_you_mean, listed

_FORMS = (
    "a folder of class folders, a .csv file or DataFrame with columns path and label, (x, y) arrays, "
    'a tf.data.Dataset, .tfrecord files, "tfds:NAME", a TFDS builder, "demo:digits", or {"train": ..., '
    '"validation": ..., "test": ...}'
)


def open_dataset(
    ds: Any, seed: int = 0, validation_fraction: float = 0.2, group_by: Any = None, unlabeled: Any = None
) -> Dataset:
    """Find the images, labels and splits of a data set and check all that can be checked without decoding.

    Args:
        ds: One of:
            a folder of class folders, or of train/, validation/ (val/, valid/) and test/ with class folders in each,
                and of unlabeled/ with images at any depth;
            a CSV file or pandas DataFrame with columns path, label and, if you like, split;
            either of them in an object store ("gs://bucket/photos"), whose images are fetched once;
            (x, y) arrays: x (n, height, width) or (n, height, width, 1, 3 or 4) or a list of images of different
            sizes, uint8 or other numbers from 0 to 255; y integers (n,), one-hot rows (n, classes) or names (n,);
            a tf.data.Dataset of (image, label), batched or not;
            TFRecord files of tf.train.Example, "train-*.tfrecord", also in an object store that TensorFlow knows;
            "tfds:NAME" or a TFDS builder; "demo:digits";
            {"train": ..., "validation": ..., "test": ...} of any of these, of which only "train" must be there, and
                "unlabeled" in any form that the argument takes.
        seed: Decides which training images are held out where there are no validation images.
        validation_fraction: Share of each class held out then, between 0 and 1.
        group_by: What tells which images belong together (of one patient, camera or film), so that they are never
            divided; for
            a folder the level of the folders inside the class folders that hold them: 1 for ants/patient7/1.jpg, where
                "patient7" is one group in whatever classes and splits it occurs;
            a CSV file or DataFrame the name of a column, TFDS and TFRecord files that of a feature;
            arrays or a tf.data.Dataset, in its order, an array of numbers or names (n,);
            a dictionary any of these, or a dictionary of them by split.
        unlabeled: Images to learn from without labels, one of:
            a folder of images at any depth, where names of folders mean nothing, not even those of classes;
            a CSV file or DataFrame with a column path, or a list of paths;
            an array or list of images as in (x, y);
            a tf.data.Dataset of images, batched or not, or of tuples that begin with one.
            None of them may be among the labelled images; for that all of both are read.

    Returns:
        The images of each split with labels in one common order of classes.

    Raises:
        DataError: With every problem found.
        WorkError: A data set of TensorFlow Datasets could not be downloaded.

    Example:
        >>> dataset = open_dataset("photos/")
        >>> dataset.class_names
        ('ants', 'bees')
    """
    if isinstance(ds, Dataset):
        return ds
    found = _find(ds, group_by)
    parts, problems = _agree(found.parts)
    problems = [*found.problems, *checks.placed(found.source, [*problems, *_check(parts)])]
    if TRAIN not in parts and not problems:
        problems = [f'{found.source}: there is no "train" among its splits ({listed(parts)}); add one to learn from.']
    pool, more = _pool(found, unlabeled)
    problems += more
    if pool is not None and not problems:
        problems = checks.unlabeled_apart(pool, {split: part.samples for split, part in parts.items()})
    if problems:
        raise DataError(*problems)
    parts = _numbered(parts)
    train, validation = parts[TRAIN].samples, parts.get(VALIDATION)
    if validation is None:
        kept, held = stratified_holdout(train.labels, validation_fraction, seed, train.groups)
        train, chosen = train.select(kept), train.select(held)
    else:
        chosen = validation.samples
    return Dataset(
        source=found.source,
        train=train,
        validation=chosen,
        test=parts[TEST].samples if TEST in parts else None,
        held_out=validation is None,
        one_hot_labels=parts[TRAIN].one_hot,
        grouped_by=None if group_by is None else _in_words(group_by),
        unlabeled=pool,
    )


def open_for_evaluation(ds: Any, class_names: Sequence[str], group_by: Any = None) -> Samples:
    """Find labelled images to measure a trained model on.

    Args:
        ds: In any form `open_dataset` takes; it need neither have a training split nor images of every class.
        class_names: The classes of the model, in its order.
        group_by: As for `open_dataset`: where the images of a folder lie.

    Returns:
        The test split where there is one, otherwise all images; labels are positions in `class_names`.

    Raises:
        DataError: With every problem found, classes the model does not know among them.

    Example:
        >>> samples = open_for_evaluation("new_photos/", class_names=("ants", "bees"))
    """
    found = _find(ds, group_by)
    wanted = {TEST: found.parts[TEST]} if TEST in found.parts else found.parts
    problems = list(found.problems)
    agreed = []
    for split, part in wanted.items():
        part, more = _brought_to(split, part, tuple(class_names), "declared", complete=False)
        agreed.append(part.samples)
        problems += checks.placed(found.source, more)
    if not problems and not any(len(samples) for samples in agreed):
        problems.append(f"{found.source}: there are no images to evaluate on.")
    if problems:
        raise DataError(*problems)
    return concatenate(agreed)


def _find(ds: Any, group_by: Any) -> Found:
    """Tell the forms apart; the heavy libraries are asked only when they are loaded already."""
    if isinstance(ds, str) and ds.startswith("tfds:"):
        from kerastune_recipes.data.sources.tfds import read_tfds

        return read_tfds(ds.removeprefix("tfds:"), group_by)
    if isinstance(ds, str) and ds.startswith("demo:"):
        return _demo(ds, group_by)
    if isinstance(ds, str | PathLike) and is_tfrecord(ds):
        return read_tfrecords(ds, group_by)
    if isinstance(ds, str | PathLike):
        read = read_csv if _is_table(ds) else read_folder
        return answered(place(ds), lambda path: read(path, group_by))
    if isinstance(ds, Mapping):
        return _splits(ds, group_by)
    if _is_a(ds, "pandas", "DataFrame"):
        return read_dataframe(ds, group_by)
    if _is_a(ds, "tensorflow", "data.Dataset"):
        from kerastune_recipes.data.sources.tf_data import read_tf_data

        return read_tf_data(ds, group_by)
    if _is_a(ds, "tensorflow_datasets", "core.DatasetBuilder"):
        from kerastune_recipes.data.sources.tfds import read_builder

        return read_builder(ds, group_by=group_by)
    if isinstance(ds, tuple | list) and len(ds) == 2:
        if any(_is_a(part, "tensorflow", "data.Dataset") or isinstance(part, str | Mapping) for part in ds):
            problem = 'a pair means images and labels, (x, y); for two splits write {"train": ..., "validation": ...}.'
            return Found("pair", problems=(problem,))
        x, y = ds
        return read_arrays(x, y, group_by=group_by)
    raise DataError(f"a data set cannot be a {type(ds).__name__}; give {_FORMS}.")


def _find_unlabeled(images: Any) -> Found:
    """Tell the forms of images without labels apart."""
    if isinstance(images, str | PathLike):
        return answered(place(images), read_unlabeled_csv if _is_table(images) else read_unlabeled_folder)
    if _is_a(images, "pandas", "DataFrame"):
        return read_unlabeled_dataframe(images)
    if _is_a(images, "tensorflow", "data.Dataset"):
        from kerastune_recipes.data.sources.tf_data import read_unlabeled_tf_data

        return read_unlabeled_tf_data(images)
    if isinstance(images, tuple | list) and all(isinstance(path, str | PathLike) for path in images):
        return read_unlabeled_paths(images)
    return read_unlabeled_arrays(images)


def _is_table(path: str | PathLike[str]) -> bool:
    return str(path).lower().endswith(".csv")


def _pool(found: Found, unlabeled: Any) -> tuple[Pictures | None, list[str]]:
    """Return the images without labels, be they given on their own or with the others, and what is wrong with them."""
    given = replace(found, problems=()) if unlabeled is None else _find_unlabeled(unlabeled)
    problems = [f"unlabeled: {problem}" for problem in given.problems]
    if unlabeled is not None and found.unlabeled is not None:
        problems.append(f"{found.source}: there are unlabeled images here, and others are given besides; keep one.")
    if given.unlabeled is not None and not problems:
        problems = checks.placed(given.source, checks.empty_split("unlabeled", len(given.unlabeled)))
    return given.unlabeled, problems


def _is_a(ds: Any, module: str, name: str) -> bool:
    """Say what isinstance would, without importing: whoever holds such an object has imported its module."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(ds, attrgetter(name)(loaded))


def _demo(name: str, group_by: Any) -> Found:
    from kerastune_recipes.demo import digits

    if name != "demo:digits":
        return Found(name, problems=(f"{name}: there is no such data set; there is demo:digits.",))
    if group_by is not None:
        return Found(name, problems=(f"{name}: it is not known which of these digits are of one hand; drop group_by.",))
    parts = {split: read_arrays(x, y, digits.CLASS_NAMES).parts[TRAIN] for split, (x, y) in digits.digits().items()}
    return Found(name, parts)


def _splits(ds: Mapping[Any, Any], group_by: Any) -> Found:
    """Read each value on its own and keep its images for the split of its key."""
    parts: dict[str, Part] = {}
    unlabeled: Pictures | None = None
    problems = []
    sources = []
    for key, value in ds.items():
        if key in UNLABELED_NAMES:
            if unlabeled is not None:
                problems.append(f"{key}: the unlabeled images are given twice; keep one.")
            pool = _find_unlabeled(value)
            unlabeled = pool.unlabeled
            problems += checks.placed("unlabeled", pool.problems)
            sources.append(f"unlabeled: {pool.source}")
            continue
        split = SPLIT_NAMES.get(str(key))
        if split is None:
            hint = did_you_mean(key, (*SPLIT_NAMES, *UNLABELED_NAMES))
            problems.append(f"{key}: there is no such split; write train, validation, test and unlabeled.{hint}")
            continue
        if split in parts:
            problems.append(f"{key}: the {split} images are given twice; keep one.")
            continue
        if isinstance(group_by, Mapping) and key not in group_by:
            problems.append(f'{key}: group_by has no "{key}"; give what groups the images of each split.')
            continue
        found = _find(value, group_by[key] if isinstance(group_by, Mapping) else group_by)
        sources.append(f"{split}: {found.source}")
        problems += checks.placed(split, found.problems)
        inside = [*found.parts, *([] if found.unlabeled is None else ["unlabeled"])]
        if set(inside) - {TRAIN}:
            problems.append(
                f"{split}: {found.source}: this is itself divided into {listed(inside)}; give one part of it."
            )
        elif TRAIN in found.parts:
            parts[split] = found.parts[TRAIN]
    return Found("{" + ", ".join(sources) + "}", parts, tuple(problems), unlabeled)


def _agree(parts: Mapping[str, Part]) -> tuple[dict[str, Part], list[str]]:
    """Bring all splits to the classes of the training split, in its order.

    Where the training split only numbers its classes, the names come from a split that declares them: a
    tf.data.Dataset loses its `class_names` with the first map() or prefetch(), so often one split has them alone.
    """
    if TRAIN not in parts:
        return dict(parts), []
    declared = [part for part in (parts[TRAIN], *parts.values()) if part.naming == "declared"]
    model = declared[0] if declared and parts[TRAIN].naming == "numbered" else parts[TRAIN]
    agreed = {}
    problems = []
    for split, part in parts.items():
        complete = part.naming == "declared" and split != TRAIN
        agreed[split], more = _brought_to(split, part, model.samples.class_names, model.naming, complete)
        problems += more
    return agreed, problems


def _brought_to(
    split: str, part: Part, class_names: tuple[str, ...], naming: Naming, complete: bool
) -> tuple[Part, list[str]]:
    """Express the labels of one split as positions in given class names, which come about as `naming` says.

    Where `complete`, the split must have all these classes; else it may have some of them.
    """
    own = part.samples.class_names
    if part.naming == "numbered" and naming != "collected":
        problems = checks.label_range(part.samples.labels, len(class_names))
        if part.one_hot:
            problems += checks.one_hot_width(len(own), len(class_names))
        if problems:
            return part, checks.placed(split, problems)
        return replace(part, samples=replace(part.samples, class_names=class_names)), []
    problems = checks.class_agreement(split, own, class_names, complete)
    return (part if problems else replace(part, samples=_reordered(part.samples, class_names))), problems


def _reordered(samples: Samples, class_names: tuple[str, ...]) -> Samples:
    if samples.class_names == class_names:
        return samples
    position = {name: index for index, name in enumerate(class_names)}
    order = np.array([position[name] for name in samples.class_names], dtype=np.int64)
    return replace(samples, labels=order[samples.labels], class_names=class_names)


def _numbered(parts: Mapping[str, Part]) -> dict[str, Part]:
    """Number the groups of all splits in common."""
    names = [part.groups for part in parts.values() if part.groups is not None]
    if not names:
        return dict(parts)
    numbers = np.unique(np.concatenate(names), return_inverse=True)[1].astype(np.int64)
    shares = np.split(numbers, np.cumsum([len(each) for each in names])[:-1])
    return {
        split: replace(part, samples=replace(part.samples, groups=share))
        for (split, part), share in zip(parts.items(), shares, strict=True)
    }


def _in_words(group_by: Any) -> str:
    if isinstance(group_by, Mapping):
        return ", ".join(dict.fromkeys(map(_in_words, group_by.values())))
    if isinstance(group_by, Integral):
        return f"folder level {group_by}"
    return group_by if isinstance(group_by, str) else "labels given"


def _check(parts: Mapping[str, Part]) -> list[str]:
    """Check the counts and the groups, where the splits are there to be counted."""
    if TRAIN not in parts:
        return []
    train, groups = parts[TRAIN].samples, parts[TRAIN].groups
    hold_out = VALIDATION not in parts
    problems = checks.class_counts(train.counts, train.class_names, hold_out)
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
