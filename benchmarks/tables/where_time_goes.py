"""Where the time of a run goes, step by step."""

from benchmarks.lib import markdown, results


def tables() -> dict[str, str]:
    """Return seconds and shares of each step, by data set."""
    steps = [
        {**row, "cell": f"{row['seconds']:.2f} ({row['share']:.0%})"}
        for row in results.read("where_time_goes", "steps")
    ]
    whole = [
        {**row, "step": "all", "cell": f"{row['seconds']:.2f}"} for row in results.read("where_time_goes", "whole")
    ]
    return {
        "made": markdown.made_by(results.made("where_time_goes")),
        "steps": markdown.pivot([*steps, *whole], {"step": ""}, "data", lambda row: row["cell"]),
    }
