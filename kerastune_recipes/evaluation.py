"""Predicting with a trained model, and measuring it on labelled images."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastune_recipes import metrics
from kerastune_recipes.data import images as pictures
from kerastune_recipes.data.sources import open_for_evaluation
from kerastune_recipes.errors import DataError
from kerastune_recipes.features import BATCH
from kerastune_recipes.model.assemble import RESIZE
from kerastune_recipes.output import Saved


def predict(model: keras.Model, images: Any) -> np.ndarray:
    """Predict class probabilities.

    Args:
        model: Raw images (b, h, w, 3), values 0..255, to probabilities (b, classes).
        images: A path, an array (h, w, 3) or (n, h, w, 3) of values 0..255, or a list of paths or of arrays of any
            sizes.

    Returns:
        float32 (n, classes), also for a single image.

    Raises:
        DataError: Images that cannot be read, all of them.
    """
    if isinstance(images, str | Path) or (isinstance(images, np.ndarray) and images.ndim == 3):
        images = [images]
    images = list(images)
    if not images:
        raise DataError("there are no images to predict; give at least one.")
    return _probabilities(model, lambda index: _pixels(images[index]), len(images))


def _probabilities(model: keras.Model, read: Callable[[int], np.ndarray], count: int) -> np.ndarray:
    """Resize each image by the model's own layer, and pass them through the rest of it in batches.

    A graph is traced for each size of input it meets, which takes seconds; so the rest meets one size only.
    """
    resize = model.get_layer(RESIZE)
    core = keras.Model(resize.output, model.output)
    images = _readable(read, count)
    batches = iter(lambda: list(islice(images, BATCH)), [])
    return np.concatenate([np.asarray(core.predict_on_batch(_resized(resize, batch))) for batch in batches])


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


def evaluate(saved: Saved, ds: Any, group_by: Any = None) -> dict[str, Any]:
    """Measure a trained model.

    Args:
        saved: The model and its classes.
        ds: Labelled images in any form a run takes; the test split where there is one, otherwise all of them.
        group_by: As for a run: where the images of a folder lie.

    Returns:
        `images`, and what `metrics.summary` gives.

    Raises:
        DataError: The images cannot be used, or have classes the model does not know.
    """
    samples = open_for_evaluation(ds, saved.class_names, group_by)
    probabilities = _probabilities(saved.model, samples.read, len(samples))
    return {"images": len(samples), **metrics.summary(probabilities, samples.labels)}
