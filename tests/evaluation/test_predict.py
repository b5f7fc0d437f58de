import numpy as np
import pytest

from kerastune_recipes.errors import RequestError
from kerastune_recipes.evaluation import predict


@pytest.fixture
def model(assembled):
    return assembled()[2].model


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def test_one_view_is_the_image_itself(model, picture):
    np.testing.assert_allclose(predict.predict(model, picture), model(picture[None]), atol=1e-5)


def test_two_views_with_flips_are_the_image_and_its_mirror_image(model, picture):
    both = np.stack([picture, picture[:, ::-1]])
    wanted = np.asarray(model(both)).mean(axis=0, keepdims=True)
    np.testing.assert_allclose(predict.predict(model, picture, views=2, flip="horizontal"), wanted, atol=1e-5)


def test_crops_are_the_same_each_time_and_differ_from_image_to_image(model, picture):
    images = [picture, picture[:30], picture]
    first, second, again = predict.predict(model, images, views=4)
    np.testing.assert_allclose(first, again, atol=1e-6)
    assert not np.allclose(first, second, atol=1e-4)
    assert not np.allclose(first, predict.predict(model, picture)[0], atol=1e-4)
    np.testing.assert_allclose(first.sum(), 1, atol=1e-5)


def test_the_mean_is_taken_over_the_views_of_each_image(model, picture):
    many = predict.predict(model, [picture] * 3 + [picture[::-1].copy()] * 20, views=3)
    np.testing.assert_allclose(many[-1], predict.predict(model, picture[::-1].copy(), views=3)[0], atol=1e-5)


@pytest.mark.parametrize("views", [0, -1, 1.5])
def test_views_are_counted_in_whole_numbers(model, picture, views):
    with pytest.raises(RequestError, match=f"views: expected a whole number, 1 or more, received {views}"):
        predict.predict(model, picture, views=views)


def test_all_problems_are_told_at_once(model, picture):
    with pytest.raises(RequestError) as error:
        predict.predict(model, picture, views=0, flip="vertical")
    assert len(error.value.problems) == 2
    assert "flip: expected none or horizontal, received 'vertical'" in str(error.value)
