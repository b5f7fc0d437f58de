"""Images to predict, in any form: files and folders, arrays, images of other libraries, and lists of these."""

import glob
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from numbers import Number
from os import PathLike
from pathlib import Path
from typing import Any
from warnings import warn

import numpy as np
from PIL import Image

from kerastune_recipes import printable
from kerastune_recipes.arrays.files import ArrayList
from kerastune_recipes.data import checks, first_look, scales
from kerastune_recipes.data.dataset import Pictures
from kerastune_recipes.data.images import CHANNELS, from_pillow
from kerastune_recipes.data.pixel_range import GivenRange, PixelRange
from kerastune_recipes.data.sources.arrays import ImagesInMemory, Traits
from kerastune_recipes.data.sources.encoded import read_encoded
from kerastune_recipes.data.sources.folder import read_files, read_unlabeled_folder
from kerastune_recipes.data.sources.parts import TABLES, ReadResult, is_a
from kerastune_recipes.data.sources.remote import is_remote, read_at, resolve
from kerastune_recipes.data.sources.table import read_unlabeled_csv, read_unlabeled_dataframe
from kerastune_recipes.errors import DataError, DataWarning
from kerastune_recipes.progress import counted

_FORMS = (
    "give a path, a folder, a pattern such as photos/*.jpg, a .csv file or DataFrame with a column path, an array "
    "(h, w, 3) or (n, h, w, 3), a PIL image, the bytes of an image file, a tf.data.Dataset, or a list or generator of "
    "these"
)
_WHAT = "images to predict"
# Lists in lists that hold images: a list of batches. Lists in lists that are images: (n, height, width, channels).
_DEEPEST, _MOST_AXES = 2, 4

# One image: the path of a file, its bytes, an array, an image of Pillow; or several that were read together.
_Source = Path | bytes | np.ndarray | Image.Image | Pictures
# Images of one kind, each with its position among all.
_Numbered = Sequence[tuple[int, Any]]


def open_to_predict(images: Any, pixel_range: GivenRange = None) -> Pictures:
    """Find images to predict and check them as those of a run are checked; they are decoded on demand.

    Args:
        images: One of these, or a list, tuple, generator or object array of them:
            a path of an image file; a folder, with images at any depth; a pattern with `*`, `?` and `[..]`; a CSV file
                with a column path; each, except a pattern, also in an object store;
            an array or tensor (h, w), (h, w, 1, 3 or 4) or (n, h, w, 1, 3 or 4), or nested lists of numbers, with the
                values that `open_dataset` takes; alone also (n, h, w), where neither n nor w is 1, 3 or 4;
            an image of Pillow; the bytes of an image file, or a file that is open for reading them;
            a DataFrame with a column path; a tf.data.Dataset of images, or of tuples that begin with one.
        pixel_range: See `open_dataset`.

    Returns:
        The images in their order; files are named by their paths, others by their numbers.

    Raises:
        DataError: There are none, or some cannot be used; all of them are named. Files that cannot be decoded are named
            when they are read.

    Example:
        >>> open_to_predict(np.zeros((2, 8, 8, 3), np.uint8)).names
        ['image 0', 'image 1']
    """
    stated = PixelRange.of(pixel_range)
    array = _array(images, _WHAT)
    if array is not None:
        # (3, height, width) is rather an image with its channels first, which is refused, than three gray ones.
        are_gray = array.ndim == 3 and array.shape[-1] not in CHANNELS and array.shape[0] not in CHANNELS
        images = list(array) if are_gray else array
    pictures = _joined(_sources(images, _WHAT, stated), stated)
    if not len(pictures):
        raise DataError(f"there are no {_WHAT}; give at least one.")
    if stated is None and pictures.deep is not None:
        deep = pictures.select(np.flatnonzero(pictures.deep))
        _show(first_look.darkness(deep)[1])
    return pictures


