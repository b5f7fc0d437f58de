"""Predict with a trained model, and evaluate it on labelled images; both with test-time augmentation if asked."""

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastune_recipes.data.images import decode, resize, to_rgb
from kerastune_recipes.data.sources.open import open_for_evaluation
from kerastune_recipes.data.sources.parts import GroupBy
from kerastune_recipes.data.views import Flip, View, box, views
from kerastune_recipes.errors import DataError, RequestError
from kerastune_recipes.evaluation import metrics
from kerastune_recipes.evaluation.saved_model import Saved
from kerastune_recipes.model.forward import BATCH, as_memory_allows
from kerastune_recipes.model.network import RESIZE

# Views of an image, each of which takes a forward pass; tens are already more than enough.
MOST_VIEWS = 1000


def predict(model: keras.Model, images: Any, tta: int = 1, flip: Flip = "none") -> np.ndarray:
    """Predict class probabilities, with test-time augmentation if asked.

    Args:
        model: A model that maps raw images (b, h, w, 3), values 0..255, to probabilities (b, classes).
        images: A path, an array (h, w, 3) or (n, h, w, 3) of values 0..255, or a list of paths or of arrays of any
            sizes.
        tta: Number of views of each image whose probabilities are averaged, 1 to 1000: the image itself, then random
            crops, the same ones for an image in every call. Each view takes a forward pass (test-time augmentation;
            Krizhevsky et al. 2012).
        flip: "horizontal" makes the mirror image the second view and mirrors every other crop; for images that keep
            their class when mirrored.

    Returns:
        float32 (n, classes), also for a single image.

    Raises:
        DataError: Images cannot be read; all of them are named.
        RequestError: `tta` or `flip` is not possible.

    Example:
        >>> predict(model, ["1.jpg", "2.jpg"], tta=4, flip="horizontal").shape
        (2, 10)
    """
    chosen = _views(tta, flip)
    if isinstance(images, str | Path) or (isinstance(images, np.ndarray) and images.ndim == 3):
        images = [images]
    images = list(images)
    if not images:
        raise DataError("there are no images to predict; give at least one.")
    return _probabilities(model, lambda index: _pixels(images[index]), len(images), chosen)


def evaluate(saved: Saved, ds: Any, group_by: GroupBy = None, tta: int = 1, flip: Flip = "none") -> dict[str, Any]:
    """Evaluate a trained model on labelled images.

    Args:
        saved: The model and its classes.
        ds: Labelled images in any form that `Recipe.run` takes; the test split where there is one, else all of them.
        group_by: As for `Recipe.run`; a folder with folders inside its class folders needs it.
        tta: As for `predict`.
        flip: As for `predict`.

    Returns:
        "images", their number, and the metrics of `metrics.summary`.

    Raises:
        DataError: The images cannot be used, or have classes the model does not know.
        RequestError: As for `predict`.

    Example:
        >>> evaluate(saved_model.load("runs/first"), "more_photos/")["accuracy"]
        0.93
    """
    chosen = _views(tta, flip)
    samples = open_for_evaluation(ds, saved.class_names, group_by)
    probabilities = _probabilities(saved.model, samples.read, len(samples), chosen)
    return {"images": len(samples), **metrics.summary(probabilities, samples.labels, samples.groups)}


def _views(tta: int, flip: Flip) -> tuple[View, ...]:
    problems = []
    if not isinstance(tta, int) or not 1 <= tta <= MOST_VIEWS:
        problems.append(
            f"tta: expected a whole number, 1 to {MOST_VIEWS}; received {tta!r}. 1 is no test-time augmentation."
        )
    if flip not in ("none", "horizontal"):
        problems.append(f"flip: expected none or horizontal; received {flip!r}.")
    if problems:
        raise RequestError(*problems)
    return views(tta, flip)


def _probabilities(
    model: keras.Model, read: Callable[[int], np.ndarray], count: int, chosen: Sequence[View]
) -> np.ndarray:
    """Average the probabilities over the views of each image; the model's own layer resizes them one by one.

    TensorFlow traces a graph for each input size, which takes seconds; the rest of the model gets batches of one size.
    """
    resizing = model.get_layer(RESIZE)
    core = keras.Model(resizing.output, model.output)
    shown = (view for image in _readable(read, count) for view in _shown(image, chosen, resizing.height))
    batches = iter(lambda: list(islice(shown, BATCH)), [])

    def run(pixels: np.ndarray, size: int) -> np.ndarray:
        return np.asarray(core.predict_on_batch(pixels))

    rows = np.concatenate([as_memory_allows(core, run, _resized(resizing, batch)) for batch in batches])
    return rows.reshape(count, len(chosen), -1).mean(axis=1)


def _shown(image: np.ndarray, chosen: Sequence[View], size: int) -> Iterator[np.ndarray]:
    """Yield the views of an image: the image in its own size, crops in the size of the network's input."""
    digest = blake2b(image.tobytes()).digest() if any(view.crop for view in chosen) else b""
    for view in chosen:
        shown = resize(image, size, box(view, digest)) if view.crop else image
        yield shown[:, ::-1] if view.mirrored else shown


def _resized(resizing: keras.layers.Layer, batch: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([keras.ops.convert_to_numpy(resizing(image[None].astype(np.float32))) for image in batch])


def _readable(read: Callable[[int], np.ndarray], count: int) -> Iterator[np.ndarray]:
    """Yield each image; after the first that cannot be read, only look for others that cannot be."""
    problems: list[str] = []
    for index in range(count):
        try:
            pixels = read(index)
        except DataError as error:
            problems += error.problems
            continue
        if not problems:
            yield pixels
    if problems:
        raise DataError(*problems)


def _pixels(image: Any) -> np.ndarray:
    return decode(Path(image)) if isinstance(image, str | Path) else to_rgb(image)
