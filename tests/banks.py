"""Small feature banks for the tests of the bank and of cached heads."""

import numpy as np

from kerastune_recipes.data.sources.arrays import read_arrays
from kerastune_recipes.data.split_images import TRAIN, VALIDATION, Images
from kerastune_recipes.data.views import WHOLE
from kerastune_recipes.features.bank import FeatureBank
from kerastune_recipes.features.cache import Cache
from kerastune_recipes.features.extraction import Extractor
from kerastune_recipes.progress import Display


def images_of(pixels, labels):
    """Return arrays as the images of one split."""
    return Images(read_arrays(pixels, labels).parts["train"].samples)


def noise(count=18, size=32):
    """Draw noise of three classes: uint8 images and labels."""
    random = np.random.default_rng(0)
    return random.integers(0, 256, (count, size, size, 3), dtype=np.uint8), np.arange(count) % 3


def new_bank(network, cache: Cache, views=(WHOLE,), **splits) -> FeatureBank:
    """Return a new bank of 12 training and 6 validation images, as a new run on the same images has it.

    Args:
        network: The extractor.
        cache: The cache of the run.
        views: Views of each training image.
        splits: Other images by split.
    """
    pixels, labels = noise()
    images = {TRAIN: images_of(pixels[:12], labels[:12]), VALIDATION: images_of(pixels[12:], labels[12:])}
    extractor = Extractor(network, cache.network("net", "A network"))
    return FeatureBank([extractor], 32, views, {**images, **splits}, Display(False))
