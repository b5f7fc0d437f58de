"""Small valid image files to mutate: every format that is read, in many modes and encodings."""

import io
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image, PngImagePlugin

WIDTH, HEIGHT = 37, 23


class Picture(NamedTuple):
    """A valid image file."""

    form: str
    variant: str
    data: bytes

    @property
    def suffix(self) -> str:
        """The file extension; for Targa it tells the format."""
        return ".tga" if self.form == "TGA" else ".img"


def _pixels(mode: str, size: int = 1) -> Image.Image:
    random = np.random.default_rng(0)
    across, down = np.meshgrid(np.arange(WIDTH) * 6, np.arange(HEIGHT) * 10)
    channels = np.stack([across, down, 255 - across, 255 - down // 2], axis=2).astype(np.uint8)
    channels[5:9, 5:20] = random.integers(0, 256, (4, 15, 4))
    colour = Image.fromarray(channels[:, :, :3].copy())
    if size != 1:
        return _pixels(mode).resize((WIDTH * size, HEIGHT * size))
    if mode == "I;16":
        return Image.fromarray(channels[:, :, 0].astype(np.uint16) * 257)
    if mode == "F":
        return Image.fromarray(channels[:, :, 0].astype(np.float32))
    if mode == "RGBA":
        return Image.fromarray(channels)
    return colour.convert(mode)


def _saved(form: str, mode: str, size: int = 1, **options: object) -> bytes:
    file = io.BytesIO()
    _pixels(mode, size).save(file, form, **options)
    return file.getvalue()


def _frames(mode: str) -> list[Image.Image]:
    return [_pixels(mode).transpose(Image.Transpose.FLIP_LEFT_RIGHT), _pixels(mode).rotate(180)]


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8769)[0x9003] = "2024:01:01 00:00:00"
    return exif


def _with_texts() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "a ramp")
    info.add_text("Comment", "ramp " * 50, zip=True)
    info.add_itxt("Author", "nobody", zip=True)
    return info


# Format, mode, options of Pillow for saving.
_SAVED: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("JPEG", "RGB", {}),
    ("JPEG", "L", {}),
    ("JPEG", "CMYK", {}),
    ("JPEG", "RGB", {"progressive": True}),
    ("JPEG", "RGB", {"size": 6}),  # large enough to be decoded at a reduced size
    ("JPEG", "RGB", {"size": 6, "progressive": True}),
    ("JPEG", "RGB", {"subsampling": 0, "restart_marker_blocks": 2}),
    ("JPEG", "RGB", {"exif": 6, "icc_profile": bytes(200), "comment": b"a ramp"}),
    ("MPO", "RGB", {"save_all": True, "append_images": "frames"}),
    ("PNG", "1", {}),
    ("PNG", "L", {"texts": True}),
    ("PNG", "I;16", {}),
    ("PNG", "P", {"bits": 4}),
    ("PNG", "P", {"transparency": 3}),
    ("PNG", "LA", {}),
    ("PNG", "RGB", {"exif": 8, "icc_profile": bytes(200)}),
    ("PNG", "RGBA", {}),
    ("PNG", "RGB", {"save_all": True, "append_images": "frames"}),
    ("GIF", "L", {}),
    ("GIF", "P", {"transparency": 3, "comment": b"a ramp"}),
    ("GIF", "P", {"interlace": 1}),
    ("GIF", "RGB", {"save_all": True, "append_images": "frames", "loop": 0}),
    ("BMP", "1", {}),
    ("BMP", "L", {}),
    ("BMP", "P", {}),
    ("BMP", "RGB", {}),
    ("BMP", "RGBA", {}),
    ("DIB", "RGB", {}),
    ("WEBP", "RGB", {"quality": 60}),
    ("WEBP", "RGB", {"lossless": True, "exif": 3}),
    ("WEBP", "RGBA", {"quality": 60, "icc_profile": bytes(200)}),
    ("WEBP", "RGBA", {"save_all": True, "append_images": "frames"}),
    ("TIFF", "1", {"compression": "group4"}),
    ("TIFF", "L", {}),
    ("TIFF", "I;16", {}),
    ("TIFF", "F", {}),
    ("TIFF", "P", {"compression": "packbits"}),
    ("TIFF", "LA", {}),
    ("TIFF", "RGB", {"exif": 6}),
    ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    ("TIFF", "RGB", {"compression": "jpeg"}),
    ("TIFF", "RGB", {"compression": "tiff_adobe_deflate", "big_tiff": True}),
    ("TIFF", "RGBA", {"compression": "tiff_adobe_deflate", "tiffinfo": {278: 5}}),
    ("TIFF", "CMYK", {"compression": "tiff_lzw"}),
    ("TIFF", "LAB", {}),
    ("TIFF", "RGB", {"save_all": True, "append_images": "frames"}),
    ("AVIF", "RGB", {"speed": 10}),
    ("AVIF", "RGBA", {"speed": 10, "subsampling": "4:4:4"}),
    ("AVIF", "RGB", {"speed": 10, "exif": 6}),
    ("AVIF", "RGB", {"speed": 10, "save_all": True, "append_images": "frames"}),
    ("PPM", "1", {}),
    ("PPM", "L", {}),
    ("PPM", "I;16", {}),
    ("PPM", "RGB", {}),
    ("TGA", "L", {"compression": "tga_rle"}),
    ("TGA", "P", {}),
    ("TGA", "RGB", {}),
    ("TGA", "RGBA", {"compression": "tga_rle"}),
)


