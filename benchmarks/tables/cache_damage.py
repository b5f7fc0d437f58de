"""What the cache does with damaged files."""

from benchmarks.lib import markdown, results

_SHOWN = {
    "refused": "refused, computed anew",
    "right": "read, every number right",
    "wrong": "wrong number",
    "traceback": "traceback",
    "hang": "hang",
    "lost": "never cached again, without a warning",
}


def tables() -> dict[str, str]:
    """Return the outcomes by kind of damage."""
    rows = results.read("cache_damage", "outcomes")
    total = {"damage": "all", **{name: sum(row[name] for row in rows) for name in _SHOWN}}
    lines = [
        [row["damage"], f"{sum(row[name] for name in _SHOWN):,}", *(f"{row[name]:,}" for name in _SHOWN)]
        for row in [*rows, total]
    ]
    return {
        "made": markdown.made_by(results.made("cache_damage")),
        "outcomes": markdown.table(["damage", "caches", *_SHOWN.values()], lines),
    }
