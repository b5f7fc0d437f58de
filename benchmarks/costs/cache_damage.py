"""What the cache does with damaged files: whether each is refused, and whether a wrong number is ever believed.

    python -m benchmarks.costs.cache_damage [--files 20000] [--seed 0]

Every file is damaged in a new copy of a small cache of two networks, each with rows, solved heads and a measured speed.
Everything is then read, what is missing is added again, and everything is read once more. Needs no data and no network.
Writes results/cache_damage.jsonl and pages/cache_damage.md.
"""

import argparse
import collections
import os
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lib import measure, pages, results
from kerastune_recipes.errors import CacheWarning
from kerastune_recipes.features.cache import DIGEST_BYTES, NetworkCache, open_cache

# Refused: what the file held is missing, or a warning names the problem; computed anew, it is read. Lost: it is written
# again and still not there, without a warning.
REFUSED, RIGHT, WRONG, TRACEBACK, HANG, LOST = "refused", "right", "wrong", "traceback", "hang", "lost"
OUTCOMES = (REFUSED, RIGHT, WRONG, TRACEBACK, HANG, LOST)

_NETWORKS = ("0" * 32, "1" * 32)
_KEYS = [np.random.default_rng((0, number)).bytes(DIGEST_BYTES) for number in range(24)]
_SECONDS_TO_HANG = 20

# Damages one of the files, whose bytes are by path.
Damage = Callable[[dict[Path, bytes], np.random.Generator], None]