def _texts(options: dict[str, object]) -> dict[str, object]:
    """Return the options with what only stands for an object replaced by it."""
    made = dict(options)
    if made.pop("texts", False):
        made["pnginfo"] = _with_texts()
    if isinstance(made.get("exif"), int):
        made["exif"] = _exif(made["exif"])
    return made


def _interlaced_png() -> bytes:
    """Pillow writes no interlaced PNG: the seven passes of Adam7 by hand."""
    import zlib

    pixels = np.asarray(_pixels("L"))
    rows = bytearray()
    for left, top, across, down in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)):
        for row in pixels[top::down, left::across]:
            rows += b"\0" + row.tobytes()
    for row in pixels[1::2]:
        rows += b"\0" + row.tobytes()

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    header = WIDTH.to_bytes(4, "big") + HEIGHT.to_bytes(4, "big") + bytes([8, 0, 0, 0, 1])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def _run_length_bmp() -> bytes:
    """Pillow writes no run lengths: three runs a row."""
    row = bytes([5, 10, 12, 200, WIDTH - 17, 90, 0, 0])
    body = row * (HEIGHT - 1) + row[:-2] + bytes([0, 1])
    palette = bytes(channel for level in range(256) for channel in (level, level, level, 0))
    start = 14 + 40 + len(palette)
    file_header = b"BM" + (start + len(body)).to_bytes(4, "little") + bytes(4) + start.to_bytes(4, "little")
    numbers = (
        (40, 4),
        (WIDTH, 4),
        (HEIGHT, 4),
        (1, 2),
        (8, 2),
        (1, 4),
        (len(body), 4),
        (0, 4),
        (0, 4),
        (256, 4),
        (0, 4),
    )
    return file_header + b"".join(number.to_bytes(size, "little") for number, size in numbers) + palette + body


def pictures() -> Iterator[Picture]:
    """Yield the files; each is decoded without an error, except those of 32-bit pixels (mode F)."""
    for form, mode, options in _SAVED:
        made = _texts(options)
        if made.get("append_images") == "frames":
            made["append_images"] = _frames(mode)
        yield Picture("JPEG" if form == "MPO" else form, f"{form} {mode} {options}", _saved(form, mode, **made))
    yield Picture("PNG", "PNG L interlaced", _interlaced_png())
    yield Picture("BMP", "BMP P run lengths", _run_length_bmp())
    plain = "\n".join(" ".join(map(str, row)) for row in np.asarray(_pixels("L")))
    yield Picture("PPM", "PPM L plain", f"P2\n{WIDTH} {HEIGHT}\n255\n{plain}\n".encode())
    ten_bits = (np.asarray(_pixels("L")).astype(">u2") * 4).tobytes()
    yield Picture("PPM", "PPM L of 10 bits", b"P5\n%d %d\n1023\n" % (WIDTH, HEIGHT) + ten_bits)
