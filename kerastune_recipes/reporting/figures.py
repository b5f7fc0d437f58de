"""Which model each figure of a report describes, on which images, and what these images decided."""

from collections.abc import Sequence
from typing import Any

from kerastune_recipes.data.facts import DatasetFacts
from kerastune_recipes.errors import listed
from kerastune_recipes.planning.plan import Plan
from kerastune_recipes.reporting.outcome import Outcome, Selection


def sources(plan: Plan, data: DatasetFacts, selection: Selection) -> dict[str, dict[str, Any]]:
    """Say for the figures of each split which model they describe, on which images, and what these images decided.

    Args:
        plan: The plan that was run.
        data: Facts of the images.
        selection: Outcomes of all phases, and the chosen one.

    Returns:
        For "validation", and for "test" where there are test images: "model" and "images" in words; "returned", whether
        it is the returned model; "decided", what the images decided, in words. What an image decided never decided
        about the figure of the same image.

    Example:
        >>> sources(plan, data, selection)["test"]["model"]
        'fine_tuning, trained on 238 images, its head refitted on all 298'
    """
    found = {"validation": _validation(plan, data, selection)}
    if data.test:
        images = f"{sum(data.test)} test images"
        found["test"] = {"model": returned_model(data, selection), "images": images, "returned": True, "decided": []}
    return found


def returned_model(data: DatasetFacts, selection: Selection) -> str:
    """Describe the returned model: its phase, and the images that it was trained on.

    Args:
        data: Facts of the images.
        selection: Outcomes of all phases, and the chosen one.
    """
    name, everything = selection.outcomes[selection.chosen].name, data.train_images + data.validation_images
    if selection.refitted == "none":
        return f"{name}, trained on {data.train_images} images"
    if selection.refitted == "head" and selection.outcomes[selection.chosen].kind == "fit":
        return f"{name}, trained on {data.train_images} images, its head refitted on all {everything}"
    return f"{name}, refitted on all {everything} images"


def _validation(plan: Plan, data: DatasetFacts, selection: Selection) -> dict[str, Any]:
    name = selection.outcomes[selection.chosen].name
    decided = _decided(plan, selection.outcomes)
    if plan.folds:
        return {
            "model": f"{name}, of each of {plan.folds} folds, trained on the others",
            "images": f"{data.train_images} images, each held out once",
            "returned": False,
            "decided": decided,
        }
    given = "held out of the training images" if data.held_out else "given for validation"
    return {
        "model": f"{name}, trained on {data.train_images} images",
        "images": f"{data.validation_images} images {given}",
        "returned": selection.refitted == "none" and not decided,
        "decided": decided,
    }


def _decided(plan: Plan, outcomes: Sequence[Outcome]) -> list[str]:
    """Return what the judging images decided."""
    choosable = ["the phase"] if plan.keep != "last" and len(outcomes) > 1 else []
    if any(outcome.kind == "fit" for outcome in outcomes):
        return [*choosable, "how much of each fit phase is kept", "its temperature"]
    return choosable


def in_words(source: dict[str, Any]) -> str:
    """Return one sentence about the figures of a split.

    Args:
        source: A value of `sources`.

    Example:
        >>> in_words({"model": "head, trained on 8 images", "images": "9 test images", "returned": True, "decided": []})
        'head, trained on 8 images, on 9 test images'
    """
    other = "" if source["returned"] else " (not the returned model)"
    decided = source["decided"]
    chosen = (
        f"; they also chose {listed(decided)} (each image is judged by the choice of the others)" if decided else ""
    )
    return f"{source['model']}{other}, on {source['images']}{chosen if decided else ''}"
