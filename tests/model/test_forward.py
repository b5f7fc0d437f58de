"""Forward passes: any number of images, dtypes, outputs and progress."""

import gc
import weakref

import keras
import numpy as np
import pytest

from kerastune_recipes.devices.cluster import Cluster
from kerastune_recipes.devices.workers import Workers
from kerastune_recipes.errors import OutOfMemoryWarning, WorkError
from kerastune_recipes.model import forward


@pytest.fixture
def network(assembled):
    """A small network with random weights, for images of 32 pixels."""
    return assembled(taps="all")[2]


def test_a_forward_pass_takes_any_number_of_images(network, pictures):
    pixels, _ = pictures(5)
    run, batch_size = forward.forward(network.core)
    assert batch_size == forward.BATCH
    for count in (1, 5):
        np.testing.assert_allclose(run(pixels[:count]), network.core.predict_on_batch(pixels[:count]), atol=1e-5)


def out_of_memory_above(images, run):
    """Return a forward pass with memory for some images at once; it notes how many it gets."""
    import tensorflow as tf

    def limited(batch, size):
        limited.seen.append(len(batch))
        if len(batch) > images:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return run(batch, size)

    limited.seen = []
    return limited


def test_without_memory_for_a_batch_it_passes_in_parts(network, pictures, monkeypatch):
    compiled, passes = forward._compiled, []

    def limited(model, dtype):
        run, devices = compiled(model, dtype)
        passes.append(out_of_memory_above(8, run))
        return passes[-1], devices

    pixels, _ = pictures(40)
    whole = forward.predict(network.core, pixels)
    monkeypatch.setattr(forward, "_compiled", limited)
    with pytest.warns(OutOfMemoryWarning) as said:
        np.testing.assert_allclose(forward.predict(network.core, pixels), whole, atol=1e-6)
    assert [str(each.message) for each in said] == [
        f"The device has no memory for a forward pass of {before} images at once; it gets {after} at once, which "
        "changes results by rounding only."
        for before, after in ((32, 16), (16, 8))
    ]
    forward.predict(network.core, pixels)  # remembers the number
    assert [each.seen for each in passes] == [[32, 16, 8, 8, 8, 8, 8], [8, 8, 8, 8, 8]]


def test_several_outputs_in_parts(pictures):
    image = keras.Input((32, 32, 3))
    model = keras.Model(image, [image, keras.layers.Flatten()(image)])
    run = out_of_memory_above(3, lambda batch, size: [batch, batch.reshape(len(batch), -1)])
    pixels, _ = pictures(5)
    with pytest.warns(OutOfMemoryWarning):
        first, second = forward.as_memory_allows(model, run, pixels)
    np.testing.assert_array_equal(first, pixels)
    assert second.shape == (5, 32 * 32 * 3)


def test_without_memory_for_one_image(network, pictures):
    with pytest.warns(OutOfMemoryWarning), pytest.raises(WorkError, match="a single image of 32 x 32 pixels; give a"):
        forward.as_memory_allows(network.core, out_of_memory_above(0, None), pictures(5)[0])


def test_several_outputs_are_a_list(network, pictures):
    run, _ = forward.forward(network.backbone, "float32")
    outputs = run(pictures(2)[0].astype(np.float32))
    assert [output.shape for output in outputs] == [(2, *tensor.shape[1:]) for tensor in network.backbone.outputs]


def test_bytes_and_floats_have_the_same_features(network, pictures):
    pixels, _ = pictures(3)
    of_bytes, _ = forward.forward(network.extractor, "uint8")
    of_floats, _ = forward.forward(network.extractor, "float32")
    np.testing.assert_array_equal(of_bytes(pixels), of_floats(pixels.astype(np.float32)))


def test_new_weights_are_used(network, pictures):
    pixels, _ = pictures(2)
    run, _ = forward.forward(network.core)
    before = run(pixels)
    network.put_head(np.zeros(network.head.kernel.shape, np.float32), np.zeros(3, np.float32))
    assert not np.allclose(before, 1 / 3, atol=1e-3)
    np.testing.assert_allclose(run(pixels), 1 / 3, atol=1e-6)


def test_a_compiled_forward_pass_does_not_keep_its_network_alive(pictures):
    image = keras.Input((8, 8, 3))
    network = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    run, _ = forward.forward(network)
    run(pictures(1, size=8)[0])
    reference = weakref.ref(network)
    del image, network, run
    gc.collect()
    assert reference() is None


def test_a_pass_takes_time_in_proportion_to_the_images(network, pictures, monkeypatch):
    pixels, _ = pictures(40)
    seconds = iter([3.2, 0.8] * 2)  # of batches of 32 and of 8 images
    monkeypatch.setattr(forward, "timed", lambda work: next(seconds))
    assert forward.seconds_one_forward_pass(network.extractor, pixels, 40) == pytest.approx(4.0)
    assert forward.seconds_one_forward_pass(network.extractor, pixels, 400) == pytest.approx(40.0)


def test_seconds_are_measured(network, pictures):
    assert forward.seconds_one_forward_pass(network.extractor, pictures(40)[0], 40) > 0


def test_predictions_of_all_images_in_batches(network, pictures):
    pixels, _ = pictures(40)
    ticks = []
    probabilities = forward.predict(network.core, pixels, ticks.append)
    np.testing.assert_allclose(probabilities, network.core.predict_on_batch(pixels), atol=1e-5)
    assert ticks == [32, 40]


def test_no_images_have_no_predictions(network, pictures):
    assert forward.predict(network.core, pictures(4)[0][:0]).shape == (0, 3)


def test_a_worker_predicts_its_shard(network, pictures):
    class FakedWorkers(Workers):
        """The second of two workers; it gathers its own shard only."""

        def all_gather(self, work):
            return [work()]

    pixels, _ = pictures(5)
    ticks = []
    workers = FakedWorkers(Cluster(("a:1", "b:1"), 1))
    probabilities = forward.predict(network.core, pixels, ticks.append, workers)
    np.testing.assert_allclose(probabilities, network.core.predict_on_batch(pixels)[3:], atol=1e-5)
    assert ticks == [4]  # two of its own, and two of the other worker
