"""TFRecord files of tf.train.Example, each an encoded image with its label."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from os import PathLike
from typing import Any

import numpy as np

from kerastune_recipes.arrays.files import ArrayList
from kerastune_recipes.data import checks, images
from kerastune_recipes.data.sources.cells import as_text
from kerastune_recipes.data.sources.encoded import read_encoded
from kerastune_recipes.data.sources.labels import read_groups, read_labels
from kerastune_recipes.data.sources.parts import Part, ReadResult
from kerastune_recipes.data.split_images import TRAIN
from kerastune_recipes.errors import DataError, listed
from kerastune_recipes.progress import counted

# Names such as train.tfrecord, flowers-3.tfrec.gz, the shards of TFDS, train.tfrecord-00000-of-00005, and those of
# TF-Slim, train-00000-of-00005; in all of them * and ? for several files.
_ENDING = re.compile(
    r"(\.tfrec(ord|ords)?(-\d+-of-\d+|-?\*[^/]*)?|[-_][\d?*]+-of-[\d?*]+)(\.(gz|gzip))?$", re.IGNORECASE
)
# How compressed files begin; records do rarely, as their first bytes are a length.
_COMPRESSED = {b"\x1f\x8b": "GZIP", b"\x78\x01": "ZLIB", b"\x78\x9c": "ZLIB", b"\x78\xda": "ZLIB"}
# What TensorFlow puts around its messages.
_NOISE = re.compile(r"\{\{.*?\}\}|\[Op:.*")
# Usual names of the features, the more specific first: TF-Slim, TFDS, and the examples of keras.io and Kaggle.
_IMAGES = ("image/encoded", "image", "image_raw", "encoded", "jpeg", "png")
_LABELS = ("image/class/text", "class_name", "label", "image/class/label", "class", "target")
_FILE_NAMES = ("image/filename", "filename", "file_name", "image_name", "image/id", "image_id", "id")

# Types of feature values, in words.
_KINDS = {bytes: "bytes", int: "an integer", float: "a float"}

# The values of each feature: bytes, integers or floats.
Example = Mapping[str, Sequence[Any]]


def is_tfrecord(path: str | PathLike[str]) -> bool:
    """Return whether a path names a TFRecord file, or with * several.

    Example:
        >>> is_tfrecord("gs://bucket/flowers/train-*.tfrec")
        True
    """
    return _ENDING.search(str(path)) is not None


def read_tfrecords(pattern: str | PathLike[str], group_by: Any = None) -> ReadResult:
    """Read TFRecord files once; images stay encoded.

    Args:
        pattern: A file, or several with `*`, `?` and `[..]`, on this machine or in an object store that TensorFlow
            reads. Each record is a tf.train.Example with one encoded image and one label, a number or a name. They are
            the first features found among the names in `_IMAGES` and `_LABELS`.
        group_by: Name of the feature that groups images, or None.

    Returns:
        All images as training images, and every problem.

    Raises:
        DataError: A file cannot be read to its end.
        RequestError: `KERASTUNE_MEMORY` is not a size.
        WorkError: The disk has no room for the temporary file.
    """
    source = str(pattern)
    try:
        import tensorflow as tf
    except ImportError:
        return ReadResult(source, problems=(f"{source}: reading TFRecord files needs TensorFlow; install tensorflow.",))
    try:
        files = sorted(tf.io.gfile.glob(source))
    except tf.errors.OpError as error:
        return ReadResult(source, problems=(f"{source}: cannot be read: {checks.quoted(error)}.",))
    if not files:
        return ReadResult(source, problems=(f"{source}: there is no such file; check the path or pattern.",))
    examples = _examples(files)
    first = next(examples, None)
    if first is None:
        return ReadResult(source, problems=(f"{source}: there are no records in these files.",))
    keys, problems = _keys(first[1])
    if group_by is not None:
        problems += checks.group_name(group_by, "feature") or checks.columns(first[1], [str(group_by)], "feature")
    if problems:
        return ReadResult(source, problems=tuple(checks.located(source, problems)))
    part, problems = _read(chain([first], examples), keys, None if group_by is None else str(group_by))
    return ReadResult(source, {} if part is None else {TRAIN: part}, tuple(problems))


def _examples(files: Sequence[str]) -> Iterator[tuple[str, Example]]:
    """Yield the records of all files in order, each with a name."""
    import tensorflow as tf

    for file in files:
        number = 0
        try:
            for record in _records(file):
                example = tf.train.Example.FromString(record)
                yield f"{file} record {number}", {key: _values(each) for key, each in example.features.feature.items()}
                number += 1
        except Exception as error:  # not a TFRecord, truncated, or not tf.train.Example
            reason = checks.quoted(Exception(_NOISE.sub("", str(error))))
            raise DataError(
                f"{file}: this is not a TFRecord file of tf.train.Example, or it is truncated: reading failed after "
                f"{number} records ({reason}); write it again, or map it to (image, label) as a "
                "tf.data.Dataset."
            ) from error


def _records(file: str) -> Iterator[bytes]:
    """Yield the records of a file, also of a compressed one."""
    import tensorflow as tf

    with tf.io.gfile.GFile(file, "rb") as opened:
        compression = _COMPRESSED.get(opened.read(2), "")
    if compression:
        try:
            next(tf.data.TFRecordDataset(file).as_numpy_iterator(), None)
            compression = ""  # the length of its first record looks so
        except tf.errors.OpError:
            pass
    yield from tf.data.TFRecordDataset(file, compression).as_numpy_iterator()


def _values(feature: Any) -> Sequence[Any]:
    kind = feature.WhichOneof("kind")
    return () if kind is None else getattr(feature, kind).value


def _keys(example: Example) -> tuple[tuple[str, str], list[str]]:
    """Find the features of the image and the label."""
    single = [key for key, values in example.items() if len(values) == 1]
    picture = next((key for key in _IMAGES if key in single and _is_image(example[key][0])), None)
    label = next((key for key in _LABELS if key in single and key != picture), None)
    available = listed(example) or "none"
    problems = []
    if picture is None:
        problems.append(
            f"none of the features {listed(_IMAGES)} is an encoded image; there are {available}; write image/encoded, "
            "or map the records to (image, label) as a tf.data.Dataset."
        )
    if label is None:
        problems.append(
            f"none of the features {listed(_LABELS)} is a label; there are {available}; write label, or map records "
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
    """Read all records; their values must have the types of the first record."""
    picture, label = keys
    needed = [picture, label, *([] if group is None else [group])]
    kinds: dict[str, type] = {}
    files = ArrayList()
    names: list[str] = []
    labels: list[Any] = []
    groups: list[Any] = []
    problems: list[str] = []
    for name, example in counted(examples, "records"):
        missing = [key for key in needed if len(example.get(key, ())) != 1]
        if missing:
            problems.append(f"{name}: it does not have one value of {listed(missing)}, unlike the first record.")
            continue
        kinds = kinds or {key: type(example[key][0]) for key in needed}
        other = [key for key in needed if type(example[key][0]) is not kinds[key]]
        if other:
            differences = (
                f"{key} is {_KINDS[type(example[key][0])]}, but {_KINDS[kinds[key]]} in the first record"
                for key in other
            )
            problems.append(f"{name}: {'; '.join(differences)}.")
            continue
        file_name = next((example[key][0] for key in _FILE_NAMES if len(example.get(key, ())) == 1), name)
        files.append(np.frombuffer(example[picture][0], np.uint8))
        names.append(as_text(file_name))
        labels.append(example[label][0])
        groups.append(None if group is None else example[group][0])
    pictures, unreadable = read_encoded(files, names)
    read, label_problems = read_labels(labels)
    group_names, group_problems = read_groups(None if group is None else groups, len(groups))
    problems += [*unreadable, *label_problems, *group_problems]
    if read is None:
        return None, problems
    return Part(pictures.labelled(read.indices, read.class_names), read.naming, groups=group_names), problems
