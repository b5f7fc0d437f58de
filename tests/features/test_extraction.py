"""Feature extraction: what it computes, what it finds in the cache, and that it computes nothing twice."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from kerastune_recipes.arrays.files import FileArray
from kerastune_recipes.data.sources.arrays import read_arrays
from kerastune_recipes.data.views import WHOLE, View, views
from kerastune_recipes.errors import DataError
from kerastune_recipes.features import extraction
from kerastune_recipes.features.cache import NetworkCache, open_cache
from kerastune_recipes.features.extraction import ExtractionRequest, Extractor
from kerastune_recipes.features.fingerprint import fingerprint


def samples_of(pixels):
    return read_arrays(pixels, np.arange(len(pixels)) % 2).parts["train"].samples


def extract(model, samples, cache: NetworkCache, *, size=32, tick=None, **options):
    """Extract the features of images of 32 pixels."""
    return extraction.extract(Extractor(model, cache), ExtractionRequest(samples, size, **options), tick)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The empty cache of one network."""
    monkeypatch.setenv("KERASTUNE_CACHE", str(tmp_path / "cache"))
    with open_cache() as opened:
        yield opened.network("net", "A network")


@pytest.fixture
def network(assembled):
    """A small network with random weights, for images of 32 pixels."""
    return assembled(taps="all")[2]


def test_one_row_for_each_view_and_image(network, pictures, cache):
    pixels, _ = pictures(40)
    three = views(3, "horizontal")
    found = extract(network.extractor, samples_of(pixels), cache, views=three)
    assert found.rows.shape == (3, 40, network.extractor.output_shape[-1])
    expected = network.extractor.predict_on_batch(pixels[:2])
    np.testing.assert_allclose(found.rows[0][:2], expected, rtol=2e-3, atol=1e-3)
    mirrored = network.extractor.predict_on_batch(pixels[:2, :, ::-1])
    np.testing.assert_allclose(found.rows[1][:2], mirrored, rtol=2e-3, atol=1e-3)
    assert found.computed == 120


def test_decoded_pixels_give_the_same_features(network, pictures, cache, tmp_path):
    pixels, _ = pictures(5)
    samples = samples_of(pixels)
    with open_cache(keep=False) as other:
        elsewhere = other.network("net", "A network")
        decoded = extract(network.extractor, samples, elsewhere, views=views(2, "horizontal"), pixels=pixels)
    read = extract(network.extractor, samples, cache, views=views(2, "horizontal"))
    np.testing.assert_array_equal(decoded.rows, read.rows)


def test_computed_features_are_found_again_in_any_order(network, pictures, cache):
    pixels, _ = pictures(50)
    first = extract(network.extractor, samples_of(pixels), cache)
    again = extract(network.extractor, samples_of(pixels[::-1]), cache)
    assert (first.computed, again.computed) == (50, 0)
    np.testing.assert_array_equal(first.rows, again.rows[:, ::-1])


def test_only_new_images_are_decoded_and_computed(network, pictures, cache, monkeypatch):
    pixels, _ = pictures(60)
    extract(network.extractor, samples_of(pixels[:50]), cache)
    decoded = []
    samples = samples_of(pixels)
    counted = replace(samples, read=lambda index, at_least=None: decoded.append(index) or samples.read(index))
    passed = []
    forward, batch_size = extraction.forward(network.extractor)
    counted_forward = (lambda batch: passed.append(len(batch)) or forward(batch)), batch_size
    monkeypatch.setattr(extraction, "forward", lambda model: counted_forward)
    keys = extraction.digests(samples, (WHOLE,))
    assert extract(network.extractor, counted, cache, keys=keys).computed == 10
    assert sorted(decoded) == list(range(50, 60))
    assert passed == [1, 10]  # the first call traces the graph


def test_another_view_computes_one_row_per_image(network, pictures, cache):
    samples = samples_of(pictures(20)[0])
    extract(network.extractor, samples, cache)
    assert extract(network.extractor, samples, cache, views=(WHOLE, View(1))).computed == 20


def test_an_interrupted_extraction_continues(network, pictures, cache, monkeypatch):
    samples = samples_of(pictures(100)[0])

    def interrupt(done):
        if done >= 64:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(network.extractor, samples, cache, tick=interrupt)
    assert extract(network.extractor, samples, cache).computed == 36


def test_unreadable_images_are_all_named(network, pictures, cache):
    samples = samples_of(pictures(10)[0])

    def read(index, at_least=None):
        if index in (3, 7):
            raise DataError(f"image {index}: truncated.")
        return samples.read(index)

    with pytest.raises(DataError) as caught:
        extract(network.extractor, replace(samples, read=read), cache)
    assert caught.value.problems == ("image 3: truncated.", "image 7: truncated.")


class _Scaled(keras.layers.Layer):
    def call(self, inputs):
        return keras.ops.mean(keras.ops.cast(inputs, "float32"), axis=(1, 2)) * [1.0, 1000.0, 0.0] + [0.0, 0.0, 5.0]


