"""Files that are read only if every byte is what was written, and written for this place.

    start | checksum of start and head | head | body

The start holds the sizes of head and body, the checksum of the body, and the place of the file; so a file that was cut,
extended, put together from two others, or moved elsewhere is refused. The head is small and read first, the arrays in
the body follow on demand; `checksummed_files` are read as a whole. Nothing is parsed before its checksum was verified.

CRC-32 finds damage, not forgery; it takes 3 GB in a second, BLAKE2 0.6. A file is read and not mapped into memory:
where a page of a mapped file cannot be loaded, the system ends the process.
"""

import json
import math
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from kerastune_recipes.checksummed_files import DamagedError

_MAGIC = b"kerastune cache\n"
# Magic, place, bytes of the head, bytes of the body, checksum of the body.
_START = struct.Struct("<16s16sQQI")
_CHECKSUM = struct.Struct("<I")


def sealed(place: str, arrays: Mapping[str, np.ndarray], value: Any = None, index: bytes = b"") -> bytes:
    """Return the content of a file.

    Args:
        place: Where the file will be; it is read as the file of this place only.
        arrays: Numbers or bool, of any shapes.
        value: For JSON.
        index: Bytes that are read before the arrays.

    Example:
        >>> content = sealed("one", {"row": np.arange(3)}, {"strength": 10.0})
        >>> file = Path("one.sealed")
        >>> _ = file.write_bytes(content)
        >>> with opened(file, "one") as content:
        ...     content.value, content.arrays()["row"]
        ({'strength': 10.0}, array([0, 1, 2]))
    """
    stated = {"value": value, "arrays": {name: (array.dtype.str, array.shape) for name, array in arrays.items()}}
    head = json.dumps(stated).encode() + b"\n" + index
    body = b"".join(array.tobytes() for array in arrays.values())
    start = _START.pack(_MAGIC, _digest(place), len(head), len(body), zlib.crc32(body))
    return b"".join([start, _CHECKSUM.pack(zlib.crc32(head, zlib.crc32(start))), head, body])


@contextmanager
def opened(file: Path, place: str) -> Iterator["SealedFile"]:
    """Open a file and read its head.

    Args:
        file: The file.
        place: As it was written.

    Raises:
        DamagedError: It is not what was written for this place.
        OSError: It cannot be read.
    """
    with open(file, "rb") as stream:
        yield SealedFile(stream, place)


class SealedFile:
    """An open file, whose head was read and is what was written.

    Args:
        stream: The file, at its beginning.
        place: As it was written.

    Raises:
        DamagedError: The head is not what was written for this place.
    """

    def __init__(self, stream: BinaryIO, place: str):
        start, checksum = stream.read(_START.size), stream.read(_CHECKSUM.size)
        if len(start) < _START.size or len(checksum) < _CHECKSUM.size:
            raise DamagedError("it is cut short")
        magic, found_place, head_bytes, self._body_bytes, self._body_checksum = _START.unpack(start)
        # Before anything of a size is read: damaged sizes would ask for any amount of memory.
        whole = _START.size + _CHECKSUM.size + head_bytes + self._body_bytes
        if (magic, found_place, whole) != (_MAGIC, _digest(place), os.fstat(stream.fileno()).st_size):
            raise DamagedError("it is of another kind, place or size")
        head = stream.read(head_bytes)
        if _CHECKSUM.pack(zlib.crc32(head, zlib.crc32(start))) != checksum:
            raise DamagedError("a checksum does not match")
        stated, _, self.index = head.partition(b"\n")
        self.value, self._arrays = (json.loads(stated)[key] for key in ("value", "arrays"))
        self._stream, self._body_begin = stream, whole - self._body_bytes

    def arrays(self) -> dict[str, np.ndarray]:
        """Read the arrays; they cannot be written to.

        Raises:
            DamagedError: They are not what was written.
            OSError: They cannot be read.
        """
        self._stream.seek(self._body_begin)
        body = self._stream.read(self._body_bytes)
        if len(body) != self._body_bytes or zlib.crc32(body) != self._body_checksum:
            raise DamagedError("a checksum does not match")
        arrays, begin = {}, 0
        for name, (dtype, shape) in self._arrays.items():
            arrays[name] = np.ndarray(shape, dtype, body, begin)
            begin += math.prod(shape) * np.dtype(dtype).itemsize
        return arrays


def _digest(place: str) -> bytes:
    return blake2b(place.encode(), digest_size=16).digest()
