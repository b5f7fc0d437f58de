"""The store on disk: what is found again, what two processes do to one another, and all that can be wrong with it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kerastune_recipes.errors import CacheWarning, RequestError
from kerastune_recipes.features import cache

KEYS = [bytes([number]) * cache.DIGEST_BYTES for number in range(6)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the store of this test lies."""
    monkeypatch.setenv("KERASTUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def rows(*numbers, dtype=np.float16):
    return np.array([[number, -number] for number in numbers], dtype)


def found(space, keys=KEYS):
    return {
        keys[position]: row.tolist()
        for where, part in space.find(keys)
        for position, row in zip(where, part, strict=True)
    }


def test_rows_are_found_again_by_their_keys(folder):
    with cache.open_cache() as store:
        store.network("net", "A network").add(KEYS[:3], rows(0, 1, 2))
        store.network("net", "A network").add(KEYS[3:5], rows(3, 4, dtype=np.float32))
    with cache.open_cache() as store:
        assert found(store.network("net", "A network"), KEYS[::-1]) == {
            key: [number, -number] for number, key in enumerate(KEYS[:5])
        }
        assert found(store.network("another", "Another")) == {}


def test_an_image_asked_for_twice_is_found_twice(folder):
    with cache.open_cache() as store:
        space = store.network("net", "A network")
        space.add(KEYS[:2], rows(0, 1))
        ((positions, _),) = space.find([KEYS[1], KEYS[0], KEYS[1]])
        assert sorted(positions) == [0, 1, 2]


def test_solved_heads_are_remembered(folder):
    with cache.open_cache() as store:
        space = store.network("net", "A network")
        assert space.load_head("head") is None
        space.save_head("head", {"kernel": rows(1)}, {"strength": 10.0})
        arrays, value = space.load_head("head")
    assert arrays["kernel"].tolist() == [[1, -1]]
    assert value == {"strength": 10.0}


def test_the_time_of_a_pass_is_remembered(folder):
    with cache.open_cache() as store:
        assert store.network("net", "A network").seconds_an_image is None
        store.network("net", "A network").measured(0.25)
    with cache.open_cache() as store:
        assert store.network("net", "A network").seconds_an_image == 0.25


def test_info_and_clear(folder):
    with cache.open_cache() as store:
        store.network("net", "A network").add(KEYS[:3], rows(0, 1, 2))
        (info,) = store.info()
        assert (info.about, info.rows) == ("A network", 3)
        assert info.size == sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
        store.clear()
        assert store.info() == []
    assert list(folder.iterdir()) == []


def test_over_the_limit_the_least_recently_used_goes(folder, monkeypatch):
    with cache.open_cache() as store:
        for name in ("first", "second", "third"):
            store.network(name, name).add(KEYS[:1], np.zeros((1, 1000), np.float32))
            (file,) = (folder / name).glob("*.safetensors")
            os.utime(file, (0, 0))
        found(store.network("first", "first"))  # the oldest is used again
        os.utime(file, (1, 1))
    monkeypatch.setenv("KERASTUNE_CACHE_LIMIT", "10 KiB")
    with cache.open_cache() as store:
        assert [info.rows for info in store.info()] == [1, 1, 1]
    with cache.open_cache() as store:
        assert [(info.about, info.rows) for info in store.info()] == [("first", 1), ("second", 0), ("third", 1)]


def test_a_store_that_is_not_to_be_kept_leaves_nothing(folder):
    with cache.open_cache(keep=False) as store:
        store.network("net", "A network").add(KEYS[:1], rows(0))
        assert found(store.network("net", "A network")) == {KEYS[0]: [0, 0]}
        passing = store.folder
    assert not passing.exists()
    assert not folder.exists()


def test_two_processes_at_once(folder):
    """Both write and read the same space at once; each finds all rows, none of them torn."""
    code = """
import sys, numpy as np
from kerastune_recipes import store as stores
keys = [bytes([number]) * cache.DIGEST_BYTES for number in range(100)]
with cache.open_cache() as store:
    space = store.network("net", "A network")
    for number, key in enumerate(keys):
        space.add([key], np.full((1, 500), number, np.float32))
        for positions, rows in space.find(keys[: number + 1]):
            assert (rows == np.asarray(positions)[:, None]).all()
"""
    processes = [subprocess.Popen([sys.executable, "-W", "error", "-c", code]) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    with cache.open_cache() as store:
        keys = [bytes([number]) * cache.DIGEST_BYTES for number in range(100)]
        assert len(found(store.network("net", "A network"), keys)) == 100


# What can be wrong


def works_all_the_same() -> bool:
    """Open a store that begins empty and finds what it was just told."""
    with cache.open_cache() as store:
        space = store.network("net", "A network")
        before = found(space)
        space.add(KEYS[:1], rows(0))
        return (before, found(space)) == ({}, {KEYS[0]: [0, 0]})


def shard(folder) -> Path:
    with cache.open_cache() as store:
        store.network("net", "A network").add(KEYS[:3], rows(0, 1, 2))
    (file,) = folder.rglob("*.safetensors")
    return file


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: b"",
        lambda content: b"no file of this kind at all",
    ],
)
def test_a_damaged_file_is_named_and_never_read(folder, damage):
    file = shard(folder)
    file.write_bytes(damage(file.read_bytes()))
    with cache.open_cache() as store:
        space = store.network("net", "A network")
        with pytest.warns(CacheWarning, match=f"{file}: this part of the cache is damaged; it is removed"):
            assert found(space) == {}
        assert found(space) == {}  # without a second warning


