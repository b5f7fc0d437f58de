"""What the solved heads cost."""

from benchmarks.lib import markdown, results

HEADS = {
    "logistic_regression": "logistic regression",
    "linear_svm": "linear SVM",
    "lda": "LDA",
    "naive_bayes": "naive Bayes",
}


def tables() -> dict[str, str]:
    """Return CPU seconds of each head, the earlier solver against this one, and costs on many images."""
    heads = [{**row, "column": HEADS[row["head"]]} for row in results.read("solver", "heads")]
    before = [
        [
            row["data"],
            row["images"],
            *(f"{row[key]:.2f}" for key in ("cpu_seconds_before", "cpu_seconds", "ratio")),
            *(f"{row[key]:.1%}" for key in ("accuracy_before", "accuracy")),
            *(f"{row[key]:.4f}" for key in ("log_loss_before", "log_loss")),
            f"{row['difference']:+.4f} +- {row['standard_error']:.4f}",
        ]
        for row in results.read("solver", "before")
    ]
    many = [
        [
            f"{row['images']:,} x {row['features']:,} x {row['classes']}",
            f"{row['seconds']:.1f}",
            f"{row['cpu_seconds']:.1f}",
            f"{row['ms_an_image']:.2f}",
            f"{row['float32_copies']:.2f}",
            f"{row['strength']:.0f}",
            f"{row['log_loss']:.3f}",
            f"{row['best_log_loss']:.3f} at {row['best_strength']:.0f}" if "best_log_loss" in row else "",
        ]
        for row in results.read("solver", "many_images")
        if row["head"] == "logistic_regression"
    ]
    return {
        "made": markdown.made_by(results.made("solver")),
        "heads": markdown.pivot(
            heads, {"data": "data", "images": "images"}, "column", lambda row: f"{row['cpu_seconds']:.2f}"
        ),
        "before": markdown.table(
            [
                "data",
                "images",
                "CPU s before",
                "CPU s now",
                "now / before",
                "accuracy before",
                "accuracy now",
                "log loss before",
                "log loss now",
                "difference",
            ],
            before,
        ),
        "many_images": markdown.table(
            [
                "images x features x classes",
                "s",
                "CPU s",
                "ms an image",
                "memory, float32 copies",
                "strength",
                "log loss on fresh images",
                "best of six strengths",
            ],
            many,
        ),
    }
