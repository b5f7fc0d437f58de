"""tf.data.Dataset of (image, label), batched or not."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from kerastune_recipes.arrays.files import ArrayList
from kerastune_recipes.data import checks
from kerastune_recipes.data.images import CHANNELS, is_image_shape
from kerastune_recipes.data.sources.arrays import Traits, read_images, read_unlabeled_images
from kerastune_recipes.data.sources.parts import ReadResult
from kerastune_recipes.errors import DataError

if TYPE_CHECKING:
    import tensorflow as tf

_SOURCE = "tf.data.Dataset"
_ENDLESS = f"{_SOURCE}: it never ends; leave out repeat()."


def read_tf_data(dataset: "tf.data.Dataset", group_by: Any = None) -> ReadResult:
    """Read a tf.data.Dataset once, as uint8, into memory, and over budget into a temporary file.

    Args:
        dataset: Dataset of (image, label), batched or not: images of any shape that `read_arrays` accepts, of one size
            or (unbatched, or in ragged batches) different sizes; labels integer, one-hot or text. Class names come from
            its attribute `class_names`, which `keras.utils.image_dataset_from_directory` sets.
        group_by: See `read_arrays`; in the order of the dataset, which must not shuffle.

    Returns:
        All images as training images, and every problem.

    Raises:
        DataError: The dataset failed while it was read.
        RequestError: `KERASTUNE_MEMORY` is not a size.
        WorkError: The disk has no room for the temporary file.
    """
    import tensorflow as tf

    spec = dataset.element_spec
    if not (isinstance(spec, tuple) and len(spec) == 2):
        what = f"tuples of {len(spec)}" if isinstance(spec, tuple) else f"of type {type(spec).__name__}"
        problem = f"{_SOURCE}: its elements are {what}; map them to (image, label)."
        return ReadResult(_SOURCE, problems=(problem,))
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        return ReadResult(_SOURCE, problems=(_ENDLESS,))
    images, traits, labels = _collect(_elements(dataset))
    return read_images(images, traits, labels, getattr(dataset, "class_names", None), _SOURCE, group_by)


def read_unlabeled_tf_data(dataset: "tf.data.Dataset") -> ReadResult:
    """Read the images of a tf.data.Dataset once, as `read_tf_data` does, and ignore labels.

    Args:
        dataset: Dataset of images, or of tuples that begin with one; batched or not.

    Returns:
        The images without labels, and every problem.

    Raises:
        DataError: The dataset failed while it was read.
        RequestError: `KERASTUNE_MEMORY` is not a size.
        WorkError: The disk has no room for the temporary file.
    """
    import tensorflow as tf

    spec = dataset.element_spec
    if not hasattr(spec[0] if isinstance(spec, tuple) else spec, "shape"):
        problem = f"{_SOURCE}: its elements are of type {type(spec).__name__}; map them to images."
        return ReadResult(_SOURCE, problems=(problem,))
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        return ReadResult(_SOURCE, problems=(_ENDLESS,))
    images, traits, _ = _collect((image, None) for image in _images(dataset))
    return read_unlabeled_images(images, traits, _SOURCE)


def _collect(elements: Iterable[tuple[np.ndarray, Any]]) -> tuple[ArrayList, list[Traits], list[Any]]:
    """Collect images with their traits and labels, in order."""
    import tensorflow as tf

    images, traits, labels = ArrayList(), [], []
    storable = True
    try:
        for image, label in elements:
            image = _compact(image)
            traits.append(Traits.of(image))
            labels.append(label)
            # After an image that cannot be stored the checks will fail, and they need only the traits of the rest.
            storable = storable and _are_pixels(traits[-1])
            if storable:
                images.append(_rounded(image))
    except tf.errors.OpError as error:
        raise DataError(f"{_SOURCE}: it failed after {len(labels)} images: {checks.quoted(error)}.") from error
    return images, traits, labels


def _elements(dataset: "tf.data.Dataset") -> Iterator[tuple[np.ndarray, Any]]:
    for images, labels in dataset:
        label = np.asarray(labels.numpy() if hasattr(labels, "numpy") else labels)  # ragged ones too
        if label.ndim > 0 and _is_batch(images.shape):
            yield from zip((_dense(image) for image in images), label, strict=True)
        else:
            yield _dense(images), label


def _images(dataset: "tf.data.Dataset") -> Iterator[np.ndarray]:
    for element in dataset:
        images = element[0] if isinstance(element, tuple) else element
        if _is_batch(images.shape):
            yield from (_dense(image) for image in images)
        else:
            yield _dense(images)


def _is_batch(shape: "tf.TensorShape") -> bool:
    """Return whether a shape is (batch, height, width) rather than (height, width, channels)."""
    return shape.rank == 4 or (shape.rank == 3 and shape[-1] not in CHANNELS)


def _dense(image: Any) -> np.ndarray:
    return np.asarray(image.to_tensor() if hasattr(image, "to_tensor") else image)


def _compact(image: np.ndarray) -> np.ndarray:
    """Round to uint8, except images that the checks must see as they are: values outside 0..255, or none above 1."""
    if image.dtype.kind not in "iuf" or image.size == 0 or not (image.min() >= 0 and 1 < image.max() <= 255):
        return image
    return _rounded(image)


def _rounded(image: np.ndarray) -> np.ndarray:
    return image if image.dtype == np.uint8 else np.rint(image).astype(np.uint8)


def _are_pixels(traits: Traits) -> bool:
    """Return whether an image can be stored as uint8; comparisons with NaN are false."""
    return is_image_shape(traits.shape) and traits.low is not None and bool(traits.low >= 0 and traits.high <= 255)
