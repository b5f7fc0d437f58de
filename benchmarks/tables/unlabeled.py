"""Few labels and many unlabelled images."""

from benchmarks.lib import markdown, measure, results
from benchmarks.lib.results import Row


def tables() -> dict[str, str]:
    """Return a section for each data set, and what each rule for keeping pseudo-labels gains."""
    made = results.made("unlabeled")
    sections: dict[str, list[Row]] = {}
    for row in results.read("unlabeled", "accuracy"):
        sections.setdefault(row["data"], []).append(row)
    rules = [
        [
            row["rule"],
            f"{row['points']:+.1f}",
            f"{row['nats']:+.3f}",
            row["changed"],
            f"{row['below']}, {row['worst']:+.1f} points",
        ]
        for row in results.read("unlabeled", "rules")
    ]
    one_image = ", ".join(f"{100 / count:.1f} points on {name}" for name, count in made["test_images"].items())
    return {
        "made": markdown.made_by(made),
        "one_image": f"One test image is {one_image}.",
        "sections": "\n\n".join(f"## {name}\n\n{_table(rows)}" for name, rows in sections.items()),
        "rules": markdown.table(
            [
                "kept where it gains",
                "points of accuracy",
                "nats of log loss",
                "changed",
                "below the supervised head, the worst",
            ],
            rules,
        ),
    }


def _table(rows: list[Row]) -> str:
    lines = []
    for row in rows:
        accuracy = measure.shown(row["accuracy"], "{:.1f}".format)
        gain = measure.shown(row["gain"], "{:+.1f}".format) if "gain" in row else ""
        lines.append([row["title"], accuracy, gain, f"{row['kept']} of {row['seeds']}" if gain else ""])
    return markdown.table(["", "test accuracy", "gain", "kept"], lines)
