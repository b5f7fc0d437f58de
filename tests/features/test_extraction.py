"""The feature pass: what it computes, what it finds in the store, and that it never computes anything twice."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from kerastune_recipes.arrays.files import FileArray
from kerastune_recipes.data.sources.arrays import read_arrays
from kerastune_recipes.data.views import WHOLE, View, views
from kerastune_recipes.errors import DataError
from kerastune_recipes.features import cache, extraction
from kerastune_recipes.features.fingerprint import fingerprint
from kerastune_recipes.model import forward as forward_module


def samples_of(pixels):
    return read_arrays(pixels, np.arange(len(pixels)) % 2).parts["train"].samples


@pytest.fixture
def space(tmp_path, monkeypatch):
    """An empty store's place for one network."""
    monkeypatch.setenv("KERASTUNE_CACHE", str(tmp_path / "cache"))
    with cache.open_cache() as store:
        yield store.network("net", "A network")


@pytest.fixture
def network(assembled):
    """A small network with random weights, for images of 32 pixels."""
    return assembled(taps="all")[2]


def test_one_row_for_each_view_and_image(network, pictures, space):
    pixels, _ = pictures(40)
    shown = views(3, "horizontal")
    found = extraction.extract(network.extractor, samples_of(pixels), 32, space, shown)
    assert found.rows.shape == (3, 40, network.extractor.output_shape[-1])
    expected = network.extractor.predict_on_batch(pixels[:2])
    np.testing.assert_allclose(found.rows[0][:2], expected, rtol=2e-3, atol=1e-3)
    mirrored = network.extractor.predict_on_batch(pixels[:2, :, ::-1])
    np.testing.assert_allclose(found.rows[1][:2], mirrored, rtol=2e-3, atol=1e-3)
    assert found.computed == 120


def test_decoded_pixels_give_what_the_images_give(network, pictures, space, tmp_path):
    pixels, _ = pictures(5)
    samples = samples_of(pixels)
    with cache.open_cache(keep=False) as other:
        elsewhere = other.space("net", "A network")
        decoded = extraction.extract(network.extractor, samples, 32, elsewhere, views(2, "horizontal"), pixels=pixels)
    read = extraction.extract(network.extractor, samples, 32, space, views(2, "horizontal"))
    np.testing.assert_array_equal(decoded.rows, read.rows)


def test_what_was_computed_once_is_found(network, pictures, space):
    pixels, _ = pictures(50)
    first = extraction.extract(network.extractor, samples_of(pixels), 32, space)
    again = extraction.extract(network.extractor, samples_of(pixels[::-1]), 32, space)
    assert (first.computed, again.computed) == (50, 0)
    np.testing.assert_array_equal(first.rows, again.rows[:, ::-1])


def test_ten_new_images_cost_ten_passes(network, pictures, space, monkeypatch):
    pixels, _ = pictures(60)
    extraction.extract(network.extractor, samples_of(pixels[:50]), 32, space)
    decoded = []
    samples = samples_of(pixels)
    counted = replace(samples, read=lambda index, at_least=None: decoded.append(index) or samples.read(index))
    passed = []
    forward, at_once = extraction.forward(network.extractor)
    counted_forward = (lambda batch: passed.append(len(batch)) or forward(batch)), at_once
    monkeypatch.setattr(extraction, "forward", lambda model: counted_forward)
    keys = extraction.digests(samples, (WHOLE,))
    assert extraction.extract(network.extractor, counted, 32, space, keys=keys).computed == 10
    assert sorted(decoded) == list(range(50, 60))
    assert passed == [1, 10]  # the first traces the graph


def test_a_view_more_costs_one_pass(network, pictures, space):
    samples = samples_of(pictures(20)[0])
    extraction.extract(network.extractor, samples, 32, space)
    assert extraction.extract(network.extractor, samples, 32, space, (WHOLE, View(1))).computed == 20


def test_an_interrupted_pass_goes_on(network, pictures, space, monkeypatch):
    samples = samples_of(pictures(100)[0])

    def interrupt(done):
        if done >= 64:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extraction.extract(network.extractor, samples, 32, space, tick=interrupt)
    assert extraction.extract(network.extractor, samples, 32, space).computed == 36


def test_unreadable_images_are_all_named(network, pictures, space):
    samples = samples_of(pictures(10)[0])

    def read(index, at_least=None):
        if index in (3, 7):
            raise DataError(f"image {index}: torn.")
        return samples.read(index)

    with pytest.raises(DataError) as caught:
        extraction.extract(network.extractor, replace(samples, read=read), 32, space)
    assert caught.value.problems == ("image 3: torn.", "image 7: torn.")


class _Scaled(keras.layers.Layer):
    def call(self, inputs):
        return keras.ops.mean(keras.ops.cast(inputs, "float32"), axis=(1, 2)) * [1.0, 1000.0, 0.0] + [0.0, 0.0, 5.0]


def _computing(layer):
    image = keras.Input((8, 8, 3))
    return keras.Model(image, layer(image))


def test_half_precision_where_it_costs_nothing_and_single_where_it_would(pictures, space):
    """Values over 65504 do not fit; neither does a feature that varies little about a large mean."""
    pixels, _ = pictures(40, size=8)
    near = _computing(keras.layers.GlobalAveragePooling2D())
    assert extraction.extract(near, samples_of(pixels), 8, space).rows.dtype == np.float16
    with cache.open_cache(keep=False) as other:
        large = extraction.extract(_computing(_Scaled()), samples_of(pixels), 8, other.space("large", "Large"))
        assert large.rows.dtype == np.float32
        assert np.isfinite(large.rows).all()
        again = extraction.extract(_computing(_Scaled()), samples_of(pixels), 8, other.space("large", "Large"))
        assert again.computed == 0
        np.testing.assert_array_equal(again.rows, large.rows)


def test_another_network_finds_nothing(assembled, pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("KERASTUNE_CACHE", str(tmp_path / "cache"))
    samples = samples_of(pictures(5)[0])
    for _ in range(2):  # random weights: two networks
        network = assembled()[2]
        with cache.open_cache() as store:
            place = store.network(fingerprint(network.members[0], "avg"), "A network")
            assert extraction.extract(network.extractor, samples, 32, place).computed == 5


def test_a_pass_costs_in_proportion_to_the_images(network, pictures):
    pixels, _ = pictures(40)
    assert forward_module.seconds_one_forward_pass(network.extractor, pixels, 40) > 0


def test_predicting_keeps_nothing(network, pictures):
    pixels, _ = pictures(40)
    told = []
    probabilities = forward_module.predict(network.core, pixels, told.append)
    np.testing.assert_allclose(probabilities[:2], network.core.predict_on_batch(pixels[:2]), atol=1e-5)
    assert told == [32, 40]


def test_what_memory_has_no_room_for_lies_in_a_file(network, pictures, space, monkeypatch):
    samples, shown = samples_of(pictures(40)[0]), views(2, "horizontal")
    held = extraction.extract(network.extractor, samples, 32, space, shown)
    monkeypatch.setenv("KERASTUNE_MEMORY", "1KiB")
    filed = extraction.extract(network.extractor, samples, 32, space, shown)
    assert isinstance(held.rows, np.ndarray)
    assert isinstance(filed.rows, FileArray)
    np.testing.assert_array_equal(np.asarray(filed.rows), held.rows)
    np.testing.assert_array_equal(np.asarray(filed.plain), held.rows[0])
