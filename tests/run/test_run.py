"""Whole runs on small data: what is run, what is returned, what the report says, how an interrupted run resumes."""

import json
from functools import partial

import keras
import numpy as np
import pytest
from stripes import stripes

from kerastune_recipes import Recipe
from kerastune_recipes.backbones.pretrained_classifier import classifier_facts, load_classifier
from kerastune_recipes.errors import CheckpointWarning, DataError, OutOfMemoryWarning, OutputError, RequestError
from kerastune_recipes.features import extraction
from kerastune_recipes.run import run_folder

QUICK = {
    "backbone.name": "DemoNet",
    "backbone.weights": "none",
    "phases.fine_tuning.fit.duration": "2 epochs",
    "phases.fine_tuning.fit.batch_size": 8,
}

# A size that must be resized.
stripes = partial(stripes, size=24)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run of both phases with a test split, kept in a folder."""
    out = tmp_path_factory.mktemp("runs") / "run"
    ds = {"train": stripes(), "test": stripes(12, seed=1)}
    return Recipe.from_name("small_similar", **QUICK).run(ds, out=out, verbose=False), out


def test_the_report_has_the_keys_of_the_contract(run):
    report, out = run
    record = json.loads((out / "report.json").read_text())
    assert record == json.loads(json.dumps(report.record))
    assert record["data"] | {"source": ""} == {
        "source": "", "train": 24, "validation": 6, "test": 12, "classes": ["0", "1", "2"],
        "groups": None, "unlabeled": 0, "pixel_range": None,
    }  # fmt: skip
    assert [phase["kind"] for phase in record["phases"]] == ["solve", "fit"]
    solve, fit = record["phases"]
    assert solve["trainable_parameters"] + solve["frozen_parameters"] == report.model.count_params()
    assert fit["trainable_parameters"] + fit["frozen_parameters"] == report.model.count_params()
    assert (solve["steps"], fit["steps"]) == (0, 6)
    for scores in (record["validation"], record["test"]):
        assert {"accuracy", "accuracy_ci95", "balanced_accuracy", "log_loss", "ece"} <= set(scores)
    cost = record["cost"]
    assert cost["forward_equivalents"] == pytest.approx(
        sum(phase["seconds"] for phase in record["phases"]) / cost["seconds_one_forward_pass"]
    )


def test_a_run_whose_batches_were_trained_in_parts_says_so(tmp_path, memory_for):
    memory_for(2)
    with pytest.warns(OutOfMemoryWarning):
        report = Recipe.from_name("small_similar", **QUICK).run(stripes(), out=tmp_path / "run", verbose=False)
    solve, fit = report.record["phases"]
    assert ("batch_parts" in solve, fit["batch_parts"], fit["steps"]) == (False, 4, 6)
    note = (
        "Phase fine_tuning: the device had no memory for a whole batch and trained each in 4 parts, whose gradients "
        "were summed; the result differs by rounding and the masks of dropout only."
    )
    assert json.loads((tmp_path / "run" / "report.json").read_text())["notes"] == report.record["notes"] == [note]
    assert f"note: {note}" in str(report)


def test_a_run_in_16_bits_ends_in_a_plain_model_with_the_same_answers(tmp_path):
    data = {"train": stripes(), "test": stripes(12, seed=1)}
    demo = QUICK | {"backbone.weights": "demo", "keep": "last"}
    whole, half = (
        Recipe.from_name("small_similar", **demo, precision=precision).run(data, verbose=False)
        for precision in ("float32", "float16")
    )
    assert half.record["compute"] == {
        "backend": "tensorflow", "device": "cpu", "precision": "float16", "jit_compile": False, "reproducible": True
    }  # fmt: skip
    assert half.record["phases"][0]["features_computed"] == 30  # none of those in float32
    half.save(tmp_path)
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    images = data["test"][0]
    probabilities = loaded.predict(images, verbose=0)
    assert probabilities.dtype == np.float32
    assert {weight.dtype for weight in loaded.weights if "float" in weight.dtype} == {"float32"}
    np.testing.assert_allclose(probabilities, half.model.predict(images, verbose=0), atol=1e-5)
    np.testing.assert_allclose(probabilities, whole.predict(images), atol=0.1)
    assert loaded.evaluate(*data["test"], verbose=0)


def test_a_head_starts_from_the_pretrained_classifier():
    letters = {
        "backbone.name": "DemoNet",
        "backbone.weights": "demo",
        "phases.feature_extraction.solve.pretrained_classes": {"1": "E", "2": ["H", "N"]},
        "phases.feature_extraction.solve.regularization": 1e9,
        "phases.fine_tuning.fit.duration": "1 steps",
        "phases.fine_tuning.fit.learning_rate": 1e-9,
    }
    report = Recipe.from_name("reuse_head", **letters).run(stripes(), verbose=False)
    solve = report.record["phases"][0]
    source = load_classifier("DemoNet")
    facts = classifier_facts("DemoNet", "demo")
    e, h, n = (facts.names.index(letter) for letter in "EHN")
    assert solve["pretrained_classes"] == {"1": [f"E ({e})"], "2": [f"H ({h})", f"N ({n})"]}
    assert f"(1 from E ({e}); 2 from H ({h}), N ({n}))" in str(report)
    kernel, _ = report.model.get_layer("head").get_weights()
    taken = np.stack([source.kernel[:, e], source.kernel[:, [h, n]].mean(axis=1)], axis=1)
    np.testing.assert_allclose(kernel[:, 1:] * solve["temperature"], taken, atol=1e-3)


def test_the_phase_with_the_lower_validation_loss_is_kept(run):
    report, _ = run
    losses = {phase["name"]: phase["validation"]["log_loss"] for phase in report.record["phases"]}
    assert report.record["chosen_phase"] == min(losses, key=losses.get)
    assert report.record["validation"]["log_loss"] == min(losses.values())


def test_the_reported_figures_are_those_of_the_model(run):
    """Raw images through the saved model give what the report says, up to the rounding of resized pixels."""
    report, out = run
    images, labels = stripes(12, seed=1)
    model = keras.saving.load_model(out / "model.keras")
    np.testing.assert_allclose(model.predict(images, verbose=0), report.predict(images), atol=1e-4)
    assert (report.predict(images).argmax(axis=1) == labels).mean() == pytest.approx(report.metrics["test"]["accuracy"])


def test_the_saved_model_can_be_trained_further(run):
    _, out = run
    model = keras.saving.load_model(out / "model.keras")
    images, labels = stripes(12)
    _, accuracy = model.evaluate(images, labels, verbose=0)
    assert 0 <= accuracy <= 1
    before = [np.array(weight) for weight in model.weights]
    model.fit(images, np.roll(labels, 1), epochs=1, verbose=0)
    assert any((old != np.array(new)).any() for old, new in zip(before, model.weights, strict=True))


def test_a_saved_plan_runs_again_to_the_same_result(run, tmp_path):
    report, out = run
    again = Recipe.from_file(out / "plan.yaml").run({"train": stripes(), "test": stripes(12, seed=1)}, verbose=False)
    assert again.plan == report.plan
    assert again.record["phases"][0]["validation"] == report.record["phases"][0]["validation"]
    np.testing.assert_allclose(again.splits["test"].probabilities, report.splits["test"].probabilities, atol=1e-3)


def test_one_hot_labels_stay_one_hot(tmp_path):
    images, labels = stripes()
    report = Recipe.from_name("small_similar", **QUICK).run((images, np.eye(3)[labels]), verbose=False)
    assert len(report.model.evaluate(images, np.eye(3)[labels], verbose=0)) == 2


def test_class_names_survive(tmp_path):
    images, labels = stripes()
    names = np.array(["plain", "rows", "columns"])[labels]
    report = Recipe.from_name("small_similar", **QUICK).run((images, names), out=tmp_path / "run", verbose=False)
    assert report.class_names == ("columns", "plain", "rows")
    assert (tmp_path / "run" / "labels.txt").read_text().split() == ["columns", "plain", "rows"]


@pytest.mark.parametrize("views", ["fresh", 2])
def test_own_network(views):
    """Made for images of any size; its first stage is frozen."""
    image = keras.Input((None, None, 3))
    hidden = keras.layers.Conv2D(8, 3, strides=2, activation="relu")(image)
    network = keras.Model(image, keras.layers.Conv2D(16, 3, strides=2, activation="relu")(hidden), name="mine")
    changes = {key: value for key, value in QUICK.items() if key.startswith("phases")}
    changes |= {"backbone.image_size": 24, "phases.fine_tuning.fit.views": views}
    recipe = Recipe.from_name("small_similar", backbone=network, **changes)
    report = recipe.run(stripes(), verbose=False)
    assert report.record["backbone"]["name"] == "mine"
    assert report.plan.features.taps == ("stage1", "stage2")


def test_a_seed_repeats_a_run_from_random_weights():
    quick = {key: value for key, value in QUICK.items() if key.startswith("backbone")}
    recipe = Recipe.from_name("from_scratch", **quick, **{"phases.training.fit.duration": "1 steps"})
    one, same, other = (recipe.run(stripes(), verbose=False, seed=seed).history[0]["loss"] for seed in (1, 1, 2))
    assert one == pytest.approx(same, rel=1e-5)
    assert one != pytest.approx(other, rel=1e-3)


class _Interrupted(keras.callbacks.Callback):
    """Presses Ctrl-C after the first epoch."""

    def on_epoch_end(self, epoch, logs=None):
        raise KeyboardInterrupt


def same(one, other):
    """Return whether two models have the same weights, bit for bit."""
    return all(map(np.array_equal, one.model.get_weights(), other.model.get_weights()))


def test_an_interrupted_run_resumes(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASTUNE_CHECKPOINT_SECONDS", "0")
    recipe, out = Recipe.from_name("small_similar", **QUICK, refit="none"), tmp_path / "run"
    whole = recipe.run(stripes(), verbose=False)
    with pytest.raises(KeyboardInterrupt):
        recipe.run(stripes(), out=out, verbose=False, callbacks=[_Interrupted()])
    assert (out / "checkpoints" / "phase_1").is_file()
    assert (out / "checkpoints" / "phase_2.fit").is_file()
    with pytest.warns(CheckpointWarning, match="Those that are missing do nothing"):
        report = recipe.run(stripes(), out=out, verbose=False, resume=True)
    assert report.record["phases"][1]["steps"] == 6
    assert report.history == whole.history
    assert same(report, whole)
    assert not (out / "checkpoints").exists()


def test_a_run_killed_while_it_was_saved_only_writes_the_report(tmp_path, monkeypatch):
    """The model is written first and the report last; a kill in between loses no training."""
    recipe, out = Recipe.from_name("small_similar", **QUICK, refit="none"), tmp_path / "run"

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("kerastune_recipes.reporting.report.Report.to_html", killed)
        with pytest.raises(KeyboardInterrupt):
            recipe.run(stripes(), out=out, verbose=False)
    assert {path.name for path in out.iterdir()} == {
        "checkpoints", "recipe.yaml", "plan.yaml", "model.keras", "labels.txt", "history.csv",
    }  # fmt: skip

    def trained(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr("kerastune_recipes.training.fit.fit", trained)
    recipe.run(stripes(), out=out, verbose=False, resume=True)
    assert {path.name for path in out.iterdir()} == set(run_folder.FILES)


def test_a_full_disk_at_the_end_loses_no_training(tmp_path, monkeypatch):
    recipe, out = Recipe.from_name("small_similar", **SOLVED), tmp_path / "run"

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(keras.Model, "save", full)
        with pytest.raises(OutputError, match="the report cannot be written: No space left on device"):
            recipe.run(stripes(), out=out, verbose=False)
    assert not (out / "report.json").exists()
    assert recipe.run(stripes(), out=out, verbose=False, resume=True).record["status"] == "done"


def test_an_older_run_stays_until_the_new_one_is_saved(tmp_path):
    """`overwrite` replaces a run that is complete by one that is complete."""
    recipe, out = Recipe.from_name("small_similar", **QUICK), tmp_path / "run"
    recipe.run(stripes(), out=out, verbose=False)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(KeyboardInterrupt):
        recipe.run(stripes(), out=out, verbose=False, overwrite=True, seed=1, callbacks=[_Interrupted()])
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before


def test_resuming_another_run_is_refused(tmp_path):
    recipe, out = Recipe.from_name("small_similar", **QUICK), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        recipe.run(stripes(), out=out, verbose=False, callbacks=[_Interrupted()])
    before = {path.name: path.read_bytes() for path in (out / "checkpoints").iterdir()}
    with pytest.raises(OutputError, match=r"the interrupted run began with something else: the seed was 0 and is 1\."):
        recipe.run(stripes(), out=out, verbose=False, resume=True, seed=1)
    images, labels = stripes()
    other = np.where(images > 100, images - 1, images), labels
    with pytest.raises(OutputError, match="of the training images .* have other content"):
        recipe.run(other, out=out, verbose=False, resume=True)
    assert {path.name: path.read_bytes() for path in (out / "checkpoints").iterdir()} == before


SOLVED = {
    "backbone.name": "DemoNet",
    "backbone.weights": "demo",
    "backbone.image_size": 32,
    "phases": [{"name": "feature_extraction", "solve": {}}],
}


@pytest.fixture
def passes(monkeypatch):
    """A list of the images in each batch that is passed through any network."""
    passed = []
    genuine = extraction.forward

    def counted(network):
        forward, at_once = genuine(network)
        return (lambda batch: passed.append(len(batch)) or forward(batch)), at_once

    monkeypatch.setattr(extraction, "forward", counted)
    monkeypatch.setattr(keras.Model, "predict_on_batch", lambda model, batch: passed.append(len(batch)))
    return passed


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setenv("KERASTUNE_CACHE", str(tmp_path / "cache"))


def test_a_second_run_on_the_same_data_passes_nothing_through_the_network(cache, passes):
    ds = {"train": stripes(90), "test": stripes(12, seed=1)}
    first = Recipe.from_name("small_similar", **SOLVED).run(ds, verbose=False)
    assert sum(passes) > 0
    passes.clear()
    second = Recipe.from_name("small_similar", **SOLVED).run(ds, verbose=False)
    assert passes == []
    assert second.metrics == first.metrics
    assert second.record["phases"][0]["features_computed"] == 0
    assert second.record["cost"]["seconds_one_forward_pass"] > 0
    for one, other in zip(first.model.get_weights(), second.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_recipes_share_features(cache):
    Recipe.from_name("small_similar", **SOLVED).run(stripes(), verbose=False)
    other = Recipe.from_name("large_dissimilar", **SOLVED).run(stripes(), verbose=False)
    assert other.record["phases"][0]["features_computed"] == 0


def test_an_ensemble_shares_the_features_of_each_network(cache):
    alone = Recipe.from_name("small_similar", **SOLVED).run(stripes(), verbose=False)
    companion = {"name": "MobileNet_0.25", "weights": "none", "image_size": 32}
    together = Recipe.from_name("small_similar", **SOLVED, ensemble=[companion]).run(stripes(), verbose=False)
    assert together.record["phases"][0]["features_computed"] == 30
    assert [backbone["name"] for backbone in together.record["ensemble"]] == ["MobileNet_0.25"]
    again = Recipe.from_name("small_similar", **SOLVED).run(stripes(), verbose=False)
    assert again.metrics == alone.metrics


def test_a_changed_label_needs_a_new_head_and_no_forward_pass(cache):
    images, labels = stripes()
    moved = np.where(np.arange(len(labels)) < 3, (labels + 1) % 3, labels)
    before, after = (
        Recipe.from_name("small_similar", **SOLVED).run(
            {"train": (images, given), "validation": (images, labels)}, verbose=False
        )
        for given in (labels, moved)
    )
    assert after.record["phases"][0]["features_computed"] == 0
    kernels = [report.model.get_layer("head").get_weights()[0] for report in (before, after)]
    assert not np.allclose(*kernels)


@pytest.mark.parametrize("change", [{"backbone.weights": "none"}, {"backbone.image_size": 40}, {"head.pooling": "max"}])
def test_another_network_never_hits_the_cache(cache, change):
    Recipe.from_name("small_similar", **SOLVED).run(stripes(), verbose=False)
    other = Recipe.from_name("small_similar", **{**SOLVED, **change})
    assert other.run(stripes(), verbose=False).record["phases"][0]["features_computed"] == 30


def test_without_the_cache_nothing_is_kept(cache, tmp_path):
    for _ in range(2):
        report = Recipe.from_name("small_similar", **SOLVED).run(stripes(), verbose=False, cache=False)
        assert report.record["phases"][0]["features_computed"] == 30
    assert not (tmp_path / "cache").exists()


def test_a_damaged_image_is_named_before_anything_is_written(photos, tmp_path):
    """Also in a test split, and where only a head is solved, so that images are decoded while features are computed."""
    train, test = photos(tmp_path / "train", ants=6, bees=6), photos(tmp_path / "test", ants=6, bees=6)
    for file in (train / "ants" / "0.png", test / "bees" / "5.png"):
        file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"(?s)ants/0.png: .*truncated.*bees/5.png: .*truncated"):
        Recipe.from_name("small_similar", **SOLVED).run({"train": train, "test": test}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_batch_smaller_than_the_replicas_is_refused(monkeypatch):
    from kerastune_recipes.devices import strategies

    monkeypatch.setattr(strategies, "replicas", lambda strategy: 16)
    with pytest.raises(RequestError, match="16 replicas cannot share a global batch of 8; give at least 16"):
        Recipe.from_name("small_similar", **QUICK).run(stripes(), verbose=False)


def test_the_report_says_what_was_done_about_unequal_classes(tmp_path):
    images, labels = stripes(60)
    kept = np.flatnonzero((labels != 2) | (np.arange(60) < 12))
    ds = {"train": (images[kept], labels[kept]), "validation": stripes(6, seed=1)}
    recipe = Recipe.from_name("small_similar", **QUICK, **{"phases.fine_tuning.fit.class_balance": "auto"})
    report = recipe.run(ds, verbose=False)
    assert report.plan.phases[1].fit.class_balance == "weights"
    assert report.record["phases"][1]["class_balance"] == "weights"
    assert "; classes unbalanced, 5 to 1: weighted" in str(report)
    assert "classes           unbalanced, 5 to 1: weighted" in report.plan_text
    report.to_html(tmp_path / "report.html")
    assert "class balance weights, imbalance 5" in (tmp_path / "report.html").read_text()


def test_features_of_the_old_weights_are_not_used_for_fresh_ones(cache):
    """A head is solved again behind layers that got fresh weights."""
    fit = {"trainable": [["head", 1.0], ["backbone", 1.0]], "reinitialize": ["backbone"], "duration": "1 steps"}
    phases = [{"name": "before", "solve": {}}, {"name": "fresh", "fit": fit}, {"name": "after", "solve": {}}]
    recipe = Recipe.from_name("small_similar", **{**SOLVED, "phases": phases, "keep": "last"})
    report = recipe.run(stripes(), verbose=False)
    assert [phase.get("features_computed") for phase in report.record["phases"]] == [30, None, 30]


def test_the_plan_shows_the_size_of_a_flatten_head_by_image_size():
    changes = {"head.pooling": "flatten", "features.taps": "last", "backbone.image_size": 32}
    text = Recipe.from_name("small_similar", **QUICK, **changes).describe(stripes())
    # The last stage divides height and width by eight, and has 160 channels.
    heads = {size: (size // 8 * (size // 8) * 160 + 1) * 3 for size in (32, 160, 224)}
    shown = "; ".join(f"at {size}: {parameters:,}" for size, parameters in heads.items())
    assert f"{shown}; avg or max pooling would need 483 at any size" in " ".join(text.split())


def test_statistics_between_two_models_are_re_estimated():
    fit = {"trainable": [["head", 1.0], ["backbone", 1.0]], "batch_norm": "trained"}
    changes = {f"phases.fine_tuning.fit.{key}": value for key, value in fit.items()}
    report = Recipe.from_name("small_similar", **QUICK, **changes).run(stripes(), verbose=False)
    losses = report.record["phases"][1]["log_loss_by_interpolation"]
    assert list(losses) == ["0", "0.25", "0.5", "0.75", "1", "1, head solved again"]
    assert np.isfinite(list(losses.values())).all()
