"""Comparing recipes: the same images and seeds for all, frozen work shared, finished runs not repeated."""

import json
from functools import partial

import keras
import numpy as np
import pytest
from stripes import stripes

from kerastune_recipes import Recipe, compare
from kerastune_recipes.errors import OutputError, RecipeError, RequestError, WorkError
from kerastune_recipes.run import fit_phase
from kerastune_recipes.spec import catalog
from kerastune_recipes.studies import compare as comparing

DEMO = {"backbone.name": "DemoNet", "backbone.weights": "demo"}
# A head and nothing else, on the last stage and on all.
LAST = DEMO | {"features.taps": "last", "phases": [{"name": "head", "solve": {}}]}
ALL = DEMO | {"features.taps": "all", "phases": [{"name": "head", "solve": {}}]}

stripes = partial(stripes, contrast=50)


@pytest.fixture
def recipes():
    """The same head on the last stage and on all."""
    return [Recipe.from_name("small_similar", **LAST), Recipe.from_name("large_similar", **ALL)]


@pytest.fixture
def ds():
    return {"train": stripes(), "test": stripes(12, seed=1)}


@pytest.fixture
def ran(monkeypatch):
    """A list of the runs that are made: recipe, seed, and the report."""
    made = []
    genuine = Recipe.run

    def run(recipe, *args, **options):
        report = genuine(recipe, *args, **options)
        made.append((recipe.name, options["seed"], report))
        return report

    monkeypatch.setattr(Recipe, "run", run)
    return made


def test_recipes_are_judged_by_the_same_test_images(recipes, ds, ran):
    comparison = compare(recipes, ds, seeds=2, verbose=False)
    assert [(name, seed) for name, seed, _ in ran] == [
        ("small_similar", 0), ("large_similar", 0), ("small_similar", 1), ("large_similar", 1),
    ]  # fmt: skip
    assert (comparison.judged, comparison.images, comparison.seeds) == ("test", 12, (0, 1))
    for result in comparison.results:
        accuracies = [report.metrics["test"]["accuracy"] for name, _, report in ran if name == result.recipe]
        assert result.accuracy_by_seed == tuple(accuracies)
        assert result.accuracy == pytest.approx(np.mean(accuracies))


def test_without_a_test_split_each_seed_holds_out_images_of_its_own(recipes, ran):
    comparison = compare(recipes, stripes(), seeds=3, verbose=False)
    assert comparison.judged == "validation"
    # Three hold-outs of six of thirty images, some of them in two.
    assert 6 < comparison.images <= 18
    of_a_seed = [report.splits["validation"].labels.tolist() for _, seed, report in ran if seed == 1]
    assert of_a_seed[0] == of_a_seed[1]


