"""Traits that give the label away are told from those that do not."""

from dataclasses import replace

import numpy as np
import pytest

from kerastune_recipes.checking import shortcuts, traits
from kerastune_recipes.data.images import Header
from kerastune_recipes.data.sources.open import open_dataset


@pytest.fixture
def alike(photo):
    """Traits of sixty images of two classes that differ in nothing but their pictures."""
    images = np.stack([photo(number) for number in range(60)])
    found = traits.read({"train": open_dataset((images, np.arange(60) % 2)).pooled().train})
    header = Header("JPEG", "RGB", 1, "Canon", False)
    random = np.random.default_rng(0)
    return [replace(one, header=header, stored_bytes=int(random.integers(1000, 2000))) for one in found]


def clear(found):
    return {one.trait for one in shortcuts.measure(found) if shortcuts.clear(one)}


def test_classes_that_differ_in_nothing_else_have_no_shortcut(alike):
    assert clear(alike) == set()


@pytest.mark.parametrize(
    ("trait", "change"),
    [
        ("file size", {"stored_bytes": 50_000}),
        ("aspect ratio", {"size": (64, 48)}),
        ("camera", {"header": Header("JPEG", "RGB", 1, "Nikon", False)}),
        ("colour mode", {"header": Header("PNG", "RGBA", 1, "Canon", True)}),
        ("border colour", {"border": (255.0, 255.0, 255.0), "spread": 0.0}),
    ],
)
def test_a_trait_of_one_class_is_found(trait, change, alike):
    changed = [replace(one, **change) if one.label == "1" else one for one in alike]
    assert trait in clear(changed)


def test_small_classes_say_nothing(alike):
    changed = [replace(one, stored_bytes=50_000 * (one.label == "1") + 1000) for one in alike]
    few = [one for one in changed if one.label == "0"] + [one for one in changed if one.label == "1"][:5]
    assert shortcuts.measure(few) == []


def test_groups_stay_whole(alike):
    """Each group has its own size, and one class: by images a tree knows them all."""
    grouped = [
        replace(one, group=number // 15, label=str(number // 15 % 2), stored_bytes=1000 + 137 * (number // 15))
        for number, one in enumerate(alike)
    ]
    by_group = {one.trait: one for one in shortcuts.measure(grouped)}["file size"]
    by_image = {one.trait: one for one in shortcuts.measure([replace(one, group=None) for one in grouped])}["file size"]
    assert by_image.balanced_accuracy > 0.9
    assert by_group.balanced_accuracy < 0.75
