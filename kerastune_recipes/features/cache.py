"""The store of frozen work on disk: features by network, image and view, and the heads that were solved on them.

A folder for each network as it computes features (a space); in it files of some hundred rows each, found by the digest
of image and view. A file is written under another name and then renamed, so a half is never read, and two processes may
use one store at once: at worst both write the same rows. Whatever is wrong with the store costs time, never the answer.
"""

import contextlib
import json
import os
import shutil
import tempfile
import time
import uuid
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from kerastune_recipes import units
from kerastune_recipes.errors import CacheWarning, OutputError, RequestError

# Raised whenever what is on disk would be understood differently; a store of another format is left alone.
FORMAT = "1"
LIMIT = "10 GiB"
DIGEST_BYTES = 16

_MARK = "format"
_ABOUT = "about.json"
_SUFFIX = ".safetensors"
_PART = ".part"
# A process that writes renames its part within moments; what is older was left by one that was killed.
_STALE_SECONDS = 3600


@dataclass(frozen=True)
class NetworkCacheInfo:
    """What is kept for one network.

    Args:
        about: The network in words.
        rows: Rows of features, one for each image and view.
        size: Bytes on disk, solved heads included.
    """

    about: str
    rows: int
    size: int


# Where a store lies that several runs share and that goes when they are done; None where they use the lasting one.
_passing: ContextVar[Path | None] = ContextVar("passing", default=None)


def location() -> Path:
    """Return the folder of the store: KERASTUNE_CACHE, or the user's cache folder."""
    return _passing.get() or Path(os.environ.get("KERASTUNE_CACHE") or platformdirs.user_cache_path("kerastune"))


@contextlib.contextmanager
def share_cache(keep: bool = True) -> Iterator[None]:
    """Let all runs within the block share one store, with `opened()`.

    Args:
        keep: False for a store that goes when the block ends, in place of the lasting one.
    """
    if keep:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="kerastune-", ignore_cleanup_errors=True) as folder:
        token = _passing.set(Path(folder))
        try:
            yield
        finally:
            _passing.reset(token)


def limit() -> int:
    """Return how many bytes the store may hold: KERASTUNE_CACHE_LIMIT, or 10 GiB.

    Raises:
        RequestError: KERASTUNE_CACHE_LIMIT cannot be understood.
    """
    try:
        return units.parse_size(os.environ.get("KERASTUNE_CACHE_LIMIT") or LIMIT)
    except ValueError as error:
        raise RequestError(f"KERASTUNE_CACHE_LIMIT: {error}.") from None


@contextlib.contextmanager
def open_cache(keep: bool = True) -> Iterator["Cache"]:
    """Open the store for one run; what is over the limit then goes, least recently used first.

    Args:
        keep: False for a store that lasts as long as the run.
    """
    bound = limit()
    folder = _usable(location()) if keep else None
    if folder is not None:
        store = Cache(folder)
        try:
            yield store
        finally:
            store.shrink(bound)
        return
    with tempfile.TemporaryDirectory(prefix="kerastune-", ignore_cleanup_errors=True) as passing:
        yield Cache(Path(passing))


def at_rest() -> "Cache":
    """Return the store as it lies, to be shown or cleared; there may be nothing in it."""
    return Cache(location())


def _usable(folder: Path) -> Path | None:
    """Return the folder if a store of this format is in it, or can be made in it."""
    mark = folder / _MARK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not mark.exists():
            if any(folder.iterdir()):
                _warn(f"{folder}: this folder is no cache, and it is not empty; name another in KERASTUNE_CACHE.")
                return None
            mark.write_text(FORMAT)
        found = mark.read_text()
    except OSError as error:
        _warn(f"{folder}: the cache cannot be used ({error.strerror}); name another folder in KERASTUNE_CACHE.")
        return None
    if found != FORMAT:
        _warn(
            f"{folder}: this cache was written by another version of the package (its format is {found[:20]!r}, that "
            f'of this version "{FORMAT}"); clear it (kerastune cache clear) or name another folder in KERASTUNE_CACHE.'
        )
        return None
    return folder


