"""What a solved head costs in time and memory as images become more."""

from benchmarks.lib import markdown, results


def tables() -> dict[str, str]:
    """Return seconds and memory by number of images."""
    rows = [
        [
            f"{row['images']:,}",
            f"{row['jpeg_kilobytes']:.0f} KB",
            f"{row['seconds']:.1f}",
            f"{row['ms_an_image']:.2f}",
            f"{row['forward_passes']:.2f}",
            f"{row['ms_an_image_whole_run']:.2f}",
            f"{row['mib_before']:,.0f}",
            f"{row['mib_peak']:,.0f}",
            f"{row['accuracy']:.1%}",
        ]
        for row in results.read("streaming", "images")
    ]
    header = ["images", "a JPEG", "seconds in the phase", "ms an image", "forward passes", "ms an image, whole run"]
    return {
        "made": markdown.made_by(results.made("streaming")),
        "images": markdown.table([*header, "MiB before", "MiB at the peak", "validation accuracy"], rows),
    }
