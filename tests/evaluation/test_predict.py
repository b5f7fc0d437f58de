"""Predictions of one view or several, and the evaluation of a saved model on labelled images."""

from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from kerastune_recipes.data.images import decode, resize
from kerastune_recipes.data.sources.arrays import read_arrays
from kerastune_recipes.errors import DataError, RequestError
from kerastune_recipes.evaluation import metrics
from kerastune_recipes.evaluation.predict import evaluate, predict, resizing_difference
from kerastune_recipes.evaluation.saved_model import Saved


@pytest.fixture
def model(assembled):
    return assembled()[2].model


def of_resized(model, *images):
    """Return the probabilities that the layers behind the resizing give images of 32 x 32 pixels."""
    core = keras.Model(model.get_layer("resize").output, model.output)
    return np.asarray(core(np.stack(images).astype(np.float32)))


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_one_view_is_the_image_itself_resized_as_in_a_run(model, picture):
    np.testing.assert_allclose(predict(model, picture), of_resized(model, resize(picture, 32)), atol=1e-5)


def test_paths_arrays_and_lists_of_them_get_the_same_predictions(model, picture, tmp_path):
    file = tmp_path / "picture.png"
    Image.fromarray(picture).save(file)
    found = [predict(model, one) for one in (picture, file, str(file), [file], [picture], picture[None], [picture] * 2)]
    for other in found[1:]:
        np.testing.assert_allclose(other[:1], found[0], atol=1e-6)
    np.testing.assert_allclose(predict(model, [file, picture]), np.concatenate(found[:2]), atol=1e-6)


def test_a_large_jpeg_is_decoded_as_in_a_run(model, tmp_path):
    """At the reduced size that still has twice the pixels of the network; whole, it would look a little different."""
    file = tmp_path / "photo.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((800, 640), Image.Resampling.BICUBIC).save(file)
    reduced, whole = decode(file, 64), decode(file)
    assert (reduced.shape, whole.shape) == ((80, 100, 3), (640, 800, 3))
    assert (resize(reduced, 32) != resize(whole, 32)).any()
    np.testing.assert_allclose(predict(model, file), of_resized(model, resize(reduced, 32)), atol=1e-5)


def test_two_views_with_flips_are_the_image_and_its_mirror_image(model, picture):
    resized = resize(picture, 32)
    expected = of_resized(model, resized, resized[:, ::-1]).mean(axis=0, keepdims=True)
    np.testing.assert_allclose(predict(model, picture, tta=2, flip="horizontal"), expected, atol=1e-5)


def test_crops_are_the_same_each_time_and_differ_from_image_to_image(model, picture):
    images = [picture, picture[:30], picture]
    first, second, again = predict(model, images, tta=4)
    np.testing.assert_allclose(first, again, atol=1e-6)
    assert not np.allclose(first, second, atol=1e-4)
    assert not np.allclose(first, predict(model, picture)[0], atol=1e-4)
    np.testing.assert_allclose(first.sum(), 1, atol=1e-5)


def test_the_mean_is_taken_over_the_views_of_each_image(model, picture):
    many = predict(model, [picture] * 3 + [picture[::-1].copy()] * 20, tta=3)
    np.testing.assert_allclose(many[-1], predict(model, picture[::-1].copy(), tta=3)[0], atol=1e-5)


@pytest.mark.parametrize("tta", [0, -1, 1.5, 1001, 10**9])
def test_the_number_of_views_is_a_whole_number_from_1_to_1000(model, picture, tta):
    with pytest.raises(RequestError, match=f"tta: expected a whole number, 1 to 1000; received {tta}"):
        predict(model, picture, tta=tta)


def test_all_problems_are_named_at_once(model, picture):
    with pytest.raises(RequestError) as error:
        predict(model, picture, tta=0, flip="vertical")
    assert len(error.value.problems) == 2
    assert "flip: expected none or horizontal; received 'vertical'" in str(error.value)


def test_no_images_are_refused(model):
    with pytest.raises(DataError, match="there are no images to predict"):
        predict(model, [])


