"""A report in words: one line for each phase, then the chosen one, the test images and the cost."""

from collections.abc import Mapping
from typing import Any

from kerastune_recipes import printable
from kerastune_recipes.reporting import figures, wording
from kerastune_recipes.spec.heads import HEADS


def describe(record: Mapping[str, Any]) -> str:
    """Describe a report in words.

    Args:
        record: All figures of a report, as report.json holds them.

    Returns:
        The text, as `kerastune run` prints it; no name in it can steer a terminal or break a line.

    Example:
        >>> print(describe(report.record))
    """
    data, cost = record["data"], record["cost"]
    judged = wording.cross_validation(data["folds"]) if "folds" in data else "validation"
    sources = record["figures"]
    lines = [
        f"{record['recipe']} on {data['source']}: {record['backbone']['name']}, {len(data['classes'])} classes, "
        f"{data['train']} training images",
        *(
            f"  {phase['name']}: {_scores(phase['validation'])} on {judged}, {phase['seconds']:.1f} s"
            + (_solved(phase) if phase["kind"] == "solve" else _fitted(phase))
            for phase in record["phases"]
        ),
        f"  kept: {record['returned_model']}",
        f"  validation: {_scores(record['validation'])}: {figures.in_words(sources['validation'])}",
    ]
    if record["test"]:
        interval = wording.interval(record["test"]["accuracy_ci95"], record["test"].get("groups"))
        lines.append(f"  test: {_scores(record['test'])} (95% interval of the accuracy: {interval})")
    unseen = record.get("test_without_copies")
    if unseen:
        lines.append(f"  test without copies of other images: {_scores(unseen)} on {unseen['images']} images")
    lines.append(
        f"  cost: {cost['seconds_total']:.1f} s in total; the phases took as long as "
        f"{cost['forward_equivalents']:.1f} forward passes"
    )
    lines += [f"  note: {note}" for note in record.get("notes", ())]
    return "\n".join(map(printable.one_line, lines))


def _scores(scores: Mapping[str, float]) -> str:
    return f"accuracy {scores['accuracy']:.1%}, log loss {scores['log_loss']:.3f}"


def _solved(phase: Mapping[str, Any]) -> str:
    """Describe a solved head: its kind, how its strength was chosen, and the features that had to be computed."""
    head = HEADS[phase["head"]]
    sources = wording.taken_from(phase.get("pretrained_classes", {}))
    words = [
        head.name + (f" ({'; '.join(sources)})" if sources else "") + (f" on {phase['tap']}" if "tap" in phase else ""),
        *(["all classes weighted equally"] if phase["class_balance"] == "weights" else []),
        f"{head.strength} {phase['strength']:g} by {phase['judged_by']}",
    ]
    computed = phase["features_computed"]
    return f"; {', '.join(words)}; {f'{computed} features computed' if computed else 'all features from the cache'}"


def _fitted(phase: Mapping[str, Any]) -> str:
    """Describe a fit phase: how much of it was kept, its learning rate, and how it balanced the classes."""
    notes = []
    interpolation = phase.get("interpolation", 1.0)
    if "diverged" in phase:
        notes.append(f"discarded: {phase['diverged']}")
    elif interpolation == 0:
        notes.append("discarded: no clear gain on held-out images")
    elif interpolation < 1:
        notes.append(f"weights {interpolation:.0%} of the way from those before the phase")
    if phase.get("head_solved_again"):
        notes.append("head solved again on the trained features")
    if "learning_rate" in phase:
        notes.append(f"peak learning rate {phase['learning_rate']:g} by a range test")
    if "class_balance" in phase:
        notes.append(f"classes {wording.class_balance(phase['class_balance'], phase['imbalance'])}")
    return "".join(f"; {note}" for note in notes)
