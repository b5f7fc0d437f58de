"""Decodes image files and arrays to uint8 RGB arrays."""

import io
import os
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageFile

from kerastune_recipes.data import decode_limits, image_formats, pillow_notices
from kerastune_recipes.data.image_formats import Format
from kerastune_recipes.data.pixel_range import EIGHT_BITS, PixelRange
from kerastune_recipes.data.views import Box
from kerastune_recipes.errors import DataError, RequestError, reason

ImageSource = str | PathLike[str] | bytes

# Numbers of channels: gray, RGB, and RGB with opacity.
CHANNELS = (1, 3, 4)

# An array as it is looked at, seen as it is stored, by EXIF orientation: views, so that stored pixels are written into
# them without a copy.
_STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[::-1],
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
}
# EXIF orientations that swap height and width.
_SIDEWAYS = (5, 6, 7, 8)
# Pixels converted to RGB at once. A conversion takes up to 30 bytes a pixel besides; so it takes 8 MB for any image.
_STRIP = 2**18

pillow_notices.silence()


class _Refused(ValueError):
    """Why an image is not read, and what to do."""


@dataclass(frozen=True)
class Stored:
    """How a file stores the pixels of an image.

    Args:
        height: Height of the decoded image, pixels.
        width: Its width, pixels.
        deep: Whether a channel has more than 8 bits.
    """

    height: int
    width: int
    deep: bool


def decode(
    source: ImageSource, at_least: int | None = None, name: str | None = None, pixel_range: PixelRange | None = None
) -> np.ndarray:
    """Decode an image file to RGB, rotated by its EXIF orientation.

    An animation gives its first frame. Transparent pixels are blended with white: most transparent images are drawings
    and logos, made for a white page, and the colour under full transparency is arbitrary. 16-bit gray is scaled so that
    65535 becomes 255. Waits where many large images are decoded at once, see `decode_limits`.

    Args:
        source: Path or bytes of a file in a format of `image_formats`.
        at_least: Minimum height and width, pixels; a JPEG may then be decoded at 1/2, 1/4 or 1/8 of its size, which is
            faster. None decodes the full size.
        name: Name of the image for the error message; its path by default.
        pixel_range: The stored values of black and white; None for those of the format, 0 and 255 or 65535.

    Returns:
        uint8 (height, width, 3).

    Raises:
        DataError: The file is missing, empty, truncated, damaged, too large, not an image, or its values are not in
            the range; the error names it.
        RequestError: `KERASTUNE_DECODING` is not a size.
    """
    name = name or _name(source)
    with _read(source, name) as (image, form):
        _check_scale(image, pixel_range)
        coefficients = _coefficients(image)
        if at_least is not None and form.name == "JPEG":  # of HEIC it would take a thumbnail that is in the file
            image.draft(None, (at_least, at_least))
        needed = decode_limits.needed_bytes(image, form.working_bytes, coefficients)
        with decode_limits.TURNS.taken(needed), decode_limits.PILLOWS_LIMIT.lifted(image.width * image.height):
            image.load()
            return _rgb(image, _orientation(image, image.getexif, name), pixel_range)


@dataclass(frozen=True)
class Header:
    """What the header of an image file says.

    Args:
        format: Its format in `image_formats`, such as "JPEG".
        mode: Colour mode of Pillow, such as "RGB", "L" (gray), "RGBA", "I;16" (16 bits), "P" (palette).
        orientation: EXIF orientation, 1 to 8; 1 is upright.
        camera: Maker and model of the camera; empty where it is not said.
        transparent: Whether pixels may be transparent.
    """

    format: str
    mode: str
    orientation: int
    camera: str
    transparent: bool


def header(source: ImageSource, name: str | None = None) -> Header:
    """Return what the header of an image file says; pixels are not decoded.

    Args:
        source: Path or bytes of an image file.
        name: Name of the image for the error message; its path by default.

    Raises:
        DataError: The file is missing, empty, too large, or not an image; the error names it.
        RequestError: `KERASTUNE_DECODING` is not a size.
    """
    name = name or _name(source)
    with _read(source, name) as (image, form):
        # The method of the base class: that of PNG images decodes all pixels to find EXIF data after them.
        read = partial(Image.Image.getexif, image)
        try:
            exif = read()
            camera = " ".join(str(exif.get(tag, "")).strip("\0 ") for tag in (ExifTags.Base.Make, ExifTags.Base.Model))
        except Exception:  # damaged EXIF data: `_orientation` warns of it
            camera = ""
        return Header(
            format=form.name,
            mode=image.mode,
            orientation=_orientation(image, read, name),
            camera=camera.strip(),
            transparent=image.has_transparency_data,
        )


