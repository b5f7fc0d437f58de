"""Reads the text of a CSV file as a table: its encoding, its separator, its rows."""

import codecs
import csv
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerastune_recipes import printable
from kerastune_recipes.data import checks
from kerastune_recipes.data.sources import columns
from kerastune_recipes.data.sources.remote import is_remote
from kerastune_recipes.errors import listed

if TYPE_CHECKING:
    import pandas

# Marks at the beginning of a file that tell its encoding; that of UTF-16 begins that of UTF-32.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Separators, the usual first; Excel writes the second where the comma is the decimal point.
_SEPARATORS = (",", ";", "\t", "|")
# With this line Excel tells the separator.
_TELLING = re.compile(r"sep=([,;\t|])[\r\n]+", re.IGNORECASE)


class _NoTableError(ValueError):
    """Why a file is no table, and what to do."""


def load(file: Path) -> tuple["pandas.DataFrame | None", list[str]]:
    """Read a CSV file; cells stay text: "01" is not 1, and "NA" is a label like any other.

    Args:
        file: Comma-, semicolon- or tab-separated values with a line of column names, in UTF-8, or in UTF-16 or UTF-32
            with a byte order mark.

    Returns:
        The table, or None if it cannot be read; and the problems.
    """
    where = printable.encodable(str(file))
    try:
        return _parsed(_decoded(_content(file))), []
    except FileNotFoundError:
        return None, [f"{where}: there is no such file. Check the path."]
    except _NoTableError as error:
        return None, [f"{where}: {error}."]
    except (csv.Error, OSError) as error:
        return None, [f"{where}: this file cannot be read as a table: {checks.quoted(error)}."]


def _content(file: Path) -> bytes:
    if not is_remote(file) and file.exists() and not file.is_file():  # to open a pipe would wait for a writer
        raise _NoTableError("this is a folder, a pipe or a device; give the path of a file")
    return file.read_bytes()


def _decoded(content: bytes) -> str:
    encoding = next((encoding for mark, encoding in _MARKS if content.startswith(mark)), "utf-8")
    if encoding.startswith("utf-8") and b"\0" in content:
        raise _NoTableError(
            "this file cannot be read as a table: it holds NUL characters, as UTF-16 without a byte order mark; save "
            "it as UTF-8"
        )
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        if not encoding.startswith("utf-8"):
            raise _NoTableError(
                f"this file cannot be read as a table: it begins as {encoding.upper()} and is damaged; save it as UTF-8"
            ) from None
        raise _NoTableError(_undecodable(content, error.start)) from None


def _undecodable(content: bytes, position: int) -> str:
    before = content[:position]
    number, start = before.count(b"\n") + 1, before.rfind(b"\n") + 1
    line = content[start:].split(b"\n", 1)[0].rstrip(b"\r")
    guess = printable.shortened(line.decode("cp1252", errors="replace"))
    remedy = "save the file as UTF-8 (in Excel: CSV UTF-8)"
    return f'line {number} is not UTF-8, as Windows-1252 it is "{guess}"; {remedy}'


def _parsed(text: str) -> "pandas.DataFrame":
    import pandas

    telling = _TELLING.match(text)
    separator = telling[1] if telling else None
    text = text[telling.end() :] if telling else text
    if not text.strip():
        raise _NoTableError(
            "this file cannot be read as a table: it is empty; write a line path,label, and a line for each image"
        )
    reader = _rows(text, separator or _separator(text))
    header: list[str] = []
    rows: list[list[str]] = []
    long = []
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        if not header:
            header = [name.strip() for name in row]
            continue
        extra = row[len(header) :]
        if any(cell.strip() for cell in extra):
            long.append(f"line {reader.line_num} has {len(row)}")
        rows.append([*row[: len(header)], *[""] * (len(header) - len(row))])
    if long:
        raise _NoTableError(
            f"there are {len(header)} columns, but {listed(long, most=3)}; put cells that hold the separator in quotes"
        )
    return _without_blank_columns(pandas.DataFrame(rows, columns=header, dtype=object))


def _without_blank_columns(frame: "pandas.DataFrame") -> "pandas.DataFrame":
    """Drop columns without a name that are empty, or number the rows as pandas does."""
    counted = [[str(start + row) for row in range(len(frame))] for start in (0, 1)]
    keep = []
    for index, name in enumerate(frame.columns):
        cells = frame.iloc[:, index].tolist()
        keep.append(bool(name) or (any(cells) and cells not in counted))
    return frame.loc[:, keep]


def _separator(text: str) -> str:
    """Return the separator with which the names of the columns make most sense."""

    def sense(separator: str) -> tuple[int, int]:
        try:
            names: list[str] = next(filter(any, _rows(text, separator)), [])
        except csv.Error:
            return 0, 0
        return columns.known(names), len(names)

    return max(_SEPARATORS, key=sense)


def _rows(text: str, separator: str) -> Any:  # the type of a reader has no public name
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
