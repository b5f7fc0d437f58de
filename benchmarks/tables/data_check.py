"""How many planted copies and wrong labels a check finds."""

from collections import defaultdict

from benchmarks.lib import markdown, results
from benchmarks.lib.results import Row


def tables() -> dict[str, str]:
    """Return recall and false alarms, by data and kind."""
    runs = results.read("data_check")
    copies = _summed([row for row in runs if row["part"] == "copies"], "change")
    labels = _summed([row for row in runs if row["part"] == "labels"], "rate")
    return {
        "made": markdown.made_by(results.made("data_check")),
        "copies": markdown.pivot(copies, {"data": "data"}, "change", lambda row: f"{row['found']} of {row['planted']}"),
        "others": markdown.table(
            ["data", "images", "other pairs found"],
            [
                [data, images, others]
                for data, (images, others) in {
                    row["data"]: (row["images"] // row["runs"], row["others"] // row["runs"]) for row in copies
                }.items()
            ],
        ),
        "labels": markdown.table(
            ["data", "labels changed", "found", "recall", "doubtful in all", "precision"],
            [
                [
                    row["data"],
                    f"{row['rate']:.0%}",
                    f"{row['found']} of {row['planted']}",
                    f"{row['found'] / row['planted']:.0%}",
                    row["doubtful"],
                    f"{row['found'] / row['doubtful']:.0%}" if row["doubtful"] else "",
                ]
                for row in labels
            ],
        ),
    }


def _summed(rows: list[Row], key: str) -> list[Row]:
    """Add up the seeds."""
    sums: dict[tuple, Row] = {}
    for row in rows:
        of = sums.setdefault((row["data"], row[key]), defaultdict(int, {"data": row["data"], key: row[key]}))
        of["runs"] += 1
        for name in ("planted", "found", "others", "doubtful", "images"):
            of[name] += row.get(name, 0)
    return list(sums.values())
