"""TensorFlow Datasets, by name or as a builder."""

import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import numpy as np

from kerastune_recipes.arrays.files import ArrayList
from kerastune_recipes.data import checks
from kerastune_recipes.data.class_names import in_order, is_number, normal
from kerastune_recipes.data.sources.cells import as_text
from kerastune_recipes.data.sources.encoded import read_encoded
from kerastune_recipes.data.sources.labels import read_groups
from kerastune_recipes.data.sources.parts import Part, ReadResult, split_of
from kerastune_recipes.data.split_images import TEST, TRAIN, VALIDATION
from kerastune_recipes.errors import WorkError, did_you_mean, listed
from kerastune_recipes.progress import counted

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

# Names of the feature with the file name of an image.
_FILE_NAMES = ("filename", "file_name")


def read_tfds(name: str, group_by: Any = None) -> ReadResult:
    """Read a data set of TensorFlow Datasets by name; download and prepare it if needed.

    Args:
        name: Name for `tfds.builder`, such as "cifar10" or "imagenette/160px".
        group_by: Name of the feature that groups images, or None.

    Returns:
        The splits, and every problem.

    Raises:
        WorkError: The data set cannot be downloaded or prepared.
    """
    import tensorflow_datasets as tfds

    source = f"tfds:{name}"
    try:
        builder = tfds.builder(name)
    except tfds.core.DatasetNotFoundError:
        known = tfds.list_builders(with_community_datasets=False)
        problem = f'{source}: TensorFlow Datasets has no data set "{name}".{did_you_mean(name, known)}'
        return ReadResult(source, problems=(problem,))
    except Exception as error:  # a wrong configuration, version or namespace, each with its own exception
        problem = f"{source}: TensorFlow Datasets cannot open it: {checks.quoted(error)}."
        return ReadResult(source, problems=(problem,))
    return read_builder(builder, source, group_by)


def read_builder(builder: "tfds.core.DatasetBuilder", source: str | None = None, group_by: Any = None) -> ReadResult:
    """Read the train, validation and test splits of a TFDS builder, and ignore other splits.

    Images stay encoded, a tenth of the size of their pixels: in memory, and over budget in a temporary file.

    Args:
        builder: A builder with one Image and one ClassLabel feature, or with such a pair as supervised keys;
            `tfds.ImageFolder` is one.
        source: Name of the data set for error messages.
        group_by: See `read_tfds`.

    Returns:
        The splits, and every problem.

    Raises:
        RequestError: `KERASTUNE_MEMORY` is not a size.
        WorkError: The data set cannot be downloaded or prepared, or the disk has no room for the temporary file.
    """
    source = source or f"tfds:{builder.name}"
    keys, problems = _supervised(builder, source)
    if group_by is not None:
        problems += checks.located(source, _grouping(builder, group_by))
    if problems:
        return ReadResult(source, problems=tuple(problems))
    _prepare(builder, source)
    splits = _splits(builder.info.splits)
    if not splits:
        problem = f"{source}: this has no split train, validation or test; it has {listed(builder.info.splits)}."
        return ReadResult(source, problems=(problem,))
    parts = {}
    for split, name in splits.items():
        parts[split], more = _read_split(builder, name, keys, group_by)
        problems += more
    left = [name for name in builder.info.splits if name not in splits.values()]
    notes = (f"{source}: splits that are not read: {listed(left)}.",) if left else ()
    return ReadResult(source, parts, tuple(problems), notes=notes)


def _splits(names: Iterable[str]) -> dict[str, str]:
    """Return the names of the splits that are read; of two names for one split the shorter."""
    found: dict[str, str] = {}
    for name in sorted(names, key=lambda name: (len(name), name)):
        split = split_of(name)
        if split in (TRAIN, VALIDATION, TEST):
            found.setdefault(split, name)
    return {split: found[split] for split in (TRAIN, VALIDATION, TEST) if split in found}


def _supervised(builder: "tfds.core.DatasetBuilder", source: str) -> tuple[tuple[str, str], list[str]]:
    """Find the features of the image and the label."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    pictures = _pictures(builder)
    labels = [key for key, feature in features.items() if isinstance(feature, tfds.features.ClassLabel)]
    match builder.info.supervised_keys:
        case (str() as picture, str() as label) if picture in pictures and label in labels:
            return (picture, label), []
    if len(pictures) == 1 and len(labels) == 1:
        return (pictures[0], labels[0]), []
    problem = (
        f"{source}: its examples are not an image with a label: there are {len(pictures)} Image and {len(labels)} "
        f"ClassLabel features among {listed(features)}; map it to (image, label) as a tf.data.Dataset."
    )
    return ("", ""), [problem]


def _grouping(builder: "tfds.core.DatasetBuilder", group_by: Any) -> list[str]:
    """Check that `group_by` is a feature with a single value."""
    scalars = [key for key, feature in builder.info.features.items() if feature.shape == ()]
    return checks.group_name(group_by, "feature") or checks.columns(scalars, [str(group_by)], "feature")


def _pictures(builder: "tfds.core.DatasetBuilder") -> list[str]:
    import tensorflow_datasets as tfds

    return [key for key, feature in builder.info.features.items() if isinstance(feature, tfds.features.Image)]


def _prepare(builder: "tfds.core.DatasetBuilder", source: str) -> None:
    import tensorflow_datasets as tfds

    if isinstance(builder, tfds.ImageFolder):  # nothing to prepare, and download_and_prepare raises
        return
    try:
        with redirect_stdout(sys.stderr):  # standard output may be parsed by a program
            builder.download_and_prepare()
    except Exception as error:  # the network, the disk and the data set's own code raise all kinds of errors
        reason = f"{type(error).__name__}: {checks.quoted(error)}"
        raise WorkError(f"{source}: it cannot be downloaded and prepared: {reason}.") from error


def _read_split(
    builder: "tfds.core.DatasetBuilder", name: str, keys: tuple[str, str], group: str | None
) -> tuple[Part, list[str]]:
    import tensorflow_datasets as tfds

    picture, label = keys
    features = builder.info.features
    file_name = next((key for key in features if key.split("/")[-1] in _FILE_NAMES), None)
    encoded = builder.as_dataset(split=name, decoders={key: tfds.decode.SkipDecoding() for key in _pictures(builder)})
    elements = encoded.map(
        lambda element: (element[picture], element[label], element.get(file_name, b""), element.get(group, b""))
    )
    files = ArrayList()
    names: list[str] = []
    labels: list[int] = []
    groups: list[Any] = []
    total = builder.info.splits[name].num_examples
    for file, index, text, group_name in counted(tfds.as_numpy(elements), f"{name} images", total):
        files.append(np.frombuffer(file, np.uint8))
        names.append(as_text(text) or f"{name} image {len(names)}")
        labels.append(index)
        groups.append(group_name)

    pictures, problems = read_encoded(files, names)
    numbering = tuple(map(normal, features[label].names))
    class_names = in_order(numbering) if all(map(is_number, numbering)) else numbering
    index_of = {name: index for index, name in enumerate(class_names)}
    # TFDS has -1 where the label of an image is secret, as in the test splits of competitions.
    indices = np.array([-1 if number < 0 else index_of[numbering[number]] for number in labels], dtype=np.int64)
    problems += checks.located(f"{builder.name} {name}", checks.missing_labels(np.flatnonzero(indices < 0).tolist()))
    group_names, group_problems = read_groups(None if group is None else groups, len(groups))
    part = Part(pictures.labelled(indices, class_names), "declared", groups=group_names, numbering=numbering)
    return part, problems + group_problems
