"""What a run began with, and what differs when it is to resume."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.run.options import RunOptions
from kerastune_recipes.run.request import (
    Asked,
    Request,
    arguments_of,
    differences,
    images_of,
    recipe_differences,
    surroundings_differences,
)

IMAGES = np.arange(20, dtype=np.uint8).reshape(-1, 1, 1, 1) * np.ones((1, 4, 4, 3), np.uint8)
LABELS = np.tile([0, 1], 10)


def request(images=IMAGES, labels=LABELS, unlabeled=None, **changes):
    described, digests = images_of(open_dataset((images, labels), unlabeled=unlabeled))
    content = {"head": {"dropout": 0.1}, "phases": [{"name": "only", "solve": {"folds": 5}}]}
    return replace(
        Request(
            asked=Asked("small_similar", content, {"data": None}),
            plan={"plan": 1},
            seed=0,
            backend="tensorflow",
            images=described,
            weights={"DemoNet": "ab12"},
            surroundings={"keras": "3.15.0", "device": "1 cpu"},
            digests=digests,
        ),
        **changes,
    )


def test_the_same_request_has_no_differences():
    assert differences(request(), request()) == []


def test_a_request_comes_back_from_its_parts():
    arrays, data = request().to_parts()
    assert differences(Request.from_parts(arrays, data), request()) == []


def test_other_pixels_under_the_same_name_and_size_are_named():
    changed = IMAGES.copy()
    changed[:, 0, 0, 0] += 100
    found = differences(request(), request(changed))
    assert len(found) == 2
    assert found[0].startswith("of the training images 16 have other content: image 0, image 1,")
    assert found[0].endswith("and 11 more")
    assert found[1].startswith("of the validation images 4 have other content: ")


def test_labels_seed_weights_and_backend_are_named():
    other = replace(request(), seed=1, backend="jax", weights={"DemoNet": "cd34"})
    assert differences(request(), other) == [
        "the seed was 0 and is 1",
        "the backend was tensorflow and is jax",
        "the weights or layers of DemoNet are others",
    ]
    before = request()
    labels = [*before.images["train"]["labels"][1:], "0"]
    relabelled = replace(before, images={**before.images, "train": {**before.images["train"], "labels": labels}})
    (training,) = differences(before, relabelled)
    assert training.startswith("of the training images ")
    assert " have another label: image " in training


def test_images_that_came_and_went_are_named():
    pool = 100 + IMAGES[:3]
    assert differences(request(unlabeled=pool), request()) == ["the unlabeled images are not given now"]
    assert differences(request(), request(unlabeled=pool)) == ["the unlabeled images were not given then"]
    assert differences(request(unlabeled=pool), request(unlabeled=pool[:2])) == [
        "of the unlabeled images 1 are gone: image 2"
    ]


def test_groups_count():
    first, second = (open_dataset((IMAGES, LABELS), group_by=np.arange(20) // size) for size in (2, 4))
    train = first.train
    one = replace(request(), images=images_of(first)[0], digests=images_of(first)[1])
    regrouped = replace(first, train=replace(train, groups=second.train.groups[: len(train)]))
    other = replace(request(), images=images_of(regrouped)[0], digests=images_of(regrouped)[1])
    assert differences(one, other) == ["the training images have another order or other groups"]


@pytest.mark.parametrize(
    ("now", "phrase"),
    [
        ({"head": {"dropout": 0.2}}, "head.dropout was 0.1 and is 0.2"),
        ({"head": {}}, "head.dropout was 0.1 and is not given"),
        ({"head": {"dropout": 0.1}, "folds": 5}, "folds was not given and is 5"),
    ],
)
def test_fields_of_a_recipe_are_named_by_their_keys(now, phrase):
    assert recipe_differences({"head": {"dropout": 0.1}}, now) == [phrase]


def test_phases_go_by_their_name():
    before, now = ({"phases": [{"name": "tune", "fit": {"steps": steps}}]} for steps in (10, 20))
    assert recipe_differences(before, now) == ["phases.tune.fit.steps was 10 and is 20"]


def test_versions_and_devices_are_doubts():
    other = replace(request(), surroundings={"keras": "3.15.1", "device": "1 cpu"})
    assert differences(request(), other) == []
    assert surroundings_differences(request(), other) == ["keras was 3.15.0 and is 3.15.1"]


def test_paths_are_kept_absolute(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    options = RunOptions(group_by=1, strategy="none")
    assert arguments_of("photos", options) == {
        "data": str(tmp_path / "photos"),
        "unlabeled": None,
        "group_by": 1,
        "strategy": "none",
        "validation_split": "auto",
        "pixel_range": None,
        "cache": True,
        "in_python": [],
    }
    assert arguments_of("demo:digits", options)["data"] == "demo:digits"
    stated = arguments_of("photos", RunOptions(validation_split=0.1, pixel_range=np.array([0, 4095])))
    assert (stated["validation_split"], stated["pixel_range"]) == (0.1, [0, 4095])


def test_what_the_shell_cannot_repeat_is_listed():
    options = RunOptions(group_by=np.arange(3), callbacks=[object()], strategy=object())
    assert arguments_of(pd.DataFrame(), options)["in_python"] == ["data", "group_by", "strategy", "callbacks"]
