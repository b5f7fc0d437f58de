"""Gives the splits of a data set one list of classes, by name or by number."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kerastune_recipes.data import checks
from kerastune_recipes.data.class_names import in_order, is_number, look_alikes, normal
from kerastune_recipes.data.dataset import Samples
from kerastune_recipes.data.sources.parts import Naming, Part
from kerastune_recipes.data.split_images import TRAIN


@dataclass(frozen=True)
class Classes:
    """The classes that the labels of a split are converted to.

    Args:
        names: Their names, in label order.
        naming: Where the names come from.
        numbering: The names by the numbers that their source has for them; None if it has names only, as folders do.
    """

    names: tuple[str, ...]
    naming: Naming
    numbering: tuple[str, ...] | None = None

    @classmethod
    def of_model(cls, names: Sequence[str]) -> "Classes":
        """Return the classes of a trained model.

        Args:
            names: Its class names, in the order of its probabilities. Numbers in another order than their own come from
                numbered labels, such as those that Keras gives to folders sorted as text.
        """
        normalized = tuple(map(normal, names))
        names = normalized if len(set(normalized)) == len(normalized) else tuple(names)
        return cls(names, "declared", names if names != in_order(names) else None)


def with_common_classes(parts: Mapping[str, Part]) -> tuple[dict[str, Part], list[str], list[str]]:
    """Convert the labels of all splits to the classes of the training split, in its order.

    If the training split only numbers its classes, the names come from a split that declares them: a tf.data.Dataset
    loses its `class_names` with the first map() or prefetch(), so often only one split has them.

    Returns:
        The splits, the problems, and what is doubtful about the classes.
    """
    if TRAIN not in parts:
        return dict(parts), [], []
    declared = [part for part in (parts[TRAIN], *parts.values()) if part.naming == "declared"]
    reference = declared[0] if declared and parts[TRAIN].naming == "numbered" else parts[TRAIN]
    classes = Classes(reference.samples.class_names, reference.naming, reference.numbering)
    converted = {}
    problems: list[str] = []
    warnings = look_alikes(classes.names)
    for split, part in parts.items():
        complete = part.naming == "declared" and split != TRAIN
        converted[split], class_problems, doubts = with_classes(split, part, classes, complete)
        problems += class_problems
        warnings += doubts
    return converted, problems, warnings


def with_classes(split: str, part: Part, classes: Classes, complete: bool = False) -> tuple[Part, list[str], list[str]]:
    """Convert the labels of a split to positions in the list of classes.

    Args:
        split: Name of the split.
        part: The split.
        classes: The classes.
        complete: True if the split must have all of them.

    Returns:
        The converted split, or the split unchanged if there are problems; the problems; and what is doubtful.
    """
    if part.naming == "numbered" and (classes.naming != "collected" or _by_value(classes.names)):
        positions, problems, doubts = _positions_of_numbers(part, classes)
        if problems:
            return part, checks.located(split, problems), []
        labels = np.array([positions[number] for number in part.samples.labels.tolist()], dtype=np.int64)
        samples = replace(part.samples, labels=labels, class_names=classes.names)
        return replace(part, samples=samples), [], checks.located(split, doubts)
    own = part.samples.class_names
    problems = checks.class_agreement(split, own, classes.names, complete)
    if problems:
        unknown = [name for name in own if name not in set(classes.names)]
        absent = [name for name in classes.names if name not in set(own)]
        return part, [*problems, *checks.located(split, look_alikes([*absent, *unknown]))], []
    return replace(part, samples=_reordered(part.samples, classes.names)), [], []


def _positions_of_numbers(part: Part, classes: Classes) -> tuple[dict[int, int], list[str], list[str]]:
    """Return the position in the list of classes for each number; the problems; and what is doubtful."""
    names, numbers = classes.names, part.samples.labels
    by_value = _by_value(names)
    if classes.numbering is None and by_value and not part.one_hot and set(numbers.tolist()) <= set(by_value):
        positions = by_value
    else:
        problems = checks.label_range(numbers, len(names))
        if part.one_hot:
            problems += checks.one_hot_width(len(part.samples.class_names), len(names))
        if problems:
            return {}, problems, []
        index = {name: position for position, name in enumerate(names)}
        positions = {number: index[name] for number, name in enumerate(classes.numbering or names)}
    doubtful = classes.numbering is None and classes.naming == "declared" and by_value
    read = {number: names[positions[number]] for number in np.unique(numbers).tolist()}
    return positions, [], _other_readings(read, names) if doubtful else []


def _by_value(names: Sequence[str]) -> dict[int, int]:
    """Return the positions of classes that are named by whole numbers, by these numbers; empty if they are not."""
    if not all(is_number(name) and name.isdecimal() for name in names):
        return {}
    positions = {int(name): position for position, name in enumerate(names)}
    return positions if len(positions) == len(names) else {}  # 7 and 007 are one number


def _other_readings(read: Mapping[int, str], names: Sequence[str]) -> list[str]:
    """Say how numbers of classes were read, if they can also be meant as positions; classes are named by numbers."""
    if not all(number < len(names) for number in read):
        return []
    readings = (("where it is a position", names), ("where folders are sorted as text, as by Keras,", sorted(names)))
    for how, in_other_order in readings:
        for number, name in read.items():
            other = in_other_order[number]
            if other != name:
                return [
                    f'the label {number} is read as class "{name}"; {how} it would be "{other}": if that is meant, '
                    "give the labels as names."
                ]
    return []


def _reordered(samples: Samples, class_names: tuple[str, ...]) -> Samples:
    if samples.class_names == class_names:
        return samples
    position = {name: index for index, name in enumerate(class_names)}
    order = np.array([position[name] for name in samples.class_names], dtype=np.int64)
    return replace(samples, labels=order[samples.labels], class_names=class_names)
