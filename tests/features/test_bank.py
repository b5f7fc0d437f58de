"""The features of one run: extracted once, or not at all where the cache has them."""

import keras
import numpy as np
import pytest
from banks import images_of, new_bank, noise

from kerastune_recipes.data.split_images import TRAIN, VALIDATION
from kerastune_recipes.data.views import WHOLE, View
from kerastune_recipes.features.bank import FeatureBank
from kerastune_recipes.features.cache import open_cache
from kerastune_recipes.features.extraction import Extractor


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setenv("KERASTUNE_CACHE", str(tmp_path / "cache"))
    with open_cache() as opened:
        yield opened


@pytest.fixture
def network(assembled):
    """A small network with random weights, for images of 32 pixels."""
    return assembled()[2].extractor


def test_a_split_is_extracted_once_in_a_run(network, cache):
    bank = new_bank(network, cache)
    assert not bank.has(TRAIN)
    found = bank.features(TRAIN)
    assert bank.has(TRAIN)
    assert bank.features(TRAIN) is found


def test_the_next_run_computes_only_what_the_cache_lacks(network, cache):
    first = new_bank(network, cache)
    first.features(TRAIN)
    second = new_bank(network, cache)
    assert second.features(TRAIN).computed == 0
    assert second.features(VALIDATION).computed == 6
    assert (first.computed, second.computed) == (12, 6)


def test_only_training_images_have_views(network, cache):
    bank = new_bank(network, cache, views=(WHOLE, View(mirrored=True), View(1)))
    assert bank.features(TRAIN).rows.shape[:2] == (3, 12)
    assert bank.features(VALIDATION).rows.shape[:2] == (1, 6)
    assert (len(bank.keys(TRAIN)), len(bank.keys(VALIDATION))) == (36, 6)


def test_the_seconds_per_image_are_measured_once(network, cache):
    whole_batch = {TRAIN: images_of(*noise(40))}
    bank = new_bank(network, cache, **whole_batch)
    assert bank.seconds_per_image() is None
    bank.features(TRAIN)
    measured = bank.seconds_per_image()
    assert measured > 0
    again = new_bank(network, cache, **whole_batch)
    again.features(TRAIN)
    assert again.seconds_per_image() == measured


def test_a_few_images_are_not_enough_to_measure_the_seconds(network, cache):
    bank = new_bank(network, cache)
    bank.features(TRAIN)
    assert bank.seconds_per_image() is None


def test_seconds_measured_elsewhere_are_cached(network, cache):
    new_bank(network, cache).save_seconds_per_image(0.25)
    assert new_bank(network, cache).seconds_per_image() == 0.25


@pytest.fixture
def two_networks(cache):
    """A bank of two networks of three features each: the mean and the maximum of the pixels."""
    image = keras.Input((32, 32, 3))
    networks = [
        keras.Model(image, layer(image))
        for layer in (keras.layers.GlobalAveragePooling2D(), keras.layers.GlobalMaxPooling2D())
    ]
    extractors = [Extractor(each, cache.network(f"net {at}", "A network")) for at, each in enumerate(networks)]
    first = new_bank(networks[0], cache)
    return FeatureBank(extractors, 32, (WHOLE,), first.images, first.display)


def test_the_features_of_several_networks_are_side_by_side(two_networks):
    pixels, _ = noise()
    found = two_networks.features(VALIDATION)
    assert two_networks.backbone_widths == (3, 3)
    assert found.computed == 12
    np.testing.assert_allclose(found.plain[:, :3], pixels[12:].mean(axis=(1, 2)), rtol=2e-3)
    np.testing.assert_array_equal(found.plain[:, 3:], pixels[12:].max(axis=(1, 2)))


def test_the_seconds_of_several_networks_are_not_cached_as_those_of_one(two_networks):
    two_networks.save_seconds_per_image(0.25)
    assert two_networks.seconds_per_image() is None
