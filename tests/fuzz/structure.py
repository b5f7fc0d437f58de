"""Where the parts of a file begin, so that mutations can swap and repeat whole chunks; checksums made right again."""

import re
import zlib
from collections.abc import Iterator

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)


def boundaries(data: bytes) -> list[int]:
    """Return where chunks, segments, boxes, blocks or tags begin, in order; empty if nothing is known of the file."""
    if data.startswith(_PNG):
        return list(_chunks(data, start=8, size_at=0, order="big", around=12))
    if data.startswith(b"\xff\xd8"):
        return [match.start() for match in _JPEG_MARKER.finditer(data)]
    if data.startswith(b"RIFF"):
        return list(_chunks(data, start=12, size_at=4, order="little", around=8))
    if data[4:8] == b"ftyp":
        return list(_boxes(data))
    if data[:4] in (b"II*\0", b"MM\0*"):
        return list(_tags(data))
    if data.startswith(b"GIF8"):
        return [place for place in range(13, len(data)) if data[place : place + 2] in (b"\0,", b"\0!", b"\0;")]
    return []


def with_checksums(data: bytes) -> bytes:
    """Return a PNG file whose checksums are right, so that a decoder reads on behind a change; other files as is."""
    if not data.startswith(_PNG):
        return data
    repaired = bytearray(data)
    for start in _chunks(data, start=8, size_at=0, order="big", around=12):
        end = start + 8 + int.from_bytes(data[start : start + 4], "big")
        if end + 4 <= len(data):
            repaired[end : end + 4] = zlib.crc32(data[start + 4 : end]).to_bytes(4, "big")
    return bytes(repaired)


def _chunks(data: bytes, start: int, size_at: int, order: str, around: int) -> Iterator[int]:
    while start + 8 <= len(data):
        yield start
        size = int.from_bytes(data[start + size_at : start + size_at + 4], order)
        # The chunks of RIFF files begin at even places.
        start += around + size + (size % 2 if order == "little" else 0)


def _boxes(data: bytes, start: int = 0, depth: int = 0) -> Iterator[int]:
    """Yield the boxes of an ISO file, and those in `meta` and `iprp`, which describe the image."""
    while start + 8 <= len(data):
        yield start
        size, name = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8]
        inside = {b"meta": 12, b"iprp": 8, b"ipco": 8}.get(name)
        if inside and depth < 3:
            yield from _boxes(data[: start + size], start + inside, depth + 1)
        start += max(size, 8)


def _tags(data: bytes) -> Iterator[int]:
    order = "little" if data.startswith(b"II") else "big"
    first = int.from_bytes(data[4:8], order)
    for number in range(int.from_bytes(data[first : first + 2], order)):
        if first + 2 + 12 * number < len(data):
            yield first + 2 + 12 * number
