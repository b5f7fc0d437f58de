"""Where files lie: on this machine, or in an object store, whose files are fetched once."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from pathlib import Path

import numpy as np

from kerastune_recipes.data import checks
from kerastune_recipes.data.sources.found import Found
from kerastune_recipes.data.spool import Spool
from kerastune_recipes.errors import DataError, KerastuneError, listed

# Object stores by the beginning of their paths, as etils reads them: through TensorFlow where that is installed, which
# knows the first alone, or through fsspec.
STORES = ("gs://", "s3://", "az://", "hf://")
_BY_FSSPEC = "install what fsspec needs for it (gcsfs, s3fs, adlfs or huggingface_hub) and set EPATH_USE_TF=false"
# Files fetched at a time: a request waits for the network most of its time.
_THREADS = 32
# Files that may wait in memory until they are put away.
_AT_ONCE = 256


def place(text: str | PathLike[str]) -> Path:
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
        return Found(str(path), problems=(f"{path}: it cannot be read: {checks.quoted(error)}; {_BY_FSSPEC}.",))


def fetched(paths: Sequence[Path]) -> tuple[Spool, dict[int, str]]:
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

    files, failed = Spool(), {}
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(paths), _AT_ONCE):
            for found in pool.map(attempt, paths[start : start + _AT_ONCE]):
                if isinstance(found, Exception):
                    failed[len(files)] = f"{paths[len(files)]}: it cannot be fetched: {checks.quoted(found)}."
                files.append(np.frombuffer(b"" if isinstance(found, Exception) else found, np.uint8))
    return files, failed
