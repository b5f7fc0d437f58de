import keras
import numpy as np
import pytest

from kerastune_recipes.arrays.files import FileArray
from kerastune_recipes.errors import WorkError
from kerastune_recipes.model import frozen_part
from kerastune_recipes.model.freeze import freeze, still_dropout
from kerastune_recipes.planning import layer_patterns
from kerastune_recipes.training import frozen_views
from kerastune_recipes.training.batches import LabelledBatches

LAST_STAGE = [("head", 1.0), ("backbone/last_stage", 1.0), ("backbone", "frozen")]


def halved(network, facts, rules=LAST_STAGE, batch_norm="frozen"):
    groups = layer_patterns.group_layers(rules, facts, "trainable")
    freeze(network, groups, batch_norm)
    with still_dropout(network.backbone, groups):
        return frozen_part.split(network)


def shapes(halves):
    return [tuple(tensor.shape[1:]) for tensor in halves.fixed.outputs]


@pytest.mark.parametrize("name", ["VGG16", "ResNet50", "MobileNetV2", "EfficientNetB0", "ConvNeXtTiny", "DemoNet"])
def test_the_halves_make_the_whole(name, assembled, pictures):
    _, facts, network = assembled(name, taps="all")
    halves = halved(network, facts)
    pixels, _ = pictures(2)
    np.testing.assert_allclose(
        halves.rest.predict_on_batch(halves.fixed.predict_on_batch(pixels)),
        network.core.predict_on_batch(pixels),
        atol=1e-6,
    )
    assert not halves.fixed.trainable_variables
    trained = {variable.path for variable in network.core.trainable_variables}
    assert {variable.path for variable in halves.rest.trainable_variables} == trained
    ours = {id(variable) for variable in network.core.variables}
    assert {id(variable) for variable in halves.rest.weights} <= ours


def test_what_crosses_is_the_end_of_the_frozen_stages_and_their_pooled_features(assembled):
    _, facts, network = assembled("ResNet50", size=64, taps="all")
    assert shapes(halved(network, facts)) == [(4, 4, 1024), (64,), (256,), (512,), (1024,)]


def test_with_the_head_alone_the_features_cross(assembled):
    _, facts, network = assembled(taps="all")
    halves = halved(network, facts, [("head", 1.0), ("backbone", "frozen")])
    assert shapes(halves) == [(network.extractor.output_shape[-1],)]
    assert len(halves.rest.weights) == 2


def test_batch_norm_that_follows_the_images_ends_what_is_fixed(assembled):
    """With its layer trained and `batch_norm: frozen`, the stem's normalisation is fixed; with `trained` it is not."""
    _, facts, network = assembled()
    rules = [("head", 1.0), ("backbone/stem_bn", 1.0), ("backbone/last_stage", 1.0), ("backbone", "frozen")]
    assert shapes(halved(network, facts, rules)) == shapes(halved(network, facts))
    stem = next(output for output in facts.outputs if output.name == "stem_conv").shape
    assert shapes(halved(network, facts, rules, "trained")) == [stem]


def test_dropout_that_acts_ends_what_is_fixed(assembled):
    _, facts, network = assembled("EfficientNetB0")
    groups = layer_patterns.group_layers([("head", 1.0), ("backbone", "frozen")], facts, "trainable")
    freeze(network, groups, "frozen")
    with still_dropout(network.backbone, groups):
        still = shapes(frozen_part.split(network))
    # Stochastic depth first acts in the second block of stage1.
    acting = shapes(frozen_part.split(network))
    assert still == [(1280,)]
    assert all(len(shape) == 3 for shape in acting)


def numbered(count, seed=None, augment=None):
    images = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 8, 8, 3)).copy()
    return LabelledBatches(images, np.arange(count) % 3, 3, 2, seed=seed, augment=augment)


@pytest.fixture
def summing():
    """A fixed part whose two tensors are the image itself and its mean."""
    image = keras.Input((8, 8, 3))
    return keras.Model(image, [keras.layers.ReLU()(image), keras.layers.GlobalAveragePooling2D()(image)])


def test_views_of_each_image_stand_under_its_number(summing):
    def brighter(images, labels):
        brighter.calls += 1
        return images.astype(np.float32) + 100 * ((brighter.calls - 1) // 3), labels / brighter.calls

    brighter.calls = 0
    views = frozen_views.compute(summing, numbered(5, seed=0, augment=brighter), views=2)
    assert views.values.shape == (2, 5, 8 * 8 * 3 + 3)
    assert views.values.dtype == np.float32
    # Three batches make a view: the second is brighter by 100.
    np.testing.assert_allclose(views.values[:, :, -1], [[0, 1, 2, 3, 4], [100, 101, 102, 103, 104]], rtol=1e-6)
    assert (views.labels.argmax(axis=2) == np.arange(5) % 3).all()
    assert sorted(set(views.labels.max(axis=2).ravel())) == pytest.approx([1 / 6, 1 / 5, 1 / 4, 1 / 3, 1 / 2, 1])


def test_epochs_take_turns_with_the_views(summing):
    def brighter(images, labels):
        brighter.calls += 1
        return images.astype(np.float32) + 100 * ((brighter.calls - 1) // 3), labels

    brighter.calls = 0
    views = frozen_views.compute(summing, numbered(5, seed=0, augment=brighter), views=2)
    seen = []
    for epoch in range(3):
        views.start(epoch)
        seen.append([float(mean) for index in range(len(views)) for mean in views[index][0][1][:, 0]])
    assert sorted(seen[0]) == sorted(seen[2]) == pytest.approx([0, 1, 2, 3, 4])
    assert sorted(seen[1]) == pytest.approx([100, 101, 102, 103, 104])
    assert seen[0] != seen[2]


def test_tensors_get_their_shapes_back(summing):
    (image, mean), _ = frozen_views.compute(summing, numbered(5), views=1)[1]
    assert (image.shape, mean.shape) == ((2, 8, 8, 3), (2, 3))
    assert (image == np.array([2, 3])[:, None, None, None]).all()


def test_over_budget_they_lie_in_a_file(summing):
    views = frozen_views.compute(summing, numbered(5), views=1, budget_bytes=5 * 195 * 4 - 1)
    assert isinstance(views.values, FileArray)
    np.testing.assert_array_equal(views.values[:], frozen_views.compute(summing, numbered(5), views=1).values)


def test_a_full_disk_is_told(summing, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 0}))
    with pytest.raises(WorkError, match='4 views of 5 images .* give fewer views or write "fresh"'):
        frozen_views.compute(summing, numbered(5), views=4, budget_bytes=0)


def test_progress_is_told_of_each_batch(summing):
    ticks = []
    frozen_views.compute(summing, numbered(5), views=2, progress=lambda: ticks.append(1))
    assert len(ticks) == 6
