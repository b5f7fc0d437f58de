"""TFRecord files of tf.train.Example, each an encoded image with its label."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from os import PathLike
from typing import Any

import numpy as np

from kerastune_recipes.arrays.files import ArrayList
from kerastune_recipes.data import checks, images
from kerastune_recipes.data.sources.encoded import read_encoded
from kerastune_recipes.data.sources.labels import read_groups, read_labels
from kerastune_recipes.data.sources.parts import TRAIN, Found, Part
from kerastune_recipes.errors import DataError, listed

# Names such as train.tfrecord, flowers-3.tfrec, and the shards of TFDS, train.tfrecord-00000-of-00005.
_ENDING = re.compile(r"\.tfrec(ord|ords)?(-\d+-of-\d+|-?\*[^/]*)?$", re.IGNORECASE)
# What others call the features, those that say more first: TF-Slim, TFDS, and the examples of keras.io and Kaggle.
_IMAGES = ("image/encoded", "image", "image_raw", "encoded", "jpeg", "png")
_LABELS = ("image/class/text", "class_name", "label", "image/class/label", "class", "target")
_TITLES = ("image/filename", "filename", "file_name", "image_name", "image/id", "image_id", "id")

# What a feature may hold, in words.
_KINDS = {bytes: "bytes", int: "a whole number", float: "a number"}

# A feature's values: bytes, or numbers.
Example = Mapping[str, Sequence[Any]]


def is_tfrecord(path: str | PathLike[str]) -> bool:
    """Return whether a text names TFRecord files, one or, with * in it, several.

    Example:
        >>> is_tfrecord("gs://bucket/flowers/train-*.tfrec")
        True
    """
    return _ENDING.search(str(path)) is not None


def read_tfrecords(pattern: str | PathLike[str], group_by: Any = None) -> Found:
    """Read TFRecord files once, keeping the images as the encoded files they are.

    Args:
        pattern: A file, or several by `*`, `?` and `[..]`, on this machine or in an object store that TensorFlow knows.
            Each record is a tf.train.Example with one encoded image and one label, a number or a name, under the names
            of `_IMAGES` and `_LABELS`; the first of these that is there counts.
        group_by: Name of the feature by which images belong together, or None.

    Returns:
        Everything under "train", and every problem.

    Raises:
        DataError: A file cannot be read to its end.
        RequestError: `KERASTUNE_MEMORY` does not hold a size.
        WorkError: The disk has no room for the temporary file.
    """
    source = str(pattern)
    try:
        import tensorflow as tf
    except ImportError:
        return Found(source, problems=(f"{source}: TensorFlow reads TFRecord files; install tensorflow.",))
    try:
        files = sorted(tf.io.gfile.glob(source))
    except tf.errors.OpError as error:
        return Found(source, problems=(f"{source}: it cannot be read: {checks.quoted(error)}.",))
    if not files:
        return Found(source, problems=(f"{source}: there is no such file; give one that is there.",))
    examples = _examples(files)
    first = next(examples, None)
    if first is None:
        return Found(source, problems=(f"{source}: there are no records in it.",))
    keys, problems = _keys(first[1])
    if group_by is not None:
        problems += checks.group_name(group_by, "feature") or checks.columns(first[1], [str(group_by)], "feature")
    if problems:
        return Found(source, problems=tuple(checks.placed(source, problems)))
    part, problems = _read(chain([first], examples), keys, None if group_by is None else str(group_by))
    return Found(source, {} if part is None else {TRAIN: part}, tuple(problems))


def _examples(files: Sequence[str]) -> Iterator[tuple[str, Example]]:
    """Give the records of all files in order, each with what to call it."""
    import tensorflow as tf

    for file in files:
        number = 0
        try:
            for record in tf.data.TFRecordDataset(file).as_numpy_iterator():
                example = tf.train.Example.FromString(record)
                yield f"{file} record {number}", {key: _values(each) for key, each in example.features.feature.items()}
                number += 1
        except Exception as error:  # what is no TFRecord, is torn, or holds other than tf.train.Example
            raise DataError(
                f"{file}: this is no TFRecord file of tf.train.Example, or a torn one: after {number} records it said "
                f"{checks.quoted(error)}; write it again, or map it to (image, label) as a tf.data.Dataset."
            ) from error


def _values(feature: Any) -> Sequence[Any]:
    kind = feature.WhichOneof("kind")
    return () if kind is None else getattr(feature, kind).value


def _keys(example: Example) -> tuple[tuple[str, str], list[str]]:
    """Find which feature is the image and which the label."""
    single = [key for key, values in example.items() if len(values) == 1]
    picture = next((key for key in _IMAGES if key in single and _is_image(example[key][0])), None)
    label = next((key for key in _LABELS if key in single and key != picture), None)
    there = listed(example) or "none"
    problems = []
    if picture is None:
        problems.append(
            f"none of the features {listed(_IMAGES)} holds an encoded image; there are {there}; write image/encoded, "
            "or map the records to (image, label) as a tf.data.Dataset."
        )
    if label is None:
        problems.append(
            f"none of the features {listed(_LABELS)} holds a label; there are {there}; write label, or map the records "
            "to (image, label) as a tf.data.Dataset."
        )
    return (picture or "", label or ""), problems


def _is_image(value: Any) -> bool:
    try:
        images.header_size(value, "")
    except (DataError, TypeError):
        return False
    return True


def _read(
    examples: Iterable[tuple[str, Example]], keys: tuple[str, str], group: str | None
) -> tuple[Part | None, list[str]]:
    """Keep the images of all records, whose values are of the kinds that those of the first are."""
    picture, label = keys
    wanted = [picture, label, *([] if group is None else [group])]
    kinds: dict[str, type] = {}
    files = ArrayList()
    names: list[str] = []
    labels: list[Any] = []
    owners: list[Any] = []
    problems: list[str] = []
    for name, example in examples:
        lacking = [key for key in wanted if len(example.get(key, ())) != 1]
        if lacking:
            problems.append(f"{name}: it has not one value of {listed(lacking)}, as the first record has.")
            continue
        kinds = kinds or {key: type(example[key][0]) for key in wanted}
        other = [key for key in wanted if type(example[key][0]) is not kinds[key]]
        if other:
            told = (
                f"{key} is {_KINDS[type(example[key][0])]}, where the first record has {_KINDS[kinds[key]]}"
                for key in other
            )
            problems.append(f"{name}: {'; '.join(told)}.")
            continue
        title = next((example[key][0] for key in _TITLES if len(example.get(key, ())) == 1), name)
        files.append(np.frombuffer(example[picture][0], np.uint8))
        names.append(title.decode() if isinstance(title, bytes) else str(title))
        labels.append(example[label][0])
        owners.append(None if group is None else example[group][0])
    pictures, unreadable = read_encoded(files, names)
    read, wrong = read_labels(np.array(labels))
    groups, more = read_groups(None if group is None else owners, len(owners))
    problems += [*unreadable, *wrong, *more]
    if read is None:
        return None, problems
    return Part(pictures.labelled(read.indices, read.class_names), read.naming, groups=groups), problems
