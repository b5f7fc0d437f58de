"""Check a labelled set of images: copies, shortcuts, doubtful labels, files that are not what they seem."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

import numpy as np

from kerastune_recipes.checking import label_errors, near_copies, shortcuts
from kerastune_recipes.checking import traits as image_traits
from kerastune_recipes.checking.findings import DataCheck, Finding, Picture
from kerastune_recipes.checking.label_errors import Doubt
from kerastune_recipes.checking.near_copies import Pair
from kerastune_recipes.checking.shortcuts import Shortcut
from kerastune_recipes.checking.traits import ImageTraits
from kerastune_recipes.data.dataset import Dataset
from kerastune_recipes.data.image_formats import READABLE, SUFFIXES
from kerastune_recipes.data.images import Header
from kerastune_recipes.data.pixel_range import GivenRange
from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.data.split_images import TEST, TRAIN, VALIDATION, split_in_words
from kerastune_recipes.errors import DataError, DataWarning, listed
from kerastune_recipes.progress import Display
from kerastune_recipes.recipe import Recipe

# Names in a sentence; JSON and the page have all.
_MOST_NAMES = 5
# Folds that predict each image by a model that has not seen it.
_FOLDS = 5
# A class with fewer training images than this is told, and a largest class that many times the smallest.
_TINY, _UNEQUAL = 10, 10


@dataclass(frozen=True)
class _Looked:
    """The images after every one has been read.

    Args:
        dataset: The images.
        traits: ImageTraits of each, split by split.
    """

    dataset: Dataset
    traits: Sequence[ImageTraits]

    def of(self, *splits: str) -> list[ImageTraits]:
        return [one for one in self.traits if one.split in splits]


def check(
    ds: Any,
    recipe: Recipe | None = None,
    *,
    group_by: Any = None,
    pixel_range: GivenRange = None,
    seed: int = 0,
    cache: bool = True,
    verbose: bool = True,
) -> DataCheck:
    """Check labelled images before anything is trained on them; nothing is deleted or changed.

    Every image is read once. Found are images that cannot be decoded or are named wrongly; copies and near copies
    within and across splits, and with different labels; classes that are tiny or unequal; dark images, turned,
    transparent and 16-bit ones; groups in several splits; and shortcuts: whether file size, resolution, aspect ratio,
    colour mode, border colour or camera alone give the label away. With a recipe, its backbone and head also find
    doubtful labels, by 5-fold cross-validation; the features stay in the cache for the run.

    Args:
        ds: The images, in any form that `Recipe.run` takes.
        recipe: Recipe whose backbone and head look for doubtful labels; None looks for none.
        group_by: As for `Recipe.run`.
        pixel_range: As for `Recipe.run`.
        seed: Random seed of the folds.
        cache: As for `Recipe.run`.
        verbose: Show progress.

    Example:
        >>> checked = check("photos/")
        >>> print(checked)
    """
    display = Display(verbose)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)  # they are among the findings
            dataset = open_dataset(ds, seed=seed, group_by=group_by, pixel_range=pixel_range)
    except DataError as error:
        return DataCheck(str(ds), {}, tuple(Finding("unreadable", "error", problem) for problem in error.problems))
    splits = {TRAIN: dataset.train, VALIDATION: dataset.validation, TEST: dataset.test}
    if dataset.held_out:
        splits = {TRAIN: dataset.pooled().train, TEST: dataset.test}
    present = {split: samples for split, samples in splits.items() if samples is not None and len(samples)}
    with display.bar("reading images", sum(map(len, present.values()))) as tick:
        looked = _Looked(dataset, image_traits.read(present, tick))
    counts = {split: len(samples) for split, samples in present.items()}
    findings = [*_files(looked), *_classes(looked), *_scale(looked), *_copies(looked), *_shortcuts(looked)]
    findings += [Finding("data", "note", note) for note in dataset.notes]
    if recipe is not None and not any(one.problem for one in looked.traits):
        findings += _labels(looked, recipe, group_by, seed, cache, verbose)
    return DataCheck(dataset.source, counts, tuple(findings))


def _files(looked: _Looked) -> Iterator[Finding]:
    damaged = [one for one in looked.traits if one.problem]
    if damaged:
        yield Finding(
            "damaged",
            "error",
            damaged[0].problem
            if len(damaged) == 1
            else f"{len(damaged)} {_images(damaged)} cannot be decoded: {_names(damaged)}; replace or remove them.",
            tuple(_picture(one, note=one.problem) for one in damaged),
        )
    misnamed = [one for one in looked.traits if one.header and not _named_as_it_is(one)]
    if misnamed:
        examples = [f"{one.name} is {one.header.format}" for one in misnamed if one.header]
        yield Finding(
            "wrongly named",
            "warning",
            f"{len(misnamed)} {_images(misnamed)} have the extension of another format: "
            f"{listed(examples, most=_MOST_NAMES)}; they are read by their content.",
            tuple(map(_picture, misnamed)),
        )
    kinds: dict[str, Callable[[Header], bool]] = {
        "turned by EXIF, and read upright": lambda header: header.orientation != 1,
        "transparent, and read on white": lambda header: header.transparent,
        "gray": lambda header: header.mode in ("1", "L", "LA"),
        "of 16 bits, and read as 8": lambda header: header.mode.startswith("I"),
    }
    with_header = [one for one in looked.traits if one.header]
    for words, applies in kinds.items():
        found = [one for one in with_header if one.header and applies(one.header)]
        if 0 < len(found) < len(with_header):
            # Where all are alike there is nothing to stumble over.
            yield Finding(words.split(",")[0], "note", f"{len(found)} of {len(with_header)} images are {words}.")


def _named_as_it_is(one: ImageTraits) -> bool:
    assert one.header is not None  # the caller checks
    suffix, form = PurePath(one.name).suffix.lower(), one.header.format
    suffixes = next((each.suffixes for each in READABLE if each.name == form), ())
    return suffix in suffixes or suffix not in SUFFIXES


def _classes(looked: _Looked) -> Iterator[Finding]:
    counts = Counter(one.label for one in looked.of(TRAIN))
    tiny = sorted((name for name, count in counts.items() if count < _TINY), key=counts.__getitem__)
    if tiny:
        yield Finding(
            "tiny classes",
            "warning",
            f"classes of fewer than {_TINY} training images: "
            f"{listed([f'{name} ({counts[name]})' for name in tiny], most=_MOST_NAMES)}.",
        )
    if max(counts.values()) >= _UNEQUAL * min(counts.values()):
        largest, smallest = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
        yield Finding(
            "unequal classes",
            "warning",
            f"classes are unequal: {largest} has {counts[largest]} training images, {smallest} has {counts[smallest]}; "
            "class_balance: auto gives each class the same weight.",
        )


def _scale(looked: _Looked) -> Iterator[Finding]:
    dark = [one for one in looked.traits if not one.problem and one.thumbnail.max() < 64]
    if dark:
        yield Finding(
            "dark",
            "warning",
            f"{len(dark)} {_images(dark)} use less than a quarter of the range of brightness: {_names(dark)}.",
            tuple(map(_picture, dark)),
        )
    flat = [one for one in looked.traits if not one.problem and not np.ptp(one.thumbnail, axis=(0, 1)).any()]
    if flat:
        yield Finding(
            "blank",
            "warning",
            f"{len(flat)} {_images(flat)} show a single colour: {_names(flat)}.",
            tuple(map(_picture, flat)),
        )


def _copies(looked: _Looked) -> Iterator[Finding]:
    traits = looked.traits
    pairs = near_copies.find(traits)
    kinds: dict[str, tuple[str, list[Pair]]] = {
        "different labels": ("show the same with different labels", []),
        "copies across splits": ("show the same in different splits", []),
        "copies": ("show the same", []),
    }
    for pair in pairs:
        first, second = traits[pair.first], traits[pair.second]
        kind = "copies across splits" if first.split != second.split else "copies"
        kinds["different labels" if first.label != second.label else kind][1].append(pair)
    for kind, (words, found) in kinds.items():
        if found:
            examples = [f"{traits[one.first].name} = {traits[one.second].name}" for one in found]
            pictures = [_picture(traits[position]) for one in found for position in (one.first, one.second)]
            yield Finding(
                kind,
                "warning",
                f"{len(found)} {'pair of images' if len(found) == 1 else 'pairs of images'} {words}: "
                f"{listed(examples, most=_MOST_NAMES)}.",
                tuple(pictures),
            )
    yield from _groups(looked)


def _groups(looked: _Looked) -> Iterator[Finding]:
    """Report groups in several splits; the sources refuse those that they can see."""
    of_group: dict[int, set[str]] = {}
    for one in looked.traits:
        if one.group is not None:
            of_group.setdefault(one.group, set()).add(one.split)
    shared = [group for group, splits in of_group.items() if len(splits) > 1]
    if shared:
        yield Finding("groups across splits", "warning", f"{len(shared)} groups have images in several splits.")


def _shortcuts(looked: _Looked) -> Iterator[Finding]:
    for found in filter(shortcuts.clear, shortcuts.measure(looked.of(TRAIN))):
        yield Finding("shortcut", "warning", _shortcut(found))


def _shortcut(found: Shortcut) -> str:
    return (
        f"{found.trait} alone gives the label of {found.balanced_accuracy:.0%} of the images (by chance "
        f"{found.chance:.0%}, classes counted alike): a network may learn it instead of what the images show."
    )


def _labels(looked: _Looked, recipe: Recipe, group_by: Any, seed: int, cache: bool, verbose: bool) -> Iterator[Finding]:
    """Find doubtful labels of training and validation images by cross-validation of the recipe's solved head."""
    solving = [phase for phase in recipe.content.to_data()["phases"] if "solve" in phase][:1] or [
        {"name": "head", "solve": {}}
    ]
    content = type(recipe.content).from_data({**recipe.content.to_data(), "phases": solving}, recipe.name)
    pooled = looked.dataset.pooled()
    report = replace(recipe, content=content).run(
        replace(pooled, test=None), seed=seed, folds=_FOLDS, group_by=group_by, cache=cache, verbose=verbose
    )
    split = report.splits["validation"]
    doubts = label_errors.doubtful(split.probabilities, split.labels)
    if doubts:
        by_name = {one.name: one for one in looked.traits}
        names, classes = list(map(str, pooled.train.names)), report.class_names
        yield Finding(
            "doubtful labels",
            "warning",
            f"{len(doubts)} of {len(names)} labels are doubtful: "
            + listed([_doubt(one, names, classes) for one in doubts], most=_MOST_NAMES)
            + ".",
            tuple(
                _picture(by_name[names[one.position]], likely=classes[one.likely], margin=one.margin) for one in doubts
            ),
        )


def _doubt(one: Doubt, names: Sequence[str], classes: Sequence[str]) -> str:
    return f"{names[one.position]} ({classes[one.label]}, rather {classes[one.likely]})"


def _picture(one: ImageTraits, note: str = "", likely: str = "", margin: float | None = None) -> Picture:
    return Picture(one.name, one.split, one.label, note, likely, margin, image_traits.as_png(one.thumbnail))


def _images(found: Sequence[ImageTraits]) -> str:
    splits = {one.split for one in found}
    words = split_in_words(splits.pop()) if len(splits) == 1 else "images"
    return words if len(found) != 1 else words.removesuffix("s")


def _names(found: Sequence[ImageTraits]) -> str:
    return listed([one.name for one in found], most=_MOST_NAMES)
