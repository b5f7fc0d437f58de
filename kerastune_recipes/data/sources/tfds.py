"""TensorFlow Datasets, by name or as a builder."""

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import numpy as np

from kerastune_recipes.arrays.files import ArrayList
from kerastune_recipes.data import checks
from kerastune_recipes.data.sources.encoded import read_encoded
from kerastune_recipes.data.sources.labels import read_groups
from kerastune_recipes.data.sources.parts import SPLIT_NAMES, Found, Part
from kerastune_recipes.errors import WorkError, did_you_mean, listed

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

# What builders call the feature that holds the name of the image's file.
_TITLES = ("filename", "file_name")


def read_tfds(name: str, group_by: Any = None) -> Found:
    """Read a data set of TensorFlow Datasets by its name, downloading and preparing it if need be.

    Args:
        name: What `tfds.builder` takes, such as "cifar10" or "imagenette/160px".
        group_by: Name of the feature by which images belong together, or None.

    Returns:
        Its splits, and every problem.

    Raises:
        WorkError: It could not be downloaded or prepared.
    """
    import tensorflow_datasets as tfds

    source = f"tfds:{name}"
    try:
        builder = tfds.builder(name)
    except tfds.core.DatasetNotFoundError:
        known = tfds.list_builders(with_community_datasets=False)
        problem = f'{source}: TensorFlow Datasets has no data set "{name}".{did_you_mean(name, known)}'
        return Found(source, problems=(problem,))
    except Exception as error:  # A wrong configuration, version or namespace: each has an error of its own.
        problem = f"{source}: TensorFlow Datasets cannot open it: {checks.quoted(error)}."
        return Found(source, problems=(problem,))
    return read_builder(builder, source, group_by)


def read_builder(builder: "tfds.core.DatasetBuilder", source: str | None = None, group_by: Any = None) -> Found:
    """Read the train, validation and test splits of a TFDS builder; other splits are left alone.

    The images are kept as the encoded files they are, which takes a tenth of what pixels would: in memory, and what is
    over budget in a temporary file.

    Args:
        builder: With one Image and one ClassLabel among its features, or with such a pair as its supervised keys;
            `tfds.ImageFolder` is one.
        source: What to call it.
        group_by: As for `read_tfds`.

    Returns:
        Its splits, and every problem.

    Raises:
        RequestError: `KERASTUNE_MEMORY` does not hold a size.
        WorkError: It could not be downloaded or prepared, or the disk has no room for the temporary file.
    """
    source = source or f"tfds:{builder.name}"
    keys, problems = _supervised(builder, source)
    if group_by is not None:
        problems += checks.placed(source, _grouping(builder, group_by))
    if problems:
        return Found(source, problems=tuple(problems))
    _prepare(builder, source)
    wanted = {name: SPLIT_NAMES[name.lower()] for name in builder.info.splits if name.lower() in SPLIT_NAMES}
    if not wanted:
        problem = f"{source}: this has no split train, validation or test; it has {listed(builder.info.splits)}."
        return Found(source, problems=(problem,))
    parts = {}
    for name, split in wanted.items():
        parts[split], more = _read_split(builder, name, keys, group_by)
        problems += more
    return Found(source, parts, tuple(problems))


def _supervised(builder: "tfds.core.DatasetBuilder", source: str) -> tuple[tuple[str, str], list[str]]:
    """Find which feature is the image and which the label."""
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
        f"{source}: this is no set of images with one label each: it has {len(pictures)} Image and {len(labels)} "
        f"ClassLabel features among {listed(features)}; map it to (image, label) as a tf.data.Dataset."
    )
    return ("", ""), [problem]


def _grouping(builder: "tfds.core.DatasetBuilder", group_by: Any) -> list[str]:
    """A single value of each example may group the images."""
    scalars = [key for key, feature in builder.info.features.items() if feature.shape == ()]
    return checks.group_name(group_by, "feature") or checks.columns(scalars, [str(group_by)], "feature")


def _pictures(builder: "tfds.core.DatasetBuilder") -> list[str]:
    import tensorflow_datasets as tfds

    return [key for key, feature in builder.info.features.items() if isinstance(feature, tfds.features.Image)]


def _prepare(builder: "tfds.core.DatasetBuilder", source: str) -> None:
    import tensorflow_datasets as tfds

    if isinstance(builder, tfds.ImageFolder):  # Nothing to prepare, and it refuses to be asked.
        return
    try:
        with redirect_stdout(sys.stderr):  # Standard output may be a report for a machine.
            builder.download_and_prepare()
    except Exception as error:  # Whatever the network, the disk or the data set's own code may raise.
        reason = f"{type(error).__name__}: {checks.quoted(error)}"
        raise WorkError(f"{source}: it could not be downloaded and prepared: {reason}.") from error


def _read_split(
    builder: "tfds.core.DatasetBuilder", name: str, keys: tuple[str, str], group: str | None
) -> tuple[Part, list[str]]:
    import tensorflow_datasets as tfds

    picture, label = keys
    features = builder.info.features
    title = next((key for key in features if key.split("/")[-1] in _TITLES), None)
    encoded = builder.as_dataset(split=name, decoders={key: tfds.decode.SkipDecoding() for key in _pictures(builder)})
    elements = encoded.map(
        lambda element: (element[picture], element[label], element.get(title, b""), element.get(group, b""))
    )
    files = ArrayList()
    names: list[str] = []
    labels: list[int] = []
    owners: list[Any] = []
    for file, index, text, owner in tfds.as_numpy(elements):
        files.append(np.frombuffer(file, np.uint8))
        names.append(text.decode() or f"{name} image {len(names)}")
        labels.append(index)
        owners.append(owner)

    pictures, problems = read_encoded(files, names)
    class_names = tuple(features[label].names)
    indices = np.array(labels, dtype=np.int64)
    groups, wrong = read_groups(None if group is None else owners, len(owners))
    return Part(pictures.labelled(indices, class_names), "declared", groups=groups), problems + wrong
