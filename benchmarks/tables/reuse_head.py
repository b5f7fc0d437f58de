"""Starting the head from the pretrained classifier, against solving it from nothing."""

from benchmarks.lib import markdown, measure, results
from benchmarks.lib.results import Row

TITLES = {
    "last": "last stage, logistic regression",
    "all": "all stages, logistic regression (`small_similar`, solved)",
    "start": "the pretrained classifier as it is, calibrated",
    "reuse": "`reuse_head`, solved",
    "all_fit": "`small_similar`, fine-tuned",
    "reuse_fit": "`reuse_head`, fine-tuned",
}


def tables() -> dict[str, str]:
    """Return a section for each case and number of labels."""
    sections: dict[tuple[str, str], list[Row]] = {}
    for row in results.read("reuse_head", "ways"):
        sections.setdefault((row["case"], row["labels"]), []).append(row)
    return {
        "made": markdown.made_by(results.made("reuse_head")),
        "sections": "\n\n".join(_section(case, labels, rows) for (case, labels), rows in sections.items()),
    }


def _section(case: str, labels: str, rows: list[Row]) -> str:
    first = rows[0]
    many = "all labels" if labels == "all" else f"{labels} labels a class"
    counts = f"{first['train']} images to train on, {first['validation']} to validate, {first['test']} to test."
    columns = ["test accuracy", "log loss", "strength chosen", "fine-tuned model kept", "seconds in phases"]
    lines = [
        [
            TITLES[row["way"]],
            measure.shown(row["accuracy"], "{:.1%}".format),
            measure.shown(row["log_loss"], "{:.3f}".format),
            ", ".join(f"{strength:g}" for strength in row["strengths"]),
            f"{row['kept']} of {row['seeds']}" if "kept" in row else "",
            f"{row['seconds']:.0f}",
        ]
        for row in rows
    ]
    return "\n\n".join([f"## {case}, {many}", counts, markdown.table(["", *columns], lines)])
