"""Comparing recipes: same images and seeds for all, shared features, no run twice, a folder that resumes."""

import json
from functools import partial

import keras
import numpy as np
import pytest
from stripes import stripes

from kerastune_recipes import Recipe, checksummed_files, compare
from kerastune_recipes.errors import OutputError, RecipeError, RequestError, WorkError
from kerastune_recipes.spec import catalog
from kerastune_recipes.studies import compare as compare_module
from kerastune_recipes.studies import study_folder

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
    """A list of all runs: name of the recipe, seed, and report."""
    runs = []
    genuine = study_folder.run

    def run(name, content, ds, options, network):
        report = genuine(name, content, ds, options, network)
        runs.append((name, options.seed, report))
        return report

    monkeypatch.setattr(study_folder, "run", run)
    return runs


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


def test_without_a_test_split_each_seed_holds_out_its_own_images(recipes, ran):
    comparison = compare(recipes, stripes(), seeds=3, verbose=False)
    assert comparison.judged == "validation"
    # Three hold-outs of six of thirty images; some images are in two of them.
    assert 6 < comparison.images <= 18
    first, second = [report.splits["validation"].labels.tolist() for _, seed, report in ran if seed == 1]
    assert first == second


@pytest.mark.parametrize("cache", [True, False])
def test_features_are_computed_once(recipes, ds, ran, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("KERASTUNE_CACHE", str(tmp_path / "cache"))
    same = [recipes[0], Recipe.from_name("from_scratch", **LAST)]
    comparison = compare(same, ds, seeds=2, cache=cache, verbose=False)
    computed = [report.record["phases"][0]["features_computed"] for _, _, report in ran]
    assert computed == [30, 0, 0, 0]
    assert (tmp_path / "cache").exists() == cache
    # Features from another recipe count as computed.
    assert all(result.forward_passes >= 1 for result in comparison.results)


def test_recipes_are_names_paths_or_recipes(recipes, tmp_path):
    (tmp_path / "mine.yaml").write_text(catalog.text("large_similar"))
    loaded = compare_module._load_all(["small_similar", str(tmp_path / "mine.yaml"), recipes[1]])
    assert [recipe.name for recipe in loaded] == ["small_similar", "mine", "large_similar"]


def test_recipes_of_the_same_name_get_different_labels():
    changes = ({"backbone": "VGG16"}, {"backbone": "ResNet50"}, {"backbone": "ResNet50", "features.views": 2})
    recipes = [Recipe.from_name("small_similar", **each) for each in changes]
    assert list(compare_module._labelled(recipes, scratch=False)) == [
        "small_similar (VGG16)", "small_similar (ResNet50)", "small_similar (ResNet50) 2",
    ]  # fmt: skip


def test_folders_of_recipes_need_no_quoting_and_are_never_shared():
    labels = ["lore/half_frozen", "lore_half_frozen", "small_similar (random weights)"]
    assert list(compare_module._folders(labels).values()) == [
        "lore_half_frozen", "lore_half_frozen_2", "small_similar_random_weights",
    ]  # fmt: skip


def test_a_folder_of_a_recipe_stays_within_the_comparison():
    labels = ["..", "...", "!!", "a b", "a_b", "a_b_4", "x" * 300]
    assert list(compare_module._folders(labels).values()) == [
        "recipe", "recipe_2", "recipe_3", "a_b", "a_b_5", "a_b_4", "x" * 200,
    ]  # fmt: skip


# With and without pretraining


def test_scratch_adds_twins_and_from_scratch_once_for_each_backbone(recipes):
    labelled = compare_module._labelled([*recipes, Recipe.from_name("small_similar", backbone="VGG16")], scratch=True)
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


def test_scratch_adds_no_recipe_that_the_user_named(recipes):
    own = Recipe.from_name("from_scratch", backbone="DemoNet")
    labelled = compare_module._labelled([recipes[0], own], scratch=True)
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


def test_a_twin_that_does_not_fit_is_left_out(recipes, ds, monkeypatch, capsys):
    genuine = Recipe.plan

    def plan(recipe, ds, **options):
        if recipe.content.backbone.weights == "none":
            raise RecipeError("head.reuse: there is no pretrained classifier without weights.")
        return genuine(recipe, ds, **options)

    monkeypatch.setattr(Recipe, "plan", plan)
    comparison = compare(recipes, ds, seeds=1, scratch=True)
    assert [result.recipe for result in comparison.results] == ["small_similar", "large_similar"]
    assert comparison.failures == ()
    assert "small_similar (random weights) left out: head.reuse" in capsys.readouterr().err


def test_groups_and_folds_are_planned_as_they_are_run(recipes, photos, tmp_path):
    """Images lie one level deeper than class folders, where only `group_by` can find them."""
    for label in ("ants", "bees"):
        photos(tmp_path / "set" / label, **{f"film{number}": 3 for number in range(4)})
    comparison = compare(recipes, tmp_path / "set", seeds=1, folds=2, group_by=1, verbose=False)
    assert (comparison.judged, comparison.images, comparison.groups) == ("out-of-fold", 24, 4)


@pytest.mark.parametrize("judge", ["test", "validation", "out-of-fold"])
def test_the_groups_of_the_judging_images_are_kept(recipes, ran, tmp_path, judge):
    """Groups of two images, which no split and no fold divides."""
    train = np.arange(30) // 2 + 100
    ds, group_by = {"train": stripes()}, {"train": train}
    if judge == "test":
        ds["test"], group_by["test"] = stripes(12, seed=1), np.arange(12) // 2
    folds = 3 if judge == "out-of-fold" else None
    out = tmp_path / "out"
    options = {"seeds": 2, "folds": folds, "group_by": group_by, "out": out, "verbose": False}
    comparison = compare(recipes, ds, **options)
    splits = [report.splits["test" if judge == "test" else "validation"] for _, _, report in ran]
    judged = np.unique(np.concatenate([split.groups for split in splits]))
    assert (comparison.judged, comparison.groups) == (judge, len(judged))
    assert comparison.images == 2 * len(judged)
    ran.clear()
    assert compare(recipes, ds, **options) == comparison
    assert ran == []


def test_a_finished_run_of_an_earlier_build_has_no_groups(recipes, ran, tmp_path):
    options = {"seeds": 1, "group_by": np.arange(30) // 2, "out": tmp_path / "out", "verbose": False}
    assert compare(recipes, stripes(), **options).groups == 3
    for saved in (tmp_path / "out").glob("*/seed_0/judged"):
        arrays, judged = checksummed_files.load(saved)
        del arrays["groups"]
        checksummed_files.save(saved, arrays, judged)
    ran.clear()
    assert compare(recipes, stripes(), **options).groups is None
    assert ran == []


def test_the_users_own_network_has_no_twin():
    image = keras.Input((None, None, 3))
    network = keras.Model(image, keras.layers.Conv2D(4, 3)(image), name="mine")
    own = Recipe.from_name("small_similar", backbone=network)
    with pytest.raises(RequestError, match="scratch: small_similar: your own network keeps its weights"):
        compare([own], stripes(), scratch=True)


def test_every_run_starts_from_the_weights_of_the_users_own_network(ds):
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


def test_finished_runs_are_not_repeated_and_seeds_can_be_added(recipes, ds, ran, tmp_path):
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


def test_an_interrupted_comparison_resumes(recipes, ds, ran, tmp_path, monkeypatch):
    fit = {"phases": [{"name": "fine_tuning", "fit": {"trainable": [["head", 1.0], ["backbone", 1.0]]}}]}
    fit["phases"][0]["fit"]["duration"] = "1 epochs"
    both = [recipes[0], Recipe.from_name("large_similar", **(DEMO | {"features.taps": "last"} | fit))]

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("kerastune_recipes.training.fit.fit", interrupt)
        with pytest.raises(KeyboardInterrupt):
            compare(both, ds, seeds=1, out=tmp_path / "out", verbose=False)
    assert (tmp_path / "out" / "large_similar" / "seed_0" / "checkpoints").is_dir()
    ran.clear()
    comparison = compare(both, ds, seeds=1, out=tmp_path / "out", verbose=False)
    assert [name for name, _, _ in ran] == ["large_similar"]
    assert len(comparison.results) == 2


def test_a_folder_with_another_comparison_is_refused(recipes, ds, tmp_path):
    out = tmp_path / "out"
    compare(recipes, ds, seeds=1, out=out, verbose=False)
    before = (out / "request.json").read_text()
    other = Recipe.from_name("small_dissimilar", **ALL)
    for named, images, difference in (
        ([recipes[0], other], ds, "recipes"),
        (recipes, ds | {"test": stripes(9, seed=1)}, "images"),
        ([recipes[0], other], stripes(), "recipes and other images"),
    ):
        with pytest.raises(OutputError, match=f"the comparison in this folder was made with other {difference}; give"):
            compare(named, images, seeds=1, out=out, verbose=False)
    assert (out / "request.json").read_text() == before


def test_a_folder_with_something_else_is_refused(recipes, ds, tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(OutputError, match="is not empty and holds no comparison; name another"):
        compare(recipes, ds, out=tmp_path)
    with pytest.raises(OutputError, match=r"thesis.tex: this is a file; name a folder"):
        compare(recipes, ds, out=tmp_path / "thesis.tex")


# What goes wrong


def test_a_recipe_that_fails_does_not_stop_the_others(recipes, ds, monkeypatch):
    genuine = study_folder.run

    def run(name, content, ds, options, network):
        if name == "large_similar" and options.seed == 1:
            raise WorkError("The loss became NaN.")
        return genuine(name, content, ds, options, network)

    monkeypatch.setattr(study_folder, "run", run)
    comparison = compare(recipes, ds, seeds=2, verbose=False)
    assert [result.recipe for result in comparison.results] == ["small_similar"]
    assert [(failure.recipe, failure.reason) for failure in comparison.failures] == [
        ("large_similar", "The loss became NaN.")
    ]


def test_a_comparison_fails_when_all_recipes_fail(recipes, ds, monkeypatch):
    def fail(*_):
        raise WorkError("No luck.")

    monkeypatch.setattr(study_folder, "run", fail)
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
def test_seeds_are_a_whole_number_of_at_least_one(recipes, seeds):
    with pytest.raises(RequestError, match="seeds: expected a whole number, 1 or more; received"):
        compare(recipes, stripes(), seeds=seeds)


def test_one_recipe_alone_is_refused():
    with pytest.raises(RequestError, match="there is nothing to compare with"):
        compare(["small_similar"], stripes())


@pytest.mark.parametrize("option", ["folds", "group_by", "unlabeled"])
def test_every_run_gets_the_options_of_the_comparison(recipes, ds, pictures, monkeypatch, option):
    groups = {"train": np.arange(30), "test": np.arange(12) + 30}
    value = {"folds": 3, "group_by": groups, "unlabeled": pictures(4, seed=9)[0]}[option]
    received = []

    def run(name, content, ds, options, network):
        received.append({key: getattr(options, key) for key in ("folds", "group_by", "unlabeled")})
        raise WorkError("Stop.")

    monkeypatch.setattr(study_folder, "run", run)
    with pytest.raises(WorkError, match="Stop"):
        compare(recipes, ds, seeds=1, verbose=False, **{option: value})
    assert len(received) == 2
    for options in received:
        assert options.pop(option) is value
        assert set(options.values()) == {None}


def test_the_result_is_plain_data(recipes, ds):
    record = compare(recipes, ds, seeds=1, verbose=False).record
    assert json.loads(json.dumps(record))["judged"] == "test"
