"""The cache on disk: what is found again, two processes at the same time, and everything that can go wrong."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kerastune_recipes.errors import CacheWarning, RequestError
from kerastune_recipes.features.cache import DIGEST_BYTES, open_cache, share_cache

KEYS = [bytes([number]) * DIGEST_BYTES for number in range(6)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of the cache; it does not exist yet."""
    monkeypatch.setenv("KERASTUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def rows(*numbers, dtype=np.float16):
    return np.array([[number, -number] for number in numbers], dtype)


def found(network, keys=KEYS):
    """Return the cached rows by key."""
    return {
        keys[position]: row.tolist()
        for positions, part in network.find(keys)
        for position, row in zip(positions, part, strict=True)
    }


def test_rows_are_found_again_by_their_keys(folder):
    with open_cache() as cache:
        cache.network("net", "A network").add(KEYS[:3], rows(0, 1, 2))
        cache.network("net", "A network").add(KEYS[3:5], rows(3, 4, dtype=np.float32))
    with open_cache() as cache:
        assert found(cache.network("net", "A network"), KEYS[::-1]) == {
            key: [number, -number] for number, key in enumerate(KEYS[:5])
        }
        assert found(cache.network("another", "Another")) == {}


def test_a_key_given_twice_is_found_twice(folder):
    with open_cache() as cache:
        network = cache.network("net", "A network")
        network.add(KEYS[:2], rows(0, 1))
        ((positions, _),) = network.find([KEYS[1], KEYS[0], KEYS[1]])
        assert sorted(positions) == [0, 1, 2]


def test_a_saved_head_is_loaded_again(folder):
    with open_cache() as cache:
        network = cache.network("net", "A network")
        assert network.load_head("head") is None
        network.save_head("head", {"kernel": rows(1)}, {"strength": 10.0})
        arrays, value = network.load_head("head")
    assert arrays["kernel"].tolist() == [[1, -1]]
    assert value == {"strength": 10.0}


def test_the_seconds_per_image_are_saved(folder):
    with open_cache() as cache:
        assert cache.network("net", "A network").seconds_per_image is None
        cache.network("net", "A network").save_seconds_per_image(0.25)
    with open_cache() as cache:
        assert cache.network("net", "A network").seconds_per_image == 0.25


def test_info_and_clear(folder):
    with open_cache() as cache:
        cache.network("net", "A network").add(KEYS[:3], rows(0, 1, 2))
        (info,) = cache.info()
        assert (info.about, info.rows) == ("A network", 3)
        assert info.size == sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
        cache.clear()
        assert cache.info() == []
    assert list(folder.iterdir()) == []


def test_over_the_limit_the_least_recently_used_file_is_removed(folder, monkeypatch):
    with open_cache() as cache:
        for name in ("first", "second", "third"):
            cache.network(name, name).add(KEYS[:1], np.zeros((1, 1000), np.float32))
            (file,) = (folder / name).glob("*.safetensors")
            os.utime(file, (0, 0))
        found(cache.network("first", "first"))  # the oldest is used again
        os.utime(file, (1, 1))
    monkeypatch.setenv("KERASTUNE_CACHE_LIMIT", "10 KiB")
    with open_cache() as cache:
        assert [info.rows for info in cache.info()] == [1, 1, 1]
    with open_cache() as cache:
        assert [(info.about, info.rows) for info in cache.info()] == [("first", 1), ("second", 0), ("third", 1)]


def test_a_temporary_cache_leaves_nothing(folder):
    with open_cache(keep=False) as cache:
        cache.network("net", "A network").add(KEYS[:1], rows(0))
        assert found(cache.network("net", "A network")) == {KEYS[0]: [0, 0]}
        temporary = cache.folder
    assert not temporary.exists()
    assert not folder.exists()


def test_two_processes_use_one_cache_at_the_same_time(folder):
    """Both write and read the cache of one network; each finds all rows, and all of them are whole."""
    code = """
import sys, numpy as np
from kerastune_recipes.features.cache import DIGEST_BYTES, open_cache
keys = [bytes([number]) * DIGEST_BYTES for number in range(100)]
with open_cache() as cache:
    network = cache.network("net", "A network")
    for number, key in enumerate(keys):
        network.add([key], np.full((1, 500), number, np.float32))
        for positions, rows in network.find(keys[: number + 1]):
            assert (rows == np.asarray(positions)[:, None]).all()
"""
    processes = [subprocess.Popen([sys.executable, "-W", "error", "-c", code]) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    with open_cache() as cache:
        keys = [bytes([number]) * DIGEST_BYTES for number in range(100)]
        assert len(found(cache.network("net", "A network"), keys)) == 100


# What can go wrong


def works_without_it() -> bool:
    """Return whether the cache that is opened starts empty and finds what was just added."""
    with open_cache() as cache:
        network = cache.network("net", "A network")
        before = found(network)
        network.add(KEYS[:1], rows(0))
        return (before, found(network)) == ({}, {KEYS[0]: [0, 0]})


def one_file(folder) -> Path:
    with open_cache() as cache:
        cache.network("net", "A network").add(KEYS[:3], rows(0, 1, 2))
    (file,) = folder.rglob("*.safetensors")
    return file


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: b"",
        lambda content: b"not a file of this format",
    ],
)
def test_a_damaged_file_is_named_removed_and_never_used(folder, damage):
    file = one_file(folder)
    file.write_bytes(damage(file.read_bytes()))
    with open_cache() as cache:
        network = cache.network("net", "A network")
        with pytest.warns(
            CacheWarning, match=f"{file}: this file of the cache is damaged and is removed; its content is computed"
        ):
            assert found(network) == {}
        assert found(network) == {}  # without a second warning