@dataclass(frozen=True)
class Content:
    """What is cached of a network.

    Args:
        rows: float16 (24, 16), one for each of the keys.
        kernel: float32 (16, 3), of the solved head.
        value: Of the solved head.
        seconds: Of the forward pass of an image.
    """

    rows: np.ndarray
    kernel: np.ndarray
    value: dict[str, Any]
    seconds: float

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Arrays of the solved head, of which one is empty."""
        return {"kernel": self.kernel, "held_out": np.zeros((0, 3), np.float32)}


def _content(network: int) -> Content:
    random = np.random.default_rng((1, network))
    rows = random.normal(size=(len(_KEYS), 16)).astype(np.float16)
    kernel = random.normal(size=(16, 3)).astype(np.float32)
    value = {"strength": 10.0**network, "judged_by": f"5 folds of network {network}"}
    return Content(rows, kernel, value, seconds=0.25 + network)


_CONTENTS = {network: _content(number) for number, network in enumerate(_NETWORKS)}


def damages() -> dict[str, Damage]:
    """Return the kinds of damage by their name."""
    payloads = [_CONTENTS[network] for network in _NETWORKS]
    parts = {
        "keys": [b"".join(_KEYS[:12]), b"".join(_KEYS[12:])],
        "rows": [half.tobytes() for one in payloads for half in (one.rows[:12], one.rows[12:])],
        "arrays of a head": [one.kernel.tobytes() for one in payloads],
        "text of a head": [one.value["judged_by"].encode() for one in payloads],
    }
    return {
        **{f"a bit of {part}": _flip_in(found) for part, found in parts.items()},
        "a bit anywhere else": _flip_outside([each for found in parts.values() for each in found]),
        "2 to 8 bits": _flip_several,
        "up to 64 bytes overwritten": _overwrite,
        "cut short": _cut,
        "bytes added": _append,
        "empty, or zeros": _empty,
        "two files swapped": _swap,
        "replaced by a file of the other network": _replace,
        "put together from two files": _splice,
    }


def _flipped(content: bytes, places: np.ndarray | list[int], random: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for place in places:
        changed[place] ^= 1 << int(random.integers(8))
    return bytes(changed)


def _flip_in(parts: list[bytes]) -> Damage:
    """Flip a bit within one of the parts, wherever in a file it is found."""

    def damage(files: dict[Path, bytes], random: np.random.Generator) -> None:
        found = [
            (path, content.index(part), len(part))
            for path, content in sorted(files.items())
            for part in parts
            if part in content
        ]
        path, begin, length = found[random.integers(len(found))]
        files[path] = _flipped(files[path], [begin + int(random.integers(length))], random)

    return damage


def _flip_outside(parts: list[bytes]) -> Damage:
    """Flip a bit outside of the parts: magic, sizes, checksums, names and shapes of arrays; the mark; the speed."""

    def damage(files: dict[Path, bytes], random: np.random.Generator) -> None:
        path = _any(files, random)
        outside = set(range(len(files[path])))
        for part in parts:
            begin = files[path].find(part)
            if begin >= 0:
                outside -= set(range(begin, begin + len(part)))
        files[path] = _flipped(files[path], [int(random.choice(sorted(outside)))], random)

    return damage


def _any(files: dict[Path, bytes], random: np.random.Generator) -> Path:
    return sorted(files)[random.integers(len(files))]


def _flip_several(files: dict[Path, bytes], random: np.random.Generator) -> None:
    path = _any(files, random)
    places = random.integers(len(files[path]), size=random.integers(2, 9))
    files[path] = _flipped(files[path], places, random)


def _overwrite(files: dict[Path, bytes], random: np.random.Generator) -> None:
    path = _any(files, random)
    begin = int(random.integers(len(files[path])))
    end = min(len(files[path]), begin + int(random.integers(1, 65)))
    files[path] = files[path][:begin] + random.bytes(end - begin) + files[path][end:]


def _cut(files: dict[Path, bytes], random: np.random.Generator) -> None:
    path = _any(files, random)
    files[path] = files[path][: random.integers(len(files[path]))]


def _append(files: dict[Path, bytes], random: np.random.Generator) -> None:
    path = _any(files, random)
    files[path] += random.bytes(int(random.integers(1, 100)))


def _empty(files: dict[Path, bytes], random: np.random.Generator) -> None:
    path = _any(files, random)
    files[path] = bytes(len(files[path])) if random.integers(2) else b""


def _swap(files: dict[Path, bytes], random: np.random.Generator) -> None:
    one, other = (sorted(files)[number] for number in random.choice(len(files), 2, replace=False))
    files[one], files[other] = files[other], files[one]


def _replace(files: dict[Path, bytes], random: np.random.Generator) -> None:
    networks = [path for path in sorted(files) if len(path.parts) > 2]
    path = networks[random.integers(len(networks))]
    others = [other for other in networks if other.parts[:2] != path.parts[:2] and other.suffix == path.suffix]
    files[path] = files[others[random.integers(len(others))]]


def _splice(files: dict[Path, bytes], random: np.random.Generator) -> None:
    """Join the beginning of one file and the end of another, of one size where both have it."""
    path = _any(files, random)
    others = [other for other in sorted(files) if other != path and other.suffix == path.suffix] or sorted(files)
    other = files[others[random.integers(len(others))]]
    place = int(random.integers(len(files[path])))
    files[path] = files[path][:place] + other[place:]


def fresh(root: Path) -> dict[Path, bytes]:
    """Fill a cache in an empty folder, and return its files by their relative path."""
    with _cache_in(root), open_cache() as cache:
        for network, content in _CONTENTS.items():
            _fill(cache.network(network, f"Network {network[0]}"), content, range(len(_KEYS)), halves=True)
    return {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def _fill(network: NetworkCache, content: Content, missing: range | list[int], halves: bool = False) -> None:
    """Cache rows, head and speed, as a run does that did not find them."""
    for numbers in (missing[:12], missing[12:]) if halves else (missing,):
        if len(numbers):
            network.add([_KEYS[number] for number in numbers], content.rows[list(numbers)])
    network.save_head("head", content.arrays, content.value)
    network.save_seconds_per_image(content.seconds)


@contextmanager
def _cache_in(folder: Path) -> Iterator[None]:
    before = os.environ.get("KERASTUNE_CACHE")
    os.environ["KERASTUNE_CACHE"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["KERASTUNE_CACHE"]
        else:
            os.environ["KERASTUNE_CACHE"] = before


class WrongNumberError(Exception):
    """The cache returned what was never written."""


def _read(network: NetworkCache, content: Content) -> tuple[list[int], bool]:
    """Read a network; return the rows that are missing, and whether anything else is."""
    found = set()
    for positions, rows in network.find(_KEYS):
        for position, row in zip(positions, rows, strict=True):
            found.add(int(position))
            if row.dtype != np.float16 or row.tobytes() != content.rows[position].tobytes():
                raise WrongNumberError
    head, seconds = network.load_head("head"), network.seconds_per_image
    if head is not None and not _is_head(head, content):
        raise WrongNumberError
    if seconds not in (None, content.seconds):
        raise WrongNumberError
    return [number for number in range(len(_KEYS)) if number not in found], head is None or seconds is None


def _is_head(head: tuple[dict[str, np.ndarray], Any], content: Content) -> bool:
    arrays, value = head
    return (
        value == content.value
        and arrays.keys() == content.arrays.keys()
        and all(
            (array.dtype, array.shape) == (content.arrays[name].dtype, content.arrays[name].shape)
            and array.tobytes() == content.arrays[name].tobytes()
            for name, array in arrays.items()
        )
    )


def outcome(root: Path, files: dict[Path, bytes]) -> str:
    """Return what happens to whoever reads a cache with these files.

    Args:
        root: A folder that holds nothing else.
        files: Bytes by path relative to it.
    """
    for path in [path for path in root.rglob("*") if path.is_file()]:
        path.unlink()
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)

    def hang(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(_SECONDS_TO_HANG)
    try:
        with _cache_in(root):
            first = _read_and_add()
            second = _read_and_add()
        if second.lacking and not second.warned:
            return LOST
        return REFUSED if first.lacking or first.warned else RIGHT
    except WrongNumberError:
        return WRONG
    except TimeoutError:
        return HANG
    except Exception:
        return TRACEBACK
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@dataclass(frozen=True)
class _Pass:
    lacking: bool
    warned: bool


def _read_and_add() -> _Pass:
    """Read everything and add what is missing, as a run does."""
    lacking = False
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        with open_cache() as cache:
            for digest, content in _CONTENTS.items():
                network = cache.network(digest, f"Network {digest[0]}")
                missing, more = _read(network, content)
                if missing or more:
                    _fill(network, content, missing)
                    lacking = True
            cache.info()
    return _Pass(lacking, any(issubclass(one.category, CacheWarning) for one in given))


def survey(count: int, seed: int = 0) -> dict[str, collections.Counter[str]]:
    """Damage files, and count the outcomes by kind of damage.

    Args:
        count: Number of damaged caches, divided evenly among the kinds.
        seed: Random seed.
    """
    kinds = damages()
    counted: dict[str, collections.Counter[str]] = {kind: collections.Counter() for kind in kinds}
    with tempfile.TemporaryDirectory() as place:
        whole = fresh(Path(place) / "whole")
        for number in range(count):
            kind = list(kinds)[number % len(kinds)]
            files = dict(whole)
            kinds[kind](files, np.random.default_rng((seed, number)))
            counted[kind][outcome(Path(place) / "damaged", files)] += 1
    return counted


def main() -> None:
    """Damage all files and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    counted = survey(options.files, options.seed)
    rows = [{"damage": kind, **{name: found[name] for name in OUTCOMES}} for kind, found in counted.items()]
    command = f"python -m benchmarks.costs.cache_damage --files {options.files} --seed {options.seed}"
    results.replace("cache_damage", "outcomes", rows)
    results.replace("cache_damage", results.MADE, [measure.made(command)])
    print(pages.write_page("cache_damage"))


if __name__ == "__main__":
    main()
