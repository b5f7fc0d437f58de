"""The cache on disk: what is found again, two processes at the same time, and everything that can go wrong."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from kerastune_recipes.errors import CacheWarning, OutputError, RequestError
from kerastune_recipes.features.cache import DIGEST_BYTES, FOLDER, existing_cache, open_cache, share_cache

KEYS = [bytes([number]) * DIGEST_BYTES for number in range(6)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder that has the cache in it; it does not exist yet."""
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
        assert info.size == one_file(folder, "*.rows").stat().st_size
        cache.clear()
        assert cache.info() == []
    assert list(folder.iterdir()) == []


def test_over_the_limit_the_least_recently_used_file_is_removed(folder, monkeypatch):
    with open_cache() as cache:
        for age, name in enumerate(("first", "second", "third")):
            network = cache.network(name, name)
            network.add(KEYS[:1], np.zeros((1, 1000), np.float32))
            os.utime(one_file(network.folder, "*.rows"), (age, age))
        found(cache.network("first", "first"))  # the oldest is used again
    monkeypatch.setenv("KERASTUNE_CACHE_LIMIT", "10 KiB")
    with open_cache() as cache:
        assert [info.rows for info in cache.info()] == [1, 1, 1]
    with open_cache() as cache:
        assert {info.about: info.rows for info in cache.info()} == {"first": 1, "second": 0, "third": 1}


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


def test_writers_are_killed_while_rows_are_removed(folder, monkeypatch):
    """What the survivors and a later run read is right, whatever was cut off, and without a warning."""
    monkeypatch.setenv("KERASTUNE_CACHE_LIMIT", "100 KiB")
    code = """
import sys, numpy as np
from kerastune_recipes.features.cache import DIGEST_BYTES, limit, open_cache
keys = [bytes([number]) * DIGEST_BYTES for number in range(100)]
for number in range(int(sys.argv[1]), 10_000):
    with open_cache() as cache:
        network = cache.network("net", "A network")
        network.add(keys[number % 100 : number % 100 + 1], np.full((1, 2000), number % 100, np.float32))
        network.save_head("head", {"kernel": np.full(1000, number, np.float32)}, number)
        network.save_seconds_per_image(1 + number)
        for positions, rows in network.find(keys):
            assert (rows == np.asarray(positions)[:, None]).all()
        arrays, value = network.load_head("head") or ({"kernel": np.zeros(1)}, 0)
        assert (arrays["kernel"] == value).all()
"""
    writers = [subprocess.Popen([sys.executable, "-W", "error", "-c", code, str(10 * start)]) for start in range(3)]
    with open_cache() as cache:
        while len(cache.info()) == 0 or cache.info()[0].size < 80_000:
            assert [writer.poll() for writer in writers] == [None] * 3
            time.sleep(0.01)
    for _ in range(3):
        time.sleep(0.2)
        killed = writers.pop()
        assert killed.poll() is None, "it found a wrong number or was warned"
        killed.kill()
        killed.wait()
    with warnings.catch_warnings(), open_cache() as cache:
        warnings.simplefilter("error")
        network = cache.network("net", "A network")
        keys = [bytes([number]) * DIGEST_BYTES for number in range(100)]
        for key, row in found(network, keys).items():
            assert row == [key[0]] * 2000
        arrays, value = network.load_head("head")
        assert (arrays["kernel"] == value).all()


# What is not ours

DIGITS = "0123456789abcdef" * 2
FOREIGN = (
    "thesis/chapter 1.tex", "thesis/figures/plot.part", "film.mkv.part", f"{DIGITS}.part", "solved.txt",
    "models--timm--resnet/blobs/1234", "models--timm--resnet/snapshots/1/model.safetensors", "model.safetensors",
    f"{DIGITS}.safetensors", f"{DIGITS}.rows.bak", f"{DIGITS}0.rows", f"{DIGITS.upper()}.rows", f".{DIGITS}.part.rows",
    "format/readme.txt", "about.jsonl", ".about-1.part.json", "CACHEDIR.TAG.bak", f"{DIGITS}/notes.txt",
    f"{DIGITS}/{DIGITS}.safetensors", f"{DIGITS}/solved/{DIGITS}.json", f"{DIGITS.upper()}/{DIGITS}.rows",
    f"{'1' * 32}.rows/a folder", f"{'2' * 32}.head/a folder", f".{'3' * 32}-12345678.part.rows/a folder",
    f"{FOLDER}.bak/{DIGITS}/{DIGITS}.rows", f"kerastune-cache/{DIGITS}/about.json",
)  # fmt: skip
# Named like parts of a cache; only within a cache would they be ours.
LIKE_OURS = (
    "about.json", "CACHEDIR.TAG", f"{DIGITS}.rows", f"{DIGITS}.head", f".{DIGITS}-12345678.part.rows",
    f"{DIGITS}/about.json", f"{DIGITS}/{DIGITS}.rows", f"{DIGITS}/solved/{DIGITS}.head",
)  # fmt: skip


