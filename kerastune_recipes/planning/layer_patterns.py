"""Which layers a phase trains, and how fast: ordered patterns matched against the backbone's layers.

Freezing as data, every layer covered, after big_vision's `_split_frozen`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from kerastune_recipes.backbones.facts import BackboneFacts, LayerFacts
from kerastune_recipes.errors import RecipeError, did_you_mean

Rule = tuple[str, float | str]

# The first half of the stages, rounded down: the one part that may be empty, so that a recipe which freezes it fits a
# network of one stage too.
EARLY = "early_stages"
# Stands for the head among the names of the backbone's layers.
_HEAD = ""


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

    A pattern is "head", "backbone", "backbone/STAGE", "backbone/PART", "backbone/LAYER", or "backbone/STAGE/LAYER" and
    "backbone/PART/LAYER"; `*`, `?` and `[..]` match as in file names. The parts are last_stage, early_stages (the first
    half of the stages, rounded down), first_half (of the layers that hold weights), first_N_stages and last_N_stages.

    Args:
        rules: Ordered pairs of pattern and learning-rate multiplier or "frozen".
        backbone: The layers to match.
        where: How to name the rules in an error, such as "phases.fine_tuning.fit.trainable".

    Raises:
        RecipeError: A pattern matches nothing, is never reached, or a layer is not covered.
    """
    parts = _parts(backbone)
    left = dict.fromkeys([*(layer.name for layer in backbone.layers), _HEAD])
    matches: list[set[str]] = []
    taken: list[Group] = []
    problems = []
    for pattern, multiplier in rules:
        matched = _matched(pattern, backbone, parts)
        new = {name for name in matched if name in left}
        # A wider pattern after narrower ones is a net for the rest, and may find nothing left.
        shadowed = not new and (pattern in {group.pattern for group in taken} or any(one > matched for one in matches))
        matches.append(matched)
        if not matched and pattern != f"backbone/{EARLY}":
            problems.append(f'{where}: the pattern "{pattern}" matches no layer.{_hint(pattern, backbone)}')
        elif matched and shadowed:
            problems.append(
                f'{where}: the pattern "{pattern}" is never reached, because earlier patterns take all its layers; '
                "put it before them."
            )
        for name in new:
            del left[name]
        layers = tuple(layer for layer in backbone.layers if layer.name in new)
        taken.append(Group(pattern, None if multiplier == "frozen" else float(multiplier), layers, head=_HEAD in new))
    if left and not problems:
        missing = [f"backbone/{layer.stage}/{layer.name}" for layer in backbone.layers if layer.name in left]
        missing += ["head"] if _HEAD in left else []
        problems.append(
            f"{where}: no pattern covers {len(missing)} of the layers, the first being {missing[0]}; "
            "add [backbone, frozen] or [backbone, 1.0] at the end, and [head, 1.0] if the head is missing."
        )
    if problems:
        raise RecipeError(*problems)
    return tuple(taken)


def moving(taken: Sequence[Group], batch_norm: str, fresh: Collection[str] = ()) -> frozenset[str]:
    """Return the names of the backbone's layers that change while a phase trains.

    Args:
        taken: Which layers are trained, as `groups` matched them.
        batch_norm: "frozen" or "trained", see `FitSpec`.
        fresh: Names of the layers that begin with fresh weights; their BatchNormalization follows the images always.
    """
    layers = (layer for group in taken if group.multiplier is not None for layer in group.layers)
    return frozenset(
        layer.name for layer in layers if batch_norm == "trained" or not layer.batch_norm or layer.name in fresh
    )


def named(patterns: Sequence[str], backbone: BackboneFacts, where: str) -> frozenset[str]:
    """Return the names of the backbone's layers that any of the patterns matches.

    Args:
        patterns: As for `groups`; the head is no layer of the backbone.
        backbone: The layers to match.
        where: How to name the patterns in an error, such as "phases.fine_tuning.fit.reinitialize".

    Raises:
        RecipeError: A pattern matches no layer of the backbone.
    """
    parts = _parts(backbone)
    matches = {pattern: _matched(pattern, backbone, parts) - {_HEAD} for pattern in patterns}
    problems = [
        f'{where}: the pattern "{pattern}" matches no layer of the backbone.{_hint(pattern, backbone)}'
        for pattern, matched in matches.items()
        if not matched
    ]
    if problems:
        raise RecipeError(*problems)
    return frozenset().union(*matches.values())