def from_pillow(image: Image.Image, name: str = "image", pixel_range: PixelRange | None = None) -> np.ndarray:
    """Convert an image that Pillow holds to RGB, as `decode` does with one in a file.

    Args:
        image: The image, of any mode; it is turned by its EXIF orientation, where it still has one.
        name: Name of the image for the error message.
        pixel_range: See `decode`.

    Returns:
        uint8 (height, width, 3).

    Raises:
        DataError: It cannot be read, or its values are not in the range.

    Example:
        >>> from_pillow(Image.new("L", (2, 1), 7)).tolist()
        [[[7, 7, 7], [7, 7, 7]]]
    """
    try:
        _check_scale(image, pixel_range)
        image.load()
        return _rgb(image, image.getexif().get(ExifTags.Base.Orientation, 1), pixel_range)
    except Exception as error:  # as various as those of files
        raise DataError(f"{name}: this image cannot be read: {reason(error)}.") from error


def header_size(source: ImageSource, name: str | None = None) -> tuple[int, int]:
    """Return height and width of the decoded image in pixels, read from its header.

    Args:
        source: Path or bytes of an image file.
        name: Name of the image for the error message; its path by default.

    Raises:
        DataError: The file is missing, empty, too large, or not an image; the error names it.
        RequestError: `KERASTUNE_DECODING` is not a size.
    """
    found = stored(source, name)
    return found.height, found.width


def stored(source: ImageSource, name: str | None = None) -> Stored:
    """Return how a file stores the pixels of an image, read from its header; for the arguments see `header_size`."""
    name = name or _name(source)
    with _read(source, name) as (image, _):
        width, height = image.size
        deep = _is_deep(image)
        if image.format == "TIFF":  # Pillow has already rotated the size of a TIFF
            return Stored(height, width, deep)
        # The method of the base class: that of PNG images decodes all pixels to find EXIF data after them.
        orientation = _orientation(image, partial(Image.Image.getexif, image), name)
        return Stored(width, height, deep) if orientation in _SIDEWAYS else Stored(height, width, deep)


def to_rgb(image: np.ndarray, name: str = "image", pixel_range: PixelRange | None = None) -> np.ndarray:
    """Convert an array of pixels to RGB.

    Args:
        image: (height, width), or (height, width, channels) with 1 (gray), 3 (RGB) or 4 (RGB and opacity) channels;
            uint8, or other numbers from 0 to 255, which are rounded.
        name: Name of the image for the error message.
        pixel_range: The values of black and white, and of no and full opacity; None for 0 and 255.

    Returns:
        uint8 (height, width, 3); the array itself if it is already one. Transparent pixels are blended with white.

    Raises:
        DataError: The shape is not an image shape, or the values are not numbers of the range.

    Example:
        >>> to_rgb(np.full((2, 2), 127.6)).tolist()[0][0]
        [128, 128, 128]
    """
    if not is_image_shape(image.shape):
        raise DataError(
            f"{name}: its shape is {image.shape}; give (height, width) or (height, width, channels) with 1, 3 or 4 "
            "channels."
        )
    image = _eight_bits(image, name, pixel_range)
    if image.ndim == 2:
        image = image[:, :, None]
    if image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    if image.shape[2] == 4:
        return _on_white(image)
    return image


def is_image_shape(shape: tuple[int, ...]) -> bool:
    """Return whether a shape is (height, width) or (height, width, channels) with 1, 3 or 4 channels, and not empty."""
    return 0 not in shape and (len(shape) == 2 or (len(shape) == 3 and shape[2] in CHANNELS))