@pytest.mark.parametrize("cache", [True, False])
def test_features_are_computed_once(recipes, ds, ran, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("KERASTUNE_CACHE", str(tmp_path / "cache"))
    same = [recipes[0], Recipe.from_name("from_scratch", **LAST)]
    comparison = compare(same, ds, seeds=2, cache=cache, verbose=False)
    computed = [report.record["phases"][0]["features_computed"] for _, _, report in ran]
    assert computed == [30, 0, 0, 0]
    assert (tmp_path / "cache").exists() == cache
    # What sharing has spared a recipe is counted all the same.
    assert all(result.forward_passes >= 1 for result in comparison.results)


def test_recipes_are_given_by_name_by_path_or_as_they_are(recipes, tmp_path):
    (tmp_path / "mine.yaml").write_text(catalog.text("large_similar"))
    taken = comparing._all_taken(["small_similar", str(tmp_path / "mine.yaml"), recipes[1]])
    assert [recipe.name for recipe in taken] == ["small_similar", "mine", "large_similar"]


def test_recipes_of_one_name_are_told_apart():
    changes = ({"backbone": "VGG16"}, {"backbone": "ResNet50"}, {"backbone": "ResNet50", "features.views": 2})
    recipes = [Recipe.from_name("small_similar", **each) for each in changes]
    assert list(comparing._labelled(recipes, scratch=False)) == [
        "small_similar (VGG16)", "small_similar (ResNet50)", "small_similar (ResNet50) 2",
    ]  # fmt: skip


def test_folders_of_recipes_want_no_quoting_and_are_never_shared():
    labels = ["lore/half_frozen", "lore_half_frozen", "small_similar (random weights)"]
    assert list(comparing._folders(labels).values()) == [
        "lore_half_frozen", "lore_half_frozen_2", "small_similar_random_weights",
    ]  # fmt: skip


# With and without pretraining


def test_scratch_adds_twins_and_from_scratch_once_for_each_backbone(recipes):
    labelled = comparing._labelled([*recipes, Recipe.from_name("small_similar", backbone="VGG16")], scratch=True)
    assert list(labelled) == [
        "small_similar (DemoNet)",
        "large_similar",
        "small_similar (VGG16)",
        "small_similar (DemoNet) (random weights)",
        "large_similar (random weights)",
        "small_similar (VGG16) (random weights)",
        "from_scratch (DemoNet)",
        "from_scratch (VGG16)",
    ]
    twin = labelled["large_similar (random weights)"].content
    assert twin.backbone.weights == "none"
    assert twin.phases == recipes[1].content.phases
    scratch = labelled["from_scratch (VGG16)"].content
    assert (scratch.backbone.name, scratch.backbone.weights) == ("VGG16", "none")


def test_scratch_adds_nothing_that_is_there(recipes):
    own = Recipe.from_name("from_scratch", backbone="DemoNet")
    labelled = comparing._labelled([recipes[0], own], scratch=True)
    assert list(labelled) == ["small_similar", "from_scratch", "small_similar (random weights)"]
    assert labelled["from_scratch"] is own


def test_scratch_of_one_recipe_is_a_comparison(recipes, ds, monkeypatch):
    genuine = Recipe.from_name

    def two_steps(name, **changes):
        return genuine(name, **changes, **{"phases.training.fit.duration": "2 steps"})

    monkeypatch.setattr(Recipe, "from_name", two_steps)
    comparison = compare(recipes[:1], ds, seeds=1, scratch=True, verbose=False)
    assert [result.recipe for result in comparison.results] == [
        "small_similar", "small_similar (random weights)", "from_scratch",
    ]  # fmt: skip


def test_a_twin_that_cannot_be_is_left_out(recipes, ds, monkeypatch, capsys):
    genuine = Recipe.plan

    def plan(recipe, ds, seed=0):
        if recipe.content.backbone.weights == "none":
            raise RecipeError("head.reuse: there is no pretrained classifier without weights.")
        return genuine(recipe, ds, seed)

    monkeypatch.setattr(Recipe, "plan", plan)
    comparison = compare(recipes, ds, seeds=1, scratch=True)
    assert [result.recipe for result in comparison.results] == ["small_similar", "large_similar"]
    assert comparison.failures == ()
    assert "small_similar (random weights) is left out: head.reuse" in capsys.readouterr().err


def test_a_network_of_ones_own_has_no_twin():
    image = keras.Input((None, None, 3))
    network = keras.Model(image, keras.layers.Conv2D(4, 3)(image), name="mine")
    own = Recipe.from_name("small_similar", backbone=network)
    with pytest.raises(RequestError, match="scratch: small_similar: a network of your own keeps the weights it has"):
        compare([own], stripes(), scratch=True)


def test_every_run_starts_from_the_weights_that_a_network_of_ones_own_has(ds, ran):
    image = keras.Input((None, None, 3))
    network = keras.Model(image, keras.layers.Conv2D(4, 3, strides=2)(image), name="mine")
    before = network.get_weights()
    fit = {"trainable": [["head", 1.0], ["backbone", 1.0]], "duration": "2 steps", "augmentation": "none"}
    phases = [{"name": "fit", "fit": fit | {"learning_rate": 0.1}}, {"name": "head", "solve": {}}]
    changes = {"backbone.image_size": 32, "phases": phases, "keep": "last"}
    recipes = [Recipe.from_name(name, backbone=network, **changes) for name in ("small_similar", "large_similar")]
    first, second = compare(recipes, ds, seeds=1, verbose=False).results
    assert first.log_loss == pytest.approx(second.log_loss, rel=1e-4)
    for weight, now in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, now)


# The folder


def test_finished_runs_are_not_repeated_and_seeds_may_be_added(recipes, ds, ran, tmp_path):
    out = tmp_path / "out"
    first = compare(recipes, ds, seeds=1, out=out, verbose=False)
    assert {path.name for path in out.iterdir()} == {
        "request.json", "comparison.json", "comparison.html", "comparison.svg", "small_similar", "large_similar",
    }  # fmt: skip
    assert (out / "small_similar" / "seed_0" / "model.keras").is_file()
    ran.clear()
    assert compare(recipes, ds, seeds=1, out=out, verbose=False) == first
    assert ran == []
    more = compare(recipes, ds, seeds=2, out=out, verbose=False)
    assert [(name, seed) for name, seed, _ in ran] == [("small_similar", 1), ("large_similar", 1)]
    assert more.results[0].accuracy_by_seed[:1] == first.results[0].accuracy_by_seed


