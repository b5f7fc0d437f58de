"""Tables in Markdown."""

from collections.abc import Callable, Iterable, Sequence

from benchmarks.lib.results import Row


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table.

    Example:
        >>> print(table(["data", "seconds"], [["cifar10", 3]]))
        | data | seconds |
        |---|---|
        | cifar10 | 3 |
    """
    return "\n".join([_line(header), f"|{'---|' * len(header)}", *map(_line, rows)])


def pivot(rows: Sequence[Row], index: dict[str, str], across: str, cell: Callable[[Row], str]) -> str:
    """Return a table with a line for each index and a column for each value of another key.

    Args:
        rows: Rows of results.
        index: Keys that name a line, with the headers of their columns.
        across: Key whose values become columns, in the order in which they first appear.
        cell: Text of a cell; where there is no row it is left empty.
    """
    columns = list(dict.fromkeys(row[across] for row in rows))
    lines: dict[tuple, dict[object, str]] = {}
    for row in rows:
        lines.setdefault(tuple(row[key] for key in index), {})[row[across]] = cell(row)
    return table(
        [*index.values(), *map(str, columns)],
        ([*line, *(cells.get(column, "") for column in columns)] for line, cells in lines.items()),
    )


def made_by(row: Row) -> str:
    """Return machine, versions and command as a paragraph and a block of code, leaving out what is not stated."""
    stated = "; ".join(row[key] for key in ("machine", "versions") if key in row)
    date = f"{row['date']}. " if "date" in row else ""
    return f"{date}{stated}. Made by:\n\n    {row['command']}" if stated else f"{date}Made by:\n\n    {row['command']}"


def _line(cells: Iterable[object]) -> str:
    return "|" + "".join(f" {cell} |" if str(cell) else " |" for cell in cells)
