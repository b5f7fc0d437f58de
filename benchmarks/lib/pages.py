"""Writes every page, figure, README table and `# Measured:` line from stored results. Runs no benchmark.

    python -m benchmarks.lib.pages

A page is `notes/NAME.md` with each line `<!-- table: PAGE.TABLE -->` replaced by the table that `tables/PAGE.py` makes
of `results/PAGE.jsonl`. In README.md and docs/ a table goes between `<!-- table: PAGE.TABLE -->` and `<!-- end -->`.
No Keras is imported.
"""

import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

from benchmarks.lib import figures, measured_lines

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
NOTES, TABLES = BENCHMARKS / "notes", BENCHMARKS / "tables"
# Pages that users of the package read are in docs/; the others are in benchmarks/pages/.
IN_DOCS = ("experiments", "recipes")

_MARK = re.compile(r"^<!-- table: (\w+)\.(\w+) -->$", re.MULTILINE)
_BETWEEN_MARKS = re.compile(r"^(<!-- table: (\w+)\.(\w+) -->\n)(.*?)^(<!-- end -->)$", re.MULTILINE | re.DOTALL)
_NOTICE = "<!-- Written by `make pages` from benchmarks/notes/{name}.md and benchmarks/results/. Edit those. -->"


def names() -> list[str]:
    """Return the names of all pages."""
    return sorted(note.stem for note in NOTES.glob("*.md"))


def place(name: str) -> str:
    """Return the path of a page, relative to the root of the repository."""
    return f"docs/{name}.md" if name in IN_DOCS else f"benchmarks/pages/{name}.md"


def page(name: str) -> str:
    """Return a page: its note, with the tables filled in."""
    note = (NOTES / f"{name}.md").read_text(encoding="utf-8")
    filled = _MARK.sub(lambda mark: _table(mark[1], mark[2]), note)
    return f"{_NOTICE.format(name=name)}\n\n{filled}"


def filled(text: str) -> str:
    """Return a text with the tables between its marks written again."""
    return _BETWEEN_MARKS.sub(lambda found: f"{found[1]}{_table(found[2], found[3])}\n{found[5]}", text)


def drawings(name: str) -> dict[str, str]:
    """Return the figures of a page as SVG, by their path."""
    draw = getattr(_module(name), "figures", dict) if _has_tables(name) else dict
    return {f"benchmarks/pages/{stem}.svg": figures.to_svg(figure, stem) for stem, figure in draw().items()}


def written() -> dict[str, str]:
    """Return the contents of every file that is written from results, by its path relative to the root."""
    found: dict[str, str] = {}
    for name in names():
        found |= {place(name): page(name), **drawings(name)}
    for path in _with_marks():
        found[str(path.relative_to(ROOT))] = filled(path.read_text(encoding="utf-8"))
    for recipe in sorted((ROOT / "recipes").glob("*.yaml")):
        found[f"recipes/{recipe.name}"] = measured_lines.renewed(recipe, {name: place(name) for name in names()})
    return found


def write(root: Path = ROOT) -> None:
    """Write all files below a folder, at the same relative paths."""
    for path, content in written().items():
        _save(root / path, content)


def write_page(name: str) -> str:
    """Write one page and its figures, and return the page: the end of every script."""
    _module.cache_clear()
    text = page(name)
    for path, content in {place(name): text, **drawings(name)}.items():
        _save(ROOT / path, content)
    return text


def _save(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def _with_marks() -> Iterator[Path]:
    """Yield the texts written by hand that may show tables."""
    generated = {ROOT / place(name) for name in names()}
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        if path not in generated and _BETWEEN_MARKS.search(path.read_text(encoding="utf-8")):
            yield path


def _has_tables(name: str) -> bool:
    return (TABLES / f"{name}.py").is_file()


@cache
def _module(name: str):
    return import_module(f"benchmarks.tables.{name}")


def _table(name: str, table: str) -> str:
    tables = _module(name).tables()
    if table not in tables:
        raise KeyError(f"benchmarks/tables/{name}.py has no table {table!r}, only {', '.join(tables)}")
    return tables[table]


if __name__ == "__main__":
    write()
