"""What a data source contains, before its splits are checked together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from kerastune_recipes.data.dataset import Pictures, Samples
from kerastune_recipes.data.split_images import TEST, TRAIN, VALIDATION

# Names that users give to the splits.
SPLIT_NAMES = {"train": TRAIN, "validation": VALIDATION, "val": VALIDATION, "valid": VALIDATION, "test": TEST}

# Names that users give to images without labels.
UNLABELED_NAMES = ("unlabeled", "unlabelled")

# Where class names come from: the user declared them (folders, class_names), they were collected from labels that are
# names, or they are the numbers of integer labels.
Naming = Literal["declared", "collected", "numbered"]

# The groups of images that must stay in one split: a folder level, the name of a column or feature, the group of each
# image, or one of these for each split.
GroupBy = int | str | Sequence | np.ndarray | Mapping[str, Any] | None


@dataclass(frozen=True)
class Part:
    """One split as its source describes it.

    Args:
        samples: The images, with the class names of this split.
        naming: Where these class names come from.
        one_hot: True if the labels were given as one-hot rows.
        groups: str (n,), the group of each image, or None for no groups. They become numbers in `samples` once all
            splits are read, numbered together.
    """

    samples: Samples
    naming: Naming
    one_hot: bool = False
    groups: np.ndarray | None = None


@dataclass(frozen=True)
class ReadResult:
    """The splits read from a source, and every problem with it.

    Args:
        source: Where the images come from, as the user named it.
        parts: Splits under TRAIN, VALIDATION and TEST; a source without splits is all under TRAIN.
        problems: One sentence each; with problems, parts may be missing or incomplete.
        unlabeled: Images without labels; None if there are none.
        warnings: What is doubtful about the data and how it was read, one sentence each; shown when it is opened.
        notes: What was left out or read otherwise than it is written, one sentence each; plan and report list them,
            and the warnings.
    """

    source: str
    parts: Mapping[str, Part] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    unlabeled: Pictures | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
