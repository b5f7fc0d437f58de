"""A file of arrays and values with a checksum over every byte; written whole, and checked before anything is parsed."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from kerastune_recipes import atomic_files

_MAGIC = b"kerastune checkpoint 1\n"
_DIGEST_BYTES = 32
# Not in the metadata of safetensors, whose size is limited. The names of arrays get a dot in front.
_JSON = "json"


class DamagedError(Exception):
    """A file that is torn, changed or not of this kind; the message says which in a few words."""


def save(path: Path, arrays: Mapping[str, np.ndarray], value: Any, place: str = "") -> None:
    """Write arrays and a value to a file, whole or not at all.

    Args:
        path: The file; it is replaced if it exists.
        arrays: Arrays of numbers or booleans, by name.
        value: Anything that JSON can hold; NaN and infinite numbers too.
        place: What the file is; it is read as this and nothing else, should it be moved to another place.

    Raises:
        OSError: It cannot be written; what was there is still there.

    Example:
        >>> save(Path("weights"), {"kernel": np.zeros((2, 3))}, {"step": 12})
        >>> load(Path("weights"))[1]
        {'step': 12}
    """
    contiguous = {f".{name}": np.asarray(array, order="C") for name, array in arrays.items()}
    content = save_arrays({_JSON: np.frombuffer(json.dumps(value).encode(), np.uint8), **contiguous})
    atomic_files.write(path, _MAGIC + _digest(content, place) + content)


def load(path: Path, place: str = "") -> tuple[dict[str, np.ndarray], Any]:
    """Read the arrays and the value of a file.

    Args:
        path: The file.
        place: As it was saved.

    Raises:
        DamagedError: The file is damaged, is of another place, or was not written by `save`.
        OSError: It cannot be read.
    """
    data = path.read_bytes()
    start = len(_MAGIC) + _DIGEST_BYTES
    if not data.startswith(_MAGIC):
        raise DamagedError("it is empty" if not data else "it was not written by this package")
    content = data[start:]
    if data[len(_MAGIC) : start] != _digest(content, place):
        raise DamagedError("its checksum does not match its content and place")
    arrays = load_arrays(content)
    value = json.loads(arrays.pop(_JSON).tobytes())
    return {name[1:]: array for name, array in arrays.items()}, value


def _digest(content: bytes, place: str) -> bytes:
    own = hashlib.blake2b(place.encode(), digest_size=hashlib.blake2b.MAX_KEY_SIZE).digest()
    return hashlib.blake2b(content, key=own, digest_size=_DIGEST_BYTES).digest()