def decayed(rules: Sequence[Rule], decay: float, backbone: BackboneFacts, where: str) -> tuple[Rule, ...]:
    """Spell out learning rates that fall from stage to stage: discriminative fine-tuning (Howard & Ruder 2018).

    A rule that trains whole stages becomes one rule for each of them, the last stage first; its multiplier is taken
    times `decay` once for every stage that comes after. Rules that freeze, for the head and for single layers stay.

    Args:
        rules: As for `groups`.
        decay: Above 0, below 1.
        backbone: The layers to match.
        where: How to name the key in an error, such as "phases.fine_tuning.fit.stage_decay".

    Raises:
        RecipeError: No rule trains a whole stage before the last, so that nothing would decay; or as for `groups`.

    Example:
        >>> decayed([("head", 1.0), ("backbone", 1.0)], 0.4, backbone, "stage_decay")
        (('head', 1.0), ('backbone/stage2', 1.0), ('backbone/stage1', 0.4), ('backbone/stem', 0.16))
    """
    depth = {stage: number for number, stage in enumerate(reversed(backbone.stages))}
    parts = _parts(backbone)
    found: list[Rule] = []
    decays = False
    for group, rule in zip(groups(rules, backbone, where), rules, strict=True):
        matched = _matched(group.pattern, backbone, parts)
        if group.multiplier is None or not group.layers or not _whole_stages(matched, backbone):
            found.append(rule)
            continue
        stages = sorted({layer.stage for layer in group.layers}, key=depth.__getitem__)
        found += [("head", group.multiplier)] if group.head else []
        # Without the digits that products of decimals end in, as in 0.16000000000000003.
        found += [(f"backbone/{stage}", float(f"{group.multiplier * decay ** depth[stage]:.6g}")) for stage in stages]
        decays |= any(map(depth.get, stages))
    if not decays:
        raise RecipeError(
            f"{where}: no rule in trainable gives a whole stage before the last a multiplier, so there is nothing that "
            "could decay; write one such as [backbone, 1.0], or leave stage_decay out."
        )
    return tuple(found)


def _whole_stages(names: Collection[str], backbone: BackboneFacts) -> bool:
    """Return whether layers make up stages, none of them in part."""
    touched = {layer.stage for layer in backbone.layers if layer.name in names}
    return all(layer.name in names for layer in backbone.layers if layer.stage in touched)


def _matched(pattern: str, backbone: BackboneFacts, parts: Mapping[str, Collection[str]]) -> set[str]:
    """Return the names of the layers that a pattern matches, "" for the head."""
    part, _, layer = pattern.removeprefix("backbone/").partition("/")
    # A part goes by its own name only, or "backbone/last_*" would mean every layer.
    if pattern.startswith("backbone/") and part in parts:
        return {name for name in parts[part] if fnmatchcase(name, layer or "*")}
    addresses = {layer.name: _addresses(layer) for layer in backbone.layers} | {_HEAD: ("head",)}
    return {name for name, names in addresses.items() if any(fnmatchcase(one, pattern) for one in names)}


def _addresses(layer: LayerFacts) -> tuple[str, ...]:
    return "backbone", f"backbone/{layer.stage}", f"backbone/{layer.name}", f"backbone/{layer.stage}/{layer.name}"


def _parts(backbone: BackboneFacts) -> dict[str, frozenset[str]]:
    """Return the names of the layers in each part that goes by a word of ours."""
    count = len(backbone.stages)
    weighted = [layer.name for layer in backbone.layers if layer.parameters]

    def of(stages: Collection[str]) -> frozenset[str]:
        return frozenset(layer.name for layer in backbone.layers if layer.stage in stages)

    return (
        {"last_stage": of(backbone.stages[-1:]), EARLY: of(backbone.stages[: count // 2])}
        | {"first_half": frozenset(weighted[: len(weighted) // 2])}
        | {f"first_{number}_stages": of(backbone.stages[:number]) for number in range(1, count + 1)}
        | {f"last_{number}_stages": of(backbone.stages[-number:]) for number in range(1, count + 1)}
    )


def _hint(pattern: str, backbone: BackboneFacts) -> str:
    stages = [f"backbone/{stage}" for stage in (*backbone.stages, "last_stage", EARLY, "first_half")]
    counted = [f"backbone/{end}_N_stages" for end in ("first", "last")]
    layers = [f"backbone/{layer.name}" for layer in backbone.layers]
    known = ["head", "backbone", *stages, *(f"backbone/{part}" for part in _parts(backbone)), *layers]
    return (
        f"{did_you_mean(pattern, known)} There are head, backbone, {', '.join([*stages, *counted])} "
        f"with N up to {len(backbone.stages)}, and layers by their names."
    )
