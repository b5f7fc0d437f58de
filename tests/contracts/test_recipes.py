"""The contract of every shipped recipe, found recursively: it plans, runs, saves, loads without us, predicts."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from kerastune_recipes import Recipe
from kerastune_recipes.evaluation import saved_model
from kerastune_recipes.evaluation.predict import evaluate
from kerastune_recipes.planning.plan import Plan
from kerastune_recipes.spec import catalog

CLASSES = ("plain", "rows", "columns")

# What a recipe needs besides images, where it needs anything.
NEEDS = {
    "reuse_head": {
        "backbone.weights": "demo",
        "phases.feature_extraction.solve.pretrained_classes": {"rows": "E", "columns": ["H", "N"]},
    }
}

# Loads the models of all run folders and predicts, where the package cannot be imported.
ELSEWHERE = """
import sys; sys.modules["kerastune_recipes"] = None
import keras, numpy as np
from pathlib import Path
for folder in Path().iterdir():
    model = keras.saving.load_model(folder / "model.keras")
    np.save(folder / "elsewhere.npy", model.predict_on_batch(np.load(folder / "images.npy")))
"""


def pictures(count: int, size: int, seed: int):
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = random.integers(0, 100, (count, size, size, 3))
    images[labels == 1, ::4] += 150
    images[labels == 2, :, ::4] += 150
    return images.astype(np.uint8), np.array(CLASSES)[labels]


def short(name: str, **changes) -> Recipe:
    """Take a shipped recipe with two steps for every fit phase."""
    phases = [phase.name for phase in catalog.load(name).phases if phase.fit]
    quick = {f"phases.{phase}.fit.duration": "2 steps" for phase in phases}
    quick |= {f"phases.{phase}.fit.batch_size": 6 for phase in phases}
    if catalog.load(name).ensemble:
        quick["ensemble"] = [{"name": "MobileNet_0.25", "weights": "none"}]
    return Recipe.from_name(name, **{"backbone.weights": "none", **quick, **NEEDS.get(name, {}), **changes})


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder that the runs of all recipes are written to."""
    return tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize("name", catalog.names())
def test_every_shipped_recipe(name, runs):
    ds = {"train": pictures(15, 40, seed=0), "test": pictures(6, 50, seed=1)}
    if any(phase.solve and phase.solve.pseudo_labels for phase in catalog.load(name).phases):
        ds["unlabeled"] = pictures(9, 40, seed=3)[0]
    recipe = short(name, **{"backbone.name": "DemoNet"})
    plan = recipe.plan(ds)
    assert isinstance(plan, Plan)
    out = runs / name.replace("/", "_")
    report = recipe.run(ds, out=out, verbose=False)
    assert report.plan == plan
    assert report.class_names == tuple(sorted(CLASSES))
    assert json.loads((out / "report.json").read_text())["status"] == "done"
    images, _ = pictures(4, 60, seed=2)
    np.save(out / "images.npy", images)
    np.save(out / "here.npy", report.model.predict_on_batch(images))
    # The figures of the run are found again from its folder; those of a head solved on features by rounding of float32.
    scores, test = evaluate(saved_model.load(out), ds), report.record["test"]
    assert scores.pop("images") == scores.pop("resizing")["images"] == 6
    assert scores.keys() == test.keys()
    for name, figure in test.items():
        assert scores[name] == pytest.approx(figure, rel=1e-6, abs=1e-7), name


def test_every_model_predicts_without_this_package(runs):
    """Behind the test of every recipe, whose models it takes; one process for all, for starting Keras takes seconds."""
    folders = [folder for folder in runs.iterdir() if (folder / "here.npy").is_file()]
    assert folders
    subprocess.run([sys.executable, "-c", ELSEWHERE], cwd=runs, check=True)
    for folder in folders:
        np.testing.assert_allclose(np.load(folder / "elsewhere.npy"), np.load(folder / "here.npy"), atol=1e-4)


def test_figures_of_photos_are_found_again(tmp_path):
    """Large JPEGs, which a run decodes at a reduced size; the model alone sees other pixels."""
    for split, count, seed in (("train", 12, 0), ("test", 6, 1)):
        for number, (image, label) in enumerate(zip(*pictures(count, 40, seed), strict=True)):
            (tmp_path / split / label).mkdir(parents=True, exist_ok=True)
            photo = Image.fromarray(image).resize((640, 480), Image.Resampling.BICUBIC)
            photo.save(tmp_path / split / label / f"{number}.jpg")
    report = short("small_similar", **{"backbone.name": "DemoNet"}).run(str(tmp_path), verbose=False)
    scores = evaluate(saved_model.Saved(report.model, report.class_names), str(tmp_path))
    assert scores.pop("resizing")["largest_difference"] > 0
    assert scores == {"images": 6} | {name: pytest.approx(one, rel=1e-6) for name, one in report.record["test"].items()}


@pytest.mark.parametrize(("name", "backbone"), [("small_similar", "ResNet50"), ("large_dissimilar", "VGG16")])
def test_scenarios_on_the_classic_networks(name, backbone):
    recipe = short(name, **{"backbone.name": backbone, "backbone.image_size": 64})
    report = recipe.run(pictures(12, 64, seed=0), verbose=False)
    assert [phase["name"] for phase in report.record["phases"]] == ["feature_extraction", "fine_tuning"]
    assert [phase["steps"] for phase in report.record["phases"]] == [0, 2]
    assert report.predict(pictures(1, 30, seed=3)[0]).shape == (1, 3)
