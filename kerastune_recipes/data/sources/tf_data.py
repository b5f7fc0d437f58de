"""tf.data.Dataset of (image, label), batched or not."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from kerastune_recipes.arrays.files import ArrayList
from kerastune_recipes.data import checks
from kerastune_recipes.data.images import CHANNELS, is_image_shape
from kerastune_recipes.data.pixel_range import EIGHT_BITS, PixelRange
from kerastune_recipes.data.sources.arrays import ImagesInMemory, Traits, read_images, read_unlabeled_images
from kerastune_recipes.data.sources.parts import ReadResult
from kerastune_recipes.errors import DataError, listed
from kerastune_recipes.progress import counted

if TYPE_CHECKING:
    import tensorflow as tf

_SOURCE = "tf.data.Dataset"
_ENDLESS = f"{_SOURCE}: it never ends; leave out repeat()."


def read_tf_data(dataset: "tf.data.Dataset", group_by: Any = None, pixel_range: PixelRange | None = None) -> ReadResult:
    """Read a tf.data.Dataset once, as uint8, into memory, and over budget into a temporary file.

    Args:
        dataset: Dataset of (image, label), batched or not: images of any shape that `read_arrays` accepts, of one size
            or (unbatched, or in ragged batches) different sizes; labels integer, one-hot or text. Class names come from
            its attribute `class_names`, which `keras.utils.image_dataset_from_directory` sets.
        group_by: See `read_arrays`; in the order of the dataset, which must not shuffle.
        pixel_range: See `read_arrays`.

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
    wrong = [type(part).__name__ for part in spec if not hasattr(part, "shape")]
    if wrong:
        problem = f"{_SOURCE}: its elements are pairs with {listed(wrong)}; map them to (image, label)."
        return ReadResult(_SOURCE, problems=(problem,))
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        return ReadResult(_SOURCE, problems=(_ENDLESS,))
    given, labels = _collect(_elements(dataset), pixel_range)
    return read_images(given, labels, getattr(dataset, "class_names", None), _SOURCE, group_by)


def read_unlabeled_tf_data(dataset: "tf.data.Dataset", pixel_range: PixelRange | None = None) -> ReadResult:
    """Read the images of a tf.data.Dataset once, as `read_tf_data` does, and ignore labels.

    Args:
        dataset: Dataset of images, or of tuples that begin with one; batched or not.
        pixel_range: See `read_arrays`.

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
    given, _ = _collect(((image, None) for image in _images(dataset)), pixel_range)
    return read_unlabeled_images(given, _SOURCE)


def _collect(
    elements: Iterable[tuple[np.ndarray, Any]], pixel_range: PixelRange | None
) -> tuple[ImagesInMemory, list[Any]]:
    """Collect images as uint8, with the traits that they had, and labels, in order."""
    import tensorflow as tf

    images, traits, labels = ArrayList(), [], []
    storable = True
    try:
        for image, label in counted(elements, "images of the tf.data.Dataset"):
            traits.append(Traits.of(image))
            labels.append(label)
            # After an image that cannot be stored the checks will fail, and they need only the traits of the rest.
            storable = storable and _are_pixels(traits[-1], pixel_range or EIGHT_BITS)
            if storable:
                images.append(_as_bytes(image, pixel_range))
    except tf.errors.OpError as error:
        raise DataError(f"{_SOURCE}: it failed after {len(labels)} images: {checks.quoted(error)}.") from error
    return ImagesInMemory(images, traits, pixel_range, as_bytes=True), labels


def _elements(dataset: "tf.data.Dataset") -> Iterator[tuple[np.ndarray, Any]]:
    static = dataset.element_spec[0].shape
    for images, labels in dataset:
        label = np.asarray(labels.numpy() if hasattr(labels, "numpy") else labels)  # ragged ones too
        if label.ndim > 0 and _is_batch(images.shape, static) and len(label) == images.shape[0]:
            yield from zip((_dense(image) for image in images), label, strict=True)
        else:
            yield _dense(images), label


def _images(dataset: "tf.data.Dataset") -> Iterator[np.ndarray]:
    spec = dataset.element_spec
    static = (spec[0] if isinstance(spec, tuple) else spec).shape
    for element in dataset:
        images = element[0] if isinstance(element, tuple) else element
        if _is_batch(images.shape, static):
            yield from (_dense(image) for image in images)
        else:
            yield _dense(images)


def _is_batch(shape: "tf.TensorShape", static: "tf.TensorShape") -> bool:
    """Return whether a shape is (batch, height, width), perhaps with channels, rather than that of an image.

    Args:
        shape: The shape.
        static: What the dataset says of the shapes of all its elements. (3, height, width) is an image with its
            channels first, which is refused, rather than three gray ones.
    """
    if shape.rank != 3:
        return shape.rank == 4
    return shape[-1] not in CHANNELS and (static.rank is None or static[0] not in CHANNELS)


def _dense(image: Any) -> np.ndarray:
    return np.asarray(image.to_tensor() if hasattr(image, "to_tensor") else image)


def _as_bytes(image: np.ndarray, pixel_range: PixelRange | None) -> np.ndarray:
    if pixel_range is not None:
        return pixel_range.to_uint8(image)
    return image if image.dtype == np.uint8 else np.rint(image).astype(np.uint8)


def _are_pixels(traits: Traits, expected: PixelRange) -> bool:
    """Return whether an image can be stored as uint8."""
    if traits.low is None or traits.high is None:
        return False
    return is_image_shape(traits.shape) and expected.holds(traits.low, traits.high)