def test_a_partial_file_is_not_read(folder):
    file = one_file(folder)
    content = file.read_bytes()
    file.with_suffix(".part").write_bytes(content[:100])
    with open_cache() as cache:
        assert len(found(cache.network("net", "A network"))) == 3


def test_a_cache_of_another_version_is_not_touched(folder):
    file = one_file(folder)
    (folder / "format").write_text("99")
    with pytest.warns(CacheWarning, match=f"{folder}: this cache was written by another version"):
        assert works_without_it()
    assert list(folder.rglob("*.safetensors")) == [file]


def test_a_folder_with_other_content_is_not_touched(folder):
    folder.mkdir()
    (folder / "thesis.tex").touch()
    with pytest.warns(
        CacheWarning, match=f"{folder}: not empty and not a kerastune cache; point KERASTUNE_CACHE elsewhere"
    ):
        assert works_without_it()
    assert [file.name for file in folder.iterdir()] == ["thesis.tex"]


def test_a_folder_that_cannot_be_created(folder):
    folder.write_text("a file where a folder should be")
    with pytest.warns(CacheWarning, match=f"{folder}: the cache cannot be used"):
        assert works_without_it()


def test_a_full_disk_is_reported_once(folder, monkeypatch):
    def full(self, content):
        raise OSError(28, "No space left on device")

    with open_cache() as cache:
        monkeypatch.setattr(Path, "write_bytes", full)
        network = cache.network("net", "A network")
        with pytest.warns(
            CacheWarning, match=r"this cache cannot be written \(No space left on device\); free disk space"
        ):
            network.add(KEYS[:1], rows(0))
        network.add(KEYS[1:2], rows(1))
        assert found(network) == {}
    assert not list(folder.rglob("*.part"))


def test_a_limit_that_is_not_a_size(folder, monkeypatch):
    monkeypatch.setenv("KERASTUNE_CACHE_LIMIT", "plenty")
    with pytest.raises(RequestError, match='KERASTUNE_CACHE_LIMIT: write a size as "512 MiB" or "10 GiB"; received'):
        open_cache().__enter__()


def test_runs_may_share_a_temporary_cache(folder):
    with share_cache(keep=False):
        with open_cache() as one:
            one.network("net", "A network").add(KEYS[:1], rows(7))
        with open_cache() as other:
            assert found(other.network("net", "A network")) == {KEYS[0]: [7, -7]}
    assert not one.folder.exists()
    assert not folder.exists()
    with share_cache(keep=True), open_cache() as permanent:
        assert permanent.folder == folder
