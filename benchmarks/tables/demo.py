"""The demonstration on handwritten digits."""

from benchmarks.lib import markdown, results

TITLES = {
    "pretrained": "`small_similar`, pretrained backbone",
    "random_weights": "`small_similar`, the same network with random weights",
    "from_scratch": "`from_scratch`, the same network, all layers, 60 epochs, augmented",
    "raw_pixels": "the same linear head on raw pixels",
}
# The same for readers of README.
_SHORT = {
    "pretrained": "`small_similar`, backbone pretrained on letters",
    "random_weights": "`small_similar`, the same network with random weights",
    "from_scratch": "`from_scratch`, the same network, all layers trained",
    "raw_pixels": "a linear head on raw pixels",
}


def tables() -> dict[str, str]:
    """Return accuracy and seconds of each way, and the short table, with the pretrained backbone in bold."""
    rows = results.read("demo", "accuracy")
    short = [[_SHORT[row["way"]], f"{row['accuracy']:.1%}"] for row in rows]
    return {
        "made": markdown.made_by(results.made("demo")),
        "accuracy": markdown.table(
            ["", "test accuracy", "95% interval", "seconds"],
            (
                [
                    TITLES[row["way"]],
                    f"{row['accuracy']:.1%}",
                    "{:.1%} to {:.1%}".format(*row["interval"]),
                    f"{row['seconds']:.1f}",
                ]
                for row in rows
            ),
        ),
        "readme": markdown.table(
            ["", "test accuracy"], [[f"**{cell}**" for cell in line] if line is short[0] else line for line in short]
        ),
    }