def _warn(problem: str) -> None:
    warnings.warn(f"{problem} The run goes on without what is kept there.", CacheWarning, stacklevel=2)


@dataclass
class Cache:
    """Frozen work in one folder.

    Args:
        folder: Where.
        full: True once writing has failed; nothing more is written then.
    """

    folder: Path
    full: bool = False

    def network(self, digest: str, about: str) -> "NetworkCache":
        """Return what is kept for one network, which may be nothing yet.

        Args:
            digest: Of all that decides what the network makes of an image.
            about: The network in words.
        """
        return NetworkCache(self, self.folder / digest, about)

    def info(self) -> list[NetworkCacheInfo]:
        """Say what is kept, by network."""
        found = []
        for folder in self._spaces():
            files = [file for file in folder.rglob(f"*{_SUFFIX}") if file.is_file()]
            about = _read_json(folder / _ABOUT).get("about", folder.name)
            found.append(NetworkCacheInfo(about, sum(map(_rows, files)), sum(file.stat().st_size for file in files)))
        return found

    def clear(self) -> None:
        """Remove everything the store has written.

        Raises:
            OutputError: It cannot be removed.
        """
        try:
            for folder in self._spaces():
                shutil.rmtree(folder)
            (self.folder / _MARK).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{self.folder}: the cache cannot be cleared: {error.strerror}.") from None

    def _spaces(self) -> list[Path]:
        """Return the folders of the networks; none where the folder is no store, which has a mark."""
        if not (self.folder / _MARK).is_file():
            return []
        return sorted(entry for entry in self.folder.iterdir() if entry.is_dir())

    def shrink(self, bound: int) -> None:
        """Remove the files used longest ago until at most so many bytes are left."""
        with contextlib.suppress(OSError):
            for part in self.folder.rglob(f"*{_PART}"):
                if time.time() - part.stat().st_mtime > _STALE_SECONDS:
                    part.unlink(missing_ok=True)
            files = [(file.stat().st_mtime, file.stat().st_size, file) for file in self.folder.rglob(f"*{_SUFFIX}")]
            held = sum(size for _, size, _ in files)
            for _, size, file in sorted(files):
                if held <= bound:
                    break
                file.unlink(missing_ok=True)
                held -= size

    def write(self, file: Path, arrays: Mapping[str, np.ndarray], texts: Mapping[str, str]) -> None:
        """Write a file as a whole or not at all; a disk that refuses is told of once."""
        if self.full:
            return
        part = file.with_name(f"{uuid.uuid4().hex}{_PART}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            sums = {f"{name} checksum": _checksum(array) for name, array in arrays.items()}
            part.write_bytes(save(dict(arrays), {**texts, **sums}))
            part.replace(file)
        except OSError as error:
            self.full = True
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            _warn(
                f"{self.folder}: nothing more can be kept in this cache ({error.strerror}); free space, or name "
                "another folder in KERASTUNE_CACHE."
            )


@dataclass(frozen=True)
class NetworkCache:
    """What is kept for one network.

    Args:
        store: Where.
        folder: Its own folder.
        about: The network in words.
    """

    store: Cache
    folder: Path
    about: str

    def find(self, keys: Sequence[bytes]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give the rows that are kept, file by file.

        Args:
            keys: Digests of image and view, `DIGEST_BYTES` each.

        Returns:
            Pairs: positions in `keys`, int (m,), and their rows, float16 or float32 (m, d).
        """
        places: dict[bytes, list[int]] = {}
        for position, key in enumerate(keys):
            places.setdefault(key, []).append(position)
        for file in sorted(self.folder.glob(f"*{_SUFFIX}")):
            read = _read(file, ["keys"])
            here = [(row, key) for row, key in enumerate(_split(read[0]["keys"])) if key in places] if read else []
            found = _read(file, ["rows"]) if here else None
            if found:
                _touch(file)
                taken = [(row, position) for row, key in here for position in places.pop(key, ())]
                rows, positions = np.array(taken).T
                yield positions, found[0]["rows"][rows]

    def add(self, keys: Sequence[bytes], rows: np.ndarray) -> None:
        """Keep rows.

        Args:
            keys: Digests of image and view, `DIGEST_BYTES` each.
            rows: float16 or float32 (n, d).
        """
        self._describe()
        joined = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, DIGEST_BYTES)
        self.store.write(self.folder / f"{uuid.uuid4().hex}{_SUFFIX}", {"keys": joined, "rows": rows}, {})

    def load_head(self, name: str) -> tuple[dict[str, np.ndarray], Any] | None:
        """Return what `remember` was told under a name, or None."""
        file = self.folder / "solved" / f"{name}{_SUFFIX}"
        read = _read(file) if file.is_file() else None
        if not read:
            return None
        _touch(file)
        arrays, texts = read
        return arrays, json.loads(texts["value"])

    def save_head(self, name: str, arrays: Mapping[str, np.ndarray], value: Any) -> None:
        """Keep arrays and a plain value under a name."""
        self.store.write(self.folder / "solved" / f"{name}{_SUFFIX}", arrays, {"value": json.dumps(value)})

    @property
    def seconds_an_image(self) -> float | None:
        """What the network took for an image when last measured, or None where that never was."""
        return _read_json(self.folder / _ABOUT).get("seconds_an_image")

    def measured(self, seconds_an_image: float) -> None:
        """Keep what the network takes for an image."""
        self._describe(seconds_an_image)

    def _describe(self, seconds_an_image: float | None = None) -> None:
        about = self.folder / _ABOUT
        if self.store.full or (about.exists() and seconds_an_image is None):
            return
        known = _read_json(about) | {"about": self.about}
        if seconds_an_image is not None:
            known["seconds_an_image"] = seconds_an_image
        with contextlib.suppress(OSError):  # `write` tells of it where something is lost
            self.folder.mkdir(parents=True, exist_ok=True)
            part = self.folder / f"{uuid.uuid4().hex}{_PART}"
            part.write_text(json.dumps(known))
            part.replace(about)


def _read(file: Path, names: Sequence[str] | None = None) -> tuple[dict[str, np.ndarray], dict[str, str]] | None:
    """Return arrays of a file, by default all, and its texts; None where it is gone, or damaged: then it is removed."""
    try:
        with safe_open(file, "np") as content:
            arrays = {name: content.get_tensor(name) for name in names or content.keys()}
            texts = content.metadata()
        if all(texts[f"{name} checksum"] == _checksum(array) for name, array in arrays.items()):
            return arrays, texts
    except FileNotFoundError:  # another process has removed it
        return None
    except (SafetensorError, OSError, KeyError, TypeError):
        pass
    _warn(f"{file}: this part of the cache is damaged; it is removed, and what was in it computed anew.")
    with contextlib.suppress(OSError):
        file.unlink(missing_ok=True)
    return None


def _checksum(array: np.ndarray) -> str:
    return f"{zlib.crc32(np.ascontiguousarray(array).data):08x}"


def _split(keys: np.ndarray) -> list[bytes]:
    joined = keys.tobytes()
    return [joined[start : start + DIGEST_BYTES] for start in range(0, len(joined), DIGEST_BYTES)]


def _rows(file: Path) -> int:
    with contextlib.suppress(SafetensorError, OSError), safe_open(file, "np") as content:
        if "rows" in content.keys():  # noqa: SIM118, no mapping
            return content.get_slice("rows").get_shape()[0]
    return 0


def _touch(file: Path) -> None:
    with contextlib.suppress(OSError):  # a store that may only be read serves all the same
        os.utime(file)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
