"""What a data source contains, before its splits are checked together."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Literal

import numpy as np

from kerastune_recipes.data.dataset import Pictures, Samples
from kerastune_recipes.data.split_images import TEST, TRAIN, UNLABELED, VALIDATION

# What users call the splits and the images without labels.
_SPLIT_WORDS = {
    TRAIN: ("train", "training", "trn"),
    VALIDATION: ("validation", "val", "valid", "validate", "dev", "development"),
    TEST: ("test", "testing", "tst"),
    UNLABELED: ("unlabeled", "unlabelled", "nolabels"),
}
_SPLITS = {word: split for split, words in _SPLIT_WORDS.items() for word in words}
# What may follow: "train_set", "Test images", "val2017".
_FOLLOWING = re.compile(r"(?<=.)(data|dataset|set|split|images|imgs|img|pictures|photos|samples|(19|20)\d\d)$")
_SEPARATORS = re.compile(r"[\W_]+")
# Names of parts of a data set that do not say which split they are.
_UNCLEAR = re.compile(r"(fold|split|part|cv|kfold)\d*|trainval|trainvaltest|eval|evaluation|holdout|heldout")

# Extensions of tables.
TABLES = (".csv", ".tsv")

# Where class names come from: the user declared them (folders, class_names), they were collected from labels that are
# names, or they are the numbers of integer labels.
Naming = Literal["declared", "collected", "numbered"]

# The groups of images that must stay in one split: a folder level, the name of a column or feature, the group of each
# image, or one of these for each split.
GroupBy = int | str | Sequence | np.ndarray | Mapping[str, Any] | None


def is_a(given: Any, module: str, name: str) -> bool:
    """Return isinstance(given, module.name) without importing the module: for any instance it is already imported.

    Args:
        given: Any value.
        module: A module, such as "pandas".
        name: A class in it, such as "DataFrame".
    """
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(given, attrgetter(name)(loaded))


def split_of(name: object) -> str | None:
    """Return the split that users mean by a name, or None.

    Args:
        name: Name of a folder, key, cell or the like; capitals and separators do not matter.

    Returns:
        TRAIN, VALIDATION, TEST, UNLABELED or None.

    Example:
        >>> [split_of(name) for name in ("Training", "val", "test_set", "ants")]
        ['train', 'validation', 'test', None]
    """
    word = _word(name)
    return _SPLITS.get(word) or _SPLITS.get(_FOLLOWING.sub("", word))


def is_unclear_part(name: object) -> bool:
    """Return whether a name is that of a part of a data set, without saying which split it is.

    Example:
        >>> [is_unclear_part(name) for name in ("fold_1", "eval", "train", "ants")]
        [True, True, False, False]
    """
    return _UNCLEAR.fullmatch(_word(name)) is not None


def _word(name: object) -> str:
    return _SEPARATORS.sub("", str(name)).lower()


@dataclass(frozen=True)
class Part:
    """One split as its source describes it.

    Args:
        samples: The images, with the class names of this split.
        naming: Where these class names come from.
        one_hot: True if the labels were given as one-hot rows.
        groups: str (n,), the group of each image, or None for no groups. They become numbers in `samples` once all
            splits are read, numbered together.
        numbering: The class names by the numbers that the source has for them; None if it has only numbers or only
            names.
    """

    samples: Samples
    naming: Naming
    one_hot: bool = False
    groups: np.ndarray | None = None
    numbering: tuple[str, ...] | None = None


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
