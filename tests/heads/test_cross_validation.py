import numpy as np
import pytest

from kerastune_recipes.heads.calibration import Calibration, Judge
from kerastune_recipes.heads.cross_validation import Tried, cross_fitted, search


def path(losses, whole=False):
    """Search a path of known losses; return the positions tried, in their order."""
    seen = []

    def attempt(at, start):
        seen.append(at)
        return Tried([], np.zeros((0, 2)), Calibration(1.0, np.zeros(2)), losses[at])

    search(attempt, len(losses), whole)
    return seen


def test_decades_first_then_what_is_beside_the_best():
    assert path([9, 8, 7, 6, 5, 4, 3, 2, 1]) == [3, 5, 7, 8]
    assert path([9, 8, 7, 6, 5, 4.5, 5, 6, 7]) == [3, 5, 7, 6]
    assert path([1, 2, 3, 4, 5]) == [1, 3, 2, 0]
    assert path([1]) == [0]


def test_towards_the_strong_end_where_weaker_ones_gain_nothing():
    assert path([4, 3, 2, 3, 4, 5, 6, 7, 8]) == [3, 5, 1, 2]
    assert path([1, 2, 3, 4, 5, 6, 7, 8, 9]) == [3, 5, 1, 2, 0]


def test_where_it_is_cheap_a_second_dip_is_found():
    losses = [9, 5, 6, 5.1, 6, 5.1, 4, 3, 4]
    assert path(losses) == [3, 5, 1, 2, 0]
    assert path(losses, whole=True) == [3, 5, 7, 1, 8, 6]


def test_a_fold_has_no_say_in_what_is_chosen_for_it():
    # Two candidates, each right in one fold: that of the other fold is taken, and is wrong.
    labels, fold = np.arange(40) % 2, np.repeat([0, 1], 20)
    right = 4.0 * np.eye(2)[labels]
    first, second = (np.where((fold == number)[:, None], right, 0) for number in (0, 1))
    found = cross_fitted([first, second], fold, Judge(labels, np.ones(40), offsets=False))
    np.testing.assert_allclose(found, 0.5)


@pytest.mark.parametrize("offsets", [False, True])
def test_a_fold_is_calibrated_by_the_others(offsets):
    random = np.random.default_rng(0)
    labels, fold = np.arange(3000) % 2, np.arange(3000) % 3
    raw = np.eye(2)[labels] + random.normal(size=(3000, 2))
    found = cross_fitted([100 * raw], fold, Judge(labels, np.ones(3000), offsets))
    np.testing.assert_allclose(found[:, 1], 1 / (1 + np.exp(raw[:, 0] - raw[:, 1])), atol=0.03)
