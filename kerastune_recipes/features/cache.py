"""The cache on disk: features by network, image and view, and the heads solved on them.

It has a folder for each network, with files of some hundred rows each; a row is found by the digest of its image and
view. A file is written under another name and then renamed, so a partial file is never read, and two processes may use
one cache at the same time: at worst both write the same rows. A problem with the cache costs time, but never changes a
result.
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

# Raised whenever the content on disk changes its meaning; a cache of another format is not touched.
FORMAT = "1"
LIMIT = "10 GiB"
DIGEST_BYTES = 16

_FORMAT_FILE = "format"
_ABOUT = "about.json"
# Key in about.json; another name would lose what existing caches have measured.
_SECONDS = "seconds_an_image"
_SUFFIX = ".safetensors"
_PARTIAL_SUFFIX = ".part"
# A process renames its partial file within moments; an older one was left by a process that was killed.
_STALE_SECONDS = 3600


@dataclass(frozen=True)
class NetworkCacheInfo:
    """Content of the cache of one network.

    Args:
        about: Description of the network.
        rows: Number of feature rows, one for each image and view.
        size: Bytes on disk, solved heads included.
    """

    about: str
    rows: int
    size: int


# Folder of a temporary cache that several runs share; None for the permanent cache.
_temporary: ContextVar[Path | None] = ContextVar("temporary", default=None)


def location() -> Path:
    """Return the folder of the cache: KERASTUNE_CACHE, or the user's cache folder."""
    return _temporary.get() or Path(os.environ.get("KERASTUNE_CACHE") or platformdirs.user_cache_path("kerastune"))


@contextlib.contextmanager
def share_cache(keep: bool = True) -> Iterator[None]:
    """Let all runs within the block share one cache, which `open_cache()` then opens.

    Args:
        keep: False for a temporary cache, removed at the end of the block, instead of the permanent one.
    """
    if keep:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="kerastune-", ignore_cleanup_errors=True) as folder:
        token = _temporary.set(Path(folder))
        try:
            yield
        finally:
            _temporary.reset(token)


def limit() -> int:
    """Return the maximum size of the cache in bytes: KERASTUNE_CACHE_LIMIT, or 10 GiB.

    Raises:
        RequestError: KERASTUNE_CACHE_LIMIT is not a size.
    """
    try:
        return units.parse_size(os.environ.get("KERASTUNE_CACHE_LIMIT") or LIMIT)
    except ValueError as error:
        raise RequestError(f"KERASTUNE_CACHE_LIMIT: {error}.") from None


@contextlib.contextmanager
def open_cache(keep: bool = True) -> Iterator["Cache"]:
    """Open the cache for one run; at the end, remove the least recently used files over the limit.

    Args:
        keep: False for a temporary cache, removed at the end of the run.

    Raises:
        RequestError: KERASTUNE_CACHE_LIMIT is not a size.
    """
    max_bytes = limit()
    folder = _usable(location()) if keep else None
    if folder is not None:
        cache = Cache(folder)
        try:
            yield cache
        finally:
            cache.shrink(max_bytes)
        return
    with tempfile.TemporaryDirectory(prefix="kerastune-", ignore_cleanup_errors=True) as temporary:
        yield Cache(Path(temporary))


def existing_cache() -> "Cache":
    """Return the cache as it is on disk, to show or clear it; it may be empty."""
    return Cache(location())


def _usable(folder: Path) -> Path | None:
    """Return the folder if it holds a cache of this format, or one can be created in it; otherwise warn."""
    format_file = folder / _FORMAT_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not format_file.exists():
            if any(folder.iterdir()):
                _warn(f"{folder}: not empty and not a kerastune cache; point KERASTUNE_CACHE elsewhere.")
                return None
            format_file.write_text(FORMAT)
        found = format_file.read_text()
    except OSError as error:
        _warn(f"{folder}: the cache cannot be used ({error.strerror}); point KERASTUNE_CACHE elsewhere.")
        return None
    if found != FORMAT:
        _warn(
            f"{folder}: this cache was written by another version of the package (format {found[:20]!r}; this version "
            f'writes format "{FORMAT}"); clear it (kerastune cache clear) or point KERASTUNE_CACHE elsewhere.'
        )
        return None
    return folder


