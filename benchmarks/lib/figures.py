"""Figures as SVG: text stays text, and equal figures are equal files."""

import io

from matplotlib import rc_context
from matplotlib.figure import Figure


def to_svg(figure: Figure, name: str) -> str:
    """Return a figure as the content of an SVG file.

    Unlike `kerastune_recipes.reporting.plots.to_svg`, whose element becomes part of a page, the file has a white
    background and names the version of matplotlib that drew it.

    Args:
        figure: The figure.
        name: Salt of the identifiers in the file.
    """
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
