"""Images a second in float32 and in 16 bits."""

from benchmarks.lib import markdown, measure, results


def tables() -> dict[str, str]:
    """Return how the speed was measured, and the speed of each backbone."""
    made = results.made("precision")
    rows = [
        [
            row["backbone"],
            row["work"],
            f"{row['float32']:.3g}",
            f"{row['half']:.3g}",
            measure.shown(row["ratio"], "{:.2f}".format),
        ]
        for row in results.read("precision", "speed")
    ]
    setting = (
        f"{made['size']} px, batch {made['batch']}, {made['rounds']} rounds; {made['backend']} on {made['devices']}"
    )
    return {
        "made": f"{setting}; {markdown.made_by(made)}",
        "speed": markdown.table(["backbone", "images a second", "float32", made["precision"], "ratio"], rows),
    }
