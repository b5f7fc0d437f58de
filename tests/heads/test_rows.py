"""Feature rows: standardised, and in fewer coordinates where those suffice."""

import numpy as np
import pytest

from kerastune_recipes.arrays.files import FileArray
from kerastune_recipes.heads.rows import FileRows, Rows, Scale, blocks, class_means, read_blocks, row_space, standardise


@pytest.fixture
def rows():
    random = np.random.default_rng(0)
    return Rows(random.normal(size=(12, 2, 5)).astype(np.float32), np.arange(12) % 3, np.ones(12, np.float32), 5)


def test_flat_rows_repeat_the_label_of_an_image_for_its_views(rows):
    features, labels, weights = rows.flat()
    np.testing.assert_array_equal(features[1], rows.features[0, 1])
    assert labels.tolist() == np.repeat(np.arange(12) % 3, 2).tolist()
    assert len(weights) == 24


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_features_are_standardised_over_all_views_in_the_given_order(dtype):
    views = np.random.default_rng(0).uniform(-3, 9, (2, 700, 4)).astype(dtype)
    views[:, :, 2] = 5.0
    order = np.random.default_rng(1).permutation(700)
    features, scale = standardise(views, order)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features.mean(axis=(0, 1)), 0, atol=1e-4)
    np.testing.assert_allclose(features.std(axis=(0, 1)), [1, 1, 0, 1], atol=1e-4)
    back = features * scale.deviation + scale.mean
    np.testing.assert_allclose(back, views[:, order].transpose(1, 0, 2), atol=1e-3)


def test_fewer_rows_than_features_have_coordinates_in_their_span():
    rows = np.random.default_rng(0).normal(size=(20, 100)).astype(np.float32)
    coordinates, basis = row_space(rows)
    assert coordinates.shape == (20, 20)
    np.testing.assert_allclose(coordinates @ basis.T, rows, atol=1e-4)
    np.testing.assert_allclose(basis.T @ basis, np.eye(20), atol=1e-4)
    same, nothing = row_space(rows[:, :30])
    assert nothing is None
    assert same.shape == (20, 30)


def test_a_nearly_constant_feature_is_not_blown_up():
    rows = np.zeros((1000, 2), np.float32)
    rows[7] = 1.0, 1e-9
    scale = Scale.of(blocks(rows))
    np.testing.assert_allclose(scale.deviation, [0.999 / 3, 1.0])
    scale.apply(rows)
    assert np.abs(rows).max() == pytest.approx(3)


def test_rows_in_a_file_equal_rows_in_memory():
    views = np.random.default_rng(0).normal(size=(2, 30, 6)).astype(np.float32)
    labels, weights = np.arange(30) % 3, np.linspace(1, 2, 30, dtype=np.float32)
    stored = FileArray(views.shape, views.dtype)
    for view, rows in enumerate(views):
        stored[view, :] = rows
    assert np.concatenate([rows for _, rows in read_blocks(stored, slice(2, 5))]).shape == (60, 3)
    features, scale = standardise(views[:, :, 2:5], np.arange(30))
    whole = Scale(*(np.pad(part, (2, 1), constant_values=1.0) for part in (scale.mean, scale.deviation)))
    in_memory, in_file = Rows(features, labels, weights, 3), FileRows(stored, labels, weights, whole, slice(2, 5))
    assert (in_file.classes, in_file.views, in_file.columns, in_file.width) == (3, 2, 3, 3)
    np.testing.assert_allclose(class_means(in_file), class_means(in_memory), atol=1e-6)
    found = np.concatenate([rows for rows, _, _ in in_file.blocks()])
    np.testing.assert_allclose(found, features.transpose(1, 0, 2).reshape(60, 3), atol=1e-6)