def test_a_half_written_file_is_not_looked_at(folder):
    file = shard(folder)
    content = file.read_bytes()
    file.with_suffix(".part").write_bytes(content[:100])
    with cache.open_cache() as store:
        assert len(found(store.network("net", "A network"))) == 3


def test_a_cache_of_another_version_is_left_alone(folder):
    file = shard(folder)
    (folder / "format").write_text("99")
    with pytest.warns(CacheWarning, match=f"{folder}: this cache was written by another version"):
        assert works_all_the_same()
    assert list(folder.rglob("*.safetensors")) == [file]


def test_a_folder_of_something_else_is_left_alone(folder):
    folder.mkdir()
    (folder / "thesis.tex").touch()
    with pytest.warns(CacheWarning, match="this folder is no cache, and it is not empty"):
        assert works_all_the_same()
    assert [file.name for file in folder.iterdir()] == ["thesis.tex"]


def test_a_place_where_nothing_can_be_written(folder):
    folder.write_text("a file where a folder should be")
    with pytest.warns(CacheWarning, match=f"{folder}: the cache cannot be used"):
        assert works_all_the_same()


def test_a_full_disk_is_told_of_once(folder, monkeypatch):
    def full(self, content):
        raise OSError(28, "No space left on device")

    with cache.open_cache() as store:
        monkeypatch.setattr(Path, "write_bytes", full)
        space = store.network("net", "A network")
        with pytest.warns(CacheWarning, match=r"nothing more can be kept in this cache \(No space left on device\)"):
            space.add(KEYS[:1], rows(0))
        space.add(KEYS[1:2], rows(1))
        assert found(space) == {}
    assert not list(folder.rglob("*.part"))


def test_a_limit_that_is_none(folder, monkeypatch):
    monkeypatch.setenv("KERASTUNE_CACHE_LIMIT", "plenty")
    with pytest.raises(RequestError, match='KERASTUNE_CACHE_LIMIT: write a size as "512 MiB" or "10 GiB"; received'):
        cache.open_cache().__enter__()


def test_runs_may_share_a_store_that_goes_with_them(folder):
    with cache.shared(keep=False):
        with cache.open_cache() as one:
            one.space("net", "A network").add(KEYS[:1], rows(7))
        with cache.open_cache() as other:
            assert found(other.space("net", "A network")) == {KEYS[0]: [7, -7]}
    assert not one.folder.exists()
    assert not folder.exists()
    with cache.shared(keep=True), cache.open_cache() as lasting:
        assert lasting.folder == folder
