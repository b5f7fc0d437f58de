"""Local paths and paths in object stores, whose files are fetched once."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from kerastune_recipes import printable
from kerastune_recipes.arrays.files import ArrayList
from kerastune_recipes.data import checks
from kerastune_recipes.data.sources.parts import ReadResult
from kerastune_recipes.errors import DataError, KerastuneError, listed
from kerastune_recipes.progress import counted

# Prefixes of object stores that etils reads, and the library that fsspec needs for each.
STORES = {"gs://": "gcsfs", "s3://": "s3fs", "az://": "adlfs", "hf://": "huggingface_hub"}
# The store that etils reads with TensorFlow, if it is installed.
_TENSORFLOW_STORE = "gs://"
# Files fetched in parallel: a request mostly waits for the network.
_THREADS = 32
# Fetched files held in memory before they are stored.
_CHUNK = 256


def resolve(text: str | os.PathLike[str]) -> Path:
    """Return the path that a text names.

    Args:
        text: A local path, where ~ is the user's home, or a path with a prefix in `STORES`.

    Returns:
        A `pathlib.Path`; for an object store an `etils.epath.Path`, which has the same methods.

    Raises:
        DataError: The text is a URL of another kind.

    Example:
        >>> resolve("photos/ants").name
        'ants'
    """
    scheme, separator, _ = str(text).partition("://")
    if not separator:
        return Path(text).expanduser()
    if f"{scheme}://" not in STORES:
        raise DataError(
            f"{text}: {scheme}:// is not supported; give a local folder or file, or one in {listed(STORES)}."
        )
    if f"{scheme}://" != _TENSORFLOW_STORE:
        # etils would use TensorFlow, which does not read the other stores. It reads this variable once.
        os.environ.setdefault("EPATH_USE_TF", "false")
    from etils import epath

    return epath.Path(text)


def is_remote(path: Path) -> bool:
    """Return whether a path is in an object store, where every query is a network request."""
    return not isinstance(path, Path)


def read_at(path: Path, read: Callable[[Path], ReadResult]) -> ReadResult:
    """Read a path, and report the error of the file system or object store as a problem.

    Args:
        path: A path as `resolve` returns it.
        read: The reader.
    """
    try:
        return read(path)
    except KerastuneError:
        raise
    except Exception as error:  # each store's library has its own exceptions
        if isinstance(error, OSError) and not is_remote(path):
            where = printable.encodable(str(path))
            return ReadResult(where, problems=(f"{where}: cannot be read: {error.strerror or checks.quoted(error)}.",))
        if not is_remote(path):
            raise
        library = STORES[f"{str(path).partition('://')[0]}://"]
        remedy = f"check that you are signed in with permission to read it, and that {library} is installed"
        return ReadResult(str(path), problems=(f"{path}: cannot be read: {checks.quoted(error)}; {remedy}.",))


def fetch(paths: Sequence[Path]) -> tuple[ArrayList, dict[int, str]]:
    """Fetch files from an object store, each once: into memory, and over budget into a temporary file.

    Args:
        paths: The files.

    Returns:
        The bytes of each file, empty for a file that could not be fetched; and the problems of these, by index.

    Raises:
        WorkError: The disk has no room for the temporary file.
    """

    def attempt(path: Path) -> bytes | Exception:
        try:
            return path.read_bytes()
        except Exception as error:  # each store's library has its own exceptions
            return error

    files, failed = ArrayList(), {}
    with ThreadPoolExecutor(_THREADS) as pool:
        chunks = (paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK))
        fetched = (content for chunk in chunks for content in pool.map(attempt, chunk))
        for content in counted(fetched, "files", len(paths)):
            if isinstance(content, Exception):
                failed[len(files)] = f"{paths[len(files)]}: cannot be fetched: {checks.quoted(content)}."
                content = b""
            files.append(np.frombuffer(content, np.uint8))
    return files, failed
