"""What a check found, in words, as JSON, as a table of doubtful labels and as a page."""

import base64
import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kerastune_recipes import atomic_files, printable
from kerastune_recipes.reporting.html_parts import Html, element, joined, note_html, page_html, section_html

_COLUMNS = ("image", "split", "label", "likely", "margin")
# Pictures on a page; JSON names all.
_MOST_PICTURES = 60


@dataclass(frozen=True)
class Picture:
    """An image that a finding is about.

    Args:
        name: Its name.
        split: Its split.
        label: Its class.
        note: What is wrong with it; may be empty.
        likely: The class that is more likely; empty where its label is not in doubt.
        margin: By how much, 0..1; None where its label is not in doubt.
        thumbnail: Bytes of a small PNG of it.
    """

    name: str
    split: str
    label: str
    note: str
    likely: str
    margin: float | None
    thumbnail: bytes


@dataclass(frozen=True)
class Finding:
    """Something that a check found.

    Args:
        kind: What it is, in a word or two.
        level: "error" where the images cannot be used so; "warning" where they are doubtful; else "note".
        sentence: What was found, with names.
        pictures: The images that it is about.
    """

    kind: str
    level: Literal["error", "warning", "note"]
    sentence: str
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class DataCheck:
    """The result of a check.

    Args:
        source: Where the images come from.
        images: Number of images by split.
        findings: What was found.
    """

    source: str
    images: Mapping[str, int]
    findings: tuple[Finding, ...]

    def has(self, *levels: str) -> bool:
        """Return whether anything of some level was found."""
        return any(finding.level in levels for finding in self.findings)

    @property
    def record(self) -> dict[str, Any]:
        """All findings as plain data; thumbnails are left out."""
        return {
            "source": self.source,
            "images": dict(self.images),
            "findings": [
                {
                    "kind": finding.kind,
                    "level": finding.level,
                    "sentence": finding.sentence,
                    "images": [_plain(picture) for picture in finding.pictures],
                }
                for finding in self.findings
            ],
        }

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {split}" for split, count in self.images.items())
        lines = [f"{self.source}: {counts} images"] if counts else []
        lines += [f"  {finding.level}: {finding.sentence}" for finding in self.findings]
        if not self.findings:
            lines.append("  nothing found")
        return "\n".join(map(printable.one_line, lines))

    def doubtful_labels(self) -> str:
        """Return the doubtful labels as CSV, the most doubtful first."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for finding in self.findings:
            writer.writerows(
                (one.name, one.split, one.label, one.likely, f"{one.margin:.4f}")
                for one in finding.pictures
                if one.margin is not None
            )
        return text.getvalue()

    def to_html(self, path: str | Path) -> None:
        """Write the findings as one self-contained HTML page, with thumbnails.

        Args:
            path: The file; it is replaced if it exists.
        """
        sections = [
            section_html(f"{finding.kind} ({finding.level})", joined([element("p", finding.sentence), _shown(finding)]))
            for finding in self.findings
        ]
        counts = ", ".join(f"{count} {split}" for split, count in self.images.items())
        body = [note_html(counts), *(sections or [note_html("nothing found")])]
        atomic_files.write(Path(path), page_html(f"Check of {self.source}", body))


def _plain(picture: Picture) -> dict[str, Any]:
    return {key: value for key, value in vars(picture).items() if key != "thumbnail" and value not in ("", None)}


def _shown(finding: Finding) -> Html:
    pictures = [_figure(picture) for picture in finding.pictures[:_MOST_PICTURES]]
    return element("div", *pictures, class_="cards") if pictures else Html("")


def _figure(picture: Picture) -> Html:
    data = base64.b64encode(picture.thumbnail).decode()
    words = [picture.name, f"{picture.split}, {picture.label}"]
    words += [f"rather {picture.likely}"] if picture.likely else []
    words += [picture.note] if picture.note else []
    image = element("img", src=f"data:image/png;base64,{data}", alt=picture.name, width=96, height=96)
    return element("div", image, *(note_html(word) for word in words), class_="card")
