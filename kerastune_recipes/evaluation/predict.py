"""Predict with a trained model, and evaluate it on labelled images; both with test-time augmentation if asked.

Images are decoded and resized as in a run, see `decoding.stream`, so that the figures of a run are found again.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kerastune_recipes.data import decoding
from kerastune_recipes.data.dataset import Pictures
from kerastune_recipes.data.pixel_range import GivenRange
from kerastune_recipes.data.sources.open import open_for_evaluation
from kerastune_recipes.data.sources.open_to_predict import open_to_predict
from kerastune_recipes.data.sources.parts import GroupBy
from kerastune_recipes.data.views import WHOLE, Flip, View, views
from kerastune_recipes.errors import RequestError
from kerastune_recipes.evaluation import metrics
from kerastune_recipes.evaluation.saved_model import Saved
from kerastune_recipes.model import forward
from kerastune_recipes.model.network import RESIZE

# Views of an image, each of which takes a forward pass; tens are already more than enough.
MOST_VIEWS = 1000
# Images on which the saved model is compared with the path of a run: a batch.
_MOST_COMPARED = 32


def predict(
    model: keras.Model, images: Any, tta: int = 1, flip: Flip = "none", pixel_range: GivenRange = None
) -> np.ndarray:
    """Predict class probabilities, with test-time augmentation if asked.

    Args:
        model: A model that maps raw images (b, h, w, 3), values 0..255, to probabilities (b, classes).
        images: Images in any form that `open_to_predict` takes, or what it returns: a path, a folder (its images in the
            order of their paths), a pattern, a CSV file, an array (h, w, 3) or (n, h, w, 3) of values 0..255, an image
            of Pillow, bytes, a tf.data.Dataset, or a list or generator of these.
        tta: Number of views of each image whose probabilities are averaged, 1 to 1000: the image itself, then random
            crops, the same ones for an image in every call. Each view takes a forward pass (test-time augmentation;
            Krizhevsky et al. 2012).
        flip: "horizontal" makes the mirror image the second view and mirrors every other crop; for images that keep
            their class when mirrored.
        pixel_range: The values of black and white, as for `Recipe.run`; a model expects images to be read as those that
            it was trained on.

    Returns:
        float32 (n, classes), also for a single image.

    Raises:
        DataError: Images cannot be read, or have another range of values; all of them are named.
        RequestError: `tta` or `flip` is not possible.

    Example:
        >>> predict(model, ["1.jpg", "2.jpg"], tta=4, flip="horizontal").shape
        (2, 10)
    """
    chosen = _views(tta, flip)
    pictures = images if isinstance(images, Pictures) else open_to_predict(images, pixel_range)
    return _probabilities(_core(model), pictures, chosen)


def evaluate(
    saved: Saved,
    ds: Any,
    group_by: GroupBy = None,
    tta: int = 1,
    flip: Flip = "none",
    pixel_range: GivenRange = None,
) -> dict[str, Any]:
    """Evaluate a trained model on labelled images.

    Args:
        saved: The model and its classes.
        ds: Labelled images in any form that `Recipe.run` takes; the test split where there is one, else all of them.
        group_by: As for `Recipe.run`; a folder with folders inside its class folders needs it.
        tta: As for `predict`.
        flip: As for `predict`.
        pixel_range: As for `Recipe.run`; None takes what the run was given.

    Returns:
        "images", their number, the metrics of `metrics.summary`, and "resizing", see `resizing_difference`.

    Raises:
        DataError: The images cannot be used, or have classes the model does not know.
        RequestError: As for `predict`.

    Example:
        >>> evaluate(saved_model.load("runs/first"), "more_photos/")["accuracy"]
        0.93
    """
    chosen = _views(tta, flip)
    pixel_range = saved.pixel_range if pixel_range is None else pixel_range
    samples = open_for_evaluation(ds, saved.class_names, group_by, pixel_range)
    core = _core(saved.model)
    probabilities = _probabilities(core, samples, chosen)
    return {
        "images": len(samples),
        **metrics.summary(probabilities, samples.labels, samples.groups),
        "resizing": _difference(core, saved.model.get_layer(RESIZE), samples),
    }


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


def resizing_difference(model: keras.Model, samples: Pictures) -> dict[str, Any]:
    """Compare the saved model on whole raw images, which its own layer resizes, with the path of a run.

    A run, `predict` and `evaluate` decode a JPEG at a reduced size where that is enough, and resize with Pillow, which
    rounds to 8 bits. The model alone does neither. Both are bilinear with antialiasing.

    Args:
        model: A model that maps raw images (b, h, w, 3), values 0..255, to probabilities (b, classes).
        samples: Images; at most 32 are taken, evenly spaced.

    Returns:
        "images", their number; "largest_difference" of a probability; "mean_difference", the mean over the images of
        the largest difference of each; "changed_answers", the share of images that get another class.

    Raises:
        DataError: Images cannot be decoded, all of them by name.

    Example:
        >>> resizing_difference(report.model, dataset.test)["changed_answers"]
        0.0
    """
    return _difference(_core(model), model.get_layer(RESIZE), samples)


def _difference(core: keras.Model, resizing: keras.layers.Layer, samples: Pictures) -> dict[str, Any]:
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(len(samples), _MOST_COMPARED)).astype(int))
    some = samples.select(chosen)
    of_run = _probabilities(core, some, (WHOLE,))
    run, batch_size = forward.forward(core, "float32")
    # One by one: TensorFlow would trace a graph for each size of an image, which takes seconds.
    resized = np.empty((len(some), *core.input_shape[1:]), np.float32)
    for index in range(len(some)):
        resized[index] = keras.ops.convert_to_numpy(resizing(some.read(index)[None].astype(np.float32)))[0]
    alone = np.concatenate([run(resized[start : start + batch_size]) for start in range(0, len(some), batch_size)])
    largest = np.abs(alone - of_run).max(axis=1)
    return {
        "images": len(some),
        "largest_difference": float(largest.max()),
        "mean_difference": float(largest.mean()),
        "changed_answers": float((alone.argmax(axis=1) != of_run.argmax(axis=1)).mean()),
    }


def _core(model: keras.Model) -> keras.Model:
    """Return the model from resized images (b, s, s, 3) on."""
    return keras.Model(model.get_layer(RESIZE).output, model.output)


def _probabilities(core: keras.Model, pictures: Pictures, chosen: Sequence[View]) -> np.ndarray:
    """Average the probabilities over the views of each image, decoded, resized and batched as in a run.

    Raises:
        DataError: Images cannot be decoded; all of them are named.
    """
    run, batch_size = forward.forward(core)
    views_by_image = [(index, chosen) for index in range(len(pictures))]
    # The chunks hold whole batches, as those of a run, so that the sums in the network have the same order.
    rows = np.concatenate(
        [
            run(chunk[start : start + batch_size])
            for chunk in decoding.stream(pictures, views_by_image, core.input_shape[1])
            for start in range(0, len(chunk), batch_size)
        ]
    )
    return rows.reshape(len(pictures), len(chosen), -1).mean(axis=1)
