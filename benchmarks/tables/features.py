"""What a head should be solved on: taps, views, image size."""

from benchmarks.lib import markdown, results

TAPS = {
    "last": "last stage",
    "all": "all stages",
    "early": "all but the last",
    "all, mirror": "all, 2 views",
    "early, mirror": "all but the last, 2 views",
}
VIEWS = {
    "all": "the image",
    "all, single precision": "the same in single precision",
    "all, mirror": "and its mirror image",
    "all, crop": "and a crop",
    "all, 3 crops": "and 3 crops",
    "all, mirror, 2 crops": "and its mirror image, 2 crops",
}


def tables() -> dict[str, str]:
    """Return accuracy by taps and image size, and accuracy and log loss by views."""
    taps = [{**row, "column": TAPS[row["features"]]} for row in results.read("features", "taps")]
    # The script measures the other taps again too; this table compares views of all stages.
    views = [
        {**row, "line": VIEWS[row["features"]]} for row in results.read("features", "views") if row["features"] in VIEWS
    ]
    keys = {"data": "data", "backbone": "backbone", "image_size": "image size", "images": "images"}
    return {
        "made": markdown.made_by(results.made("features")),
        "taps": markdown.pivot(taps, keys, "column", lambda row: f"{100 * row['accuracy']:.1f}"),
        "views": markdown.pivot(
            views,
            {"line": "features of all stages", "views": "views"},
            "data",
            lambda row: f"{row['accuracy']:.1%}, {row['log_loss']:.3f}",
        ),
    }