def _warn(problem: str) -> None:
    warnings.warn(f"{problem} The run continues without it.", CacheWarning, stacklevel=2)


@dataclass
class Cache:
    """The cache in one folder.

    Args:
        folder: The folder.
        full: True after a write has failed; then nothing more is written.
    """

    folder: Path
    full: bool = False

    def network(self, digest: str, about: str) -> "NetworkCache":
        """Return the cache of one network, which may be empty.

        Args:
            digest: Digest of everything that determines the features of an image, see `fingerprint`.
            about: Description of the network, for `kerastune cache info`.
        """
        return NetworkCache(self, self.folder / digest, about)

    def info(self) -> list[NetworkCacheInfo]:
        """Return the content of the cache, network by network."""
        found = []
        for folder in self._network_folders():
            files = [file for file in folder.rglob(f"*{_SUFFIX}") if file.is_file()]
            about = _read_json(folder / _ABOUT).get("about", folder.name)
            size = sum(file.stat().st_size for file in files)
            found.append(NetworkCacheInfo(about, sum(map(_count_rows, files)), size))
        return found

    def clear(self) -> None:
        """Remove everything that the cache has written.

        Raises:
            OutputError: It cannot be removed.
        """
        try:
            for folder in self._network_folders():
                shutil.rmtree(folder)
            (self.folder / _FORMAT_FILE).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{self.folder}: the cache cannot be cleared: {error.strerror}.") from None

    def _network_folders(self) -> list[Path]:
        """Return the folders of the networks; none without a format file, since the folder is then not a cache."""
        if not (self.folder / _FORMAT_FILE).is_file():
            return []
        return sorted(entry for entry in self.folder.iterdir() if entry.is_dir())

    def shrink(self, max_bytes: int) -> None:
        """Remove the least recently used files until at most `max_bytes` remain."""
        with contextlib.suppress(OSError):
            for partial in self.folder.rglob(f"*{_PARTIAL_SUFFIX}"):
                if time.time() - partial.stat().st_mtime > _STALE_SECONDS:
                    partial.unlink(missing_ok=True)
            files = [(file.stat().st_mtime, file.stat().st_size, file) for file in self.folder.rglob(f"*{_SUFFIX}")]
            total = sum(size for _, size, _ in files)
            for _, size, file in sorted(files):
                if total <= max_bytes:
                    break
                file.unlink(missing_ok=True)
                total -= size

    def write(self, file: Path, arrays: Mapping[str, np.ndarray], texts: Mapping[str, str]) -> None:
        """Write a file completely or not at all; warn at the first failure, and write nothing after it."""
        if self.full:
            return
        partial = file.with_name(f"{uuid.uuid4().hex}{_PARTIAL_SUFFIX}")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            checksums = {f"{name} checksum": _checksum(array) for name, array in arrays.items()}
            partial.write_bytes(save(dict(arrays), {**texts, **checksums}))
            partial.replace(file)
        except OSError as error:
            self.full = True
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            _warn(
                f"{self.folder}: this cache cannot be written ({error.strerror}); free disk space, or point "
                "KERASTUNE_CACHE elsewhere."
            )


