"""The image formats that are read: the one table of their file extensions and of the part of Pillow for each.

Pillow opens a file by its content, in any of fifty formats. Some start other programs: PostScript runs Ghostscript. So
only these are ever tried; and HEIC where its plugin, pillow-heif, is installed, without adding it to Pillow for all
programs in the process.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import util
from typing import Any, BinaryIO

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TgaImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)


@dataclass(frozen=True)
class Format:
    """An image format.

    Args:
        name: Its name in Pillow.
        suffixes: Its file extensions, lower case.
        working_bytes: Memory that its decoder takes per pixel, besides the decoded image, as measured over the modes of
            the format (`tests/data/test_decode_limits.py` repeats it). A TIFF may take more: 1 byte if it is rotated,
            up to 4 if it is one strip.
        signed: False if the content does not tell the format, so that the file extension must.
        plugin: Returns what Pillow registers for a format, how it is opened and recognized; None if it is registered.
    """

    name: str
    suffixes: tuple[str, ...]
    working_bytes: int = 0
    signed: bool = True
    plugin: Callable[[], tuple[Any, Any]] | None = None

    def accepts(self, head: bytes) -> bool:
        """Return whether a file may be in this format, by its first 16 bytes or more."""
        accept = self._registered()[1]
        # A text instead of True says that this build of Pillow lacks the decoder; `open` then says so too.
        return accept is not None and bool(accept(head[:16]))

    def open(self, file: BinaryIO) -> ImageFile.ImageFile:
        """Read the header of a file in this format.

        Not by `Image.open`, whose limits are the same for all programs in a process and below ours.

        Raises:
            SyntaxError, IndexError, TypeError, struct.error: It is not in this format, or its header is damaged.
        """
        file.seek(0)
        return self._registered()[0](file, "")  # Without its name Pillow does not map the file, which may change.

    def _registered(self) -> tuple[Any, Any]:
        return Image.OPEN[self.name] if self.plugin is None else self.plugin()


# Imported plugins are registered in Pillow under these names. A JPEG of several frames (MPO), as some phones write it,
# is opened by the plugin of JPEG.
# The most common first, as they are tried in this order.
FORMATS = (
    Format(JpegImagePlugin.JpegImageFile.format, (".jfif", ".jpe", ".jpeg", ".jpg")),
    Format(PngImagePlugin.PngImageFile.format, (".png",)),
    Format(WebPImagePlugin.WebPImageFile.format, (".webp",), working_bytes=16),
    Format(TiffImagePlugin.TiffImageFile.format, (".tif", ".tiff")),
    Format(BmpImagePlugin.BmpImageFile.format, (".bmp",)),
    Format(GifImagePlugin.GifImageFile.format, (".gif",)),
    Format(AvifImagePlugin.AvifImageFile.format, (".avif",), working_bytes=12),
    Format(PpmImagePlugin.PpmImageFile.format, (".pbm", ".pgm", ".pnm", ".ppm")),
    Format(BmpImagePlugin.DibImageFile.format, (".dib",)),
    Format(TgaImagePlugin.TgaImageFile.format, (".tga",), signed=False),
)

# The brands of HEIC files.
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1")


def _is_heic(head: bytes) -> bool:
    return head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS


@cache
def _heic_plugin() -> tuple[Any, Any]:
    from pillow_heif.as_plugin import HeifImageFile

    return HeifImageFile, _is_heic


# Read by a plugin that the user may install. The last, as an AVIF may begin like it.
HEIC = Format("HEIC", (".heic", ".heif", ".hif"), working_bytes=6, plugin=_heic_plugin)
READABLE = (*FORMATS, *([HEIC] if util.find_spec("pillow_heif") else []))
SUFFIXES = frozenset(suffix for form in READABLE for suffix in form.suffixes)

# The first bytes that `foreign` needs.
HEAD = 256
# Formats that people take for images, with the bytes that tell them and where these stand. Only for the message.
_FOREIGN = (
    ("PostScript", 0, b"%!PS"),
    ("PostScript", 0, b"\xc5\xd0\xd3\xc6"),
    ("PDF", 0, b"%PDF"),
    *((HEIC.name, 4, b"ftyp" + brand) for brand in _HEIC_BRANDS),
    ("JPEG 2000", 0, b"\x00\x00\x00\x0cjP  "),
    ("JPEG 2000", 0, b"\xff\x4f\xff\x51"),
    ("JPEG XL", 0, b"\x00\x00\x00\x0cJXL "),
    ("JPEG XL", 0, b"\xff\x0a"),
    ("Photoshop (PSD)", 0, b"8BPS"),
    ("a Windows icon", 0, b"\x00\x00\x01\x00"),
    ("a macOS icon", 0, b"icns"),
    *(("a raw photo", 0, sign) for sign in (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb")),
    ("a raw photo", 4, b"ftypcrx "),
    ("DICOM", 128, b"DICM"),
    ("FITS", 0, b"SIMPLE  ="),
    ("HDF5", 0, b"\x89HDF"),
    ("DDS", 0, b"DDS "),
    ("PCX", 0, b"\x0a\x05\x01"),
    ("SGI", 0, b"\x01\xda"),
    ("XPM", 0, b"/* XPM */"),
    ("QOI", 0, b"qoif"),
    ("OpenEXR", 0, b"\x76\x2f\x31\x01"),
    ("SVG", 0, b"<svg"),
    ("SVG or other XML", 0, b"<?xml"),
    ("a web page", 0, b"<!DOCTYPE html"),
    ("a web page", 0, b"<html"),
    ("a Windows metafile", 0, b"\xd7\xcd\xc6\x9a"),
    ("a Windows metafile", 40, b" EMF"),
    ("a video (MP4)", 4, b"ftyp"),
    ("a video (MPEG)", 0, b"\x00\x00\x01\xb3"),
    ("a ZIP archive", 0, b"PK\x03\x04"),
    ("a gzip file", 0, b"\x1f\x8b"),
)


def candidates(head: bytes, suffix: str) -> Iterator[Format]:
    """Yield the formats that a file may be in.

    Args:
        head: Its first 16 bytes or more.
        suffix: Its extension in lower case, such as ".jpg"; it matters only for formats that the content does not tell.

    Example:
        >>> [form.name for form in candidates(b"GIF89a", ".jpg")]
        ['GIF']
    """
    told = False
    for form in READABLE:
        if form.accepts(head) if form.signed else not told and suffix in form.suffixes:
            told = True
            yield form


def foreign(head: bytes) -> str | None:
    """Return the name of a format that is not read, or None.

    Args:
        head: The first `HEAD` bytes of a file; all of a shorter one.

    Example:
        >>> foreign(b"%!PS-Adobe-3.0")
        'PostScript'
    """
    return next((name for name, start, sign in _FOREIGN if head.startswith(sign, start)), None)


def remedy(form: str, what: str = "it") -> str:
    """Return what to do with images of a format that is not read.

    Args:
        form: The format as `foreign` names it.
        what: What a sentence calls the images.

    Example:
        >>> remedy("DICOM")
        'convert it to PNG or JPEG'
    """
    if form == HEIC.name:
        return f"convert {what} to JPEG, or pip install pillow-heif"
    return f"convert {what} to PNG or JPEG"