def _sources(given: Any, what: str, stated: PixelRange | None, depth: int = 0) -> Iterator[_Source]:
    """Yield the images in what a user gives.

    Args:
        given: Images, or what holds them.
        what: What it is called in errors.
        stated: The range of pixels that the user states, or None.
        depth: How many lists it is in.
    """
    if isinstance(given, str | PathLike):
        yield from _of_path(given)
    elif isinstance(given, bytes | bytearray | memoryview):
        yield bytes(given)
    elif isinstance(given, Image.Image):
        yield given
    elif callable(getattr(given, "read", None)):
        yield from _sources(given.read(), what, stated, depth)
    elif is_a(given, "pandas", "DataFrame"):
        yield _pictures(read_unlabeled_dataframe(given))
    elif is_a(given, "tensorflow", "data.Dataset"):
        from kerastune_recipes.data.sources.tf_data import read_unlabeled_tf_data

        yield _pictures(read_unlabeled_tf_data(given, stated))
    elif (array := _array(given, what)) is not None:
        yield from array if array.ndim == 4 else [array]
    elif isinstance(given, Iterable) and not isinstance(given, Mapping) and depth < _DEEPEST:
        for number, each in enumerate(given):
            yield from _sources(each, f"image {number}", stated, depth + 1)
    else:
        raise DataError(f"{what} cannot be of type {type(given).__name__}; {_FORMS}.")


def _of_path(text: str | PathLike[str]) -> Iterator[_Source]:
    """Yield the images that a path names: of a file, a table, a folder, or all that match a pattern."""
    path = resolve(text)
    if str(path).lower().endswith(TABLES):
        yield _pictures(read_at(path, read_unlabeled_csv))
    elif _is_folder(path):
        pictures = _pictures(read_at(path, read_unlabeled_folder))
        if not len(pictures):
            raise DataError(f"{text}: there are no images in this folder.")
        yield replace(pictures, names=[printable.encodable(str(path / name)) for name in pictures.names])
    elif not is_remote(path) and not path.exists() and any(character in str(path) for character in "*?["):
        found = sorted(glob.glob(str(path), recursive=True))
        if not found:
            raise DataError(f"{text}: no file matches this pattern; check it.")
        for each in found:
            yield from _of_path(each)
    else:
        yield path


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except Exception:  # of an object store, each with its own: to fetch the file tells what is wrong
        if is_remote(path):
            return False
        raise


def _pictures(result: ReadResult) -> Pictures:
    """Return images that were read, and show what is doubtful or was left out.

    Raises:
        DataError: They cannot be used.
    """
    if result.problems or result.unlabeled is None:
        raise DataError(*result.problems)
    _show((*result.warnings, *result.notes))
    return result.unlabeled


def _show(warnings: Iterable[str]) -> None:
    for text in warnings:
        warn(text, DataWarning, stacklevel=4)


def _array(given: Any, what: str) -> np.ndarray | None:
    """Return an array or tensor of numbers, or nested lists of numbers, as NumPy has it; None for anything else.

    Raises:
        DataError: NumPy cannot read it.
    """
    is_list = isinstance(given, list | tuple)
    if is_list and not _is_nested(given):
        return None
    if not is_list and not (hasattr(given, "shape") and hasattr(given, "__array__")):
        return None
    if isinstance(given, np.ma.MaskedArray) and given.mask.any():
        raise DataError(f"{what}: pixels are masked; fill them.")
    try:
        array = np.asarray(given)
    except Exception as error:  # of lists of different lengths, of tensors on another device: each library has its own
        raise DataError(f"{what}: this cannot be read as a NumPy array: {checks.quoted(error)}.") from error
    return None if array.dtype.kind in "OSUT" else array


def _is_nested(values: Sequence[Any]) -> bool:
    """Return whether lists in lists begin with a number."""
    for depth in range(_MOST_AXES + 1):
        if not isinstance(values, list | tuple) or not values:
            return isinstance(values, Number) and depth > 1
        values = values[0]
    return False


