"""Where files lie: on this machine, or in an object store, whose files are fetched once."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from kerastune_recipes.arrays.files import ArrayList
from kerastune_recipes.data import checks
from kerastune_recipes.data.sources.parts import Found
from kerastune_recipes.errors import DataError, KerastuneError, listed

# Object stores by the beginning of their paths, as etils reads them, and the library that fsspec reads each by.
STORES = {"gs://": "gcsfs", "s3://": "s3fs", "az://": "adlfs", "hf://": "huggingface_hub"}
# The one that TensorFlow knows, and etils therefore reads by it where it is installed.
_TENSORFLOWS = "gs://"
# Files fetched at a time: a request waits for the network most of its time.
_THREADS = 32
# Files that may wait in memory until they are put away.
_AT_ONCE = 256


def place(text: str | os.PathLike[str]) -> Path:
    """Return the path that a text stands for.

    Args:
        text: A path of this machine, where ~ is the user's home, or one that begins with one of `STORES`.

    Returns:
        A `pathlib.Path`, or for an object store what has its methods, an `etils.epath.Path`.

    Raises:
        DataError: The text is an address of another kind.
    """
    scheme, found, _ = str(text).partition("://")
    if not found:
        return Path(text).expanduser()
    if f"{scheme}://" not in STORES:
        raise DataError(f"{text}: nothing is known of {scheme}://; give a folder or file, or one in {listed(STORES)}.")
    if f"{scheme}://" != _TENSORFLOWS:
        # etils would ask TensorFlow, which does not know the others. It reads the variable once.
        os.environ.setdefault("EPATH_USE_TF", "false")
    from etils import epath

    return epath.Path(text)


def is_remote(path: Path) -> bool:
    """Return whether a path lies in an object store, where every question to it takes a request."""
    return not isinstance(path, Path)


def answered(path: Path, read: Callable[[Path], Found]) -> Found:
    """Return what a reader finds at a path; where an object store does not answer, that in a sentence.

    Args:
        path: As `place` gives it.
        read: Finds what lies there.
    """
    try:
        return read(path)
    except KerastuneError:
        raise
    except Exception as error:  # whatever the store's own library raises
        if not is_remote(path):
            raise
        library = STORES[f"{str(path).partition('://')[0]}://"]
        remedy = f"see that you are signed in and may read it, and that {library} is installed"
        return Found(str(path), problems=(f"{path}: it cannot be read: {checks.quoted(error)}; {remedy}.",))


def fetched(paths: Sequence[Path]) -> tuple[ArrayList, dict[int, str]]:
    """Fetch files from an object store, each once: into memory, and what is over budget into a temporary file.

    Args:
        paths: Where they lie.

    Returns:
        The bytes of each file, none where it could not be fetched; and why, by index.

    Raises:
        WorkError: The disk has no room for the temporary file.
    """

    def attempt(path: Path) -> bytes | Exception:
        try:
            return path.read_bytes()
        except Exception as error:  # whatever the store's own library raises
            return error

    files, failed = ArrayList(), {}
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(paths), _AT_ONCE):
            for found in pool.map(attempt, paths[start : start + _AT_ONCE]):
                if isinstance(found, Exception):
                    failed[len(files)] = f"{paths[len(files)]}: it cannot be fetched: {checks.quoted(found)}."
                files.append(np.frombuffer(b"" if isinstance(found, Exception) else found, np.uint8))
    return files, failed
