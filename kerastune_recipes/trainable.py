"""Which layers a phase trains, and how fast: ordered patterns matched against the backbone's layers.

Freezing as data, every layer covered, after big_vision's `_split_frozen`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from kerastune_recipes.errors import RecipeError, did_you_mean
from kerastune_recipes.facts import BackboneFacts, LayerFacts

Rule = tuple[str, float | str]


@dataclass(frozen=True)
class Group:
    """The layers that one rule decides on.

    Args:
        pattern: The rule's pattern, such as "backbone/stage4".
        multiplier: Its learning-rate multiplier; None means frozen.
        layers: The backbone's layers it takes, input side first.
        head: True when it takes the head.
    """

    pattern: str
    multiplier: float | None
    layers: tuple[LayerFacts, ...]
    head: bool


def groups(rules: Sequence[Rule], backbone: BackboneFacts, where: str) -> tuple[Group, ...]:
    """Match every layer to the first rule whose pattern fits it.

    A pattern is "head", "backbone", "backbone/STAGE", "backbone/last_stage", "backbone/LAYER" or
    "backbone/STAGE/LAYER"; `*`, `?` and `[..]` match as in file names.

    Args:
        rules: Ordered pairs of pattern and learning-rate multiplier or "frozen".
        backbone: The layers to match.
        where: How to name the rules in an error, such as "phases.fine_tuning.fit.trainable".

    Raises:
        RecipeError: A pattern matches nothing, is never reached, or a layer is not covered.
    """
    addresses = {layer.name: _addresses(layer, backbone) for layer in backbone.layers}
    addresses[""] = ("head",)
    left = dict.fromkeys(addresses)
    matches: list[set[str]] = []
    taken: list[Group] = []
    problems = []
    for pattern, multiplier in rules:
        matched = {name for name, names in addresses.items() if any(fnmatchcase(one, pattern) for one in names)}
        new = {name for name in matched if name in left}
        # A wider pattern after narrower ones is a net for the rest, and may find nothing left.
        shadowed = not new and (pattern in {group.pattern for group in taken} or any(one > matched for one in matches))
        matches.append(matched)
        if not matched:
            problems.append(f'{where}: the pattern "{pattern}" matches no layer.{_hint(pattern, backbone)}')
        elif shadowed:
            problems.append(
                f'{where}: the pattern "{pattern}" is never reached, because earlier patterns take all its layers; '
                "put it before them."
            )
        for name in new:
            del left[name]
        layers = tuple(layer for layer in backbone.layers if layer.name in new)
        taken.append(Group(pattern, None if multiplier == "frozen" else float(multiplier), layers, head="" in new))
    if left and not problems:
        missing = ["head" if name == "" else addresses[name][-1] for name in left]
        problems.append(
            f"{where}: no pattern covers {len(missing)} of the layers, the first being {missing[0]}; "
            "add [backbone, frozen] or [backbone, 1.0] at the end, and [head, 1.0] if the head is missing."
        )
    if problems:
        raise RecipeError(*problems)
    return tuple(taken)


def moving(taken: Sequence[Group], batch_norm: str) -> frozenset[str]:
    """Return the names of the backbone's layers that change while a phase trains.

    Args:
        taken: Which layers are trained, as `groups` matched them.
        batch_norm: "frozen" or "trained", see `FitSpec`.
    """
    layers = (layer for group in taken if group.multiplier is not None for layer in group.layers)
    return frozenset(layer.name for layer in layers if batch_norm == "trained" or not layer.batch_norm)


def _addresses(layer: LayerFacts, backbone: BackboneFacts) -> tuple[str, ...]:
    stages = [layer.stage, "last_stage"] if layer.stage == backbone.stages[-1] else [layer.stage]
    return (
        "backbone",
        *(f"backbone/{stage}" for stage in stages),
        f"backbone/{layer.name}",
        *(f"backbone/{stage}/{layer.name}" for stage in reversed(stages)),
    )


def _hint(pattern: str, backbone: BackboneFacts) -> str:
    stages = [f"backbone/{stage}" for stage in (*backbone.stages, "last_stage")]
    known = ["head", "backbone", *stages, *(f"backbone/{layer.name}" for layer in backbone.layers)]
    return f"{did_you_mean(pattern, known)} There are head, backbone and {', '.join(stages)}."
