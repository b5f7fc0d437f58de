"""Classes of the data matched with the classes that a backbone was pretrained on."""

import json
from collections.abc import Mapping, Sequence

from kerastune_recipes.backbones.facts import PretrainedClassifierFacts
from kerastune_recipes.errors import did_you_mean, listed
from kerastune_recipes.spec.recipe_spec import PretrainedClass

ClassMapping = Mapping[str, PretrainedClass | Sequence[PretrainedClass]]


def match(
    mapping: ClassMapping, class_names: Sequence[str], classifier: PretrainedClassifierFacts, where: str
) -> tuple[dict[str, tuple[int, ...]], list[str]]:
    """Find the pretrained classes that each class of the data starts from.

    Args:
        mapping: For some classes of the data, the names, WordNet ids or indices of pretrained classes, or an empty list
            for none. The others are matched by name: by exactly the same name or id, else ignoring case, `_` and `-`,
            else ignoring the s of a plural too.
        class_names: The classes of the data.
        classifier: The pretrained classifier.
        where: Dotted key of the mapping, for errors.

    Returns:
        Indices of pretrained classes, for each class of the data that has any; and every problem as a sentence.

    Example:
        >>> letters = PretrainedClassifierFacts(classes=2, names=("ant", "wasp"))
        >>> match({"wasps": []}, ["ants", "wasps"], letters, "pretrained_classes")
        ({'ants': (0,)}, [])
    """
    problems = [
        f'{where}.{name}: the data has no class "{name}".{did_you_mean(name, class_names)} '
        f"Classes: {listed(class_names)}."
        for name in mapping
        if name not in class_names
    ]
    matches: dict[str, tuple[int, ...]] = {}
    # Names that cannot be matched because the names of the pretrained classes are missing.
    unresolved: list[str] = []
    for name in class_names:
        indices: list[int] = []
        for reference in _as_list(mapping.get(name, name)):
            if isinstance(reference, str) and not classifier.names:
                unresolved += [reference] if name in mapping else []
                continue
            hits = _hits(reference, classifier)
            if len(hits) == 1:
                indices += hits
            elif hits or name in mapping:
                problems.append(f"{where}.{name}: {_problem(reference, hits, classifier)}")
        if indices:
            matches[name] = tuple(dict.fromkeys(indices))
    if not (matches or problems or unresolved):
        if classifier.names:
            problems.append(
                f"{where}: no class of the data ({listed(class_names)}) has the name of a class that the backbone was "
                "pretrained on; map them by hand, such as pretrained_classes: {bees: bee, ants: 310}, or use another "
                "head than pretrained_classifier."
            )
        else:
            unresolved = list(class_names)
    if unresolved:
        problems.append(f"{where}: {listed(unresolved)} cannot be looked up. {classifier.names_problem}")
    return matches, problems


def _as_list(references: PretrainedClass | Sequence[PretrainedClass]) -> Sequence[PretrainedClass]:
    return [references] if isinstance(references, str | int) else references


def _hits(reference: PretrainedClass, classifier: PretrainedClassifierFacts) -> list[int]:
    """Return the indices that a name, WordNet id or index may refer to, by the strictest rule that finds any."""
    if isinstance(reference, int):
        return [reference] if 0 <= reference < classifier.classes else []
    known = (classifier.names, classifier.ids)
    exact = [index for words in known for index, word in enumerate(words) if word == reference]
    if exact:
        return exact
    names = [_normalized(name) for name in classifier.names]
    for word in (_normalized(reference), _normalized(reference).removesuffix("s")):
        hits = [index for index, name in enumerate(names) if name == word]
        if hits:
            return hits
    return []


def _normalized(name: str) -> str:
    """Return a name in lower case, with single blanks for `_`, `-` and runs of blanks."""
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _problem(reference: PretrainedClass, hits: Sequence[int], classifier: PretrainedClassifierFacts) -> str:
    """Return the text for a reference with several hits or none."""
    if hits:
        ids = [f"{index} ({classifier.ids[index]})" if classifier.ids else str(index) for index in hits]
        return f'"{reference}" matches several pretrained classes: {listed(ids)}; give one of them, or [] for none.'
    ways = ["a name, a WordNet id" if classifier.ids else "a name"] if classifier.names else []
    nearest = did_you_mean(str(reference), [*classifier.names, *classifier.ids])
    return (
        f"there is no pretrained class {json.dumps(reference)}.{nearest} "
        f"Give {' or '.join([*ways, f'an index from 0 to {classifier.classes - 1}'])}."
    )
