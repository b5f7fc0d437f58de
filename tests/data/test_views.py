import numpy as np
import pytest

from kerastune_recipes.data.views import MOST_STRETCHED, SMALLEST_CROP, WHOLE, View, box, views

DIGEST = bytes(range(16))


def test_views_are_the_image_its_mirror_image_then_crops_every_other_one_mirrored():
    assert views(1, "horizontal") == (WHOLE,)
    assert views(5, "horizontal") == (WHOLE, View(0, True), View(1), View(2, True), View(3))


def test_without_flip_nothing_is_mirrored():
    assert views(3, "none") == (WHOLE, View(1), View(2))


def test_every_view_has_a_name_of_its_own():
    names = [view.name for flip in ("none", "horizontal") for view in views(6, flip)]
    assert len(set(names)) == len({view for flip in ("none", "horizontal") for view in views(6, flip)})


def test_the_whole_image_needs_no_box():
    assert box(WHOLE, DIGEST) is None
    assert box(View(mirrored=True), DIGEST) is None


@pytest.mark.parametrize("crop", range(1, 30))
def test_a_crop_is_inside_the_image_and_neither_small_nor_stretched(crop):
    left, top, right, bottom = box(View(crop), DIGEST)
    assert 0 <= left < right <= 1
    assert 0 <= top < bottom <= 1
    # A side that would be longer than the image ends at its edge.
    assert (right - left) * (bottom - top) >= SMALLEST_CROP / MOST_STRETCHED
    assert 1 / MOST_STRETCHED - 1e-9 <= (right - left) / (bottom - top) <= MOST_STRETCHED + 1e-9


def test_the_same_image_gives_the_same_crop_and_another_image_another():
    assert box(View(1), DIGEST) == box(View(1), DIGEST) == box(View(1, mirrored=True), DIGEST)
    others = [box(View(1), bytes([number]) * 16) for number in range(20)] + [box(View(2), DIGEST), box(View(1), DIGEST)]
    assert len(np.unique(others, axis=0)) == len(others)
