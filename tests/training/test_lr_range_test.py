"""The range test finds a rate, and leaves no trace in the model."""

import dataclasses

import keras
import numpy as np
import pytest
from stripes import stripes

from kerastune_recipes import Recipe
from kerastune_recipes.planning import rules
from kerastune_recipes.training import fit as training
from kerastune_recipes.training import lr_range_test


def trained(network, facts, plan, images):
    return training.fit(network, facts, "fine_tuning", plan, images, None, training.FitOptions(seed=0))


@pytest.fixture
def longer(fit_plan, monkeypatch):
    monkeypatch.setattr(rules, "RANGE_TEST_STEPS", 30)
    return fit_plan(learning_rate=0.01, steps=4, find_rate=True)


def test_the_rate_is_a_share_of_the_rate_at_which_training_diverges():
    rates = np.geomspace(1e-4, 1, 5)
    losses = np.array([1.0, 0.9, 0.8, 0.9, 1.5])
    assert lr_range_test.suggested(rates, losses, 0.003) == pytest.approx(1.0 * rules.RANGE_TEST_SHARE)


def test_without_divergence_the_default_rate_is_kept():
    assert lr_range_test.suggested(np.geomspace(1e-4, 1, 3), np.array([1.0, 0.9, 0.8]), 0.003) == 0.003


@pytest.mark.parametrize("batch_norm", ["frozen", "trained"])
def test_the_phase_equals_one_with_the_same_rate_given(assembled, longer, pictures, batch_norm):
    """The range test changes no weights, statistics of BatchNormalization or optimizer state."""
    momentum = 0.9 if batch_norm == "trained" else None
    finding = longer.model_copy(update={"batch_norm": batch_norm, "batch_norm_momentum": momentum})
    _, facts, network = assembled()
    before = network.core.get_weights()
    found = trained(network, facts, finding, pictures())
    after = network.core.get_weights()
    network.core.set_weights(before)
    given = finding.model_copy(update={"find_rate": False, "learning_rate": found.range_test.learning_rate})
    plain = trained(network, facts, given, pictures())
    assert plain.range_test is None
    assert found.rows == plain.rows
    for one, other in zip(after, network.core.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_random_states_of_dropout_are_restored(assembled, longer, pictures):
    _, facts, network = assembled(dropout=0.5)
    before = network.core.get_weights()
    states = [
        (layer.seed_generator.state, layer.seed_generator.state.numpy())
        for layer in network.core.layers
        if isinstance(layer, keras.layers.Dropout)
    ]
    assert states
    found = trained(network, facts, longer, pictures())
    network.core.set_weights(before)
    for state, value in states:
        state.assign(value)
    given = longer.model_copy(update={"find_rate": False, "learning_rate": found.range_test.learning_rate})
    assert trained(network, facts, given, pictures()).rows == found.rows


def test_the_test_stops_at_an_infinite_loss(assembled, longer, pictures, monkeypatch):
    monkeypatch.setattr(rules, "RANGE_TEST_SPAN", 1e12)
    _, facts, network = assembled()
    found = trained(network, facts, longer, pictures()).range_test
    assert len(found.rates) < 30
    assert len(found.rates) == len(found.losses)
    assert np.isfinite(network.core.get_weights()[0]).all()
    assert dataclasses.astuple(found)[2] < found.rates[-1]


def test_the_loss_of_each_batch_counts_by_its_images(fit_plan, monkeypatch):
    """Keras reports means over the images of an epoch; batches of 3, 2 and 2 images."""
    monkeypatch.setattr(rules, "RANGE_TEST_STEPS", 5)
    sizes, losses = [3, 2, 2], [1.0, 0.7, 0.4, 0.9, 0.6]
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])

    def train(schedule, steps, callbacks):
        for number in range(steps):
            epoch, batch = divmod(number, 3)
            if batch == 0:
                callbacks[0].on_epoch_begin(epoch)
            seen = slice(3 * epoch, number + 1)
            callbacks[0].on_train_batch_end(batch, {"loss": np.average(losses[seen], weights=sizes[: batch + 1])})

    found = lr_range_test.find(model, fit_plan(learning_rate=0.01, find_rate=True), train, sizes)
    smoothed = [
        sum(0.1 * 0.9 ** (number - each) * losses[each] for each in range(number + 1)) / (1 - 0.9 ** (number + 1))
        for number in range(5)
    ]
    assert found.losses == pytest.approx(smoothed)


def test_plan_report_and_page_show_the_range_test(tmp_path, monkeypatch):
    monkeypatch.setattr(rules, "RANGE_TEST_STEPS", 12)
    fit = {"learning_rate": "find", "duration": "2 epochs", "batch_size": 8}
    changes = {f"phases.fine_tuning.fit.{key}": value for key, value in fit.items()}
    recipe = Recipe.from_name("small_similar", **{"backbone": "DemoNet", "backbone.weights": "demo"}, **changes)
    assert "peak by a range test from 3e-06 to 0.2," in " ".join(recipe.describe(stripes()).split())
    report = recipe.run(stripes(), verbose=False)
    rates, losses = report.record["phases"][1]["loss_by_learning_rate"]
    assert len(rates) == len(losses) <= 12
    assert f"peak learning rate {report.record['phases'][1]['learning_rate']:g} by a range test" in str(report)
    report.to_html(tmp_path / "report.html")
    assert "Range test of fine_tuning" in (tmp_path / "report.html").read_text()
