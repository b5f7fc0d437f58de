"""Confident learning on held-out probabilities."""

import numpy as np

from kerastune_recipes.checking.label_errors import doubtful


def test_a_label_against_confident_probabilities_is_doubtful():
    probabilities = np.tile([0.9, 0.1], (20, 1))
    labels = np.zeros(20, int)
    probabilities[10:], labels[10:] = [0.1, 0.9], 1
    labels[3] = 1
    (doubt,) = doubtful(probabilities, labels)
    assert (doubt.position, doubt.label, doubt.likely) == (3, 1, 0)
    assert np.isclose(doubt.margin, 0.8)


def test_unsure_predictions_are_small_doubts():
    probabilities = np.random.default_rng(0).dirichlet([50, 50, 50], size=300)
    labels = np.arange(300) % 3
    assert all(one.margin < 0.4 for one in doubtful(probabilities, labels))


def test_the_most_doubtful_come_first_and_images_without_a_prediction_are_left_out():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.95, 0.05], [0.87, 0.13], [np.nan] * 2])
    labels = np.array([0, 0, 1, 1, 1, 1, 1])
    assert [one.position for one in doubtful(probabilities, labels)] == [4, 5]


def test_random_labels_are_told_with_the_rate_of_the_noise():
    random = np.random.default_rng(0)
    truth = random.integers(0, 5, 1000)
    probabilities = np.full((1000, 5), 0.025)
    probabilities[np.arange(1000), truth] = 0.9
    wrong = random.random(1000) < 0.1
    labels = np.where(wrong, (truth + 1) % 5, truth)
    found = {one.position for one in doubtful(probabilities, labels)}
    assert found == set(np.flatnonzero(wrong))