def _joined(sources: Iterable[_Source], stated: PixelRange | None) -> Pictures:
    """Return all images in their order as one; those of a kind are read together.

    Raises:
        DataError: Arrays cannot be used.
    """
    # Arrays come last, so that the problems of files are known when arrays are refused.
    kinds: dict[str, list[tuple[int, Any]]] = {"files": [], "bytes": [], "pillow": [], "arrays": []}
    members: list[tuple[Pictures, int] | None] = []
    for source in counted(sources, _WHAT):  # a generator may never end
        if isinstance(source, Pictures):
            pictures = source.in_range(stated)
            members += [(pictures, index) for index in range(len(pictures))]
            continue
        kind = {bytes: "bytes", np.ndarray: "arrays"}.get(type(source))
        kind = kind or ("pillow" if isinstance(source, Image.Image) else "files")
        kinds[kind].append((len(members), source))
        members.append(None)
    readers: dict[str, Any] = {"files": _files, "bytes": _bytes, "arrays": _arrays, "pillow": _pillow}
    unreadable: list[str] = []
    for kind, numbered in kinds.items():
        if numbered:
            pictures, problems = readers[kind](numbered, stated)
            if pictures is None:
                raise DataError(*unreadable, *problems)
            # What is wrong with a file is said when it is decoded, of all files together.
            unreadable += problems
            for index, (number, _) in enumerate(numbered):
                members[number] = pictures, index
    return _in_order([member for member in members if member is not None])


def _files(numbered: _Numbered, stated: PixelRange | None) -> tuple[Pictures, list[str]]:
    paths = [path for _, path in numbered]
    pictures, problems = read_files(paths, list(map(str, paths)))
    return pictures.in_range(stated), problems


def _bytes(numbered: _Numbered, stated: PixelRange | None) -> tuple[Pictures, list[str]]:
    files = ArrayList()
    for _, content in numbered:
        files.append(np.frombuffer(content, np.uint8))
    pictures, problems = read_encoded(files, [f"image {number}" for number, _ in numbered])
    return pictures.in_range(stated), problems


def _pillow(numbered: _Numbered, stated: PixelRange | None) -> tuple[Pictures, list[str]]:
    names = [f"image {number}" for number, _ in numbered]

    def read(index: int, at_least: int | None = None) -> np.ndarray:
        return from_pillow(numbered[index][1], names[index], stated)

    return Pictures(read, names, np.array([image.size[::-1] for _, image in numbered], np.int64)), []


def _arrays(numbered: _Numbered, stated: PixelRange | None) -> tuple[Pictures | None, list[str]]:
    """Check arrays as those that are trained on; return no images where they cannot be used."""
    arrays = [array for _, array in numbered]
    given = ImagesInMemory(arrays, list(map(Traits.of, arrays)), stated, positions=[number for number, _ in numbered])
    problems, warnings = given.judge()
    if problems:
        return None, problems
    extremes = given.extremes()
    brightest = extremes.highs.max()
    if stated is not None and stated.low < brightest <= stated.low + (stated.high - stated.low) / 255:
        return None, [scales.dark(brightest, "images", stated)]
    # A photograph in bytes may well be dark; other numbers up to 63 are rather on another scale.
    if stated is None and not extremes.bytes_only and 0 < brightest < scales.QUARTER:
        warnings.append(scales.dark(brightest, "images", None))
    _show(warnings)
    return given.pictures(), []


def _in_order(members: Sequence[tuple[Pictures, int]]) -> Pictures:
    """Return images in their order as one."""

    def read(index: int, at_least: int | None = None) -> np.ndarray:
        pictures, within = members[index]
        return pictures.read(within, at_least)

    def digest_of(index: int) -> bytes:
        pictures, within = members[index]
        return pictures.digest(within)

    return Pictures(
        read,
        [pictures.names[within] for pictures, within in members],
        np.array([pictures.sizes[within] for pictures, within in members], np.int64).reshape(-1, 2),
        digest_of=digest_of,
        deep=np.array([pictures.deep is not None and pictures.deep[within] for pictures, within in members], bool),
    )