def _model_of(layer):
    image = keras.Input((8, 8, 3))
    return keras.Model(image, layer(image))


def test_single_precision_is_kept_where_half_would_lose_information(pictures, cache):
    """Values over 65504 overflow, and a feature that varies little around a large mean is rounded away."""
    pixels, _ = pictures(40, size=8)
    plain = _model_of(keras.layers.GlobalAveragePooling2D())
    assert extract(plain, samples_of(pixels), cache, size=8).rows.dtype == np.float16
    with open_cache(keep=False) as other:
        large = extract(_model_of(_Scaled()), samples_of(pixels), other.network("large", "Large"), size=8)
        assert large.rows.dtype == np.float32
        assert np.isfinite(large.rows).all()
        again = extract(_model_of(_Scaled()), samples_of(pixels), other.network("large", "Large"), size=8)
        assert again.computed == 0
        np.testing.assert_array_equal(again.rows, large.rows)


@pytest.fixture
def written_at_once(monkeypatch):
    """Rows are due for the cache as soon as they are computed, one image at a time."""
    monkeypatch.setattr(extraction, "_BUFFER_SECONDS", -1)
    genuine = extraction.forward
    monkeypatch.setattr(extraction, "forward", lambda model: (genuine(model)[0], 1))


def test_a_single_row_does_not_decide_the_precision(pictures, cache, written_at_once):
    """The first row has no deviation that its rounding could be compared with."""
    samples = samples_of(pictures(40, size=8)[0])
    assert extract(_model_of(_Scaled()), samples, cache, size=8).rows.dtype == np.float32


def test_rows_that_decide_are_kept_back_until_there_are_enough(pictures, cache, written_at_once):
    pixels, _ = pictures(33, size=8)
    plain = _model_of(keras.layers.GlobalAveragePooling2D())
    sizes = []
    adding = replace(cache)
    object.__setattr__(adding, "add", lambda keys, rows: sizes.append((len(keys), rows.dtype.name)))
    assert extract(plain, samples_of(pixels), adding, size=8).rows.dtype == np.float16
    assert sizes == [(32, "float16"), (1, "float16")]


@pytest.mark.parametrize("repeated", [False, True])
def test_few_different_images_keep_single_precision(repeated, pictures, cache):
    pixels, _ = pictures(31, size=8)
    if repeated:
        pixels = np.concatenate([pixels, pixels])
    plain = _model_of(keras.layers.GlobalAveragePooling2D())
    assert extract(plain, samples_of(pixels), cache, size=8).rows.dtype == np.float32
    more = np.concatenate([pixels, pictures(40, size=8, seed=1)[0]])
    assert extract(plain, samples_of(more), cache, size=8).rows.dtype == np.float32  # as those that are cached


def test_views_of_an_image_are_one_image(pictures, cache):
    pixels, _ = pictures(16, size=8)
    plain = _model_of(keras.layers.GlobalAveragePooling2D())
    found = extract(plain, samples_of(pixels), cache, size=8, views=views(3, "horizontal"))
    assert found.rows.dtype == np.float32


def test_single_precision_on_request_also_where_half_is_cached(pictures, cache):
    samples = samples_of(pictures(40, size=8)[0])
    plain = _model_of(keras.layers.GlobalAveragePooling2D())
    assert extract(plain, samples, cache, size=8).rows.dtype == np.float16
    exact = extract(plain, samples, cache, size=8, exact=True)
    assert (exact.rows.dtype, exact.computed) == (np.float32, 40)
    images = np.stack([samples.read(index) for index in range(40)])
    np.testing.assert_allclose(exact.rows[0], plain.predict_on_batch(images), rtol=1e-6)
    again = extract(plain, samples, cache, size=8, exact=True)
    assert again.computed == 0
    np.testing.assert_array_equal(again.rows, exact.rows)


def test_another_network_finds_nothing(assembled, pictures, tmp_path, monkeypatch):
    monkeypatch.setenv("KERASTUNE_CACHE", str(tmp_path / "cache"))
    samples = samples_of(pictures(5)[0])
    for _ in range(2):  # random weights: two networks
        network = assembled()[2]
        with open_cache() as opened:
            own = opened.network(fingerprint(network.members[0], "avg"), "A network")
            assert extract(network.extractor, samples, own).computed == 5


def test_features_larger_than_memory_are_in_a_file(network, pictures, cache, monkeypatch):
    samples, both = samples_of(pictures(40)[0]), views(2, "horizontal")
    in_memory = extract(network.extractor, samples, cache, views=both)
    monkeypatch.setenv("KERASTUNE_MEMORY", "1KiB")
    in_file = extract(network.extractor, samples, cache, views=both)
    assert isinstance(in_memory.rows, np.ndarray)
    assert isinstance(in_file.rows, FileArray)
    np.testing.assert_array_equal(np.asarray(in_file.rows), in_memory.rows)
    np.testing.assert_array_equal(np.asarray(in_file.plain), in_memory.rows[0])
