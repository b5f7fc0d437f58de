"""Predictions of one view or several, and the evaluation of a saved model on labelled images."""

import numpy as np
import pytest

from kerastune_recipes.errors import DataError, RequestError
from kerastune_recipes.evaluation import metrics
from kerastune_recipes.evaluation.predict import evaluate, predict
from kerastune_recipes.evaluation.saved_model import Saved


@pytest.fixture
def model(assembled):
    return assembled()[2].model


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_one_view_is_the_image_itself(model, picture):
    np.testing.assert_allclose(predict(model, picture), model(picture[None]), atol=1e-5)


def test_two_views_with_flips_are_the_image_and_its_mirror_image(model, picture):
    both = np.stack([picture, picture[:, ::-1]])
    expected = np.asarray(model(both)).mean(axis=0, keepdims=True)
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
    assert scores.pop("accuracy_ci95") == pytest.approx(expected.pop("accuracy_ci95"))
    assert scores == pytest.approx(expected, rel=1e-4)


def test_evaluation_knows_the_groups_of_the_images(model, pictures):
    images, labels = pictures(8)
    groups = np.array([1, 1, 1, 0, 0, 0, 2, 2])
    scores = evaluate(Saved(model, ("a", "b", "c")), (images, labels), group_by=groups)
    expected = metrics.summary(predict(model, images), labels, groups)
    assert scores["groups"] == 3
    assert scores["accuracy_ci95"] == pytest.approx(expected["accuracy_ci95"])
