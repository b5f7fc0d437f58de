"""What a run does on a full disk."""

from benchmarks.lib import markdown, results


def tables() -> dict[str, str]:
    """Return the outcome for each size of the disk."""
    rows = results.read("full_disk")
    lines = [
        [
            f"{row['kibibytes']:,}",
            row["message"] or "; ".join(row["warnings"]) or "none",
            ", ".join(row["found"]) or "nothing",
            f"{row['ended']}, {'the same bit for bit' if row['same'] else 'other weights'}",
        ]
        for row in rows
    ]
    return {
        "made": markdown.made_by(results.made("full_disk")),
        "outcomes": markdown.table(["disk, KiB", "message", "on the disk", "with more room"], lines),
    }
