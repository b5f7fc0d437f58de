"""Predicting with a trained model, and measuring it on labelled images."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerastune_recipes import metrics
from kerastune_recipes.data import images as pictures
from kerastune_recipes.data.sources import open_for_evaluation
from kerastune_recipes.errors import DataError
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
        DataError: An image cannot be read.
    """
    if isinstance(images, str | Path) or (isinstance(images, np.ndarray) and images.ndim == 3):
        images = [images]
    # One at a time: images of different sizes make no batch, and each size is resized within the model.
    found = [np.asarray(model.predict_on_batch(_pixels(image)[None])) for image in images]
    if not found:
        raise DataError("there are no images to predict; give at least one.")
    return np.concatenate(found)


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
    probabilities = predict(saved.model, (samples.read(index) for index in range(len(samples))))
    return {"images": len(samples), **metrics.summary(probabilities, samples.labels)}