def test_evaluation_measures_the_test_split_with_the_predictions_of_the_same_views(model, pictures):
    saved = Saved(model, ("a", "b", "c"))
    images, labels = pictures(6)
    scores = evaluate(saved, {"train": pictures(9, seed=1), "test": (images, labels)}, tta=2, flip="horizontal")
    expected = metrics.summary(predict(model, images, tta=2, flip="horizontal"), labels)
    assert scores.pop("images") == 6
    assert scores.pop("resizing")["images"] == 6
    assert scores.pop("accuracy_ci95") == pytest.approx(expected.pop("accuracy_ci95"))
    assert scores == pytest.approx(expected, rel=1e-4)


def test_evaluation_knows_the_groups_of_the_images(model, pictures):
    images, labels = pictures(8)
    groups = np.array([1, 1, 1, 0, 0, 0, 2, 2])
    scores = evaluate(Saved(model, ("a", "b", "c")), (images, labels), group_by=groups)
    expected = metrics.summary(predict(model, images), labels, groups)
    assert scores["groups"] == 3
    assert scores["accuracy_ci95"] == pytest.approx(expected["accuracy_ci95"])


def test_crops_of_a_file_are_the_same_in_prediction_and_evaluation(model, photos, tmp_path):
    folder = photos(tmp_path / "set", size=50, a=2, b=2, c=2)
    files = sorted(folder.glob("*/*.png"))
    scores = evaluate(Saved(model, ("a", "b", "c")), str(folder), tta=3)
    labels = np.array([("a", "b", "c").index(file.parent.name) for file in files])
    assert scores["log_loss"] == pytest.approx(metrics.summary(predict(model, files, tta=3), labels)["log_loss"])


def test_all_images_that_cannot_be_read_are_named(model, picture, tmp_path):
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"nothing")
    with pytest.raises(DataError) as caught:
        predict(model, [picture, damaged, Path("missing.jpg"), np.full((4, 4, 7), 1.0)])
    first, second, third = caught.value.problems
    assert (first.partition(":")[0], second.partition(":")[0]) == (str(damaged), "missing.jpg")
    assert third.startswith("arrays that are not images: image 3 of shape (4, 4, 7); give")


def samples_of(pictures):
    return read_arrays(pictures, np.arange(len(pictures)) % 2).parts["train"].samples


def test_the_model_alone_differs_by_the_rounding_of_pixels(model, pictures):
    images, _ = pictures(40, size=90)
    found = resizing_difference(model, samples_of(images))
    chosen = images[np.linspace(0, 39, 32).astype(int)]
    differences = np.abs(model.predict_on_batch(chosen) - predict(model, chosen)).max(axis=1)
    assert found["images"] == 32
    assert found["largest_difference"] == pytest.approx(differences.max(), rel=1e-2)
    assert found["mean_difference"] == pytest.approx(differences.mean(), rel=1e-2)
    assert 0 < found["mean_difference"] < found["largest_difference"] < 0.05


def test_images_of_the_size_of_the_network_do_not_differ(model, pictures):
    found = resizing_difference(model, samples_of(pictures(3)[0]))
    assert found["largest_difference"] < 1e-6
    assert (found["images"], found["changed_answers"]) == (3, 0.0)


def test_answers_that_change_are_counted(model, picture, pictures):
    """A head between the features of one image that is resized in two ways; the other needs no resizing."""
    resizing, head = model.get_layer("resize"), model.get_layer("head")
    features = keras.Model(resizing.output, head.input)
    of_run = np.asarray(features(resize(picture, 32)[None].astype(np.float32)))[0]
    alone = np.asarray(features(resizing(picture[None].astype(np.float32))))[0]
    kernel, bias = np.zeros((len(alone), 3), np.float32), np.array([0, 0, -100], np.float32)
    kernel[:, 1] = (alone - of_run) / np.square(alone - of_run).sum()
    bias[1] = -kernel[:, 1] @ (alone + of_run) / 2
    head.set_weights([kernel, bias])
    samples = read_arrays([picture, pictures(1)[0][0]], [0, 1]).parts["train"].samples
    found = resizing_difference(model, samples)
    assert (found["images"], found["changed_answers"]) == (2, 0.5)
    assert found["largest_difference"] == pytest.approx(np.tanh(0.25), rel=0.05)
    assert found["mean_difference"] == pytest.approx(np.tanh(0.25) / 2, rel=0.05)
