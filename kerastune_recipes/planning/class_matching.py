"""Classes of the data matched with classes that a backbone was pretrained on."""

import json
from collections.abc import Mapping, Sequence

from kerastune_recipes.backbones.facts import PretrainedClassifierFacts
from kerastune_recipes.errors import did_you_mean, listed
from kerastune_recipes.spec.recipe_spec import PretrainedClass

Asked = Mapping[str, PretrainedClass | Sequence[PretrainedClass]]


def match(
    asked: Asked, class_names: Sequence[str], source: PretrainedClassifierFacts, where: str
) -> tuple[dict[str, tuple[int, ...]], list[str]]:
    """Say which pretrained classes stand for which classes of the data.

    Args:
        asked: For some classes of the data, the names, WordNet ids or indices of pretrained classes, or an empty list for
            none. The others are matched by name: by the very same name or id, else without regard to case, `_` and
            `-`, else without the s of a plural too.
        class_names: The classes of the data.
        source: The classifier.
        where: Dotted key of `asked`, for the problems.

    Returns:
        Indices of pretrained classes, for each class of the data that has any; and every problem as a sentence.

    Example:
        >>> match({"wasps": []}, ["ants", "wasps"], PretrainedClassifierFacts(classes=2, names=("ant", "wasp")), "pretrained_classes")
        ({'ants': (0,)}, [])
    """
    problems = [
        f'{where}.{name}: the data has no class "{name}".{did_you_mean(name, class_names)} '
        f"Classes: {listed(class_names)}."
        for name in asked
        if name not in class_names
    ]
    found: dict[str, tuple[int, ...]] = {}
    unread: list[str] = []
    for name in class_names:
        indices: list[int] = []
        for one in _several(asked.get(name, name)):
            if isinstance(one, str) and not source.names:
                unread += [one] if name in asked else []
                continue
            hits = _hits(one, source)
            if len(hits) == 1:
                indices += hits
            elif hits or name in asked:
                problems.append(f"{where}.{name}: {_complaint(one, hits, source)}")
        if indices:
            found[name] = tuple(dict.fromkeys(indices))
    if not (found or problems or unread):
        if source.names:
            problems.append(
                f"{where}: no class of the data ({listed(class_names)}) has the name of one that the backbone was "
                "pretrained on; say which of those stand for it, as in pretrained_classes: {bees: bee, ants: 310}, or "
                "take another head than pretrained_classifier."
            )
        else:
            unread = list(class_names)
    if unread:
        problems.append(f"{where}: {listed(unread)} cannot be looked up. {source.nameless}")
    return found, problems


def _several(asked: PretrainedClass | Sequence[PretrainedClass]) -> Sequence[PretrainedClass]:
    return [asked] if isinstance(asked, str | int) else asked


def _hits(asked: PretrainedClass, source: PretrainedClassifierFacts) -> list[int]:
    """Return the indices that a name, WordNet id or index may stand for, by the strictest way that finds any."""
    if isinstance(asked, int):
        return [asked] if 0 <= asked < source.classes else []
    exact = [index for words in (source.names, source.ids) for index, word in enumerate(words) if word == asked]
    if exact:
        return exact
    names = [_loose(name) for name in source.names]
    for word in (_loose(asked), _loose(asked).removesuffix("s")):
        hits = [index for index, name in enumerate(names) if name == word]
        if hits:
            return hits
    return []


def _loose(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _complaint(asked: PretrainedClass, hits: Sequence[int], source: PretrainedClassifierFacts) -> str:
    if hits:
        ids = [f"{index} ({source.ids[index]})" if source.ids else str(index) for index in hits]
        return (
            f'"{asked}" may be any of the pretrained classes {listed(ids)}; give the one that is meant, or [] for none.'
        )
    ways = ["a name, a WordNet id" if source.ids else "a name"] if source.names else []
    return (
        f"there is no pretrained class {json.dumps(asked)}.{did_you_mean(str(asked), [*source.names, *source.ids])} "
        f"Give {' or '.join([*ways, f'an index from 0 to {source.classes - 1}'])}."
    )
