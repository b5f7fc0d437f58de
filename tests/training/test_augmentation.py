"""Augmentation layers: which are accepted, and that a seed reproduces their draws."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from kerastune_recipes.errors import RecipeError
from kerastune_recipes.planning import augmentation_presets
from kerastune_recipes.training import augmentation

SIZE = 32


def layer(name, **arguments):
    return {"layer": name, "arguments": arguments}


def augmented(layers, images, labels, seed=0, batch=(0, 0)):
    """Return the output of a new function for one batch, given by epoch and number."""
    return augmentation.build(layers, images.shape[1], seed)(images, labels, batch)


@pytest.fixture
def photos():
    """Eight images of coarse colour blocks, with one-hot labels of four classes."""
    blocks = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 3), dtype=np.uint8)
    return blocks.repeat(SIZE // 4, axis=1).repeat(SIZE // 4, axis=2), np.eye(4, dtype="float32")[np.arange(8) % 4]


@pytest.fixture
def plain():
    """Sixteen uniform images of two classes: pixels are 0 in class 0, and 200 in class 1."""
    classes = np.arange(16) % 2
    return np.full((16, SIZE, SIZE, 3), 200.0, "float32") * classes[:, None, None, None], np.eye(2, dtype="float32")[
        classes
    ]


def test_an_empty_list_leaves_images_unchanged(photos):
    images, labels = augmented([], *photos)
    assert images.dtype == np.float32
    np.testing.assert_array_equal(images, photos[0])
    np.testing.assert_array_equal(labels, photos[1])


@pytest.mark.parametrize("strength", ["light", "medium", "strong"])
def test_presets_return_changed_images_of_the_same_shape_and_range(photos, strength):
    images, labels = augmented(augmentation_presets.preset(strength, "horizontal"), *photos)
    assert images.shape == (8, SIZE, SIZE, 3)
    assert images.dtype == labels.dtype == np.float32
    assert images.min() >= 0
    assert images.max() <= 255
    assert images.std() > 20
    assert np.abs(images - photos[0]).mean() > 5
    np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-5)


def test_uint8_and_float_images_are_augmented_identically(photos):
    layers = [layer("RandomBrightness", factor=0.5)]
    bytes_in, _ = augmented(layers, *photos)
    floats_in, _ = augmented(layers, photos[0].astype("float32"), photos[1])
    np.testing.assert_array_equal(bytes_in, floats_in)


def test_a_smaller_last_batch_is_accepted(photos):
    augment = augmentation.build(augmentation_presets.preset("light", "none"), SIZE, seed=0)
    assert augment(*photos, (0, 0))[0].shape[0] == 8
    assert augment(photos[0][:3], photos[1][:3], (0, 1))[0].shape[0] == 3


RANDOM_LAYERS = [
    layer("RandomColorJitter", contrast_factor=0.5),
    layer("RandAugment"),
    layer("CutMix"),
    layer("keras_cv.RandAugment", augmentations_per_image=3, rate=1.0),
    layer("keras_cv.RandomCutout", height_factor=0.5, width_factor=0.5, fill_mode="gaussian_noise"),
    layer("keras_cv.RandomGaussianBlur", kernel_size=3, factor=0.5),
    layer("keras_cv.RandomHue", factor=0.5),
    layer("keras_cv.GridMask"),
    layer("keras_cv.ChannelShuffle"),
    layer("keras_cv.MixUp"),
    layer("keras_cv.CutMix"),
    layer("keras_cv.FourierMix"),
    layer("keras_cv.Mosaic"),
]


@pytest.mark.parametrize("entry", RANDOM_LAYERS, ids=lambda entry: entry["layer"])
def test_a_batch_is_augmented_alike_whatever_was_augmented_before(photos, entry):
    one, other = (augmentation.build([entry], SIZE, seed=3) for _ in range(2))
    first, second = one(*photos, (2, 0)), one(*photos, (2, 1))
    assert not np.array_equal(first[0], second[0])
    for again in (one(*photos, (2, 0)), other(*photos, (2, 0))):
        np.testing.assert_array_equal(first[0], again[0])
        np.testing.assert_array_equal(first[1], again[1])
    assert len({image.tobytes() for image in first[0]}) == len(photos[0])


def test_epochs_batches_and_seeds_draw_differently(photos):
    layers = augmentation_presets.preset("light", "none")
    first, _ = augmented(layers, *photos)
    assert not np.array_equal(first, augmented(layers, *photos, batch=(0, 1))[0])
    assert not np.array_equal(first, augmented(layers, *photos, batch=(1, 0))[0])
    assert not np.array_equal(first, augmented(layers, *photos, seed=1)[0])


def test_the_same_layer_twice_draws_twice(photos):
    once, twice = (augmented([layer("RandomFlip", mode="horizontal")] * times, *photos)[0] for times in (1, 2))
    undone = np.abs(twice - photos[0]).max(axis=(1, 2, 3)) == 0
    assert not np.array_equal(once, photos[0])
    assert not undone.all()


def test_a_seed_given_by_the_user_takes_precedence(photos):
    layers = [layer("RandomZoom", height_factor=0.5, seed=7)]
    np.testing.assert_array_equal(augmented(layers, *photos, seed=1)[0], augmented(layers, *photos, seed=2)[0])


def test_building_leaves_the_users_settings_alone(photos):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        images, _ = augmented([layer("RandomColorJitter", contrast_factor=0.5)], *photos)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")
    assert images.dtype == np.float32


@pytest.mark.parametrize("strength", ["light", "medium"])  # in strong, RandAugment's solarisation inverts the ramp
def test_without_flip_no_image_is_mirrored(strength):
    ramp = np.broadcast_to(np.linspace(0, 255, SIZE, dtype="float32")[None, None, :, None], (16, SIZE, SIZE, 3))
    images, _ = augmented(augmentation_presets.preset(strength, "none"), ramp, np.ones((16, 1), "float32"))
    middle = slice(SIZE // 4, -SIZE // 4)
    right_half, left_half = (
        images[:, middle, SIZE // 2 :, 0].mean((1, 2)),
        images[:, middle, : SIZE // 2, 0].mean((1, 2)),
    )
    assert (right_half >= left_half).all()


def test_flips_mirror_about_half_the_images():
    ramp = np.broadcast_to(np.linspace(0, 255, SIZE, dtype="float32")[None, None, :, None], (64, SIZE, SIZE, 3))
    images, _ = augmented([layer("RandomFlip", mode="horizontal")], ramp, np.ones((64, 1), "float32"))
    mirrored = images[:, 0, 0, 0] > images[:, 0, -1, 0]
    assert 16 <= mirrored.sum() <= 48
    np.testing.assert_array_equal(images[mirrored], ramp[mirrored][:, :, ::-1])


@pytest.mark.parametrize("name", ["MixUp", "keras_cv.MixUp", "keras_cv.layers.MixUp"])
def test_mixup_mixes_images_and_labels_by_the_same_share(plain, name):
    images, labels = augmented([layer(name, alpha=1.0)], *plain)
    assert images.std(axis=(1, 2, 3)).max() < 1e-3
    np.testing.assert_allclose(images[:, 0, 0, 0] / 200, labels[:, 1], atol=1e-5)
    np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-5)
    assert 0.01 < labels[:, 1].std() < 0.49


def test_cutmix_mixes_labels_by_the_share_of_the_pixels(plain):
    images, labels = augmented([layer("CutMix", factor=[1.0, 1.0])], *plain)
    share = (images[..., 0] == 200).mean(axis=(1, 2))
    assert set(np.unique(images)) == {0.0, 200.0}
    # The rectangle's sides are real numbers and its pixels whole: each side is off by less than one.
    np.testing.assert_allclose(share, labels[:, 1], atol=2 / SIZE)
    np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-5)
    assert ((share > 0) & (share < 1)).any()


def test_cutmix_of_keras_cv_does_not_count_pixels_outside_the_image(plain):
    augment = augmentation.build([layer("keras_cv.CutMix")], SIZE, seed=0)
    for number in range(4):
        images, labels = augment(*plain, (0, number))
        share = (images[..., 0] == 200).mean(axis=(1, 2))
        np.testing.assert_allclose(labels, np.stack([1 - share, share], axis=1), atol=1e-6)
        assert ((share > 0) & (share < 1)).any()


@pytest.mark.parametrize("name", ["keras_cv.CutMix", "keras_cv.FourierMix", "keras_cv.Mosaic"])
def test_other_mixing_layers_return_labels_that_sum_to_one(photos, name):
    images, labels = augmented([layer(name)], *photos)
    assert images.shape == photos[0].shape
    assert (labels.max(axis=1) < 1).any()
    np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "entry",
    [
        layer("keras_cv.RandomCutout", height_factor=0.5, width_factor=0.5),
        layer("keras_cv.layers.RandomCropAndResize", crop_area_factor=[0.3, 0.5], aspect_ratio_factor=[0.8, 1.2]),
        layer("keras_cv.RandAugment", augmentations_per_image=3, rate=1.0),
        layer("keras.layers.RandomInvert"),
        layer("RandomCrop", height=20, width=20),
    ],
    ids=lambda entry: entry["layer"],
)
def test_layers_of_both_libraries_run_and_keep_the_size(photos, entry):
    images, labels = augmented([entry], *photos)
    assert images.shape == photos[0].shape
    assert not np.array_equal(images, photos[0])
    np.testing.assert_array_equal(labels, photos[1])


def test_all_problems_are_reported_at_once():
    with pytest.raises(RecipeError) as caught:
        augmentation.check(
            [
                layer("RandomFlop"),
                layer("RandomRotation", facto=0.1, bounding_box_format="xyxy"),
                layer("Dense", units=3),
                layer("RandomFlip", mode="sideways"),
                layer("RandomContrast", factor=0.2, value_range=[0, 1]),
                {"layer": "RandomFlip", "argument": {"mode": "horizontal"}},
                {"arguments": {}},
                {"layer": "RandomFlip", "arguments": "horizontal"},
                layer("RandomCutout", height_factor=0.1, width_factor=0.1),
                layer("keras_cv.RandomJpegQuality", factor=[50, 90]),
            ],
            "augmentation",
        )
    problems = caught.value.problems
    assert problems[0] == (
        'augmentation[0]: "RandomFlop" is not an augmentation layer of keras.layers or keras_cv.layers.'
        ' Did you mean "RandomFlip"?'
    )
    assert problems[1] == (
        'augmentation[1]: RandomRotation has no argument "facto"; it has factor, fill_mode, interpolation, seed,'
        ' fill_value. Did you mean "factor"?'
    )
    assert 'no argument "bounding_box_format"' in problems[2]
    assert problems[3] == 'augmentation[1]: RandomRotation needs the argument "factor".'
    assert problems[4] == 'augmentation[2]: "Dense" is a layer of keras.layers, but not an image augmentation.'
    assert problems[5] == (
        "augmentation[3]: RandomFlip: mode must be one of horizontal, vertical, horizontal_and_vertical;"
        ' received "sideways".'
    )
    assert problems[6] == (
        "augmentation[4]: RandomContrast: value_range must be [0, 255], the range of all images; received [0, 1]."
    )
    assert problems[7] == (
        'augmentation[5]: "argument" is not a key of an augmentation layer; write "layer" and "arguments".'
    )
    assert (
        problems[8] == 'augmentation[6]: "layer" is missing or not text; write the name of a layer, such as RandomFlip.'
    )
    assert problems[9] == "augmentation[7]: \"arguments\" must be written as name: value; received 'horizontal'."
    assert problems[10].endswith('Did you mean "keras_cv.RandomCutout"?')
    assert problems[11] == (
        'augmentation[9]: "keras_cv.RandomJpegQuality" cannot be used as an augmentation:'
        " it takes images in 0..1 and whitens those in 0..255."
    )
    assert len(problems) == 12


def test_build_checks_too():
    with pytest.raises(RecipeError, match="not an augmentation layer"):
        augmentation.build([layer("Flipper")], SIZE, seed=0)


def test_an_error_of_a_layer_is_passed_on():
    with pytest.raises(
        RecipeError, match=r"^fit\.augmentation\[0\]: RandomRotation does not accept its arguments: .*factor=7"
    ):
        augmentation.check([layer("RandomRotation", factor=7)], "fit.augmentation")


def test_layers_of_keras_cv_need_the_tensorflow_backend(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(
        RecipeError, match="layers of keras_cv need the tensorflow backend; the backend in use is jax; set"
    ):
        augmentation.check([layer("keras_cv.RandAugment")], "augmentation")


@pytest.mark.slow
def test_under_another_backend_the_layers_of_keras_run():
    backend = next((name for name in ("jax", "torch") if importlib.util.find_spec(name)), None)
    if backend is None:
        pytest.skip("neither jax nor torch is installed")
    program = """
import sys

class WithoutTensorFlow:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "tensorflow":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, WithoutTensorFlow())
import numpy as np
from kerastune_recipes.planning import augmentation_presets
from kerastune_recipes.training import augmentation
layers = [*augmentation_presets.preset("medium", "horizontal"), {"layer": "MixUp"}]
images, labels = np.full((4, 16, 16, 3), 99, "uint8"), np.eye(4, dtype="float32")
mixed, shares = augmentation.build(layers, 16, seed=0)(images, labels, (0, 0))
again, _ = augmentation.build(layers, 16, seed=0)(images, labels, (0, 0))
print(mixed.shape, shares.shape, np.allclose(shares.sum(axis=1), 1), np.array_equal(mixed, again))
"""
    environment = {**os.environ, "KERAS_BACKEND": backend}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "(4, 16, 16, 3) (4, 4) True True"