def test_an_interrupted_comparison_goes_on(recipes, ds, ran, tmp_path, monkeypatch):
    fitting = {"phases": [{"name": "fine_tuning", "fit": {"trainable": [["head", 1.0], ["backbone", 1.0]]}}]}
    fitting["phases"][0]["fit"]["duration"] = "1 epochs"
    both = [recipes[0], Recipe.from_name("large_similar", **(DEMO | {"features.taps": "last"} | fitting))]
    genuine = fit_phase.fit

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(fit_phase, "fit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        compare(both, ds, seeds=1, out=tmp_path / "out", verbose=False)
    assert (tmp_path / "out" / "large_similar" / "seed_0" / "journal").is_dir()
    monkeypatch.setattr(fit_phase, "fit", genuine)
    ran.clear()
    comparison = compare(both, ds, seeds=1, out=tmp_path / "out", verbose=False)
    assert [name for name, _, _ in ran] == ["large_similar"]
    assert len(comparison.results) == 2


def test_a_folder_with_another_comparison_is_refused(recipes, ds, tmp_path):
    out = tmp_path / "out"
    compare(recipes, ds, seeds=1, out=out, verbose=False)
    before = (out / "request.json").read_text()
    other = Recipe.from_name("small_dissimilar", **ALL)
    for named, images, what in (
        ([recipes[0], other], ds, "recipes"),
        (recipes, ds | {"test": stripes(9, seed=1)}, "images"),
        ([recipes[0], other], stripes(), "recipes and other images"),
    ):
        with pytest.raises(OutputError, match=f"the comparison in this folder was made with other {what}; give"):
            compare(named, images, seeds=1, out=out, verbose=False)
    assert (out / "request.json").read_text() == before


def test_a_folder_with_something_else_is_refused(recipes, ds, tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(OutputError, match="is not empty and holds no comparison; name another"):
        compare(recipes, ds, out=tmp_path)
    with pytest.raises(OutputError, match=r"thesis.tex: this is a file; name a folder"):
        compare(recipes, ds, out=tmp_path / "thesis.tex")


# What goes wrong


def test_one_recipe_that_fails_does_not_lose_the_others(recipes, ds, monkeypatch):
    genuine = Recipe.run

    def run(recipe, *args, **options):
        if recipe.name == "large_similar" and options["seed"] == 1:
            raise WorkError("The loss became NaN.")
        return genuine(recipe, *args, **options)

    monkeypatch.setattr(Recipe, "run", run)
    comparison = compare(recipes, ds, seeds=2, verbose=False)
    assert [result.recipe for result in comparison.results] == ["small_similar"]
    assert [(failure.recipe, failure.reason) for failure in comparison.failures] == [
        ("large_similar", "The loss became NaN.")
    ]
    monkeypatch.setattr(Recipe, "run", lambda *_, **__: (_ for _ in ()).throw(WorkError("No luck.")))
    with pytest.raises(WorkError, match=r"(?s)small_similar: No luck.*large_similar: No luck"):
        compare(recipes, ds, seeds=2, verbose=False)


def test_all_recipes_are_planned_before_the_first_is_run(recipes, ds, ran):
    wrong = [
        Recipe.from_name(name, **(ALL | {"features.taps": ["stage9"]})) for name in ("small_similar", "from_scratch")
    ]
    with pytest.raises(RequestError) as raised:
        compare([recipes[1], *wrong], ds)
    assert [problem.split(":")[0] for problem in raised.value.problems] == ["small_similar", "from_scratch"]
    assert ran == []


def test_all_recipes_that_cannot_be_read_are_named():
    with pytest.raises(RecipeError) as raised:
        compare(["smal_similar", "nowhere.yaml", "large_similar", "large_similar"], stripes())
    assert [problem[:30] for problem in raised.value.problems] == [
        'There is no recipe "smal_simil', "nowhere.yaml: there is no such", "large_similar: this recipe is ",
    ]  # fmt: skip


@pytest.mark.parametrize("seeds", [0, -1, True, 2.0, "3"])
def test_seeds_are_counted(recipes, seeds):
    with pytest.raises(RequestError, match="seeds: a comparison takes a whole number of seeds, 1 or more; received"):
        compare(recipes, stripes(), seeds=seeds)


def test_one_recipe_is_no_comparison():
    with pytest.raises(RequestError, match="there is nothing to compare with"):
        compare(["small_similar"], stripes())


def test_folds_and_the_like_are_handed_on_when_given_and_only_then(recipes, ds, pictures, monkeypatch):
    handed = []

    def run(recipe, ds, **options):
        handed.append({key for key in options if key in ("folds", "group_by", "unlabeled")})
        raise WorkError("Seen.")

    monkeypatch.setattr(Recipe, "run", run)
    for options in ({}, {"folds": 3}, {"unlabeled": pictures(4, seed=9)[0]}):
        with pytest.raises(WorkError):
            compare(recipes[:2], ds, seeds=1, verbose=False, **options)
        assert handed.pop() == handed.pop() == set(options)


def test_the_result_is_plain_data(recipes, ds):
    record = compare(recipes, ds, seeds=1, verbose=False).record
    assert json.loads(json.dumps(record))["judged"] == "test"