def resize(image: np.ndarray, size: int, box: Box | None = None) -> np.ndarray:
    """Stretch an image, or a part of it, to a square: bilinear, with antialiasing.

    Args:
        image: uint8 (height, width, 3).
        size: Height and width of the result, pixels, at least 1.
        box: Edges of the part as fractions, see `views.Box`; None for the whole image.

    Returns:
        uint8 (size, size, 3); the image itself if it already has this size.

    Example:
        >>> resize(np.zeros((40, 60, 3), np.uint8), 8).shape
        (8, 8, 3)
    """
    height, width = image.shape[:2]
    if box is None and (height, width) == (size, size):
        return image
    left, top, right, bottom = box or (0, 0, 1, 1)
    part = (left * width, top * height, right * width, bottom * height)
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR, box=part))


@contextmanager
def _read(source: ImageSource, name: str) -> Iterator[tuple[ImageFile.ImageFile, Format]]:
    """Open an image and check that it may be decoded; every error in the block becomes a DataError with its name."""
    # On damaged bytes decoders raise all kinds of errors (OSError, SyntaxError, struct.error, ...).
    try:
        with _file(source) as file:
            image, form = _identified(file, os.path.splitext(name)[1].lower())
            with image:
                coefficients = decode_limits.coefficient_bytes(image) if "progressive" in image.info else 0
                needed = decode_limits.needed_bytes(image, form.working_bytes, coefficients)
                problem = decode_limits.problem(image, needed)
                if problem:
                    raise _Refused(problem)
                yield image, form
    except RequestError:
        raise
    except Exception as error:
        raise DataError(_complaint(source, name, error)) from error


def _file(source: ImageSource) -> BinaryIO:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if not os.path.isfile(source) and os.path.exists(source):  # to open a pipe would wait for a writer
        raise _Refused("it is a folder, a pipe or a device; give the path of a file")
    return open(source, "rb")


def _identified(file: BinaryIO, suffix: str) -> tuple[ImageFile.ImageFile, Format]:
    """Read the header of an image in one of our formats, whatever its extension."""
    head = file.read(image_formats.HEAD)
    failed = None
    for form in image_formats.candidates(head, suffix):
        try:
            return form.open(file), form
        except (SyntaxError, IndexError, TypeError, struct.error) as error:  # those that let Pillow try the next format
            failed = f"it begins like {form.name}, but its header cannot be read: {reason(error)}"
    foreign = None if failed else image_formats.foreign(head)
    if foreign:
        raise _Refused(f"it is {foreign}, which is not read; {image_formats.remedy(foreign)}")
    raise _Refused(f"{failed or 'it is not an image'}; replace or remove it")


def _coefficients(image: ImageFile.ImageFile) -> int:
    """Return the memory for the coefficients of a JPEG; refuse one that would take minutes."""
    if not hasattr(image, "layer") or image.fp is None:
        return 0
    image.fp.seek(0)
    scans = decode_limits.count_scans(image.fp.read())
    if scans > decode_limits.MOST_SCANS:
        raise _Refused(
            f"its pixels come in more than {decode_limits.MOST_SCANS} scans, which takes minutes; save it again"
        )
    return decode_limits.coefficient_bytes(image) if scans > 1 else 0


def _name(source: ImageSource) -> str:
    return "the image" if isinstance(source, bytes) else str(source)


def _orientation(image: ImageFile.ImageFile, read_exif: Callable[[], Image.Exif], name: str) -> int:
    try:
        exif = read_exif()
        if not len(exif):
            Image.Exif().load(image.info.get("exif") or b"")  # raises the error that the plugin of JPEG hides
        return exif.get(ExifTags.Base.Orientation, 1)
    except Exception as error:  # as various as those of damaged pixels, which these are not
        warnings.warn(
            f"{name}: its EXIF data cannot be read ({reason(error)}), so it is used as stored, not rotated.",
            stacklevel=2,
        )
        return 1


