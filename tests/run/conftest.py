"""A run on random pictures, without the steps before its phases."""

import pytest

from kerastune_recipes.data.decoding import load
from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.data.split_images import TEST, TRAIN, VALIDATION, Images
from kerastune_recipes.features.cache import open_cache
from kerastune_recipes.progress import Display
from kerastune_recipes.run.context import RunContext


@pytest.fixture
def context(assembled, pictures):
    """A DemoNet on random weights, 12 training, 6 validation and 3 test images of three classes."""
    plan, facts, network = assembled()
    images, labels = pictures(21)
    dataset = open_dataset(
        {
            "train": (images[:12], labels[:12]),
            "validation": (images[12:18], labels[12:18]),
            "test": (images[18:], labels[18:]),
        }
    )
    splits = {
        split: Images(samples, load(samples, 32))
        for split, samples in ((TRAIN, dataset.train), (VALIDATION, dataset.validation), (TEST, dataset.test))
    }
    with open_cache(keep=False) as cache:
        yield RunContext(plan, facts, network, splits, cache, 0, Display(False), ())