def put(folder: Path, names) -> None:
    """Write files that are precious and old."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"precious: {name}")
        os.utime(folder / name, (0, 0))


def link(folder: Path, outside: Path) -> None:
    """Put links into a folder, with names of ours and with others."""
    for name in ("a" * 32, "link to a folder"):
        (folder / name).symlink_to(outside, target_is_directory=True)
    for name in (f"{'b' * 32}.rows", f"{'c' * 32}.head", f".{'d' * 32}-12345678.part.rows", "link to a file"):
        (folder / name).symlink_to(outside / f"{DIGITS}.rows")
        os.utime(folder / name, (0, 0), follow_symlinks=False)


def everything(folder: Path) -> dict[Path, object]:
    """Return the bytes of every file, the target of every link, and None for every folder, by path."""
    found: dict[Path, object] = {}
    for place, folders, files in os.walk(folder):
        for path in (Path(place) / name for name in [*folders, *files]):
            found[path] = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
    return found


def test_nothing_foreign_is_ever_removed(folder, tmp_path, monkeypatch):
    """Around the cache, inside it, and inside the folders of its networks."""
    outside = tmp_path / "outside"
    put(outside, [*FOREIGN, *LIKE_OURS])
    put(folder, [*FOREIGN, *LIKE_OURS])
    link(folder, outside)
    before = everything(tmp_path).keys()
    with open_cache() as cache:
        network = cache.network("net", "A network")
        network.add(KEYS[:3], rows(0, 1, 2))
        network.save_head("head", {"kernel": rows(1)}, 1)
    own = everything(tmp_path).keys() - before
    for inside in (network.folder.parent, network.folder, network.folder / "solved"):
        put(inside, FOREIGN)
        link(inside, outside)
    foreign = {path: content for path, content in everything(tmp_path).items() if path not in own}
    monkeypatch.setenv("KERASTUNE_CACHE_LIMIT", "0 B")
    with open_cache() as cache:
        network.add(KEYS[3:], rows(3, 4, 5))
        network.save_head("another", {"kernel": rows(1)}, 1)
        assert len(found(network)) == 6
    assert found(network) == {}
    existing_cache().clear()
    after = everything(tmp_path)
    assert {path: after.get(path) for path in foreign} == foreign
    # Of ours only the folders are left that have something foreign in them.
    assert after.keys() - foreign.keys() == {folder / FOLDER, network.folder, network.folder / "solved"}


def read_and_write(rows_are_there: bool) -> None:
    """Use a cache whose head cannot be read, and its row and speed perhaps neither."""
    with open_cache() as cache:
        network = cache.network("net", "A network")
        assert network.load_head("head") is None
        assert network.seconds_per_image == (0.25 if rows_are_there else None)
        assert len(found(network)) == rows_are_there
        network.save_head("head", {"kernel": rows(8)}, 8)
        cache.shrink(0)


@pytest.mark.parametrize("level", ["the cache", "a network", "its solved heads"])
def test_a_link_to_a_folder_is_not_followed(folder, tmp_path, level):
    """It leads to what may be another cache, or anything; nothing is read, written or removed there."""
    with open_cache() as cache:
        network = cache.network("net", "A network")
        network.add(KEYS[:1], rows(7))
        network.save_head("head", {"kernel": rows(7)}, 7)
        network.save_seconds_per_image(0.25)
    place = {
        "the cache": network.folder.parent,
        "a network": network.folder,
        "its solved heads": network.folder / "solved",
    }
    place[level].rename(tmp_path / "outside")
    place[level].symlink_to(tmp_path / "outside", target_is_directory=True)
    before = everything(tmp_path / "outside")
    with pytest.warns(CacheWarning, match="is a link"):
        read_and_write(level == "its solved heads")
    existing_cache().clear()
    assert everything(tmp_path / "outside") == before
    assert place[level].is_symlink()


def test_what_is_no_plain_file_is_not_opened(folder, tmp_path):
    """A pipe would keep whoever opens it waiting for ever."""
    file = one_rows_file(folder)
    for name in ("about.json", f"{'1' * 32}.rows"):
        file.with_name(name).unlink(missing_ok=True)
        os.mkfifo(file.with_name(name))
    file.with_name(f"{'2' * 32}.rows").mkdir()
    with open_cache() as cache:
        network = cache.network("net", "A network")
        assert len(found(network)) == 3
        assert network.seconds_per_image is None
        assert [(info.about, info.rows) for info in cache.info()] == [(file.parent.name, 3)]


def test_a_link_in_the_place_of_a_file_is_not_replaced(folder, tmp_path):
    about = one_rows_file(folder).with_name("about.json")
    about.rename(tmp_path / "about.json")
    about.symlink_to(tmp_path / "about.json")
    with open_cache() as cache, pytest.warns(CacheWarning, match=r"cannot be written \(.*/about.json is a link\)"):
        cache.network("net", "A network").save_seconds_per_image(0.5)
    assert about.is_symlink()


def test_the_cache_of_an_earlier_version_is_neither_used_nor_touched(folder):
    put(folder, [f"{DIGITS}/about.json", f"{DIGITS}/{DIGITS}.safetensors"])
    (folder / "format").write_text("1")
    before = everything(folder)
    with open_cache() as cache:
        assert cache.info() == []
    existing_cache().clear()
    assert everything(folder) == before


# What can go wrong


def works_without_it() -> bool:
    """Return whether the cache that is opened starts empty and finds what was just added."""
    with open_cache() as cache:
        network = cache.network("net", "A network")
        before = found(network)
        network.add(KEYS[:1], rows(0))
        return (before, found(network)) == ({}, {KEYS[0]: [0, 0]})


def one_file(folder: Path, pattern: str) -> Path:
    (file,) = folder.rglob(pattern)
    return file


def one_rows_file(folder: Path) -> Path:
    """Cache three rows."""
    with open_cache() as cache:
        cache.network("net", "A network").add(KEYS[:3], rows(0, 1, 2))
    return one_file(folder, "*.rows")


def one_head_file(folder: Path) -> Path:
    """Cache a head."""
    with open_cache() as cache:
        cache.network("net", "A network").save_head("head", {"kernel": rows(7)}, {"strength": 10.0})
    return one_file(folder, "*.head")


DAMAGES = [
    lambda content: content[: len(content) // 2],
    lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    lambda content: content.replace(b"value", b"valve"),
    lambda content: content + b"more",
    lambda content: bytes(len(content)),
    lambda content: b"",
    lambda content: b"not a file of this format",
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_rows_are_named_removed_and_never_used(folder, damage):
    file = one_rows_file(folder)
    file.write_bytes(damage(file.read_bytes()))
    with open_cache() as cache:
        network = cache.network("net", "A network")
        with pytest.warns(
            CacheWarning, match=f"{file}: this file of the cache is damaged and is removed; its content is computed"
        ):
            assert found(network) == {}
        assert found(network) == {}  # without a second warning
    assert not file.exists()


@pytest.mark.parametrize("damage", [*DAMAGES, lambda content: content.replace(b"10.0", b"20.0")])
def test_a_damaged_head_is_named_removed_and_never_used(folder, damage):
    file = one_head_file(folder)
    file.write_bytes(damage(file.read_bytes()))
    with open_cache() as cache:
        network = cache.network("net", "A network")
        with pytest.warns(
            CacheWarning, match=f"{file}: this file of the cache is damaged and is removed; its content is computed"
        ):
            assert network.load_head("head") is None
    assert not file.exists()


def test_rows_of_another_network_are_refused(folder):
    with open_cache() as cache:
        for number, name in enumerate(("net", "another")):
            cache.network(name, name).add(KEYS[:1], rows(number))
        network, another = cache.network("net", "net"), cache.network("another", "another")
        one_file(another.folder, "*.rows").replace(one_file(network.folder, "*.rows"))
        with pytest.warns(CacheWarning, match="is damaged and is removed"):
            assert found(network) == {}


def test_hundreds_of_damages_of_every_kind(monkeypatch):
    """The script has counted thousands; its wrong numbers, tracebacks and hangs must stay none."""
    from benchmarks.costs import cache_damage

    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # a power cut is not what is tested, and it takes long
    outcomes = cache_damage.survey(20 * len(cache_damage.damages()), seed=1)
    assert set().union(*outcomes.values()) == {"refused", "right"}
    assert all(counted["refused"] for counted in outcomes.values())


def test_a_partial_file_is_not_read_and_is_removed_when_old(folder):
    file = one_rows_file(folder)
    old, new = (file.with_name(f".{'1' * 32}-{end}.part.rows") for end in ("00000000", "11111111"))
    for partial in (old, new):
        partial.write_bytes(file.read_bytes()[:100])
    os.utime(old, (0, 0))
    with open_cache() as cache:
        assert len(found(cache.network("net", "A network"))) == 3
    assert (old.exists(), new.exists()) == (False, True)
    existing_cache().clear()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("torn", [None, lambda mark: b"", lambda mark: mark[:50], lambda mark: mark[:50] + bytes(20)])
def test_a_missing_or_torn_mark_is_written_again(folder, torn):
    mark = one_rows_file(folder).parents[1] / "CACHEDIR.TAG"
    whole = mark.read_bytes()
    if torn:
        mark.write_bytes(torn(whole))
    else:
        mark.unlink()
    with open_cache() as cache:
        assert len(found(cache.network("net", "A network"))) == 3
    assert mark.read_bytes() == whole


@pytest.mark.parametrize("change", [lambda mark: mark.write_text("Mine!"), lambda mark: (mark.unlink(), mark.mkdir())])
def test_a_mark_that_is_not_ours_is_not_touched(folder, change):
    mark = one_rows_file(folder).parents[1] / "CACHEDIR.TAG"
    change(mark)
    before = everything(folder)
    with pytest.warns(CacheWarning, match=f"{folder}: the cache cannot be used \\(.*CACHEDIR.TAG is not"):
        assert works_without_it()
    assert everything(folder) == before


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"\xff\xfe", b"[]", b"7", b"null", b'"text"', b"{}", b"[" * 100_000, bytes(100),
        *(b'{"about": "A network", "seconds_per_image": %s}' % value for value in (
            b'"0.25"', b"[0.25]", b"{}", b"true", b"NaN", b"Infinity", b"-1", b"0", b"1e400", b"9" * 5000, b"0.5"
        )),
        b'{"about": ["a list"], "seconds_per_image": 0.25, "checksum": "00000000"}',
    ],
)  # fmt: skip
def test_a_damaged_description_is_measured_again(folder, content):
    with open_cache() as cache:
        network = cache.network("net", "A network")
        network.save_seconds_per_image(0.25)
        about = one_file(folder, "about.json")
        about.write_bytes(content)
        assert network.seconds_per_image is None
        assert [info.about for info in cache.info()] == [network.folder.name]
        network.save_seconds_per_image(0.5)
        assert network.seconds_per_image == 0.5
        assert [info.about for info in cache.info()] == ["A network"]


def test_every_byte_of_a_description_counts(folder):
    with open_cache() as cache:
        network = cache.network("net", "A network")
        network.save_seconds_per_image(0.25)
        about = one_file(folder, "about.json")
        whole = about.read_bytes()
        for place in range(len(whole)):
            about.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            assert network.seconds_per_image in (None, 0.25)  # 0.25 where a space became something like a space


def test_a_folder_with_other_content_can_have_the_cache_in_it(folder):
    put(folder, ["thesis.tex"])
    assert works_without_it()
    assert sorted(path.name for path in folder.iterdir()) == [FOLDER, "thesis.tex"]


def test_a_folder_that_cannot_be_created(folder):
    folder.write_text("a file where a folder should be")
    with pytest.warns(CacheWarning, match=f"{folder}: the cache cannot be used"):
        assert works_without_it()
    assert existing_cache().info() == []
    existing_cache().clear()
    assert folder.read_text() == "a file where a folder should be"


def test_a_full_disk_is_reported_once(folder, monkeypatch):
    def full(self, content):
        raise OSError(28, "No space left on device")

    with open_cache() as cache:
        network = cache.network("net", "A network")
        network.add(KEYS[:1], rows(0))
        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.warns(
            CacheWarning, match=r"this cache cannot be written \(No space left on device\); free disk space"
        ):
            network.add(KEYS[1:2], rows(1))
        network.add(KEYS[2:3], rows(2))
        network.save_seconds_per_image(0.25)
        assert list(found(network)) == KEYS[:1]
    assert not list(folder.rglob("*.part*"))


@pytest.mark.filterwarnings("ignore::kerastune_recipes.errors.CacheWarning")
def test_no_room_for_any_cache(folder, monkeypatch):
    """Neither for the permanent one nor for a temporary one."""

    def full(self, *_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with pytest.warns(CacheWarning, match=f"{folder}: the cache cannot be used \\(No space left"):
        assert not works_without_it()
    for keep in (True, False):
        with pytest.warns(CacheWarning, match=r"The temporary cache cannot be made \(No space left on device\)"):
            use_nothing(keep)
    with pytest.warns(CacheWarning), share_cache(keep=False):
        use_nothing(keep=True)


def use_nothing(keep: bool) -> None:
    """Use a cache that finds and keeps nothing."""
    with open_cache(keep) as cache:
        network = cache.network("net", "A network")
        network.add(KEYS[:1], rows(0))
        network.save_head("head", {"kernel": rows(1)}, 1)
        network.save_seconds_per_image(0.25)
        assert (found(network), network.load_head("head"), network.seconds_per_image) == ({}, None, None)
        assert cache.info() == []


def test_a_folder_that_vanishes_during_a_run(folder):
    """As of a network drive; it is not made again, since the disk below it is no place for the cache."""
    with open_cache() as cache:
        network = cache.network("net", "A network")
        network.add(KEYS[:1], rows(0))
        shutil.rmtree(folder)
        assert found(network) == {}
        assert network.seconds_per_image is None
        with pytest.warns(CacheWarning, match=r"this cache cannot be written \(No such file or directory\)"):
            network.add(KEYS[:1], rows(0))
        network.save_seconds_per_image(0.25)
        assert cache.info() == []
    assert not folder.exists()


def test_a_cache_that_is_cleared_during_a_run_is_filled_again(folder):
    with open_cache() as cache:
        network = cache.network("net", "A network")
        network.add(KEYS[:1], rows(0))
        existing_cache().clear()
        assert list(folder.iterdir()) == []
        network.add(KEYS[1:2], rows(1))
        assert list(found(network)) == KEYS[1:2]
    assert [info.rows for info in existing_cache().info()] == [1]


@pytest.fixture
def as_a_user(monkeypatch):
    """A folder for the cache of someone who has no rights but his own, as root has them all."""
    with tempfile.TemporaryDirectory() as place:
        monkeypatch.setenv("KERASTUNE_CACHE", f"{place}/cache")
        os.chmod(place, 0o777)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            yield Path(place) / "cache"
        finally:
            if root:
                os.seteuid(0)
            subprocess.run(["chmod", "-R", "u+rwX", place], check=True)


UNUSABLE, UNREADABLE = r"the cache cannot be used \(Permission", r"this part of the cache cannot be read \(Permission"
UNWRITABLE = r"this cache cannot be written \(Permission"


@pytest.mark.parametrize(
    ("part", "mode", "sentences"),
    [
        ("around the cache", 0o000, [UNUSABLE]),
        ("around the cache", 0o444, [UNUSABLE]),
        ("around the cache", 0o555, []),
        ("the cache", 0o000, [UNUSABLE]),
        ("the cache", 0o444, [UNUSABLE]),
        ("the cache", 0o333, []),
        ("the cache", 0o555, []),
        ("a network", 0o000, [UNREADABLE, UNWRITABLE]),
        ("a network", 0o444, [UNREADABLE, UNWRITABLE]),
        ("a network", 0o333, [UNREADABLE]),
        ("a network", 0o555, [UNWRITABLE]),
        ("a file", 0o000, [UNREADABLE]),
        ("a file", 0o444, []),
    ],
)
def test_what_may_not_be_read_or_written_costs_a_sentence(as_a_user, part, mode, sentences):
    file = one_rows_file(as_a_user)
    path = {"around the cache": as_a_user, "the cache": file.parents[1], "a network": file.parent, "a file": file}[part]
    path.chmod(mode)
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        with open_cache() as cache:
            network = cache.network("net", "A network")
            for _ in range(2):
                assert all(row == [key[0], -key[0]] for key, row in found(network).items())
                network.load_head("head")
                network.save_head("head", {"kernel": rows(1)}, 1)
                network.save_seconds_per_image(0.25)
                network.add(KEYS[3:4], rows(3))
    assert [one.category for one in given] == [CacheWarning] * len(sentences)
    for one, sentence in zip(given, sentences, strict=True):
        assert re.search(sentence, str(one.message))


@pytest.mark.parametrize("part", ["around the cache", "the cache", "a network"])
def test_what_may_not_be_read_cannot_be_shown_or_cleared(as_a_user, part):
    file = one_rows_file(as_a_user)
    path = {"around the cache": as_a_user, "the cache": file.parents[1], "a network": file.parent}[part]
    path.chmod(0o000)
    with pytest.raises(OutputError, match=r"the cache cannot be cleared: Permission denied\."):
        existing_cache().clear()
    if part == "a network":
        assert [info.rows for info in existing_cache().info()] == [0]
    else:
        with pytest.raises(OutputError, match=r"the cache cannot be read: Permission denied\."):
            existing_cache().info()


def test_an_unreadable_file_is_kept_and_named_once(folder, monkeypatch):
    file = one_rows_file(folder)
    with open_cache() as cache:
        network = cache.network("net", "A network")
        network.add(KEYS[3:4], rows(3))

        def denied(path, place):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("kerastune_recipes.features.sealed_files.opened", denied)
        with pytest.warns(CacheWarning, match=r"this part of the cache cannot be read \(Permission denied\)") as given:
            assert found(network) == {}
        assert len(given) == 1
    assert file.exists()


def test_a_limit_that_is_not_a_size(folder, monkeypatch):
    monkeypatch.setenv("KERASTUNE_CACHE_LIMIT", "plenty")
    with pytest.raises(RequestError, match='KERASTUNE_CACHE_LIMIT: write a size as "512 MiB" or "10 GiB"; received'):
        open_cache().__enter__()


# Temporary caches


def test_runs_may_share_a_temporary_cache(folder):
    with share_cache(keep=False):
        with open_cache() as one:
            one.network("net", "A network").add(KEYS[:1], rows(7))
        with open_cache() as other:
            assert found(other.network("net", "A network")) == {KEYS[0]: [7, -7]}
    assert not one.folder.parent.exists()
    assert not folder.exists()
    with share_cache(keep=True), open_cache() as permanent:
        assert permanent.folder == folder / FOLDER


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_a_temporary_cache_is_removed_whatever_ends_the_run(tmp_path, monkeypatch, error):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for shared in (False, True):
        with pytest.raises(error):
            end_in_a_temporary_cache(shared, error)
        assert list(tmp_path.iterdir()) == []


def end_in_a_temporary_cache(shared: bool, error: type[BaseException]) -> None:
    with share_cache(keep=not shared), open_cache(keep=shared) as cache:
        cache.network("net", "A network").add(KEYS[:1], rows(0))
        assert cache.folder.is_relative_to(tempfile.gettempdir())
        raise error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_temporary_cache_is_removed_after_a_signal(tmp_path, number):
    """SIGTERM too, where a handler raises."""
    code = """
import signal, sys, time
from kerastune_recipes.features.cache import open_cache, share_cache
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
with share_cache(keep=False), open_cache() as cache, open_cache(keep=False) as other:
    other.network("net", "A network").save_seconds_per_image(0.25)
    print("ready", flush=True)
    time.sleep(60)
"""
    run = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert run.stdout.readline() == b"ready\n"
    assert len(list(tmp_path.iterdir())) == 2
    run.send_signal(number)
    run.communicate()
    assert run.returncode != 0
    assert list(tmp_path.iterdir()) == []
