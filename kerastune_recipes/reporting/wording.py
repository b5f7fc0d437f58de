"""Phrases that the plan, the report and the pages share."""

from collections.abc import Iterable, Mapping, Sequence

from kerastune_recipes.errors import listed


def cross_validation(folds: int) -> str:
    """Name the cross-validation with a number of folds.

    Example:
        >>> cross_validation(5)
        '5-fold cross-validation'
    """
    return f"{folds}-fold cross-validation"


def class_balance(method: str, imbalance: float) -> str:
    """Describe what a fit phase does about classes of unequal size.

    Args:
        method: "weights" or "sampling".
        imbalance: Images of the largest class divided by those of the smallest, at least 1.

    Example:
        >>> class_balance("weights", 3)
        'unbalanced, 3 to 1: weighted'
    """
    words = {"weights": "weighted", "sampling": "sampled equally often"}
    return f"unbalanced, {imbalance:.3g} to 1: {words[method]}"


def taken_from(sources: Mapping[str, Iterable[object]]) -> list[str]:
    """Name the pretrained classes that each class of the data starts from.

    Args:
        sources: Pretrained classes in words, by class name.

    Example:
        >>> taken_from({"bees": ["bee (309)", "wasp (310)"]})
        ['bees from bee (309), wasp (310)']
    """
    return [f"{name} from {listed(pretrained, most=3)}" for name, pretrained in sources.items()]


def interval(bounds: Sequence[float], groups: int | None = None) -> str:
    """Write an interval of shares in percent.

    Args:
        bounds: Lower and upper bound, 0..1.
        groups: Number of groups whose images count together in it; None where images are not grouped.

    Example:
        >>> interval([0.8, 0.925])
        '80.0% to 92.5%'
        >>> interval([0.8, 0.925], groups=12)
        '80.0% to 92.5% (12 groups)'
    """
    low, high = bounds
    return f"{low:.1%} to {high:.1%}" + ("" if groups is None else f" ({groups} groups)")
