"""The cache on disk: features by network, image and view, and the heads solved on them.

    KERASTUNE_CACHE/kerastune-cache-2/
        CACHEDIR.TAG                    marks the folder as ours
        NETWORK/about.json              description, and seconds per image
        NETWORK/NAME.rows               some hundred rows, found by the digest of image and view
        NETWORK/solved/NAME.head        a solved head

NETWORK and NAME are 32 hexadecimal digits. What has another name, or is a link, is not ours: it is neither read nor
removed. Files are written whole and have a checksum of every byte, so two processes may use one cache at the same time:
at worst both write the same rows. A problem with the cache costs time, but never changes a result.
"""

import contextlib
import errno
import json
import os
import re
import tempfile
import time
import uuid
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import platformdirs

from kerastune_recipes import atomic_files, units
from kerastune_recipes.checksummed_files import DamagedError
from kerastune_recipes.errors import CacheWarning, OutputError, RequestError
from kerastune_recipes.features import own_files, sealed_files
from kerastune_recipes.features.sealed_files import SealedFile

# Raised whenever the content on disk changes its meaning; a cache of another format has another folder.
FORMAT = "2"
FOLDER = f"kerastune-cache-{FORMAT}"
LIMIT = "10 GiB"
DIGEST_BYTES = 16

# Backup tools know this name and its first line (https://bford.info/cachedir/), and leave the folder out.
_MARK = "CACHEDIR.TAG"
_MARK_CONTENT = f"""Signature: 8a477f597d28d172789f06886806bc55
# The cache of kerastune_recipes, format {FORMAT}. It may be deleted at any time; its content is then computed again.
""".encode()

_ABOUT, _SOLVED = "about.json", "solved"
# Keys in about.json.
_SECONDS, _CHECKSUM = "seconds_per_image", "checksum"
# More than any description of a network, so that a huge file is not read.
_ABOUT_BYTES = 2**16

# The names of ours; nothing else is read or removed.
_DIGITS = "[0-9a-f]{32}"
_NETWORK = re.compile(_DIGITS)
_ROWS = re.compile(rf"{_DIGITS}\.rows")
_SEALED = re.compile(rf"{_DIGITS}\.(rows|head)")
# What `atomic_files` leaves where a process is killed.
_PART = re.escape(atomic_files.PARTIAL_SUFFIX)
_PARTIAL = re.compile(rf"\.({_DIGITS}|about|CACHEDIR)-[0-9a-f]{{8}}{_PART}\.(rows|head|json|TAG)")
_FILES = re.compile(rf"{_SEALED.pattern}|about\.json|{_PARTIAL.pattern}")
_MARKS = re.compile(rf"CACHEDIR\.TAG|{_PARTIAL.pattern}")
# A process renames its partial file within moments; an older one was left by a process that was killed.
_STALE_SECONDS = 3600

# Below a file there is no folder: a cache here finds nothing.
_NOWHERE = Path(os.devnull) / FOLDER

_Taken = TypeVar("_Taken")


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
    """Return the folder in which the cache has its own: KERASTUNE_CACHE, or the user's cache folder."""
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
    with _temporary_folder() as folder:
        token = _temporary.set(folder or _NOWHERE)
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
    cache = _usable(location()) if keep else None
    if cache is not None:
        try:
            yield cache
        finally:
            cache.shrink(max_bytes)
        return
    with _temporary_folder() as folder:
        yield Cache(folder / FOLDER) if folder else Cache(_NOWHERE, full=True)


def existing_cache() -> "Cache":
    """Return the cache as it is on disk, to show or clear it; it may be empty."""
    return Cache(location() / FOLDER)


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path | None]:
    """Make a folder that is removed at the end of the block; warn and yield None where there is no place for one."""
    with contextlib.ExitStack() as stack:
        folder = None
        try:
            made = tempfile.TemporaryDirectory(prefix="kerastune-", ignore_cleanup_errors=True)
            folder = Path(stack.enter_context(made))
        except OSError as error:
            _warn(f"The temporary cache cannot be made ({_reason(error)}); free disk space, or point TMPDIR elsewhere.")
        yield folder


