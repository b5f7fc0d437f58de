"""By which rule a trained phase is kept, and what a phase ends with."""

from benchmarks.lib import markdown, results


def tables() -> dict[str, str]:
    """Return what each rule gains, and how good each ending is."""
    rules = [
        [
            row["backbone"],
            row["each"],
            row["rule"],
            f"{row['kept']:.0%}",
            f"{row['nats']:+.3f}",
            f"{row['points']:+.2f}",
            f"{row['harm']:.0%}",
            f"{row['worse']:.0%}",
        ]
        for row in results.read("gate", "rules")
    ]
    losses = ("log_loss", "log_loss_few", "log_loss_all", "log_loss_best_temperature")
    endings = [
        [
            row["ending"],
            f"{row['accuracy']:.1%}",
            *(f"{row[key]:.3f}" for key in losses),
            f"{row['factor']:.2f}",
            f"{row['ece']:.3f}",
        ]
        for row in results.read("gate", "endings")
    ]
    return {
        "made": f"{results.made('gate')['runs']} runs. {markdown.made_by(results.made('gate'))}",
        "rules": markdown.table(
            ["network", "images a class", "kept, if it gains", "kept", "nats", "points", "harm", "worse"], rules
        ),
        "endings": markdown.table(
            ["what", "accuracy", "log loss", "few images", "all images", "best temperature", "factor", "ECE"], endings
        ),
    }
