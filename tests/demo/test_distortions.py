"""Distortions: their output, and that only the generator decides them."""

import numpy as np
import pytest

from kerastune_recipes.demo.distortions import distort, lower_resolution


@pytest.fixture
def cross():
    drawing = np.zeros((64, 64), np.float32)
    drawing[28:36, 12:52] = drawing[12:52, 28:36] = 1
    return np.stack([drawing] * 200)


def test_pictures_have_half_the_size_equal_channels_and_raw_gray_levels(cross):
    pictures = distort(cross, np.random.default_rng(0))
    assert (pictures.shape, pictures.dtype) == ((200, 32, 32, 3), np.float32)
    assert pictures.min() >= 0
    assert pictures.max() <= 255
    assert np.array_equal(pictures[..., 0], pictures[..., 2])


def test_the_generator_decides_everything(cross):
    first, again, other = (distort(cross, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_no_two_pictures_are_equal(cross):
    assert len(np.unique(distort(cross, np.random.default_rng(0)), axis=0)) == len(cross)


def test_a_quarter_of_the_letters_is_darker_than_its_paper(cross):
    gray = distort(cross, np.random.default_rng(0))[..., 0]
    middle, corners = gray[:, 14:18, 14:18].mean(axis=(1, 2)), gray[:, ::31, ::31].mean(axis=(1, 2))
    assert (middle < corners).mean() == pytest.approx(0.25, abs=0.1)


def test_reducing_the_resolution_keeps_the_mean_and_removes_detail():
    gradient = np.linspace(0, 1, 32, dtype=np.float32)
    stripes = np.tile(np.array([0, 1], np.float32), 16)
    for size in (8, 16):
        assert (lower_resolution(size) @ gradient).mean() == pytest.approx(0.5, abs=1e-5)
        assert lower_resolution(size) @ stripes == pytest.approx(np.full(32, 0.5))
