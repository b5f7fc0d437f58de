"""What the cache of features saves."""

from benchmarks.lib import markdown, measure, results


def tables() -> dict[str, str]:
    """Return seconds of a first and a second run, by data set."""
    rows = [
        [
            row["data"],
            row["images"],
            measure.shown(row["first_seconds"], "{:.1f}".format),
            measure.shown(row["forward_passes"], "{:.2f}".format),
            measure.shown(row["again_seconds"], "{:.2f}".format),
            measure.shown(row["again_share"], "{:.1%}".format),
            row["new_images"],
            measure.shown(row["more_share"], "{:.1%}".format),
        ]
        for row in results.read("feature_cache", "seconds")
    ]
    columns = ["first, s", "forward passes", "again, s", "of the first", "new images", "of the first"]
    return {
        "made": markdown.made_by(results.made("feature_cache")),
        "seconds": markdown.table(["data", "images", *columns], rows),
    }