@dataclass(frozen=True)
class NetworkCache:
    """The cache of one network.

    Args:
        cache: The whole cache.
        folder: The network's own folder.
        about: Description of the network.
    """

    cache: Cache
    folder: Path
    about: str

    def find(self, keys: Sequence[bytes]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the cached rows, file by file.

        Args:
            keys: Digests of image and view, `DIGEST_BYTES` each.

        Returns:
            Pairs: positions in `keys`, int (m,), and their rows, float16 or float32 (m, d).
        """
        wanted: dict[bytes, list[int]] = {}
        for position, key in enumerate(keys):
            wanted.setdefault(key, []).append(position)
        for file in sorted(self.folder.glob(f"*{_SUFFIX}")):
            read = _read(file, ["keys"])
            matches = [(row, key) for row, key in enumerate(_split(read[0]["keys"])) if key in wanted] if read else []
            found = _read(file, ["rows"]) if matches else None
            if found:
                _touch(file)
                taken = [(row, position) for row, key in matches for position in wanted.pop(key, ())]
                rows, positions = np.array(taken).T
                yield positions, found[0]["rows"][rows]

    def add(self, keys: Sequence[bytes], rows: np.ndarray) -> None:
        """Cache rows.

        Args:
            keys: Digests of image and view, `DIGEST_BYTES` each.
            rows: float16 or float32 (n, d).
        """
        self._describe()
        joined = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, DIGEST_BYTES)
        self.cache.write(self.folder / f"{uuid.uuid4().hex}{_SUFFIX}", {"keys": joined, "rows": rows}, {})

    def load_head(self, name: str) -> tuple[dict[str, np.ndarray], Any] | None:
        """Return the arrays and the value that `save_head` saved under a name, or None."""
        file = self.folder / "solved" / f"{name}{_SUFFIX}"
        read = _read(file) if file.is_file() else None
        if not read:
            return None
        _touch(file)
        arrays, texts = read
        return arrays, json.loads(texts["value"])

    def save_head(self, name: str, arrays: Mapping[str, np.ndarray], value: Any) -> None:
        """Save arrays and a JSON value under a name."""
        self.cache.write(self.folder / "solved" / f"{name}{_SUFFIX}", arrays, {"value": json.dumps(value)})

    @property
    def seconds_per_image(self) -> float | None:
        """Seconds of the forward pass of an image when last measured, or None."""
        return _read_json(self.folder / _ABOUT).get(_SECONDS)

    def save_seconds_per_image(self, seconds: float) -> None:
        """Save the seconds of the forward pass of an image."""
        self._describe(seconds)

    def _describe(self, seconds_per_image: float | None = None) -> None:
        about = self.folder / _ABOUT
        if self.cache.full or (about.exists() and seconds_per_image is None):
            return
        content = _read_json(about) | {"about": self.about}
        if seconds_per_image is not None:
            content[_SECONDS] = seconds_per_image
        with contextlib.suppress(OSError):  # `Cache.write` warns where something is lost
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = self.folder / f"{uuid.uuid4().hex}{_PARTIAL_SUFFIX}"
            partial.write_text(json.dumps(content))
            partial.replace(about)


def _read(file: Path, names: Sequence[str] | None = None) -> tuple[dict[str, np.ndarray], dict[str, str]] | None:
    """Return arrays of a file, by default all, and its texts; None if it is gone, or damaged and therefore removed."""
    try:
        with safe_open(file, "np") as content:
            arrays = {name: content.get_tensor(name) for name in names or content.keys()}
            texts = content.metadata()
        if all(texts[f"{name} checksum"] == _checksum(array) for name, array in arrays.items()):
            return arrays, texts
    except FileNotFoundError:  # removed by another process
        return None
    except (SafetensorError, OSError, KeyError, TypeError):
        pass
    _warn(f"{file}: this file of the cache is damaged and is removed; its content is computed again.")
    with contextlib.suppress(OSError):
        file.unlink(missing_ok=True)
    return None


def _checksum(array: np.ndarray) -> str:
    return f"{zlib.crc32(np.ascontiguousarray(array).data):08x}"


def _split(keys: np.ndarray) -> list[bytes]:
    joined = keys.tobytes()
    return [joined[start : start + DIGEST_BYTES] for start in range(0, len(joined), DIGEST_BYTES)]


def _count_rows(file: Path) -> int:
    with contextlib.suppress(SafetensorError, OSError), safe_open(file, "np") as content:
        if "rows" in content.keys():  # noqa: SIM118, no mapping
            return content.get_slice("rows").get_shape()[0]
    return 0


def _touch(file: Path) -> None:
    with contextlib.suppress(OSError):  # a read-only cache is of use too
        os.utime(file)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
