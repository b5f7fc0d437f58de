"""Object stores, replaced by an in-memory file system for s3://."""

from typing import ClassVar

import fsspec
import numpy as np
import pandas as pd
import pytest
from etils.epath import gpath
from fsspec.implementations.memory import MemoryFileSystem

from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.data.sources.remote import is_remote, resolve
from kerastune_recipes.errors import DataError


class Bucket(MemoryFileSystem):
    """A bucket that counts the requests for files."""

    protocol: ClassVar = "s3"
    store: ClassVar = {}
    pseudo_dirs: ClassVar = [""]
    requested: ClassVar = []

    def _open(self, path, *args, **kwargs):
        Bucket.requested.append(path)
        return super()._open(path, *args, **kwargs)


@pytest.fixture
def upload(monkeypatch):
    """Return a function that copies a folder to a bucket."""
    monkeypatch.setenv("EPATH_USE_TF", "true")
    monkeypatch.delenv("EPATH_USE_TF")
    # etils caches the answer, maybe that of another test.
    gpath._is_tf_installed.cache_clear()
    fsspec.register_implementation("s3", Bucket, clobber=True)
    bucket = Bucket()

    def put(folder):
        bucket.put(str(folder), "s3://bucket/photos", recursive=True)
        Bucket.requested.clear()
        return "s3://bucket/photos"

    yield put
    gpath._is_tf_installed.cache_clear()
    bucket.store.clear()
    bucket.pseudo_dirs[:] = [""]
    fsspec.register_implementation("s3", "s3fs.S3FileSystem", clobber=True)


def same(one, other):
    assert one.class_names == other.class_names
    for split in ("train", "validation"):
        here, there = getattr(one, split), getattr(other, split)
        assert here.digests() == there.digests()
        assert here.labels.tolist() == there.labels.tolist()
        np.testing.assert_array_equal(here.sizes, there.sizes)
        for index in range(len(here)):
            np.testing.assert_array_equal(here.read(index), there.read(index))


def test_a_bucket_is_read_like_a_folder_and_each_image_once(tmp_path, fill, upload):
    fill(tmp_path, red=5, green=4)
    remote = open_dataset(upload(tmp_path))
    assert remote.source == "s3://bucket/photos"
    same(remote, open_dataset(tmp_path))
    assert sorted(remote.train.names) == sorted(open_dataset(tmp_path).train.names)
    assert len(Bucket.requested) == len(set(Bucket.requested)) == 9


def test_a_table_names_images_of_a_bucket(tmp_path, fill, upload):
    fill(tmp_path, red=3, green=3)
    names = [f"{colour}/{number}.png" for colour in ("red", "green") for number in range(3)]
    table = pd.DataFrame({"path": names, "label": [name.split("/")[0] for name in names]})
    table.to_csv(tmp_path / "photos.csv", index=False)
    local = open_dataset(tmp_path / "photos.csv")
    remote = upload(tmp_path)
    same(open_dataset(f"{remote}/photos.csv"), local)
    same(open_dataset(table.assign(path=[f"{remote}/{name}" for name in names])), local)


def test_problems_in_a_bucket_are_reported(tmp_path, fill, upload):
    fill(tmp_path, red=2, green=2)
    (tmp_path / "red" / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "red" / "1.png").replace(tmp_path / "lost.png")
    with pytest.raises(DataError) as caught:
        open_dataset(upload(tmp_path))
    assert any("images outside a class folder: lost.png" in problem for problem in caught.value.problems)
    assert any("red/torn.jpg: this image cannot be read" in problem for problem in caught.value.problems)


def test_images_that_cannot_be_fetched_are_named(tmp_path, fill, upload):
    fill(tmp_path, red=2, green=2)
    remote = upload(tmp_path)
    names = [f"{remote}/red/0.png", f"{remote}/red/away.png", f"{remote}/green/0.png", f"{remote}/green/1.png"]
    with pytest.raises(DataError, match="s3://bucket/photos/red/away.png: cannot be fetched"):
        open_dataset(pd.DataFrame({"path": names, "label": ["red", "red", "green", "green"]}))


def test_a_missing_bucket_is_named(upload):
    with pytest.raises(DataError, match="s3://bucket/photos: there is no such folder"):
        open_dataset("s3://bucket/photos")


def test_an_error_of_the_store_is_reported_with_a_remedy(tmp_path, fill, upload, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError("Access Denied.")

    remote = upload(fill(tmp_path, red=2, green=2))
    monkeypatch.setattr(Bucket, "ls", refuse)
    with pytest.raises(
        DataError,
        match="photos: cannot be read: Access Denied; check that you are signed in with permission to read it",
    ):
        open_dataset(remote)


def test_other_urls_are_refused():
    with pytest.raises(DataError, match="https://example.com/photos: https:// is not supported; give a local folder"):
        open_dataset("https://example.com/photos")


def test_local_paths_stay_local(tmp_path):
    assert resolve(str(tmp_path)) == tmp_path
    assert not is_remote(resolve("~/photos"))
    assert "~" not in str(resolve("~/photos"))
