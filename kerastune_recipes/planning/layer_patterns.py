"""Which layers a phase trains, and at what rate: ordered patterns matched against the backbone's layers.

Every layer must match a pattern, as in big_vision's `_split_frozen`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from kerastune_recipes.backbones.facts import BackboneFacts, LayerFacts
from kerastune_recipes.errors import RecipeError, did_you_mean

Rule = tuple[str, float | str]

# The first half of the stages, rounded down. It alone may be empty, so that a recipe that freezes it works for a
# network with one stage.
EARLY = "early_stages"
# Name of the head among the names of the backbone's layers.
_HEAD = ""


@dataclass(frozen=True)
class LayerGroup:
    """The layers that one rule applies to.

    Args:
        pattern: The rule's pattern, such as "backbone/stage4".
        multiplier: The rule's learning-rate multiplier; None means frozen.
        layers: The backbone layers in the group, input side first.
        head: True when the head is in the group.
    """

    pattern: str
    multiplier: float | None
    layers: tuple[LayerFacts, ...]
    head: bool


def group_layers(rules: Sequence[Rule], backbone: BackboneFacts, where: str) -> tuple[LayerGroup, ...]:
    """Group the layers by the first rule whose pattern matches.

    A pattern is "head", "backbone", "backbone/STAGE", "backbone/PART", "backbone/LAYER", or "backbone/STAGE/LAYER" and
    "backbone/PART/LAYER"; `*`, `?` and `[..]` match as in file names. The parts are last_stage, early_stages (the first
    half of the stages, rounded down), first_half (of the layers with weights), first_N_stages and last_N_stages.

    Args:
        rules: Ordered pairs of pattern and learning-rate multiplier or "frozen".
        backbone: The layers to match.
        where: Key of the rules, for errors, such as "phases.fine_tuning.fit.trainable".

    Returns:
        One group for each rule, in order; a group may be empty.

    Raises:
        RecipeError: A pattern matches nothing or has no effect, or a layer matches none.
    """
    parts = _parts(backbone)
    left = dict.fromkeys([*(layer.name for layer in backbone.layers), _HEAD])
    matches: list[set[str]] = []
    groups: list[LayerGroup] = []
    problems = []
    for pattern, multiplier in rules:
        matched = _matched(pattern, backbone, parts)
        new = {name for name in matched if name in left}
        # A wider pattern after narrower ones covers the rest, and there may be none.
        shadowed = not new and (pattern in {group.pattern for group in groups} or any(one > matched for one in matches))
        matches.append(matched)
        if not matched and pattern != f"backbone/{EARLY}":
            problems.append(f'{where}: the pattern "{pattern}" matches no layer.{_hint(pattern, backbone)}')
        elif matched and shadowed:
            problems.append(
                f'{where}: the pattern "{pattern}" has no effect, because earlier patterns match all its layers; '
                "put it before them."
            )
        for name in new:
            del left[name]
        layers = tuple(layer for layer in backbone.layers if layer.name in new)
        rate = None if multiplier == "frozen" else float(multiplier)
        groups.append(LayerGroup(pattern, rate, layers, head=_HEAD in new))
    if left and not problems:
        missing = [f"backbone/{layer.stage}/{layer.name}" for layer in backbone.layers if layer.name in left]
        missing += ["head"] if _HEAD in left else []
        problems.append(
            f"{where}: no pattern matches {len(missing)} of the layers, the first being {missing[0]}; "
            "add [backbone, frozen] or [backbone, 1.0] at the end, and [head, 1.0] if the head is missing."
        )
    if problems:
        raise RecipeError(*problems)
    return tuple(groups)


def trained_layers(
    groups: Sequence[LayerGroup], batch_norm: str, reinitialized: Collection[str] = ()
) -> frozenset[str]:
    """Return the names of the backbone layers that are trained or whose statistics are updated.

    Args:
        groups: The layers by rule, from `group_layers`.
        batch_norm: "frozen" or "trained", see `FitSpec`.
        reinitialized: Names of the reinitialised layers; BatchNormalization among them is trained in any case.
    """
    layers = (layer for group in groups if group.multiplier is not None for layer in group.layers)
    return frozenset(
        layer.name for layer in layers if batch_norm == "trained" or not layer.batch_norm or layer.name in reinitialized
    )


def match_layers(patterns: Sequence[str], backbone: BackboneFacts, where: str) -> frozenset[str]:
    """Return the names of the backbone layers that any of the patterns matches.

    Args:
        patterns: As for `group_layers`; "head" matches no layer of the backbone.
        backbone: The layers to match.
        where: Key of the patterns, for errors, such as "phases.fine_tuning.fit.reinitialize".

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


