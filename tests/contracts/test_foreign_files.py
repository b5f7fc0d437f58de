"""Nothing that is not ours is changed or removed: a run, interrupted, resumed and replaced among files of others."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from kerastune_recipes import Recipe
from kerastune_recipes.errors import OutputError
from kerastune_recipes.features.cache import existing_cache

RECIPE = Recipe.from_name(
    "small_similar",
    **{
        "backbone.name": "DemoNet",
        "backbone.weights": "demo",
        "backbone.image_size": 32,
        "phases.fine_tuning.fit.duration": "4 steps",
    },
)
# Names that a careless program takes for its own.
FOREIGN = (
    "format", "about.json", "model.safetensors", "old.part", ".labels-0123abcd.part.txt", "thesis/chapter 1.tex",
    "thesis/model.part", "huggingface/hub/models--a--b/snapshots/0/model.safetensors", "journal/phase_1.json",
    "checkpoints/epoch_01.keras", "0123456789abcdef0123456789abcdef/notes.txt", "solved/x.head", "lock", "request.json",
    "trials/001/report.json", "report.html", "labels.txt", "recipe.yaml", "kerastune-abc/features.npy",
)  # fmt: skip


def content(folder):
    """Return the bytes of all files of others, by path."""
    return {
        path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.read_bytes()[:7] == b"foreign"
    }


@pytest.fixture
def crowded(tmp_path, monkeypatch):
    """A folder full of files of others, which is the cache folder, the temporary folder, and holds data and runs."""
    for name in FOREIGN:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"foreign {name}")
        os.utime(file, (0, 0))  # the oldest go first
    (tmp_path / "link").symlink_to(tmp_path / "thesis")
    monkeypatch.setenv("KERASTUNE_CACHE", str(tmp_path))
    monkeypatch.setenv("KERASTUNE_CACHE_LIMIT", "1 KiB")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def interrupt(*_, **__):
    raise KeyboardInterrupt


def test_files_of_others_survive_everything(crowded, photos, monkeypatch):
    photos(crowded / "photos", ants=6, bees=6)
    before, listed = content(crowded), {path.name for path in crowded.iterdir()}
    pictures = {path: path.read_bytes() for path in (crowded / "photos").rglob("*.png")}
    options = {"out": crowded / "run", "verbose": False}
    with monkeypatch.context() as patched:
        patched.setattr("kerastune_recipes.training.fit.fit", interrupt)
        with pytest.raises(KeyboardInterrupt):
            RECIPE.run(crowded / "photos", **options)
    for name in ("notes.txt", "checkpoints/notes.txt", "checkpoints/fold_1/notes.txt"):
        (crowded / "run" / name).parent.mkdir(exist_ok=True)
        (crowded / "run" / name).write_text(f"foreign {name}")
    before |= content(crowded / "run")
    RECIPE.run(crowded / "photos", resume=True, **options)
    assert content(crowded) == before
    with pytest.raises(OutputError, match="checkpoints: this was not written by a run"):
        RECIPE.run(crowded / "photos", overwrite=True, **options)
    shutil.move(crowded / "run" / "checkpoints", crowded / "run" / "moved")
    before = content(crowded)
    RECIPE.run(crowded / "photos", overwrite=True, seed=1, **options)
    RECIPE.run(crowded / "photos", cache=False, verbose=False)
    existing_cache().clear()
    assert content(crowded) == before
    assert {path: path.read_bytes() for path in pictures} == pictures
    assert (crowded / "link").readlink() == crowded / "thesis"
    # TensorFlow keeps the code that it generates in the temporary folder until the process ends.
    left = {path.name for path in crowded.iterdir() if not path.name.startswith("__autograph_generated_file")} - listed
    assert left <= {"run", "kerastune-cache-2"}


def test_a_run_among_files_of_others_is_refused(crowded, photos):
    photos(crowded / "photos", ants=6, bees=6)
    before = content(crowded)
    for out in (crowded, crowded / "thesis", crowded / "photos" / "run"):
        for options in ({}, {"overwrite": True}, {"resume": True}):
            if out == crowded / "thesis" and "overwrite" in options:
                continue  # nothing there has a name of ours: a run may stand beside it
            with pytest.raises(OutputError, match=f"{Path(out).name}.*: "):
                RECIPE.run(crowded / "photos", out=out, verbose=False, **options)
    assert content(crowded) == before
