"""Tells files that have no extension of an image apart: images all the same, images in other formats, and the rest."""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kerastune_recipes.data import image_formats, images
from kerastune_recipes.data.sources.remote import is_remote
from kerastune_recipes.errors import DataError, listed

# Extensions of what lies beside images and is never looked into.
_TEXTS = frozenset(
    (
        ".txt", ".md", ".rst", ".rtf", ".csv", ".tsv", ".json", ".jsonl", ".yaml", ".yml", ".xml", ".html", ".htm",
        ".css", ".js", ".log", ".ini", ".cfg", ".toml", ".py", ".pyc", ".ipynb", ".sh", ".bat", ".doc", ".docx", ".odt",
        ".xls", ".xlsx", ".ods", ".pdf", ".tex", ".bib", ".url", ".lnk", ".sql", ".db", ".sqlite", ".zip", ".tar",
        ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".pkl", ".pickle", ".npy", ".npz", ".mat", ".h5", ".hdf5", ".pt",
        ".pth", ".onnx", ".keras", ".tflite", ".mp3", ".wav", ".mp4", ".mov", ".avi", ".mkv", ".webm", ".torrent",
        ".md5", ".sha1", ".sha256",
    )
)  # fmt: skip
# Formats of photos and drawings that are not read, by extension.
_FOREIGN = {
    suffix: form
    for form, suffixes in {
        image_formats.HEIC.name: image_formats.HEIC.suffixes,
        "JPEG 2000": (".jp2", ".j2k", ".jpx", ".jpf"),
        "JPEG XL": (".jxl",),
        "a raw photo": (".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2", ".pef", ".srw"),
        "DICOM": (".dcm", ".dicom"),
        "FITS": (".fits", ".fit"),
        "Photoshop (PSD)": (".psd",),
        "GIMP": (".xcf",),
        "SVG": (".svg",),
        "PostScript": (".eps", ".ps", ".ai"),
        "OpenEXR": (".exr",),
        "a Windows icon": (".ico",),
        "DDS": (".dds",),
        "PCX": (".pcx",),
    }.items()
    for suffix in suffixes
}
# Files that may hold the pictures of somebody's class; beside the classes the others are drawings of a project.
_PHOTOS = (image_formats.HEIC.name, "JPEG 2000", "JPEG XL", "a raw photo", "DICOM", "FITS")
# What `image_formats.foreign` recognizes and is no image.
_NO_IMAGES = (
    "PDF",
    "HDF5",
    "SVG or other XML",
    "a web page",
    "a video (MP4)",
    "a video (MPEG)",
    "a ZIP archive",
    "a gzip file",
)
# The first bytes of these are those of some texts too.
_WEAK = ("PPM", "BMP", "DIB")


@dataclass(frozen=True)
class Others:
    """Files without the extension of an image.

    Args:
        images: Images by their content whose names have no extension; they are read.
        misnamed: Images by their content with another extension.
        foreign: Images in formats that are not read, by the format.
        rest: All others.
    """

    images: list[Path] = field(default_factory=list)
    misnamed: list[Path] = field(default_factory=list)
    foreign: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    rest: list[Path] = field(default_factory=list)

    def pictures(self) -> list[Path]:
        """Return those that may be the images of a class."""
        foreign = [path for name, paths in self.foreign.items() if name in _PHOTOS for path in paths]
        return [*self.images, *self.misnamed, *foreign]


def told_apart(files: Iterable[Path]) -> Others:
    """Tell files apart by their extension, and by their first bytes where that says nothing.

    Args:
        files: Files whose extension is not in `image_formats.SUFFIXES`.
    """
    others = Others()
    for file in files:
        suffix = file.suffix.lower()
        foreign = _FOREIGN.get(suffix)
        if foreign is None and suffix not in _TEXTS:
            head = _head(file)
            foreign = image_formats.foreign(head)
            foreign = None if foreign in _NO_IMAGES else foreign
            if foreign is None and _is_image(file, head):
                (others.misnamed if suffix else others.images).append(file)
                continue
        if foreign is None:
            others.rest.append(file)
        else:
            others.foreign[foreign].append(file)
    return others


def problems(misnamed: Sequence[str], foreign: Mapping[str, Sequence[str]]) -> list[str]:
    """Say what to do with images that are not read.

    Args:
        misnamed: Names of images with the extension of something else.
        foreign: Names of images in other formats, by the format.

    Example:
        >>> problems([], {"DICOM": ["ants/1.dcm"]})
        ['images in a format that is not read (DICOM): ants/1.dcm; convert them to PNG or JPEG.']
    """
    found = [
        f"images in a format that is not read ({form.removeprefix('a ')}): {listed(names)}; "
        f"{image_formats.remedy(form, 'them')}."
        for form, names in foreign.items()
    ]
    if misnamed:
        found.append(
            f"images with the extension of something else: {listed(misnamed)}; remove those that are copies, and give "
            "the others their own extension, such as .jpg."
        )
    return found


def _head(file: Path) -> bytes:
    try:
        if not is_remote(file) and not os.path.isfile(file):  # to open a pipe would wait for a writer
            return b""
        with file.open("rb") as opened:
            return opened.read(image_formats.HEAD)
    except OSError:
        return b""


def _is_image(file: Path, head: bytes) -> bool:
    if len(head) < 16:  # what the formats need to tell
        return False
    form = next(image_formats.candidates(head, ""), None)
    if form is None or form.name not in _WEAK:
        return form is not None
    try:
        images.header_size(file.read_bytes())
    except DataError:
        return False
    return True
