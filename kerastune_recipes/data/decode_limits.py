"""How much an image may take to decode: memory for one, memory for all that are decoded at once, work per pixel."""

import re
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from PIL import Image

from kerastune_recipes import units
from kerastune_recipes.arrays import memory

VARIABLE = "KERASTUNE_DECODING"

# A file of some kilobytes may claim any size. This holds a photo of 108 megapixels, the most of common cameras, a
# colour scan of A0 at 300 dpi (139), a gray one at 400 dpi (248), an aerial tile of 10,000 x 10,000 pixels; or a dozen
# photos of 12 megapixels at once.
DEFAULT_BYTES = 2**30
# Bytes of a pixel in Pillow's memory, by the mode of the image; 4 in all other modes.
_PIXEL_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
# Bytes of a pixel in the RGB array.
_RGB_BYTES = 3

# Codecs that Pillow runs in Python, at up to 0.3 us (bmp_rle) and 3 us (others) a pixel on one core.
_SLOW_CODECS = ("bmp_rle", "ppm", "ppm_plain")
_SLOW_PIXELS = 16_000_000
# Encoders write 10 scans, the standard allows any number, and each goes over the whole image: 1 s for 10 of them at
# 100 megapixels.
MOST_SCANS = 50
_START, _SCAN, _END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
# A JPEG marker with a length behind it, or the end. 00, the restart markers and 01 have none; FF repeats.
_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd7]", re.DOTALL)


def limit_bytes() -> int:
    """Return the memory limit for images while they are decoded: `KERASTUNE_DECODING`, such as "2 GiB", or 1 GiB.

    Raises:
        RequestError: The variable is not a size.
    """
    return memory.size_in_environment(VARIABLE, DEFAULT_BYTES)


def needed_bytes(image: Image.Image, working_bytes: int = 0, coefficients: int = 0) -> int:
    """Return the memory it takes to decode an image to an RGB array.

    Args:
        image: The image, not yet loaded; of the size at which it will be.
        working_bytes: Memory of its decoder per pixel, see `image_formats.Format`.
        coefficients: See `coefficient_bytes`.

    Example:
        >>> needed_bytes(Image.new("RGB", (100, 10)))
        7000
    """
    area = image.width * image.height
    # The decoder is done before the array is made.
    return area * _PIXEL_BYTES.get(image.mode, 4) + max(area * max(_RGB_BYTES, working_bytes), coefficients)


def coefficient_bytes(image: Image.Image) -> int:
    """Return the memory that a JPEG in several scans takes besides, at any size it is decoded at.

    Args:
        image: The JPEG, as in its header.
    """
    samplings = [(across, down) for _, across, down, _ in getattr(image, "layer", ())]
    if not samplings:
        return 0
    most = max(across for across, _ in samplings) * max(down for _, down in samplings)
    return 2 * image.width * image.height * sum(across * down for across, down in samplings) // max(most, 1)


def problem(image: Image.Image, needed: int) -> str | None:
    """Return why an image is not decoded, and what to do; None if nothing stands against it.

    Args:
        image: The image as in its header.
        needed: The memory that decoding takes, bytes.

    Raises:
        RequestError: See `limit_bytes`.
    """
    width, height = image.size
    limit = limit_bytes()
    if needed > limit:
        return (
            f"with {width} x {height} pixels it takes {units.format_bytes(needed)} to decode, and the limit is "
            f"{units.format_bytes(limit)}; make it smaller or cut it into parts, or, if you trust the file, set "
            f"{VARIABLE}={_next_size(needed)}"
        )
    codecs = {tile[0] for tile in getattr(image, "tile", ())}
    if width * height > _SLOW_PIXELS and not codecs.isdisjoint(_SLOW_CODECS):
        return (
            f"it has {width} x {height} pixels in an encoding that is read only up to {_SLOW_PIXELS // 10**6} "
            "megapixels, as it takes minutes beyond; save it as PNG"
        )
    return None


def count_scans(file: bytes) -> int:
    """Return the number of scans of a JPEG file, the first image in it; counted up to one more than is decoded.

    Example:
        >>> count_scans(b"\\xff\\xd8" + 3 * (_SCAN + b"\\x00\\x02data") + _END)
        3
    """
    count, position = 0, len(_START)
    while count <= MOST_SCANS:
        marker = _MARKER.search(file, position)
        if marker is None or marker[0] == _END:
            break
        count += marker[0] == _SCAN
        position = marker.end() + int.from_bytes(file[marker.end() : marker.end() + 2], "big")
    return count


def _next_size(needed: int) -> str:
    """Return a size to set, rounded up, as `units.parse_size` reads it."""
    gib = -(-needed // 2**29) / 2
    return f"{gib:g}GiB"


class Turns:
    """Lets images be decoded at the same time as far as their memory fits in the limit, others wait in order.

    An image that needs more than the limit waits until it is alone.

    Example:
        >>> turns = Turns()
        >>> with turns.taken(7000):
        ...     pass
    """

    def __init__(self) -> None:
        self._taken = 0
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()
        self._kept = threading.local()

    @contextmanager
    def taken(self, needed: int) -> Iterator[None]:
        """Wait for memory, and hold it for the block; within `kept`, until the end of that.

        Args:
            needed: Memory that decoding takes, bytes.

        Raises:
            RequestError: See `limit_bytes`.
        """
        stack: ExitStack | None = getattr(self._kept, "stack", None)
        with ExitStack() as block:
            (block if stack is None else stack).enter_context(self._turn(needed))
            yield

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Hold the memory of the image that this thread decodes in the block until its end, while it is in use."""
        with ExitStack() as stack:
            self._kept.stack = stack
            try:
                yield
            finally:
                self._kept.stack = None

    @contextmanager
    def _turn(self, needed: int) -> Iterator[None]:
        # A thread that waited while it holds memory could wait for one that waits for it.
        waits = not getattr(self._kept, "held", 0)
        limit = limit_bytes()
        with self._changed:
            if waits:
                self._wait(needed, limit)
            self._taken += needed
        self._kept.held = getattr(self._kept, "held", 0) + 1
        try:
            yield
        finally:
            self._kept.held -= 1
            with self._changed:
                self._taken -= needed
                self._changed.notify_all()

    def _wait(self, needed: int, limit: int) -> None:
        me = object()
        self._waiting.append(me)
        try:
            self._changed.wait_for(
                lambda: self._waiting[0] is me and (self._taken == 0 or self._taken + needed <= limit)
            )
        finally:
            self._waiting.remove(me)
            self._changed.notify_all()  # the next may fit as well


# The images that this process decodes.
TURNS = Turns()


class _PillowsLimit:
    """Pillow's own limit on pixels, lifted while an image is loaded that keeps ours.

    Pillow warns above 89 megapixels and refuses above 179, whatever a pixel takes. It has one limit for all programs in
    the process, so it is lifted only as long as such an image is being loaded.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lifted_by = 0
        self._own: int | None = None

    @contextmanager
    def lifted(self, pixels: int) -> Iterator[None]:
        with self._lock:
            lifts = self._lifted_by > 0 or (Image.MAX_IMAGE_PIXELS is not None and pixels > Image.MAX_IMAGE_PIXELS)
            if lifts:
                if not self._lifted_by:
                    self._own, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
                self._lifted_by += 1
        try:
            yield
        finally:
            if lifts:
                with self._lock:
                    self._lifted_by -= 1
                    if not self._lifted_by:
                        Image.MAX_IMAGE_PIXELS = self._own


PILLOWS_LIMIT = _PillowsLimit()
