"""Predicting with a trained model, and measuring it on labelled images."""

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastune_recipes.data import images as pictures
from kerastune_recipes.data.sources.open import open_for_evaluation
from kerastune_recipes.data.views import Flip, View, box
from kerastune_recipes.data.views import views as named
from kerastune_recipes.errors import DataError, RequestError
from kerastune_recipes.evaluation import metrics
from kerastune_recipes.evaluation.saved_model import Saved
from kerastune_recipes.model.forward import BATCH
from kerastune_recipes.model.network import RESIZE


def predict(model: keras.Model, images: Any, views: int = 1, flip: Flip = "none") -> np.ndarray:
    """Predict class probabilities, where wanted as the mean over several views of each image.

    Args:
        model: Raw images (b, h, w, 3), values 0..255, to probabilities (b, classes).
        images: A path, an array (h, w, 3) or (n, h, w, 3) of values 0..255, or a list of paths or of arrays of any
            sizes.
        views: Of each image, at least 1: the image itself, then random crops, always the same ones for an image. Each
            takes a forward pass (test-time augmentation; Krizhevsky et al. 2012).
        flip: "horizontal" has the mirror image as second view, and every other crop mirrored; for images that keep
            their class then.

    Returns:
        float32 (n, classes), also for a single image.

    Raises:
        DataError: Images that cannot be read, all of them.
        RequestError: `views` is no whole number of 1 or more, or `flip` is neither of the two.
    """
    shown = _views(views, flip)
    if isinstance(images, str | Path) or (isinstance(images, np.ndarray) and images.ndim == 3):
        images = [images]
    images = list(images)
    if not images:
        raise DataError("there are no images to predict; give at least one.")
    return _probabilities(model, lambda index: _pixels(images[index]), len(images), shown)


def _views(views: int, flip: Flip) -> tuple[View, ...]:
    problems = []
    if not isinstance(views, int) or views < 1:
        problems.append(f"views: expected a whole number, 1 or more, received {views!r}; 1 is the image alone.")
    if flip not in ("none", "horizontal"):
        problems.append(f"flip: expected none or horizontal, received {flip!r}.")
    if problems:
        raise RequestError(*problems)
    return named(views, flip)


def _probabilities(
    model: keras.Model, read: Callable[[int], np.ndarray], count: int, views: Sequence[View]
) -> np.ndarray:
    """Resize each view of each image by the model's own layer, and pass them through the rest of it in batches.

    A graph is traced for each size of input it meets, which takes seconds; so the rest meets one size only.
    """
    resize = model.get_layer(RESIZE)
    core = keras.Model(resize.output, model.output)
    images = (shown for image in _readable(read, count) for shown in _seen(image, views, resize.height))
    batches = iter(lambda: list(islice(images, BATCH)), [])
    rows = np.concatenate([np.asarray(core.predict_on_batch(_resized(resize, batch))) for batch in batches])
    return rows.reshape(count, len(views), -1).mean(axis=1)


def _seen(image: np.ndarray, views: Sequence[View], size: int) -> Iterator[np.ndarray]:
    """Give the views of an image: itself as it is, crops of it at the size that the network sees."""
    digest = blake2b(image.tobytes()).digest() if any(view.crop for view in views) else b""
    for view in views:
        shown = pictures.resize(image, size, box(view, digest)) if view.crop else image
        yield shown[:, ::-1] if view.mirrored else shown


def _resized(resize: keras.layers.Layer, batch: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([keras.ops.convert_to_numpy(resize(image[None].astype(np.float32))) for image in batch])


def _readable(read: Callable[[int], np.ndarray], count: int) -> Iterator[np.ndarray]:
    """Yield each image; once one cannot be read, only its like are looked for."""
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
    return pictures.decode(Path(image)) if isinstance(image, str | Path) else pictures.to_rgb(image)


def evaluate(saved: Saved, ds: Any, group_by: Any = None, views: int = 1, flip: Flip = "none") -> dict[str, Any]:
    """Measure a trained model.

    Args:
        saved: The model and its classes.
        ds: Labelled images in any form a run takes; the test split where there is one, otherwise all of them.
        group_by: As for a run: where the images of a folder lie.
        views: As for `predict`.
        flip: As for `predict`.

    Returns:
        `images`, and what `metrics.summary` gives.

    Raises:
        DataError: The images cannot be used, or have classes the model does not know.
        RequestError: As for `predict`.
    """
    shown = _views(views, flip)
    samples = open_for_evaluation(ds, saved.class_names, group_by)
    probabilities = _probabilities(saved.model, samples.read, len(samples), shown)
    return {"images": len(samples), **metrics.summary(probabilities, samples.labels)}