def with_stage_decay(rules: Sequence[Rule], decay: float, backbone: BackboneFacts, where: str) -> tuple[Rule, ...]:
    """Write out rules whose rates fall from stage to stage: discriminative fine-tuning (Howard & Ruder 2018).

    A rule that trains whole stages becomes one rule per stage, the last stage first; its multiplier is multiplied by
    `decay` once for every later stage. Rules that freeze, and rules for the head or for single layers, do not change.

    Args:
        rules: As for `group_layers`.
        decay: Learning-rate ratio of a stage to the next one, above 0 and below 1.
        backbone: The layers to match.
        where: Key of the decay, for errors, such as "phases.fine_tuning.fit.stage_decay".

    Raises:
        RecipeError: No rule trains a whole stage before the last, so the decay has no effect; or as for `group_layers`.

    Example:
        >>> with_stage_decay([("head", 1.0), ("backbone", 1.0)], 0.4, backbone, "stage_decay")
        (('head', 1.0), ('backbone/stage2', 1.0), ('backbone/stage1', 0.4), ('backbone/stem', 0.16))
    """
    depth = {stage: number for number, stage in enumerate(reversed(backbone.stages))}
    parts = _parts(backbone)
    written: list[Rule] = []
    decays = False
    for group, rule in zip(group_layers(rules, backbone, where), rules, strict=True):
        matched = _matched(group.pattern, backbone, parts)
        if group.multiplier is None or not group.layers or not _whole_stages(matched, backbone):
            written.append(rule)
            continue
        stages = sorted({layer.stage for layer in group.layers}, key=depth.__getitem__)
        written += [("head", group.multiplier)] if group.head else []
        # Rounded, because 0.4 * 0.4 is 0.16000000000000003.
        written += [(f"backbone/{stage}", float(f"{group.multiplier * decay ** depth[stage]:.6g}")) for stage in stages]
        decays |= any(map(depth.get, stages))
    if not decays:
        raise RecipeError(
            f"{where}: no rule in trainable trains a whole stage before the last, so stage_decay has no effect; add a "
            "rule such as [backbone, 1.0], or remove stage_decay."
        )
    return tuple(written)


def _whole_stages(names: Collection[str], backbone: BackboneFacts) -> bool:
    """Return whether the layers are whole stages."""
    touched = {layer.stage for layer in backbone.layers if layer.name in names}
    return all(layer.name in names for layer in backbone.layers if layer.stage in touched)


def _matched(pattern: str, backbone: BackboneFacts, parts: Mapping[str, Collection[str]]) -> set[str]:
    """Return the names of the layers that a pattern matches, `_HEAD` for the head."""
    part, _, layer = pattern.removeprefix("backbone/").partition("/")
    # Parts match by their exact name, or "backbone/last_*" would match every layer.
    if pattern.startswith("backbone/") and part in parts:
        return {name for name in parts[part] if fnmatchcase(name, layer or "*")}
    addresses = {layer.name: _addresses(layer) for layer in backbone.layers} | {_HEAD: ("head",)}
    return {name for name, names in addresses.items() if any(fnmatchcase(one, pattern) for one in names)}


def _addresses(layer: LayerFacts) -> tuple[str, ...]:
    return "backbone", f"backbone/{layer.stage}", f"backbone/{layer.name}", f"backbone/{layer.stage}/{layer.name}"


def _parts(backbone: BackboneFacts) -> dict[str, frozenset[str]]:
    """Return the names of the layers in each part, such as last_stage."""
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
        f"{did_you_mean(pattern, known)} Known patterns: head, backbone, {', '.join([*stages, *counted])} "
        f"with N up to {len(backbone.stages)}, and layer names."
    )
