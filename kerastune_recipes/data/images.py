"""Decodes image files and arrays to uint8 RGB arrays."""

import io
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from kerastune_recipes.data.views import Box
from kerastune_recipes.errors import DataError

ImageSource = str | PathLike[str] | bytes

# Numbers of channels: gray, RGB, and RGB with opacity.
CHANNELS = (1, 3, 4)

# EXIF orientations that swap height and width.
_SIDEWAYS = (5, 6, 7, 8)


def decode(source: ImageSource, at_least: int | None = None, name: str | None = None) -> np.ndarray:
    """Decode an image file to RGB, rotated by its EXIF orientation.

    An animation gives its first frame. Transparent pixels are blended with white: most transparent images are drawings
    and logos, made for a white page, and the colour under full transparency is arbitrary. 16-bit gray is scaled so that
    65535 becomes 255.

    Args:
        source: Path or bytes of a file in any format that Pillow reads.
        at_least: Minimum height and width, pixels; a JPEG may then be decoded at 1/2, 1/4 or 1/8 of its size, which is
            faster. None decodes the full size.
        name: Name of the image for the error message; its path by default.

    Returns:
        uint8 (height, width, 3).

    Raises:
        DataError: The file is missing, empty, truncated, damaged, or not an image; the error names it.
    """
    name = name or _name(source)
    # On damaged bytes decoders raise all kinds of errors (OSError, SyntaxError, struct.error, ...).
    try:
        with _open(source) as image:
            if at_least is not None:
                image.draft(None, (at_least, at_least))  # affects only JPEG
            ImageOps.exif_transpose(image, in_place=True)
            return _rgb(image)
    except Exception as error:
        raise DataError(_complaint(source, name, error)) from error


def header_size(source: ImageSource, name: str | None = None) -> tuple[int, int]:
    """Return height and width of the decoded image in pixels, read from its header.

    Args:
        source: Path or bytes of an image file.
        name: Name of the image for the error message; its path by default.

    Raises:
        DataError: The file is missing, empty, or not an image; the error names it.
    """
    name = name or _name(source)
    try:
        with _open(source) as image:
            width, height = image.size
            if image.format == "TIFF":  # Pillow has already rotated the size of a TIFF
                return height, width
            return (width, height) if _orientation(image) in _SIDEWAYS else (height, width)
    except Exception as error:
        raise DataError(_complaint(source, name, error)) from error


def to_rgb(image: np.ndarray, name: str = "image") -> np.ndarray:
    """Convert an array of pixels to RGB.

    Args:
        image: (height, width), or (height, width, channels) with 1 (gray), 3 (RGB) or 4 (RGB and opacity) channels;
            uint8, or other numbers from 0 to 255, which are rounded.
        name: Name of the image for the error message.

    Returns:
        uint8 (height, width, 3); the array itself if it is already one. Transparent pixels are blended with white.

    Raises:
        DataError: The shape is not an image shape, or the values are not numbers from 0 to 255.

    Example:
        >>> to_rgb(np.full((2, 2), 127.6)).tolist()[0][0]
        [128, 128, 128]
    """
    if not is_image_shape(image.shape):
        raise DataError(
            f"{name}: its shape is {image.shape}; give (height, width) or (height, width, channels) with 1, 3 or 4 "
            "channels."
        )
    if image.dtype != np.uint8:
        image = _rounded(image, name)
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


def _open(source: ImageSource) -> Image.Image:
    return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)


def _name(source: ImageSource) -> str:
    return "the image" if isinstance(source, bytes) else str(source)


def _orientation(image: Image.Image) -> int | None:
    # The method of the base class: that of PNG images decodes all pixels to find EXIF data after them.
    return Image.Image.getexif(image).get(ExifTags.Base.Orientation)


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        # Pillow would clip instead of scaling.
        gray = (np.asarray(image).astype(np.uint32) * 255 + 32767) // 65535
        return to_rgb(gray.astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("its pixels are 32-bit numbers of unknown range; save it with 8 bits per channel")
    if image.has_transparency_data:
        return to_rgb(np.asarray(image.convert("RGBA")))
    return np.asarray(image.convert("RGB"))


def _rounded(image: np.ndarray, name: str) -> np.ndarray:
    if not (np.issubdtype(image.dtype, np.number) or image.dtype == bool):
        raise DataError(f"{name}: its values are of type {image.dtype}; give numbers from 0 to 255.")
    low, high = image.min(), image.max()
    if not (low >= 0 and high <= 255):  # also true for NaN
        raise DataError(f"{name}: its values go from {low:g} to {high:g}; give numbers from 0 to 255.")
    return np.rint(image).astype(np.uint8)


def _on_white(image: np.ndarray) -> np.ndarray:
    colour, opacity = image[:, :, :3].astype(np.uint16), image[:, :, 3:].astype(np.uint16)
    return ((colour * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8)


def _complaint(source: ImageSource, name: str, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{name}: there is no such file. Check the path."
    if _is_empty(source):
        reason = "it is empty (0 bytes)"
    elif isinstance(error, UnidentifiedImageError):
        reason = "it is not an image"
    else:
        reason = str(error) or type(error).__name__
    return f"{name}: this image cannot be read: {reason}; replace or remove it."


def _is_empty(source: ImageSource) -> bool:
    if isinstance(source, bytes):
        return not source
    path = Path(source)
    return path.is_file() and path.stat().st_size == 0
