"""A comparison as one HTML page."""

from collections.abc import Mapping, Sequence
from typing import Any

from kerastune_recipes.reporting import plots
from kerastune_recipes.reporting.html_parts import (
    Html,
    figure_html,
    format_interval,
    format_seconds,
    note_html,
    page_html,
    section_html,
    table_html,
)


def render_comparison(comparison: Mapping[str, Any]) -> str:
    """Write a comparison of recipes as a page.

    Args:
        comparison: The record of comparison.json.

    Returns:
        The whole file. All text in it is escaped.
    """
    title = f"{len(comparison['results'])} recipes on {comparison['data']}"
    figure = figure_html(plots.comparison(comparison["results"]), "comparison")
    body = [
        *map(note_html, comparison["notes"]),
        section_html("Accuracy", _results(comparison["results"])),
        *([section_html("Failed", _failures(comparison["failures"]))] if comparison["failures"] else []),
        section_html("Accuracy against seconds", figure, "Bars are 95% intervals."),
    ]
    return page_html(title, body)


def _results(results: Sequence[Mapping[str, Any]]) -> Html:
    header = (
        "recipe", "accuracy", "95% interval", "seeds", "balanced", "log loss", "time", "forward passes", "trained",
        "against the first", "95% interval", "better", "worse", "p",
    )  # fmt: skip
    return table_html(header, map(_result, results), numbers=range(1, 14))


def _result(result: Mapping[str, Any]) -> tuple[str, ...]:
    by_seed, against = result["accuracy_by_seed"], result["against_first"]
    return (
        result["recipe"],
        f"{result['accuracy']:.1%}",
        format_interval(result),
        f"{min(by_seed):.1%} to {max(by_seed):.1%}" if len(by_seed) > 1 else "",
        f"{result['balanced_accuracy']:.1%}",
        f"{result['log_loss']:.3f}",
        format_seconds(result["seconds"]),
        f"{result['forward_passes']:.1f}",
        f"{result['trainable_parameters']:,}",
        *(_against(against) if against else [""] * 5),
    )


def _against(against: Mapping[str, Any]) -> tuple[str, ...]:
    low, high = against["difference_ci95"]
    return (
        f"{against['difference']:+.1%}",
        f"{low:+.1%} to {high:+.1%}",
        f"{against['better']:,}",
        f"{against['worse']:,}",
        f"{against['p_value_holm']:.2g}",
    )


def _failures(failures: Sequence[Mapping[str, str]]) -> Html:
    return table_html(("recipe", "why"), ((failure["recipe"], failure["reason"]) for failure in failures))