def _rgb(image: Image.Image, orientation: int, pixel_range: PixelRange | None) -> np.ndarray:
    width, height = image.size
    pixels = np.empty((width, height, 3) if orientation in _SIDEWAYS else (height, width, 3), np.uint8)
    stored = _STORED.get(orientation, np.asarray)(pixels)
    rows = max(1, _STRIP // width)
    for top in range(0, height, rows):
        part = image if rows >= height else image.crop((0, top, width, min(top + rows, height)))
        stored[top : top + rows] = _part_to_rgb(part, pixel_range)
    return pixels


def _check_scale(image: Image.Image, pixel_range: PixelRange | None) -> None:
    """Refuse an image whose values are not known to be black or white."""
    if pixel_range is None:
        if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
            raise _Refused(
                "its pixels are 32-bit numbers of unknown range; state the values of black and white, such as "
                "pixel_range=(0, 1) (--pixel-range 0 1), or save it with 8 bits per channel"
            )
    elif pixel_range != EIGHT_BITS and not image.mode.startswith(("I", "F")):
        if _is_deep(image):
            raise _Refused(
                f"its colours have 16 bits, of which 8 are read, so the range {pixel_range} cannot be used; save it as "
                "gray or with 8 bits per channel"
            )
        if pixel_range.high > 255 or pixel_range.low < 0:
            raise _Refused(
                f"its values have 8 bits, which do not fill the range {pixel_range}; state the range of all images, or "
                "save all with the same number of bits"
            )


def _is_deep(image: Image.Image) -> bool:
    """Return whether a channel has more than 8 bits in a file that is not loaded yet; of colours Pillow drops some."""
    tiles = getattr(image, "tile", None)
    arguments = tiles[0].args if tiles else None
    words = arguments if isinstance(arguments, tuple) else (arguments,)
    return image.mode.startswith(("I", "F")) or any(isinstance(word, str) and ";16" in word for word in words)


def _part_to_rgb(image: Image.Image, pixel_range: PixelRange | None) -> np.ndarray:
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        if pixel_range is not None:
            return to_rgb(_scaled(values, pixel_range))
        # 16-bit gray, which Pillow would clip instead of scaling.
        gray = (values.astype(np.uint32) * 255 + 32767) // 65535
        return to_rgb(gray.astype(np.uint8))
    if image.has_transparency_data:
        pixels = np.array(image.convert("RGBA"))
        if pixel_range not in (None, EIGHT_BITS):
            pixels[:, :, :3] = _scaled(pixels[:, :, :3], pixel_range)
        return to_rgb(pixels)
    pixels = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    return pixels if pixel_range in (None, EIGHT_BITS) else _scaled(pixels, pixel_range)


def _scaled(values: np.ndarray, pixel_range: PixelRange) -> np.ndarray:
    low, high = values.min(), values.max()
    if not pixel_range.holds(low, high):
        raise _Refused(
            f"its values go from {low:g} to {high:g}, which is not within {pixel_range}; state a range that holds them"
        )
    return pixel_range.to_uint8(values)


def _eight_bits(image: np.ndarray, name: str, pixel_range: PixelRange | None) -> np.ndarray:
    expected = pixel_range or EIGHT_BITS
    if image.dtype == np.uint8 and expected == EIGHT_BITS:
        return image
    if not (np.issubdtype(image.dtype, np.number) or image.dtype == bool):
        raise DataError(f"{name}: its values are of type {image.dtype}; give numbers from {_from_to(expected)}.")
    low, high = image.min(), image.max()
    if not expected.holds(low, high):  # also true for NaN
        raise DataError(f"{name}: its values go from {low:g} to {high:g}; give numbers from {_from_to(expected)}.")
    return np.rint(image).astype(np.uint8) if expected == EIGHT_BITS else expected.to_uint8(image)


def _from_to(pixel_range: PixelRange) -> str:
    return f"{pixel_range.low:g} to {pixel_range.high:g}"


def _on_white(image: np.ndarray) -> np.ndarray:
    colour, opacity = image[:, :, :3].astype(np.uint16), image[:, :, 3:].astype(np.uint16)
    return ((colour * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8)


def _complaint(source: ImageSource, name: str, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{name}: there is no such file. Check the path."
    if _is_empty(source):
        why = "it is empty (0 bytes); replace or remove it"
    elif isinstance(error, _Refused):
        why = str(error)
    elif isinstance(error, Image.DecompressionBombError):
        why = "a part of it has more pixels than Pillow decodes; make it smaller, or convert it to PNG"
    elif "MAX_TEXT" in str(error):  # Pillow's limits on compressed parts of PNG files
        why = "its texts or its colour profile are too large; save it without them"
    elif isinstance(error, MemoryError):
        why = "the machine has no memory left for it; make it smaller, or stop other programs"
    else:
        why = f"{reason(error)}; replace or remove it"
    return f"{name}: this image cannot be read: {why}."


def _is_empty(source: ImageSource) -> bool:
    if isinstance(source, bytes):
        return not source
    path = Path(source)
    return path.is_file() and path.stat().st_size == 0
