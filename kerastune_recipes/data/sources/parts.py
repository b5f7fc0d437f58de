"""What a source turns out to hold, before it is judged as a whole."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from kerastune_recipes.data.dataset import Pictures, Samples

TRAIN, VALIDATION, TEST = "train", "validation", "test"

# How users name the splits.
SPLIT_NAMES = {"train": TRAIN, "validation": VALIDATION, "val": VALIDATION, "valid": VALIDATION, "test": TEST}

# And images without labels.
UNLABELED_NAMES = ("unlabeled", "unlabelled")

# Where class names come from: the user named them (folders, class_names), they were collected from labels that are
# names, or they are the numbers of labels that are positions.
Naming = Literal["declared", "collected", "numbered"]

# Which images belong together: a folder level, the name of a column or feature, the group of each image, or one of
# these for each split.
GroupBy = int | str | Sequence | np.ndarray | Mapping[str, Any] | None


@dataclass(frozen=True)
class Part:
    """One split as its source describes it.

    Args:
        samples: Its images, with class names of its own.
        naming: Where these class names come from.
        one_hot: True when the labels were given as one-hot rows.
        groups: str (n,), what groups the images, or None where nothing does. They become numbers in the samples when
            all splits are there to be numbered in common.
    """

    samples: Samples
    naming: Naming
    one_hot: bool = False
    groups: np.ndarray | None = None


@dataclass(frozen=True)
class Found:
    """The splits of a source, and all that is wrong with it.

    Args:
        source: Where the images come from, as the user named it.
        parts: By "train", "validation" and "test"; what is not divided is all under "train".
        problems: One sentence each; where there are any, parts may be missing or incomplete.
        unlabeled: Images without labels, where there are any beside the splits or nothing but them is looked for.
    """

    source: str
    parts: Mapping[str, Part] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    unlabeled: Pictures | None = None