def _usable(root: Path) -> "Cache | None":
    """Return the cache in a folder, made if there is none; warn and return None where it cannot be used."""
    cache = Cache(root / FOLDER)
    try:
        root.mkdir(parents=True, exist_ok=True)
        cache.prepare()
    except OSError as error:
        _warn(f"{root}: the cache cannot be used ({_reason(error)}); point KERASTUNE_CACHE elsewhere.")
        return None
    return cache


def _warn(problem: str) -> None:
    warnings.warn(f"{problem} The run continues without it.", CacheWarning, stacklevel=2)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


@dataclass
class Cache:
    """The cache in one folder.

    Args:
        folder: Its own folder.
        full: True after a write has failed; then nothing more is written.
        unreadable: True after a read has failed, which is said once.
    """

    folder: Path
    full: bool = False
    unreadable: bool = False

    def network(self, digest: str, about: str) -> "NetworkCache":
        """Return the cache of one network, which may be empty.

        Args:
            digest: Digest of everything that determines the features of an image, see `fingerprint`.
            about: Description of the network, for `kerastune cache info`.
        """
        return NetworkCache(self, self.folder / _own_name(digest), about)

    def prepare(self) -> None:
        """Make the folder and its mark where they are missing, but not the folders around it.

        Raises:
            OSError: They cannot be made or read, or are not ours.
        """
        own_files.make_folder(self.folder)
        try:
            mark = own_files.read(self.folder / _MARK, len(_MARK_CONTENT))
        except FileNotFoundError:
            mark = b""
        if not _is_mark(mark):
            raise FileExistsError(errno.EEXIST, f"{FOLDER}/{_MARK} is not of this package")
        if mark != _MARK_CONTENT:
            atomic_files.write(self.folder / _MARK, _MARK_CONTENT)

    def info(self) -> list[NetworkCacheInfo]:
        """Return the content of the cache, network by network.

        Raises:
            OutputError: It cannot be read.
        """
        try:
            return [_info(folder) for folder in self._networks()]
        except OSError as error:
            raise OutputError(f"{self.folder}: the cache cannot be read: {_reason(error)}.") from None

    def clear(self) -> None:
        """Remove everything that the cache has written, and nothing else.

        Raises:
            OutputError: It cannot be removed.
        """
        try:
            for network in self._networks():
                for folder in (network / _SOLVED, network):
                    own_files.remove_all(folder, _FILES)
            if self._is_marked():
                own_files.remove_all(self.folder, _MARKS)
        except OSError as error:
            raise OutputError(f"{self.folder}: the cache cannot be cleared: {_reason(error)}.") from None

    def _networks(self) -> list[Path]:
        """Return the folders of the networks; none without a mark of ours, since the folder is then not a cache."""
        return own_files.folders(self.folder, _NETWORK) if self._is_marked() else []

    def _is_marked(self) -> bool:
        if self.folder.is_symlink():
            return False
        try:
            return _is_mark(own_files.read(self.folder / _MARK, len(_MARK_CONTENT)))
        except (FileNotFoundError, NotADirectoryError):
            return False

    def shrink(self, max_bytes: int) -> None:
        """Remove the least recently used files until at most `max_bytes` remain."""
        networks: list[Path] = []
        with contextlib.suppress(OSError):
            networks = self._networks()
        folders = [folder for network in networks for folder in (network, network / _SOLVED)]
        for partial, state in own_files.states([self.folder, *folders], _PARTIAL) if networks else []:
            if time.time() - state.st_mtime > _STALE_SECONDS:
                own_files.try_to_remove(partial)
        files = own_files.states(folders, _SEALED)
        total = sum(state.st_size for _, state in files)
        for file, state in sorted(files, key=lambda found: found[1].st_mtime):
            if total <= max_bytes:
                break
            if own_files.try_to_remove(file):
                total -= state.st_size

    def write(self, file: Path, content: str | bytes) -> None:
        """Write a file completely or not at all; warn at the first failure, and write nothing after it.

        It is flushed to the disk, which takes 1 to 30 ms for a file that took seconds to compute.
        """
        if self.full:
            return
        try:
            try:
                self._write(file, content)
            except FileNotFoundError:  # another process is clearing the cache
                self._write(file, content)
        except OSError as error:
            self.full = True
            _warn(
                f"{self.folder}: this cache cannot be written ({_reason(error)}); free disk space, or point "
                "KERASTUNE_CACHE elsewhere."
            )

    def _write(self, file: Path, content: str | bytes) -> None:
        # Not the folders around ours: where a network drive is gone, the disk below it is no place for its content.
        self.prepare()
        for parent in reversed(file.relative_to(self.folder).parents[:-1]):
            own_files.make_folder(self.folder / parent)
        if file.is_symlink():
            raise FileExistsError(errno.EEXIST, f"{self.place(file)} is a link")
        atomic_files.write(file, content)

    def read(self, file: Path, take: Callable[[SealedFile], _Taken]) -> _Taken | None:
        """Return what a function takes from a file; None where the file is gone, or is damaged and therefore removed.

        Args:
            file: A file below the folder, with a name of ours.
            take: Reads the opened file.
        """
        try:
            with sealed_files.opened(file, self.place(file)) as content:
                return take(content)
        except FileNotFoundError:  # removed by another process
            return None
        except OSError as error:
            self.warn_unreadable(file, error)
            return None
        except DamagedError:
            pass
        removed = "is removed" if own_files.try_to_remove(file) else "cannot be removed"
        _warn(f"{file}: this file of the cache is damaged and {removed}; its content is computed again.")
        return None

    def place(self, file: Path) -> str:
        """Return where in the cache a file is, for `sealed_files`: one moved to another network is refused."""
        return file.relative_to(self.folder).as_posix()

    def warn_unreadable(self, path: Path, error: OSError) -> None:
        """Warn that something cannot be read; only the first time."""
        if not self.unreadable:
            self.unreadable = True
            _warn(
                f"{path}: this part of the cache cannot be read ({_reason(error)}), and perhaps others; make it "
                "readable, or point KERASTUNE_CACHE elsewhere."
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

    def find(self, keys: Sequence[bytes], exact: bool = False) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the cached rows, file by file.

        Args:
            keys: Digests of image and view, `DIGEST_BYTES` each.
            exact: Whether rows in half precision are left out.

        Returns:
            Pairs: positions in `keys`, int (m,), and their rows, float16 or float32 (m, d).
        """
        wanted: dict[bytes, list[int]] = {}
        for position, key in enumerate(keys):
            wanted.setdefault(key, []).append(position)

        def take(content: SealedFile) -> tuple[list[tuple[int, bytes]], np.ndarray] | None:
            matches = [(row, key) for row, key in enumerate(_split(content.index)) if key in wanted]
            if not matches:
                return None
            rows = content.arrays()["rows"]
            return None if exact and rows.dtype == np.float16 else (matches, rows)

        for file in self._files(self.folder, _ROWS):
            found = self.cache.read(file, take)
            if found:
                _touch(file)
                matches, cached = found
                taken = [(row, position) for row, key in matches for position in wanted.pop(key, ())]
                rows, positions = np.array(taken).T
                yield positions, cached[rows]

    def _files(self, folder: Path, name: re.Pattern[str]) -> list[Path]:
        """Return the files of ours in the network's folder or one in it; warn where they cannot be listed."""
        try:
            return [] if self.folder.is_symlink() else own_files.files(folder, name)
        except OSError as error:
            self.cache.warn_unreadable(folder, error)
            return []

    def add(self, keys: Sequence[bytes], rows: np.ndarray) -> None:
        """Cache rows.

        Args:
            keys: Digests of image and view, `DIGEST_BYTES` each.
            rows: float16 or float32 (n, d).
        """
        self._describe()
        self._seal(self.folder / f"{uuid.uuid4().hex}.rows", {"rows": rows}, index=b"".join(keys))

    def load_head(self, name: str) -> tuple[dict[str, np.ndarray], Any] | None:
        """Return the arrays and the value that `save_head` saved under a name, or None."""
        for file in self._files(self.folder / _SOLVED, re.compile(re.escape(_head_file(name)))):
            found = self.cache.read(file, lambda content: (content.arrays(), content.value))
            if found:
                _touch(file)
            return found
        return None

    def save_head(self, name: str, arrays: Mapping[str, np.ndarray], value: Any) -> None:
        """Save arrays and a JSON value under a name."""
        self._seal(self.folder / _SOLVED / _head_file(name), arrays, value)

    def _seal(self, file: Path, arrays: Mapping[str, np.ndarray], value: Any = None, index: bytes = b"") -> None:
        self.cache.write(file, sealed_files.sealed(self.cache.place(file), arrays, value, index))

    @property
    def seconds_per_image(self) -> float | None:
        """Seconds of the forward pass of an image when last measured, or None."""
        return _read_about(self.folder).get(_SECONDS)

    def save_seconds_per_image(self, seconds: float) -> None:
        """Save the seconds of the forward pass of an image."""
        self._describe(seconds)

    def _describe(self, seconds_per_image: float | None = None) -> None:
        known = _read_about(self.folder)
        if known and seconds_per_image is None:
            return
        measured = {} if seconds_per_image is None else {_SECONDS: float(seconds_per_image)}
        content = {**known, "about": self.about, **measured}
        checksum = _about_checksum(self.folder, content)
        self.cache.write(self.folder / _ABOUT, json.dumps({**content, _CHECKSUM: checksum}))


def _own_name(text: str) -> str:
    """Return the digits that stand for a network or a head, so that every name on disk is of one form."""
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _head_file(name: str) -> str:
    return f"{_own_name(name)}.head"


def _is_mark(content: bytes) -> bool:
    """Return whether this is our mark, also one that a power cut left empty or torn."""
    return _MARK_CONTENT.startswith(content.rstrip(b"\0"))


def _info(folder: Path) -> NetworkCacheInfo:
    files = own_files.states([folder, folder / _SOLVED], _SEALED)
    rows = sum(_count_rows(file, f"{folder.name}/{file.name}") for file, _ in files if _ROWS.fullmatch(file.name))
    about = _read_about(folder).get("about", folder.name)
    return NetworkCacheInfo(about, rows, sum(state.st_size for _, state in files))


def _count_rows(file: Path, place: str) -> int:
    with contextlib.suppress(DamagedError, OSError), sealed_files.opened(file, place) as content:
        return len(content.index) // DIGEST_BYTES
    return 0


def _split(keys: bytes) -> list[bytes]:
    return [keys[start : start + DIGEST_BYTES] for start in range(0, len(keys), DIGEST_BYTES)]


def _touch(file: Path) -> None:
    with contextlib.suppress(OSError):  # a read-only cache is of use too
        os.utime(file)


def _read_about(folder: Path) -> dict[str, Any]:
    """Return what is known of a network; nothing where the file is missing, damaged or of another network."""
    try:
        content = json.loads(own_files.read(folder / _ABOUT, _ABOUT_BYTES))
        return content if content.pop(_CHECKSUM) == _about_checksum(folder, content) else {}
    # RecursionError: brackets in brackets; AttributeError, KeyError, TypeError: JSON of another form.
    except (OSError, ValueError, RecursionError, AttributeError, KeyError, TypeError):
        return {}


def _about_checksum(folder: Path, content: Mapping[str, Any]) -> str:
    return f"{zlib.crc32((folder.name + json.dumps(content, sort_keys=True)).encode()):08x}"
