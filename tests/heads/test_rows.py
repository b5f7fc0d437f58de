import numpy as np
import pytest

from kerastune_recipes.heads.rows import Rows, Scale, blocks, row_space, standardised


@pytest.fixture
def rows():
    random = np.random.default_rng(0)
    return Rows(random.normal(size=(12, 2, 5)).astype(np.float32), np.arange(12) % 3, np.ones(12, np.float32), 5)


def test_every_view_has_the_label_of_its_image(rows):
    features, labels, weights = rows.flat()
    np.testing.assert_array_equal(features[1], rows.features[0, 1])
    assert labels.tolist() == np.repeat(np.arange(12) % 3, 2).tolist()
    assert len(weights) == 24


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_standardised_over_all_views_in_the_order_asked_for(dtype):
    views = np.random.default_rng(0).uniform(-3, 9, (2, 700, 4)).astype(dtype)
    views[:, :, 2] = 5.0
    order = np.random.default_rng(1).permutation(700)
    features, scale = standardised(views, order)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features.mean(axis=(0, 1)), 0, atol=1e-4)
    np.testing.assert_allclose(features.std(axis=(0, 1)), [1, 1, 0, 1], atol=1e-4)
    back = features * scale.deviation + scale.mean
    np.testing.assert_allclose(back, views[:, order].transpose(1, 0, 2), atol=1e-3)


def test_fewer_rows_than_features_have_fewer_coordinates():
    rows = np.random.default_rng(0).normal(size=(20, 100)).astype(np.float32)
    coordinates, basis = row_space(rows)
    assert coordinates.shape == (20, 20)
    np.testing.assert_allclose(coordinates @ basis.T, rows, atol=1e-4)
    np.testing.assert_allclose(basis.T @ basis, np.eye(20), atol=1e-4)
    same, nothing = row_space(rows[:, :30])
    assert nothing is None
    assert same.shape == (20, 30)


def test_what_is_nearly_always_the_same_is_not_blown_up():
    rows = np.zeros((1000, 2), np.float32)
    rows[7] = 1.0, 1e-9
    scale = Scale.of(blocks(rows))
    np.testing.assert_allclose(scale.deviation, [0.999 / 3, 1.0])
    scale.apply(rows)
    assert np.abs(rows).max() == pytest.approx(3)
