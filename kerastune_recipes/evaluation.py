"""Predicting with a trained model, and measuring it on labelled images."""

from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastune_recipes import metrics
from kerastune_recipes.data import images as pictures
from kerastune_recipes.data.sources import open_for_evaluation
from kerastune_recipes.errors import DataError
from kerastune_recipes.features import BATCH
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
    """Predict in batches of neighbours of one size; the model resizes each itself."""
    found: list[np.ndarray] = []
    for _, batch in groupby(_batches(read, count), key=lambda numbered: numbered[0]):
        found.append(np.asarray(model.predict_on_batch(np.stack([pixels for _, pixels in batch]))))
    return np.concatenate(found)


def _batches(read: Callable[[int], np.ndarray], count: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each image with the number of its batch; once one cannot be read, only its like are looked for."""
    problems: list[str] = []
    batch, filled, shape = 0, 0, None
    for index in range(count):
        try:
            pixels = read(index)
        except DataError as error:
            problems += error.problems
            continue
        if filled == BATCH or pixels.shape != shape:
            batch, filled, shape = batch + 1, 0, pixels.shape
        filled += 1
        if not problems:
            yield batch, pixels
    if problems:
        raise DataError(*problems)


def _pixels(image: Any) -> np.ndarray:
    return pictures.decode(Path(image)) if isinstance(image, str | Path) else pictures.to_rgb(image)


def evaluate(saved: Saved, ds: Any) -> dict[str, Any]:
    """Measure a trained model.

    Args:
        saved: The model and its classes.
        ds: Labelled images in any form a run takes; the test split where there is one, otherwise all of them.

    Returns:
        `images`, and what `metrics.summary` gives.

    Raises:
        DataError: The images cannot be used, or have classes the model does not know.
    """
    samples = open_for_evaluation(ds, saved.class_names)
    probabilities = _probabilities(saved.model, samples.read, len(samples))
    return {"images": len(samples), **metrics.summary(probabilities, samples.labels)}
