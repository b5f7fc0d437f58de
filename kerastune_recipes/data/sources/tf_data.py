"""tf.data.Dataset of (image, label), batched or not."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from kerastune_recipes.data import checks
from kerastune_recipes.data.sources.arrays import read_arrays
from kerastune_recipes.data.sources.found import Found
from kerastune_recipes.errors import DataError

if TYPE_CHECKING:
    import tensorflow as tf

_SOURCE = "tf.data.Dataset"


def read_tf_data(dataset: "tf.data.Dataset") -> Found:
    """Read a tf.data.Dataset once, into memory, as uint8.

    Args:
        dataset: Of (image, label): images as `read_arrays` takes them, of equal or (unbatched, or in ragged batches)
            different sizes; labels integer, one-hot or text. Class names are taken from its attribute `class_names`,
            which `keras.utils.image_dataset_from_directory` sets.

    Returns:
        Everything under "train", and every problem.
    """
    import tensorflow as tf

    spec = dataset.element_spec
    if not (isinstance(spec, tuple) and len(spec) == 2):
        what = f"{len(spec)} parts" if isinstance(spec, tuple) else type(spec).__name__
        problem = f"{_SOURCE}: it gives {what} for each element; map it to (image, label)."
        return Found(_SOURCE, problems=(problem,))
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        return Found(_SOURCE, problems=(f"{_SOURCE}: it never ends; leave out repeat().",))
    images, labels = [], []
    try:
        for image, label in _elements(dataset):
            images.append(_compact(image))
            labels.append(label)
    except tf.errors.OpError as error:
        raise DataError(f"{_SOURCE}: it failed after {len(images)} images: {checks.quoted(error)}.") from error
    return read_arrays(images, np.array(labels), getattr(dataset, "class_names", None), _SOURCE)


def _elements(dataset: "tf.data.Dataset") -> Iterator[tuple[np.ndarray, Any]]:
    for images, labels in dataset:
        label = np.asarray(labels)
        if _is_batch(images.shape, label):
            yield from zip((_dense(image) for image in images), label, strict=True)
        else:
            yield _dense(images), label


def _is_batch(shape: "tf.TensorShape", label: np.ndarray) -> bool:
    """Tell (batch, height, width) from (height, width, channels): only the former comes with a list of labels."""
    return shape.rank == 4 or (shape.rank == 3 and label.ndim > 0 and shape[-1] not in (1, 3, 4))


def _dense(image: Any) -> np.ndarray:
    return np.asarray(image.to_tensor() if hasattr(image, "to_tensor") else image)


def _compact(image: np.ndarray) -> np.ndarray:
    """Round to uint8, except what the checks will have to see as it is: values outside 0..255, or none over 1."""
    if image.dtype.kind not in "iuf" or image.size == 0 or not (image.min() >= 0 and 1 < image.max() <= 255):
        return image
    return np.rint(image).astype(np.uint8)
