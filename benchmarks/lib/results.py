"""Reading and writing `results/NAME.jsonl`: one JSON object for each line of a table or for each run.

A row with `"table": "made"` states how the others were measured: machine, versions, command, date. The other rows may
name their table too; rows without a name are single runs.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "results"
MADE, RUNS = "made", "runs"

Row = dict[str, Any]


def read(name: str, table: str = RUNS) -> list[Row]:
    """Return the rows of a table, in the order in which they were written.

    Args:
        name: Stem of the file in `results/`.
        table: Value of "table" in the rows.
    """
    return [row for row in _all(FOLDER / f"{name}.jsonl") if row.get("table", RUNS) == table]


def read_log(path: Path) -> list[Row]:
    """Return the runs in any file of results; none where there is no such file."""
    return [row for row in _all(path) if row.get("table", RUNS) == RUNS]


def made(name: str) -> Row:
    """Return machine, versions and command of the results; empty where they are not stated."""
    return next(iter(read(name, MADE)), {})


def replace(name: str, table: str, rows: Iterable[Row]) -> None:
    """Write the rows of a table in the place of those before, and leave other tables as they are."""
    path = FOLDER / f"{name}.jsonl"
    others = [row for row in _all(path) if row.get("table", RUNS) != table]
    named = [row if table == RUNS else {"table": table, **row} for row in rows]
    _write(path, [*named, *others] if table == MADE else [*others, *named])


def append(path: Path, row: Row) -> None:
    """Add one run to a file of results."""
    with path.open("a", encoding="utf-8") as lines:
        lines.write(_line(row))


def _all(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def _write(path: Path, rows: Iterable[Row]) -> None:
    path.write_text("".join(map(_line, rows)), encoding="utf-8")


def _line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"
